"""Pull consumers: messages are leased over HTTP, and acknowledged or retried by their lease.

A lease hides its message until `visibility_timeout_ms` has passed. Then the delivery counts as failed: the message is
ready again, or goes the way of a message without retries left. A lease names one delivery of one message, so the next
pull of the message has a new one. An acknowledgement is accepted however late it comes, as in production (Cloudflare
docs: Queues > Pull consumers), for as long as the message is in the queue.

Leases are rows in the database: they outlive the session, and any session on the state folder ends them in time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

from wrangler_py.clock import Clock, Timer
from wrangler_py.events.record import EventLog
from wrangler_py.queues import consumers, limits, tables
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.consumers import PullSettings, QueueConsumerInfo
from wrangler_py.queues.message import Message, QueueMetrics, Source
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.store.database import StateError, Store

#: The owner of a message that a pull consumer holds: no session, whose numbers begin at 1.
PULL_OWNER = -1
#: Messages expired or leases ended in one transaction; more would stall the loop.
_CHUNK = 5_000
#: How long to wait before ended leases that could not be written are tried again (seconds).
_AGAIN_S = 1.0

_SOURCES = get_args(Source)

_LEASE = "INSERT INTO lease (id, queue_id, seq, until_ms) VALUES (?, ?, ?, ?)"
_PREVIEW_LEASE = "INSERT INTO lease (id, queue_id, seq, state, until_ms) VALUES (?, ?, ?, 'expired', ?)"
_FIND = "SELECT queue_id, seq, state FROM lease WHERE id = ?"
_CLOSE = "UPDATE lease SET state = ? WHERE id = ?"
_FORGET = "DELETE FROM lease WHERE seq = ?"
#: A message that went another way (a Worker's acknowledgement, retention) leaves its ended leases behind.
_FORGET_GONE = "DELETE FROM lease WHERE NOT EXISTS (SELECT 1 FROM message WHERE message.seq = lease.seq)"
_ENDED = """
    SELECT lease.id, lease.seq, lease.until_ms, queue.name FROM lease JOIN queue ON queue.id = lease.queue_id
    WHERE state = 'open' AND until_ms <= ? ORDER BY until_ms LIMIT ?
"""
_FIRST_END = "SELECT min(until_ms) FROM lease WHERE state = 'open'"
_EXTRAS = "SELECT source, delay_seconds FROM message WHERE seq = ?"
_WHERE = "SELECT queue_id, owner FROM message WHERE seq = ?"
_ACK = "DELETE FROM message WHERE seq = ? RETURNING length(body)"
_DELAY = "UPDATE message SET visible_ms = ? WHERE seq = ?"


@dataclass(frozen=True, slots=True)
class PulledMessage:
    """A message under a lease."""

    message: Message
    lease_id: str
    source: Source
    delay_seconds: int | None


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull got, and the backlog with it: unacknowledged messages, the pulled ones too."""

    messages: Sequence[PulledMessage]
    metrics: QueueMetrics


@dataclass(slots=True)
class Acked:
    """What became of leases that were acknowledged or retried."""

    acks: int = 0
    retries: int = 0
    #: By lease id: why it could not be settled.
    warnings: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Doings:
    """What a transaction did that others are to hear of once it is committed."""

    #: (queue, when the message is ready)
    ready: list[tuple[str, int]] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    created: list[str] = field(default_factory=list)


class Pulls:
    """Leases messages to pull consumers and settles them. Methods raise Refusal, sqlite3.Error or StateError."""

    def __init__(self, store: Store, clock: Clock, events: EventLog, broker: Broker) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._broker = broker
        self._timer: Timer | None = None
        self._due_ms: int | None = None

    def start(self) -> None:
        """End leases in time from now on, those of earlier sessions too."""
        self._store.write(lambda c: c.execute(_FORGET_GONE))
        self._arm()

    def close(self) -> None:
        """End no more leases; the next session does."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Pulling ------------------------------------------------------------------------------------------------------

    async def pull(self, record: QueueRecord, batch_size: int | None, visibility_timeout_ms: int | None) -> Pulled:
        """Lease ready messages; None stands for the consumer's setting. Returns at once, also with none."""
        pulled: Pulled | None = None
        while pulled is None:
            work = partial(_pull, queue_id=record.uuid, batch_size=batch_size, now=self._clock.now_ms())
            pulled, expired, doings = await self._store.submit(
                partial(work, visibility_timeout_ms=visibility_timeout_ms)
            )
            if expired:
                self._events.emit("message.expired", queue=record.name, count=expired)
            self._tell(doings)
        if pulled.messages:
            self._events.emit("messages.pulled", queue=record.name, count=len(pulled.messages))
            self._arm()
        return pulled

    async def settle(
        self, record: QueueRecord, acks: Sequence[str], retries: Sequence[tuple[str, int | None]]
    ) -> Acked:
        """Acknowledge and retry leases; a retry with its own delay (seconds), or the consumer's."""
        for _, delay in retries:
            if delay is not None and not 0 <= delay <= limits.MAX_DELAY_SECONDS:
                refused = limits.delay_out_of_range(delay, batch=False)
                raise limits.Refusal(400, refused.code, refused.cause)
        now = self._clock.now_ms()

        def operation(connection: sqlite3.Connection) -> tuple[Acked, _Doings]:
            doings = _Doings()
            acked = Acked()
            for lease_id in acks:
                _ack(connection, record, lease_id, acked)
            consumer = consumers.pull_consumer(connection, record)
            for lease_id, delay in retries:
                _retry(connection, record, consumer, lease_id, delay, now, acked, doings)
            return acked, doings

        acked, doings = await self._store.submit(operation)
        if acked.acks or acked.retries:
            self._events.emit("messages.settled", queue=record.name, acked=acked.acks, retried=acked.retries)
        self._tell(doings)
        return acked

    async def preview(self, record: QueueRecord, messages: Sequence[Message]) -> list[str]:
        """Leases for messages that stay where they are: they can be settled by them, and nothing is hidden."""
        leases = [os.urandom(16) for _ in messages]
        rows = [(lease, record.id, m.seq, self._clock.now_ms()) for lease, m in zip(leases, messages, strict=True)]
        await self._store.submit(lambda c: c.executemany(_PREVIEW_LEASE, rows).rowcount)
        return [lease.hex() for lease in leases]

    # Ending leases ------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        first: int | None = self._store.query(_FIRST_END)[0][0]
        if self._timer is not None:
            if first == self._due_ms:
                return
            self._timer.cancel()
        self._due_ms = first
        self._timer = None if first is None else self._clock.call_at(first, self._end_leases)

    def _end_leases(self) -> None:
        self._timer = None
        now = self._clock.now_ms()
        future = self._store.submit(lambda c: _end(c, now))
        future.add_done_callback(
            lambda done: self._ended(done.exception(), done.result if not done.exception() else None)
        )

    def _ended(self, error: BaseException | None, result: Callable[[], _Doings] | None) -> None:
        if isinstance(error, StateError):
            return  # the session has ended; the next one goes on
        if result is None:
            self._events.emit("store.failed", doing="end leases of pulled messages", error=str(error))
            self._timer = self._clock.call_later(_AGAIN_S, self._end_leases)
            return
        self._tell(result())
        self._arm()

    def _tell(self, doings: _Doings) -> None:
        for name in doings.created:
            self._events.emit("queue.created", queue=name)
        for kind, data in doings.events:
            self._events.emit(kind, **data)
        ready: dict[str, list[int]] = {}
        for queue, moment in doings.ready:
            ready.setdefault(queue, []).append(moment)
        for queue, moments in ready.items():
            self._broker.wake(queue, moments)


def _pull(
    connection: sqlite3.Connection, queue_id: str, batch_size: int | None, visibility_timeout_ms: int | None, now: int
) -> tuple[Pulled | None, int, _Doings]:
    """Lease messages. None: many had outlived the retention, and it should be tried again. Second: how many had."""
    record = tables.find_queue_by_uuid(connection, queue_id)
    if record is None:
        raise limits.queue_unknown_to_messages()
    consumer = consumers.pull_consumer(connection, record)
    if consumer is None:
        raise limits.pull_not_enabled()
    if record.delivery_paused:
        raise limits.delivery_is_paused()
    doings = _end(connection, now)
    expired = tables.expire(connection, record, now, _CHUNK)
    if expired == _CHUNK:
        return None, expired, doings
    settings = consumer.settings
    assert isinstance(settings, PullSettings)
    limit = settings.batch_size if batch_size is None else batch_size
    visible = settings.visibility_timeout_ms if visibility_timeout_ms is None else visibility_timeout_ms
    pulled = []
    for message in tables.claim(connection, record.id, PULL_OWNER, now, limit):
        lease = os.urandom(16)
        connection.execute(_LEASE, (lease, record.id, message.seq, now + visible))
        source, delay_seconds = connection.execute(_EXTRAS, (message.seq,)).fetchone()
        pulled.append(PulledMessage(message, lease.hex(), _SOURCES[source], delay_seconds))
    return Pulled(pulled, tables.metrics(connection, record.name)), expired, doings


def _end(connection: sqlite3.Connection, now: int) -> _Doings:
    """End the leases whose time is over."""
    doings = _Doings()
    for lease, seq, until_ms, queue in connection.execute(_ENDED, (now, _CHUNK)).fetchall():
        connection.execute(_CLOSE, ("expired", lease))
        message = tables.held(connection, seq, PULL_OWNER)
        record = tables.find_queue(connection, queue)
        if message is not None and record is not None:
            consumer = consumers.pull_consumer(connection, record)
            _again(connection, record, consumer, message, until_ms, now, "lease expired", doings)
    return doings


def _ack(connection: sqlite3.Connection, record: QueueRecord, lease_id: str, acked: Acked) -> None:
    seq = _settleable(connection, record, lease_id, acked)
    if seq is None:
        return
    for row in connection.execute(_ACK, (seq,)).fetchall():
        tables.add_to_backlog(connection, record.id, -1, -row[0])
        connection.execute(_FORGET, (seq,))
        acked.acks += 1


def _retry(
    connection: sqlite3.Connection,
    record: QueueRecord,
    consumer: QueueConsumerInfo | None,
    lease_id: str,
    delay: int | None,
    now: int,
    acked: Acked,
    doings: _Doings,
) -> None:
    seq = _settleable(connection, record, lease_id, acked)
    if seq is None:
        return
    state = connection.execute(_FIND, (bytes.fromhex(lease_id),)).fetchone()[2]
    seconds = delay if delay is not None else consumer.settings.retry_delay if consumer is not None else 0
    ready_ms = now + seconds * 1000
    if state == "expired":  # it is ready already, unless another delivery has begun
        owner = connection.execute(_WHERE, (seq,)).fetchone()[1]
        if owner != 0:
            acked.warnings[lease_id] = limits.LEASE_LOST
            return
        connection.execute(_DELAY, (ready_ms, seq))
        doings.ready.append((record.name, ready_ms))
    else:
        message = tables.held(connection, seq, PULL_OWNER)
        assert message is not None, "an open lease holds its message"
        _again(connection, record, consumer, message, ready_ms, now, "retried by its lease", doings)
    connection.execute(_CLOSE, ("settled", bytes.fromhex(lease_id)))
    acked.retries += 1


def _settleable(connection: sqlite3.Connection, record: QueueRecord, lease_id: str, acked: Acked) -> int | None:
    """The message of a lease that can still be settled; else None and a warning."""
    try:
        row = connection.execute(_FIND, (bytes.fromhex(lease_id),)).fetchone()
    except ValueError:
        row = None
    if row is None:
        acked.warnings[lease_id] = limits.LEASE_UNKNOWN
        return None
    queue_id, seq, state = row
    if queue_id != record.id:
        acked.warnings[lease_id] = limits.LEASE_FOREIGN
        return None
    if state == "settled":
        acked.warnings[lease_id] = limits.LEASE_SETTLED
        return None
    where = connection.execute(_WHERE, (seq,)).fetchone()
    if where is None:
        acked.warnings[lease_id] = limits.LEASE_UNKNOWN
        return None
    if where[0] != record.id:
        acked.warnings[lease_id] = limits.LEASE_MOVED
        return None
    return int(seq)


def _again(
    connection: sqlite3.Connection,
    record: QueueRecord,
    consumer: QueueConsumerInfo | None,
    message: Message,
    ready_ms: int,
    now: int,
    reason: str,
    doings: _Doings,
) -> None:
    """A delivery has failed: the message is ready again, or out of retries."""
    data = {
        "queue": record.name,
        "id": message.id,
        "attempts": message.attempts,
        "delay_seconds": max(0, ready_ms - now) // 1000,
        "asked_seconds": None,
        "reason": reason,
        "where": None,
    }
    # Without its consumer there is no limit to go by: whoever consumes the queue next has the say.
    if consumer is None or message.attempts <= consumer.settings.max_retries:
        tables.retry(connection, PULL_OWNER, [(message, ready_ms)])
        doings.ready.append((record.name, ready_ms))
        doings.events.append(("message.retried", {**data, "dead_letter_queue": None}))
        return
    target_name = consumer.dead_letter_queue
    if target_name is None:
        tables.delete(connection, record.id, PULL_OWNER, [message])
        doings.events.append(("message.dropped", {**data, "dead_letter_queue": None}))
    else:
        target, created = tables.ensure_queue(connection, target_name, now)
        if created:
            doings.created.append(target.name)
        tables.move(connection, record.id, target, PULL_OWNER, now, [message])
        doings.ready.append((target.name, now + target.delivery_delay * 1000))
        doings.events.append(("message.dead_lettered", {**data, "dead_letter_queue": target_name}))
    connection.execute(_FORGET, (message.seq,))
