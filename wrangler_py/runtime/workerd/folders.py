"""Where a session keeps the sockets, bundles and configurations of its workerd."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

_TEMP_PREFIX = "wpy-workerd-"


class FolderInUse(Exception):
    """Another session keeps its Durable Objects in a folder. The text says what to do."""


def lock_folder(folder: Path) -> IO[str] | None:
    """Keep other sessions out of a folder for as long as the file that is returned stays open; the system lets go of it when
    this process ends in any way. Two workerd in one folder would destroy each other's files.

    Raises FolderInUse. None where the system has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        return None
    file = (folder / ".in-use").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        raise FolderInUse(
            f"Another `wpy dev` session (process {owner or 'unknown'}) runs Durable Objects on this state folder. Use that one, "
            "end it, or give this one its own state with --persist-to FOLDER."
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def temporary_folder() -> Path:
    """A folder for sockets, whose paths must be short. What a killed session has left is removed."""
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_TEMP_PREFIX}*"):
        pid = left.name.removeprefix(_TEMP_PREFIX).partition("-")[0]
        if pid.isdigit() and not _exists(int(pid)) and left.owner() == _own_name():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_TEMP_PREFIX}{os.getpid()}-", dir=parent))


def _own_name() -> str:
    return Path(tempfile.gettempdir()).owner() if not hasattr(os, "getuid") else _name_of(os.getuid())


def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
