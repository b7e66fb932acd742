"""A record whose file is damaged: how that is known, and that it is kept beside a new one."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path


def is_damaged(error: Exception) -> bool:
    """Whether the file itself is at fault, and not the disk or another process."""
    if not isinstance(error, sqlite3.Error):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and (code & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return True
    return str(error).startswith(("no such table", "no such column"))


def set_aside(path: Path) -> Path:
    """Move a damaged record out of the way, its log files too. Returns where it is now."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    with contextlib.suppress(OSError):
        path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
