"""Workflows of JavaScript Workers: wpy's engine behind workerd's `run()`, on the session's clock, through real sessions."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from dev_server import DevServer
from js_project import JsProject, workerd_pids

CODE = """
    import { WorkflowEntrypoint, type WorkflowEvent, type WorkflowStep } from "cloudflare:workers";
    import { NonRetryableError } from "cloudflare:workflows";

    class Custom extends Error { name = "Custom" }
    const once = { retries: { limit: 0, delay: 0 } };
    const told = (error: any) => [error.constructor.name, error.message];
    const MODES: Record<string, (step: WorkflowStep, event: WorkflowEvent<any>) => Promise<unknown>> = {
        async plain(step, event) {
            const kept = await step.do("first", async (context: any) => {
                console.log("first runs");
                return { day: new Date(86400000), map: new Map([["a", 5n]]), bytes: new Uint8Array([1, 2]), context };
            });
            await step.sleep("nap", "1 hour");
            await step.sleepUntil("dawn", new Date(Date.now() + 2 * 86400000));
            const second = await step.do("second", async () => { console.log("second runs"); });
            return [kept.day.getTime(), kept.map.get("a") === 5n, kept.bytes[1], kept.context.attempt, second === undefined,
                event.payload.day instanceof Date, event.timestamp instanceof Date, event.instanceId];
        },
        async flaky(step) {
            return step.do("flaky", { retries: { limit: 3, delay: "10 seconds", backoff: "exponential" } }, async ({ attempt }: any) => {
                console.log(`attempt ${attempt}`);
                if (attempt < 4) throw new Error("flaky");
                return "at last";
            });
        },
        async errors(step) {
            const found: unknown[] = [];
            for (const fails of [
                () => { throw new Custom("boo"); },
                () => { throw new TypeError("tt"); },
                () => { throw "words"; },
                () => { throw new NonRetryableError("stop"); },
                () => new (class Thing {})(),
                () => new Promise((resolve) => setTimeout(resolve, 30000)),
            ]) {
                try { await step.do("fails", { ...once, timeout: 100 }, fails as any); } catch (error) { found.push(told(error)); }
            }
            return found;
        },
        async fatal(step) { await step.do("fatal", async () => { throw new NonRetryableError("no use"); }); },
        async throws(step) { await step.do("well", async () => 1); throw new Custom("uncaught"); },
        async function(step) { return step.do("function", (async () => () => 1) as any); },
        async stream(step) {
            const made: any = await step.do("stream", (async () => new Response("streamed").body) as any);
            return new Response(made).text();
        },
        async waits(step) {
            const together = await Promise.all([step.do("a", async () => 1), step.do("a", async () => 2)]);
            const got: any = await step.waitForEvent("approval", { type: "approved", timeout: "2 days" });
            try {
                await step.waitForEvent("more", { type: "more", timeout: "1 hour" });
            } catch (error) {
                return [together, got.payload, got.type, got.timestamp instanceof Date, told(error)];
            }
        },
        async dies(step) {
            await step.do("before", async () => { console.log("before runs"); });
            return step.do("deadly", async ({ attempt }: any) => {
                console.log(`deadly ${attempt}`);
                if (attempt === 1) await scheduler.wait(20000);
                return attempt;
            });
        },
        async slow(step) {
            const word = await step.do("slow", async () => { console.log("slow runs"); await scheduler.wait(1500); return "old"; });
            return [word, await step.do("after", async () => "old")];
        },
    };

    export class Orders extends WorkflowEntrypoint<Env, { mode: string }> {
        async run(event: WorkflowEvent<{ mode: string }>, step: WorkflowStep) {
            console.log("run", event.payload.mode);
            if (event.payload.mode === "throws") this.ctx.waitUntil(scheduler.wait(200));  // it outlives its run
            return MODES[event.payload.mode](step, event);
        }
    }

    type Env = { WF: Workflow };
    export default {
        async fetch(request: Request, env: Env) {
            const url = new URL(request.url);
            const { id, mode = "plain", type } = Object.fromEntries(url.searchParams);
            try {
                if (url.pathname === "/create") return Response.json((await env.WF.create({ id, params: { mode, day: new Date(0) } })).id);
                if (url.pathname === "/batch") {
                    const made = await env.WF.createBatch(id.split(",").map((one) => ({ id: one, params: { mode } })));
                    return Response.json(made.map((instance) => instance.id));
                }
                const instance = await env.WF.get(id);
                if (url.pathname === "/event") await instance.sendEvent({ type, payload: { ok: true } });
                else if (url.pathname !== "/status") await (instance as any)[url.pathname.slice(1)]();
                return Response.json(await instance.status());
            } catch (error: any) {
                return Response.json({ error: error.message }, { status: 500 });
            }
        },
    };
"""
CONFIG = {"workflows": [{"binding": "WF", "name": "orders", "class_name": "Orders"}]}


def get(server: DevServer, path: str) -> Any:
    return server.get(path).json()


def until(server: DevServer, instance: str, status: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = server.get(f"/status?id={instance}")  # a request may be cut off by a reload with Durable Objects
        found: dict[str, Any] = answer.json() if answer.text.startswith("{") else {"answer": answer.text}
        if found.get("status") == status:
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def test_steps_events_and_control(js: JsProject) -> None:
    js.worker(CODE, CONFIG)
    server = js.start("--clock", "virtual")
    for mode in ("plain", "flaky", "errors", "fatal", "throws", "function", "stream", "waits"):
        assert get(server, f"/create?id={mode}&mode={mode}") == mode
    assert "instance.already_exists" in get(server, "/create?id=plain")["error"]
    assert "invalid id" in get(server, "/create?id=a%20b")["error"]
    assert get(server, "/status?id=nobody")["error"] == "instance.not_found"
    assert until(server, "errors", "complete")["output"] == [
        ["Error", "Custom: boo"],
        ["TypeError", "tt"],
        ["Error", "words"],
        ["Error", "NonRetryableError: stop"],
        ["DOMException", 'Could not serialize object of type "Thing". This type does not support serialization.'],
        ["Error", "WorkflowTimeoutError: Execution timed out after 100ms"],
    ]
    assert until(server, "fatal", "errored")["error"]["name"] == "WorkflowFatalError"
    assert until(server, "throws", "errored")["error"] == {"name": "Error", "message": "Custom: uncaught"}
    server.wait_for(r"workflow orders/throws \| Uncaught Custom: uncaught")
    assert server.find(r"at .*throws \(.*index\.ts:\d+:\d+\)")  # where it stands in the file that was written
    assert "is not serialisable" in until(server, "function", "errored")["error"]["message"]
    assert until(server, "stream", "complete")["output"] == "streamed"

    until(server, "flaky", "waiting")
    server.wpy("clock", "advance", "9s")
    assert not server.find(r"attempt 2$")
    server.wpy("clock", "advance", "61s")  # 10 + 20 + 40 s
    assert until(server, "flaky", "complete")["output"] == "at last"
    until(server, "waits", "waiting")
    get(server, "/event?id=waits&type=approved")
    until(server, "waits", "waiting")
    assert get(server, "/pause?id=plain")["status"] == "paused"
    server.wpy("clock", "advance", "1h")
    late = ["Error", "WorkflowTimeoutError: Execution timed out after 3600000ms"]
    assert until(server, "waits", "complete")["output"] == [[1, 2], {"ok": True}, "approved", True, late]
    assert get(server, "/resume?id=plain")["status"] in ("queued", "running", "waiting")
    server.wpy("clock", "advance", "3d")
    plain = until(server, "plain", "complete")
    assert plain["output"] == [86400000, True, 2, 1, True, True, True, "plain"]
    assert len(server.find("first runs")) == len(server.find("second runs")) == 1

    assert get(server, "/restart?id=plain")["status"] in ("queued", "running", "waiting")
    until(server, "plain", "waiting")
    assert get(server, "/terminate?id=plain")["status"] == "terminated"
    assert "instance.cannot_terminate" in get(server, "/terminate?id=plain")["error"]
    assert get(server, "/batch?id=b1,b2,b1&mode=stream") == ["b1", "b2"]
    until(server, "b2", "complete")
    listed = json.loads(server.wpy("workflows", "list", "--json"))
    assert listed[0]["instances"] == {"complete": 6, "errored": 3, "terminated": 1}
    assert not server.find("had hung")
    assert not server.find("after close")  # nothing is asked on when a run has ended


def test_what_was_done_is_not_done_again(js: JsProject) -> None:
    """workerd is killed in a step, then the session; steps end in the code in which they began, what follows is new."""
    config = js.worker(CODE, CONFIG)
    server = js.start("--clock", "virtual")
    get(server, "/create?id=d&mode=dies")
    server.wait_for("deadly 1")
    os.kill(workerd_pids(server)[0], signal.SIGKILL)
    server.wait_for(r"WORKFLOW orders/d .*workerd|deadly 2|attempt failed|interrupted")
    server.wpy("clock", "advance", "1m")
    assert until(server, "d", "complete")["output"] == 2
    assert len(server.find("before runs")) == 1

    get(server, "/create?id=s&mode=slow")
    server.wait_for("slow runs")
    get(server, "/create?id=p")
    until(server, "p", "waiting")
    js.worker(
        CODE.replace('"after", async () => "old"', '"after", async () => "new"').replace('"run"', '"new run"'), CONFIG
    )
    server.wait_for("new run plain")
    assert until(server, "s", "complete")["output"] == ["old", "new"]
    assert len(server.find("slow runs")) == 1

    os.kill(server.pid, signal.SIGKILL)
    server.wait_exit()
    broken = CODE.replace("export class Orders", "export class Elsewhere")
    js.worker(broken, CONFIG)
    server = js.start("--clock", "virtual", configs=(config,))
    server.wait_for("not exported in your entrypoint file: Orders")
    js.worker(CODE, CONFIG)
    server.wait_for("run plain")
    server.wpy("clock", "advance", "3d")
    assert until(server, "p", "complete")["output"][0] == 86400000
    assert not server.find("first runs") and len(server.find("second runs")) == 1


def test_durable_objects_beside_it_do_not_stop_it(js: JsProject) -> None:
    """With Durable Objects on disk the old code ends before the new begins."""
    objects = CODE + "\n    export class Thing { fetch() { return new Response(); } }\n"
    bound = {
        **CONFIG,
        "durable_objects": {"bindings": [{"name": "T", "class_name": "Thing"}]},
        "migrations": [{"tag": "v1", "new_sqlite_classes": ["Thing"]}],
    }
    js.worker(objects, bound)
    server = js.start("--clock", "virtual")
    get(server, "/create?id=s&mode=slow")
    get(server, "/create?id=p")
    server.wait_for("slow runs")
    js.worker(objects.replace('"after", async () => "old"', '"after", async () => "new"'), bound)
    assert until(server, "s", "complete")["output"] == ["old", "new"]
    server.wpy("clock", "advance", "3d")
    assert until(server, "p", "complete")["output"][7] == "p"
    assert len(server.find("slow runs")) == len(server.find("first runs")) == 1
