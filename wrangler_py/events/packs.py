"""Packs: events that were put aside as they came, and wait to be made sense of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wrangler_py.events import plain, tables
from wrangler_py.events.digest import Digest
from wrangler_py.events.plain import Plain

_OLDEST = "SELECT n, last_seq, data FROM pack ORDER BY n LIMIT 1"


class Pack(NamedTuple):
    """Events as they are put aside."""

    events: int
    messages: int  # that were sent
    data: bytes


def packed(events: Sequence[Plain]) -> Pack:
    messages = sum(len(event[3]["ids"]) for event in events if event[1] == "message.sent")
    return Pack(len(events), messages, plain.pack(events))


def put_aside(connection: sqlite3.Connection, packs: Iterable[Pack], first_seq: int) -> None:
    """Write packs, in the transaction of the caller; their events are numbered from `first_seq`."""
    last = first_seq - 1
    for pack in packs:
        last += pack.events
        connection.execute(
            "INSERT INTO pack (last_seq, messages, data) VALUES (?, ?, ?)", (last, pack.messages, pack.data)
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
