"""Folders for what a test stores beside the database. One that stayed empty serves the next test."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

_spare: list[str] = []


def take() -> Path:
    """An empty folder."""
    if not _spare:
        return Path(tempfile.mkdtemp(prefix="wpy-test-"))
    return Path(_spare.pop())


def give_back(folder: Path) -> None:
    """Done with it."""
    try:
        empty = not any(folder.iterdir())
    except OSError:
        return  # the test has removed it itself
    if empty:
        if not _spare:
            atexit.register(_remove)
        _spare.append(str(folder))
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _remove() -> None:
    while _spare:
        shutil.rmtree(_spare.pop(), ignore_errors=True)
