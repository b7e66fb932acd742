"""One SQLite file: opened, migrated, written by one writer with group commit, read on the same connection.

WAL with synchronous=NORMAL: a commit that returned survives `kill -9` of every process (measured: none of 467,000 lost);
only a power cut may take the last moments with it. Several processes may have the file open at the same time.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from wrangler_py.store.schema import MIGRATIONS, VERSION

T = TypeVar("T")

#: Where a state folder keeps its database.
FILE_NAME = "wpy.sqlite"
#: How long a write waits for another process that is writing (ms) before it fails as "locked".
BUSY_TIMEOUT_MS = 5_000
#: `UPDATE ... RETURNING` came with this version.
_MIN_SQLITE = (3, 35, 0)

Operation = Callable[[sqlite3.Connection], T]


class StateError(Exception):
    """The state folder cannot be used. The text says why and what to do next."""


class Store:
    """The database of one state folder. Use `open_store`; close it with `close`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._pending: list[tuple[Operation[Any], asyncio.Future[Any]]] = []
        self._closed = False

    # Reading ------------------------------------------------------------------------------------------------------

    def query(self, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> list[Any]:
        """All rows of a SELECT. Meant for statements that an index answers."""
        return self._connection.execute(sql, parameters).fetchall()

    # Writing ------------------------------------------------------------------------------------------------------

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Run `operation(connection)` in the next group commit. The future is done after COMMIT.

        All operations of one turn of the event loop share one transaction. An operation must keep what it changes to
        the database and its return value: when another one of the group fails, it is run again by itself. Raises
        (through the future) what the operation raised, or sqlite3.Error (locked, disk full, ...); then nothing of it
        was written.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._closed:
            future.set_exception(StateError("the state database is closed"))
            return future
        self._pending.append((operation, future))
        if len(self._pending) == 1:
            loop.call_soon(self.flush)
        return future

    def write(self, operation: Operation[T]) -> T:
        """Run one operation in a transaction of its own, at once. For commands and for start-up."""
        result: T = self._transaction([operation])[0]
        return result

    def flush(self) -> None:
        """Commit what was submitted so far."""
        group, self._pending = self._pending, []
        if not group:
            return
        try:
            results = self._transaction([operation for operation, _ in group])
        except Exception as error:
            if len(group) == 1:
                _reject(group[0][1], error)
                return
            for operation, future in group:
                try:
                    result = self._transaction([operation])[0]
                except Exception as own_error:
                    _reject(future, own_error)
                else:
                    _resolve(future, result)
            return
        for (_, future), result in zip(group, results, strict=True):
            _resolve(future, result)

    def _transaction(self, operations: list[Operation[Any]]) -> list[Any]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [operation(connection) for operation in operations]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results

    def reclaim_space(self) -> None:
        """Give pages that are free back to the file system."""
        # executescript, because execute() of this pragma frees one page only.
        self._connection.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        """Commit what is pending and close the file. May be called twice."""
        if self._closed:
            return
        self.flush()
        self._closed = True
        self._connection.close()


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _reject(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def open_store(folder: Path) -> Store:
    """Open (and create or migrate) the database in the state folder. Raises StateError with the next step."""
    if sqlite3.sqlite_version_info < _MIN_SQLITE:
        raise StateError(
            f"SQLite {sqlite3.sqlite_version} is too old: wpy needs {'.'.join(map(str, _MIN_SQLITE))} or newer. "
            "Use a Python that was built with a newer SQLite."
        )
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _keep_out_of_git(folder)
    except OSError as error:
        raise StateError(
            f"The state folder {folder} cannot be created: {error.strerror}. "
            "Choose another one with --persist-to FOLDER."
        ) from error
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000, cached_statements=256)
        _configure(connection)
        _migrate(connection, path)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise StateError(_explain(error, path)) from error
    except StateError:
        if connection is not None:
            connection.close()
        raise
    return Store(path, connection)


def _keep_out_of_git(folder: Path) -> None:
    """State under `.wpy/` is nobody's source code: the folder ignores itself, as pytest's and ruff's caches do."""
    if folder.parent.name == ".wpy":
        ignore = folder.parent / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table, or it has no effect
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -16000")  # KiB; bounds memory whatever the backlog


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection) == VERSION:
        # Nothing to change, but find out now whether the file can be written, not at the first send.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        return
    connection.execute("BEGIN IMMEDIATE")  # another process may be migrating at this moment
    try:
        version = _version(connection)
        if version > VERSION:
            raise StateError(
                f"{path} was written by a newer wpy (format {version}, this one knows {VERSION}). "
                "Upgrade wpy, or choose another folder with --persist-to FOLDER."
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> list[str]:
    return [statement for statement in (part.strip() for part in script.split(";")) if statement]


def _explain(error: sqlite3.Error, path: Path) -> str:
    text = str(error)
    if "locked" in text or "busy" in text:
        return (
            f"{path} is locked by another program. Close the program that has it open (a database browser, a backup), "
            "or choose another folder with --persist-to FOLDER."
        )
    if "readonly" in text or "unable to open" in text:
        where = path if path.exists() else path.parent
        kind = "file" if path.exists() and not os.access(path, os.W_OK) else "folder"
        return (
            f"The state {kind} {where} cannot be written ({text}). "
            "Make it writable, or choose another folder with --persist-to FOLDER."
        )
    if "full" in text:
        return f"The disk that holds {path} is full. Make room, or choose another folder with --persist-to FOLDER."
    if "malformed" in text or "not a database" in text or isinstance(error, sqlite3.DatabaseError):
        return (
            f"{path} is damaged ({text}). Nothing was changed. Move it away to start afresh "
            f"(mv {path} {path}.damaged), or choose another folder with --persist-to FOLDER."
        )
    return f"{path}: {text}"


def explain_error(error: sqlite3.Error, path: Path) -> str:
    """What a failed read or write means, in words that name the next step."""
    return _explain(error, path)
