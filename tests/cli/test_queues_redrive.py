"""`wpy queues redrive`: dead letters go back to where they died. The state is made by the broker's own statements."""

import os
import signal
import sys
import time

import pytest

from wrangler_py.clock import SystemClock
from wrangler_py.queues import tables
from wrangler_py.queues.tables import NewMessage

NOBODY = "0" * 32


def die(project, source: str, *bodies: bytes, into: str = "dead", kind="json") -> list[str]:
    """Messages of `source` run out of retries and are moved to `into`, as a session does it. Returns their ids."""
    now = SystemClock().now_ms() - 1_000

    def work(connection):
        queue, _ = tables.ensure_queue(connection, source, now)
        target, _ = tables.ensure_queue(connection, into, now)
        new = [NewMessage(os.urandom(16), kind, body, now) for body in bodies]
        tables.append(connection, queue.id, now, new)
        claimed = tables.claim(connection, queue.id, 1, now, len(bodies))
        assert len(claimed) == len(bodies)
        tables.move(connection, queue.id, target, 1, now, claimed)
        return [message.id for message in claimed]

    with project.store() as store:
        return store.write(work)


def backlogs(project) -> dict[str, tuple[int, int]]:
    with project.store() as store:
        return {record.name: (record.backlog_count, record.backlog_bytes) for record in tables.all_queues(store)}


def test_each_goes_back_to_where_it_died(project):
    one, two = die(project, "one", b"1", b"22"), die(project, "two", b"333")
    done = project.queues("redrive", "dead", "--all")
    assert (done.code, done.lines) == (
        0,
        [
            '2 messages went from queue "dead" to queue "one".',
            '1 message went from queue "dead" to queue "two".',
        ],
    )
    assert [m["id"] for m in project.peek("one")] == one
    assert [(m["id"], m["attempts"], m["state"], m["died_in"]) for m in project.peek("two")] == [
        (two[0], 0, "ready", None)
    ]
    assert backlogs(project) == {"dead": (0, 0), "one": (2, 3), "two": (1, 3)}


def test_a_dead_letter_keeps_how_often_it_was_tried_before(project):
    die(project, "one", b"1")
    assert [(m["attempts"], m["died_in"], m["died_after"]) for m in project.peek("dead")] == [(0, "one", 1)]
    assert "0 attempts here" in (shown := project.queues("peek", "dead").out) and "died in one after 1 attempt" in shown
    project.queues("redrive", "dead", "--all")
    assert [m["died_after"] for m in project.peek("one")] == [None]


def test_the_delivery_delay_of_the_queue_counts(project):
    die(project, "one", b"1")
    project.queues("update", "one", "--delivery-delay-secs", "600")
    project.queues("redrive", "dead", "--all")
    assert project.peek("one")[0]["state"] == "delayed"


def test_to_another_queue(project):
    die(project, "one", b"1")
    project.queues("create", "other")
    done = project.queues("redrive", "dead", "--all", "--to", "other", "--json")
    assert done.json["moved"] == {"other": 1}
    assert project.bodies("other") == [1]


def test_dry_run_moves_nothing(project):
    die(project, "one", b"1", b"2")
    done = project.queues("redrive", "dead", "--all", "--dry-run")
    assert done.lines == ['2 messages would go from queue "dead" to queue "one".']
    assert project.queues("redrive", "dead", "--all", "--dry-run", "--json").json == {
        "queue_name": "dead",
        "dry_run": True,
        "count": 2,
        "moved": {"one": 2},
        "in_flight": 0,
        "filtered": 0,
        "expired": 0,
        "without_source": 0,
        "unknown": [],
        "missing_queues": {},
    }
    assert backlogs(project)["dead"] == (2, 2)


def test_by_id(project):
    ids = die(project, "one", b"1", b"2", b"3")
    done = project.queues("redrive", "dead", "--id", ids[1], "--id", NOBODY, "--id", ids[1])
    assert done.code == 1
    assert done.lines == ['1 message went from queue "dead" to queue "one".']
    assert f'Message {NOBODY} is not in queue "dead".' in done.err
    assert project.bodies("one") == [2]


class TestFilter:
    BODIES = (
        b'{"user":{"id":7,"email":"ada@example.com"},"tags":["new","vip"]}',
        b'{"user":{"id":"7"},"ok":true}',
        b'{"user":{"id":8},"ok":1,"tags":[]}',
        b'"hello"',
        b"null",
    )

    @pytest.mark.parametrize(
        ("filters", "picked"),
        [
            (["user.id=7"], [0, 1]),
            (['user.id="7"'], [1]),
            (["user.id=7.0"], [0]),
            (["user.email=ada@example.com"], [0]),
            (["ok=true"], [1]),
            (["ok=1"], [2]),
            (["tags.1=vip"], [0]),
            (["tags=[]"], [2]),
            (["tags.9=x"], []),
            (['user={"id": 8}'], [2]),
            ([".=hello"], [3]),
            ([".=null"], [4]),
            (["user.id=7", "ok=true"], [1]),
            (["nowhere="], []),
        ],
    )
    def test_json(self, project, filters, picked):
        die(project, "one", *self.BODIES)
        options = [part for text in filters for part in ("--filter", text)]
        done = project.queues("redrive", "dead", *options, "--json")
        assert done.json["count"] == len(picked)
        assert done.json["filtered"] == len(self.BODIES) - len(picked)
        with project.store() as store:
            record = tables.find_queue(store, "one")
            rows = store.query("SELECT body FROM message WHERE queue_id = ? ORDER BY seq", (record.id,))
        assert [body for (body,) in rows] == [self.BODIES[i] for i in picked]

    def test_text(self, project):
        die(project, "one", b"hello there", b"7", kind="text")
        assert project.queues("redrive", "dead", "--filter", ".=hello there", "--json").json["count"] == 1
        assert project.queues("redrive", "dead", "--filter", ".=7", "--json").json["count"] == 1

    @pytest.mark.parametrize("text", ["user.id", "=7"])
    def test_malformed(self, project, text):
        die(project, "one", b"1")
        assert project.queues("redrive", "dead", "--filter", text).code == 2


class TestWhatCannotGoBack:
    def test_nobody_knows_where_it_came_from(self, project):
        project.queues("create", "dead")
        project.queues("send", "dead", "1")
        done = project.queues("redrive", "dead", "--all")
        assert (done.code, done.lines) == (1, ['No message went from queue "dead".'])
        assert "Nobody knows where 1 message came from. Say where they shall go: --to QUEUE" in done.err
        assert project.queues("redrive", "dead", "--all", "--to", "dead").code == 1

    def test_the_only_queue_whose_dead_letters_come_here(self, project):
        """For messages of a time before their queue was recorded."""
        project.toml('[[queues.consumers]]\nqueue = "jobs"\ndead_letter_queue = "dead"\n')
        project.queues("send", "dead", "1")
        assert project.queues("redrive", "dead", "--all").lines == ['1 message went from queue "dead" to queue "jobs".']

    def test_its_queue_is_gone(self, project):
        die(project, "one", b"1")
        project.queues("delete", "one")
        done = project.queues("redrive", "dead", "--all")
        assert done.code == 1
        assert '1 message came from queue "one", which does not exist any more.' in done.err
        assert "wpy queues create one" in done.err
        assert backlogs(project) == {"dead": (1, 1)}
        project.queues("create", "one")
        assert project.queues("redrive", "dead", "--all").code == 0
        assert project.bodies("one") == [1]

    def test_what_is_in_flight_or_expired_is_left(self, project):
        die(project, "one", b"1", b"2", b"3")
        with project.store() as store:
            store.write(lambda c: c.execute("UPDATE message SET owner = 7 WHERE seq = 1"))
            store.write(lambda c: c.execute("UPDATE message SET entered_ms = 0 WHERE seq = 2"))
        done = project.queues("redrive", "dead", "--all")
        assert done.lines == ['1 message went from queue "dead" to queue "one".']
        assert "being delivered just now" in done.err
        assert "outlived the queue's retention" in done.err
        assert project.bodies("one") == [3]

    def test_a_target_that_does_not_exist(self, project):
        die(project, "one", b"1")
        done = project.queues("redrive", "dead", "--all", "--to", "onee")
        assert done.code == 1
        assert 'Did you mean "one"?' in done.err


@pytest.mark.parametrize(
    "arguments", [(), ("--all", "--id", NOBODY), ("--all", "--rate", "fast"), ("--all", "--rate", "0/s")]
)
def test_command_lines_that_cannot_be_understood(project, arguments):
    die(project, "one", b"1")
    assert project.queues("redrive", "dead", *arguments).code == 2
    assert backlogs(project)["dead"] == (1, 1)


def test_many_and_oldest_first(project):
    die(project, "one", *[b"%d" % n for n in range(3_000)])
    assert project.queues("redrive", "dead", "--all", "--json").json["count"] == 3_000
    with project.store() as store:
        rows = store.query("SELECT body FROM message ORDER BY entered_ms, visible_ms, seq")
    assert [int(body) for (body,) in rows] == list(range(3_000))
    assert backlogs(project)["one"][0] == 3_000


def test_rate(project):
    die(project, "one", *[b"1"] * 21)
    started = time.monotonic()
    done = project.queues("redrive", "dead", "--all", "--rate", "20/s", "--json")
    assert done.json["count"] == 21
    assert 0.9 < time.monotonic() - started < 20


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_interrupted(project):
    die(project, "one", *[b"1"] * 100)
    process = project.start("queues", "redrive", "dead", "--all", "--rate", "5/s")
    try:
        deadline = time.monotonic() + 30
        while not backlogs(project)["one"][0]:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    moved = backlogs(project)["one"][0]
    assert 0 < moved < 100
    assert backlogs(project)["dead"][0] == 100 - moved
    assert f"Stopped: {moved} of 100 messages went back".encode() in err
