"""R2: one bucket, a folder with an index (SQLite) and the bodies of large objects.

Rules and texts: https://developers.cloudflare.com/r2/api/workers/workers-api-reference/ and workerd with miniflare,
measured. Writes are seen at once, as in production.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from wrangler_py.bindings import limits
from wrangler_py.bindings import r2_objects as r2
from wrangler_py.bindings.r2_blobs import Reader, Upload, join, open_body, remove, sweep
from wrangler_py.bindings.r2_objects import Conditional, R2Object, R2Page, R2Part, Range
from wrangler_py.bindings.sqlite import open_database
from wrangler_py.clock import Clock

_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS objects (
    key TEXT PRIMARY KEY NOT NULL,
    version TEXT NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    uploaded_ms INTEGER NOT NULL,
    http TEXT NOT NULL,       -- JSON
    custom TEXT NOT NULL,     -- JSON
    checksums TEXT NOT NULL,  -- JSON, hexadecimal
    storage_class TEXT NOT NULL,
    blob TEXT,                -- the file of the body, or NULL
    body BLOB                 -- the body, or NULL
);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY NOT NULL,
    key TEXT NOT NULL,
    http TEXT NOT NULL,
    custom TEXT NOT NULL,
    storage_class TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0  -- completed or aborted
);
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT NOT NULL REFERENCES uploads (id),
    number INTEGER NOT NULL,
    etag TEXT NOT NULL,
    md5 TEXT NOT NULL,
    size INTEGER NOT NULL,
    blob TEXT,
    body BLOB,
    PRIMARY KEY (upload, number)
);
COMMIT;
"""
_COLUMNS = "key, version, size, etag, uploaded_ms, http, custom, checksums, storage_class"
_FIND = f"SELECT {_COLUMNS}, blob, body FROM objects WHERE key = ?"
_HEAD = f"SELECT {_COLUMNS} FROM objects WHERE key = ?"
_BLOB_OF = "SELECT blob FROM objects WHERE key = ?"
_PUT = f"INSERT OR REPLACE INTO objects ({_COLUMNS}, blob, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM objects WHERE key = ?"
_LIST = f"SELECT {_COLUMNS} FROM objects WHERE key >= ? AND key > ? AND key < ? ORDER BY key LIMIT ?"
_LAST_OF = "SELECT MAX(key) FROM objects WHERE key >= ? AND key < ?"
_TOTALS = "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM objects"
_NAMED = "SELECT blob FROM objects WHERE blob IS NOT NULL UNION SELECT blob FROM parts WHERE blob IS NOT NULL"
_START = "INSERT INTO uploads (id, key, http, custom, storage_class, started_ms) VALUES (?, ?, ?, ?, ?, ?)"
_UPLOAD = "SELECT http, custom, storage_class, ended FROM uploads WHERE id = ? AND key = ?"
_PART = "SELECT etag, md5, size, blob, body FROM parts WHERE upload = ? AND number = ?"
_PUT_PART = "INSERT OR REPLACE INTO parts (upload, number, etag, md5, size, blob, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
_BLOBS_OF_PARTS = "SELECT blob FROM parts WHERE upload = ? AND blob IS NOT NULL"
_FORGOTTEN = "SELECT id FROM uploads WHERE started_ms < ? AND NOT ended"
_END = "UPDATE uploads SET ended = 1 WHERE id = ?"
_FORGET_PARTS = "DELETE FROM parts WHERE upload = ?"
#: Sorts behind every key that begins with the prefix before it: keys have at most 1,024 bytes, this has 1,028.
_BEHIND = "\U0010ffff" * 257
#: How many rows a listing reads at a time.
_ROWS = 1001


class R2Store:
    """A bucket. Used in the thread that made it; a Reader or an Upload of it may be used in any one thread at a time."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Raises sqlite3.Error and OSError."""
        self._clock = clock
        self._blobs = folder / "blobs"
        self._connection = open_database(folder / "index.sqlite", _SCHEMA)
        oldest_ms = clock.now_ms() - limits.R2_UPLOAD_DAYS * 86_400_000
        for (upload,) in self._connection.execute(_FORGOTTEN, (oldest_ms,)).fetchall():
            self._end_upload(upload)
        sweep(self._blobs, {name for (name,) in self._connection.execute(_NAMED)})

    def close(self) -> None:
        self._connection.close()

    # Reading ------------------------------------------------------------------------------------------------------

    def head(self, key: str) -> R2Object | None:
        """What is known of an object. Raises R2Error."""
        r2.check_key(key)
        row = self._connection.execute(_HEAD, (key,)).fetchone()
        if row is None:
            return None
        found = _object(row)
        return replace(found, range=(0, found.size))

    def get(
        self, key: str, range: Range | None = None, only_if: Conditional | None = None
    ) -> tuple[R2Object, Reader | None] | None:
        """An object and its body; without a body when `only_if` does not hold. Close the reader. Raises R2Error."""
        r2.check_key(key)
        row = self._connection.execute(_FIND, (key,)).fetchone()
        if row is None:
            return None
        found = _object(row)
        if only_if is not None and not only_if.holds(found):
            return replace(found, range=(0, found.size)), None
        offset, length = (range or Range()).within(found.size)
        reader = open_body(self._blobs, row["body"], row["blob"], offset, length)
        return replace(found, range=(offset, length)), reader

    def list(
        self,
        prefix: str = "",
        *,
        delimiter: str | None = None,
        cursor: str | None = None,
        start_after: str | None = None,
        limit: int = limits.R2_MAX_LIST,
    ) -> R2Page:
        """Objects whose keys begin with `prefix`, in the order of their UTF-8 bytes. Keys that have `delimiter` behind
        the prefix are summed up in `prefixes`. `limit` counts both. Raises R2Error."""
        if not 1 <= limit <= limits.R2_MAX_LIST:
            raise r2.bad_max_keys()
        after = _decode_cursor(cursor) if cursor else start_after or ""
        objects: list[R2Object] = []
        prefixes: list[str] = []
        last = after
        for found in self._walk(prefix, after, delimiter):
            if len(objects) + len(prefixes) == limit:
                return R2Page(objects, prefixes, _encode_cursor(last))
            if isinstance(found, str):
                prefixes.append(found)
                last = self._connection.execute(_LAST_OF, (found, found + _BEHIND)).fetchone()[0]
            else:
                objects.append(found)
                last = found.key
        return R2Page(objects, prefixes, None)

    def _walk(self, prefix: str, after: str, delimiter: str | None) -> Iterator[R2Object | str]:
        """Objects, and prefixes up to the delimiter, in order."""
        while True:
            rows = self._connection.execute(_LIST, (prefix, after, prefix + _BEHIND, _ROWS)).fetchall()
            for row in rows:
                key = after = str(row["key"])
                at = key.find(delimiter, len(prefix)) if delimiter else -1
                if delimiter and at >= 0:
                    common = key[: at + len(delimiter)]
                    yield common
                    after = common + _BEHIND
                    break
                yield _object(row)
            else:
                if len(rows) < _ROWS:
                    return

    def totals(self) -> tuple[int, int]:
        """How many objects there are, and how many bytes."""
        count, size = self._connection.execute(_TOTALS).fetchone()
        return int(count), int(size)

    # Writing ------------------------------------------------------------------------------------------------------

    def begin_upload(self, algorithms: Sequence[str] = ()) -> Upload:
        """A body to write piece by piece. `algorithms`: the checksums that `put` is going to be given."""
        return Upload(self._blobs, algorithms)

    def put(
        self,
        key: str,
        body: bytes | Upload,
        *,
        http: Mapping[str, Any] | None = None,
        custom: Mapping[str, str] | None = None,
        checksums: Mapping[str, str] | None = None,
        only_if: Conditional | None = None,
        storage_class: str | None = None,
    ) -> R2Object | None:
        """Store an object; None when `only_if` does not hold. `checksums`: what the body must have, in hexadecimal.

        An Upload is used up, whatever happens. Raises R2Error, sqlite3.Error and OSError.
        """
        given = dict(checksums or {})
        upload = self._uploaded(body, given)
        try:
            r2.check_key(key)
            r2.check_metadata(dict(custom or {}))
            if only_if is not None and not only_if.holds(self.head(key)):
                return None
            for kind in r2.CHECKSUMS:
                if kind in given and upload.checksum(kind) != given[kind].lower():
                    raise r2.bad_digest(kind, given[kind].lower(), upload.checksum(kind))
            made = R2Object(
                key=key,
                version=secrets.token_hex(16),
                size=upload.size,
                etag=upload.checksum("md5"),
                uploaded_ms=self._clock.now_ms(),
                http=dict(http or {}),
                custom=dict(custom or {}),
                checksums={"md5": upload.checksum("md5"), **{kind: text.lower() for kind, text in given.items()}},
                storage_class=storage_class or "Standard",
            )
            return made if self._store(made, upload, only_if) else None
        finally:
            upload.discard()

    def _uploaded(self, body: bytes | Upload, given: Mapping[str, str]) -> Upload:
        if isinstance(body, Upload):
            return body
        upload = self.begin_upload(tuple(given))
        upload.write(body)
        return upload

    def _store(self, made: R2Object, upload: Upload, only_if: Conditional | None = None) -> bool:
        """Name the body in the index. The condition is looked at again: another process may have written meanwhile."""
        body, blob = upload.finish()
        row = (
            *(made.key, made.version, made.size, made.etag, made.uploaded_ms),
            *(json.dumps(made.http), json.dumps(made.custom), json.dumps(made.checksums), made.storage_class),
            *(blob, body),
        )
        replaced = None
        stored = False
        try:
            with self._transaction():
                if only_if is None or only_if.holds(self.head(made.key)):
                    replaced = self._connection.execute(_BLOB_OF, (made.key,)).fetchone()
                    self._connection.execute(_PUT, row)
                    stored = True
        finally:
            if not stored and blob is not None:
                remove(self._blobs / blob)
        if replaced is not None and replaced[0] is not None:
            remove(self._blobs / replaced[0])
        return stored

    def delete(self, *keys: str) -> None:
        """Delete up to 1,000 objects; one that is not there is no error. Raises R2Error."""
        if len(keys) > limits.R2_MAX_DELETE:
            raise r2.too_many_keys()
        for key in keys:
            r2.check_key(key)
        blobs = []
        with self._transaction():
            for key in keys:
                blobs += self._connection.execute(_BLOB_OF, (key,)).fetchall()
                self._connection.execute(_DELETE, (key,))
        self._remove(blobs)

    # Multipart uploads --------------------------------------------------------------------------------------------

    def create_multipart(
        self,
        key: str,
        *,
        http: Mapping[str, Any] | None = None,
        custom: Mapping[str, str] | None = None,
        storage_class: str | None = None,
    ) -> str:
        """Begin a multipart upload; its id. Raises R2Error."""
        r2.check_key(key)
        r2.check_metadata(dict(custom or {}))
        upload_id = secrets.token_urlsafe(96)
        details = json.dumps(dict(http or {})), json.dumps(dict(custom or {})), storage_class or "Standard"
        with self._transaction():
            self._connection.execute(_START, (upload_id, key, *details, self._clock.now_ms()))
        return upload_id

    def upload_part(self, key: str, upload_id: str, number: int, body: bytes | Upload) -> R2Part:
        """Store a part, in the place of one with the same number. Raises R2Error, sqlite3.Error and OSError."""
        upload = self._uploaded(body, {})
        try:
            r2.check_key(key)
            self._open_upload(key, upload_id)
            content, blob = upload.finish()
            part = R2Part(number, secrets.token_urlsafe(96))
            row = (upload_id, number, part.etag, upload.checksum("md5"), upload.size, blob, content)
            with self._transaction():
                self._open_upload(key, upload_id)
                replaced = self._connection.execute(_PART, (upload_id, number)).fetchone()
                self._connection.execute(_PUT_PART, row)
        finally:
            upload.discard()
        if replaced is not None:
            self._remove([(replaced["blob"],)])
        return part

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[R2Part]) -> R2Object:
        """Make an object of the parts, in the order given. Raises R2Error, sqlite3.Error and OSError."""
        r2.check_key(key)
        http, custom, storage_class = self._open_upload(key, upload_id)
        if len({part.number for part in parts}) != len(parts):
            raise r2.internal_error()
        rows = []
        for part in parts:
            row = self._connection.execute(_PART, (upload_id, part.number)).fetchone()
            if row is None or row["etag"] != part.etag:
                raise r2.bad_part()
            rows.append(row)
        _check_sizes([row["size"] for row in rows])
        digests = b"".join(bytes.fromhex(row["md5"]) for row in rows)
        upload = self.begin_upload()
        try:
            join(upload, self._blobs, ((row["body"], row["blob"], row["size"]) for row in rows))
            made = R2Object(
                key=key,
                version=secrets.token_hex(16),
                size=upload.size,
                etag=f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(rows)}",
                uploaded_ms=self._clock.now_ms(),
                http=json.loads(http),
                custom=json.loads(custom),
                storage_class=storage_class,
            )
            self._store(made, upload)
        finally:
            upload.discard()
        self._end_upload(upload_id)
        return made

    def abort_multipart(self, key: str, upload_id: str) -> None:
        """Give an upload up; one that is over already stays as it is. Raises R2Error for one that never was."""
        r2.check_key(key)
        if self._connection.execute(_UPLOAD, (upload_id, key)).fetchone() is None:
            raise r2.no_upload()
        self._end_upload(upload_id)

    def _open_upload(self, key: str, upload_id: str) -> tuple[str, str, str]:
        row = self._connection.execute(_UPLOAD, (upload_id, key)).fetchone()
        if row is None or row["ended"]:
            raise r2.no_upload()
        return row["http"], row["custom"], row["storage_class"]

    def _end_upload(self, upload_id: str) -> None:
        with self._transaction():
            blobs = self._connection.execute(_BLOBS_OF_PARTS, (upload_id,)).fetchall()
            self._connection.execute(_FORGET_PARTS, (upload_id,))
            self._connection.execute(_END, (upload_id,))
        self._remove(blobs)

    def _remove(self, blobs: Sequence[Any]) -> None:
        for (name,) in blobs:
            if name is not None:
                remove(self._blobs / name)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _check_sizes(sizes: Sequence[int]) -> None:
    """R2: all parts but the last have one size, of 5 MiB or more, and the last is not larger."""
    *all_but_last, _ = sizes or [0]
    if any(size < limits.R2_MIN_PART_BYTES for size in all_but_last):
        raise r2.too_small()
    if len(set(all_but_last)) > 1 or (all_but_last and sizes[-1] > all_but_last[0]):
        raise r2.bad_upload()


def _object(row: Any) -> R2Object:
    return R2Object(
        key=row["key"],
        version=row["version"],
        size=row["size"],
        etag=row["etag"],
        uploaded_ms=row["uploaded_ms"],
        http=json.loads(row["http"]),
        custom=json.loads(row["custom"]),
        checksums=json.loads(row["checksums"]),
        storage_class=row["storage_class"],
    )


def _encode_cursor(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode("utf-8", "surrogatepass")).decode()


def _decode_cursor(cursor: str) -> str:
    """The key a cursor stands for; one that was never given out points somewhere, as on Cloudflare."""
    try:
        return base64.urlsafe_b64decode(cursor + "==").decode("utf-8", "replace")
    except ValueError:
        return cursor
