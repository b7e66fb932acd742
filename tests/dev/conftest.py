"""A small project on disk, and sessions of it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dev_server import DevServer

CONFIG = """\
name = "app"
main = "src/entry.py"
compatibility_date = "2026-03-01"
compatibility_flags = ["python_workers"]
"""


class Project:
    """A folder with a config and an entry module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".wpy" / "state"
        self.servers: list[DevServer] = []

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def config(self, more: str = "", name: str = "wrangler.toml") -> Path:
        return self.write(name, CONFIG + textwrap.dedent(more))

    def code(self, text: str) -> Path:
        return self.write("src/entry.py", text)

    def server(self, *arguments: str, port: int | None = 0) -> DevServer:
        server = DevServer(*arguments, cwd=self.folder, state=self.state, port=port)
        self.servers.append(server)
        return server

    def start(self, *arguments: str) -> DevServer:
        return self.server(*arguments).start()


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / "project")
    made.folder.mkdir()
    yield made
    for server in made.servers:
        server.stop()


@pytest.fixture
def counting(project: Project) -> Callable[[str], None]:
    """A worker that sends what it is asked to and writes down, in a file of its own, what its consumer got."""

    def write(queue_settings: str = "max_batch_timeout = 0", before_ack: str = "pass") -> None:
        project.config(
            f"""
            [vars]
            LOG = "{project.folder / "handled.log"}"

            [[queues.producers]]
            binding = "JOBS"
            queue = "jobs"

            [[queues.consumers]]
            queue = "jobs"
            """
            + queue_settings
        )
        project.code(
            f"""
            import os
            import time
            from urllib.parse import parse_qs, urlsplit

            from workers import Response, WorkerEntrypoint

            VERSION = "v0"


            def note(path, *words):
                with open(path, "a") as file:
                    file.write(" ".join(map(str, words)) + "\\n")


            class Default(WorkerEntrypoint):
                async def fetch(self, request):
                    url = urlsplit(request.url)
                    query = {{name: values[0] for name, values in parse_qs(url.query).items()}}
                    if url.path == "/send":
                        first, count = int(query["first"]), int(query["count"])
                        delay = int(query.get("delay", 0))
                        for number in range(first, first + count):
                            await self.env.JOBS.send({{"n": number}}, delaySeconds=delay)
                        return Response("sent")
                    return Response(VERSION)

                async def queue(self, batch, env, ctx):
                    note(self.env.LOG, "begin", VERSION, os.getpid(), time.time())
                    for message in batch.messages:
                        {before_ack}
                        note(self.env.LOG, "message", message.body["n"], message.attempts)
                    note(self.env.LOG, "end", VERSION, os.getpid(), time.time())
            """
        )

    return write
