"""A file that keeps sends until they are stored: frames one after the other, each there as a whole or not at all.

A Python Worker's process has one (outbox.py), and so has a session for its JavaScript Workers (runtime/workerd/kept_sends.py).
"""

from __future__ import annotations

import contextlib
import os

#: Sends are stored before they are answered when the file has grown to this size (bytes), so that it and what has yet to be
#: stored stay small.
FULL = 4 << 20
#: When everything is stored, a file that is larger than this is emptied (bytes).
_EMPTY_ABOVE = 1 << 18
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class SendsFile:
    """The file, which is made by the first `append`. Its folder has to be there."""

    __slots__ = ("_file", "path", "size")

    def __init__(self, path: str) -> None:
        self.path = path
        #: In bytes.
        self.size = 0
        self._file = -1

    def append(self, data: bytes) -> None:
        """Raises OSError; then the file is as it was."""
        if self._file < 0:
            self._file = os.open(self.path, _FLAGS, 0o600)
            _hold(self._file)
        written = os.write(self._file, data)
        if written < len(data):
            os.ftruncate(self._file, self.size)
            raise OSError("the sends were not written as a whole")
        self.size += written

    def all_stored(self) -> None:
        """Nothing in it is needed any more."""
        if self.size > _EMPTY_ABOVE:
            with contextlib.suppress(OSError):  # it is only large
                os.ftruncate(self._file, 0)
                self.size = 0

    def close(self) -> bool:
        """Let go of it. Returns whether it was ever made."""
        if self._file < 0:
            return False
        os.close(self._file)
        self._file = -1
        return True


def _hold(file: int) -> None:
    """Say that somebody may still write this file: whoever takes up what dead sessions have left leaves it alone."""
    try:
        import fcntl
    except ImportError:  # Windows, where a file that is open is not removed anyway
        return
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
