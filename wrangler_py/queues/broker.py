"""The broker: takes messages in, leases them out, settles them. Everything it says is true only after COMMIT.

One broker serves one session. Several sessions may share a state folder: each leases under its own number (`owner`),
and a message is leased to at most one of them at a time.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence

from wrangler_py.clock import Clock, sleep_until
from wrangler_py.events.record import EventLog
from wrangler_py.queues import limits, tables
from wrangler_py.queues.message import Message, OutgoingMessage, QueueMetrics
from wrangler_py.queues.settlement import Settlement
from wrangler_py.queues.tables import NewMessage, QueueRecord
from wrangler_py.store.database import Store, explain_error

#: How long to wait before a settlement that could not be written (a full disk, a locked file) is tried again (ms).
_SETTLE_AGAIN_MS = 1_000
#: Messages deleted in one transaction when retention ends; more would stall the loop.
_EXPIRE_CHUNK = 5_000
#: How often retention is looked at while nothing else happens (ms). Delivery itself never sees what has expired.
_EXPIRE_EVERY_MS = 60_000

#: Called with a queue's name, how many messages became waiting, and when the first of them is ready.
WaitingListener = Callable[[int, int], None]


class Broker:
    """Send, claim and settle on the queues of one state folder."""

    def __init__(self, store: Store, clock: Clock, events: EventLog, owner: int) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._owner = owner
        self._records: dict[str, QueueRecord] = {}
        self._listeners: dict[str, WaitingListener] = {}
        #: Told of every queue that got messages and has no listener here; another session may consume it.
        self.on_unheard: Callable[[str], None] = self._say_unconsumed
        self._unconsumed: set[str] = set()

    # Queues -------------------------------------------------------------------------------------------------------

    def ensure_queue(self, name: str) -> QueueRecord:
        """The queue's record; the queue is created when it is missing. For start-up: commits at once."""
        record, created = self._store.write(lambda c: tables.ensure_queue(c, name, self._clock.now_ms()))
        self._records[name] = record
        if created:
            self._events.emit("queue.created", queue=name)
        return record

    def record(self, name: str) -> QueueRecord:
        """The queue's settings as last read."""
        return self._records.get(name) or self.ensure_queue(name)

    def listen(self, queue: str, listener: WaitingListener) -> None:
        """Tell `listener` of every message that this session lets into `queue`."""
        self._listeners[queue] = listener

    def unlisten(self, queue: str) -> None:
        self._listeners.pop(queue, None)

    # In -----------------------------------------------------------------------------------------------------------

    def submit(
        self, queue: str, messages: Sequence[OutgoingMessage], delay_seconds: int | None = None, *, batch: bool = False
    ) -> asyncio.Future[QueueMetrics]:
        """Store messages; all of them or none. The future is done after COMMIT: the backlog with them in it.

        Delay: the message's own, else `delay_seconds`, else the queue's `delivery_delay`; an explicit 0 counts.
        Raises QueueSendError when a limit is broken, at once, or when the disk refuses, through the future.
        """
        check_limits(messages, delay_seconds, batch=batch)
        record = self.record(queue)
        now = self._clock.now_ms()
        default_delay = record.delivery_delay if delay_seconds is None else delay_seconds
        new = [
            NewMessage(
                os.urandom(16),
                m.content_type,
                m.body,
                now + (default_delay if m.delay_seconds is None else m.delay_seconds) * 1000,
            )
            for m in messages
        ]

        def operation(connection: sqlite3.Connection) -> QueueMetrics:
            try:
                tables.append(connection, record.id, now, new)
                return tables.metrics(connection, queue)
            except sqlite3.Error as error:
                raise self._refused(queue, error) from error

        future = self._store.submit(operation)
        future.add_done_callback(lambda done: self._stored(done, queue, new))
        return future

    async def send(
        self, queue: str, messages: Sequence[OutgoingMessage], delay_seconds: int | None = None, *, batch: bool = False
    ) -> QueueMetrics:
        """`submit`, waited for. Raises QueueSendError."""
        try:
            return await self.submit(queue, messages, delay_seconds, batch=batch)
        except sqlite3.Error as error:  # BEGIN or COMMIT themselves failed
            raise self._refused(queue, error) from error

    def _refused(self, queue: str, error: sqlite3.Error) -> limits.QueueSendError:
        text = explain_error(error, self._store.path)
        self._events.emit("store.failed", doing=f'send to queue "{queue}"', error=text)
        return limits.QueueSendError(limits.UNKNOWN_INTERNAL_ERROR, text)

    def _stored(self, future: asyncio.Future[QueueMetrics], queue: str, new: Sequence[NewMessage]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._announce(queue, len(new), min(m.visible_ms for m in new))

    def metrics(self, queue: str) -> QueueMetrics:
        """The queue's backlog at this moment."""
        return tables.metrics(self._store, queue)

    def _announce(self, queue: str, count: int, first_visible_ms: int) -> None:
        listener = self._listeners.get(queue)
        if listener is not None:
            listener(count, first_visible_ms)
        else:
            self.on_unheard(queue)

    def _say_unconsumed(self, queue: str) -> None:
        if queue not in self._unconsumed:
            self._unconsumed.add(queue)
            self._events.emit("queue.unconsumed", queue=queue)

    # Out ----------------------------------------------------------------------------------------------------------

    def first_waiting(self, queue: str, limit: int) -> list[int]:
        """When the first `limit` waiting messages become (or became) ready, in order (ms)."""
        return tables.first_waiting(self._store, self.record(queue).id, limit)

    def claim(self, queue: str, limit: int) -> asyncio.Future[tuple[tuple[Message, ...], QueueMetrics]]:
        """Lease up to `limit` ready messages and count the attempt. Second: what remains in the queue beside them."""
        record = self.record(queue)
        now = self._clock.now_ms()

        def operation(connection: sqlite3.Connection) -> tuple[tuple[Message, ...], QueueMetrics]:
            messages = tables.claim(connection, record, self._owner, now, limit)
            backlog = tables.metrics(connection, queue)
            count, size = len(messages), sum(len(m.body) for m in messages)
            rest = QueueMetrics(
                max(0, backlog.backlog_count - count),
                max(0, backlog.backlog_bytes - size),
                backlog.oldest_timestamp_ms if backlog.backlog_count > count else None,
            )
            return messages, rest

        return self._store.submit(operation)

    async def settle(self, queue: str, settlements: Sequence[Settlement], dead_letter_queue: str | None) -> None:
        """Write what was decided for a batch. Does not give up: until it is written, the lease keeps the messages safe."""
        record = self.record(queue)
        while True:
            now = self._clock.now_ms()
            try:
                moved_to = await self._store.submit(
                    lambda c, now=now: self._write(c, record, settlements, dead_letter_queue, now)  # type: ignore[misc]
                )
                break
            except sqlite3.Error as error:
                text = explain_error(error, self._store.path)
                self._events.emit("store.failed", doing=f'settle a batch of queue "{queue}"', error=text)
                await sleep_until(self._clock, now + _SETTLE_AGAIN_MS)
        self._report(queue, settlements, dead_letter_queue)
        retried = [s for s in settlements if s.action == "retry"]
        if retried:
            self._announce(queue, len(retried), now + min(s.delay_seconds for s in retried) * 1000)
        if moved_to is not None:
            self._records[moved_to.name] = moved_to
            count = sum(1 for s in settlements if s.action == "dead_letter")
            self._announce(moved_to.name, count, now + moved_to.delivery_delay * 1000)

    def _write(
        self,
        connection: sqlite3.Connection,
        record: QueueRecord,
        settlements: Sequence[Settlement],
        dead_letter_queue: str | None,
        now: int,
    ) -> QueueRecord | None:
        gone = [s.message for s in settlements if s.action in ("ack", "drop")]
        again = [(s.message, now + s.delay_seconds * 1000) for s in settlements if s.action == "retry"]
        dead = [s.message for s in settlements if s.action == "dead_letter"]
        if gone:
            tables.delete(connection, record.id, self._owner, gone)
        if again:
            tables.retry(connection, self._owner, again)
        if dead:
            assert dead_letter_queue is not None
            target, _ = tables.ensure_queue(connection, dead_letter_queue, now)
            tables.move(connection, record.id, target, self._owner, now, dead)
            return target
        return None

    def _report(self, queue: str, settlements: Sequence[Settlement], dead_letter_queue: str | None) -> None:
        for s in settlements:
            if s.action == "ack":
                continue
            kind = {"retry": "message.retried", "dead_letter": "message.dead_lettered", "drop": "message.dropped"}[
                s.action
            ]
            self._events.emit(
                kind,
                queue=queue,
                id=s.message.id,
                attempts=s.message.attempts,
                delay_seconds=s.delay_seconds,
                reason=s.reason,
                where=s.where,
                dead_letter_queue=dead_letter_queue,
            )

    # Retention ----------------------------------------------------------------------------------------------------

    async def expire(self, queue: str) -> int:
        """Delete what has outlived the queue's retention. Returns how many messages that were."""
        record = self.record(queue)
        now = self._clock.now_ms()
        total = 0
        while True:
            count = await self._store.submit(lambda c: tables.expire(c, record, now, _EXPIRE_CHUNK))
            total += count
            if count < _EXPIRE_CHUNK:
                break
        if total:
            self._events.emit("message.expired", queue=queue, count=total)
        return total

    async def watch_retention(self) -> None:
        """Expire old messages of all queues for as long as the session lives."""
        while True:
            for record in tables.all_queues(self._store):
                self._records[record.name] = record
                oldest = tables.oldest_ms(self._store, record.id)
                if oldest is not None and oldest < self._clock.now_ms() - record.message_retention_period * 1000:
                    try:
                        await self.expire(record.name)
                    except sqlite3.Error as error:
                        text = explain_error(error, self._store.path)
                        self._events.emit("store.failed", doing=f'expire messages of queue "{record.name}"', error=text)
            await sleep_until(self._clock, self._clock.now_ms() + _EXPIRE_EVERY_MS, recurring=True)


def check_limits(messages: Sequence[OutgoingMessage], delay_seconds: int | None, *, batch: bool) -> None:
    """Raise QueueSendError when a send breaks one of production's limits; nothing of it is stored then."""
    if batch and len(messages) > limits.MAX_BATCH_COUNT:
        raise limits.batch_too_many(len(messages))
    largest = max(len(m.body) for m in messages)
    if largest > limits.MAX_MESSAGE_BYTES:
        raise limits.batch_message_too_large(largest) if batch else limits.message_too_large(largest)
    if batch:
        total = sum(len(m.body) for m in messages)
        if total > limits.MAX_BATCH_BYTES:
            raise limits.batch_too_large(total)
    if delay_seconds is not None and not 0 <= delay_seconds <= limits.MAX_DELAY_SECONDS:
        raise limits.delay_out_of_range(delay_seconds, batch=batch)
    for message in messages:
        if message.delay_seconds is not None and not 0 <= message.delay_seconds <= limits.MAX_DELAY_SECONDS:
            raise limits.delay_out_of_range(message.delay_seconds, batch=False)
