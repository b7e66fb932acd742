"""Workers KV: one namespace, in one SQLite file.

Reads see every write that came before (production takes up to a minute to get there); expired keys are gone at once.
Rules and texts: https://developers.cloudflare.com/kv/api/ and workerd with miniflare, measured.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from wrangler_py.bindings import limits
from wrangler_py.bindings.sqlite import open_database
from wrangler_py.clock import Clock

_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
    name TEXT PRIMARY KEY NOT NULL,
    expiration INTEGER,  -- seconds since the epoch; NULL: never
    metadata TEXT,       -- JSON
    value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_by_expiration ON entries (expiration) WHERE expiration IS NOT NULL;
COMMIT;
"""
_GET = "SELECT value, metadata, expiration FROM entries WHERE name = ? AND (expiration IS NULL OR expiration > ?)"
_PUT = "INSERT OR REPLACE INTO entries (name, expiration, metadata, value) VALUES (?, ?, ?, ?)"
_DELETE = "DELETE FROM entries WHERE name = ?"
_EXPIRE = "DELETE FROM entries WHERE expiration <= ?"
_LIST = """
SELECT name, expiration, metadata FROM entries
WHERE name >= :prefix AND name < :end AND name > :after AND (expiration IS NULL OR expiration > :now)
ORDER BY name LIMIT :limit
"""
_COUNT = "SELECT COUNT(*) FROM entries WHERE expiration IS NULL OR expiration > ?"
#: Sorts behind every key that begins with the prefix before it: keys have at most 512 bytes, this has 516.
_BEHIND = "\U0010ffff" * 129


class KvError(Exception):
    """KV refuses. `status` is the HTTP status of Cloudflare's answer, the text its reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason

    def text(self, operation: str) -> str:
        """What a Worker is told. `operation`: GET, PUT, DELETE or GET_BULK."""
        return f"KV {operation} failed: {self.status} {self.reason}"


class KvValue(Struct, frozen=True):
    """What stands under a key."""

    value: bytes
    metadata: str | None  # JSON
    expiration: int | None  # seconds since the epoch


class KvKey(Struct, frozen=True):
    """A key in a listing."""

    name: str
    expiration: int | None
    metadata: str | None


class KvPage(Struct, frozen=True):
    """A part of a listing. `cursor` None: it is complete."""

    keys: list[KvKey]
    cursor: str | None


class KvEntry(Struct, frozen=True):
    """One entry of a bulk write. Times as for `KvStore.put`."""

    key: str
    value: bytes
    expiration: int | None = None
    expiration_ttl: int | None = None
    metadata: str | None = None


class KvStore:
    """A namespace. Used in the thread that made it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Raises sqlite3.Error and OSError."""
        self._clock = clock
        self._connection = open_database(path, _SCHEMA)

    def close(self) -> None:
        self._connection.close()

    # Reading ------------------------------------------------------------------------------------------------------

    def get(self, key: str, cache_ttl: int | None = None) -> KvValue | None:
        """What stands under `key`. Raises KvError for a key that is too long and a `cache_ttl` (seconds) that is too short."""
        check_key(key)
        if cache_ttl is not None and cache_ttl < limits.KV_MIN_CACHE_TTL_S:
            raise KvError(400, f"Invalid cache_ttl of {cache_ttl}. {limits.KV_CACHE_TTL_RULE}")
        row = self._connection.execute(_GET, (key, self._now())).fetchone()
        return None if row is None else KvValue(*row)

    def get_many(self, keys: Sequence[str]) -> dict[str, KvValue | None]:
        """What stands under each of 1 to 100 keys. Raises KvError."""
        if not keys:
            raise KvError(400, "You must request a minimum of 1 key")
        if len(keys) > limits.KV_MAX_BULK_GET:
            raise KvError(400, f"You can request a maximum of {limits.KV_MAX_BULK_GET} keys")
        for key in keys:
            check_named(key)
            check_key(key)
        found: dict[str, KvValue | None] = {}
        size = 0
        with self._transaction("DEFERRED"):
            for key in dict.fromkeys(keys):
                found[key] = value = self.get(key)
                size += len(value.value) if value is not None else 0
                if size > limits.KV_MAX_BULK_BYTES:
                    raise KvError(413, "Total size of request exceeds the limit of 25MB")
        return found

    def list(self, prefix: str = "", cursor: str | None = None, limit: int = limits.KV_MAX_LIST) -> KvPage:
        """Keys that begin with `prefix`, in the order of their UTF-8 bytes, behind `cursor` (of the page before).

        A `limit` below 1 means the most there may be, as on Cloudflare. Raises KvError.
        """
        if limit > limits.KV_MAX_LIST:
            most = limits.KV_MAX_LIST
            raise KvError(400, f"Invalid key_count_limit of {limit}. Please specify an integer less than {most}.")
        if limit < 1:
            limit = limits.KV_MAX_LIST
        check_key(prefix)
        given = {
            "prefix": prefix,
            "end": prefix + _BEHIND,
            "after": _decode_cursor(cursor) if cursor else "",
            "now": self._now(),
            "limit": limit + 1,
        }
        keys = [KvKey(*row) for row in self._connection.execute(_LIST, given)]
        more = len(keys) > limit
        return KvPage(keys[:limit], _encode_cursor(keys[limit - 1].name) if more else None)

    def count(self) -> int:
        """How many keys there are."""
        return int(self._connection.execute(_COUNT, (self._now(),)).fetchone()[0])

    # Writing ------------------------------------------------------------------------------------------------------

    def put(
        self,
        key: str,
        value: bytes,
        *,
        expiration: int | None = None,
        expiration_ttl: int | None = None,
        metadata: str | None = None,
    ) -> None:
        """Write a value. `expiration`: seconds since the epoch; `expiration_ttl`: seconds from now; `metadata`: JSON.

        Raises KvError.
        """
        self.put_many([KvEntry(key, value, expiration, expiration_ttl, metadata)])

    def put_many(self, entries: Sequence[KvEntry]) -> None:
        """Write all of these or none. Raises KvError."""
        now = self._now()
        rows = [self._row(entry, now) for entry in entries]
        with self._transaction("IMMEDIATE"):
            self._connection.execute(_EXPIRE, (now,))
            self._connection.executemany(_PUT, rows)

    def _row(self, entry: KvEntry, now: int) -> tuple[str, int | None, str | None, bytes]:
        check_key(entry.key)
        expiration = _expiration(entry, now)
        if len(entry.value) > limits.KV_MAX_VALUE_BYTES:
            most = limits.KV_MAX_VALUE_BYTES
            raise KvError(413, f"Value length of {len(entry.value)} exceeds limit of {most}.")
        size = len(entry.metadata.encode("utf-8", "surrogatepass")) if entry.metadata else 0
        if size > limits.KV_MAX_METADATA_BYTES:
            raise KvError(413, f"Metadata length of {size} exceeds limit of {limits.KV_MAX_METADATA_BYTES}.")
        return entry.key, expiration, entry.metadata, entry.value

    def delete(self, key: str) -> None:
        """Delete a key; one that is not there is no error. Raises KvError."""
        self.delete_many([key])

    def delete_many(self, keys: Iterable[str]) -> None:
        """Delete all of these. Raises KvError."""
        rows = [(key,) for key in keys]
        for (key,) in rows:
            check_key(key)
        with self._transaction("IMMEDIATE"):
            self._connection.executemany(_DELETE, rows)

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[None]:
        self._connection.execute(f"BEGIN {kind}")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _now(self) -> int:
        return self._clock.now_ms() // 1000


def check_key(key: str) -> None:
    """Raises KvError for a key that is too long."""
    size = len(key.encode("utf-8", "surrogatepass"))
    if size > limits.KV_MAX_KEY_BYTES:
        most = limits.KV_MAX_KEY_BYTES
        raise KvError(414, f"UTF-8 encoded length of {size} exceeds key length limit of {most}.")


def check_named(key: str) -> None:
    """Raises KvError for the three names that no key may have. (To a Worker's `get` and `put` these are TypeErrors.)"""
    if key == "":
        raise KvError(400, "Key names must not be empty")
    if key in (".", ".."):
        raise KvError(400, f'Illegal key name "{key}". Please use a different name.')


def _expiration(entry: KvEntry, now: int) -> int | None:
    if entry.expiration_ttl is not None:
        ttl = entry.expiration_ttl
        if ttl <= 0:
            raise KvError(400, f"Invalid expiration_ttl of {ttl}. {limits.KV_TTL_RULE}")
        if ttl < limits.KV_MIN_TTL_S:
            least = limits.KV_MIN_TTL_S
            raise KvError(400, f"Invalid expiration_ttl of {ttl}. Expiration TTL must be at least {least}.")
        return now + ttl
    if entry.expiration is not None:
        given = entry.expiration
        if given <= now:
            raise KvError(400, f"Invalid expiration of {given}. {limits.KV_EXPIRATION_RULE}")
        if given < now + limits.KV_MIN_TTL_S:
            least = limits.KV_MIN_TTL_S
            text = f"Expiration times must be at least {least} seconds in the future."
            raise KvError(400, f"Invalid expiration of {given}. {text}")
        return given
    return None


def _encode_cursor(name: str) -> str:
    return base64.b64encode(name.encode("utf-8", "surrogatepass")).decode()


def _decode_cursor(cursor: str) -> str:
    """The key a cursor stands for. One that was never given out begins the listing anew, as on Cloudflare."""
    try:
        return base64.b64decode(cursor, validate=True).decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
