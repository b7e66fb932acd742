"""`build.command`: a Worker's own build, before it is loaded and again when a file of its `watch_dir` changes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from wrangler_py.config.model import CustomBuild, WorkerConfig
from wrangler_py.dev.terminal import Terminal
from wrangler_py.dev.watch import Watcher, look, source_folders

#: What is read of the command's output at once (bytes).
_PIECE = 1 << 16


class CustomBuildError(Exception):
    """The build failed, or made no entry module. The text is for the user."""


class CustomBuilds:
    """The builds of a session's Workers. What they print goes to the terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._watcher: Watcher | None = None
        #: Set when a Worker of the config has a build.
        self._wanted = asyncio.Event()

    async def run(self, workers: Iterable[WorkerConfig]) -> None:
        """Build them, one after the other. A build that fails is told, and leaves what the one before it has made."""
        for worker in workers:
            if worker.build is not None:
                self._wanted.set()
                try:
                    await _run(worker, worker.build, self._say)
                except CustomBuildError as error:
                    self._terminal.error(str(error))

    async def watch(self, workers: Callable[[], Sequence[WorkerConfig]], built: Callable[[], None]) -> None:
        """Build a Worker again when its sources change, until cancelled. `built` is called after each build."""

        def folders() -> set[Path]:
            builds = [worker.build for worker in workers() if worker.build is not None]
            return {below for build in builds for folder in build.watch for below in source_folders(folder)}

        def wanted(path: Path) -> bool:
            return any(_is_input(worker, path) for worker in workers())

        async def changed(paths: set[Path]) -> None:
            await self.run(worker for worker in workers() if any(_is_input(worker, path) for path in paths))
            built()

        await self._wanted.wait()
        self._watcher = Watcher(folders, wanted, changed, look(folders(), wanted))
        await self._watcher.run()

    def restart(self) -> None:
        """The config has changed."""
        if self._watcher is not None:
            self._watcher.restart()

    def _say(self, line: str) -> None:
        self._terminal.line(f"{self._terminal.style('[custom build]', 'blue')} {line}")


def _is_input(worker: WorkerConfig, path: Path) -> bool:
    """Whether a changed file asks for another build: one of `watch_dir`, and none that the build makes there."""
    made = worker.main.parent
    for folder in worker.build.watch if worker.build is not None else ():
        if path.is_relative_to(folder):
            inside = made != folder and made.is_relative_to(folder)
            return path != worker.main and not (inside and path.is_relative_to(made))
    return False


async def _run(worker: WorkerConfig, build: CustomBuild, say: Callable[[str], None]) -> None:
    """Run it in a shell, and hand on what it prints line by line. Raises CustomBuildError."""
    say(f"Running: {build.command}")
    try:
        process = await asyncio.create_subprocess_shell(
            build.command,
            cwd=build.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "WRANGLER_COMMAND": "dev"},
            start_new_session=True,  # Ctrl-C is wpy's to answer
        )
    except OSError as error:
        raise CustomBuildError(f"The custom build cannot run in {build.cwd}: {error.strerror}.") from error
    try:
        await _print(process, say)
        code = await process.wait()
    except asyncio.CancelledError:
        _kill(process)
        raise
    if code != 0:
        raise CustomBuildError(
            f"Running custom build `{build.command}` failed (exit code {code}). What it printed stands above."
        )
    if not worker.main.is_file():
        raise CustomBuildError(
            f'The expected output file at "{worker.main}" was not found after running custom build: {build.command}. '
            "`main` in the config should name the file that it makes."
        )


async def _print(process: asyncio.subprocess.Process, say: Callable[[str], None]) -> None:
    assert process.stdout is not None
    rest = b""
    while piece := await process.stdout.read(_PIECE):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            say(line.decode("utf-8", "replace").rstrip("\r"))
    if rest:
        say(rest.decode("utf-8", "replace"))


def _kill(process: asyncio.subprocess.Process) -> None:
    """End the shell and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
