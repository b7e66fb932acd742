"""Waiting until something in a state folder changes: told by the system on Linux, by looking every few milliseconds elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

#: How often one has to look where the system does not tell of changes (seconds): often enough to look immediate.
_LOOK_EVERY_S = 0.05
#: Where it does: what follows so soon after a change is seen together with it (seconds).
_TOGETHER_S = 0.02
#: It waits no longer than this in any case (seconds).
_MOST_S = 1.0


class FolderChanges:
    """The changes of one folder, and of the files in it. The folder need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inotify: Any = None  # False: the system has no watch left, or none at all

    def wait(self) -> None:
        """Return when something may have changed, after a second at the latest."""
        if self._inotify is None and self._folder.is_dir():
            self._inotify = self._watch()
            return  # what changed before the watch stood is seen by looking once more
        if not self._inotify:
            time.sleep(_LOOK_EVERY_S)
            return
        events = self._inotify.read(timeout=round(_MOST_S * 1000))
        if events:
            time.sleep(_TOGETHER_S)
        if not self._folder.is_dir() or any(event.mask & self._gone for event in events):
            self.close()  # it was removed: a new one of that name is another one

    def _watch(self) -> Any:
        if sys.platform != "linux":
            return False
        try:
            from inotify_simple import INotify, flags  # type: ignore[import-untyped]

            self._gone = flags.DELETE_SELF | flags.MOVE_SELF | flags.IGNORED
            inotify = INotify()
            wanted = flags.MODIFY | flags.CREATE | flags.MOVED_TO | flags.DELETE
            inotify.add_watch(self._folder, wanted | flags.DELETE_SELF | flags.MOVE_SELF)
            return inotify
        except (ImportError, OSError):
            return False

    def close(self) -> None:
        """Let the watch go. It is made anew by the next `wait`."""
        inotify, self._inotify = self._inotify, None
        if inotify:
            inotify.close()
