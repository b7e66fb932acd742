"""`wpy tail` and `wpy events`, and the record through restarts and kill -9, with real sessions and processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm_wpy
from counting import wait_until
from session_project import Project, environment

CONFIG = """
[[queues.producers]]
binding = "Q"
queue = "q"

[[queues.consumers]]
queue = "q"
max_batch_timeout = 0
"""
CODE = """
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        await self.env.Q.send(await request.json())
        return Response("sent")

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            print("got", message.body)
            if message.body == "bad":
                message.retry(delaySeconds=60)
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / "project")
    made.config(CONFIG)
    made.code(CODE)
    yield made
    made.stop()


def test_the_record_outlives_kill_9_and_restarts_and_tail_shows_the_past(project: Project):
    assert project.wpy("queues", "send", "q", '"early"').code == 0, "before there is a session"
    server = project.start()
    server.wait_for(r"QUEUE q 1/1")
    early = server.get("/cdn-cgi/wpy/api/messages?q=early").json()["rows"][0]
    assert (early["state"], early["traceId"]) == ("acked", early["id"])
    assert server.get(f"/cdn-cgi/wpy/api/messages/{early['id']}").json()["attempts"][0]["action"] == "ack"
    server.post("/", json="first")
    server.wait_for(r"QUEUE q 1/1", count=2)
    # What is younger than the recorder's gathering is lost by kill -9, as documented: another process finds it stored.
    wait_until(
        lambda: len(project.wpy("tail", "--no-follow", "-n", "9", "--json", "--kind", "batch.finished").lines) == 2
    )
    os.kill(server.pid, signal.SIGKILL)
    server.wait_exit()
    second = project.start()
    second.post("/", json="bad")
    second.wait_for(r"QUEUE q 0/1")
    second.stop()
    events = [json.loads(line) for line in project.wpy("tail", "--no-follow", "-n", "1000", "--json").lines]
    sent = [event for event in events if event["kind"] == "message.sent"]
    assert len(sent) == 3 and [e["seq"] for e in events] == sorted({e["seq"] for e in events})
    (retried,) = [
        json.loads(line)
        for line in project.wpy("tail", "--no-follow", "-n", "1000", "--outcome", "retried", "--json").lines
    ]
    assert retried["messages"][0] == {
        "id": sent[2]["data"]["ids"][0],
        "attempt": 1,
        "action": "retry",
        "reason": "retry()",
        "where": "src/entry.py:14",
        "delaySeconds": 60,
    }
    texts = project.wpy("tail", "--no-follow", "--since", "10m", "--text", "FIRST").out
    assert "← 1 message" in texts and "got first" in texts and "bad" not in texts
    assert project.wpy("tail", "--no-follow", "--since", "10m", "--queue", "other").out == ""
    assert project.wpy("tail", "--no-follow", "--since", "soon").code == 1

    exported = project.folder / "events.jsonl"
    assert project.wpy("events", "export", str(exported)).code == 0
    counts = project.wpy("events", "import", str(exported), "--persist-to", "other", "--json").json
    assert counts["message"] == 3 and counts["event"] == len(events)
    again = project.wpy("events", "import", str(exported), "--persist-to", "other", "--json").json
    assert again == {"event": 0, "message": 0, "run": 0}
    there = project.wpy("tail", "--no-follow", "-n", "1000", "--json", "--persist-to", "other").lines
    assert [json.loads(line)["kind"] for line in there] == [event["kind"] for event in events]
    exported.write_text(exported.read_text().splitlines()[0] + '\n{"message": {"id": 5}}\n')
    refused = project.wpy("events", "import", str(exported), "--persist-to", "third")
    assert refused.code == 1 and "line 2" in refused.err


def test_tail_is_live(project: Project):
    command = project.command("tail", "--json", "--kind", "batch.finished")
    with warm_wpy.Popen(command, cwd=project.folder, env=environment(), stdout=subprocess.PIPE, text=True) as tail:
        try:
            server = project.start()  # after the tail: it waits for a record to come into being
            server.post("/", json="one")
            assert tail.stdout is not None
            event = json.loads(tail.stdout.readline())
            assert (event["queue"], event["messages"][0]["action"]) == ("q", "ack")
            late = []
            for _ in range(7):
                server.post("/", json="one")
                event = json.loads(tail.stdout.readline())
                late.append(time.time() * 1000 - event["atMs"])  # real: the session's clock runs with it
                time.sleep(0.1)
            assert sorted(late)[3] < 200, f"the median, on whatever machine: {late}"
        finally:
            tail.send_signal(signal.SIGINT)
            try:
                tail.wait(10)
            finally:
                tail.kill()  # else a tail that does not end would hold the whole run
    assert tail.returncode == 0


def test_readonly_and_off(project: Project):
    server = project.start("--readonly")
    page = server.get("/cdn-cgi/wpy/").text
    token = page.split('name="wpy-token" content="')[1].split('"')[0]
    reply = server.post("/cdn-cgi/wpy/api/queues/q/pause", json={}, headers={"X-Wpy-Token": token})
    assert reply.status == 403 and "--readonly" in reply.json()["error"]
    assert server.get("/cdn-cgi/wpy/api/overview").json()["readonly"] is True
    server.stop()
    off = project.start("--no-dashboard", "--record", "0")
    for path in ("", "api/overview", "metrics"):
        assert off.get(f"/cdn-cgi/wpy/{path}").status in (401, 404, 405, 500), path
    assert "Dashboard" not in off.output
    assert json.loads(off.wpy("clock", "show", "--json"))["frozen"] is False, "the commands reach it all the same"
