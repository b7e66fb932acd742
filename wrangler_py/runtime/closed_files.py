"""Files of a folder that were being written and are not any more: their writers have closed them, or have ended."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any

#: How often one has to look where the system tells of nothing (seconds), and how soon it is asked to: the start of a session
#: need not wait for that.
_LOOK_EVERY_S = 2.0
#: How often one looks where it does (seconds): what another machine does in a shared folder, it does not know.
_LOOK_ANYWAY_S = 60.0
#: A process that ends closes its files, and gives up its locks, one after the other (seconds).
_TOGETHER_S = 0.05


class ClosedFiles:
    """The files of one folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inotify: Any = None
        self._news = asyncio.Event()

    async def wait(self) -> None:
        """Return when a file may have been closed: at once on Linux, after two seconds elsewhere."""
        # Real time throughout: this is about processes, not about a session's clock.
        if self._inotify is None:
            await asyncio.sleep(_LOOK_EVERY_S)
            self._watch()
            return  # what was closed before the watch stood is seen by looking once more
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_ANYWAY_S):
                await self._news.wait()
        await asyncio.sleep(_TOGETHER_S)
        self._news.clear()

    def _watch(self) -> None:
        if sys.platform != "linux":
            return
        from inotify_simple import INotify, flags  # type: ignore[import-untyped]

        inotify = None
        try:
            inotify = INotify(nonblocking=True)
            inotify.add_watch(self._folder, flags.CLOSE_WRITE | flags.DELETE_SELF | flags.MOVE_SELF | flags.ONLYDIR)
        except OSError:  # the folder is not there, or the user's limit of watches is reached: asked again later
            if inotify is not None:
                inotify.close()
            return
        gone = flags.DELETE_SELF | flags.MOVE_SELF | flags.IGNORED

        def readable() -> None:
            self._news.set()
            if any(event.mask & gone for event in inotify.read(timeout=0)):
                self.close()  # a new folder of that name is another one

        self._inotify = inotify
        asyncio.get_running_loop().add_reader(inotify.fileno(), readable)

    def close(self) -> None:
        """Let the watch go. It is made anew by the next `wait`."""
        inotify, self._inotify = self._inotify, None
        if inotify is not None:
            asyncio.get_running_loop().remove_reader(inotify.fileno())
            inotify.close()
