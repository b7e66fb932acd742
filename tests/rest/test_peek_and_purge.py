"""Peek, preview, purge by ref, purge of a whole queue and its status."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from .api import Api, bodies


def test_peek_105(api: Api) -> None:
    """105: messages keep their place, and purging by `ref` removes exactly those."""
    queue = api.pull_queue()
    queue.push(*"abcd")
    for _ in range(3):
        peeked = queue.peek()
        assert bodies(peeked) == list("abcd")
        assert [m["attempts"] for m in peeked] == [0] * 4
    assert len({m["ref"] for m in peeked}) == 4
    assert set(peeked[0]) == {"id", "timestamp_ms", "attempts", "body", "metadata", "ref"}
    refs = [{"ref": peeked[n]["ref"]} for n in (0, 2)]
    assert queue.post("/messages/purge", {"refs": refs}).result == {"errors": [], "warnings": {}}
    assert queue.backlog() == (2, 2)
    pulled = queue.pull()
    assert bodies(pulled) == ["b", "d"]
    assert [m["attempts"] for m in pulled] == [1, 1]
    assert [m["id"] for m in pulled] == [peeked[1]["id"], peeked[3]["id"]]


def test_peek_sees_what_is_ready(api: Api) -> None:
    queue = api.pull_queue()
    queue.push("later", delay_seconds=10)
    queue.push("now")
    queue.push("held")
    assert bodies(queue.peek(1)) == ["now"]
    queue.patch(delivery_paused=True)
    assert bodies(queue.peek()) == ["now", "held"]
    queue.patch(delivery_paused=False)
    queue.pull(batch_size=2, visibility_timeout_ms=60_000)
    assert queue.peek() == []
    api.advance(10)
    assert bodies(queue.peek()) == ["later"]
    api.advance(50)
    assert [(m["body"], m["attempts"]) for m in queue.peek()] == [("later", 0), ("now", 1), ("held", 1)]


def test_peek_shows_five_unless_told_otherwise(api: Api) -> None:
    queue = api.queue()
    queue.push(*"abcdefg")
    assert bodies(queue.post("/messages/peek", {}).result["messages"]) == list("abcde")
    assert bodies(queue.post("/messages/peek", raw=b"").result["messages"]) == list("abcde")
    for wrong in (0, 101, "5", None, 1.5):
        refused = queue.post("/messages/peek", {"batch_size": wrong})
        assert (refused.status, refused.error["code"]) == (400, 10207)


def test_peek_leaves_out_what_has_expired(api: Api) -> None:
    queue = api.queue(message_retention_period=60)
    queue.push("old")
    api.advance(61)
    assert queue.peek() == []


def test_refs_that_are_none(api: Api) -> None:
    queue, other = api.pull_queue(), api.pull_queue()
    queue.push(*"ab")
    other.push("c")
    a, b = (m["ref"] for m in queue.peek())
    foreign = other.peek()[0]["ref"]
    (held,) = queue.pull(batch_size=1)
    malformed = [
        "",
        "nix",
        "\ud83e",
        "Ä",
        "MS4y",
        "x" * 5000,
        "OTk5OTk5OTk5OTk5OTk5OTk5OS4" + "MDAwMDAwMDAwMDAwMDAwMDAw",
    ]
    refs = [{"ref": ref} for ref in [*malformed, foreign, a, b, b]]
    result = queue.post("/messages/purge", {"refs": refs}).result
    assert len(result["errors"]) == len(malformed)
    assert set(result["warnings"]) == {foreign, a, b}
    assert queue.backlog() == (1, 1)
    assert other.backlog() == (1, 1)
    assert queue.ack(held["lease_id"])["ackCount"] == 1
    for wrong in ({}, {"refs": None}, {"refs": ["x"]}, {"refs": [{}]}, {"refs": [{"ref": 1}]}):
        assert queue.post("/messages/purge", wrong).error["code"] == 10207


def test_preview(api: Api) -> None:
    """What the dashboard lists: nothing is leased, and what is listed can be acknowledged."""
    queue = api.queue()
    queue.push(*"abc")
    first, second, _ = queue.post("/messages/preview", {}).result["messages"]
    assert bodies(queue.peek()) == list("abc")
    assert queue.ack(first["lease_id"])["ackCount"] == 1
    assert queue.ack(retries=[{"lease_id": second["lease_id"], "delay_seconds": 5}])["retryCount"] == 1
    assert bodies(queue.peek()) == ["c"]
    api.advance(5)
    assert sorted(bodies(queue.peek())) == ["b", "c"]


def test_purge(api: Api) -> None:
    queue = api.pull_queue()
    assert queue.get("/purge").result == {"started_at": "", "completed": "false"}
    queue.push(*"abc")
    queue.push("later", delay_seconds=60)
    (held,) = queue.pull(batch_size=1)
    result = queue.post("/purge", {"delete_messages_permanently": True}).result
    assert result["complete"] is True
    assert (result["queue_id"], result["queue_name"]) == (queue.id, queue.name)
    assert queue.get("/purge").result == {"started_at": result["started_at"], "completed": "true"}
    assert queue.backlog() == (1, 1)
    assert queue.ack(held["lease_id"])["ackCount"] == 1
    assert queue.backlog() == (0, 0)


@pytest.mark.parametrize("body", [{}, {"delete_messages_permanently": False}, {"delete_messages_permanently": 1}, []])
def test_purge_wants_to_be_meant(api: Api, body: object) -> None:
    queue = api.queue()
    queue.push("a")
    refused = queue.post("/purge", raw=json.dumps(body))
    assert (refused.status, refused.error["code"]) == (400, 10026)
    assert queue.backlog() == (1, 1)


def test_purge_of_a_large_backlog(api: Api) -> None:
    """In pieces: the session answers others meanwhile, and nothing is left."""
    queue = api.queue()
    queue.push("a")
    with closing(sqlite3.connect(api.server.state / "wpy.sqlite", isolation_level=None)) as elsewhere:
        elsewhere.execute(
            """
            INSERT INTO message (queue_id, id, content_type, created_ms, entered_ms, visible_ms, body)
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
            SELECT queue_id, randomblob(16), content_type, created_ms, entered_ms, visible_ms + i, body
            FROM message JOIN n WHERE queue_id = (SELECT id FROM queue WHERE name = ?)
            """,
            (queue.name,),
        )
    assert queue.backlog() == (30_001, 30_001)
    assert queue.post("/purge", {"delete_messages_permanently": True}).result["complete"] is True
    assert queue.backlog() == (0, 0)
    assert api.delete(f"/queues/{queue.id}").result is None
