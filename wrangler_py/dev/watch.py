"""Watching source and config files. One change of the file system becomes one call with the paths that changed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

#: How long after the first change others are collected (ms), and how often the watcher looks (ms). A smaller step finds
#: a save sooner and wakes an idle session more often: 20 ms is about 0.2 % of one core.
_DEBOUNCE_MS = 50
_STEP_MS = 20
#: Folders that never hold a worker's own source.
_IGNORED = frozenset({"node_modules", "__pycache__", "venv", "python_modules", "dist", "build"})
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


async def watch(
    folders: Callable[[], Collection[Path]],
    wanted: Callable[[Path], bool],
    changed: Callable[[set[Path]], Awaitable[None]],
    restart: asyncio.Event,
) -> None:
    """Call `changed` with the wanted paths of each change, until cancelled.

    `folders` is asked again whenever `restart` is set or a folder appeared or went.
    """
    import watchfiles  # here, because it is not needed before the session is ready

    while True:
        restart.clear()
        watched = {folder for folder in folders() if folder.is_dir()}
        changes = watchfiles.awatch(
            *watched,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=restart,
            recursive=False,
            ignore_permission_denied=True,
        )
        async for batch in changes:
            paths = {Path(path) for _, path in batch}
            relevant = {path for path in paths if wanted(path)}
            if any(path.is_dir() and path not in watched and _may_hold_sources(path) for path in paths):
                restart.set()
                relevant |= {file for path in paths if path.is_dir() for file in path.rglob("*.py")}
            if relevant:
                await changed(relevant)
        await asyncio.sleep(0)


def _may_hold_sources(folder: Path) -> bool:
    return folder.name not in _IGNORED and not folder.name.startswith(".")
