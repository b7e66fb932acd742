"""Pull consumers: messages are leased over HTTP, and acknowledged or retried by their lease.

A lease hides its message until `visibility_timeout_ms` has passed. Then the delivery counts as failed: the message is
ready again, or goes the way of a message without retries left. A lease names one delivery of one message, so the next
pull of the message has a new one. An acknowledgement is accepted however late it comes, as in production (Cloudflare
docs: Queues > Pull consumers), for as long as the message is in the queue.

Leases are rows in the database (leases.py): they outlive the session, and any session on the state folder ends them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial

from msgspec import Struct

from wrangler_py.clock import Clock, Timer
from wrangler_py.events.log import EventLog
from wrangler_py.queues import consumers, limits, tables
from wrangler_py.queues import pull_leases as leases
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.consumers import PullSettings
from wrangler_py.queues.message import Message, QueueMetrics
from wrangler_py.queues.pull_leases import PULL_OWNER, Acked, Doings, PulledMessage
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.store.database import StateError, Store, explain_error

#: Messages expired in one transaction; more would stall the loop.
_CHUNK = 5_000
#: Leases settled in one transaction.
_PIECE = 1_000
#: How long to wait before ended leases that could not be written are tried again. Real seconds: this is about the
#: machine, whatever the session's clock does.
_AGAIN_S = 1.0

_EVENTS = {"retry": "message.retried", "dead_letter": "message.dead_lettered", "drop": "message.dropped"}


class Pulled(Struct, frozen=True):
    """What a pull got, and the backlog with it: unacknowledged messages, the pulled ones too."""

    messages: Sequence[PulledMessage]
    metrics: QueueMetrics


class Pulls:
    """Leases messages to pull consumers and settles them. Methods raise Refusal, sqlite3.Error or StateError."""

    def __init__(self, store: Store, clock: Clock, events: EventLog, broker: Broker) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._broker = broker
        self._timer: Timer | None = None
        self._due_ms: int | None = None
        self._rest: asyncio.TimerHandle | None = None
        self._closed = False

    def start(self) -> None:
        """End leases in time from now on, those of earlier sessions too. Raises StateError with the next step."""
        now = self._clock.now_ms()
        try:
            self._store.write(lambda c: leases.tidy(c, now))
        except sqlite3.Error as error:
            raise StateError(explain_error(error, self._store.path)) from error
        self._arm()

    def look(self) -> None:
        """Another process may have given leases: end those in time, too. Raises sqlite3.Error or StateError."""
        self._arm()

    def close(self) -> None:
        """End no more leases; the next session does."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._rest is not None:
            self._rest.cancel()

    # Pulling ------------------------------------------------------------------------------------------------------

    async def pull(self, record: QueueRecord, batch_size: int | None, visibility_timeout_ms: int | None) -> Pulled:
        """Lease ready messages; None stands for the consumer's setting. Returns at once, also with none."""
        pulled: Pulled | None = None
        while pulled is None:
            work = partial(_pull, queue_id=record.uuid, batch_size=batch_size, now_ms=self._clock.now_ms())
            pulled, expired, doings = await self._store.submit(partial(work, visibility_ms=visibility_timeout_ms))
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
        """Acknowledge and retry leases, in that order; a retry with its own delay (seconds), or the consumer's."""
        for _, delay in retries:
            if delay is not None and not 0 <= delay <= limits.MAX_DELAY_SECONDS:
                refused = limits.delay_out_of_range(delay, batch=False)
                raise limits.Refusal(400, refused.code, refused.cause)
        total = Acked()
        asked = [*((lease, None) for lease in acks), *((lease, (delay,)) for lease, delay in retries)]
        for at in range(0, len(asked), _PIECE):
            piece = asked[at : at + _PIECE]
            work = partial(
                leases.settle,
                record=record,
                acks=[lease for lease, retry in piece if retry is None],
                retries=[(lease, retry[0]) for lease, retry in piece if retry is not None],
                now_ms=self._clock.now_ms(),
            )
            acked, doings = await self._store.submit(work)
            total.add(acked)
            self._tell(doings)
        if total.acks or total.retries:
            self._events.emit("messages.settled", queue=record.name, acked=total.acks, retried=total.retries)
        return total

    async def preview(self, record: QueueRecord, messages: Sequence[Message]) -> list[str]:
        """Leases for messages that stay where they are: they can be settled by them, and nothing is hidden."""
        now = self._clock.now_ms()
        given = await self._store.submit(lambda c: leases.give(c, record, messages, now, "expired"))
        return [pulled.lease_id for pulled in given]

    # Ending leases ------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        first = tables.first_lease_end(self._store)
        if self._timer is not None:
            if first == self._due_ms:
                return
            self._timer.cancel()
        self._due_ms = first
        self._timer = None if first is None else self._clock.call_at(first, self._end)

    def _end(self) -> None:
        self._timer = self._rest = None
        now = self._clock.now_ms()
        self._store.submit(lambda c: leases.end(c, now)).add_done_callback(self._ended)

    def _ended(self, future: asyncio.Future[Doings]) -> None:
        if self._closed or future.cancelled():
            return
        try:
            doings = future.result()
            self._tell(doings)
            self._arm()
        except (sqlite3.Error, StateError) as error:
            text = self._broker.explain(error)
            self._events.emit("store.failed", doing="end leases of pulled messages", error=text)
            self._rest = asyncio.get_running_loop().call_later(_AGAIN_S, self._end)

    def _tell(self, doings: Doings) -> None:
        for name in doings.created:
            self._events.emit("queue.created", queue=name)
        if doings.settled:
            self._events.emit("pull.settled", settled=doings.settled)
        for queue, dead_letter_queue, settlement in doings.settled:
            kind = _EVENTS.get(settlement.action)
            if kind is not None:
                self._events.emit(
                    kind,
                    queue=queue,
                    id=settlement.message.id,
                    attempts=settlement.message.attempts,
                    delay_seconds=settlement.delay_seconds,
                    asked_seconds=None,
                    reason=settlement.reason,
                    where=None,
                    dead_letter_queue=dead_letter_queue,
                )
        for queue, moments in doings.ready.items():
            self._broker.wake(queue, moments)


def _pull(
    connection: sqlite3.Connection, queue_id: str, batch_size: int | None, visibility_ms: int | None, now_ms: int
) -> tuple[Pulled | None, int, Doings]:
    """Lease messages. None: many had outlived the retention, and it should be tried again. Second: how many had."""
    record = tables.find_queue_by_uuid(connection, queue_id)
    if record is None:
        raise limits.queue_unknown_to_messages()
    consumer = consumers.pull_consumer(connection, record)
    if consumer is None:
        raise limits.pull_not_enabled()
    if record.delivery_paused:
        raise limits.delivery_is_paused()
    doings = leases.end(connection, now_ms)
    expired = tables.expire(connection, record, now_ms, _CHUNK)
    if expired == _CHUNK:
        return None, expired, doings
    settings = consumer.settings
    assert isinstance(settings, PullSettings)
    claimed = tables.claim(
        connection, record.id, PULL_OWNER, now_ms, settings.batch_size if batch_size is None else batch_size
    )
    visible_ms = settings.visibility_timeout_ms if visibility_ms is None else visibility_ms
    pulled = leases.give(connection, record, claimed, now_ms + visible_ms)
    return Pulled(pulled, tables.metrics(connection, record.name)), expired, doings
