"""The lock on a worker's Durable Objects: one process at a time has them, of all sessions on a state folder.

The file's lock ends with the process that holds it. What stands in the file says who that is: its own process id, and that
of the session it belongs to.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

#: How long a predecessor of the same session, or of one that was killed, may keep the lock (seconds).
_WAIT_S = 10.0


class HeldElsewhere(Exception):
    """Another session that runs has the objects."""


async def lock(path: str) -> Any:
    """The open file, locked. Raises HeldElsewhere at once for another session that runs, and after a while for a process
    that does not let go; OSError."""
    file = open(path, "a+b")  # noqa: ASYNC230, PTH123, SIM115 - a local file, kept open
    deadline = time.monotonic() + _WAIT_S
    try:
        while not _locked(file):
            process, session = _holder(file)
            if session not in (0, os.getppid()) and _runs(session):
                raise HeldElsewhere(
                    f"another session runs them (process {session}; {path} is locked). End that one, or give this one its "
                    "own state with --persist-to FOLDER"
                )
            if time.monotonic() > deadline:
                raise HeldElsewhere(
                    f"process {process or 'unknown'} does not let go of them ({path} is locked). End it"
                )
            await asyncio.sleep(0.02)
        file.truncate(0)
        file.write(b"\n%d %d\n" % (os.getpid(), os.getppid()))
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _holder(file: Any) -> tuple[int, int]:
    """(process, session) of who holds the lock, zeros when it has not said so yet."""
    file.seek(1)  # on Windows the first byte is locked, and cannot be read
    try:
        process, session = file.read(40).split()
        return int(process), int(session)
    except ValueError:
        return 0, 0


def _runs(process: int) -> bool:
    if sys.platform == "win32":
        return False  # it cannot be asked without ending it: wait
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _locked(file: Any) -> bool:
    """Whether this process has the lock of an open file now; it ends with the process."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
