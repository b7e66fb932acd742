"""Whole states, kept under a name: queues, bindings, what the clock showed. `wpy state`, and the test kit.

A saved state is a folder that `--persist-to` takes, with `saved.json` beside the files. It is written next to its place and
then moved there in one step, so that a half-written one is never taken for a whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from wrangler_py.store.database import FILE_NAME, StateError, explain_error, open_store
from wrangler_py.store.sessions import SessionInfo, living_sessions

#: What a saved state says of itself.
NOTE = "saved.json"
#: What belongs to running sessions, and to SQLite's open files.
_PASSING = ("-wal", "-shm", ".lock", ".tmp")
_FOLDERS = frozenset(("sessions",))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DATABASES = (".sqlite", ".sqlite3", ".db")


class Saved(Struct, frozen=True):
    """One saved state."""

    name: str
    folder: Path
    saved_ms: int
    #: What the clock showed.
    clock_ms: int
    size: int


class Difference(Struct, frozen=True):
    """How one table or file differs: so many rows are only in the first, so many only in the second."""

    place: str
    removed: int
    added: int


def saved_folder(state: Path) -> Path:
    """Where the states saved from a state folder are."""
    return state.parent / "saved"


def check_name(name: str) -> str:
    """Raises StateError for what cannot be a folder's name everywhere."""
    if not _NAME.fullmatch(name):
        raise StateError(f'"{name}" is no name for a saved state: use letters, digits, dots, dashes, at most 100.')
    return name


def running(state: Path) -> list[SessionInfo]:
    """The sessions that have the state open now. Raises StateError."""
    if not (state / FILE_NAME).is_file():
        return []
    store = open_store(state)
    try:
        return living_sessions(store)
    finally:
        store.close()


def refuse_running(state: Path, doing: str) -> None:
    """Raises StateError while a session has the state open: its bindings would be caught in the middle of something."""
    sessions = running(state)
    if sessions:
        which = ", ".join(f"process {one.pid}" + (f" at {one.url}" if one.url else "") for one in sessions)
        raise StateError(
            f"A `wpy dev` session runs on {state} ({which}), so nothing was {doing}. End it, and try again."
        )


def save(state: Path, target: Path, now_ms: int) -> Saved:
    """Copy a state folder to `target`, replacing what was there. Raises StateError."""
    if not (state / FILE_NAME).is_file():
        raise StateError(
            f"There is no state in {state} yet: run `wpy dev`, or choose another folder with --persist-to."
        )
    clock_ms = max(now_ms, _latest_ms(state / FILE_NAME))
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        _copy(state, beside)
        (beside / NOTE).write_text(json.dumps({"savedMs": now_ms, "clockMs": clock_ms}), encoding="utf-8")
        _replace(beside, target)
    except OSError as error:
        raise StateError(f"{error.filename or target} cannot be written: {error.strerror}.") from error
    except sqlite3.Error as error:
        raise StateError(explain_error(error, state / FILE_NAME)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return _saved(target)


def load(source: Path, state: Path) -> Saved:
    """Put a saved state in the place of the present one. Raises StateError, and then the present one is untouched."""
    saved = _saved(source)
    beside = state.with_name(f".{state.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        _copy(source, beside)
        (beside / NOTE).unlink(missing_ok=True)
        _replace(beside, state)
    except OSError as error:
        raise StateError(f"{error.filename or state} cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return saved


def reset(state: Path) -> None:
    """Delete everything that is stored. Raises StateError."""
    gone = state.with_name(f".{state.name}.{os.getpid()}.gone.tmp")
    try:
        if state.exists():
            state.rename(gone)
            shutil.rmtree(gone)
    except OSError as error:
        raise StateError(f"{error.filename or state} cannot be deleted: {error.strerror}.") from error


def all_saved(folder: Path) -> list[Saved]:
    """The states that were saved there, oldest first."""
    if not folder.is_dir():
        return []
    found = [_saved(one) for one in folder.iterdir() if (one / NOTE).is_file()]
    return sorted(found, key=lambda one: (one.saved_ms, one.name))


def diff(first: Path, second: Path) -> list[Difference]:
    """How two states differ, table by table and file by file. Raises StateError."""
    before, after = _contents(first), _contents(second)
    found = []
    for place in sorted(before.keys() | after.keys()):
        left, right = before.get(place, set()), after.get(place, set())
        if left != right:
            found.append(Difference(place, len(left - right), len(right - left)))
    return found


def _saved(folder: Path) -> Saved:
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return Saved(folder.name, folder, int(note["savedMs"]), int(note["clockMs"]), size)
    except FileNotFoundError:
        raise StateError(f"There is no saved state in {folder}. `wpy state list` shows those that there are.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateError(f"{folder / NOTE} cannot be read: {error}.") from error


def _replace(source: Path, target: Path) -> None:
    """Move a folder to where another one may be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    before = target.with_name(f".{target.name}.{os.getpid()}.before.tmp")
    if target.exists():
        target.rename(before)
    try:
        source.rename(target)
    except OSError:
        if before.exists():
            before.rename(target)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in _files(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in _DATABASES:
            _copy_database(path, place)
        else:
            shutil.copy2(path, place)


def _copy_database(source: Path, target: Path) -> None:
    """With what its log holds."""
    with _connected(source) as one, _connected(target) as other:
        one.backup(other)


class _connected:
    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not path.name.endswith(_PASSING) and not _FOLDERS & set(inside.parts[:-1]):
            yield path


def _latest_ms(database: Path) -> int:
    """The latest time that a message came in, which the clock had reached."""
    try:
        with _connected(database) as connection:
            row = connection.execute("SELECT max(entered_ms) FROM message").fetchone()
    except sqlite3.Error:
        return 0
    return int(row[0] or 0)


def _contents(folder: Path) -> dict[str, set[bytes]]:
    """What is in each table and file, as digests of its rows."""
    contents: dict[str, set[bytes]] = {}
    for path in _files(folder):
        name = str(path.relative_to(folder))
        if path.name == NOTE:
            continue
        if path.suffix not in _DATABASES:
            contents[name] = {hashlib.blake2b(path.read_bytes(), digest_size=16).digest()}
            continue
        try:
            with _connected(path) as connection:
                contents.update((f"{name}: {table}", rows) for table, rows in _tables(connection))
        except sqlite3.Error as error:
            raise StateError(explain_error(error, path)) from error
    return contents


def _tables(connection: sqlite3.Connection) -> Iterator[tuple[str, set[bytes]]]:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    for (name,) in names.fetchall():
        quoted = name.replace('"', '""')
        rows = connection.execute(f'SELECT * FROM "{quoted}"')
        yield name, {hashlib.blake2b(repr(row).encode(), digest_size=16).digest() for row in rows}
