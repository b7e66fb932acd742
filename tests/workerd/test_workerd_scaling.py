"""JavaScript Workers: concurrency that scales by itself, and the limit on how long a handler may run. Cases 67 and 68."""

from __future__ import annotations

import json
import time

CODE = """
let running = 0;
const seen = [];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export default {
  async fetch(request, env) {
    if (request.method === "GET") return Response.json(seen);
    const what = await request.text();
    if (what === "slow") await env.SLOW.send(what);
    else await env.SCALE.sendBatch(Array.from({ length: 30 }, () => ({ body: what })));
    return new Response("sent");
  },
  async queue(batch) {
    const { body, attempts } = batch.messages[0];
    if (batch.queue === "slow") return attempts === 1 ? sleep(60_000) : undefined;
    seen.push([body, ++running]);
    await sleep(20);
    running--;
    if (attempts === 1 && body === "retry") batch.retryAll({ delaySeconds: 0 });
    if (attempts === 1 && body === "fail") throw new Error("as asked");
  },
};
"""
CONSUMERS = [
    {"queue": "scale", "max_batch_size": 1, "max_batch_timeout": 0, "max_retries": 1, "retry_delay": 3600},
    {"queue": "slow", "max_batch_timeout": 0, "max_retries": 1},
]
PRODUCERS = [{"binding": "SCALE", "queue": "scale"}, {"binding": "SLOW", "queue": "slow"}]


def test_autoscaling_and_the_wall_limit(js):
    config = js.worker(CODE, {"queues": {"producers": PRODUCERS, "consumers": CONSUMERS}}, main="index.js")
    server = js.start("--no-reload", "--wall-limit", "2s", configs=(config,))

    def invocations(what: str, count: int) -> list[int]:
        assert server.post("/", body=what).status == 200
        end = time.monotonic() + 30
        while len(ran := [running for body, running in server.get("/").json() if body == what]) < count:
            assert time.monotonic() < end
            time.sleep(0.02)
        return ran

    began = invocations("ok", 30)
    assert began[:2] == [1, 1] and 4 <= max(began) <= 10
    assert max(invocations("retry", 60)) >= 4, "a retry that was asked for is no failure"
    assert invocations("fail", 30)[-10:] == [1] * 10

    assert server.post("/", body="slow").status == 200
    server.wait_for("QUEUE slow 1/1")
    batches = json.loads(server.wpy("queues", "history", "slow", "--json"))
    assert [
        (one["outcome"], one["messages"][0]["attempt"]) for one in sorted(batches, key=lambda b: b["started_ms"])
    ] == [
        ("exceededWallTime", 1),
        ("ok", 2),
    ]
