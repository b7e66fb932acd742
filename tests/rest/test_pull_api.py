"""Pull consumers: leases, their end, acknowledgements. Numbers are cases of the conformance list."""

from __future__ import annotations

import base64
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from .api import START_MS, Api, bodies, session


def test_pull_needs_an_http_pull_consumer_96(api: Api) -> None:
    """96"""
    queue = api.queue()
    refused = queue.post("/messages/pull", {})
    assert refused.status == 405
    assert refused.error["message"] == "messages cannot be pulled unless http_pull mode is enabled"
    assert api.existing("jobs").post("/messages/pull", {}).status == 405


def test_bodies_97(api: Api) -> None:
    """97: JSON comes as base64, text as it is."""
    queue = api.pull_queue()
    queue.push({"a": "ä"}, "plain ä")
    as_json, as_text = queue.pull()
    assert json.loads(base64.b64decode(as_json["body"])) == {"a": "ä"}
    assert as_json["metadata"]["CF-Content-Type"] == "json"
    assert as_text["body"] == "plain ä"
    assert as_text["metadata"]["CF-Content-Type"] == "text"


def test_a_batch_98(api: Api) -> None:
    """98"""
    queue = api.pull_queue()
    queue.push(*"abcde")
    result = queue.post("/messages/pull", {"batch_size": 2, "visibility_timeout_ms": 60_000}).result
    assert bodies(result["messages"]) == ["a", "b"]
    assert result["message_backlog_count"] == 5
    assert result["metadata"]["metrics"]["backlog_bytes"] == 5
    first, second = result["messages"]
    assert first["lease_id"] != second["lease_id"]
    assert first["attempts"] == second["attempts"] == 1
    assert len(first["id"]) == 32 and first["timestamp_ms"] >= START_MS
    assert bodies(queue.pull()) == ["c", "d", "e"]
    assert queue.pull() == []


def test_five_unless_told_otherwise(api: Api) -> None:
    queue = api.pull_queue()
    queue.push(*"abcdefgh")
    assert bodies(queue.post("/messages/pull", raw=b"").result["messages"]) == list("abcde")
    other = api.pull_queue(batch_size=7)
    other.push(*"abcdefgh")
    assert bodies(other.pull()) == list("abcdefg")
    assert bodies(other.pull(batch_size=100)) == ["h"]


def test_the_end_of_a_lease_99(api: Api) -> None:
    """99: another delivery, with another lease."""
    queue = api.pull_queue()
    queue.push("a")
    (first,) = queue.pull(visibility_timeout_ms=10_000)
    api.advance(9.999)
    assert queue.pull() == []
    api.advance(0.001)
    (second,) = queue.pull()
    assert (second["id"], second["attempts"]) == (first["id"], 2)
    assert second["timestamp_ms"] == first["timestamp_ms"]
    assert second["lease_id"] != first["lease_id"]


def test_how_long_a_lease_lasts(api: Api) -> None:
    """The request's timeout, else the consumer's, else 30 s; `visibility_timeout` is its older name."""
    for queue, options, seconds in [
        (api.pull_queue(), {}, 30),
        (api.pull_queue(visibility_timeout_ms=7_000), {}, 7),
        (api.pull_queue(visibility_timeout_ms=7_000), {"visibility_timeout_ms": 3_000}, 3),
        (api.pull_queue(), {"visibility_timeout": 4_000}, 4),
        (api.pull_queue(), {"visibility_timeout_ms": 43_200_000}, 43_200),
    ]:
        queue.push("a")
        assert len(queue.pull(**options)) == 1
        api.advance(seconds - 0.001)
        assert queue.pull(**options) == []
        api.advance(0.001)
        assert len(queue.pull(**options)) == 1


def test_a_lease_of_no_length(api: Api) -> None:
    queue = api.pull_queue()
    queue.push("a")
    assert queue.pull(visibility_timeout_ms=0)[0]["attempts"] == 1
    (again,) = queue.pull(visibility_timeout_ms=0)
    assert again["attempts"] == 2
    assert queue.ack(again["lease_id"])["ackCount"] == 1


def test_ack_100(api: Api) -> None:
    """100: also late, and also when somebody else has the message by now."""
    queue = api.pull_queue()
    queue.push(*"abc")
    a, b, c = queue.pull(visibility_timeout_ms=1_000)
    assert queue.ack(a["lease_id"]) == {"ackCount": 1, "retryCount": 0, "warnings": {}}
    api.advance(2)
    assert queue.ack(b["lease_id"]) == {"ackCount": 1, "retryCount": 0, "warnings": {}}
    (again,) = queue.pull()
    assert again["id"] == c["id"]
    assert queue.ack(c["lease_id"])["ackCount"] == 1
    api.advance(60)
    assert queue.pull() == []
    assert queue.backlog() == (0, 0)
    late = queue.ack(again["lease_id"])
    assert late["ackCount"] == 0 and list(late["warnings"]) == [again["lease_id"]]


def test_retry_101(api: Api) -> None:
    """101"""
    queue = api.pull_queue()
    queue.push("a")
    (message,) = queue.pull()
    assert queue.ack(retries=[{"lease_id": message["lease_id"], "delay_seconds": 2}]) == {
        "ackCount": 0,
        "retryCount": 1,
        "warnings": {},
    }
    api.advance(1.999)
    assert queue.pull() == []
    api.advance(0.001)
    assert queue.pull()[0]["attempts"] == 2


def test_delay_of_a_retry(api: Api) -> None:
    """The retry's own delay, else the consumer's; an explicit 0 counts."""
    queue = api.pull_queue(retry_delay=5)
    queue.push(*"ab")
    a, b = queue.pull()
    assert queue.ack(retries=[{"lease_id": a["lease_id"]}, {"lease_id": b["lease_id"], "delay_seconds": 0}])
    assert bodies(queue.pull()) == ["b"]
    api.advance(5)
    assert bodies(queue.pull()) == ["a"]
    for wrong, code in [(-1, 10203), (86_401, 10203), (1.5, 10207), ("1", 10207)]:
        body = {"retries": [{"lease_id": a["lease_id"], "delay_seconds": wrong}]}
        refused = queue.post("/messages/ack", body)
        assert (refused.status, refused.error["code"]) == (400, code)


def test_nothing_there_102(api: Api) -> None:
    """102"""
    queue = api.pull_queue()
    assert queue.post("/messages/pull", {}).result == {
        "message_backlog_count": 0,
        "messages": [],
        "metadata": {"metrics": {"backlog_bytes": 0, "backlog_count": 0, "oldest_message_timestamp_ms": 0}},
    }


def test_paused_103(api: Api) -> None:
    """103"""
    queue = api.pull_queue()
    queue.push("a")
    (message,) = queue.pull()
    queue.push("b")
    queue.patch(delivery_paused=True)
    refused = queue.post("/messages/pull", {})
    assert (refused.status, refused.error["message"]) == (409, "queue_delivery_paused")
    assert queue.ack(message["lease_id"])["ackCount"] == 1
    queue.patch(delivery_paused=False)
    assert bodies(queue.pull()) == ["b"]


def test_leases_that_are_none_104(api: Api) -> None:
    """104: unknown, foreign, settled and malformed ones are warned of, each by its id; the others are settled."""
    queue, other = api.pull_queue(), api.pull_queue()
    queue.push(*"ab")
    other.push("c")
    a, b = (m["lease_id"] for m in queue.pull())
    (foreign,) = (m["lease_id"] for m in other.pull())
    strange = ["nix", "", "0" * 32, "\ud83e", "a" * 5000, "'; DROP TABLE lease; --", "Ä", foreign]
    answer = queue.post("/messages/ack", {"acks": [{"lease_id": lease} for lease in [*strange, a, a]]})
    assert answer.status == 200
    assert answer.result["ackCount"] == 1
    assert set(answer.result["warnings"]) == {*strange, a}
    assert answer.result["warnings"][foreign] == "lease belongs to another queue"
    assert other.ack(foreign)["ackCount"] == 1
    both = queue.ack(b, retries=[{"lease_id": b}])
    assert (both["ackCount"], both["retryCount"], list(both["warnings"])) == (1, 0, [b])
    assert queue.backlog() == other.backlog() == (0, 0)


def test_a_retried_lease_is_spent(api: Api) -> None:
    queue = api.pull_queue()
    queue.push("a")
    (first,) = queue.pull()
    queue.ack(retries=[{"lease_id": first["lease_id"]}])
    for spent in (queue.ack(first["lease_id"]), queue.ack(retries=[{"lease_id": first["lease_id"]}])):
        assert (spent["ackCount"], spent["retryCount"]) == (0, 0)
        assert list(spent["warnings"]) == [first["lease_id"]]
    (second,) = queue.pull()
    assert queue.ack(first["lease_id"])["ackCount"] == 0
    assert queue.ack(second["lease_id"])["ackCount"] == 1


def test_a_late_retry(api: Api) -> None:
    """It delays what is waiting again, and takes nothing from somebody else's hands."""
    queue = api.pull_queue()
    queue.push("a")
    (first,) = queue.pull(visibility_timeout_ms=1_000)
    api.advance(1)
    assert queue.ack(retries=[{"lease_id": first["lease_id"], "delay_seconds": 5}])["retryCount"] == 1
    assert queue.pull() == []
    api.advance(5)
    (second,) = queue.pull(visibility_timeout_ms=1_000)
    api.advance(1)
    (third,) = queue.pull()
    lost = queue.ack(retries=[{"lease_id": second["lease_id"]}])
    assert (lost["retryCount"], list(lost["warnings"])) == (0, [second["lease_id"]])
    assert queue.pull() == []
    assert queue.ack(third["lease_id"])["ackCount"] == 1


@pytest.mark.parametrize("how", ["expiry", "retry"])
def test_out_of_retries(api: Api, how: str) -> None:
    """N retries are N + 1 deliveries, then the dead letter queue, with the same id and timestamp."""
    dead = api.pull_queue()
    queue = api.pull_queue(max_retries=2, dead_letter_queue=dead.name)
    queue.push({"a": 1})
    for attempt in (1, 2, 3):
        (message,) = queue.pull(visibility_timeout_ms=1_000)
        assert message["attempts"] == attempt
        if how == "retry":
            assert queue.ack(retries=[{"lease_id": message["lease_id"]}])["retryCount"] == 1
        api.advance(1)
    assert queue.backlog() == (0, 0)
    (letter,) = dead.pull()
    assert {k: letter[k] for k in ("id", "timestamp_ms", "body")} == {
        k: message[k] for k in ("id", "timestamp_ms", "body")
    }
    assert letter["attempts"] == 1
    assert queue.ack(message["lease_id"])["ackCount"] == 0
    assert dead.backlog() == (1, 7)


def test_out_of_retries_without_a_dead_letter_queue(own_api: Api) -> None:
    queue = own_api.pull_queue(max_retries=0)
    queue.push("a")
    (message,) = queue.pull(visibility_timeout_ms=1_000)
    own_api.advance(1)
    assert queue.backlog() == (0, 0)
    own_api.server.wait_for(f'Dropped message "{message["id"]}" on queue "{queue.name}" after 1 failed attempt!')


def test_a_dead_letter_queue_consumed_by_the_worker(own_api: Api) -> None:
    """The end of a lease starts the consumer's batch, on the clock and without another call."""
    queue = own_api.pull_queue(max_retries=0, dead_letter_queue="jobs")
    queue.push({"a": 1})
    queue.pull(visibility_timeout_ms=20_000)
    own_api.advance(19.9)
    assert own_api.handled() == []
    own_api.advance(0.1)
    (got,) = own_api.handled()
    assert (got["queue"], got["body"], got["attempts"]) == ("jobs", {"a": 1}, 1)


def test_delayed_messages_are_not_pulled(api: Api) -> None:
    queue = api.pull_queue()
    queue.push("a", delay_seconds=10)
    assert queue.pull() == []
    api.advance(10)
    (message,) = queue.pull()
    assert message["metadata"]["CF-msg-delay-secs"] == "10"


def test_retention_72(api: Api) -> None:
    """72, for pull consumers: what is too old is neither delivered nor dead-lettered."""
    queue = api.pull_queue()
    queue.patch(message_retention_period=60)
    queue.push("old")
    api.advance(55)
    queue.push("new")
    api.advance(6)
    assert bodies(queue.pull()) == ["new"]
    assert queue.backlog() == (1, 3)


def test_leases_outlive_the_session(tmp_path: Path) -> None:
    with session(tmp_path / "project") as api:
        queue = api.pull_queue()
        queue.push(*"ab")
        a, b = queue.pull(visibility_timeout_ms=60_000)
        api.restart()
        assert queue.pull() == []
        assert queue.ack(a["lease_id"])["ackCount"] == 1
        api.advance(60)
        (again,) = queue.pull()
        assert (again["id"], again["attempts"]) == (b["id"], 2)


def test_leases_outlive_a_kill(tmp_path: Path) -> None:
    with session(tmp_path / "project") as api:
        queue = api.pull_queue(max_retries=0, dead_letter_queue="dead")
        queue.push("a")
        queue.pull(visibility_timeout_ms=60_000)
        api.restart(kill=True)
        assert queue.pull() == []
        assert queue.backlog() == (1, 1)
        api.advance(60)
        assert queue.backlog() == (0, 0)
        assert api.existing("dead").backlog() == (1, 1)


def test_why_each_message_was_settled(own_api: Api) -> None:
    """The record of batches has pulled messages too: by which call, or that their lease had expired."""
    queue = own_api.pull_queue(max_retries=0, dead_letter_queue="dead")
    queue.push(*"abc")
    a, b, c = queue.pull(visibility_timeout_ms=60_000)
    queue.ack(a["lease_id"], retries=[{"lease_id": b["lease_id"]}])
    own_api.advance(60)
    with closing(sqlite3.connect(own_api.server.state / "wpy.sqlite")) as connection:
        rows = connection.execute("SELECT queue, worker, outcome, settlements FROM batch ORDER BY id").fetchall()
    assert [row[:3] for row in rows] == [(queue.name, "http_pull", "ok"), (queue.name, "http_pull", "leaseExpired")]
    assert [json.loads(row[3]) for row in rows] == [
        [
            [a["id"], 1, "ack", "acknowledged by its lease", None, 0],
            [b["id"], 1, "dead_letter", "retried by its lease", None, 0],
        ],
        [[c["id"], 1, "dead_letter", "lease expired", None, 0]],
    ]


def test_many_pullers_get_disjoint_messages(api: Api) -> None:
    queue = api.pull_queue()
    batch = {"messages": [{"body": {"n": n}} for n in range(100)]}
    assert queue.post("/messages/batch", batch).result
    with ThreadPoolExecutor(8) as pool:
        pulled = [m for part in pool.map(lambda _: queue.pull(batch_size=7), range(20)) for m in part]
    assert len(pulled) == 100
    assert len({m["id"] for m in pulled}) == len({m["lease_id"] for m in pulled}) == 100


def test_many_acks_of_one_lease(api: Api) -> None:
    """One of them settles it, whoever is first."""
    queue = api.pull_queue()
    queue.push("a")
    (message,) = queue.pull()
    lease = message["lease_id"]

    def settle(number: int) -> dict:
        return queue.ack(lease) if number % 2 else queue.ack(retries=[{"lease_id": lease, "delay_seconds": 60}])

    with ThreadPoolExecutor(8) as pool:
        settled = list(pool.map(settle, range(16)))
    assert sum(s["ackCount"] + s["retryCount"] for s in settled) == 1
    assert sum(len(s["warnings"]) for s in settled) == 15
    assert queue.backlog()[0] == sum(s["retryCount"] for s in settled)


@pytest.mark.parametrize(
    "body",
    [
        {"batch_size": 0},
        {"batch_size": 101},
        {"batch_size": -1},
        {"batch_size": 1.5},
        {"batch_size": "5"},
        {"batch_size": None},
        {"batch_size": 1e300},
        {"visibility_timeout_ms": -1},
        {"visibility_timeout_ms": 43_200_001},
        {"visibility_timeout_ms": "5"},
        {"visibility_timeout": -1},
        [],
        "x",
        5,
    ],
)
def test_absurd_pulls(api: Api, body: object) -> None:
    queue = api.pull_queue()
    queue.push("a")
    refused = queue.post("/messages/pull", raw=json.dumps(body))
    assert (refused.status, refused.error["code"]) == (400, 10207)
    assert queue.peek()[0]["attempts"] == 0
    assert queue.pull(batch_size=5.0)[0]["attempts"] == 1


@pytest.mark.parametrize(
    "body",
    [{"acks": {}}, {"acks": [5]}, {"acks": [{}]}, {"acks": [{"lease_id": 5}]}, {"acks": ["x"]}, {"retries": None}, []],
)
def test_absurd_acks(api: Api, body: object) -> None:
    refused = api.pull_queue().post("/messages/ack", raw=json.dumps(body))
    assert (refused.status, refused.error["code"]) == (400, 10207)


def test_an_ack_of_nothing(api: Api) -> None:
    assert api.pull_queue().post("/messages/ack", {}).result == {"ackCount": 0, "retryCount": 0, "warnings": {}}
