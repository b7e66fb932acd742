"""Emptying a queue: all that waits in it, ready or delayed.

What is in flight at that moment, in a batch or under a lease, is left to whoever holds it, and what is sent while the
purge runs may survive it, both as in production (Cloudflare docs: Queues > Pause and purge).
"""

from __future__ import annotations

import sqlite3

from msgspec import Struct

from wrangler_py.clock import Clock
from wrangler_py.events.log import EventLog
from wrangler_py.queues import backlog, limits
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.store.database import Store

#: Messages deleted in one transaction; more would stall the loop.
_CHUNK = 5_000

_LAST = "SELECT coalesce(max(seq), 0) FROM message"
_DELETE_WAITING = """
    DELETE FROM message WHERE seq IN (
        SELECT seq FROM message INDEXED BY message_waiting WHERE queue_id = ? AND owner = 0 AND seq <= ? LIMIT ?
    ) RETURNING length(body)
"""
_BEGIN = "UPDATE queue SET purge_started_ms = ?, purge_ended_ms = NULL WHERE id = ?"
_END = "UPDATE queue SET purge_ended_ms = ? WHERE id = ? AND purge_started_ms = ?"
_STATUS = "SELECT purge_started_ms, purge_ended_ms FROM queue WHERE id = ?"


class PurgeStatus(Struct, frozen=True):
    """The last purge of a queue."""

    #: None: it was never purged.
    started_ms: int | None
    complete: bool


class Purges:
    """Purges queues."""

    def __init__(self, store: Store, clock: Clock, events: EventLog, broker: Broker) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._broker = broker

    async def purge(self, record: QueueRecord) -> PurgeStatus:
        """Delete what waits in the queue now. Returns when it is done."""
        now = self._clock.now_ms()
        if not await self._store.submit(lambda c: c.execute(_BEGIN, (now, record.id)).rowcount):
            raise limits.queue_unknown(record.uuid)
        count = await delete_waiting(self._store, record)
        await self._store.submit(lambda c: c.execute(_END, (self._clock.now_ms(), record.id, now)).rowcount)
        self._events.emit("queue.purged", queue=record.name, count=count)
        self._broker.wake(record.name)
        return self.status(record)

    def status(self, record: QueueRecord) -> PurgeStatus:
        """The state of the last purge. One that the end of its session cut off is not complete."""
        for started_ms, ended_ms in self._store.query(_STATUS, (record.id,)):
            return PurgeStatus(started_ms, ended_ms is not None)
        return PurgeStatus(None, complete=False)


async def delete_waiting(store: Store, record: QueueRecord) -> int:
    """Delete the messages that wait in a queue now, in pieces. Returns how many there were."""
    last = int(store.query(_LAST)[0][0])

    def delete(connection: sqlite3.Connection) -> int:
        backlog.count_up(connection)
        sizes = [row[0] for row in connection.execute(_DELETE_WAITING, (record.id, last, _CHUNK))]
        if sizes:
            backlog.add(connection, record.id, -len(sizes), -sum(sizes))
        return len(sizes)

    total, count = 0, _CHUNK
    while count == _CHUNK:
        count = await store.submit(delete)
        total += count
    return total
