"""The Runtime that runs a Python worker in this process. What `wpy dev` does with frames is done here by the same code."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from wrangler_py.clock import SessionClock
from wrangler_py.config.model import WorkerConfig
from wrangler_py.events.log import EventLog
from wrangler_py.queues.message import Batch, BatchOutcome
from wrangler_py.runtime.base import QueueService
from wrangler_py.runtime.inprocess.hub import LoopHub, current_process
from wrangler_py.runtime.inprocess.modules import UserModules
from wrangler_py.runtime.inprocess.process import LocalProcess, numbers
from wrangler_py.runtime.python.clocked import WorkerClocks
from wrangler_py.runtime.python.pending import PendingEvent, ProcessEnded
from wrangler_py.runtime.python.process import WorkerProcess
from wrangler_py.runtime.python.runtime import PythonRuntime
from wrangler_py.runtime.worker.context import Event

HUNG = (
    "{label} did not end within {seconds:g} s of real time; it waits at {where}. Something that it awaits never "
    "comes: look at that line, or give it longer with `wpy_timeout = SECONDS` in pytest's settings."
)


class Host:
    """What the workers of one session share while they run in this process."""

    def __init__(
        self, hub: LoopHub, clock: SessionClock, modules: UserModules, helper: Any, flags: Any, timeout_s: float
    ) -> None:
        self.hub = hub
        self.clock = clock
        self.modules = modules
        self.helper = helper
        self.flags = flags
        self.timeout_s = timeout_s
        self.context = contextvars.copy_context()
        self.numbers = numbers()
        self.clocks = WorkerClocks(clock)
        hub.on_news = self.on_news
        #: Told of every event that is started, of its first step, and of every frame that a worker sends.
        self.on_start: Callable[[LocalProcess, int, PendingEvent], None] = lambda process, number, event: None
        self.on_began: Callable[[LocalProcess, Event], None] = lambda process, event: None
        self.on_frame: Callable[[LocalProcess, tuple[Any, ...]], None] = lambda process, frame: None
        #: Changes a batch before it is delivered, and what becomes of it afterwards.
        self.before_batch: Callable[[Batch], Batch] = lambda batch: batch
        self.after_batch: Callable[[Batch, BatchOutcome], BatchOutcome] = lambda batch, outcome: outcome
        #: What went wrong that no outcome tells, for the test to fail with.
        self.troubles: list[str] = []
        #: Calls of bindings that have no answer yet.
        self.unanswered: set[tuple[LocalProcess, int]] = set()
        hub.is_asked = lambda: bool(self.unanswered)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._buried: list[asyncio.Task[Any]] = []

    def on_news(self) -> None:
        self.clocks.news.set()

    def task_factory(self, before: Any) -> Any:
        """A task factory that keeps the tasks of workers apart from the test's own."""

        def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
            context = options.get("context")
            process = context.get(current_process) if context is not None else current_process.get()
            factory = before if process is None or self.hub.inner_factory is None else self.hub.inner_factory
            task = (
                factory(loop, coroutine, **options)
                if factory is not None
                else asyncio.Task(coroutine, loop=loop, **options)
            )
            if process is not None and isinstance(task, asyncio.Task):
                task_of[task] = process
                self._tasks.add(task)
                task.add_done_callback(self._forget)
            return task

        task_of = self._task_of = {}
        return make

    _task_of: dict[asyncio.Task[Any], LocalProcess]

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._task_of.pop(task, None)

    def bury(self, process: LocalProcess) -> None:
        """The tasks of a process that was cut off: they go on no more."""
        for task in list(self._tasks):
            if self._task_of.get(task) is process:
                self._tasks.discard(task)
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                asyncio.tasks._unregister_task(task)  # or the loop's end would wait for it
                self._buried.append(task)
                coroutine: Any = task.get_coro()
                if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                    with warnings.catch_warnings():  # nothing of it has run, and nothing does now
                        warnings.simplefilter("ignore", RuntimeWarning)
                        coroutine.close()
        self.hub.loop.call_soon(_nothing)

    async def end_tasks(self) -> None:
        """End what handlers have left behind."""
        left = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1.0)


class InProcessRuntime(PythonRuntime):
    """Runtime (runtime/base.py) of one Python worker in this process."""

    def __init__(
        self,
        config: WorkerConfig,
        queues: QueueService,
        events: EventLog,
        *,
        gate: Callable[[bool], None],
        host: Host,
        clocks: WorkerClocks,
        **services: Any,
    ) -> None:
        """`clocks`: told when something happens that whoever waits for the worker looks at. `services`: what
        PythonRuntime takes beside these."""
        super().__init__(config, queues, events, gate=gate, **services)
        self._host = host
        host.clocks = clocks

    @property
    def process(self) -> LocalProcess | None:
        """What serves now."""
        current = self._current
        return current if isinstance(current, LocalProcess) else None

    # There is nothing to spawn ----------------------------------------------------------------------------------------

    async def _take_spare(self) -> WorkerProcess:
        process = LocalProcess(self._host, self.name, self, self._reports.printed, self._reports.blocked)
        self._loading = process
        return process

    def _start_spare(self) -> None:
        """A load takes no time here, so none is kept ready."""

    # Events -----------------------------------------------------------------------------------------------------------

    async def queue(self, batch: Batch) -> BatchOutcome:
        batch = self._host.before_batch(batch)
        return self._host.after_batch(batch, await super().queue(batch))

    async def _finish(
        self, process: WorkerProcess, event: PendingEvent, future: asyncio.Future[dict[str, Any]]
    ) -> dict[str, Any]:
        """As PythonRuntime's; the wall limit goes by the session's clock, and a handler that stands still fails the test."""
        over = asyncio.Event()
        future.add_done_callback(lambda _: over.set())
        assert self._wall_limit_s is not None  # no debugger's prompt here
        limit = self._host.clock.call_later(self._wall_limit_s, over.set, recurring=True)
        try:
            hung = await self._hung(process, event, over)
        finally:
            limit.cancel()
        if not future.done():
            text = hung or f"{event.label} ran for more than {self._wall_limit_s:g} s"
            if hung is not None:
                self._host.troubles.append(hung)
            return await process.cut_off(event, text)
        try:
            return future.result()
        except ProcessEnded as error:
            return {"outcome": "canceled" if self._closed else "exception", "error": error.reason}

    async def _hung(self, process: WorkerProcess, event: PendingEvent, over: asyncio.Event) -> str | None:
        assert isinstance(process, LocalProcess)
        number = next((number for number, pending in process.events.items() if pending is event), 0)
        while True:
            try:
                async with asyncio.timeout(self._host.timeout_s):
                    await over.wait()
                return None
            except TimeoutError:
                sleeping = {event.id for event in self._host.hub.timers if event is not None}
                if number not in sleeping:  # else it waits for the clock, and somebody else for it
                    where = process.where(number)
                    return HUNG.format(label=event.label, seconds=self._host.timeout_s, where=where)

    # The clock --------------------------------------------------------------------------------------------------------

    @property
    def resting(self) -> bool:
        return True

    @property
    def drains_asleep(self) -> bool:
        return False

    def sleeping(self, kind: str) -> int:
        return self.process.asleep(kind) if self.process is not None else 0

    def tell_time(self, *, on_the_way: bool) -> None:
        """User code asks the session's clock itself."""


def _nothing() -> None:
    pass
