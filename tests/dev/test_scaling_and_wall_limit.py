"""Concurrency that scales by itself, and the limit on how long a handler may run, through a real session. Cases 66 to 68."""

from __future__ import annotations

import json

from counting import wait_until

CONFIG = """
[[queues.producers]]
binding = "SCALE"
queue = "scale"

[[queues.producers]]
binding = "SLOW"
queue = "slow"

[[queues.consumers]]
queue = "scale"
max_batch_size = 1
max_batch_timeout = 0
max_retries = 1
retry_delay = 3600

[[queues.consumers]]
queue = "slow"
max_batch_timeout = 0
max_retries = 1
"""
CODE = """
import asyncio

from workers import Response, WorkerEntrypoint

running = 0
seen = []


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.method == "GET":
            return Response.json(seen)
        what = await request.text()
        if what.startswith("slow"):
            await self.env.SLOW.sendBatch([{"body": what + number} for number in "123"])
        else:
            await self.env.SCALE.sendBatch([{"body": what}] * 30)
        return Response("sent")

    async def queue(self, batch, env, ctx):
        global running
        first = batch.messages[0]
        if batch.queue == "slow":
            if first.attempts == 1:
                batch.messages[1].ack()
                batch.messages[2].retry(delaySeconds=3600)
                if "block" in first.body:
                    while True:
                        pass
                await asyncio.sleep(60)
            return
        running += 1
        seen.append([first.body, first.attempts, running])
        try:
            await asyncio.sleep(0.02)
            if first.attempts == 1 and first.body == "retry":
                batch.retryAll(delaySeconds=0)
            if first.attempts == 1 and first.body == "fail":
                raise ValueError("as asked")
        finally:
            running -= 1
"""


def test_autoscaling_and_the_wall_limit(project):
    project.config(CONFIG)
    project.code(CODE)
    server = project.start("--no-reload", "--wall-limit", "1s")

    def invocations(what: str, count: int) -> list[int]:
        """How many ran when each began, its own included."""

        def of_this() -> list[int]:
            return [running for body, _, running in server.get("/").json() if body == what]

        wait_until(lambda: len(of_this()) >= count)
        assert len(of_this()) == count
        return of_this()

    # It begins with one, and is looked at after each batch: one more, as long as more waits. At most ten.
    assert server.post("/", body="ok").status == 200
    began = invocations("ok", 30)
    assert began[:3] == [1, 1, 2]
    assert 4 <= max(began) <= 10
    # A retry that the handler asks for is no failure.
    assert server.post("/", body="retry").status == 200
    assert max(invocations("retry", 60)) >= 4
    # A failure scales down, to one in the end.
    assert server.post("/", body="fail").status == 200
    assert invocations("fail", 30)[-10:] == [1] * 10

    # What a handler has settled before its time was over counts; not what cannot be asked for any more.
    for what, actions in (("slow", ["retry", "ack", "retry"]), ("slow block", ["retry", "retry", "retry"])):
        assert server.post("/", body=what).status == 200
        server.wait_for(r"QUEUE slow \d/3", after=server.mark(), within=20)
        batches = json.loads(server.wpy("queues", "history", "slow", "--json"))
        ended = max((one for one in batches if one["outcome"] == "exceededWallTime"), key=lambda one: one["started_ms"])
        assert ended["error"] == "queue slow ran for more than 1 s"
        assert [message["action"] for message in ended["messages"]] == actions
        assert ended["messages"][0]["reason"] == "exceededWallTime"
        wait_until(lambda: json.loads(server.wpy("queues", "describe", "slow", "--json"))["backlog"]["ready"] == 0)
