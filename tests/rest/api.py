"""A `wpy dev` session under virtual time, and its REST API as a client sees it."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev_server import DevServer

#: What the clock shows at the start of each session.
START = "2026-03-01T00:00:00Z"
START_MS = 1_772_323_200_000
ACCOUNT = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
TOKEN = {"Authorization": "Bearer test-token"}

CONFIG = """\
name = "app"
main = "src/entry.py"
compatibility_date = "2026-03-01"
compatibility_flags = ["python_workers"]

[vars]
LOG = "{log}"

[[queues.producers]]
binding = "JOBS"
queue = "jobs"

[[queues.consumers]]
queue = "jobs"
max_batch_timeout = 0
"""

#: Writes down what it gets, one line of JSON for each message; fails for a body {"fail": true}.
ENTRY = """\
import asyncio
import json
from pathlib import Path

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.method == "POST":
            await self.env.JOBS.send(await request.json())
        return Response("ok")

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            with open(self.env.LOG, "a") as log:
                body = message.body
                log.write(json.dumps({"queue": batch.queue, "id": message.id, "body": body, "attempts": message.attempts}))
                log.write("\\n")
            if isinstance(body, dict) and body.get("fail"):
                raise ValueError("as asked")
            while isinstance(body, dict) and body.get("wait") and not Path(body["wait"]).exists():
                await asyncio.sleep(0.01)
"""

_names = itertools.count(1)


@dataclass
class Answer:
    """What the API said."""

    status: int
    envelope: dict[str, Any]

    @property
    def result(self) -> Any:
        """The result of a call that must have succeeded."""
        assert self.envelope["success"] is True, self.envelope
        assert self.status == 200, self.status
        assert self.envelope["errors"] == []
        return self.envelope["result"]

    @property
    def error(self) -> dict[str, Any]:
        """The first error of a call that must have failed."""
        assert self.envelope["success"] is False, self.envelope
        assert self.envelope["result"] is None
        return self.envelope["errors"][0]

    @property
    def notes(self) -> list[str]:
        return [note["message"] for note in self.envelope["messages"]]


class Api:
    """The REST API of one session. Paths are relative to the account."""

    def __init__(self, start: Callable[[], DevServer], log: Path) -> None:
        self._start = start
        self.server = start()
        self.log = log
        self.headers: dict[str, str] = dict(TOKEN)

    def restart(self, *, kill: bool = False) -> None:
        """End the session, or kill it, and start another one on the same state. Its clock begins at START again."""
        if kill:
            self.server.destroy()
        else:
            self.server.stop()
        self.server = self._start()

    @property
    def base(self) -> str:
        return self.server.url.replace("localhost", "127.0.0.1") + "/client/v4"

    @property
    def port(self) -> int:
        return int(self.server.url.rpartition(":")[2])

    def call(self, method: str, path: str, body: Any = None, *, raw: bytes | str | None = None, **more: Any) -> Answer:
        """One call with a JSON body, or the bytes in `raw`; sent as text/plain, which must not matter."""
        data = raw if raw is not None else None if body is None else json.dumps(body)
        headers = {"Content-Type": "text/plain;charset=UTF-8", **self.headers, **more.pop("headers", {})}
        path = path if path.startswith("/client/") else f"/client/v4/accounts/{ACCOUNT}{path}"
        reply = self.server.request(method, path, body=data, headers=headers, **more)
        assert reply.headers["content-type"] == "application/json", reply.text
        return Answer(reply.status, reply.json())

    def get(self, path: str, **more: Any) -> Answer:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.call("POST", path, body, **more)

    def put(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.call("PUT", path, body, **more)

    def patch(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.call("PATCH", path, body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        return self.call("DELETE", path, **more)

    # Queues -------------------------------------------------------------------------------------------------------

    def queue(self, name: str | None = None, **settings: Any) -> Queue:
        """A new queue."""
        name = name or f"q-{next(_names)}"
        body: dict[str, Any] = {"queue_name": name}
        if settings:
            body["settings"] = settings
        return Queue(self, name, self.post("/queues", body).result["queue_id"])

    def existing(self, name: str) -> Queue:
        (found,) = self.get(f"/queues?name={name}").result
        return Queue(self, name, found["queue_id"])

    def pull_queue(self, *, dead_letter_queue: str | None = None, **settings: Any) -> Queue:
        """A new queue with an http_pull consumer with these settings."""
        queue = self.queue()
        body = {"type": "http_pull", "settings": settings, "dead_letter_queue": dead_letter_queue}
        assert queue.post("/consumers", body).result["type"] == "http_pull"
        return queue

    # The session --------------------------------------------------------------------------------------------------

    def control(self, call: str, **arguments: Any) -> Any:
        """A POST to the session's control API."""
        with closing(sqlite3.connect(self.server.state / "wpy.sqlite")) as connection:
            (token,) = connection.execute("SELECT token FROM session WHERE url = ?", (self.server.url,)).fetchone()
        reply = self.server.post(f"/cdn-cgi/wpy/api/{call}", json=arguments, headers={"X-Wpy-Token": token})
        assert reply.status == 200, reply.text
        return reply.json()

    def advance(self, seconds: float) -> None:
        """Move the session's clock on."""
        self.control("clock/advance", seconds=seconds)

    def handled(self) -> list[dict[str, Any]]:
        """What the worker's consumer got so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def handled_after_all(self) -> list[dict[str, Any]]:
        """The same, once everything that is due now has been delivered."""
        self.advance(0)
        return self.handled()


@dataclass
class Queue:
    """One queue of a session."""

    api: Api
    name: str
    id: str

    def call(self, method: str, path: str = "", body: Any = None, **more: Any) -> Answer:
        return self.api.call(method, f"/queues/{self.id}{path}", body, **more)

    def get(self, path: str = "", **more: Any) -> Answer:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.call("POST", path, body, **more)

    def patch(self, **settings: Any) -> Answer:
        return self.call("PATCH", "", {"settings": settings})

    def push(self, *bodies: Any, **options: Any) -> None:
        """Push bodies, texts as text and the rest as JSON."""
        for body in bodies:
            kind = "text" if isinstance(body, str) else "json"
            assert self.post("/messages", {"body": body, "content_type": kind, **options}).result

    def pull(self, **options: Any) -> list[dict[str, Any]]:
        return self.post("/messages/pull", options).result["messages"]

    def ack(self, *leases: str, retries: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {"acks": [{"lease_id": lease} for lease in leases]}
        if retries is not None:
            body["retries"] = retries
        return self.post("/messages/ack", body).result

    def peek(self, batch_size: int = 100) -> list[dict[str, Any]]:
        return self.post("/messages/peek", {"batch_size": batch_size}).result["messages"]

    def backlog(self) -> tuple[int, int]:
        metrics = self.get("/metrics").result
        return metrics["backlog_count"], metrics["backlog_bytes"]


def bodies(messages: list[dict[str, Any]]) -> list[str]:
    return [m["body"] for m in messages]


def write_project(folder: Path, config: str) -> Path:
    """A project with one worker; returns the file its consumer writes to."""
    log = folder / "handled.jsonl"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "entry.py").write_text(ENTRY)
    (folder / "wrangler.toml").write_text(config.replace("{log}", str(log)))
    return log


@contextmanager
def session(
    folder: Path,
    *arguments: str,
    config: str = CONFIG,
    more: str = "",
    state: Path | None = None,
    env: dict[str, str] | None = None,
) -> Iterator[Api]:
    """A session of a new project, its clock standing still at START."""
    log = write_project(folder, config + more)

    def start() -> DevServer:
        server = DevServer(
            *("--clock", "virtual", "--now", START, "--no-cron", *arguments),
            cwd=folder,
            state=state or folder / "state",
            env=env,
        )
        return server.start()

    api = Api(start, log)
    try:
        yield api
        api.server.stop()
    except BaseException as error:
        if api.server.report() not in getattr(error, "__notes__", ()):
            error.add_note(api.server.report())
        raise
    finally:
        api.server.destroy()
