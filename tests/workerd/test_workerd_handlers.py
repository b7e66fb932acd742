"""What becomes of batches and crons by what their handlers do, in modules and classes, bundled and not; DevTools."""

from __future__ import annotations

import json
import urllib.request

import pytest
from js_project import JsProject

#: What a handler does, and what becomes of its three messages: acknowledged, retried.
CASES = {
    "nothing": ("", "3/3"),
    "ack one, retry one": ("m[0].ack(); m[1].retry({ delaySeconds: 7 });", "2/3"),
    "ack one, throw": ("m[0].ack(); throw new Error('no');", "1/3"),
    "retryAll": ("batch.retryAll({ delaySeconds: 9 });", "0/3"),
    "ackAll, then throw": ("batch.ackAll(); throw new Error('no');", "3/3"),
    "retry one, ackAll": ("m[1].retry(); batch.ackAll();", "2/3"),
    "ack, then retry": ("m[0].ack(); m[0].retry();", "3/3"),
    "waitUntil that fails": ("ctx.waitUntil(Promise.reject(new Error('late')));", "0/3"),
    "never": ("await new Promise(() => {});", "0/3"),
}
BODY = """\
    const m = batch.messages;
    switch (batch.queue) {{
{cases}
    }}
"""


def config() -> dict:
    queues = [f"case-{number}" for number in range(len(CASES))]
    return {
        "queues": {
            "producers": [{"binding": f"Q{number}", "queue": queue} for number, queue in enumerate(queues)],
            "consumers": [
                {"queue": q, "max_batch_size": 3, "max_batch_timeout": 1, "max_retries": 1, "retry_delay": 3600}
                for q in queues
            ],
        },
        "triggers": {"crons": ["0 0 1 1 *"]},
    }


def body() -> str:
    cases = "\n".join(f'      case "case-{n}": {code} break;' for n, (code, _) in enumerate(CASES.values()))
    return BODY.format(cases=cases)


SEND = """\
    if (new URL(request.url).pathname === "/send") {
      const queues = Object.keys(env).filter((name) => name.startsWith("Q"));
      await Promise.all(queues.map((name) => env[name].sendBatch([{ body: 1 }, { body: 2 }, { body: 3 }])));
    }
    return new Response("ok");
"""
MODULE = f"""\
export default {{
  async fetch(request, env) {{ {SEND} }},
  async queue(batch, env, ctx) {{ {body()} }},
  async scheduled(controller, env, ctx) {{
    if (controller.cron === "no retry") controller.noRetry();
    if (controller.cron !== "fine") throw new Error("cron failed");
  }},
}};
"""
CLASS = f"""\
import {{ WorkerEntrypoint }} from "cloudflare:workers";
export default class extends WorkerEntrypoint {{
  async fetch(request) {{ const env = this.env; {SEND} }}
  async queue(batch) {{ const ctx = this.ctx; {body()} }}
  async scheduled(controller) {{ if (controller.cron !== "fine") throw new Error("cron failed"); }}
}}
"""


@pytest.mark.parametrize(
    ("code", "more"), [(MODULE, {}), (CLASS, {"no_bundle": True})], ids=["module", "unbundled class"]
)
def test_outcomes(js: JsProject, code: str, more: dict) -> None:
    js.worker(code, {**config(), **more, "main": "index.js"}, main="index.js")
    server = js.start()
    server.get("/send")
    for number, (name, (_, settled)) in enumerate(CASES.items()):
        found = server.wait_for(rf"QUEUE case-{number} (\d/3)")
        assert found[1] == settled, name
    delays = {"case-1": 7, "case-3": 9, "case-2": 3600}
    for queue, delay in delays.items():
        server.wait_for(rf'on queue "{queue}" in {delay} s')
    if not more:
        server.wait_for(r"in 9 s \(attempt 1: retryAll\(\) at index\.js:\d+\)")
    assert server.get("/cdn-cgi/handler/scheduled?cron=fine").text == "ok"
    assert server.get("/cdn-cgi/handler/scheduled?cron=bad").text == "exception"
    server.wait_for("Uncaught Error: cron failed")


def test_missing_handlers_are_told(js: JsProject) -> None:
    js.worker("export default { async email() {} };", config())
    server = js.start()
    server.wait_for(r"it consumes case-0.*, and index\.ts has no queue\(\) handler: every batch will fail")
    server.wait_for(r"it has crons, and index\.ts has no scheduled\(\) handler: every run will fail")
    reply = server.get("/")
    assert (reply.status, "Handler does not export a fetch() function." in reply.text) == (500, True)


def test_devtools_find_the_worker_and_its_sources(js: JsProject) -> None:
    js.worker("export default { async fetch(): Promise<Response> { return new Response('one'); } };")
    server = js.start("--inspector-port", "0")
    address = server.wait_for(r"DevTools can debug the JavaScript Workers at (\S+)")[1]
    with urllib.request.urlopen(f"http://{address}/json") as answer:
        targets = json.load(answer)
    assert "user:edge" in " ".join(target["webSocketDebuggerUrl"] for target in targets)
    assert server.get("/").text == "one"
    js.worker("export default { async fetch(): Promise<Response> { return new Response('two'); } };")
    server.wait_for('Reloaded worker "edge"')
    assert server.get("/").text == "two"
