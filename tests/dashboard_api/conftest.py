"""A session under a virtual clock whose Worker does what the bodies of its messages say, and its API."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from dev_server import DevServer, Reply
from session_project import Project

API = "/cdn-cgi/wpy/api"

CONFIG = """
[triggers]
crons = ["*/30 * * * *"]

[[queues.producers]]
binding = "MAIL"
queue = "mail"

[[queues.producers]]
binding = "SLOW"
queue = "slow"

[[queues.consumers]]
queue = "mail"
max_batch_timeout = 1
max_retries = 2
dead_letter_queue = "mail-dead"
"""

WORKER = """
import asyncio
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = request.url.split("/", 3)[3]
        if path.startswith("send"):
            await self.env.MAIL.send(await request.json())
            return Response("sent", status=202)
        if path.startswith("slow"):
            await self.env.SLOW.sendBatch([{"body": {"n": n, "user": {"id": n % 100}}} for n in range(100)])
            return Response("sent")
        if path.startswith("later"):
            async def later():
                await asyncio.sleep(0.3)
                print("later is done")
            self.ctx.waitUntil(later())
            return Response("ok")
        if path.startswith("boom"):
            raise RuntimeError("boom in fetch")
        return Response("hello")

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            print("handling", message.body.get("do"))
            if message.body.get("do") == "raise":
                raise ValueError(f"cannot do {message.id}")
            if message.body.get("do") == "retry":
                message.retry(delaySeconds=10 * message.attempts)
            if message.body.get("do") == "send":
                await self.env.SLOW.send({"from": message.id})

    async def scheduled(self, controller, env, ctx):
        await self.env.SLOW.send({"cron": controller.cron})
"""


class Api:
    """The dashboard's API of a session, as the page uses it."""

    def __init__(self, server: DevServer) -> None:
        self.server = server
        self._token: str | None = None

    @property
    def token(self) -> str:
        """What the page has from its own HTML."""
        if self._token is None:
            page = self.server.get("/cdn-cgi/wpy/").text
            found = re.search(r'name="wpy-token" content="([^"]+)"', page)
            assert found is not None, page[:500]
            self._token = found[1]
        return self._token

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        reply = self.server.get(f"{API}/{path}", headers={k.replace("_", "-"): v for k, v in headers.items()})
        assert reply.status == status, (path, reply.status, reply.text[:500])
        return reply.json()

    def until(self, path: str, true: Callable[[Any], Any]) -> Any:
        """What is answered once `true` of it: what happens is in the record a moment later."""
        end = time.monotonic() + 10
        while not true(answer := self.get(path)):
            assert time.monotonic() < end, answer
            time.sleep(0.02)
        return answer

    def reply(self, path: str, body: Any = None, token: str | None = None, **headers: str) -> Reply:
        given = {k.replace("_", "-"): v for k, v in headers.items()}
        if token is not None:
            given["X-Wpy-Token"] = token
        return self.server.post(f"{API}/{path}", json=body or {}, headers=given)

    def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        reply = self.reply(path, body, self.token)
        assert reply.status == status, (path, reply.status, reply.text[:500])
        return reply.json()

    def find(self, q: str, **more: Any) -> list[dict[str, Any]]:
        query = "&".join(f"{name}={quote(str(value))}" for name, value in {"q": q, **more}.items())
        rows: list[dict[str, Any]] = self.get(f"messages?{query}")["rows"]
        return rows

    def send(self, body: Any, **headers: str) -> str:
        """Have the Worker send a message. Returns its id."""
        before = {row["id"] for row in self.find("", queue="mail")}
        given = {k.replace("_", "-"): v for k, v in headers.items()}
        assert self.server.post("/send", json=body, headers=given).status == 202
        (new,) = [row["id"] for row in self.find("", queue="mail") if row["id"] not in before]
        return str(new)

    def advance(self, seconds: float) -> None:
        self.post("clock/advance", {"seconds": seconds})


class Stream:
    """A client of the stream."""

    def __init__(self, api: Api, last: int | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", int(api.server.url.rsplit(":", 1)[1]), timeout=10)
        headers = {"Accept": "text/event-stream", **({} if last is None else {"Last-Event-ID": str(last)})}
        self.connection.request("GET", f"{API}/events", headers=headers)
        self.reply = self.connection.getresponse()

    def frame(self, kind: str) -> dict[str, Any]:
        """The next frame of that kind."""
        fields: dict[str, str] = {}
        while True:
            line = self.reply.readline().decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields.pop("event", None) == kind:
                return {"id": fields.get("id"), **json.loads(fields["data"])}
            else:
                fields = {}


def project_in(folder: Path) -> Project:
    project = Project(folder)
    project.config(CONFIG)
    project.code(WORKER)
    return project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = project_in(tmp_path / "project")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One session for the tests of a module; each uses messages of its own."""
    made = project_in(tmp_path_factory.mktemp("dashboard") / "project")
    yield Api(made.start("--clock", "virtual", "--now", "2026-03-01T09:00:00Z"))
    made.stop()
