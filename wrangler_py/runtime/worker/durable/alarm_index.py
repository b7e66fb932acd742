"""Which objects of a class have an alarm: one small SQLite file beside theirs, so that none has to be opened to know it.

The object's own file decides. This one never says a later time than that: it is told of an earlier time before the object's
commit, and of a later one after it (workerd keeps its alarm manager in step in the same way). An alarm that fires too early
finds the object's own time and is put right.
"""

from __future__ import annotations

import os
import sqlite3

_CREATE = (
    "CREATE TABLE IF NOT EXISTS alarm (id TEXT PRIMARY KEY, name TEXT, time_ms INTEGER, due_ms INTEGER) WITHOUT ROWID"
)
_PUT = (
    "INSERT INTO alarm VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET name = coalesce(excluded.name, name), "
    "time_ms = excluded.time_ms, due_ms = excluded.due_ms"
)


class AlarmIndex:
    """The alarms of one class. Times are milliseconds: as the user has set it, and on the session's clock."""

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        self._connection = sqlite3.connect(
            os.path.join(folder, "alarms.sqlite"),  # noqa: PTH118
            timeout=5,
            isolation_level=None,
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(_CREATE)

    def all(self) -> list[tuple[str, str | None, int, int]]:
        """(id, name, time, due) of each."""
        return self._connection.execute("SELECT id, name, time_ms, due_ms FROM alarm ORDER BY due_ms").fetchall()

    def due(self, object_id: str) -> int | None:
        row = self._connection.execute("SELECT due_ms FROM alarm WHERE id = ?", (object_id,)).fetchone()
        return None if row is None else row[0]

    def put(self, object_id: str, name: str | None, time_ms: int, due_ms: int) -> None:
        self._connection.execute(_PUT, (object_id, name, time_ms, due_ms))

    def remove(self, object_id: str) -> None:
        self._connection.execute("DELETE FROM alarm WHERE id = ?", (object_id,))

    def close(self) -> None:
        self._connection.close()
