"""`wpy`: the emulator of one test, in the test's own process and on its own loop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wrangler_py.clock import ClockEndless, ClockStopped, SessionClock
from wrangler_py.events.log import Event
from wrangler_py.testing.batches import TestBatch, make_batch
from wrangler_py.testing.clock import TestClock
from wrangler_py.testing.errors import KitError, Leftovers
from wrangler_py.testing.settings import Settings, changed
from wrangler_py.testing.values import moment_ms

if TYPE_CHECKING:
    from wrangler_py.runtime.inprocess.runtime import InProcessRuntime
    from wrangler_py.session.emulator import Emulator
    from wrangler_py.store.database import Store
    from wrangler_py.testing.chaos import Exploration
    from wrangler_py.testing.crons import Crons
    from wrangler_py.testing.driving import Driver
    from wrangler_py.testing.emulation import Emulation
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
        self._emulation: Emulation | None = None
        self._driver: Driver | None = None
        self._starting: asyncio.Lock | None = None
        self._own_loop: asyncio.AbstractEventLoop | None = None
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
        process = self.emulation.runtime(worker).process
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
    def started(self) -> bool:
        """Whether the emulator is there."""
        return self._emulation is not None and self._emulation.emulator is not None

    @property
    def emulation(self) -> Emulation:
        """The emulator, with what its workers run on. Raises KitError before the start."""
        if self._emulation is None or self._emulation.emulator is None:
            raise KitError(
                f"The emulator of {self.name} has ended with the test. A fixture that uses wpy must do so before its yield."
                if self.closed
                else f"The emulator of {self.name} has not been started. In an async fixture, `await wpy.start()` first."
            )
        return self._emulation

    @property
    def emulator(self) -> Emulator:
        """The rooms themselves. Raises KitError before the start."""
        emulator = self.emulation.emulator
        assert emulator is not None
        return emulator

    async def start(self) -> Wpy:
        """Start the emulator, if that has not been done. Every call of the kit that is awaited does so by itself."""
        if self.started:
            return self
        if self.closed:
            raise KitError(f"{self.name} has ended, and its emulator with it: use wpy's fixtures inside of the test.")
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if not self.started:
                await self._start()
        return self

    async def _start(self) -> None:
        from wrangler_py.testing.driving import Driver
        from wrangler_py.testing.emulation import Emulation

        if self._emulation is not None:
            self._emulation.abandon()  # a start that failed has left something behind
        emulation = self._emulation = Emulation(self, self._project)
        self._driver = Driver(self.name, emulation, self.session_clock, self.settings.timeout_s)
        await emulation.begin()
        for part in ("queues", "crons"):
            getattr(self, part).started()

    async def close(self, *, check: bool = True) -> None:
        """End the emulator. Raises Leftovers when something still runs, unless the test allows it."""
        if not self.started:
            self.abandon()
            return
        emulation, driver = self.emulation, self.driver
        left: str | None = None
        try:
            if check and self.settings.leftovers == "fail":
                left = await driver.left()
                if left is not None or emulation.host.troubles:
                    self.last_report = self.report()
            for close in reversed(emulation.closing):
                await close()
        finally:
            self.closed = True
            try:
                await emulation.end()
            finally:
                self._project.put_back()
        if left is not None:
            raise Leftovers(left)
        driver.raise_troubles()

    def abandon(self) -> None:
        """End the emulator where its loop is gone (the test never began, or was cut off), if that has not been done."""
        self.closed = True
        if self._emulation is not None:
            self._emulation.abandon()
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
        return self.emulation.runtime(worker)

    @property
    def driver(self) -> Driver:
        """What waits for the workers' events (driving.py). Raises KitError before the start."""
        assert self.emulation is not None and self._driver is not None
        return self._driver

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something of the emulator, and fail with what went wrong meanwhile."""
        try:
            result = await work
        except ClockStopped:
            raise KitError(f"The clock of {self.name} was stopped while it was moved.") from None
        except ClockEndless as error:
            raise KitError(f"In {self.name}: {error}") from None
        if self._driver is not None:
            self._driver.raise_troubles()
        return result

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
        if self.started:
            self.emulator.crons.reschedule()

    def report(self) -> str:
        """What happened, and where the messages are, as a failure shows it."""
        from wrangler_py.testing.report import report

        return report(self)

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
