"""The files of an assets folder, as they are on disk at this moment."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from wrangler_py.bindings.assets import limits

_TYPES = Path(__file__).with_name("content_types.txt")


@lru_cache(1)
def _types() -> dict[str, str]:
    types = {}
    for line in _TYPES.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            content_type, *extensions = line.split()
            types.update(dict.fromkeys(extensions, content_type))
    return types


def content_type(path: str) -> str | None:
    """The type that Cloudflare serves a file with; None: without any."""
    _, dot, extension = path.rpartition("/")[2].rpartition(".")
    found = _types().get(extension.lower()) if dot else None
    return f"{found}; charset=utf-8" if found is not None and found.startswith("text/") else found


class AssetFiles:
    """The files below a folder, by the path of a URL. Symbolic links are followed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._tags: dict[str, tuple[tuple[int, int], str]] = {}
        self._ignored: tuple[float, object] | None = None

    def exists(self, path: str) -> str | None:
        """The ETag (without quotes) of the file at a decoded path, None when there is no such file."""
        file = self._file(path)
        if file is None:
            return None
        try:
            stat = os.stat(file)  # noqa: PTH116
        except OSError:
            return None
        known = self._tags.get(file)
        version = (stat.st_mtime_ns, stat.st_size)
        if known is None or known[0] != version:
            try:
                data = Path(file).read_bytes()
            except OSError:
                return None
            # Production's tag is a hash of the content and the extension; which hash is no client's business.
            digest = hashlib.blake2b(data + b"\0" + file.rpartition(".")[2].encode(), digest_size=16).hexdigest()
            known = self._tags[file] = (version, digest)
        return known[1]

    def read(self, path: str) -> bytes:
        """The content of a file that exists. Raises OSError."""
        file = self._file(path)
        if file is None:
            raise FileNotFoundError(path)
        return Path(file).read_bytes()

    def _file(self, path: str) -> str | None:
        parts = path.split("/")[1:]
        if not parts or any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
            return None
        if path.lstrip("/") in limits.CONTROL_FILES or self._is_ignored("/".join(parts)):
            return None
        file = os.path.join(self.directory, *parts)  # noqa: PTH118  (asked for each request, several times)
        try:
            return file if os.path.isfile(file) and os.path.getsize(file) <= limits.MAX_FILE_SIZE else None  # noqa: PTH113, PTH202
        except (OSError, ValueError):
            return None

    def _is_ignored(self, path: str) -> bool:
        """Whether `.assetsignore` (written like a .gitignore) leaves a file out."""
        ignore = self.directory / ".assetsignore"
        try:
            changed = ignore.stat().st_mtime
        except OSError:
            return False
        if self._ignored is None or self._ignored[0] != changed:
            from pathspec import GitIgnoreSpec  # imported by the few who have such a file

            spec = GitIgnoreSpec.from_lines(ignore.read_text(encoding="utf-8", errors="replace").splitlines())
            self._ignored = (changed, spec)
        return bool(self._ignored[1].match_file(path))  # type: ignore[attr-defined]

    def too_large(self) -> list[str]:
        """Files that production would refuse for their size, as paths below the folder."""
        return sorted(
            file.relative_to(self.directory).as_posix()
            for file in self.directory.rglob("*")
            if file.is_file() and file.stat().st_size > limits.MAX_FILE_SIZE
        )
