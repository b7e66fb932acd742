"""Event subscriptions, as Cloudflare's API keeps them: which of an account's events go to which queue.

They are stored, listed and changed; nothing in a session publishes such events. (Cloudflare docs: Queues > Event
subscriptions.)
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from wrangler_py.clock import Clock
from wrangler_py.queues import limits
from wrangler_py.store.database import Store

_COLUMNS = "id, queue_id, created_ms, modified_ms, name, enabled, source, events"
_GET = f"SELECT {_COLUMNS} FROM event_subscription WHERE id = ?"
_ALL = f"SELECT {_COLUMNS} FROM event_subscription"
_WRITE = f"INSERT OR REPLACE INTO event_subscription ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM event_subscription WHERE id = ?"
_DELETE_OF_QUEUE = "DELETE FROM event_subscription WHERE queue_id = ?"

#: What a list can be sorted by.
ORDERS = ("created_at", "name", "enabled", "source")


class Subscription(Struct, frozen=True):
    """One event subscription. Its destination is a queue."""

    id: str  # 32 hex characters
    queue_id: str
    created_ms: int
    modified_ms: int
    name: str
    enabled: bool
    #: {"type": "kv"}, {"type": "workersBuilds.worker", "worker_name": ...}, ...
    source: Mapping[str, Any]
    events: Sequence[str]


class Subscriptions:
    """Keeps event subscriptions. Methods raise Refusal, sqlite3.Error or StateError."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def get(self, subscription_id: str) -> Subscription:
        for row in self._store.query(_GET, (subscription_id,)):
            return _subscription(row)
        raise limits.subscription_unknown()

    def page(
        self, queue_id: str | None, page: int, per_page: int, order: str = "created_at", *, descending: bool = False
    ) -> tuple[list[Subscription], int]:
        """One page (from 1) of all subscriptions, or of those to one queue. Second: of how many."""
        found = [s for s in map(_subscription, self._store.query(_ALL)) if queue_id in (None, s.queue_id)]
        found.sort(key=lambda s: s.id)
        found.sort(key=_KEYS[order], reverse=descending)
        return found[(page - 1) * per_page : page * per_page], len(found)

    async def create(
        self, queue_id: str, name: str, source: Mapping[str, Any], events: Sequence[str], *, enabled: bool
    ) -> Subscription:
        """Subscribe a queue to the events of a source. Refused when it is subscribed to that source already."""
        now = self._clock.now_ms()
        made = Subscription(os.urandom(16).hex(), queue_id, now, now, name, enabled, source, events)

        def operation(connection: sqlite3.Connection) -> None:
            _refuse_second(connection, made)
            _write(connection, made)

        await self._store.submit(operation)
        return made

    async def change(self, subscription_id: str, **changes: Any) -> Subscription:
        """Change `queue_id`, `name`, `enabled` or `events`."""
        now = self._clock.now_ms()

        def operation(connection: sqlite3.Connection) -> Subscription:
            row = connection.execute(_GET, (subscription_id,)).fetchone()
            if row is None:
                raise limits.subscription_unknown()
            changed = replace(_subscription(row), modified_ms=now, **changes)
            _refuse_second(connection, changed)
            _write(connection, changed)
            return changed

        return await self._store.submit(operation)

    async def remove(self, subscription_id: str) -> Subscription:
        gone = self.get(subscription_id)
        await self._store.submit(lambda c: c.execute(_DELETE, (subscription_id,)).rowcount)
        return gone


def delete_of_queue(connection: sqlite3.Connection, queue_id: str) -> None:
    """Forget the subscriptions to a queue that is being deleted."""
    connection.execute(_DELETE_OF_QUEUE, (queue_id,))


_KEYS = {
    "created_at": lambda s: (s.created_ms, s.name),
    "name": lambda s: s.name,
    "enabled": lambda s: s.enabled,
    "source": lambda s: json.dumps(s.source, sort_keys=True),
}


def _refuse_second(connection: sqlite3.Connection, subscription: Subscription) -> None:
    for other in map(_subscription, connection.execute(_ALL).fetchall()):
        same = (other.queue_id, other.source) == (subscription.queue_id, subscription.source)
        if same and other.id != subscription.id:
            raise limits.subscription_exists(str(subscription.source.get("type")))


def _write(connection: sqlite3.Connection, s: Subscription) -> None:
    row = (s.id, s.queue_id, s.created_ms, s.modified_ms, s.name, s.enabled, json.dumps(s.source), json.dumps(s.events))
    connection.execute(_WRITE, row)


def _subscription(row: Sequence[Any]) -> Subscription:
    subscription_id, queue_id, created_ms, modified_ms, name, enabled, source, events = row
    return Subscription(
        *(subscription_id, queue_id, created_ms, modified_ms, name, bool(enabled)),
        json.loads(source),
        json.loads(events),
    )
