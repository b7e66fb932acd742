"""Queues as Cloudflare's API administers them: create, look, change, pause, delete.

What is changed here is in force at once: every send, claim and timer reads the queue's row anew, and whoever delivers the
queue is woken.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from wrangler_py.clock import Clock
from wrangler_py.events.log import EventLog
from wrangler_py.queues import backlog, consumers, limits, subscriptions, tables
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.consumers import Attached, QueueConsumerInfo
from wrangler_py.queues.purge import delete_waiting
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.queues.values import quoted, whole_number_between
from wrangler_py.store.database import Store

JURISDICTIONS = ("eu", "us", "fedramp")

_JURISDICTIONS = "SELECT id, jurisdiction FROM queue WHERE jurisdiction IS NOT NULL"
_COUNT = "SELECT count(*) FROM queue"
_IDS = "SELECT uuid FROM queue"
_IN_ORDER = " ORDER BY id LIMIT ? OFFSET ?"
_CREATE = """
    INSERT INTO queue
        (name, uuid, created_ms, modified_ms, jurisdiction, delivery_delay, delivery_paused, message_retention_period)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_CHANGE = """
    UPDATE queue SET delivery_delay = ?, delivery_paused = ?, message_retention_period = ?, modified_ms = ? WHERE id = ?
"""
_DELETE = (
    "DELETE FROM message WHERE queue_id = ?",
    "DELETE FROM lease WHERE queue_id = ?",
    "DELETE FROM consumer WHERE queue_id = ?",
    "DELETE FROM queue WHERE id = ?",
)

#: What each setting may be; `delivery_paused` is true or false.
_RANGES = {
    "delivery_delay": (0, limits.MAX_DELAY_SECONDS),
    "message_retention_period": (limits.MIN_RETENTION_SECONDS, limits.MAX_RETENTION_SECONDS),
}


class QueueSettings(Struct, frozen=True):
    """A queue's settings; the defaults are production's. Times in seconds."""

    delivery_delay: int = limits.DEFAULT_DELIVERY_DELAY_SECONDS
    delivery_paused: bool = False
    message_retention_period: int = limits.DEFAULT_RETENTION_SECONDS

    def changed(self, given: Mapping[str, Any]) -> QueueSettings:
        """These settings with those that are given; unknown names are passed over. Raises Refusal."""
        changes: dict[str, Any] = {name: _setting(name, given[name]) for name in _NAMES if name in given}
        return replace(self, **changes)


_NAMES = tuple(QueueSettings.__struct_fields__)


class Queue(Struct, frozen=True):
    """What the API tells of a queue."""

    record: QueueRecord
    jurisdiction: str | None
    #: The Workers of living sessions that are bound to it.
    producers: Sequence[str]
    consumers: Sequence[QueueConsumerInfo]


class QueueAdmin:
    """Administers the queues of a state folder. Methods raise Refusal, sqlite3.Error or StateError."""

    def __init__(self, store: Store, clock: Clock, events: EventLog, broker: Broker) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._broker = broker

    # Looking ------------------------------------------------------------------------------------------------------

    def find(self, queue_id: str) -> QueueRecord:
        """The queue with that `queue_id`."""
        record = tables.find_queue_by_uuid(self._store, queue_id)
        if record is None:
            raise limits.queue_unknown(queue_id)
        return record

    def details(self, record: QueueRecord) -> Queue:
        return self._details([record])[0]

    def page(self, names: Sequence[str], page: int, per_page: int) -> tuple[list[Queue], int]:
        """One page (from 1) of all queues, or of those with one of these names, oldest first. Second: of how many."""
        where = f" WHERE name IN ({', '.join('?' * len(names))})" if names else ""
        total = int(self._store.query(_COUNT + where, tuple(names))[0][0])
        rows = self._store.query(_IDS + where + _IN_ORDER, (*names, per_page, (page - 1) * per_page))
        return self._details([self.find(row[0]) for row in rows]), total

    def _details(self, records: Sequence[QueueRecord]) -> list[Queue]:
        attached = Attached(self._store)
        jurisdictions = dict(self._store.query(_JURISDICTIONS))
        by_queue = consumers.of_queues(self._store, records, attached)
        return [Queue(r, jurisdictions.get(r.id), attached.producers.get(r.name, []), by_queue[r.id]) for r in records]

    # Changing -----------------------------------------------------------------------------------------------------

    async def create(self, name: str, given: Mapping[str, Any], jurisdiction: str | None = None) -> Queue:
        """Create a queue with the settings that are given."""
        if not re.fullmatch(limits.QUEUE_NAME_PATTERN, name):
            raise limits.queue_name_invalid(name)
        settings = QueueSettings().changed(given)
        now = self._clock.now_ms()
        record = await self._store.submit(lambda c: create_queue(c, name, settings, now, jurisdiction))
        self._events.emit("queue.created", queue=name)
        return self.details(record)

    async def change(
        self,
        record: QueueRecord,
        given: Mapping[str, Any],
        *,
        reset: bool,
        name: str | None = None,
        jurisdiction: str | None = None,
    ) -> Queue:
        """Change settings. `reset`: those that are not given go back to their defaults, else they stay.

        `name` and `jurisdiction` are for callers that say them again: neither can be changed.
        """
        if name is not None and name != record.name:
            raise limits.queue_name_fixed(record.name)
        if jurisdiction is not None and jurisdiction != self.details(record).jurisdiction:
            raise limits.jurisdiction_fixed(record.name)
        now = self._clock.now_ms()
        settings = await self._store.submit(lambda c: change_queue(c, record.uuid, given, now, reset=reset))
        self._events.emit(
            "queue.updated",
            queue=record.name,
            delivery_delay=settings.delivery_delay,
            delivery_paused=settings.delivery_paused,
            message_retention_period=settings.message_retention_period,
        )
        self._broker.wake(record.name)
        return self.details(self.find(record.uuid))

    async def delete(self, record: QueueRecord) -> None:
        """Delete a queue with its messages, consumers and event subscriptions.

        Refused while a Worker of a living session is bound to it, or it takes another queue's dead letters.
        """
        attached = Attached(self._store)
        bound = attached.producers.get(record.name)
        if bound:
            raise limits.queue_is_bound(record.name, ", ".join(bound))
        if consumers.sources_of(self._store, attached, record.name):
            raise limits.queue_takes_dead_letters(record.name)
        await delete_waiting(self._store, record)  # in pieces, so that the last step is short however much there was
        await self._store.submit(lambda c: _delete(c, record))
        self._events.emit("queue.deleted", queue=record.name)
        self._broker.wake(record.name)


def create_queue(
    connection: sqlite3.Connection, name: str, settings: QueueSettings, now_ms: int, jurisdiction: str | None = None
) -> QueueRecord:
    """Create a queue in a running transaction. Raises Refusal when the name is taken."""
    if tables.find_queue(connection, name) is not None:
        raise limits.queue_name_taken(name)
    values = (settings.delivery_delay, settings.delivery_paused, settings.message_retention_period)
    connection.execute(_CREATE, (name, os.urandom(16).hex(), now_ms, now_ms, jurisdiction, *values))
    record = tables.find_queue(connection, name)
    assert record is not None
    return record


def change_queue(
    connection: sqlite3.Connection, queue_id: str, given: Mapping[str, Any], now_ms: int, *, reset: bool = False
) -> QueueSettings:
    """Change a queue's settings in a running transaction. Raises Refusal."""
    record = tables.find_queue_by_uuid(connection, queue_id)
    if record is None:
        raise limits.queue_unknown(queue_id)
    before = QueueSettings() if reset else settings_of(record)
    after = before.changed(given)
    values = (after.delivery_delay, after.delivery_paused, after.message_retention_period, now_ms, record.id)
    connection.execute(_CHANGE, values)
    return after


def settings_of(record: QueueRecord) -> QueueSettings:
    """The settings in a queue's row."""
    return QueueSettings(record.delivery_delay, bool(record.delivery_paused), record.message_retention_period)


def _delete(connection: sqlite3.Connection, record: QueueRecord) -> None:
    backlog.count_up(connection)
    for statement in _DELETE:
        connection.execute(statement, (record.id,))
    subscriptions.delete_of_queue(connection, record.uuid)


def _setting(name: str, value: Any) -> int | bool:
    if name == "delivery_paused":
        if not isinstance(value, bool):
            raise limits.queue_settings_invalid(f"{name} must be true or false, but is {quoted(value)}.")
        return value
    try:
        return whole_number_between(name, value, *_RANGES[name])
    except ValueError as error:
        raise limits.queue_settings_invalid(str(error)) from error
