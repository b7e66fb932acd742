"""The way in: all sends of one wake-up are stored by one statement of one transaction.

What a send answers (the backlog with its messages in it) is read from the database once and then carried along, for as long
as nobody else has changed anything: every change by this process moves the connection's `total_changes`, every change by
another one SQLite's `data_version`.

Sends that an outbox keeps (runtime/outbox.py) are never refused for good: when they cannot be stored, they are held and tried again,
in their order and before any that come later.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from wrangler_py.clock import Clock
from wrangler_py.queues import backlog, limits, outbox_marks, tables
from wrangler_py.queues.message import OutgoingMessage, QueueMetrics
from wrangler_py.queues.tables import NewMessage
from wrangler_py.store.database import Store

_make = tuple.__new__

#: Told after COMMIT: the backlog with the messages in it and what was stored, or the error.
Told = Callable[[QueueMetrics | None, Sequence[NewMessage], Exception | None], None]

#: How long sends of an outbox that could not be stored wait before they are tried again. Real seconds: this is about the
#: machine, whatever the session's clock does.
_AGAIN_S = 1.0

_DATA_VERSION = "PRAGMA data_version"


class _Queue:
    """What is known of a queue."""

    __slots__ = ("count", "delay", "id", "oldest_ms", "size")

    def __init__(self, connection: sqlite3.Connection, name: str, now_ms: int) -> None:
        record, _ = tables.ensure_queue(connection, name, now_ms)
        self.id = record.id
        self.delay = record.delivery_delay
        self.count = record.backlog_count
        self.size = record.backlog_bytes
        self.oldest_ms = tables.oldest_ms(connection, record.id) if record.backlog_count else None


class _Known:
    """What is known of the database."""

    __slots__ = ("counted", "queues", "seal", "seq")

    def __init__(self, connection: sqlite3.Connection, seal: tuple[int, int]) -> None:
        self.seal = seal
        self.seq, self.counted = backlog.last_seq(connection)
        self.queues: dict[str, _Queue] = {}


class _Send:
    """One send or sendBatch on its way in."""

    __slots__ = ("delay_seconds", "kept", "messages", "metrics", "new", "queue", "tell")

    def __init__(
        self,
        queue: str,
        messages: Sequence[OutgoingMessage],
        delay_seconds: int | None,
        tell: Told,
        kept: tuple[str, int] | None,
    ) -> None:
        self.queue = queue
        self.messages = messages
        self.delay_seconds = delay_seconds
        self.tell = tell
        #: The outbox that keeps it, and its number there.
        self.kept = kept
        self.new: Sequence[NewMessage] = ()
        self.metrics: QueueMetrics | None = None


def incoming(
    messages: Sequence[OutgoingMessage], delay_seconds: int | None, queue_delay: int, now_ms: int
) -> list[NewMessage]:
    """The messages of a send as they are stored, each with an id of its own.

    Delay: the message's own, else the send's (`delay_seconds`), else the queue's `delivery_delay`; an explicit 0 counts.
    """
    ids = os.urandom(16 * len(messages))
    rest_ms = now_ms + (queue_delay if delay_seconds is None else delay_seconds) * 1000
    new = []
    at = 0
    for body, content_type, own_delay, source, _ in messages:
        asked, visible_ms = (delay_seconds, rest_ms) if own_delay is None else (own_delay, now_ms + own_delay * 1000)
        # What NewMessage() does, without a call of Python's own for each message.
        new.append(_make(NewMessage, (ids[at : at + 16], content_type, body, visible_ms, source, asked)))
        at += 16
    return new


def check_limits(
    messages: Sequence[OutgoingMessage],
    delay_seconds: int | None,
    *,
    batch: bool,
    max_batch_bytes: int = limits.MAX_BATCH_BYTES,
) -> None:
    """Raise QueueSendError when a send breaks one of production's limits; nothing of it is stored then."""
    if batch and len(messages) > limits.MAX_BATCH_COUNT:
        raise limits.batch_too_many(len(messages))
    largest = total = 0
    for message in messages:
        size = len(message.body)
        total += size
        if size > largest:
            largest = size
    if largest > limits.MAX_MESSAGE_BYTES:
        raise limits.batch_message_too_large(largest) if batch else limits.message_too_large(largest)
    if batch and total > max_batch_bytes:
        raise limits.batch_too_large(total, max_batch_bytes)
    if delay_seconds is not None and not 0 <= delay_seconds <= limits.MAX_DELAY_SECONDS:
        raise limits.delay_out_of_range(delay_seconds, batch=batch)
    for message in messages:
        if message.delay_seconds is not None and not 0 <= message.delay_seconds <= limits.MAX_DELAY_SECONDS:
            raise limits.delay_out_of_range(message.delay_seconds, batch=False)


class Intake:
    """Gathers sends and stores them."""

    def __init__(self, store: Store, clock: Clock, refusal: Callable[[Exception], Exception]) -> None:
        """`refusal`: what a producer is told of an error of the database."""
        self._store = store
        self._clock = clock
        self._refusal = refusal
        self._gathered: list[_Send] = []
        self._known: _Known | None = None
        #: Sends of outboxes that could not be stored, and those that came after them; None: there are none.
        self._held: list[_Send] | None = None

    def add(
        self,
        queue: str,
        messages: Sequence[OutgoingMessage],
        delay_seconds: int | None,
        tell: Told,
        kept: tuple[str, int] | None = None,
    ) -> None:
        """Store messages in the next group commit; all that is gathered until then goes with them, or nothing.

        `kept`: the outbox that keeps them, and their number there, larger than those before. Then an error is told each
        time they are tried in vain.
        """
        send = _Send(queue, messages, delay_seconds, tell, kept)
        if kept is not None and self._held is not None:
            self._held.append(send)
            return
        gathered = self._gathered
        gathered.append(send)
        if len(gathered) == 1:
            self._hand_over(gathered)

    def _hand_over(self, sends: list[_Send]) -> None:
        self._store.enqueue(partial(self._write, sends), partial(self._stored, sends), self._refusal)

    def _write(self, gathered: list[_Send], connection: sqlite3.Connection) -> _Known:
        if gathered is self._gathered:
            self._gathered = []  # what comes now is for the next group
        known, self._known = self._known, None  # until COMMIT: this may be rolled back, and run again
        version = connection.execute(_DATA_VERSION).fetchone()[0]
        seal = (version, connection.total_changes)
        if known is None or known.seal != seal:
            known = _Known(connection, seal)
        now = self._clock.now_ms()
        values: list[Any] = []
        marks: dict[str, int] = {}
        seq = known.seq
        for send in gathered:
            queue = known.queues.get(send.queue)
            if queue is None:
                queue = known.queues[send.queue] = _Queue(connection, send.queue, now)
            new = incoming(send.messages, send.delay_seconds, queue.delay, now)
            values += tables.values(queue.id, new)
            seq += len(new)
            send.new = new
            queue.count += len(new)
            for message in new:
                queue.size += len(message.body)
            if queue.oldest_ms is None and new:
                queue.oldest_ms = now
            send.metrics = QueueMetrics(queue.count, queue.size, queue.oldest_ms)
            if send.kept is not None:
                marks[send.kept[0]] = send.kept[1]
        tables.insert(connection, known.seq + 1, now, values)
        if marks:
            outbox_marks.mark(connection, marks)
        known.seq = seq
        if seq - known.counted > backlog.UNCOUNTED:
            backlog.count_up(connection)
            known.counted = seq
        known.seal = (version, connection.total_changes)
        return known

    def _stored(self, gathered: list[_Send], known: _Known | None, error: Exception | None) -> None:
        self._known = known
        if gathered is self._gathered:  # the database was locked, and nothing was tried
            self._gathered = []
        elif error is not None and len(gathered) > 1:  # each for itself, so that only those that do not fit are refused
            for send in gathered:
                if send.kept is None:
                    self._hand_over([send])
            gathered = [send for send in gathered if send.kept is not None]
        if error is not None:
            self._hold([send for send in gathered if send.kept is not None])
        _tell(gathered, error)

    def _hold(self, kept: list[_Send]) -> None:
        if kept:
            self._held = kept + (self._held or [])
            asyncio.get_running_loop().call_later(_AGAIN_S, self._try_held)

    def _try_held(self) -> None:
        held, self._held = self._held or [], []
        self._store.enqueue(partial(self._write, held), partial(self._tried, held), self._refusal)

    def _tried(self, held: list[_Send], known: _Known | None, error: Exception | None) -> None:
        self._known = known
        if error is not None:
            self._hold(held)
        else:
            after, self._held = self._held or [], None
            for send in after:
                self.add(send.queue, send.messages, send.delay_seconds, send.tell, send.kept)
        _tell(held, error)


def _tell(sends: Sequence[_Send], error: Exception | None) -> None:
    for send in sends:
        if error is None:
            send.tell(send.metrics, send.new, None)
        else:  # what it has learnt of the backlog was rolled back
            send.tell(None, (), error)
