"""The sample from outside: HTTP, the session's output, and its clock, which is moved instead of waiting."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def wpy(request, tmp_path):
    """Another `wpy` command on the sample's state."""

    def run(*arguments):
        command = [sys.executable, "-m", "wrangler_py", *arguments, "--persist-to", str(tmp_path / "state")]
        done = subprocess.run(
            command, cwd=request.path.parents[1], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_tasks_are_done_retried_with_backoff_given_up_and_exported(wpy_dev, wpy, javascript):
    wpy("d1", "migrations", "apply", "DB")
    server = wpy_dev("--clock", "virtual", "--now", "2026-03-02T02:45:00Z")

    def post(kind, payload):
        reply = server.post("/tasks", json={"type": kind, "payload": payload})
        assert reply.status == 202, reply.text
        return reply.json()["id"]

    count = post("word-count", {"text": "one two  three"})
    flaky = post("flaky", {"succeed_on": 3})
    never = post("flaky", {})
    hopeless = post("word-count", {})
    assert server.post("/tasks", json={"type": "no-such"}).status == 400
    assert server.post("/tasks", body="no JSON").status == 400

    wpy("clock", "advance", "2s")
    server.wait_for(f"task {count} \\(word-count\\) is done")
    assert server.get(f"/tasks/{count}").json()["result"] == {"words": 3}
    assert server.get(f"/tasks/{hopeless}").json()["status"] == "failed"
    server.wait_for(r"in 5 s \(attempt 1: retry\(\) at src/work\.ts:\d+\)", count=2)

    wpy("clock", "advance", "30s")  # 5 s and 10 s later, and the batches' timeouts
    server.wait_for(r"in 10 s \(attempt 2: retry\(\) at src/work\.ts:\d+\)", count=2)
    server.wait_for(f"task {flaky} \\(flaky\\) is done")
    assert server.get(f"/tasks/{flaky}").json()["attempts"] == 3

    wpy("clock", "advance", "2m")
    server.wait_for(f"task {never} is given up")
    given_up = server.get(f"/tasks/{never}").json()
    assert (given_up["status"], given_up["error"]) == ("failed", "gave up after: Error: attempt 4 failed as asked")

    wpy("clock", "advance", "20m")  # past 03:00
    server.wait_for(r"\[task-queue\] cron \*/10 \* \* \* \* \| 0 forgotten tasks were queued again")
    server.wait_for(r"\[task-queue\] cron 0 3 \* \* \* \| 4 tasks were exported to 2026-03-02\.ndjson")
    assert server.get("/tasks").json() == []
    lines = server.get("/archive/2026-03-02.ndjson").text.splitlines()
    assert {json.loads(line)["id"] for line in lines} == {count, flaky, never, hopeless}
