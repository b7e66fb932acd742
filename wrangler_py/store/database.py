"""One SQLite file: opened, migrated, written by one writer with group commit, read on the same connection.

WAL with synchronous=NORMAL: a commit that returned survives `kill -9` of every process (measured: none of 467,000 lost);
only a power cut may take the last moments with it. Several processes may have the file open at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from wrangler_py.store.schema import MIGRATIONS, VERSION

T = TypeVar("T")

#: Where a state folder keeps its database.
FILE_NAME = "wpy.sqlite"
#: How long a write waits for another process that is writing (ms) before it fails as "locked".
BUSY_TIMEOUT_MS = 5_000
#: In a running session a write waits in small steps: SQLite blocks the event loop for the first time (ms), then the
#: loop goes on with other work for the second.
_BUSY_STEP_MS = 5
_BUSY_PAUSE_MS = 10
_BUSY_STEPS = BUSY_TIMEOUT_MS // (_BUSY_STEP_MS + _BUSY_PAUSE_MS)
#: How long to wait before opening is tried again while other processes create the same file (ms).
_OPEN_PAUSE_MS = 20
#: Free pages are given back to the file system once nothing was written for so long (seconds), if there are so many of them at
#: least; so many in one go, with so long between two (seconds), so that no message waits for it.
_QUIET_S = 1.0
_FREE_PAGES = 256
_PAGES_AT_ONCE = 64
_NEXT_PAGES_S = 0.02
#: `UPDATE ... RETURNING` came with this version.
_MIN_SQLITE = (3, 35, 0)

_CLOSED = "the state database is closed"

Operation = Callable[[sqlite3.Connection], T]


#: What was submitted: the operation, who waits for it, and what to tell him when it fails.
_Entry = tuple[Operation[Any], asyncio.Future[Any], Callable[[Exception], Exception] | None]


class _Sink:
    """Stands where a future would, and tells at once."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[Any, Exception | None], None]) -> None:
        self._tell = tell

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return False

    def set_result(self, result: Any) -> None:
        self._say(result, None)

    def set_exception(self, error: Exception) -> None:
        self._say(None, error)

    def _say(self, result: Any, error: Exception | None) -> None:
        try:
            self._tell(result, error)
        except Exception as broken:  # the others of the group have to hear of their commit all the same
            context = {"message": "who waited for a commit failed when told of it", "exception": broken}
            asyncio.get_running_loop().call_exception_handler(context)


class StateError(Exception):
    """The state folder cannot be used. The text says why and what to do next."""


class _CannotBegin(Exception):
    """BEGIN failed, so that no operation is to blame and none has run."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__(str(error))
        self.error = error


class Store:
    """The database of one state folder. Use `open_store`; close it with `close`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._pending: list[_Entry] = []
        self._planned: asyncio.Handle | None = None
        self._tidying: asyncio.TimerHandle | None = None
        self._written = False  # since the tidying was planned
        self._waits = 0  # for how many steps another process has kept the pending group waiting
        self._closed = False

    # Reading ------------------------------------------------------------------------------------------------------

    def query(self, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> list[Any]:
        """All rows of a SELECT. Meant for statements that an index answers. Raises sqlite3.Error, or StateError when
        the database is closed."""
        if self._closed:
            raise StateError(_CLOSED)
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            with self._patience():  # readers wait for nobody, but for one who repairs the log after a crash
                return self._connection.execute(sql, parameters).fetchall()

    # Writing ------------------------------------------------------------------------------------------------------

    def submit(
        self, operation: Operation[T], explain: Callable[[Exception], Exception] | None = None
    ) -> asyncio.Future[T]:
        """Run `operation(connection)` in the next group commit. The future is done after COMMIT.

        All operations of one turn of the event loop share one transaction. An operation must keep what it changes to
        the database and its return value: when another one of the group fails, it is run again by itself. Raises
        (through the future) what the operation raised, StateError when the database is closed, or sqlite3.Error (disk
        full, locked by another process for more than BUSY_TIMEOUT_MS, ...), each turned into what `explain` makes of
        it; then nothing of it was written. An operation whose future is cancelled before its turn is not run.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        entry = (operation, future, explain)
        if self._closed:
            _reject(entry, StateError(_CLOSED))
            return future
        self._pending.append(entry)
        if self._planned is None:
            self._planned = loop.call_soon(self._turn)
        return future

    def enqueue(
        self,
        operation: Operation[T],
        tell: Callable[[T | None, Exception | None], None],
        explain: Callable[[Exception], Exception] | None = None,
    ) -> None:
        """`submit` for those who are many: `tell(result, error)` is called right after COMMIT, without a future and the
        turns of the loop that one takes. Whatever `tell` raises goes to the loop's exception handler."""
        sink: Any = _Sink(tell)
        entry: _Entry = (operation, sink, explain)
        if self._closed:
            _reject(entry, StateError(_CLOSED))
            return
        self._pending.append(entry)
        if self._planned is None:
            self._planned = asyncio.get_running_loop().call_soon(self._turn)

    def commit_now(self) -> None:
        """Commit what is pending within this turn of the loop, unless another process makes it wait."""
        if self._pending and not self._waits:
            self._turn()

    def write(self, operation: Operation[T]) -> T:
        """Run one operation in a transaction of its own, at once. For commands and for start-up: it blocks while
        another process writes. Raises sqlite3.Error, or StateError when the database is closed."""
        if self._closed:
            raise StateError(_CLOSED)
        try:
            with self._patience():
                result: T = self._transaction([operation])[0]
        except _CannotBegin as refusal:
            raise refusal.error from None
        return result

    def flush(self) -> None:
        """Commit what was submitted so far, now; blocks while another process writes."""
        with self._patience():
            self._commit(may_wait=False)

    def _turn(self) -> None:
        if self._planned is not None:
            self._planned.cancel()  # for commit_now: two chains of tries would be patient for half as long
            self._planned = None
        if not self._commit(may_wait=True) and self._planned is None:
            self._planned = asyncio.get_running_loop().call_later(_BUSY_PAUSE_MS / 1000, self._turn)

    def _commit(self, *, may_wait: bool) -> bool:
        """Commit what is pending. False when another process writes and it should be tried again in a while."""
        group = [entry for entry in self._pending if not entry[1].cancelled()]
        self._pending = []
        chunks = deque([group] if group else [])
        while chunks:
            chunk = chunks[0]
            try:
                results = self._transaction([entry[0] for entry in chunk])
            except _CannotBegin as refusal:
                # No operation is to blame, and none would fare better by itself.
                left = [entry for chunk in chunks for entry in chunk]
                if may_wait and is_busy(refusal.error) and self._waits < _BUSY_STEPS:
                    self._waits += 1
                    self._pending = left
                    return False
                for entry in left:
                    _reject(entry, refusal.error)
                break
            except Exception as error:
                if len(chunk) > 1:  # each for itself, so that only the culprit fails
                    chunks = deque([entry] for entry in chunk)
                    continue
                _reject(chunk[0], error)
            else:
                for entry, result in zip(chunk, results, strict=True):
                    if not entry[1].done():
                        entry[1].set_result(result)
            chunks.popleft()
        self._waits = 0
        self._written = True
        if self._tidying is None and may_wait:
            self._tidying = asyncio.get_running_loop().call_later(_QUIET_S, self._tidy)
        return True

    def _tidy(self) -> None:
        """Give a few free pages back, if nothing else is to be done, and go on until few are left."""
        self._tidying = None
        if self._closed:
            return
        wait_s: float | None = _QUIET_S
        if not self._written:
            wait_s = _NEXT_PAGES_S if self._give_back() else None
        self._written = False
        if wait_s is not None:
            self._tidying = asyncio.get_running_loop().call_later(wait_s, self._tidy)

    def _give_back(self) -> bool:
        """Whether there is more to give back."""
        try:
            free = self._connection.execute("PRAGMA freelist_count").fetchone()[0]
            if free < _FREE_PAGES:
                return False
            # executescript, because execute() of this pragma frees one page only.
            self._connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
            if free - _PAGES_AT_ONCE < _FREE_PAGES:  # the file becomes shorter with the next checkpoint
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            return True
        except sqlite3.Error:  # another process writes, or the disk is full: it is done after the next write
            return False

    def _transaction(self, operations: list[Operation[Any]]) -> list[Any]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise _CannotBegin(error) from error
        try:
            results = [operation(connection) for operation in operations]
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        """Let SQLite itself wait for other processes, blocking whoever calls."""
        self._connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        try:
            yield
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_STEP_MS}")

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
        if self._tidying is not None:
            self._tidying.cancel()
            self._tidying = None
        self._connection.close()


def _reject(entry: _Entry, error: Exception) -> None:
    _, future, explain = entry
    if not future.done():
        future.set_exception(explain(error) if explain else error)


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
        keep_out_of_git(folder)
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
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_STEP_MS}")
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise StateError(explain_error(error, path)) from error
    except StateError:
        if connection is not None:
            connection.close()
        raise
    return Store(path, connection)


def open_memory(folder: Path) -> Store:
    """A database in memory that takes the place of the one in `folder`, which nobody else can see. For tests: it is a copy
    of one that was made before, which costs less than a file. Raises StateError."""
    global _empty
    path = folder / FILE_NAME
    if _empty is None:
        _empty = sqlite3.connect(":memory:", isolation_level=None)
        _migrate(_empty, path)
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=256)
    _empty.backup(connection)
    return Store(path, connection)


_empty: sqlite3.Connection | None = None


def keep_out_of_git(folder: Path) -> None:
    """State under `.wpy/` is nobody's source code: the folder ignores itself, as pytest's and ruff's caches do."""
    if folder.parent.name == ".wpy":
        ignore = folder.parent / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table, or it has no effect
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -16000")  # KiB; bounds memory whatever the backlog


def _use_wal(connection: sqlite3.Connection) -> None:
    end = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.Error as error:
            if not is_busy(error) or time.monotonic() > end:
                raise
        # SQLite does not wait by itself when two processes create the file at the same moment.
        time.sleep(_OPEN_PAUSE_MS / 1000)


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


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process writes at this moment, so that waiting may help."""
    return _code(error) == sqlite3.SQLITE_BUSY


def explain_error(error: sqlite3.Error, path: Path) -> str:
    """What a failed read or write means, in words that name the next step."""
    text, code = str(error), _code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"{path} is locked by another program. Close the program that has it open (a database browser, a backup), "
            "or choose another folder with --persist-to FOLDER."
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        is_file = path.exists() and not os.access(path, os.W_OK)
        return (
            f"The state {'file' if is_file else 'folder'} {path if is_file else path.parent} cannot be written ({text}). "
            "Make it writable, or choose another folder with --persist-to FOLDER."
        )
    if code == sqlite3.SQLITE_FULL:
        return f"The disk that holds {path} is full. Make room, or choose another folder with --persist-to FOLDER."
    if code == sqlite3.SQLITE_IOERR:
        return (
            f"{path} could not be read or written ({text}). Look whether the disk is full, removed or failing, "
            "or choose another folder with --persist-to FOLDER."
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return (
            f"{path} is damaged ({text}). Nothing was changed. Move it away to start afresh "
            f"(mv {path} {path}.damaged), or choose another folder with --persist-to FOLDER."
        )
    return f"{path}: {text}"


def _code(error: sqlite3.Error) -> int | None:
    """SQLite's primary result code; None for an error of the Python module itself."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
