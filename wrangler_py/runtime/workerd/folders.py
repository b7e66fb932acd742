"""Where a session keeps the sockets, bundles and configurations of its workerd."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_TEMP_PREFIX = "wpy-workerd-"


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
