"""Sessions with Workers of both languages on shared queues, and the session's clock for JavaScript Workers."""

from __future__ import annotations

import json
import sys
from typing import Any

import warm_wpy
from js_project import JsProject

PYTHON = """\
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.url.endswith("/to-ts"):
            await self.env.FOR_TS.send({"from": "python"})
            return Response("sent")
        if request.url.endswith("/ask-ts"):
            answer = await self.env.TS.fetch("http://ts/path?q=1", method="POST", body="hello")
            return Response("ts said " + await answer.text(), status=answer.status)
        return Response("python: " + request.method + " " + request.url + " " + await request.text())

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            print("python got", message.body["from"], message.attempts)
            if message.body["from"] == "v8":
                print("a big", int(message.body["map"].get("a")))
"""
TYPESCRIPT = """\
export default {
  async fetch(request: Request, env: any) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/to-python") await env.FOR_PYTHON.send({ from: "typescript" });
    if (pathname === "/v8") await env.FOR_PYTHON.send({ from: "v8", map: new Map([["a", 1n]]) }, { contentType: "v8" });
    if (pathname === "/later") await env.FOR_TS.send({ from: "later" }, { delaySeconds: 3600 });
    if (pathname === "/ask-python") {
      const answer = await env.PYTHON.fetch("https://python.example/a?b=1", { method: "PUT", body: "body" });
      return new Response(await answer.text());
    }
    return new Response(`ts: ${request.method} ${request.url} ${await request.text()}`);
  },
};
"""
CONSUMER = """\
export default {
  async queue(batch: MessageBatch<{ from: string }>) {
    for (const message of batch.messages) {
      console.log("ts got", message.body.from, message.attempts);
      if (message.attempts === 1 && message.body.from === "later") message.retry({ delaySeconds: 60 });
    }
  },
  async scheduled(controller: ScheduledController) {
    console.log("cron", controller.cron, new Date(controller.scheduledTime).toISOString());
  },
};
"""


def make(js: JsProject) -> tuple[str, ...]:
    js.write("python/entry.py", PYTHON)
    config: dict[str, Any] = {
        "name": "python",
        "main": "entry.py",
        "compatibility_date": "2026-03-01",
        "compatibility_flags": ["python_workers"],
        "services": [{"binding": "TS", "service": "edge"}],
        "queues": {
            "producers": [{"binding": "FOR_TS", "queue": "for-ts"}],
            "consumers": [{"queue": "for-python", "max_batch_timeout": 0}],
        },
    }
    js.write("python/wrangler.json", json.dumps(config))
    producers = [{"binding": "FOR_PYTHON", "queue": "for-python"}, {"binding": "FOR_TS", "queue": "for-ts"}]
    services = [{"binding": "PYTHON", "service": "python"}]
    edge = js.worker(TYPESCRIPT, {"queues": {"producers": producers}, "services": services})
    consumers = [{"queue": "for-ts", "max_batch_timeout": 0}]
    jobs = {"queues": {"consumers": consumers}, "triggers": {"crons": ["30 * * * *"]}}
    return edge, "python/wrangler.json", js.worker(CONSUMER, jobs, name="jobs")


def test_python_and_typescript_share_queues_and_call_each_other(js: JsProject) -> None:
    edge, python, jobs = make(js)
    server = js.start(configs=(edge, python, jobs))
    server.get("/to-python")
    server.wait_for(r"\[python\] .*python got typescript 1")
    server.get("/v8")
    server.wait_for(r"\[python\] .*a big 1$")
    reply = server.get("/ask-python")
    assert reply.text == "python: PUT https://python.example/a?b=1 body"
    server.stop()

    server = js.start(configs=(python, edge, jobs))  # the first one gets the HTTP traffic
    server.get("/to-ts")
    server.wait_for(r"\[jobs\] .*ts got python 1")
    reply = server.get("/ask-ts")
    assert reply.text == "ts said ts: POST http://ts/path?q=1 hello"


def test_the_virtual_clock_moves_delays_and_crons_of_typescript_workers(js: JsProject) -> None:
    edge, _, jobs = make(js)
    server = js.start("--clock", "virtual", "--now", "2026-03-01T09:00:00Z", configs=(edge, jobs))
    server.get("/later")

    def wpy(*arguments: str) -> str:
        command = [sys.executable, "-m", "wrangler_py", *arguments, "--persist-to", str(js.state)]
        return warm_wpy.run(command, cwd=js.folder, capture_output=True, text=True, timeout=60, check=True).stdout

    wpy("clock", "advance", "59m")
    server.wait_for(r"\[jobs\] .*cron 30 \* \* \* \* 2026-03-01T09:30:00\.000Z")
    assert "ts got" not in server.output
    wpy("clock", "advance", "1m")
    server.wait_for("ts got later 1")
    server.wait_for(r"Retrying message .* in 60 s \(attempt 1: retry\(\) at index\.ts:5\)")
    wpy("clock", "advance", "1m")
    server.wait_for("ts got later 2")
    server.wait_for("QUEUE for-ts 1/1")
    assert json.loads(wpy("queues", "list", "--json")) != []
