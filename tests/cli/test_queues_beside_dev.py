"""`wpy queues` while a real `wpy dev` session runs on the same state."""

import os
import signal

import pytest
from dev_server import DevServer

CONFIG = """
[[queues.producers]]
binding = "JOBS"
queue = "jobs"

[[queues.producers]]
binding = "PARKED"
queue = "parked"

[[queues.consumers]]
queue = "jobs"
max_batch_size = 2
max_batch_timeout = 0
max_retries = 0
dead_letter_queue = "jobs-dead"
"""
WORKER = """
import asyncio
from pathlib import Path
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.url.endswith("/park"):
            await self.env.PARKED.send({"n": 1})
            await self.env.PARKED.send({"n": 2}, delaySeconds=3600)
        else:
            await self.env.JOBS.send(request.url.rsplit("/", 1)[1])
        return Response("sent")

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            if message.body == "slow":
                print("slow has begun")
                await asyncio.sleep(600)
            raise ValueError("this one dies")
"""


@pytest.fixture
def session(project):
    project.toml(CONFIG)
    project.write("src/entry.py", WORKER)
    return DevServer("--no-reload", cwd=project.root, state=project.state)


def look(project, name: str):
    return project.queues("describe", name, "--json").json


def test_queues_of_a_session(project, session):
    with session as server:
        listed = project.queues("list", "--json").json
        assert [queue["queue_name"] for queue in listed] == ["jobs", "jobs-dead", "parked"]
        assert all(queue["queue_id"] for queue in listed)

        jobs = look(project, "jobs")
        (running,) = jobs["consumers"][0]["sessions"]
        assert running["url"] == server.url
        assert jobs["producers"] == [
            {"type": "worker", "script": "app", "bindings": ["JOBS"], "sessions": [running]},
        ]
        assert f"(running: {server.url}, pid {running['pid']})" in project.queues("describe", "jobs").out

        server.get("/park")
        parked = look(project, "parked")["backlog"]
        assert (parked["ready"], parked["delayed"], parked["in_flight"]) == (1, 1, 0)

        server.get("/dies")
        server.wait_for(r"Moving message .* to dead letter queue")
        dead = look(project, "jobs-dead")
        assert dead["backlog"]["ready"] == 1
        assert dead["dead_letter_queue_of"] == ["jobs"]

        server.get("/slow")
        server.wait_for("slow has begun")
        assert look(project, "jobs")["backlog"]["in_flight"] == 1

        assert project.queues("create", "more").code == 0
        assert project.queues("create", "jobs").code == 1
    after = look(project, "jobs")
    assert (after["consumers"][0]["sessions"], after["backlog"]["ready"]) == ([], 1)


def test_a_killed_session_is_not_shown_as_running(project, session):
    server = session.start()
    try:
        server.get("/slow")
        server.wait_for("slow has begun")
        (running,) = look(project, "jobs")["consumers"][0]["sessions"]
        os.kill(server.pid, signal.SIGKILL)
        server.wait_exit()
    finally:
        server.destroy()
    shown = project.queues("describe", "jobs").out
    assert "(not running)" in shown
    assert f"pid {running['pid']}" not in shown
    assert "1 in flight" in shown
