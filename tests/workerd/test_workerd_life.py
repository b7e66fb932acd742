"""The life of workerd beside a session: crash, kill, endless loop, reload, floods of logs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import threading
import time

import pytest
from dev_server import DevServer
from js_project import JsProject, workerd_pids
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

#: A producer and a consumer that notes every message in D1 with its attempt.
NOTING = """\
interface Env { Q: Queue<number>; DB: D1Database }
export default {
  async fetch(request: Request, env: Env) {
    const url = new URL(request.url);
    if (url.pathname === "/init") await env.DB.exec("CREATE TABLE seen (n INTEGER, attempt INTEGER)");
    if (url.pathname === "/send") {
      const from = Number(url.searchParams.get("from"));
      const bodies = Array.from({ length: 100 }, (_, i) => ({ body: from + i }));
      await env.Q.sendBatch(bodies);
    }
    if (url.pathname === "/count") {
      return Response.json(await env.DB.prepare("SELECT count(DISTINCT n) AS n FROM seen").first());
    }
    return new Response("ok");
  },
  async queue(batch: MessageBatch<number>, env: Env) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    await env.DB.batch(batch.messages.map((m) => env.DB.prepare("INSERT INTO seen VALUES (?, ?)").bind(m.body, m.attempts)));
  },
};
"""
NOTING_CONFIG = {
    "d1_databases": [{"binding": "DB", "database_name": "main", "database_id": "main"}],
    "queues": {
        "producers": [{"binding": "Q", "queue": "jobs"}],
        "consumers": [{"queue": "jobs", "max_batch_size": 10, "max_batch_timeout": 0, "max_retries": 0}],
    },
}


def wait_until(condition, within: float = 30.0, every: float = 0.05) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within:g} s"
        time.sleep(every)


@pytest.mark.timeout(90)
def test_a_killed_workerd_and_a_killed_wpy_lose_none_of_a_thousand_messages(js: JsProject) -> None:
    js.worker(NOTING, NOTING_CONFIG)
    server = js.start()
    server.get("/init")
    for start in range(0, 1000, 100):
        server.post(f"/send?from={start}")

    wait_until(lambda: server.get("/count").json()["n"] > 50)
    (first,) = workerd_pids(server)
    os.kill(first, signal.SIGKILL)
    server.wait_for(rf"workerd \(process {first}\) was ended by SIGKILL")
    wait_until(lambda: workerd_pids(server) not in ([], [first]))
    wait_until(lambda: server.get("/count").status == 200)
    assert server.get("/count").json()["n"] < 1000, "the kill came too late to show anything"

    workerds = workerd_pids(server)
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not any(_alive(pid) for pid in workerds), within=5)
    server.destroy()

    again = js.start()
    wait_until(lambda: again.get("/count").json()["n"] == 1000)


ROW = """\
export default {
  async fetch(request: Request, env: any) {
    for (let n = 1; n <= 20000; n++) {
      const { metadata } = await env.Q.send(n);
      if (metadata.metrics.backlogCount !== n) throw new Error(`${n}: ${JSON.stringify(metadata)}`);
      if (n % 10 === 0) console.log(`sent ${n}`);
      if (n === 50) {
        const { backlogCount } = await env.Q.metrics();
        if (backlogCount !== n) throw new Error(`asked at ${n}: ${backlogCount}`);
      }
    }
    return new Response("ok");
  },
};
"""


def test_sends_in_a_row_outlive_the_session(js: JsProject) -> None:
    """They are answered when a file has them; each is stored once, also when wpy is killed meanwhile."""
    js.worker(ROW, {"queues": {"producers": [{"binding": "Q", "queue": "row"}]}})
    server = js.start()

    def ask() -> None:
        with contextlib.suppress(OSError):  # it is killed before it answers
            server.get("/")

    threading.Thread(target=ask, daemon=True).start()
    server.wait_for("sent 500$")
    os.kill(server.pid, signal.SIGKILL)
    server.wait_exit()
    said = max(int(found[1]) for found in server.find(r"sent (\d+)$"))

    with js.server() as again:
        again.wait_for("Ready on")
        with contextlib.closing(sqlite3.connect(js.state / "wpy.sqlite")) as database:
            bodies = [int(body) for (body,) in database.execute("SELECT body FROM message ORDER BY seq")]
    assert bodies == list(range(1, len(bodies) + 1)), "in order, each once"
    assert len(bodies) >= said
    assert not list((js.state / "outbox").iterdir())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not _zombie(pid)


def _zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


STEPS = """\
export default {
  async fetch(request: Request, env: any) {
    const { pathname } = new URL(request.url);
    if (pathname === "/slow") await new Promise((resolve) => setTimeout(resolve, 1500));
    if (pathname === "/send") await env.Q.send("x");
    if (pathname === "/ws") {
      const [client, socket] = Object.values(new WebSocketPair());
      socket.accept();
      socket.send("open");
      return new Response(null, { status: 101, webSocket: client });
    }
    return new Response("VERSION");
  },
  async queue() {
    console.log("batch begins in VERSION");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    console.log("batch ends in VERSION");
  },
};
"""


def test_a_save_swaps_the_code_and_what_runs_finishes_on_the_old(js: JsProject) -> None:
    config = {
        "queues": {"producers": [{"binding": "Q", "queue": "q"}], "consumers": [{"queue": "q", "max_batch_timeout": 0}]}
    }
    js.worker(STEPS.replace("VERSION", "one"), config)
    server = js.start()
    server.get("/send")
    server.wait_for("batch begins in one")
    js.worker(STEPS.replace("VERSION", "two"), config)
    server.wait_for('Reloaded worker "edge"')
    assert server.get("/").text == "two"
    server.get("/send")
    server.wait_for("batch ends in one")
    server.wait_for("batch ends in two")
    lines = [line for line in server.output.splitlines() if "batch " in line]
    assert [line.rpartition("| ")[2] for line in lines] == [
        "batch begins in one",
        "batch ends in one",
        "batch begins in two",  # two versions never handle batches at once
        "batch ends in two",
    ]

    # A build error keeps what serves, and shows file, line and caret.
    js.write("edge/index.ts", "export default {\n  fetch() { return new Response(`x` }\n};\n")
    server.wait_for(r"index\.ts:2:\d+")
    server.wait_for(r"~~|\^|╵")
    assert server.get("/").text == "two"

    # So does code that throws when it starts; its trace shows the TypeScript line.
    js.write("edge/index.ts", "interface A { x: number }\n\nthrow new TypeError('at start');\nexport default {};\n")
    server.wait_for("TypeError: at start")
    server.wait_for(r"index\.ts:3")
    server.wait_for("The version before it goes on serving")
    assert server.get("/").text == "two"

    with connect(server.url.replace("http", "ws") + "/ws") as page:
        assert page.recv() == "open"
        js.worker(STEPS.replace("VERSION", "three"), config)
        server.wait_for('Reloaded worker "edge"', count=2)
        assert server.get("/").text == "three"
        with pytest.raises(ConnectionClosed) as closed:  # it would keep the old code
            page.recv(timeout=10)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
    # One workerd serves; those before it are gone.
    wait_until(lambda: len(workerd_pids(server)) == 1, within=10)


def test_an_endless_loop_is_told_of_and_ended(js: JsProject) -> None:
    code = """\
    export default {
      async fetch(request, env) {
        if (new URL(request.url).pathname === "/spin") for (;;) {}
        return new Response("ok");
      },
    };
    """
    js.worker(code, {"limits": {"cpu_ms": 2500}})
    server = js.start()
    reply = server.get("/spin")
    assert reply.status == 500
    assert re.match(r"GET /spin of edge has not paused for [2-9] s \(an endless loop\?\)", reply.text)
    server.wait_for("GET /spin has blocked the worker for 2.0 s")
    assert server.get("/").text == "ok"


def test_uncaught_errors_are_told_once_with_the_users_lines(js: JsProject) -> None:
    code = """\
    interface Unused { a: string }
    export default {
      async fetch(request: Request, env: any, ctx: ExecutionContext) {
        const { pathname } = new URL(request.url);
        if (pathname === "/throw") throw new TypeError("from fetch");
        if (pathname === "/later") ctx.waitUntil(Promise.reject(new Error("from waitUntil")));
        if (pathname === "/nobody") void Promise.reject(new Error("from nobody"));
        if (pathname === "/send") await env.Q.send("x");
        console.log("two\\nlines", { a: 1 });
        return new Response("ok");
      },
      async queue() { throw new RangeError("from queue"); },
      async scheduled() { throw new Error("from scheduled"); },
    };
    """
    consumer = {"queue": "q", "max_batch_timeout": 0, "max_retries": 0}
    js.worker(code, {"queues": {"producers": [{"binding": "Q", "queue": "q"}], "consumers": [consumer]}})
    server = js.start()
    reply = server.get("/throw")
    assert reply.status == 500
    assert "TypeError: from fetch\n    at Object.fetch (index.ts:5:" in reply.text
    for path in ("/later", "/nobody", "/send"):
        assert server.get(path).status == 200
    assert server.get("/cdn-cgi/handler/scheduled").text == "exception"
    server.wait_for(r"QUEUE q 0/1")
    for text, line in (
        ("from fetch", 5),
        ("from waitUntil", 6),
        ("from nobody", 7),
        ("from queue", 12),
        ("from scheduled", 13),
    ):
        server.wait_for(rf"index\.ts:{line}:")
        told = [entry for entry in server.output.splitlines() if text in entry and "Uncaught" in entry]
        assert len(told) == 1, told
    assert "wpy-entry" not in server.output
    assert "[edge] GET /send | two\n[edge] GET /send | lines { a: 1 }" in server.output


def test_a_flood_of_logs_stalls_neither_the_worker_nor_the_session(js: JsProject) -> None:
    code = """\
    export default {
      async fetch(request: Request) {
        if (new URL(request.url).pathname === "/flood") for (let i = 0; i < 100000; i++) console.log("line", i, "x".repeat(80));
        return new Response("done");
      },
    };
    """
    js.worker(code)
    server = js.start()
    assert server.get("/flood", within=20).text == "done"
    assert server.get("/").text == "done"
    server.wait_for(r"[\d,]+ lines came faster than they can be shown, and were left out")


def test_durable_objects_keep_what_they_have_through_reload_and_restart(js: JsProject) -> None:
    code = """\
    import { DurableObject } from "cloudflare:workers";
    export class Counter extends DurableObject {
      async add() {
        const n = ((await this.ctx.storage.get<number>("n")) ?? 0) + 1;
        await this.ctx.storage.put("n", n);
        await this.ctx.storage.setAlarm(Date.now() + 50);
        this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t (n)");
        this.ctx.storage.sql.exec("INSERT INTO t VALUES (?)", n);
        return [n, this.ctx.storage.sql.exec("SELECT count(*) AS c FROM t").one().c];
      }
      alarm() { console.log("the alarm rings"); }
    }
    export default {
      async fetch(request: Request, env: any) { return Response.json(await env.COUNTER.getByName("a").add()); },
    };
    """
    config = {
        "durable_objects": {"bindings": [{"name": "COUNTER", "class_name": "Counter"}]},
        "migrations": [{"tag": "v1", "new_sqlite_classes": ["Counter"]}],
    }
    js.worker(code, config)
    server = js.start()
    assert server.get("/").json() == [1, 1]
    server.wait_for("the alarm rings")
    js.worker(code.replace("Response.json(", "Response.json(0 || "), config)
    server.wait_for('Reloaded worker "edge"')
    assert server.get("/").json() == [2, 2]
    # Code that does not start costs nothing of what serves, although the two may not run side by side.
    js.worker(code + "\nthrow new Error('never');", config)
    server.wait_for("Uncaught Error: never")
    server.wait_for("The version before it goes on serving")
    assert server.get("/").json() == [3, 3]
    js.worker(code, config)
    server.wait_for('Reloaded worker "edge"', count=2)
    second = js.start()
    second.wait_for(rf"Another `wpy dev` session \(process {server.pid}\) runs Durable Objects on this state folder")
    second.stop()
    server.stop()
    assert js.start().get("/").json() == [4, 4]
    assert list((js.state / "do-workerd").iterdir())


def test_the_session_ends_in_time_and_leaves_nothing(js: JsProject) -> None:
    js.worker("export default { async fetch() { for (;;) await new Promise((resolve) => setTimeout(resolve, 5)); } };")
    server: DevServer = js.start()
    with pytest.raises(OSError):
        server.get("/", within=0.3)
    assert server.stop(signal.SIGINT) < 4
    assert sqlite3.connect(js.state / "wpy.sqlite").execute("PRAGMA integrity_check").fetchone() == ("ok",)
