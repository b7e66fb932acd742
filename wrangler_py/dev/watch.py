"""Watching source and config files. One change of the file system becomes one call with the paths that changed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path

#: Where watchfiles watches: how long after the first change others are collected, and how often it looks (ms). A smaller
#: step finds a save sooner and wakes an idle session more often: 20 ms is about 0.2 % of one core.
_DEBOUNCE_MS = 50
_STEP_MS = 20
#: Folders that never hold a worker's own source.
_IGNORED = frozenset({"node_modules", "__pycache__", "venv", "python_modules", "dist", "build"})
#: When to look at the files once more after watching began (seconds, one after the other).
_LOOK_AGAIN_S = (0.2, 0.8)
#: Folders below a source folder that are watched at most; a worker with more is not watched wholly.
_MAX_FOLDERS = 2_000


def source_folders(top: Path) -> set[Path]:
    """`top` and the folders below it that may hold Python sources."""
    found: set[Path] = set()
    for folder, names, _ in os.walk(top):
        names[:] = [name for name in names if name not in _IGNORED and not name.startswith(".")]
        found.add(Path(folder))
        if len(found) >= _MAX_FOLDERS:
            break
    return found


Seen = dict[Path, tuple[int, int]]


def look(folders: Collection[Path], wanted: Callable[[Path], bool]) -> Seen:
    """The wanted files of these folders, each with its time of change (ns) and size (bytes)."""
    seen: Seen = {}
    for folder in folders:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue  # it went away a moment ago
        for entry in entries:
            path = Path(entry.path)
            if wanted(path):
                try:
                    state = entry.stat()
                except OSError:
                    continue
                seen[path] = (state.st_mtime_ns, state.st_size)
    return seen


class Watcher:
    """Calls `changed` with the wanted paths of each change, for as long as `run` runs.

    The operating system reports what happens once it watches, which takes a moment to set up. What was saved between
    `seen` (taken before the files were read) and that moment is found by looking again.
    """

    def __init__(
        self,
        folders: Callable[[], Collection[Path]],
        wanted: Callable[[Path], bool],
        changed: Callable[[set[Path]], Awaitable[None]],
        seen: Seen,
        since_ms: float = 0,
    ) -> None:
        """`folders` is asked again after `restart`, and when a folder appeared. `since_ms`: when `seen` was taken."""
        self._folders = folders
        self._wanted = wanted
        self._changed = changed
        self._seen = seen
        self._since_ns = since_ms * 1_000_000
        self._one_at_a_time = asyncio.Lock()
        self._restart = asyncio.Event()

    def restart(self) -> None:
        """Ask for the folders again."""
        self._restart.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._restart.clear()
            watched = {folder for folder in self._folders() if folder.is_dir()}
            changes = _changes(watched, self._restart)
            looking = asyncio.create_task(self._look_again(watched))
            try:
                async for paths in changes:
                    await self._reported(paths, watched)
                async with self._one_at_a_time:  # what `looking` has begun to tell is told wholly
                    pass
            finally:
                looking.cancel()

    async def _reported(self, paths: set[Path], watched: set[Path]) -> None:
        relevant = {path for path in paths if self._wanted(path)}
        if any(path not in watched and path.is_dir() and _may_hold_sources(path) for path in paths):
            self._restart.set()  # and looking again finds the files in it
        if relevant:
            await self._tell(relevant)

    async def _look_again(self, watched: set[Path]) -> None:
        for delay in _LOOK_AGAIN_S:
            await asyncio.sleep(delay)  # real time: this is about the file system
            now = look(watched, self._wanted)
            for path, state in now.items():
                if path not in self._seen and state[0] < self._since_ns:
                    self._seen[path] = state  # it has become wanted and has not changed
            different = {path for path in now.keys() | self._seen.keys() if now.get(path) != self._seen.get(path)}
            if different:
                await self._tell(different)

    async def _tell(self, paths: set[Path]) -> None:
        async with self._one_at_a_time:
            now = look({path.parent for path in paths}, self._wanted)
            for path in paths:
                if path in now:
                    self._seen[path] = now[path]
                else:
                    self._seen.pop(path, None)
            await self._changed(paths)


async def _changes(folders: Collection[Path], stop: asyncio.Event) -> AsyncIterator[set[Path]]:
    """The paths that each change touched, until `stop` is set."""
    # Imported here, because neither is needed before the session is ready.
    if sys.platform == "linux":
        from wrangler_py.dev import inotify

        try:
            async for paths in inotify.changes(folders, stop):
                yield paths
        except OSError:
            pass  # the user's limit of watches is reached: look instead
        if stop.is_set():
            return
    import watchfiles

    found = watchfiles.awatch(
        *folders,
        watch_filter=None,
        debounce=_DEBOUNCE_MS,
        step=_STEP_MS,
        stop_event=stop,
        recursive=False,
        ignore_permission_denied=True,
        force_polling=None if sys.platform != "linux" else True,
    )
    async for batch in found:
        yield {Path(path) for _, path in batch}


def _may_hold_sources(folder: Path) -> bool:
    return folder.name not in _IGNORED and not folder.name.startswith(".")
