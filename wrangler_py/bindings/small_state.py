"""What Analytics Engine, Secrets Store and email keep: one SQLite file in the state folder, opened when first needed.

A call is a transaction that is committed when it returns. Several processes may use the file at the same time.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

FILE_NAME = "bindings.sqlite"
_BUSY_TIMEOUT_S = 5.0

_TABLES = """
CREATE TABLE IF NOT EXISTS data_point (
  id INTEGER PRIMARY KEY, dataset TEXT NOT NULL, timestamp_ms INTEGER NOT NULL, worker TEXT NOT NULL,
  "index" TEXT, blobs TEXT NOT NULL, doubles TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS data_point_of_dataset ON data_point (dataset, id);
CREATE TABLE IF NOT EXISTS secret (
  store_id TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, id TEXT NOT NULL, created_ms INTEGER NOT NULL,
  PRIMARY KEY (store_id, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS email (
  id INTEGER PRIMARY KEY, message_id TEXT NOT NULL, timestamp_ms INTEGER NOT NULL, worker TEXT NOT NULL,
  binding TEXT NOT NULL, fields TEXT NOT NULL
);
"""


class DataPoint(Struct, frozen=True):
    """One point of Analytics Engine."""

    timestamp_ms: int
    worker: str
    index: str | None
    blobs: list[str | None]
    doubles: list[float]


class StoredSecret(Struct, frozen=True):
    name: str
    id: str
    created_ms: int


class SmallState:
    """The file in a state folder. Methods raise sqlite3.Error and OSError when it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_TABLES)
            self._connection = connection
        yield self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Analytics Engine ---------------------------------------------------------------------------------------------

    def write_point(
        self, dataset: str, now_ms: int, worker: str, index: str | None, blobs: list[Any], doubles: list[Any]
    ) -> None:
        values = (dataset, now_ms, worker, index, json.dumps(blobs, ensure_ascii=False), json.dumps(doubles))
        with self._open() as connection:
            connection.execute(
                'INSERT INTO data_point (dataset, timestamp_ms, worker, "index", blobs, doubles)'
                " VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )

    def datasets(self) -> list[tuple[str, int]]:
        """(name, number of points), by name."""
        with self._open() as connection:
            return connection.execute("SELECT dataset, count(*) FROM data_point GROUP BY 1 ORDER BY 1").fetchall()

    def points(self, dataset: str, limit: int) -> list[DataPoint]:
        """The newest points, oldest of them first."""
        with self._open() as connection:
            rows = connection.execute(
                'SELECT timestamp_ms, worker, "index", blobs, doubles FROM data_point WHERE dataset = ?'
                " ORDER BY id DESC LIMIT ?",
                (dataset, limit),
            ).fetchall()
        return [
            DataPoint(when, worker, index, json.loads(blobs), json.loads(doubles))
            for when, worker, index, blobs, doubles in reversed(rows)
        ]

    # Secrets Store ------------------------------------------------------------------------------------------------

    def secret(self, store_id: str, name: str) -> str | None:
        with self._open() as connection:
            row = connection.execute(
                "SELECT value FROM secret WHERE store_id = ? AND name = ?", (store_id, name)
            ).fetchone()
        return None if row is None else row[0]

    def put_secret(self, store_id: str, name: str, value: str, now_ms: int) -> str:
        """Create or replace a secret; its id."""
        with self._open() as connection:
            row = connection.execute(
                "INSERT INTO secret VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value RETURNING id",
                (store_id, name, value, uuid.uuid4().hex, now_ms),
            ).fetchone()
        return str(row[0])

    def secrets(self, store_id: str) -> list[StoredSecret]:
        with self._open() as connection:
            rows = connection.execute(
                "SELECT name, id, created_ms FROM secret WHERE store_id = ? ORDER BY name", (store_id,)
            ).fetchall()
        return [StoredSecret(*row) for row in rows]

    def delete_secret(self, store_id: str, name: str) -> bool:
        with self._open() as connection:
            return (
                connection.execute("DELETE FROM secret WHERE store_id = ? AND name = ?", (store_id, name)).rowcount > 0
            )

    # Email --------------------------------------------------------------------------------------------------------

    def keep_email(self, now_ms: int, worker: str, binding: str, fields: dict[str, Any]) -> str:
        """Keep what was sent; its message id."""
        message_id = f"<{uuid.uuid4().hex}@wpy.local>"
        with self._open() as connection:
            connection.execute(
                "INSERT INTO email (message_id, timestamp_ms, worker, binding, fields) VALUES (?, ?, ?, ?, ?)",
                (message_id, now_ms, worker, binding, json.dumps(fields, ensure_ascii=False)),
            )
        return message_id
