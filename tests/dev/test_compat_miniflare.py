"""`wpy dev --compat-miniflare`: the defaults and limits of `wrangler dev`. Cases 17 and 27, the other half."""

from __future__ import annotations

CONFIG = """
[[queues.producers]]
binding = "Q"
queue = "q"
delivery_delay = 60

[[queues.consumers]]
queue = "q"
max_retries = 7
"""
CODE = """
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        size = int(await request.text())
        try:
            await self.env.Q.sendBatch([{"body": b"x" * (size // 3), "contentType": "bytes"}] * 3)
            await self.env.Q.send("at once", delaySeconds=0)
        except Exception as error:
            return Response(str(error), status=400)
        return Response("sent")
"""


def test_defaults_limits_and_delay(project):
    project.config(CONFIG)
    project.code(CODE)
    server = project.start("--clock", "virtual", "--compat-miniflare")
    assert server.find(r"^q +5 +1 s +7 "), "5 and 1 s are miniflare's, 7 is the config's own"
    refused = server.post("/", body="288003")
    assert refused.text == "Error: Queue sendBatch failed: batch size of 288003 bytes exceeds limit of 288000"
    assert server.post("/", body="288000").text == "sent"
    assert "1 ready, 3 delayed" in server.wpy("queues", "describe", "q"), "the binding's delivery_delay counts"
    server.stop()

    server = project.start("--clock", "virtual")
    assert server.find(r"^q +10 +5 s +7 ")
    assert "exceeds limit of 256000" in server.post("/", body="256002").text
