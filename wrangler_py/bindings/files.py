"""Where the state of bindings stands in the state folder."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

#: Names that every file system keeps apart, whatever it thinks of capitals.
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_STRANGE = re.compile(r"[^a-z0-9_-]+")


def file_name(resource: str) -> str:
    """The name of the file or folder of a resource: its id where that may stand in a path, else one made from it."""
    if _PLAIN.fullmatch(resource):
        return resource
    readable = _STRANGE.sub("-", resource.lower()).strip("-")[:40]
    return f"{readable or 'x'}-{sha256(resource.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def kv_path(state: Path, namespace: str) -> Path:
    """The database of a KV namespace."""
    return state / "kv" / f"{file_name(namespace)}.sqlite"


def d1_path(state: Path, database: str) -> Path:
    """The file of a D1 database."""
    return state / "d1" / f"{file_name(database)}.sqlite"


def r2_path(state: Path, bucket: str) -> Path:
    """The folder of an R2 bucket."""
    return state / "r2" / file_name(bucket)
