"""The Durable Objects of a session, for people to look at: read from their files, beside the process that has them open.

Python Workers and workerd keep an object in the same form: a SQLite file named for its id, with the keys in `_cf_KV` (values
as V8 writes them) and the tables of the user's own.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wrangler_py.config.model import SessionConfig
from wrangler_py.server.control import CallError

_ID = re.compile(r"[0-9a-f]{64}")
_KEYS = "SELECT key, value FROM _cf_KV ORDER BY key LIMIT ?"
_ALARM = "SELECT value FROM _cf_METADATA WHERE key = 1"
#: Keys of an object that are shown.
MOST_KEYS = 1_000
#: The folders of Durable Objects in a state folder: those of Python Workers, and those of workerd.
_FOLDERS = ("do", "do-workerd")
#: How long another process may hold a file (seconds).
_BUSY_S = 1.0


class ObjectFiles:
    """The objects by worker and class."""

    def __init__(self, state: Path, config: Callable[[], SessionConfig]) -> None:
        self._state = state
        self._config = config

    def classes(self) -> list[tuple[str, str, list[dict[str, str]]]]:
        """(worker, class, bindings), of every class that a binding names."""
        found: dict[tuple[str, str], list[dict[str, str]]] = {}
        for worker in self._config().workers:
            for binding in worker.durable_objects:
                key = (binding.script_name or worker.name, binding.class_name)
                found.setdefault(key, []).append({"worker": worker.name, "binding": binding.name})
        return [(worker, name, users) for (worker, name), users in found.items()]

    async def overview(self) -> list[dict[str, Any]]:
        """Every class, and how many objects of it have stored something."""
        return await asyncio.to_thread(
            lambda: [
                {
                    "worker": worker,
                    "class": name,
                    "bindings": users,
                    "objects": sum(1 for _ in self._files(worker, name)),
                }
                for worker, name, users in self.classes()
            ]
        )

    async def listed(self, worker: str, name: str, q: str, offset: int, limit: int) -> dict[str, Any]:
        """The objects of a class in the order of their ids: those whose id begins with `q`, or the one whose name is `q`.
        Raises CallError."""
        self._check(worker, name)
        named = await asyncio.to_thread(_id_of_name, worker, name, q) if q else None

        def read() -> dict[str, Any]:
            files = sorted(path for path in self._files(worker, name) if path.stem.startswith(q) or path.stem == named)
            page = files[offset : offset + limit]
            objects = [
                {
                    "id": path.stem,
                    "name": q if path.stem == named else None,
                    "bytes": _size(path),
                }
                for path in page
            ]
            more = len(files) > offset + limit
            return {"objects": objects, "total": len(files), "cursor": str(offset + limit) if more else None}

        return await asyncio.to_thread(read)

    async def one(self, worker: str, name: str, object_id: str) -> dict[str, Any]:
        """What an object has stored: its keys, its tables, its alarm. Raises CallError."""

        def read() -> dict[str, Any]:
            from wrangler_py.session.state_browser import describe_tables

            with self._open(worker, name, object_id) as connection:
                have = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
                rows = connection.execute(_KEYS, (MOST_KEYS + 1,)).fetchall() if "_cf_KV" in have else []
                alarm = connection.execute(_ALARM).fetchone() if "_cf_METADATA" in have else None
                return {
                    "id": object_id,
                    "keys": [
                        {"key": key, "text": _text(value), "bytes": len(value)} for key, value in rows[:MOST_KEYS]
                    ],
                    "moreKeys": len(rows) > MOST_KEYS,
                    "alarmMs": alarm[0] if alarm is not None and isinstance(alarm[0], int) else None,
                    "tables": describe_tables(connection.execute),
                }

        return await asyncio.to_thread(read)

    async def rows(self, worker: str, name: str, object_id: str, table: str, offset: int, limit: int) -> dict[str, Any]:
        """Rows of one of its tables. Raises CallError."""

        def read() -> dict[str, Any]:
            from wrangler_py.session.state_browser import rows_of

            with self._open(worker, name, object_id) as connection:
                return rows_of(connection.execute, table, offset, limit)

        return await asyncio.to_thread(read)

    def _check(self, worker: str, name: str) -> None:
        known = [f"{one} of {owner}" for owner, one, _ in self.classes()]
        if f"{name} of {worker}" not in known:
            raise CallError(
                f"No Durable Object class {name} of {worker} is bound here. There is: {', '.join(known) or 'none'}.",
                404,
            )

    def _files(self, worker: str, name: str) -> Iterator[Path]:
        for folder in _FOLDERS:
            for path in (self._state / folder / f"{worker}-{name}").glob("*.sqlite"):
                if _ID.fullmatch(path.stem):
                    yield path

    @contextmanager
    def _open(self, worker: str, name: str, object_id: str) -> Iterator[sqlite3.Connection]:
        self._check(worker, name)
        places = [self._state / folder / f"{worker}-{name}" / f"{object_id}.sqlite" for folder in _FOLDERS]
        path = next((place for place in places if place.is_file()), None)
        if not _ID.fullmatch(object_id) or path is None:
            raise CallError(f"There is no object {object_id[:64]} of {name} that has stored anything.", 404)
        try:
            connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
            try:
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise CallError(f"{path.name} cannot be read now: {error}.", 409) from error


def _id_of_name(worker: str, class_name: str, name: str) -> str:
    from wrangler_py.runtime.worker.durable.ids import IdFactory

    text: str = IdFactory(worker, class_name).of_name(name).toString()
    return text


def _text(value: bytes) -> str:
    """A stored value, as JSON text; what JSON has no word for says what it is."""
    from wrangler_py.runtime.worker import rpc_values, v8
    from wrangler_py.runtime.worker.shims.js.core import JsException
    from wrangler_py.workflows.values import to_json

    exports: Any = None  # a stored value has no function that would have to be exported
    try:
        return json.dumps(to_json(rpc_values.encode(v8.deserialize(value), exports)), ensure_ascii=False)
    except JsException as error:
        return json.dumps(f"[{len(value)} bytes that cannot be read: {error}]")


def _size(path: Path) -> int:
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)
