"""The SQLite file of one object.

What an object writes in one turn of the event loop is one transaction, committed before anything leaves the process
(loop.Hub.before_output) and before the event that wrote it answers. The tables of wpy's own are those of workerd, so
that a file says the same to both: `_cf_KV` (keys and values) and `_cf_METADATA` (the alarm).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

_CREATE = (
    "CREATE TABLE IF NOT EXISTS _cf_KV (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS _cf_METADATA (key INTEGER PRIMARY KEY, value BLOB)",
)
_GET = "SELECT value FROM _cf_KV WHERE key = ?"
_PUT = "INSERT INTO _cf_KV VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
_DELETE = "DELETE FROM _cf_KV WHERE key = ?"
_LIST = "SELECT key, value FROM _cf_KV WHERE key >= ?{end} ORDER BY key{order} LIMIT ?"
_ALARM = 1
_NAME = 2
_META_GET = "SELECT value FROM _cf_METADATA WHERE key = ?"
_META_PUT = "INSERT INTO _cf_METADATA VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
_META_DELETE = "DELETE FROM _cf_METADATA WHERE key = ?"

#: How long another process may hold the file before that is an error (seconds).
_BUSY_S = 5.0


class Database:
    """Opened when it is first used; closed when its object is let go."""

    def __init__(self, path: str, on_begin: Callable[[Database], None]) -> None:
        """`on_begin` is told when a transaction begins that somebody has to commit."""
        self.path = path
        self._on_begin = on_begin
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        #: Whether the turn's transaction is open.
        self.dirty = False
        #: How many transactions of the user's are open inside of it.
        self.depth = 0
        #: What tells the owner of alarms about a commit; set while the turn's transaction moves the alarm.
        self.alarm_moved = False
        #: Whether the statement that is being prepared is wpy's own, which may do what the user's may not.
        self.trusted = True
        self.authorize: Callable[..., int] | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._closed:
                raise sqlite3.ProgrammingError("the object's file was closed")
            os.makedirs(os.path.dirname(self.path), exist_ok=True)  # noqa: PTH103, PTH120
            connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(
                "PRAGMA synchronous = NORMAL"
            )  # a process that dies loses nothing; a machine the last turns
            connection.execute("PRAGMA foreign_keys = ON")
            for statement in _CREATE:
                connection.execute(statement)
            if self.authorize is not None:
                connection.set_authorizer(self.authorize)
            self._connection = connection
        return self._connection

    @property
    def exists(self) -> bool:
        """Whether anything was ever stored."""
        return self._connection is not None or os.path.exists(self.path)  # noqa: PTH110

    # --- transactions ---------------------------------------------------------------------------------------------

    def begin(self) -> sqlite3.Connection:
        """The connection, inside of the turn's transaction."""
        connection = self.connection
        if not self.dirty:
            connection.execute("BEGIN IMMEDIATE")
            self.dirty = True
            self._on_begin(self)
        return connection

    def commit(self) -> None:
        """Commit what the turn has written. Waits for a transaction of the user's to end. Raises sqlite3.Error."""
        if self.dirty and not self.depth:
            assert self._connection is not None
            self._connection.execute("COMMIT")
            self.dirty = False

    def rollback(self) -> None:
        """Forget what was not committed."""
        self.depth = 0
        self.alarm_moved = False
        if self.dirty and self._connection is not None:
            self.dirty = False
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def savepoint(self) -> int:
        """Begin a transaction inside of the turn's; its number."""
        connection = self.begin()
        self.depth += 1
        connection.execute(f"SAVEPOINT wpy_{self.depth}")
        return self.depth

    def release(self, number: int) -> None:
        self.connection.execute(f"RELEASE wpy_{number}")
        self.depth = number - 1
        if not self.depth:
            self._on_begin(self)  # the turns that it took have not committed it

    def undo(self, number: int, *, over: bool = True) -> None:
        """Undo what was written since the savepoint; with `over`, it ends."""
        self.connection.execute(f"ROLLBACK TO wpy_{number}")
        if over:
            self.release(number)

    def close(self) -> None:
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            finally:
                self.dirty = False
                connection.close()

    # --- keys and values --------------------------------------------------------------------------------------------

    def get(self, key: str) -> bytes | None:
        if not self.exists:
            return None
        row = self.connection.execute(_GET, (_text(key),)).fetchone()
        return None if row is None else row[0]

    def put(self, key: str, value: bytes) -> None:
        self.begin().execute(_PUT, (_text(key), value))

    def delete(self, key: str) -> bool:
        if not self.exists:
            return False
        return self.begin().execute(_DELETE, (_text(key),)).rowcount > 0

    def list(
        self, start: str, end: str | None, reverse: bool, limit: int, after: bool = False
    ) -> Iterator[tuple[str, bytes]]:
        """Entries with `start` <= key < `end`, ascending by UTF-8; `after`: `start` itself is left out."""
        if not self.exists:
            return iter(())
        sql = _LIST.format(end="" if end is None else " AND key < ?", order=" DESC" if reverse else "")
        if after:
            sql = sql.replace("key >= ?", "key > ?")
        parameters = [_text(start), *([] if end is None else [_text(end)]), limit]
        return iter(self.connection.execute(sql, parameters).fetchall())

    def delete_all(self) -> None:
        """Drop everything that the user has stored, tables included; the alarm stays."""
        if not self.exists:
            return
        connection = self.begin()
        connection.execute("PRAGMA defer_foreign_keys = ON")
        for kinds in ("view", "trigger", "virtual", "table"):
            for kind, name, sql in connection.execute(
                "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
                "AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'"
            ).fetchall():
                virtual = kind == "table" and str(sql).upper().startswith("CREATE VIRTUAL")
                if kinds == ("virtual" if virtual else kind):
                    quoted = name.replace('"', '""')
                    connection.execute(f'DROP {kind} IF EXISTS "{quoted}"')
        connection.execute("DELETE FROM _cf_KV")

    # --- what is known of the object --------------------------------------------------------------------------------

    def alarm(self) -> int | None:
        """When the alarm is due, as the user has set it (ms)."""
        return self._meta(_ALARM)

    def set_alarm(self, time_ms: int | None) -> None:
        if time_ms is None:
            if not self.exists:
                return
            self.begin().execute(_META_DELETE, (_ALARM,))
        else:
            self.begin().execute(_META_PUT, (_ALARM, time_ms))
        self.alarm_moved = True

    def _meta(self, key: int) -> Any:
        if not self.exists:
            return None
        row = self.connection.execute(_META_GET, (key,)).fetchone()
        return None if row is None else row[0]

    @property
    def size(self) -> int:
        """Bytes of the database."""
        connection = self.connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        return pages * page


def _text(key: str) -> str:
    """A key as SQLite can hold it: a lone surrogate has no UTF-8 form."""
    try:
        key.encode("utf-8")
    except UnicodeEncodeError:
        return key.encode("utf-8", "replace").decode()
    return key
