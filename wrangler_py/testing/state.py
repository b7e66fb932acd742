"""`wpy.state`: everything that is stored, kept and brought back as one."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wrangler_py.bindings.sql_statements import split_statements
from wrangler_py.store.database import FILE_NAME, Store
from wrangler_py.testing.errors import KitError

if TYPE_CHECKING:
    from wrangler_py.testing.kit import Wpy

__tracebackhide__ = True

#: What a saved state says of the clock (session/snapshots.py writes it too).
CLOCK_FILE = "saved.json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole state: the database of the queues, the files of the bindings, the clock."""

    database: bytes
    files: dict[str, bytes]
    now_ms: int


class TestState:
    """The state of one test."""

    __test__ = False

    def __init__(self, wpy: Wpy) -> None:
        self._wpy = wpy
        self._saved: dict[str, Snapshot] = {}

    @property
    def folder(self) -> Path:
        """Where the bindings keep their files."""
        return self._wpy.emulator.store.path.parent

    async def save(self, name: str = "saved") -> None:
        """Remember everything under a name."""
        await self._wpy.start()
        self._saved[name] = self.take()

    async def load(self, name: str | Path = "saved") -> None:
        """Bring back what was saved under a name, or with `wpy state save` in a folder; the clock goes with it."""
        snapshot = self._saved.get(str(name)) or read_folder(Path(name), self._wpy.name, list(self._saved))
        await self._wpy.reset(restore=snapshot_restorer(snapshot))
        self._wpy.clock.freeze(max(snapshot.now_ms, self._wpy.clock.now_ms))

    async def reset(self) -> None:
        """Begin anew with nothing stored."""
        await self._wpy.reset()

    def take(self) -> Snapshot:
        """Everything as it is now."""
        store = self._wpy.emulator.store
        store.flush()
        # D1 has a copy of SQLite of its own, and two copies must not have one file open in one process: each takes the
        # other's write-ahead log away. What is closed opens itself again.
        self._wpy.emulator.storage.close()
        return Snapshot(store._connection.serialize(), _files(store.path.parent), self._wpy.clock.now_ms)

    def write(self, folder: Path) -> None:
        """Write everything into a folder, as `wpy dev --persist-to` finds it."""
        write_folder(self.take(), folder)

    async def apply_migrations(self, binding: str, folder: str | Path | None = None) -> list[str]:
        """Run the SQL files of a D1 database in the order of their names; their names. `folder`: the config's
        `migrations_dir`, else `migrations`."""
        await self._wpy.start()
        place = self._wpy.config.workers[0].root / (folder or _migrations_dir(self._wpy, binding))
        if not place.is_dir():
            raise KitError(f"{self._wpy.name}: there is no folder {place} with migrations for {binding}.")
        files = sorted(place.glob("*.sql"), key=lambda file: file.name)
        for file in files:
            await self.execute(binding, file.read_text(encoding="utf-8"))
        return [file.name for file in files]

    async def seed(self, path: str | Path, binding: str | None = None) -> None:
        """Run a `.sql` file on a D1 database, or put the names and values of a `.json` file into a KV namespace."""
        await self._wpy.start()
        file = self._wpy.config.workers[0].root / path
        if not file.is_file():
            raise KitError(f"{self._wpy.name}: there is no file {file} to seed with.")
        if file.suffix == ".sql":
            await self.execute(binding or "DB", file.read_text(encoding="utf-8"))
            return
        values = json.loads(file.read_text(encoding="utf-8"))
        namespace = getattr(self._wpy.env, binding or "KV")
        for name, value in values.items():
            await namespace.put(name, value if isinstance(value, str) else json.dumps(value))

    async def execute(self, binding: str, sql: str) -> None:
        """Run SQL statements on a D1 database."""
        database = getattr(self._wpy.env, binding)
        for statement in split_statements(sql):
            await database.prepare(statement).run()


def snapshot_restorer(snapshot: Snapshot) -> Any:
    """What `Wpy.reset(restore=...)` takes."""

    def restore(store: Store, folder: Path) -> None:
        store._connection.deserialize(snapshot.database)
        for name, data in snapshot.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    return restore


def _files(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith(("-shm", "-wal", ".lock")):
            name = str(path.relative_to(folder))
            found[name] = _database(path) if path.suffix == ".sqlite" else path.read_bytes()
    return found


def _database(path: Path) -> bytes:
    """A database file as it is with what its log holds."""
    with sqlite3.connect(path) as connection:
        data = connection.serialize()
    connection.close()
    return data


def read_folder(folder: Path, test: str, saved: list[str]) -> Snapshot:
    """A state that was written to a folder. Raises KitError."""
    database = folder / FILE_NAME
    if not database.is_file():
        raise KitError(
            f'{test}: there is no saved state "{folder}". Saved in this test: {", ".join(saved) or "none"}; a folder must '
            f"hold {FILE_NAME} (`wpy state save NAME` makes one)."
        )
    files = {name: data for name, data in _files(folder).items() if name not in (FILE_NAME, CLOCK_FILE)}
    clock = folder / CLOCK_FILE
    now_ms = int(json.loads(clock.read_text())["clockMs"]) if clock.is_file() else 0
    return Snapshot(_database(database), files, now_ms)


def write_folder(snapshot: Snapshot, folder: Path) -> None:
    """Write a state where `wpy dev --persist-to` finds it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_bytes(snapshot.database)
    for name, data in snapshot.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / CLOCK_FILE).write_text(
        json.dumps({"savedMs": snapshot.now_ms, "clockMs": snapshot.now_ms}), encoding="utf-8"
    )


def _migrations_dir(wpy: Wpy, binding: str) -> str:
    for worker in wpy.config.workers:
        for one in getattr(worker, "d1_databases", ()) or ():
            if getattr(one, "binding", None) == binding:
                return getattr(one, "migrations_dir", None) or "migrations"
    return "migrations"
