"""How a command tells the sessions of a state folder that somebody looks at the record: by touching a file.

A session that is very busy writes its events down twice a second only; while somebody looks, five times as often.
"""

from __future__ import annotations

from pathlib import Path

FILE_NAME = "events.look"


def touch(folder: Path) -> None:
    """Say that somebody looks now. In a folder that cannot be written nobody is told, and what is seen is older."""
    try:
        (folder / FILE_NAME).touch()
    except OSError:
        return


class Look:
    """A session's side of it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._seen = self._moment()

    def again(self) -> bool:
        """Whether somebody has looked since the last time that this was asked."""
        seen, self._seen = self._seen, self._moment()
        return self._seen != seen

    def _moment(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0
