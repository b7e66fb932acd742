"""The bodies of R2 objects: a small one stands in the index itself, a large one in a file of its own.

A file is written beside its place, flushed to the disk and renamed before the index names it, so that no object is ever
half there. What a killed process left behind is swept away when the bucket is opened, an hour later at the earliest.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import IO

from wrangler_py.bindings import limits
from wrangler_py.bindings.r2_objects import too_large
from wrangler_py.clock import SystemClock

#: Bodies up to this size stand in the index (bytes).
INLINE_BYTES = 64 * 1024
_PIECE = 1 << 20
_STALE_MS = 3_600_000
_UNFINISHED = ".part"


class Upload:
    """A body on its way in: `write` its pieces, then hand it to the store, or `discard` it."""

    def __init__(self, folder: Path, algorithms: Iterable[str] = ()) -> None:
        """`algorithms`: the checksums that are wanted beside MD5."""
        self._folder = folder
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in {"md5", *algorithms}}
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._path: Path | None = None
        self.size = 0

    def write(self, piece: bytes | memoryview) -> None:
        """Append a piece. Raises R2Error when the body becomes too large, and OSError; then nothing of it is left."""
        self.size += len(piece)
        try:
            if self.size > limits.R2_MAX_UPLOAD_BYTES:
                raise too_large()
            self._write(piece)
        except BaseException:
            self.discard()
            raise
        for each in self._hashes.values():
            each.update(piece)

    def _write(self, piece: bytes | memoryview) -> None:
        if self._file is None:
            if self.size <= INLINE_BYTES:
                self._memory += piece
                return
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path = self._folder / (secrets.token_hex(16) + _UNFINISHED)
            self._file = self._path.open("wb")
            self._file.write(self._memory)
            self._memory = bytearray()
        self._file.write(piece)

    def checksum(self, name: str) -> str:
        """Hexadecimal, of what was written so far."""
        return self._hashes[name].hexdigest()

    def finish(self) -> tuple[bytes | None, str | None]:
        """The body itself when it is small, else the name of its file, which is on the disk now."""
        if self._file is None or self._path is None:
            return bytes(self._memory), None
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        name = self._path.name.removesuffix(_UNFINISHED)
        self._path.rename(self._folder / name)
        self._path = None
        return None, name

    def discard(self) -> None:
        """Let go of what was written."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what is buffered may not fit on the disk
                self._file.close()
            self._file = None
        if self._path is not None:
            remove(self._path)
            self._path = None


class Reader:
    """A body on its way out. It stays readable when the object is overwritten meanwhile. Close it."""

    def __init__(self, file: IO[bytes], offset: int, length: int) -> None:
        self._file = file
        self._left = length
        file.seek(offset)

    def read(self, most: int = _PIECE) -> bytes:
        """The next piece, of at most `most` bytes; empty at the end."""
        piece = self._file.read(min(most, self._left))
        self._left -= len(piece)
        return piece

    def read_all(self) -> bytes:
        """All that is left."""
        return b"".join(iter(self.read, b""))

    def close(self) -> None:
        self._file.close()


def open_body(folder: Path, inline: bytes | None, name: str | None, offset: int, length: int) -> Reader:
    """A reader of a part of a body. Raises OSError."""
    if name is None:
        return Reader(io.BytesIO(inline or b""), offset, length)
    return Reader((folder / name).open("rb"), offset, length)


def join(upload: Upload, folder: Path, parts: Iterable[tuple[bytes | None, str | None, int]]) -> None:
    """Write the parts (inline, name, size) into `upload`, in order."""
    for inline, name, size in parts:
        reader = open_body(folder, inline, name, 0, size)
        try:
            for piece in iter(reader.read, b""):
                upload.write(piece)
        finally:
            reader.close()


def remove(path: Path) -> None:
    """Remove a file that nothing names any more. Where one is still being read and the system refuses (Windows), the
    next sweep takes it."""
    with contextlib.suppress(OSError):
        path.unlink()


def sweep(folder: Path, named: Collection[str]) -> None:
    """Remove files that nothing names and that no process can be writing any more."""
    if not folder.is_dir():
        return
    old = SystemClock().now_ms() - _STALE_MS
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.name not in named and path.stat().st_mtime * 1000 < old:
                path.unlink()
