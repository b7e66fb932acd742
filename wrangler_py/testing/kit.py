"""`wpy`: the emulator of one test, in the test's own process and on its own loop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wrangler_py.clock import ClockStopped, SessionClock
from wrangler_py.events.log import Event, EventLog
from wrangler_py.testing import folders
from wrangler_py.testing.batches import TestBatch, make_batch
from wrangler_py.testing.clock import TestClock
from wrangler_py.testing.errors import HandlerHung, KitError, Leftovers
from wrangler_py.testing.settings import Settings, changed
from wrangler_py.testing.values import moment_ms

if TYPE_CHECKING:
    from wrangler_py.runtime.inprocess.hub import LoopHub
    from wrangler_py.runtime.inprocess.process import LocalProcess
    from wrangler_py.runtime.inprocess.runtime import Host, InProcessRuntime
    from wrangler_py.session.emulator import Emulator
    from wrangler_py.store.database import Store
    from wrangler_py.testing.chaos import Exploration
    from wrangler_py.testing.crons import Crons
    from wrangler_py.testing.http import OutboundHttp
    from wrangler_py.testing.ledger import Ledger
    from wrangler_py.testing.logs import Logs
    from wrangler_py.testing.objects import Objects
    from wrangler_py.testing.project import Project
    from wrangler_py.testing.queues import Queues
    from wrangler_py.testing.state import TestState
    from wrangler_py.testing.worker import WorkerHandle

__tracebackhide__ = True

T = TypeVar("T")

#: How often an event that sleeps is looked at (seconds of real time).
_LOOK_S = 0.01


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


class Wpy:
    """Everything that a test may ask for. Starts by itself with the first thing that needs it."""

    def __init__(self, project: Project, settings: Settings) -> None:
        self._project = project
        self.settings = settings
        self.name = settings.name
        self.random = random.Random(settings.seed)
        self.config = changed(project.config(settings.env), settings)
        self.clock = TestClock(self)
        self.session_clock = SessionClock(moment_ms(settings.clock), frozen=True)
        self.timeline: list[Event] = []
        self._emulator: Emulator | None = None
        self._hub: LoopHub | None = None
        self._host: Host | None = None
        self._starting: asyncio.Lock | None = None
        self._store: Store | None = None
        self._folder: Path | None = None
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._closing: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._undo: list[Callable[[], None]] = []
        self._parts: dict[str, Any] = {}
        self.closed = False
        #: What a failure shows, once the emulator has ended.
        self.last_report = ""
        #: Brings the state of an earlier emulator along (state.py).
        self.restore: Callable[[Store, Path], None] | None = None

    # Parts ------------------------------------------------------------------------------------------------------------

    @property
    def worker(self) -> WorkerHandle:
        """The first worker."""
        return self.workers[self.config.workers[0].name]

    @property
    def workers(self) -> dict[str, WorkerHandle]:
        """All workers, by name."""
        from wrangler_py.testing.worker import WorkerHandle

        return self._part("workers", lambda: {w.name: WorkerHandle(self, w.name) for w in self.config.workers})

    @property
    def queues(self) -> Queues:
        """The queues: `wpy.queues["mail"]`."""
        from wrangler_py.testing.queues import Queues

        return self._part("queues", lambda: Queues(self))

    @property
    def crons(self) -> Crons:
        """The crons: `wpy.crons["0 * * * *"]`."""
        from wrangler_py.testing.crons import Crons

        return self._part("crons", lambda: Crons(self))

    @property
    def objects(self) -> Objects:
        """The Durable Objects: `wpy.objects["COUNTER"].by_name("ann")`."""
        from wrangler_py.testing.objects import Objects

        return self._part("objects", lambda: Objects(self))

    @property
    def http(self) -> OutboundHttp:
        """The network as user code sees it."""
        from wrangler_py.testing.http import OutboundHttp

        return self._part("http", lambda: OutboundHttp(self))

    @property
    def logs(self) -> Logs:
        """What the workers printed and logged."""
        from wrangler_py.testing.logs import Logs

        return Logs(self.calls.logs)

    @property
    def state(self) -> TestState:
        """Everything that is stored."""
        from wrangler_py.testing.state import TestState

        return self._part("state", lambda: TestState(self))

    @property
    def calls(self) -> Ledger:
        """Every event, with what it used."""
        from wrangler_py.testing.ledger import Ledger

        return self._part("calls", Ledger)

    @property
    def env(self) -> Any:
        """What the first worker finds in `env`, wrapped as its handlers get it."""
        return self.env_of(self.config.workers[0].name)

    def env_of(self, worker: str) -> Any:
        """What a worker finds in `env`."""
        process = self._runtime(worker).process
        assert process is not None
        from workers.entrypoints import _EnvWrapper  # type: ignore[attr-defined]

        env = _EnvWrapper(process.dispatcher._env)
        if self._own_loop is None:
            return env
        from wrangler_py.testing.env import LazyEnv

        return LazyEnv(env)

    @property
    def ctx(self) -> Any:
        """An ExecutionContext for handlers that the test calls itself: `ctx.tasks`, `await ctx.settle()`."""
        from wrangler_py.testing.context import TestContext

        return self._part("ctx", TestContext)

    def batch(self, queue: str, messages: Sequence[Any]) -> TestBatch:
        """A batch to call `queue()` with: bodies, or what `msg(...)` makes. Raises UnknownQueue."""
        self.queues.check(queue)
        return make_batch(queue, messages)

    def _part(self, name: str, make: Callable[[], T]) -> T:
        if name not in self._parts:
            self._parts[name] = make()
        part: T = self._parts[name]
        return part

    # Life -------------------------------------------------------------------------------------------------------------

    @property
    def emulator(self) -> Emulator:
        """The rooms themselves. Raises KitError before the start."""
        if self._emulator is None:
            raise KitError(
                f"The emulator of {self.name} has ended with the test. A fixture that uses wpy must do so before its yield."
                if self.closed
                else f"The emulator of {self.name} has not been started. In an async fixture, `await wpy.start()` first."
            )
        return self._emulator

    async def start(self) -> Wpy:
        """Start the emulator, if that has not been done. Every call of the kit that is awaited does so by itself."""
        if self._emulator is not None:
            return self
        if self.closed:
            raise KitError(f"{self.name} has ended, and its emulator with it: use wpy's fixtures inside of the test.")
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._emulator is None:
                await self._start()
        return self

    async def _start(self) -> None:
        from wrangler_py.runtime.inprocess.hub import LoopHub
        from wrangler_py.runtime.inprocess.runtime import Host, InProcessRuntime
        from wrangler_py.session.emulator import Emulator, EmulatorOptions
        from wrangler_py.store.database import open_memory
        from wrangler_py.testing.project import shims

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise KitError(
                f"{self.name} runs on another loop than asyncio's (trio?), and workers are asyncio programs. With anyio: "
                'a fixture anyio_backend that returns "asyncio".'
            ) from None
        helper, flags = shims()
        self._project.prepare()
        hub = self._hub = LoopHub(loop, self.session_clock)
        host = self._host = Host(hub, self.session_clock, self._project.modules, helper, flags, self.settings.timeout_s)
        await hub.attach()
        self._undo.append(hub.detach)
        before = loop.get_task_factory()
        loop.set_task_factory(host.task_factory(before))
        self._undo.append(lambda: loop.set_task_factory(before))
        helper.forget(self.config.workers[0].name)
        host.on_start, host.on_began, host.on_frame = self.calls.started, self.calls.began, self.calls.frame
        self._folder = folders.take()
        store = self._store = open_memory(self._folder)
        if self.restore is not None:
            self.restore(store, self._folder)
        events = EventLog(self.session_clock)
        events.subscribe(self.timeline.append)
        self._undo += [self.http.install(), self._capture()]
        options = EmulatorOptions(crons=self.settings.crons, worker_clock=True, record=None, storage_threads=False)
        session: Any = _Alone()
        emulator = Emulator(
            self.config,
            store,
            self.session_clock,
            events,
            options,
            python_runtime=partial(InProcessRuntime, host=host),
            session=session,
        )
        self._emulator = emulator
        if any(worker.language == "javascript" for worker in self.config.workers):
            from wrangler_py.testing.javascript import listen

            listen(emulator, host, self.calls)
        await emulator.load()
        for worker in emulator.workers.all():
            if worker.runtime.broken is not None:
                raise KitError(f"{worker.config.name} cannot be loaded:\n{worker.runtime.broken}")
        await emulator.start()
        for part in ("queues", "crons"):
            getattr(self, part).started()

    def _capture(self) -> Callable[[], None]:
        from wrangler_py.testing.logs import capture

        return capture()

    async def close(self, *, check: bool = True) -> None:
        """End the emulator. Raises Leftovers when something still runs, unless the test allows it."""
        if self._emulator is None:
            self.closed = True
            self._clean_up()
            return
        left: str | None = None
        try:
            if check and self.settings.leftovers == "fail":
                left = await self._left()
                if left is not None or (self._host is not None and self._host.troubles):
                    self.last_report = self.report()
            for close in reversed(self._closing):
                await close()
            self._closing.clear()
        finally:
            processes = self._processes()
            emulator, self._emulator, self.closed = self._emulator, None, True
            try:
                emulator.store.flush()
                assert self._host is not None
                await self._host.end_tasks()
                for process in processes:
                    process.kill("the test has ended")
                await emulator.stop(0)
            finally:
                emulator.close()
                self._clean_up()
        if left is not None:
            raise Leftovers(left)
        self.raise_troubles()

    def _clean_up(self) -> None:
        while self._undo:
            self._undo.pop()()
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._folder is not None:
            folders.give_back(self._folder)
            self._folder = None
        self._project.put_back()

    async def reset(self, *, seed: int | None = None, restore: Callable[[Store, Path], None] | None = None) -> None:
        """Begin anew: nothing stored, the clock at its start, the modules' globals put back. `seed`: of what is chosen at
        random. `restore`: puts a state in place (state.py)."""
        await self.close(check=False)
        self.closed = False
        if seed is not None:
            self.settings = dataclasses.replace(self.settings, seed=seed)
        self.random = random.Random(self.settings.seed)
        self.session_clock = SessionClock(moment_ms(self.settings.clock), frozen=True)
        self.timeline.clear()
        self._starting = None
        for name, part in list(self._parts.items()):
            if hasattr(part, "forget"):
                part.forget()
            elif name == "ctx":
                del self._parts[name]
        self.restore = restore
        await self.start()

    async def explore(
        self, scenario: Callable[[], Coroutine[Any, Any, Any]], *, stop_at_first: bool = True, **chaos: Any
    ) -> Exploration:
        """Run `scenario()` many times from the present state, each with other faults (testing/chaos.py: `duplicate`,
        `reorder`, `interleave`, `crash`, `runs`, `seed`). The runs that raised are its `violations`."""
        from wrangler_py.testing.chaos import explore, plan_of

        return await explore(self, scenario, plan_of(self.name, chaos), stop_at_first=stop_at_first)

    async def _left(self) -> str | None:
        """What still runs, in words. Batches that have begun get a moment to end by themselves."""
        emulator = self.emulator
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.timeout_s):
                await emulator.clockwork.settled()
        running = [
            f"{event.label} (at {process.where(number)})"
            for process in self._processes()
            for number, event in process.events.items()
        ]
        if not running:
            return None
        return (
            f"{self.name} ended while this was still running: {', '.join(running)}. Let it end: "
            "`await wpy.clock.run_until_idle()` moves the clock over what it waits for. Or allow it: "
            '@pytest.mark.wpy(leftovers="allow").'
        )

    # Running ----------------------------------------------------------------------------------------------------------

    def run(self, awaitable: Any) -> Any:
        """In a test that is not async: run an awaitable of the kit, or of a binding, to its end, and give its result."""
        if self._own_loop is None:
            if isinstance(awaitable, Coroutine):
                awaitable.close()
            raise KitError(f"{self.name} is an async test: `await` it instead of wpy.run(...).")
        return self._own_loop.run_until_complete(self.guard(_awaited(awaitable)))

    async def runtime(self, worker: str) -> InProcessRuntime:
        """The runtime of a worker, ready to be called."""
        await self.start()
        return self._runtime(worker)

    def _runtime(self, worker: str) -> InProcessRuntime:
        runtime: Any = self.emulator.workers.named(worker)
        if runtime is None:
            names = ", ".join(config.name for config in self.config.workers)
            raise KitError(f'There is no worker "{worker}". There are: {names}.')
        return runtime  # type: ignore[no-any-return]

    async def drive(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for an event; while it only sleeps, move the clock to what it waits for."""
        assert self._host is not None
        task = asyncio.ensure_future(work)
        news = self._host.clocks.news
        since = time.monotonic()
        try:
            while not task.done():
                if news.is_set():
                    since = time.monotonic()
                news.clear()
                waiting = asyncio.ensure_future(news.wait())
                # While something sleeps it is looked at again: what it waits for beside the clock tells nobody.
                again = _LOOK_S if self._hub is not None and self._hub.timers else self.settings.timeout_s
                await asyncio.wait((task, waiting), timeout=again, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if task.done():
                    break
                if await self._sleeps():
                    await self.session_clock.next()
                elif time.monotonic() - since >= self.settings.timeout_s:
                    text = self._hung()
                    for process in self._processes():
                        process.kill("a handler did not end")
                    raise HandlerHung(text)
        finally:
            if not task.done():
                task.cancel()
        return task.result()

    def _processes(self) -> list[LocalProcess]:
        """What serves the workers now."""
        runtimes: list[Any] = [worker.runtime for worker in self.emulator.workers.all()]
        return [runtime.process for runtime in runtimes if getattr(runtime, "process", None) is not None]

    def _hung(self) -> str:
        running = [
            f"{event.label} waits at {process.where(number)}"
            for process in self._processes()
            for number, event in process.events.items()
        ]
        return (
            f"{self.name}: nothing has happened for {self.settings.timeout_s:g} s of real time, and this did not end: "
            f"{'; '.join(running) or '?'}. Something that it awaits never comes: look at that line, or give it longer with "
            "`wpy_timeout = SECONDS` in pytest's settings or @pytest.mark.wpy(timeout=SECONDS)."
        )

    async def as_event(self, worker: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run something as if a handler of a worker did it: by the test's clock, able to block, its tasks kept apart."""
        from wrangler_py.runtime.worker import logs
        from wrangler_py.runtime.worker.context import Event as WorkerEvent

        process = self._runtime(worker).process
        assert process is not None and self._host is not None
        context = process.frames_context.copy()
        context.run(logs.current_event.set, WorkerEvent(next(self._host.numbers)))
        return await asyncio.get_running_loop().create_task(make(), context=context)

    async def _sleeps(self) -> bool:
        """Whether nothing goes on until the clock is moved, and an event waits for that."""
        assert self._hub is not None
        for _ in range(3):
            await asyncio.sleep(0)
            if not self._hub.quiet:
                return False
        return any(event is not None for event in self._hub.timers)

    async def settle(self) -> None:
        """Wait until all that has begun is over, moving the clock where handlers sleep."""
        emulator = self.emulator
        while True:
            await emulator.clockwork.settled()
            if not await self._sleeps():
                break
            await self.session_clock.next()
        self.raise_troubles()

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something of the emulator, and fail with what went wrong meanwhile."""
        try:
            result = await work
        except ClockStopped:
            raise KitError(f"The clock of {self.name} was stopped while it was moved.") from None
        self.raise_troubles()
        return result

    def raise_troubles(self) -> None:
        """Raises HandlerHung for a handler that did not end."""
        if self._host is not None and self._host.troubles:
            troubles, self._host.troubles = self._host.troubles, []
            raise HandlerHung(f"In {self.name}: {troubles[0]}")

    def users(self, error: BaseException) -> BaseException:
        """An exception of user code, whose traceback begins at the user's first frame."""
        from wrangler_py.testing.ledger import from_users_frame

        return from_users_frame(error)

    @contextlib.asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[str]:
        """Serve the project over HTTP while the block runs, for a browser or another process: its URL. `port` 0: a free
        one. The clock stands all the same; move it."""
        import socket

        from wrangler_py.server.http import HttpServer

        await self.start()
        sock = socket.create_server(("127.0.0.1", port))
        sock.setblocking(False)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        server = HttpServer(self.emulator.front_door(url), sock)
        await server.start()
        try:
            yield url
        finally:
            await server.stop()

    def clock_was_set(self) -> None:
        """The clock shows another time, and nothing was fired on the way."""
        if self._emulator is not None:
            self._emulator.crons.reschedule()

    def report(self) -> str:
        """What happened, and where the messages are, as a failure shows it."""
        from wrangler_py.testing.report import report

        return report(self)

    def _abandon(self) -> None:
        """The test's loop is gone, and the emulator was not ended on it (the test never began, or was cut off)."""
        if self._emulator is not None:
            emulator, self._emulator = self._emulator, None
            emulator.close()
        self.closed = True
        self._clean_up()

    # A test that is not async -------------------------------------------------------------------------------------------

    def begin_sync(self) -> None:
        """Make a loop of the kit's own, and start on it."""
        loop = self._own_loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self.start())
        except BaseException:
            loop.run_until_complete(self.close(check=False))
            loop.close()
            raise

    def end_sync(self, *, check: bool = True) -> None:
        """End, and close the loop."""
        loop = self._own_loop
        if loop is None:
            return
        try:
            loop.run_until_complete(self.close(check=check))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            self._own_loop = None
            loop.close()


async def _awaited(awaitable: Any) -> Any:
    return await awaitable
