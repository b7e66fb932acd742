"""Making messages ready before their time: delayed ones, and those that wait for a retry. No attempt is counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from msgspec import Struct, field

from wrangler_py.queues.tables import QueueRecord
from wrangler_py.store.database import Store

#: Messages changed in one transaction; more would keep a running session from its own writes.
_CHUNK = 5_000

_FIND = "SELECT seq, owner, visible_ms FROM message WHERE id = ? AND queue_id = ?"
_HASTEN_ONE = "UPDATE message SET visible_ms = ? WHERE seq = ?"
_HASTEN_ALL = """
    UPDATE message SET visible_ms = :now WHERE seq IN (
        SELECT seq FROM message INDEXED BY message_waiting
        WHERE queue_id = :queue AND owner = 0 AND visible_ms > :now ORDER BY visible_ms, seq LIMIT :limit
    )
"""


class Hastened(Struct):
    """What became of messages that were to be made ready, by id."""

    #: Ready now, and not before.
    ids: list[str] = field(default_factory=list)
    ready_before: list[str] = field(default_factory=list)
    #: A Worker or a pull consumer has them just now.
    in_flight: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def hasten(store: Store, record: QueueRecord, now_ms: int, ids: Sequence[str]) -> Hastened:
    """Make the messages with these ids (32 hex characters) ready. Reads the queue. Raises sqlite3.Error, StateError."""

    def operation(connection: sqlite3.Connection) -> Hastened:
        done = Hastened()
        for message_id in ids:
            row = connection.execute(_FIND, (bytes.fromhex(message_id), record.id)).fetchone()
            if row is None:
                done.unknown.append(message_id)
            elif row[1] != 0:
                done.in_flight.append(message_id)
            elif row[2] <= now_ms:
                done.ready_before.append(message_id)
            else:
                connection.execute(_HASTEN_ONE, (now_ms, row[0]))
                done.ids.append(message_id)
        return done

    return store.write(operation)


def hasten_all(store: Store, record: QueueRecord, now_ms: int) -> int:
    """Make all messages of a queue ready that wait for a later time. Returns how many there were. Raises sqlite3.Error,
    StateError."""
    parameters = {"now": now_ms, "queue": record.id, "limit": _CHUNK}
    total, count = 0, _CHUNK
    while count == _CHUNK:
        count = store.write(lambda c: c.execute(_HASTEN_ALL, parameters).rowcount)
        total += count
    return total
