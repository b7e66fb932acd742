"""`await env.QUEUE.send()` goes on when a file has the message, before the server has: none of them is lost or doubled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from pathlib import Path

from counting import wait_until

CONFIG = """
[vars]
FOLDER = "{folder}"

[[queues.producers]]
binding = "JOBS"
queue = "jobs"

[[queues.consumers]]
queue = "jobs"
max_batch_timeout = 0

[[queues.producers]]
binding = "KEPT"
queue = "kept"
"""

CODE = """
import asyncio
import json
import os
from urllib.parse import parse_qs, urlsplit

from workers import Response, WorkerEntrypoint


def note(folder, name, text):
    descriptor = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, (text + "\\n").encode())
    os.close(descriptor)


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        url = urlsplit(request.url)
        folder = self.env.FOLDER
        if url.path == "/send":
            note(folder, "pid", str(os.getpid()))
            count, pad = (int(parse_qs(url.query)[name][0]) for name in ("count", "pad"))
            for number in range(count):
                await self.env.JOBS.send({"n": number, "pad": "x" * pad})
                note(folder, "sent", str(number))
        if url.path == "/nested":
            asyncio.run(self.fill())  # on a face of the loop of its own
        if url.path == "/metrics":
            counts = []
            for number in range(3):
                await self.env.KEPT.send("kept")
                counts.append((await self.env.KEPT.metrics()).backlogCount)
            return Response.json(counts)
        if url.path == "/answers":
            first = await self.env.KEPT.send("a")
            second = await self.env.KEPT.sendBatch([{"body": "b"}, {"body": "c"}])
            later, unseen = await asyncio.gather(self.env.KEPT.send("d"), self.env.KEPT.send("e"))
            plain = dict(second["metadata"]["metrics"])
            when = plain.pop("oldestMessageTimestamp").isoformat()
            metrics = await self.env.KEPT.metrics()
            return Response.json([
                first.metadata.metrics.backlogCount,
                first == {"metadata": {"metrics": first.metadata.metrics}},
                plain,
                len(later), list(later), json.loads(json.dumps(later, default=str))["metadata"]["metrics"]["backlogCount"],
                bool(unseen), {**unseen}["metadata"]["metrics"]["backlogBytes"],
                metrics.backlogCount,
                when == metrics.oldestMessageTimestamp.isoformat(),
            ])
        return Response("ok")

    async def fill(self):
        for number in range(20):
            await self.env.KEPT.send(number)

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            note(self.env.FOLDER, "handled" if message.attempts == 1 else "again", str(message.body["n"]))
"""


def numbers(folder: Path, name: str) -> list[int]:
    path = folder / name
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def sending(project, pad: int = 0):
    """A session whose worker sends without end, messages with so many bytes more, and has done 50 of them."""
    project.config(CONFIG.format(folder=project.folder))
    project.code(CODE)
    server = project.start("--no-reload")

    def ask() -> None:
        try:
            server.get(f"/send?count=1000000&pad={pad}")
        except OSError:
            pass  # the session was killed

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: len(numbers(project.folder, "sent")) > 50)
    return server, asking


def each_came_once(folder: Path, sent: list[int]) -> None:
    """Every message was stored once: a second copy would come with a first attempt of its own. What was in flight may come
    again; the one that was being sent may have been kept without having been noted."""

    def came() -> set[int]:
        return {*numbers(folder, "handled"), *numbers(folder, "again")}

    wait_until(lambda: came() >= set(sent))
    first = numbers(folder, "handled")
    assert len(first) == len(set(first))
    assert came() <= set(range(len(sent) + 1))


def outboxes(project) -> list[Path]:
    return sorted((project.state / "outbox").glob("*"))


def test_sends_go_on_while_the_server_stands_still_and_survive_kill_9_of_both(project):
    server, asking = sending(project)
    os.kill(server.pid, signal.SIGSTOP)
    done = len(numbers(project.folder, "sent"))
    wait_until(lambda: len(numbers(project.folder, "sent")) > done + 500)
    server.destroy()
    asking.join()
    sent = numbers(project.folder, "sent")
    stored = sqlite3.connect(project.state / "wpy.sqlite").execute("SELECT max(seq) FROM message").fetchone()[0] or 0
    assert stored < len(sent), "everything was stored already: this proves nothing"

    # A command sees what no session has stored yet, because it stores it.
    handled = len(set(numbers(project.folder, "handled")))
    asked = [*server.command[:3], "queues", "describe", "jobs", "--json"]
    backlog = json.loads(subprocess.run(asked, cwd=project.folder, capture_output=True).stdout)["backlog"]
    unsettled = backlog["backlog_count"] - (len(sent) - handled)
    assert 0 <= unsettled <= backlog["in_flight"] + 1, backlog
    assert outboxes(project) == []

    server = project.start("--no-reload")
    each_came_once(project.folder, sent)
    server.stop()
    assert outboxes(project) == []


def test_what_a_killed_worker_has_sent_is_stored_by_the_server_that_lives(project):
    server, asking = sending(project)
    os.kill(server.pid, signal.SIGSTOP)
    done = len(numbers(project.folder, "sent"))
    wait_until(lambda: len(numbers(project.folder, "sent")) > done + 500)
    os.kill(numbers(project.folder, "pid")[-1], signal.SIGKILL)
    os.kill(server.pid, signal.SIGCONT)
    asking.join()
    sent = numbers(project.folder, "sent")
    each_came_once(project.folder, sent)
    server.stop()
    assert outboxes(project) == []


def test_a_file_is_left_alone_until_its_writer_is_gone(project):
    server, asking = sending(project)
    os.kill(server.pid, signal.SIGSTOP)
    done = len(numbers(project.folder, "sent"))
    wait_until(lambda: len(numbers(project.folder, "sent")) > done + 100)
    worker = numbers(project.folder, "pid")[-1]
    os.kill(worker, signal.SIGSTOP)  # it does not notice that its session is killed
    os.kill(server.pid, signal.SIGKILL)
    asking.join()

    successor = project.start("--no-reload")
    assert successor.get("/").status == 200 and outboxes(project)
    server.destroy()
    each_came_once(project.folder, numbers(project.folder, "sent"))
    wait_until(lambda: not outboxes(project))


def test_a_worker_that_runs_ahead_waits_for_the_server(project):
    server, asking = sending(project, 20_000)
    os.kill(server.pid, signal.SIGSTOP)
    path = outboxes(project)[0]

    def stands() -> bool:
        size = path.stat().st_size
        threading.Event().wait(0.3)
        return size == path.stat().st_size

    wait_until(stands)
    assert path.stat().st_size < 5_000_000
    sent = len(numbers(project.folder, "sent"))
    os.kill(server.pid, signal.SIGCONT)
    wait_until(lambda: len(numbers(project.folder, "sent")) > sent + 300)
    server.destroy()
    asking.join()


def test_what_send_answers_is_there_for_who_looks(project):
    project.config(CONFIG.format(folder=project.folder))
    project.code(CODE)
    server = project.start("--no-reload")
    assert json.loads(server.get("/answers").text) == [
        1,
        True,
        {"backlogCount": 3, "backlogBytes": 9},
        1,
        ["metadata"],
        4,
        True,
        15,
        5,
        True,
    ]


def test_metrics_counts_what_was_sent_before_it(project):
    project.config(CONFIG.format(folder=project.folder))
    project.code(CODE)
    assert json.loads(project.start("--no-reload").get("/metrics").text) == [1, 2, 3]


def test_without_a_file_a_send_waits_for_the_server(project):
    project.config(CONFIG.format(folder=project.folder))
    project.code(CODE)
    server = project.start("--no-reload")
    shutil.rmtree(project.state / "outbox")
    assert server.get("/send?count=20&pad=0").status == 200
    wait_until(lambda: numbers(project.folder, "handled") == list(range(20)))
    assert server.get("/nested").text == "ok"
