"""Who has a state folder open: one row and one locked file per `wpy dev` session.

A lease on a message carries its session's number. A session holds an operating-system lock on its file for as long as
it lives, however it dies, so that the next start knows for certain which leases are nobody's any more.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import IO, Any, TypeVar

from msgspec import Struct

from wrangler_py.store.database import Operation, StateError, Store, explain_error

T = TypeVar("T")

_INSERT = "INSERT INTO session (pid, started_ms) VALUES (?, ?)"
_ANNOUNCE = "UPDATE session SET url = ?, token = ? WHERE id = ?"
_ALL = "SELECT id, pid, started_ms, url, token FROM session ORDER BY id"
_DELETE = "DELETE FROM session WHERE id = ?"
_DELETE_ATTACHMENTS = "DELETE FROM attachment WHERE session_id = ?"
_ATTACH = "INSERT OR REPLACE INTO attachment (session_id, role, queue, worker, detail) VALUES (?, ?, ?, ?, ?)"
_ATTACHMENTS = "SELECT session_id, role, queue, worker, detail FROM attachment"
#: Leases of a dead session are given back; the attempt that it had begun stays counted.
_RELEASE = "UPDATE message INDEXED BY message_leased SET owner = 0 WHERE owner <> 0 AND owner = ?"


class SessionInfo(Struct, frozen=True):
    """A session that is alive."""

    id: int
    pid: int
    started_ms: int
    #: Where its server listens, and what its control API asks for; None while it starts.
    url: str | None
    token: str | None


class Attachment(Struct, frozen=True):
    """A worker of a living session that produces for or consumes from a queue."""

    session_id: int
    role: str  # "producer" or "consumer"
    queue: str
    worker: str
    detail: dict[str, Any]


class Session:
    """This process's place in a state folder."""

    def __init__(self, store: Store, session_id: int, lock: IO[bytes], lock_path: Path) -> None:
        self._store = store
        self.id = session_id
        self._lock = lock
        self._lock_path = lock_path
        #: How many messages were in flight in sessions that had died.
        self.recovered = 0

    def announce(self, url: str, token: str) -> None:
        """Say where this session's server listens, and which token its control API asks for."""
        _write(self._store, lambda c: c.execute(_ANNOUNCE, (url, token, self.id)))

    def attach(self, attachments: list[tuple[str, str, str, dict[str, Any]]]) -> None:
        """Replace what this session is attached to: (role, queue, worker, detail) each."""

        def replace(connection: sqlite3.Connection) -> None:
            connection.execute(_DELETE_ATTACHMENTS, (self.id,))
            for role, queue, worker, detail in attachments:
                connection.execute(_ATTACH, (self.id, role, queue, worker, json.dumps(detail, sort_keys=True)))

        _write(self._store, replace)

    def close(self) -> None:
        """Leave: give back what is still leased and remove the traces.

        Raises StateError when the database refuses. The session has let go all the same, as if it had been killed: the
        next start takes back what it held.
        """

        def leave(connection: sqlite3.Connection) -> None:
            connection.execute(_RELEASE, (self.id,))
            connection.execute(_DELETE_ATTACHMENTS, (self.id,))
            connection.execute(_DELETE, (self.id,))

        try:
            _write(self._store, leave)
        finally:
            self._lock.close()
            self._lock_path.unlink(missing_ok=True)


def open_session(store: Store, now_ms: int) -> Session:
    """Register this process, after taking back what dead sessions held. Raises StateError."""
    folder = store.path.parent / "sessions"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StateError(
            f"The state folder {store.path.parent} cannot be written: {error.strerror}. "
            "Make it writable, or choose another folder with --persist-to FOLDER."
        ) from error
    with (folder / "start.lock").open("wb") as starting:  # one start at a time: a row is new before its file is locked
        _lock(starting)
        return _enter(store, folder, now_ms)


def _enter(store: Store, folder: Path, now_ms: int) -> Session:
    dead = [row[0] for row in store.query(_ALL) if not _alive(folder, row[0])]

    def enter(connection: sqlite3.Connection) -> tuple[int, int]:
        recovered = 0
        for session_id in dead:
            recovered += connection.execute(_RELEASE, (session_id,)).rowcount
            connection.execute(_DELETE_ATTACHMENTS, (session_id,))
            connection.execute(_DELETE, (session_id,))
        cursor = connection.execute(_INSERT, (os.getpid(), now_ms))
        session_id = cursor.lastrowid
        assert session_id is not None
        return session_id, recovered

    session_id, recovered = _write(store, enter)
    for old in dead:
        _lock_path(folder, old).unlink(missing_ok=True)
    path = _lock_path(folder, session_id)
    lock = path.open("wb")
    _lock(lock)  # waits for those who look at it just now
    session = Session(store, session_id, lock, path)
    session.recovered = recovered
    return session


def _write(store: Store, operation: Operation[T]) -> T:
    try:
        return store.write(operation)
    except sqlite3.Error as error:
        raise StateError(explain_error(error, store.path)) from error


def living_sessions(store: Store) -> list[SessionInfo]:
    """The sessions whose process is alive, oldest first."""
    folder = store.path.parent / "sessions"
    return [SessionInfo(*row) for row in store.query(_ALL) if _alive(folder, row[0])]


def is_alive(state_folder: Path, session_id: int) -> bool:
    """Whether the process of a session is alive."""
    return _alive(state_folder / "sessions", session_id)


def attachments(store: Store) -> list[Attachment]:
    """What the living sessions' workers are attached to."""
    living = {session.id for session in living_sessions(store)}
    rows = store.query(_ATTACHMENTS)
    return [Attachment(s, role, queue, worker, json.loads(d)) for s, role, queue, worker, d in rows if s in living]


def _lock_path(folder: Path, session_id: int) -> Path:
    return folder / f"{session_id}.lock"


def _alive(folder: Path, session_id: int) -> bool:
    try:
        with _lock_path(folder, session_id).open("r+b") as file:
            return _is_locked(file)
    except FileNotFoundError:
        return False
    except PermissionError:  # another user's: nobody here may take its messages away
        return True


def lock_if_free(file: IO[bytes]) -> bool:
    """Lock a file of the state folder until it is closed; False when another process has it."""
    try:
        _lock(file, wait=False)
    except OSError:
        return False
    return True


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes], *, wait: bool = True) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

    def _is_locked(file: IO[bytes]) -> bool:
        """Whether another process holds the file's lock."""
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return True
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        return False

else:
    import fcntl

    def _lock(file: IO[bytes], *, wait: bool = True) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_locked(file: IO[bytes]) -> bool:
        """Whether another process holds the file's lock. Looks with a shared one, so that two who look at once do not
        take each other for the holder."""
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False
