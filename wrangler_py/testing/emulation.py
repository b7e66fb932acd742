"""The emulator under a test: put together on the test's own loop, and taken apart again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wrangler_py.events.log import EventLog
from wrangler_py.testing import folders
from wrangler_py.testing.errors import KitError

if TYPE_CHECKING:
    from wrangler_py.runtime.inprocess.hub import LoopHub
    from wrangler_py.runtime.inprocess.process import LocalProcess
    from wrangler_py.runtime.inprocess.runtime import Host, InProcessRuntime
    from wrangler_py.session.emulator import Emulator
    from wrangler_py.store.database import Store
    from wrangler_py.testing.kit import Wpy
    from wrangler_py.testing.project import Project

__tracebackhide__ = True


class _Alone:
    """The only session on a state that nobody else sees (store/sessions.py)."""

    id = 1
    recovered = 0

    def announce(self, url: str, token: str) -> None:
        """Nobody looks."""

    def attach(self, attachments: list[Any]) -> None:
        """Nobody looks."""

    def close(self) -> None:
        """The state is gone with the test."""


class Emulation:
    """One emulator, from its start to its end, with what its workers run on in this process."""

    hub: LoopHub
    host: Host
    store: Store

    def __init__(self, wpy: Wpy, project: Project) -> None:
        self._wpy = wpy
        self._project = project
        self._folder: Path | None = None
        self._undo: list[Callable[[], None]] = []
        #: The rooms themselves. None: they have not been put together yet, or are gone.
        self.emulator: Emulator | None = None
        #: What a part of the kit closes before the emulator ends.
        self.closing: list[Callable[[], Coroutine[Any, Any, None]]] = []

    async def begin(self) -> None:
        """Put the rooms together and start them. Raises KitError for another loop than asyncio's, and for a worker that
        cannot be loaded."""
        from wrangler_py.runtime.inprocess.hub import LoopHub
        from wrangler_py.runtime.inprocess.runtime import Host
        from wrangler_py.store.database import open_memory
        from wrangler_py.testing.project import shims

        wpy = self._wpy
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise KitError(
                f"{wpy.name} runs on another loop than asyncio's (trio?), and workers are asyncio programs. With anyio: "
                'a fixture anyio_backend that returns "asyncio".'
            ) from None
        helper, flags = shims()
        self._project.prepare()
        hub = self.hub = LoopHub(loop, wpy.session_clock)
        host = self.host = Host(hub, wpy.session_clock, self._project.modules, helper, flags, wpy.settings.timeout_s)
        await hub.attach()
        self._undo.append(hub.detach)
        before = loop.get_task_factory()
        loop.set_task_factory(host.task_factory(before))
        self._undo.append(lambda: loop.set_task_factory(before))
        helper.forget(wpy.config.workers[0].name)
        host.on_start, host.on_began, host.on_frame = wpy.calls.started, wpy.calls.began, wpy.calls.frame
        self._folder = folders.take()
        self.store = open_memory(self._folder)
        self._undo.insert(0, self.store.close)  # last of all
        if wpy.restore is not None:
            wpy.restore(self.store, self._folder)
        await self._start_rooms()

    async def _start_rooms(self) -> None:
        from wrangler_py.runtime.inprocess.runtime import InProcessRuntime
        from wrangler_py.session.emulator import Emulator, EmulatorOptions
        from wrangler_py.testing.logs import capture

        wpy = self._wpy
        events = EventLog(wpy.session_clock)
        events.subscribe(wpy.timeline.append)
        self._undo += [wpy.http.install(), capture()]
        options = EmulatorOptions(crons=wpy.settings.crons, worker_clock=True, record=None, storage_threads=False)
        session: Any = _Alone()
        emulator = self.emulator = Emulator(
            wpy.config,
            self.store,
            wpy.session_clock,
            events,
            options,
            python_runtime=partial(InProcessRuntime, host=self.host),
            session=session,
        )
        if any(worker.language == "javascript" for worker in wpy.config.workers):
            from wrangler_py.testing.javascript import listen

            listen(emulator, self.host, wpy.calls)
        await emulator.load()
        for worker in emulator.workers.all():
            if worker.runtime.broken is not None:
                raise KitError(f"{worker.config.name} cannot be loaded:\n{worker.runtime.broken}")
        await emulator.start()

    def runtime(self, worker: str) -> InProcessRuntime:
        """The runtime of a worker. Raises KitError for a name that none has."""
        assert self.emulator is not None
        runtime: Any = self.emulator.workers.named(worker)
        if runtime is None:
            names = ", ".join(config.name for config in self._wpy.config.workers)
            raise KitError(f'There is no worker "{worker}". There are: {names}.')
        return runtime  # type: ignore[no-any-return]

    def processes(self) -> list[LocalProcess]:
        """What serves the workers now."""
        assert self.emulator is not None
        runtimes: list[Any] = [worker.runtime for worker in self.emulator.workers.all()]
        return [runtime.process for runtime in runtimes if getattr(runtime, "process", None) is not None]

    async def end(self) -> None:
        """Stop the rooms, and whatever handlers have left behind."""
        assert self.emulator is not None
        processes = self.processes()
        emulator, self.emulator = self.emulator, None
        try:
            emulator.store.flush()
            await self.host.end_tasks()
            for process in processes:
                process.kill("the test has ended")
            await emulator.stop(0)
        finally:
            self._close(emulator)

    def abandon(self) -> None:
        """The loop is gone, and nothing can be stopped on it any more."""
        emulator, self.emulator = self.emulator, None
        self._close(emulator)

    def _close(self, emulator: Emulator | None) -> None:
        """Put the loop and the network back as they were, and forget what was stored."""
        try:
            if emulator is not None:
                emulator.close()
        finally:
            while self._undo:
                self._undo.pop()()
            if self._folder is not None:
                folders.give_back(self._folder)
                self._folder = None
