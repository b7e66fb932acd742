"""What stands behind the bindings of a session, for people to look at and to mend: KV, D1, R2. It is the same state that the
workers see, through the same lanes (bindings/storage.py), and by the same rules.

Values are never given as JSON inside JSON: text or base64, so that integers over 2^53 and binary stay as they are.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wrangler_py.bindings.files import d1_path, kv_path, r2_path
from wrangler_py.bindings.storage import BindingStorage
from wrangler_py.config.model import SessionConfig
from wrangler_py.server.control import CallError
from wrangler_py.session.object_files import ObjectFiles

if TYPE_CHECKING:
    from wrangler_py.bindings.d1 import D1Database
    from wrangler_py.bindings.r2 import R2Store

T = TypeVar("T")
#: Of a value, this much is shown (bytes); of a cell, this much (characters).
MOST_BYTES = 128_000
MOST_CELL = 2_000
#: Rows are counted up to here.
MOST_COUNTED = 100_000
#: Rows of a query's result that are shown.
MOST_ROWS = 1_000

_TABLES = (
    "SELECT name, type, sql FROM sqlite_schema WHERE type IN ('table', 'view') "
    "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\' ORDER BY name"
)


class StateBrowser:
    """StateRoom (server/dashboard_api/session_view.py)."""

    def __init__(self, state: Path, storage: BindingStorage, config: Callable[[], SessionConfig]) -> None:
        self._state = state
        self._storage = storage
        self._config = config
        self.objects = ObjectFiles(state, config)

    # What there is ----------------------------------------------------------------------------------------------------

    async def overview(self) -> dict[str, Any]:
        """Every namespace, database, bucket and class that the config names, with how much is in it."""
        return {
            "kv": [await self._kv_summary(name, users) for name, users in self._users("kv_namespaces", "id").items()],
            "d1": [
                await self._d1_summary(name, users)
                for name, users in self._users("d1_databases", "database_id").items()
            ],
            "r2": [
                await self._r2_summary(name, users) for name, users in self._users("r2_buckets", "bucket_name").items()
            ],
            "objects": await self.objects.overview(),
        }

    def _users(self, kind: str, field: str) -> dict[str, list[tuple[str, Any]]]:
        """By resource, the (worker, entry of the config) that name it."""
        found: dict[str, list[tuple[str, Any]]] = {}
        for worker in self._config().workers:
            for entry in getattr(worker, kind):
                found.setdefault(getattr(entry, field), []).append((worker.name, entry))
        return found

    def _known(self, kind: str, field: str, name: str, what: str) -> None:
        known = self._users(kind, field)
        if name not in known:
            raise CallError(
                f'No worker of this session has {what} "{name}". There is: {", ".join(known) or "none"}.', 404
            )

    async def _kv_summary(self, name: str, users: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = 0
        if kv_path(self._state, name).exists():
            from wrangler_py.bindings.kv import KvStore

            keys = await _told(self._storage.kv(name)(KvStore.count))
        return {"id": name, "bindings": _bindings(users), "keys": keys}

    async def _d1_summary(self, name: str, users: list[tuple[str, Any]]) -> dict[str, Any]:
        size, tables = 0, 0
        if d1_path(self._state, name).exists():
            size, tables = await _told(
                self._storage.d1(name)(lambda database: (database.size(), len(list(database.read(_TABLES)))))
            )
        return {
            "id": name,
            "name": users[0][1].database_name,
            "bindings": _bindings(users),
            "tables": tables,
            "bytes": size,
        }

    async def _r2_summary(self, name: str, users: list[tuple[str, Any]]) -> dict[str, Any]:
        count, size = 0, 0
        if r2_path(self._state, name).exists():
            from wrangler_py.bindings.r2 import R2Store

            count, size = await _told(self._storage.r2(name)(R2Store.totals))
        return {"bucket": name, "bindings": _bindings(users), "objects": count, "bytes": size}

    # KV ---------------------------------------------------------------------------------------------------------------

    async def kv_keys(self, namespace: str, prefix: str, cursor: str | None, limit: int) -> dict[str, Any]:
        """A page of the keys that begin with `prefix`. Raises CallError."""
        from wrangler_py.bindings.kv import KvStore

        self._known("kv_namespaces", "id", namespace, "the KV namespace")
        page = await _told(self._storage.kv(namespace)(KvStore.list, prefix, cursor, limit))
        keys = [{"name": key.name, **_kv_facts(key.expiration, key.metadata)} for key in page.keys]
        return {"keys": keys, "cursor": page.cursor}

    async def kv_value(self, namespace: str, key: str) -> dict[str, Any]:
        """What stands under a key. Raises CallError."""
        from wrangler_py.bindings.kv import KvStore

        self._known("kv_namespaces", "id", namespace, "the KV namespace")
        found = await _told(self._storage.kv(namespace)(KvStore.get, key))
        if found is None:
            raise CallError(f'There is no key "{key[:200]}", or it has expired.', 404)
        return {"key": key, **_kv_facts(found.expiration, found.metadata), **shown(found.value, len(found.value))}

    async def kv_put(self, namespace: str, key: str, value: bytes, ttl: int | None, metadata: str | None) -> None:
        """Write a key; `ttl` in seconds. Raises CallError."""
        from wrangler_py.bindings.kv import KvStore

        self._known("kv_namespaces", "id", namespace, "the KV namespace")
        await _told(self._storage.kv(namespace)(KvStore.put, key, value, expiration_ttl=ttl, metadata=metadata))

    async def kv_delete(self, namespace: str, keys: Sequence[str]) -> None:
        """Delete keys. Raises CallError."""
        from wrangler_py.bindings.kv import KvStore

        self._known("kv_namespaces", "id", namespace, "the KV namespace")
        await _told(self._storage.kv(namespace)(KvStore.delete_many, keys))

    # D1 ---------------------------------------------------------------------------------------------------------------

    async def d1_tables(self, database: str) -> dict[str, Any]:
        """The tables and views of a database. Raises CallError."""

        def read(d1: D1Database) -> dict[str, Any]:
            return {"name": name, "tables": describe_tables(d1.read), "bytes": d1.size()}

        self._known("d1_databases", "database_id", database, "the D1 database")
        name = self._users("d1_databases", "database_id")[database][0][1].database_name
        return await _told(self._storage.d1(database)(read))

    async def d1_rows(self, database: str, table: str, offset: int, limit: int) -> dict[str, Any]:
        """Rows of a table, as SQLite has them. Raises CallError."""
        self._known("d1_databases", "database_id", database, "the D1 database")
        return await _told(self._storage.d1(database)(lambda d1: rows_of(d1.read, table, offset, limit)))

    async def d1_query(self, database: str, sql: str) -> dict[str, Any]:
        """Run SQL, as a Worker's `env.DB.prepare(sql).run()` does: all of it in one transaction. Raises CallError."""
        from wrangler_py.bindings.d1 import D1Database

        self._known("d1_databases", "database_id", database, "the D1 database")
        results = await _told(self._storage.d1(database)(D1Database.execute_script, sql))
        return {
            "results": [
                {
                    "columns": list(result.columns),
                    "rows": [[cell(value) for value in row] for row in result.rows[:MOST_ROWS]],
                    "total": len(result.rows),
                    "rowsRead": result.meta.get("rows_read", 0),
                    "rowsWritten": result.meta.get("rows_written", 0),
                }
                for result in results
            ]
        }

    # R2 ---------------------------------------------------------------------------------------------------------------

    async def r2_objects(
        self, bucket: str, prefix: str, folders: bool, cursor: str | None, limit: int
    ) -> dict[str, Any]:
        """A page of the objects whose keys begin with `prefix`; with `folders`, up to the next `/`. Raises CallError."""
        from wrangler_py.bindings.r2 import R2Store

        self._known("r2_buckets", "bucket_name", bucket, "the R2 bucket")
        lane = self._storage.r2(bucket)
        page = await _told(lane(R2Store.list, prefix, delimiter="/" if folders else None, cursor=cursor, limit=limit))
        return {"objects": [_r2_facts(one) for one in page.objects], "folders": page.prefixes, "cursor": page.cursor}

    async def r2_object(self, bucket: str, key: str) -> dict[str, Any]:
        """An object, with the beginning of its body. Raises CallError."""

        def read(store: R2Store) -> dict[str, Any] | None:
            made, reader = store.get(key) or (None, None)
            if made is None or reader is None:
                return None
            try:
                data = reader.read(MOST_BYTES)
            finally:
                reader.close()
            return {**_r2_facts(made), "customMetadata": made.custom, **shown(data, made.size)}

        self._known("r2_buckets", "bucket_name", bucket, "the R2 bucket")
        answer = await _told(self._storage.r2(bucket)(read))
        if answer is None:
            raise CallError(f'There is no object "{key[:200]}".', 404)
        return answer

    async def r2_put(self, bucket: str, key: str, body: bytes, content_type: str | None) -> None:
        """Store an object. Raises CallError."""
        from wrangler_py.bindings.r2 import R2Store

        self._known("r2_buckets", "bucket_name", bucket, "the R2 bucket")
        http = {"contentType": content_type} if content_type else {}
        await _told(self._storage.r2(bucket)(R2Store.put, key, body, http=http))

    async def r2_delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Delete objects. Raises CallError."""
        from wrangler_py.bindings.r2 import R2Store

        self._known("r2_buckets", "bucket_name", bucket, "the R2 bucket")
        await _told(self._storage.r2(bucket)(R2Store.delete, *keys))


async def _told(work: Awaitable[T]) -> T:
    """What a store refuses, as a refusal of the API. Raises CallError."""
    import apsw

    from wrangler_py.bindings.d1 import D1Error
    from wrangler_py.bindings.kv import KvError
    from wrangler_py.bindings.r2_objects import R2Error

    try:
        return await work
    except (KvError, R2Error, D1Error) as error:
        raise CallError(str(error)) from error
    except (sqlite3.Error, apsw.Error, OSError) as error:
        raise CallError(f"The state cannot be read or written: {error}. See `wpy doctor`.", 500) from error


def _bindings(users: list[tuple[str, Any]]) -> list[dict[str, str]]:
    return [{"worker": worker, "binding": entry.binding} for worker, entry in users]


def _kv_facts(expiration: int | None, metadata: str | None) -> dict[str, Any]:
    return {"expirationMs": None if expiration is None else expiration * 1000, "metadata": metadata}


def _r2_facts(made: Any) -> dict[str, Any]:
    return {
        "key": made.key,
        "size": made.size,
        "etag": made.etag,
        "uploadedMs": made.uploaded_ms,
        "contentType": made.http.get("contentType"),
    }


# Values ---------------------------------------------------------------------------------------------------------------


def shown(data: bytes, size: int) -> dict[str, Any]:
    """A value as the API gives it: `text` when it is UTF-8, else `base64`; of a long one the beginning."""
    part = data[:MOST_BYTES]
    cut = size > len(part)
    text: str | None = None
    for end in range(len(part), max(len(part) - (4 if cut else 1), -1), -1):  # a cut may go through a character
        try:
            text = part[:end].decode()
            break
        except UnicodeDecodeError:
            continue
    encoded = None if text is not None else base64.b64encode(part).decode()
    return {"text": text, "base64": encoded, "size": size, "truncated": cut}


def cell(value: Any) -> dict[str, Any]:
    """A value of a row: what kind it is to SQLite, and its text."""
    if value is None:
        return {"type": "null", "text": ""}
    if isinstance(value, bytes):
        return {"type": "blob", "text": value[: MOST_CELL // 2].hex(), "bytes": len(value)}
    kind = "text" if isinstance(value, str) else "real" if isinstance(value, float) else "integer"
    text = str(value)
    return {"type": kind, "text": text[:MOST_CELL], **({"chars": len(text)} if len(text) > MOST_CELL else {})}


#: Rows of an SQL text.
Read = Callable[[str], Iterable[Sequence[Any]]]


def describe_tables(read: Read) -> list[dict[str, Any]]:
    """The tables and views, with their columns and how many rows there are (up to MOST_COUNTED)."""
    tables = []
    for name, kind, sql in [tuple(row) for row in read(_TABLES)]:
        columns = [
            {"name": row[1], "type": row[2], "key": bool(row[5])} for row in read(f"PRAGMA table_info({quoted(name)})")
        ]
        count = f"SELECT count(*) FROM (SELECT 1 FROM {quoted(name)} LIMIT {MOST_COUNTED + 1})"
        rows = next(iter(read(count)))[0]
        tables.append({"name": name, "kind": kind, "sql": sql, "rows": rows, "columns": columns})
    return tables


def rows_of(read: Read, table: str, offset: int, limit: int) -> dict[str, Any]:
    """A page of a table. Raises CallError when there is no such table."""
    if table not in {row[0] for row in read(_TABLES)}:
        raise CallError(f'There is no table "{table[:200]}".', 404)
    columns = [row[1] for row in read(f"PRAGMA table_info({quoted(table)})")]
    found = list(read(f"SELECT * FROM {quoted(table)} LIMIT {limit + 1} OFFSET {offset}"))
    rows = [[cell(value) for value in row] for row in found[:limit]]
    return {"columns": columns, "rows": rows, "cursor": str(offset + limit) if len(found) > limit else None}


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'
