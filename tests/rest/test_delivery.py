"""What is changed through the REST API is in force at once in the running session: the Worker's consumer sees it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from .api import Api, Queue, session


def test_pause_and_resume_71(own_api: Api) -> None:
    """71: sends succeed while paused, nothing is delivered, and all of it is once delivery is resumed."""
    api = own_api
    jobs = api.existing("jobs")
    assert jobs.patch(delivery_paused=True).result["settings"]["delivery_paused"] is True
    jobs.push({"n": 1}, {"n": 2})
    api.advance(3600)
    assert api.handled() == []
    assert jobs.backlog() == (2, 14)
    jobs.patch(delivery_paused=False)
    assert [m["body"]["n"] for m in api.handled_after_all()] == [1, 2]
    assert [m["attempts"] for m in api.handled()] == [1, 1]


def test_a_running_batch_finishes_while_paused(own_api: Api, tmp_path: Path) -> None:
    api = own_api
    jobs = api.existing("jobs")
    go_on = tmp_path / "go-on"
    jobs.push({"wait": str(go_on)})
    wait_until(lambda: len(api.handled()) == 1)
    jobs.patch(delivery_paused=True)
    jobs.push({"n": 2})
    go_on.touch()
    api.server.wait_for(r"QUEUE jobs 1/1")
    assert jobs.backlog() == (1, 7)
    assert len(api.handled_after_all()) == 1
    jobs.patch(delivery_paused=False)
    assert len(api.handled_after_all()) == 2


def test_delivery_delay_applies_to_the_next_send_24_25(own_api: Api) -> None:
    """24 and 25: the queue's delay, and an explicit 0 that beats it, for pushes and for a Worker's sends."""
    api = own_api
    jobs = api.existing("jobs")
    jobs.patch(delivery_delay=10)
    jobs.push({"n": 1})
    api.server.post("/", json={"n": 2})
    jobs.push({"n": 3}, delay_seconds=0)
    assert [m["body"]["n"] for m in api.handled_after_all()] == [3]
    api.advance(9.9)
    assert len(api.handled()) == 1
    api.advance(0.1)
    assert sorted(m["body"]["n"] for m in api.handled()) == [1, 2, 3]
    jobs.patch(delivery_delay=0)
    jobs.push({"n": 4})
    assert len(api.handled_after_all()) == 4


def test_purge_73(own_api: Api) -> None:
    """73: ready and delayed messages disappear, also those whose timer is armed."""
    api = own_api
    jobs = api.existing("jobs")
    jobs.push({"n": 1}, {"n": 2}, delay_seconds=10)
    jobs.patch(delivery_paused=True)
    jobs.push({"n": 3})
    assert jobs.backlog() == (3, 21)
    assert jobs.post("/purge", {"delete_messages_permanently": True}).result["complete"] is True
    assert jobs.get("/metrics").result == {"backlog_bytes": 0, "backlog_count": 0, "oldest_message_timestamp_ms": 0}
    jobs.patch(delivery_paused=False)
    api.advance(60)
    assert api.handled() == []
    jobs.push({"n": 4})
    assert [m["body"]["n"] for m in api.handled_after_all()] == [4]


def test_purge_leaves_what_is_in_flight(own_api: Api, tmp_path: Path) -> None:
    api = own_api
    jobs = api.existing("jobs")
    go_on = tmp_path / "go-on"
    jobs.push({"wait": str(go_on)})
    wait_until(lambda: len(api.handled()) == 1)
    assert jobs.post("/purge", {"delete_messages_permanently": True}).result
    assert jobs.backlog()[0] == 1
    go_on.touch()
    api.server.wait_for(r"QUEUE jobs 1/1")
    assert jobs.backlog() == (0, 0)


def test_a_deleted_queue_stays_deleted(tmp_path: Path) -> None:
    """Also when a batch of it was in flight, and a retry was wanted."""
    with session(tmp_path / "project", more='[[queues.consumers]]\nqueue = "unbound"\nmax_batch_timeout = 0\n') as api:
        queue = api.existing("unbound")
        go_on = tmp_path / "go-on"
        queue.push({"wait": str(go_on)}, {"fail": True})
        wait_until(lambda: len(api.handled()) >= 1)
        assert api.delete(f"/queues/{queue.id}").result is None
        go_on.touch()
        api.advance(10)
        assert api.get("/queues?name=unbound").result == []
        again = api.queue("unbound")  # the config still names it
        again.push({"n": 1})
        assert api.handled_after_all()[-1]["body"] == {"n": 1}


def test_a_pulled_queue_is_delivered_to_no_worker(tmp_path: Path) -> None:
    """The consumer is there first, then a config names the queue: it is pulled until the pull consumer is removed."""
    with session(tmp_path / "project") as api:
        queue = api.queue("late")
        consumer = queue.post("/consumers", {"type": "http_pull"}).result
        config = tmp_path / "project" / "wrangler.toml"
        config.write_text(config.read_text() + '[[queues.consumers]]\nqueue = "late"\nmax_batch_timeout = 0\n')
        api.server.wait_for("Config changed and applied")
        queue.push({"n": 1}, {"n": 2})
        assert api.handled_after_all() == []
        assert [c["type"] for c in queue.get("/consumers").result] == ["http_pull", "worker"]
        (first,) = queue.pull(batch_size=1, visibility_timeout_ms=20_000)
        api.restart()
        api.server.wait_for('Queue "late" has an HTTP pull consumer')
        assert api.handled_after_all() == []

        assert queue.call("DELETE", f"/consumers/{consumer['consumer_id']}").result is None
        assert [m["body"]["n"] for m in api.handled_after_all()] == [2]
        api.advance(20)  # the lease ends
        assert [(m["body"]["n"], m["attempts"]) for m in api.handled()] == [(2, 1), (1, 2)]
        assert queue.ack(first["lease_id"])["ackCount"] == 0


def test_settings_that_another_process_changes(own_api: Api) -> None:
    """Nothing is kept in memory: the next send and the next batch go by the database."""
    api = own_api
    jobs = api.existing("jobs")
    with closing(sqlite3.connect(api.server.state / "wpy.sqlite", isolation_level=None)) as elsewhere:
        elsewhere.execute("UPDATE queue SET delivery_delay = 30 WHERE name = 'jobs'")
        jobs.push({"n": 1})
        assert api.handled_after_all() == []
        elsewhere.execute("UPDATE queue SET delivery_paused = 1 WHERE name = 'jobs'")
        api.advance(30)
        assert api.handled() == []
        assert jobs.get().result["settings"]["delivery_paused"] is True
        elsewhere.execute("UPDATE queue SET delivery_paused = 0 WHERE name = 'jobs'")
        api.advance(60)  # the session looks after its queues once a minute
        assert len(api.handled()) == 1


def test_a_session_beside_this_one(tmp_path: Path) -> None:
    """Two sessions on one state folder: what is resumed or pushed in one starts its batch in the other."""
    state = tmp_path / "one" / "state"
    with session(tmp_path / "one") as api, session(tmp_path / "two", state=state, config=PRODUCER_ONLY) as other:
        there = Queue(other, "jobs", api.existing("jobs").id)
        there.patch(delivery_paused=True)
        there.push({"n": 1})
        assert api.handled_after_all() == []
        there.patch(delivery_paused=False)
        wait_until(lambda: len(api.handled()) == 1)
        there.push({"n": 2})
        wait_until(lambda: len(api.handled()) == 2)
        assert [p["script"] for p in there.get().result["producers"]] == ["app", "other"]
        assert there.post("/consumers", {"type": "http_pull"}).error["code"] == 11004


PRODUCER_ONLY = """
name = "other"
main = "src/entry.py"
compatibility_date = "2026-03-01"
compatibility_flags = ["python_workers"]
[[queues.producers]]
binding = "JOBS"
queue = "jobs"
"""


def wait_until(condition, within: float = 15.0) -> None:
    """Wait for something that another process does in its own time."""
    tick = threading.Event()
    for _ in range(int(within / 0.02)):
        if condition():
            return
        tick.wait(0.02)
    raise AssertionError(f"not within {within} s")
