"""Packs: events that were put aside as they came, and wait to be made sense of."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from wrangler_py.events import plain, tables
from wrangler_py.events.digest import Digest
from wrangler_py.events.plain import Plain

_OLDEST = "SELECT n, last_seq, data FROM pack ORDER BY n LIMIT 1"


def put_aside(
    connection: sqlite3.Connection, events: Sequence[Plain], first_seq: int, packed: bytes | None = None
) -> None:
    """Write events as a pack, in the transaction of the caller; they are numbered from `first_seq`. `packed`: the events, if
    they were packed already."""
    messages = sum(len(event[3]["ids"]) for event in events if event[1] == "message.sent")
    connection.execute(
        "INSERT INTO pack (last_seq, messages, data) VALUES (?, ?, ?)",
        (first_seq + len(events) - 1, messages, plain.pack(events) if packed is None else packed),
    )


def unpack_one(connection: sqlite3.Connection, digest: Digest) -> bool:
    """Put the oldest pack's events in their places, in a transaction of its own. False: there is none. Raises sqlite3.Error,
    or ValueError, EOFError or TypeError for a pack that is damaged."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        row = connection.execute(_OLDEST).fetchone()
        if row is None:
            connection.execute("ROLLBACK")
            return False
        number, last, data = row
        events = plain.unpack(data)
        tables.apply(connection, digest.rows(events), last - len(events) + 1)
        connection.execute("DELETE FROM pack WHERE n = ?", (number,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return True
