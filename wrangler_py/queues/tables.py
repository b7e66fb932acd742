"""The queues' side of the database: append, claim, settle, next due, counts. The SQL of messages and queues in delivery
stands here; what only the REST API and the commands need stands beside them (admin.py, pull_leases.py, ...).

The functions take the connection of a running transaction (or, for reads, the store), so that several of them can
share one commit. Times are epoch milliseconds, settings are seconds.
"""

from __future__ import annotations

import functools
import os
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, get_args

from msgspec import Struct

from wrangler_py.queues import backlog
from wrangler_py.queues.limits import DEFAULT_DELIVERY_DELAY_SECONDS, DEFAULT_RETENTION_SECONDS
from wrangler_py.queues.message import ContentType, Message, QueueMetrics, Source
from wrangler_py.store.database import Store

_CONTENT_TYPES: tuple[ContentType, ...] = get_args(ContentType)
_CONTENT_TYPE_NUMBER = {name: number for number, name in enumerate(_CONTENT_TYPES)}
_SOURCE_NUMBER = {name: number for number, name in enumerate(get_args(Source))}

_QUEUE_COLUMNS = (
    "id, name, uuid, created_ms, modified_ms, delivery_delay, message_retention_period, delivery_paused, "
    f"{backlog.COLUMNS}"
)
_QUEUE_BY_NAME = f"SELECT {_QUEUE_COLUMNS} FROM queue WHERE name = ?"
_QUEUE_BY_UUID = f"SELECT {_QUEUE_COLUMNS} FROM queue WHERE uuid = ?"
_QUEUES = f"SELECT {_QUEUE_COLUMNS} FROM queue ORDER BY name"
_CREATE_QUEUE = """
    INSERT INTO queue (name, uuid, created_ms, modified_ms, delivery_delay, message_retention_period)
    VALUES (?, ?, ?, ?, ?, ?)
"""
_CLAIM = """
    UPDATE message SET owner = ?, attempts = attempts + 1
    WHERE seq IN (
        SELECT seq FROM message INDEXED BY message_waiting
        WHERE queue_id = ? AND owner = 0 AND visible_ms <= ?
        ORDER BY visible_ms, seq LIMIT ?
    )
    RETURNING seq, id, created_ms, attempts, content_type, body, visible_ms
"""
_PULLED = "SELECT 1 FROM consumer WHERE queue_id = ? AND type = 'http_pull'"
_MESSAGE = "SELECT seq, id, created_ms, attempts, content_type, body FROM message WHERE seq = ? AND owner = ?"
_FIRST_LEASE_END = "SELECT min(until_ms) FROM lease WHERE state = 'open'"
_FIRST_WAITING = """
    SELECT visible_ms FROM message WHERE queue_id = ? AND owner = 0 ORDER BY visible_ms, seq LIMIT ?
"""
_DELETE = "DELETE FROM message WHERE seq = ? AND owner = ?"
_DELETE_RANGE = "DELETE FROM message WHERE seq BETWEEN ? AND ? AND owner = ?"
_RETRY = "UPDATE message SET owner = 0, visible_ms = ? WHERE seq = ? AND owner = ?"
_RELEASE = "UPDATE message SET owner = 0 WHERE seq = ? AND owner = ?"
_UNCLAIM = "UPDATE message SET owner = 0, attempts = attempts - 1 WHERE seq = ? AND owner = ?"
_MOVE = """
    UPDATE message SET queue_id = ?, owner = 0, attempts = 0, died_after = attempts, entered_ms = ?, visible_ms = ?,
        died_in = (SELECT name FROM queue WHERE id = ?)
    WHERE seq = ? AND owner = ?
"""
_HAS_OLD = """
    SELECT 1 FROM message INDEXED BY message_waiting WHERE queue_id = ?1 AND owner = 0 AND visible_ms < ?2
    UNION ALL SELECT 1 FROM message INDEXED BY message_shifted
    WHERE queue_id = ?1 AND owner = 0 AND visible_ms <> entered_ms AND entered_ms < ?2
    LIMIT 1
"""
#: No message is ready before it came in, so whatever was ready before that moment is old, whenever it came.
_EXPIRE_READY = """
    DELETE FROM message WHERE seq IN (
        SELECT seq FROM message INDEXED BY message_waiting
        WHERE queue_id = ?1 AND owner = 0 AND visible_ms < ?2 AND entered_ms < ?2 LIMIT ?3
    ) RETURNING length(body)
"""
_EXPIRE_SHIFTED = """
    DELETE FROM message WHERE seq IN (
        SELECT seq FROM message INDEXED BY message_shifted
        WHERE queue_id = ?1 AND owner = 0 AND visible_ms <> entered_ms AND entered_ms < ?2 LIMIT ?3
    ) RETURNING length(body)
"""
_LATEST_ENTERED = "SELECT max(entered_ms), min(seq), max(seq) FROM message WHERE queue_id = ?"
_SET_BACK = """
    UPDATE message SET entered_ms = entered_ms - :by, visible_ms = visible_ms - :by
    WHERE seq >= :first AND seq < :end AND queue_id = :queue AND entered_ms > :now
"""
_COUNTS = """
    SELECT
        (SELECT count(*) FROM message WHERE queue_id = :queue AND owner = 0 AND visible_ms <= :now),
        (SELECT count(*) FROM message WHERE queue_id = :queue AND owner = 0 AND visible_ms > :now),
        (SELECT count(*) FROM message WHERE queue_id = :queue AND owner <> 0)
"""


class QueueRecord(NamedTuple):  # read several times a batch, and the cheapest to make
    """One queue and its settings."""

    id: int
    name: str
    uuid: str  # 32 hex characters, Cloudflare's `queue_id`
    created_ms: int
    modified_ms: int
    delivery_delay: int
    message_retention_period: int
    delivery_paused: bool
    backlog_count: int
    backlog_bytes: int


class Counts(Struct, frozen=True):
    """Where the messages of a queue are."""

    ready: int
    delayed: int
    in_flight: int


class NewMessage(NamedTuple):
    """A message as it is stored."""

    id: bytes
    content_type: ContentType
    body: bytes
    visible_ms: int
    source: Source = "worker"
    #: The delay that the producer asked for, if any.
    delay_seconds: int | None = None


def find_queue(source: Store | sqlite3.Connection, name: str) -> QueueRecord | None:
    """The queue of that name, or None."""
    rows = (
        source.query(_QUEUE_BY_NAME, (name,)) if isinstance(source, Store) else source.execute(_QUEUE_BY_NAME, (name,))
    )
    for row in rows:
        return QueueRecord._make(row)
    return None


def find_queue_by_uuid(source: Store | sqlite3.Connection, uuid: str) -> QueueRecord | None:
    """The queue with Cloudflare's `queue_id`, or None."""
    rows = (
        source.query(_QUEUE_BY_UUID, (uuid,)) if isinstance(source, Store) else source.execute(_QUEUE_BY_UUID, (uuid,))
    )
    for row in rows:
        return QueueRecord._make(row)
    return None


def all_queues(store: Store) -> list[QueueRecord]:
    """All queues, by name."""
    return [QueueRecord._make(row) for row in store.query(_QUEUES)]


def ensure_queue(
    connection: sqlite3.Connection,
    name: str,
    now_ms: int,
    *,
    delivery_delay: int = DEFAULT_DELIVERY_DELAY_SECONDS,
    message_retention_period: int = DEFAULT_RETENTION_SECONDS,
) -> tuple[QueueRecord, bool]:
    """The queue of that name, created with these settings when it is missing. Second: whether it was created."""
    existing = find_queue(connection, name)
    if existing is not None:
        return existing, False
    values = (name, os.urandom(16).hex(), now_ms, now_ms, delivery_delay, message_retention_period)
    connection.execute(_CREATE_QUEUE, values)
    created = find_queue(connection, name)
    assert created is not None
    return created, True


#: How many messages a statement stores: each one costs as much as two messages, whatever it stores.
_AT_ONCE = (50, 10, 1)
#: What a message binds of its own (`values`).
_OWN = 7


@functools.cache
def _append(count: int) -> str:
    """Stores `count` messages: ?1 is the first one's number, ?2 the time, and what is each one's own comes after."""
    firsts = range(3, 3 + count * _OWN, _OWN)
    rows = [
        f"(?1 + {number}, ?{at}, ?{at + 1}, ?{at + 2}, ?2, ?2, ?{at + 3}, ?{at + 4}, nullif(?{at + 5}, -1), ?{at + 6})"
        for number, at in enumerate(firsts)
    ]
    columns = "seq, queue_id, id, content_type, created_ms, entered_ms, visible_ms, source, delay_seconds, body"
    return f"INSERT INTO message ({columns}) VALUES {', '.join(rows)}"


def append(connection: sqlite3.Connection, queue_id: int, now_ms: int, messages: Sequence[NewMessage]) -> None:
    """Store messages at the end of a queue."""
    last, counted = backlog.last_seq(connection)
    insert(connection, last + 1, now_ms, values(queue_id, messages))
    if last + len(messages) - counted > backlog.UNCOUNTED:
        backlog.count_up(connection)


def values(queue_id: int, messages: Iterable[NewMessage]) -> list[Any]:
    """Messages as `insert` takes them, one after the other."""
    kinds, sources = _CONTENT_TYPE_NUMBER, _SOURCE_NUMBER
    # bytearray, and -1 for None: sqlite3 binds these as they are, while it looks for an adapter of each bytes and None,
    # which takes a third of the whole insert.
    found: list[Any] = []
    for message_id, kind, body, visible_ms, source, delay_seconds in messages:
        found += (
            queue_id,
            bytearray(message_id),
            kinds[kind],
            visible_ms,
            sources[source],
            -1 if delay_seconds is None else delay_seconds,
            bytearray(body),
        )
    return found


def insert(connection: sqlite3.Connection, first_seq: int, now_ms: int, values: list[Any]) -> None:
    """Store messages that came at `now_ms`; `first_seq` is the next number. Whoever calls this counts them up in time
    (backlog.py)."""
    at = 0
    for count in _AT_ONCE:
        while len(values) - at >= count * _OWN:
            these = values[at : at + count * _OWN]
            connection.execute(_append(count), (first_seq + at // _OWN, now_ms, *these))
            at += count * _OWN


def claim(connection: sqlite3.Connection, queue_id: int, owner: int, now_ms: int, limit: int) -> tuple[Message, ...]:
    """Lease up to `limit` ready messages to `owner`, earliest ready first, and count the attempt."""
    rows = connection.execute(_CLAIM, (owner, queue_id, now_ms, limit)).fetchall()
    rows.sort(key=lambda row: (row[6], row[0]))  # RETURNING has no order of its own
    kinds, make = _CONTENT_TYPES, tuple.__new__  # what Message() does, without a call of Python's own for each
    return tuple(
        [
            make(Message, (seq, message_id.hex(), created_ms, attempts, kinds[kind], body))
            for seq, message_id, created_ms, attempts, kind, body, _ in rows
        ]
    )


def held(connection: sqlite3.Connection, seq: int, owner: int) -> Message | None:
    """A message that `owner` holds, or None."""
    for _, message_id, created_ms, attempts, content_type, body in connection.execute(_MESSAGE, (seq, owner)):
        return Message(seq, message_id.hex(), created_ms, attempts, _CONTENT_TYPES[content_type], body)
    return None


def is_pulled(source: Store | sqlite3.Connection, queue_id: int) -> bool:
    """Whether the queue's consumer is an `http_pull` one, so that no Worker gets its messages."""
    rows = source.query(_PULLED, (queue_id,)) if isinstance(source, Store) else source.execute(_PULLED, (queue_id,))
    return any(True for _ in rows)


def first_lease_end(store: Store) -> int | None:
    """When the first lease of a pulled message ends (ms), or None when there are none."""
    first: int | None = store.query(_FIRST_LEASE_END)[0][0]
    return first


def first_waiting(store: Store, queue_id: int, limit: int) -> list[int]:
    """When the first `limit` messages that nobody has leased become (or became) ready, in order."""
    return [row[0] for row in store.query(_FIRST_WAITING, (queue_id, limit))]


def delete(connection: sqlite3.Connection, queue_id: int, owner: int, messages: Iterable[Message]) -> None:
    """Remove messages that `owner` holds: acknowledged or dropped."""
    gone = list(messages)
    backlog.count_up(connection)
    seqs = [message.seq for message in gone]
    first, last = min(seqs, default=0), max(seqs, default=-1)
    if last - first + 1 == len(seqs):  # a batch of what was sent in a row: one statement
        deleted = connection.execute(_DELETE_RANGE, (first, last, owner)).rowcount
    else:
        deleted = connection.executemany(_DELETE, [(seq, owner) for seq in seqs]).rowcount
    if deleted == len(gone):
        backlog.add(connection, queue_id, -len(gone), -sum(len(m.body) for m in gone))
    else:  # a lease was lost to another hand, which counted its own share
        backlog.recount(connection, queue_id)


def retry(connection: sqlite3.Connection, owner: int, messages: Iterable[tuple[Message, int]]) -> None:
    """Give messages back; each becomes ready at its own `visible_ms`."""
    connection.executemany(_RETRY, [(visible_ms, message.seq, owner) for message, visible_ms in messages])


def release(connection: sqlite3.Connection, owner: int, messages: Iterable[Message], *, delivered: bool) -> None:
    """Give messages back as they were before `owner` leased them. The attempt stays counted if they were delivered."""
    connection.executemany(_RELEASE if delivered else _UNCLAIM, [(message.seq, owner) for message in messages])


def move(
    connection: sqlite3.Connection, from_id: int, to: QueueRecord, owner: int, now_ms: int, messages: Iterable[Message]
) -> None:
    """Put messages into another queue (a dead letter queue) with the same id, timestamp and body.

    Attempts and retention begin anew; the message remembers the queue it died in. (Cloudflare docs: Queues > Dead Letter
    Queues: messages persist there for four days, the default retention, before they are deleted.)
    """
    visible_ms = now_ms + to.delivery_delay * 1000
    backlog.count_up(connection)
    backlog.note_entry(connection, now_ms)
    for message in messages:
        if connection.execute(_MOVE, (to.id, now_ms, visible_ms, from_id, message.seq, owner)).rowcount:
            size = len(message.body)
            backlog.add(connection, from_id, -1, -size)
            backlog.add(connection, to.id, 1, size)


def expire(connection: sqlite3.Connection, queue: QueueRecord, now_ms: int, limit: int) -> int:
    """Delete up to `limit` messages that have outlived the queue's retention. Returns how many there were."""
    before_ms = now_ms - queue.message_retention_period * 1000
    if connection.execute(_HAS_OLD, (queue.id, before_ms)).fetchone() is None:  # asked with every batch: be quick
        return 0
    backlog.count_up(connection)
    sizes = [row[0] for row in connection.execute(_EXPIRE_READY, (queue.id, before_ms, limit))]
    sizes += [row[0] for row in connection.execute(_EXPIRE_SHIFTED, (queue.id, before_ms, limit - len(sizes)))]
    if sizes:
        backlog.add(connection, queue.id, -len(sizes), -sum(sizes))
    return len(sizes)


def oldest_entered_ms(store: Store, queue_id: int) -> int | None:
    """When the message that has been in a queue for the longest time came into it, or None when it is empty."""
    found = backlog.oldest(store, queue_id)
    return found[0] if found else None


def latest_entered(store: Store, queue_id: int) -> tuple[int, range] | None:
    """When the last message came into a queue, and between which numbers its messages are; None when the queue is empty.
    Walks all messages."""
    latest_ms, first, last = store.query(_LATEST_ENTERED, (queue_id,))[0]
    return None if latest_ms is None else (latest_ms, range(first, last + 1))


def set_back(queue_id: int, now_ms: int, by_ms: int, first: int, end: int, connection: sqlite3.Connection) -> int:
    """Bring messages that came from the future back by `by_ms`: those with a `seq` from `first` and below `end`.
    Returns how many there were."""
    parameters = {"queue": queue_id, "now": now_ms, "by": by_ms, "first": first, "end": end}
    return connection.execute(_SET_BACK, parameters).rowcount


def oldest_ms(source: Store | sqlite3.Connection, queue_id: int) -> int | None:
    """When the message that has been in a queue for the longest time was sent, or None when the queue is empty."""
    found = backlog.oldest(source, queue_id)
    return found[1] if found else None


def metrics_beside(connection: sqlite3.Connection, record: QueueRecord, batch: Sequence[Message]) -> QueueMetrics:
    """Backlog of a queue without the messages of a batch that was just claimed from it."""
    count = max(0, record.backlog_count - len(batch))
    if not count:
        return QueueMetrics(0, 0, None)
    oldest = backlog.oldest_beside(connection, record.id, {message.seq for message in batch})
    return QueueMetrics(count, max(0, record.backlog_bytes - sum(len(m.body) for m in batch)), oldest)


def metrics(source: Store | sqlite3.Connection, queue: str) -> QueueMetrics:
    """Backlog of a queue: ready, delayed and in flight; zeros for one that does not exist."""
    record = find_queue(source, queue)
    if record is None:
        return QueueMetrics(0, 0, None)
    return QueueMetrics(record.backlog_count, record.backlog_bytes, oldest_ms(source, record.id))


def counts(store: Store, queue_id: int, now_ms: int) -> Counts:
    """How many messages are ready, delayed and in flight. Walks the queue: for commands, not for the loop."""
    (row,) = store.query(_COUNTS, {"queue": queue_id, "now": now_ms})
    return Counts(*row)
