"""The processes that a worker's own code has started: they end with it, or a dev session would leave them behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """All living processes below `pid`, nearest first. Empty where the system does not tell (Windows)."""
    children: dict[int, list[int]] = {}
    for child, parent in _pairs():
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def kill_all(pids: list[int]) -> None:
    """SIGKILL each of them; one that has ended meanwhile needs none."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _pairs() -> list[tuple[int, int]]:
    """(process, parent) of every process."""
    if sys.platform == "linux":
        pairs = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    # "pid (name) state ppid ...", and a name may hold anything, brackets too
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                    pairs.append((int(folder.name), int(fields[1])))
        return pairs
    if sys.platform == "win32":
        return []
    table = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    return [(int(pid), int(parent)) for pid, parent in (row.split() for row in table.splitlines())]
