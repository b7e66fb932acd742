"""Leases of pulled messages in the database: given, ended in time, acknowledged, retried.

The functions take the connection of a running transaction. What they did that others are to hear of once it is committed,
they put down in `Doings`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import get_args

from msgspec import Struct, field

from wrangler_py.queues import backlog, consumers, history, limits, tables
from wrangler_py.queues.consumers import QueueConsumerInfo
from wrangler_py.queues.history import BatchRun
from wrangler_py.queues.message import Message, Source
from wrangler_py.queues.settlement import Settlement, after_failure
from wrangler_py.queues.tables import QueueRecord

#: The owner of a message that a pull consumer holds: no session, whose numbers begin at 1.
PULL_OWNER = -1
#: What the record of batches has in place of a Worker.
_PULLER = "http_pull"
#: Leases ended in one transaction; more would stall the loop.
_CHUNK = 5_000

_SOURCES = get_args(Source)

_GIVE = "INSERT INTO lease (id, queue_id, seq, state, until_ms) VALUES (?, ?, ?, ?, ?)"
_FIND = "SELECT queue_id, seq, state FROM lease WHERE id = ?"
_CLOSE = "UPDATE lease SET state = ? WHERE id = ?"
_FORGET = "DELETE FROM lease WHERE seq = ?"
_FORGET_GONE = "DELETE FROM lease WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.seq = lease.seq)"
_SHORTEN = "UPDATE lease SET until_ms = :until WHERE state = 'open' AND until_ms > :until"
_ENDED = """
    SELECT lease.id, lease.seq, lease.until_ms, queue.name FROM lease JOIN queue ON queue.id = lease.queue_id
    WHERE state = 'open' AND until_ms <= ? ORDER BY until_ms LIMIT ?
"""
_EXTRAS = "SELECT source, delay_seconds FROM message WHERE seq = ?"
_WHERE = "SELECT queue_id, owner FROM message WHERE seq = ?"
_DELETE = "DELETE FROM message WHERE seq = ?"
_DELAY = "UPDATE message SET visible_ms = ? WHERE seq = ?"


class PulledMessage(Struct, frozen=True):
    """A message under a lease."""

    message: Message
    lease_id: str
    source: Source
    delay_seconds: int | None


class Acked(Struct):
    """What became of leases that were acknowledged or retried."""

    acks: int = 0
    retries: int = 0
    #: By lease id: why it could not be settled.
    warnings: dict[str, str] = field(default_factory=dict)

    def add(self, other: Acked) -> None:
        self.acks += other.acks
        self.retries += other.retries
        self.warnings.update(other.warnings)


class Doings(Struct):
    """What others are to hear of."""

    #: By queue: when messages are ready that came back into it or were dead-lettered there (ms).
    ready: dict[str, list[int]] = field(default_factory=dict)
    #: (queue, its dead letter queue, what happened to a message)
    settled: list[tuple[str, str | None, Settlement]] = field(default_factory=list)
    #: Dead letter queues that had to be created.
    created: list[str] = field(default_factory=list)

    def record(self, connection: sqlite3.Connection, outcome: str, now_ms: int) -> None:
        """Remember what happened to the messages, and why."""
        by_queue: dict[str, list[Settlement]] = {}
        for queue, _, settlement in self.settled:
            by_queue.setdefault(queue, []).append(settlement)
        for queue, settlements in by_queue.items():
            history.record(connection, queue, BatchRun(_PULLER, now_ms, 0, outcome, None), settlements)


def tidy(connection: sqlite3.Connection, now_ms: int) -> None:
    """What a start finds: ended leases whose messages went another way, and leases given by a clock that was ahead."""
    connection.execute(_FORGET_GONE)
    connection.execute(_SHORTEN, {"until": now_ms + limits.MAX_VISIBILITY_TIMEOUT_MS})


def give(
    connection: sqlite3.Connection, record: QueueRecord, messages: Sequence[Message], until_ms: int, state: str = "open"
) -> list[PulledMessage]:
    """Lease messages that were claimed. State "expired": a lease that hides nothing, and can be settled."""
    pulled = []
    for message in messages:
        lease = os.urandom(16)
        connection.execute(_GIVE, (lease, record.id, message.seq, state, until_ms))
        source, delay_seconds = connection.execute(_EXTRAS, (message.seq,)).fetchone()
        pulled.append(PulledMessage(message, lease.hex(), _SOURCES[source], delay_seconds))
    return pulled


def end(connection: sqlite3.Connection, now_ms: int) -> Doings:
    """End the leases whose time is over."""
    doings = Doings()
    for lease, seq, until_ms, queue in connection.execute(_ENDED, (now_ms, _CHUNK)).fetchall():
        connection.execute(_CLOSE, ("expired", lease))
        message = tables.held(connection, seq, PULL_OWNER)
        record = tables.find_queue(connection, queue)
        if message is not None and record is not None:
            consumer = consumers.pull_consumer(connection, record)
            _again(connection, record, consumer, message, until_ms, now_ms, "lease expired", doings)
    doings.record(connection, "leaseExpired", now_ms)
    return doings


def settle(
    connection: sqlite3.Connection,
    record: QueueRecord,
    acks: Sequence[str],
    retries: Sequence[tuple[str, int | None]],
    now_ms: int,
) -> tuple[Acked, Doings]:
    """Acknowledge and retry leases; a retry with its own delay (seconds), or the consumer's."""
    acked, doings = Acked(), Doings()
    for lease_id in acks:
        _ack(connection, record, lease_id, acked, doings)
    consumer = consumers.pull_consumer(connection, record)
    for lease_id, delay in retries:
        seconds = delay if delay is not None else consumer.settings.retry_delay if consumer is not None else 0
        _retry(connection, record, consumer, lease_id, seconds, now_ms, acked, doings)
    doings.record(connection, "ok", now_ms)
    return acked, doings


def _ack(connection: sqlite3.Connection, record: QueueRecord, lease_id: str, acked: Acked, doings: Doings) -> None:
    lease = _settleable(connection, record, lease_id, acked)
    if lease is None:
        return
    seq, _, owner = lease
    message = tables.held(connection, seq, owner)
    assert message is not None, "it was there a moment ago"
    backlog.count_up(connection)
    connection.execute(_DELETE, (seq,))
    connection.execute(_FORGET, (seq,))
    backlog.add(connection, record.id, -1, -len(message.body))
    doings.settled.append((record.name, None, Settlement(message, "ack", 0, "acknowledged by its lease")))
    acked.acks += 1


def _retry(
    connection: sqlite3.Connection,
    record: QueueRecord,
    consumer: QueueConsumerInfo | None,
    lease_id: str,
    seconds: int,
    now_ms: int,
    acked: Acked,
    doings: Doings,
) -> None:
    lease = _settleable(connection, record, lease_id, acked)
    if lease is None:
        return
    seq, state, owner = lease
    ready_ms = now_ms + seconds * 1000
    if state == "expired":  # it is ready already, unless another delivery has begun
        if owner != 0:
            acked.warnings[lease_id] = limits.LEASE_LOST
            return
        connection.execute(_DELAY, (ready_ms, seq))
        doings.ready.setdefault(record.name, []).append(ready_ms)
    else:
        message = tables.held(connection, seq, PULL_OWNER)
        assert message is not None, "an open lease holds its message"
        _again(connection, record, consumer, message, ready_ms, now_ms, "retried by its lease", doings)
    connection.execute(_CLOSE, ("settled", bytes.fromhex(lease_id)))
    acked.retries += 1


def _settleable(
    connection: sqlite3.Connection, record: QueueRecord, lease_id: str, acked: Acked
) -> tuple[int, str, int] | None:
    """The message of a lease that can be settled, the lease's state and the message's owner; else None and a warning."""
    try:
        row = connection.execute(_FIND, (bytes.fromhex(lease_id),)).fetchone()
    except ValueError:
        row = None
    if row is None:
        acked.warnings[lease_id] = limits.LEASE_UNKNOWN
        return None
    queue_id, seq, state = row
    where = connection.execute(_WHERE, (seq,)).fetchone()
    if queue_id != record.id:
        acked.warnings[lease_id] = limits.LEASE_FOREIGN
    elif state == "settled":
        acked.warnings[lease_id] = limits.LEASE_SETTLED
    elif where is None:
        acked.warnings[lease_id] = limits.LEASE_UNKNOWN
    elif where[0] != record.id:
        acked.warnings[lease_id] = limits.LEASE_MOVED
    else:
        return seq, state, where[1]
    return None


def _again(
    connection: sqlite3.Connection,
    record: QueueRecord,
    consumer: QueueConsumerInfo | None,
    message: Message,
    ready_ms: int,
    now_ms: int,
    reason: str,
    doings: Doings,
) -> None:
    """A delivery has failed: the message is ready again, or out of retries."""
    # Without its consumer there is no limit to go by: whoever consumes the queue next has the say.
    max_retries = None if consumer is None else consumer.settings.max_retries
    dead_letter_queue = None if consumer is None else consumer.dead_letter_queue
    action = after_failure(message.attempts, max_retries, dead_letter_queue)
    delay = 0
    if action == "retry":
        tables.retry(connection, PULL_OWNER, [(message, ready_ms)])
        doings.ready.setdefault(record.name, []).append(ready_ms)
        delay = max(0, ready_ms - now_ms) // 1000
    else:
        if action == "drop":
            tables.delete(connection, record.id, PULL_OWNER, [message])
        else:
            assert dead_letter_queue is not None, "there is one to move to"
            target, created = tables.ensure_queue(connection, dead_letter_queue, now_ms)
            if created:
                doings.created.append(target.name)
            tables.move(connection, record.id, target, PULL_OWNER, now_ms, [message])
            doings.ready.setdefault(target.name, []).append(now_ms + target.delivery_delay * 1000)
        connection.execute(_FORGET, (message.seq,))
    moved_to = dead_letter_queue if action == "dead_letter" else None
    doings.settled.append((record.name, moved_to, Settlement(message, action, delay, reason)))
