"""How far the sends that a worker's process keeps in a file (runtime/worker/outbox.py) are stored.

The mark moves in the transaction that stores them, so that whoever takes up such a file after a crash stores each of its
sends exactly once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from wrangler_py.store.database import Store

_MARK = "INSERT INTO outbox (name, stored) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET stored = excluded.stored"
_STORED = "SELECT stored FROM outbox WHERE name = ?"
_FORGET = "DELETE FROM outbox WHERE name = ?"


def mark(connection: sqlite3.Connection, stored: Mapping[str, int]) -> None:
    """The sends of these outboxes are stored up to these numbers."""
    for item in stored.items():
        connection.execute(_MARK, item)


def stored(store: Store, name: str) -> int:
    """The number of the last send of an outbox that is stored; 0: none."""
    rows = store.query(_STORED, (name,))
    return int(rows[0][0]) if rows else 0


def forget(connection: sqlite3.Connection, name: str) -> None:
    """An outbox is no more. Its file has to be gone already."""
    connection.execute(_FORGET, (name,))
