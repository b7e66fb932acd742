"""Changes of files as Linux reports them: nothing polls, and a save is known within a millisecond.

Elsewhere, and where inotify cannot be had, watchfiles does the same by looking every few milliseconds (watch.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from inotify_simple import INotify, flags  # type: ignore[import-untyped]

#: A file counts as changed once whoever wrote it has closed it, so that nothing half-written is loaded.
_MASK = flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.CREATE | flags.DELETE | flags.DELETE_SELF
#: What follows within this time belongs to the same change (seconds): an editor writes, renames and removes.
_TOGETHER_S = 0.004


async def changes(folders: Collection[Path], stop: asyncio.Event) -> AsyncIterator[set[Path]]:
    """The paths that each change touched, until `stop` is set. Raises OSError when the system has no watch left."""
    loop = asyncio.get_running_loop()
    with INotify(nonblocking=True) as inotify:
        names = {inotify.add_watch(folder, _MASK): folder for folder in folders}
        found: asyncio.Queue[set[Path]] = asyncio.Queue()
        gathering: set[Path] = set()

        def readable() -> None:
            first = not gathering
            for event in inotify.read(timeout=0):
                folder = names.get(event.wd)
                if folder is not None:
                    path = folder / event.name if event.name else folder
                    if not event.mask & flags.CREATE or event.mask & flags.ISDIR or path.is_symlink():
                        gathering.add(path)  # a new file is told of when it has been written
                elif event.mask & flags.Q_OVERFLOW:  # too many at once: all of them may have changed
                    gathering.update(path for each in names.values() for path in each.iterdir())
            if first and gathering:
                loop.call_later(_TOGETHER_S, hand_over)

        def hand_over() -> None:
            found.put_nowait(set(gathering))
            gathering.clear()

        loop.add_reader(inotify.fileno(), readable)
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                change = asyncio.create_task(found.get())
                try:
                    await asyncio.wait([change, stopping], return_when=asyncio.FIRST_COMPLETED)
                    if change.done():
                        yield change.result()
                finally:
                    change.cancel()
        finally:
            stopping.cancel()
            loop.remove_reader(inotify.fileno())
