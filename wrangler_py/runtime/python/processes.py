"""The processes of a Python worker: the one that serves, a warm spare behind it, and the swap between them.

A reload loads the new code into the spare, which has already imported the runtime and the third-party modules of the
version before, and then swaps. The old process gets no new events and ends when its last one is over. Two versions never
handle queue batches or crons at once: a batch that comes while the old version still runs one waits for it. A fetch
waits for the old version's fetches too, but only briefly, because a stream may stay open for hours.

A crash fails the events that ran in the process and swaps in the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from wrangler_py.clock import SystemClock
from wrangler_py.config.model import WorkerConfig
from wrangler_py.events.log import EventLog
from wrangler_py.queues.limits import WALL_LIMIT_SECONDS
from wrangler_py.runtime.base import (
    LoadResult,
    QueueService,
    Runtime,
)
from wrangler_py.runtime.crashes import MOST_FAILED_STARTS, CrashBackoff
from wrangler_py.runtime.outbox_home import OutboxHome
from wrangler_py.runtime.python.bindings import BindingCalls, BindingHandler
from wrangler_py.runtime.python.clocked import ClockedProcess, WorkerClocks
from wrangler_py.runtime.python.load_spec import NO_TIME_MACHINE, load_spec, other_python
from wrangler_py.runtime.python.objects import DurableHome, ObjectOwner, missing_classes
from wrangler_py.runtime.python.pending import LoadFailed, ProcessEnded
from wrangler_py.runtime.python.process import WorkerProcess
from wrangler_py.runtime.python.reports import WorkerReports
from wrangler_py.runtime.python.spawn import SpawnedProcess, spawn
from wrangler_py.runtime.services import Services

#: How long a load may take (seconds); an import that never ends must not hang the session silently.
_LOAD_TIMEOUT_S = 60.0

#: How long the end of a session waits for killed processes to be gone (seconds), so that what they have sent is stored.
_GONE_S = 1.0


class WorkerProcesses(ABC):
    """The processes of one Python worker. runtime.PythonRuntime sends them events."""

    def __init__(
        self,
        config: WorkerConfig,
        queues: QueueService,
        events: EventLog,
        *,
        gate: Callable[[bool], None],
        python: str | None = None,
        wall_limit_s: float | None = WALL_LIMIT_SECONDS,
        first: SpawnedProcess | None = None,
        clocks: WorkerClocks | None = None,
        handlers: Mapping[str, BindingHandler] | None = None,
        services: Services | None = None,
        durable: DurableHome | None = None,
        outboxes: OutboxHome | None = None,
    ) -> None:
        """`handlers`: who answers the calls of bindings, by kind (bindings.py). `gate` is told when queue batches and crons
        may start (True) and when they must wait (False). `first` is a process that was already started. `clocks`: the
        worker's own clock follows this one (`--worker-clock`). `services`: whom the worker may call.
        `durable`: where its Durable Objects are kept; None: it cannot have any. `outboxes`: where its sends are kept until
        they are stored; None: each waits for that."""
        self.name = config.name
        self._config = config
        self._queues = queues
        self._handlers_of_bindings = handlers or {}
        self._events = events
        self._reports = WorkerReports(config.name, events)
        self._gate = gate
        self._python = python
        self._wall_limit_s = wall_limit_s
        self._outboxes = outboxes
        self._clock = SystemClock()  # limits on user code count real time, whatever the session's clock says
        self._current: WorkerProcess | None = None
        self._spare: WorkerProcess | None = None
        self._loading: WorkerProcess | None = None
        self._first = first
        self._draining: set[WorkerProcess] = set()
        self._calls: dict[WorkerProcess, BindingCalls] = {}
        self._preload: tuple[str, ...] = ()
        self._ready = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._load_lock = asyncio.Lock()
        self._crashes = CrashBackoff()
        #: Its process died, by no fault of the code's that is known, while it loaded; it is tried again.
        self._died_loading = False
        self._recovering = False
        self._clocks = clocks
        #: The workers that this one may call; without a session it has only itself.
        self._services = services or Services(self._alone)
        self._objects = ObjectOwner(config.name, durable)
        self._objects.on_released = self._look_at_draining
        self._said_real_time = False
        self._said_python = False
        #: Batches and crons that wait for the version before to end, by kind.
        self._held: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        #: The traceback of the last load that failed while nothing serves, or None.
        self.broken: str | None = None
        self.handlers: tuple[str, ...] = ()
        #: The flag queue_consumer_no_wait_for_wait_until: a batch is settled when its handler has returned.
        self._reports_early = False

    # Loading ------------------------------------------------------------------------------------------------------

    async def load(self, config: WorkerConfig | None = None) -> LoadResult:
        """Load the code (again) and swap it in. When it cannot be loaded, what served before goes on serving."""
        async with self._load_lock:
            if config is not None:
                self._config = config
            return await self._load()

    async def _load(self) -> LoadResult:
        self._died_loading = False
        try:
            process = await self._take_spare()
        except ProcessEnded:
            try:  # the spare may have died long ago; a fresh process tells whether there is a real reason
                process = await self._take_spare()
            except ProcessEnded as error:
                return self._load_failed(f"the worker process cannot start: {error.reason}", ())
        spec = load_spec(self._config)
        if self._clocks is not None:
            spec["worker_clock"] = True
        spec["durable"] = self._objects.spec(self._config)
        expose_codes = spec["flags"]["queue_expose_error_codes"]
        if self._outboxes is not None:
            process.outbox = self._outboxes.make(process.send, expose_codes=expose_codes)
            if process.outbox is not None:
                spec["outbox"] = process.outbox.spec()
        origin = spec["origin"] = self._services.enter(partial(self._call_stub, process))
        process.ended.add_done_callback(lambda _: self._services.leave(origin))
        self._calls[process] = BindingCalls(
            self._queues,
            spec["bindings"],
            self._handlers_of_bindings,
            worker=self.name,
            expose_codes=expose_codes,
            services=self._services,
        )
        try:
            async with process.limits.within(_LOAD_TIMEOUT_S):
                info = await process.load(spec)
        except (LoadFailed, ProcessEnded, TimeoutError) as error:
            self._forget(process, "could not load")
            self._start_spare()
            name = self._config.main.name
            if isinstance(error, LoadFailed):
                return self._load_failed(error.text, error.info.get("files", ()))
            if isinstance(error, ProcessEnded):
                self._died_loading = True
                return self._load_failed(f"{error.reason} while it imported {name}", ())
            return self._load_failed(f"importing {name} took more than {_LOAD_TIMEOUT_S:g} s", ())
        if not info["handlers"] and self.handlers:
            # A file that is being saved is empty for a moment, and an empty file is good Python.
            self._forget(process, "has no handlers")
            self._start_spare()
            text = f"{self._config.main.name} exports no handler any more (was it saved half-way?)"
            return self._load_failed(text, info["files"])
        missing = missing_classes(self._config, info.get("durable_classes", ()), info.get("workflow_classes", ()))
        if missing is not None:
            self._forget(process, "lacks classes that its config binds")
            self._start_spare()
            return self._load_failed(missing, info["files"])
        self._objects.classes = tuple(info.get("durable_classes", ()))
        self._preload = tuple(info["modules"])
        self.handlers = tuple(info["handlers"])
        self._reports_early = spec["flags"]["queue_consumer_no_wait_for_wait_until"]
        self._swap_in(process)
        self._start_spare()
        parity = (*info.get("parity", ()), *self._python_warning(process, spec))
        warnings = (*info["warnings"], *parity, *self._real_time_warning(info))
        return LoadResult(None, self.handlers, warnings, tuple(info["files"]))

    def _python_warning(self, process: WorkerProcess, spec: Mapping[str, Any]) -> list[str]:
        """Once: that another version of Python runs the worker here than on Cloudflare."""
        text = None if self._said_python else other_python(process.python, spec)
        self._said_python = self._said_python or text is not None
        return [] if text is None else [text]

    def _real_time_warning(self, info: Mapping[str, Any]) -> list[str]:
        """Once: that the worker's clock does not follow although it was asked to."""
        if self._clocks is None or info.get("worker_clock") or self._said_real_time:
            return []
        self._said_real_time = True
        return [NO_TIME_MACHINE.format(python=self._python or sys.executable)]

    def _load_failed(self, text: str, files: Sequence[str]) -> LoadResult:
        if self._current is None and not (self._recovering and self._died_loading):
            self.broken = text
            self._ready.set()
            self._ready.clear()
        return LoadResult(text, files=tuple(files))

    def _swap_in(self, process: WorkerProcess) -> None:
        old, self._current = self._current, process
        self.broken = None
        process.ended.add_done_callback(lambda ended: self._process_ended(process, ended.result()))
        if old is not None and not old.ended.done():
            self._draining.add(old)
            old.on_event_over = self._look_at_draining
            self._gate(False)
            self._drained.clear()
        self._ready.set()
        if old is not None and not old.superseded.done():
            old.superseded.set_result(None)
        self._look_at_draining()
        self._background(self._objects.give(process))

    def _look_at_draining(self) -> None:
        """End old processes whose last event is over; open the gate when no old batch or cron runs any more."""
        for process in list(self._draining):
            if process.ended.done():
                self._draining.discard(process)
            elif not process.events and not self._objects.held_by(process):
                self._draining.discard(process)
                self._forget(process, "replaced")
        if not any(process.busy("queue", "scheduled") for process in self._draining):
            self._drained.set()
            if self._current is not None and not self._closed:
                self._gate(True)

    async def _take_spare(self) -> WorkerProcess:
        if self._spare is None:
            self._start_spare()
        assert self._spare is not None
        spare = self._loading = self._spare
        self._spare = None
        await spare.connect()
        return spare

    def _start_spare(self) -> None:
        if self._closed or self._spare is not None:
            return
        spawned, self._first = self._first, None
        spawned = spawned or spawn(self._python, self._preload)
        process = (
            WorkerProcess(spawned, self, self._reports.printed, self._reports.blocked)
            if self._clocks is None
            else ClockedProcess(spawned, self, self._reports.printed, self._reports.blocked, self._clocks)
        )
        process.on_tasks = self._reports.tasks_told
        process.on_debug = self._reports.debugged
        self._spare = process
        self._background(self._warm(process))

    async def _warm(self, process: WorkerProcess) -> None:
        with contextlib.suppress(ProcessEnded):  # a spare that died is noticed, and said, when it is needed
            await process.connect()

    # Crashes ------------------------------------------------------------------------------------------------------

    def _process_ended(self, process: WorkerProcess, reason: str) -> None:
        self._calls.pop(process, None)
        self._draining.discard(process)
        if process is self._current and not self._closed:
            self._current = None
            self._ready.clear()
            self._gate(False)
            self._events.emit("worker.crashed", worker=self.name, reason=reason)
            self._background(self._recover())
        self._look_at_draining()

    async def _recover(self) -> None:
        """Start the worker again. What kills its process in the middle of the import too (the system, out of memory; not an
        exception) may be over the next time, so that is tried more than once."""
        clock = asyncio.get_running_loop().time
        for attempt in range(MOST_FAILED_STARTS):
            if delay := self._crashes.crashed(clock()):
                await asyncio.sleep(delay)  # real time: this is about the machine, not about the session's clock
            async with self._load_lock:
                if self._current is not None or self._closed:
                    return
                self._recovering = attempt + 1 < MOST_FAILED_STARTS
                try:
                    result = await self._load()
                finally:
                    self._recovering = False
                if result.error is None:
                    return
                self._events.emit("worker.load_failed", worker=self.name, error=result.error)
                if not self._died_loading:
                    return

    # The worker's own clock -------------------------------------------------------------------------------------------

    def tell_time(self, *, on_the_way: bool) -> None:
        """The session's clock was frozen, moved or set running; `on_the_way`: it is being moved."""
        for process in self._clocked():
            process.tell_time(on_the_way=on_the_way)
        self._objects.tell_time()

    @property
    def resting(self) -> bool:
        """Whether no process is at work on what it was told of the time. True without `--worker-clock`."""
        return all(process.resting for process in self._clocked())

    @property
    def drains_asleep(self) -> bool:
        """Whether the versions before this one are still there only because their handlers sleep until the clock moves."""
        left = [process for process in self._draining if process.busy("queue", "scheduled")]
        return bool(left) and all(isinstance(process, ClockedProcess) and process.asleep for process in left)

    def sleeping(self, kind: str) -> int:
        """How many events of a kind go on only when the clock moves. 0 without `--worker-clock`."""
        events = [event for process in self._clocked() if process.asleep for event in process.events.values()]
        held = self._held[kind] if self.drains_asleep else 0
        return held + sum(event.kind == kind for event in events)

    def _clocked(self) -> list[ClockedProcess]:
        processes = {*self._draining, self._current, self._loading}
        return [process for process in processes if isinstance(process, ClockedProcess)]

    # What workers say ---------------------------------------------------------------------------------------------

    def call(
        self, process: WorkerProcess, call: int, event: int, binding: str, method: str, args: tuple[Any, ...]
    ) -> None:
        """Calls (process.py): each process keeps the bindings it was loaded with."""
        calls = self._calls.get(process)
        if calls is not None:  # else the process was replaced a moment ago, and nobody waits for the answer
            calls.call(process, call, event, binding, method, args)

    def flush(self, process: WorkerProcess) -> None:
        """Calls (process.py)."""
        calls = self._calls.get(process)
        if calls is not None:
            calls.flush()

    # End ----------------------------------------------------------------------------------------------------------

    async def close(self, grace_s: float = 1.0) -> None:
        """End all processes. Events that still run get `grace_s` seconds to finish."""
        self._closed = True
        self._gate(False)
        serving = [p for p in (self._current, *self._draining) if p is not None]
        running = [e.done for p in serving for e in p.events.values()]
        if running and grace_s > 0:
            await asyncio.wait(running, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        for process in (*serving, self._loading, self._spare):
            if process is not None:
                process.kill("the session is ending")
        if self._first is not None:
            self._first.abandon()
        self._ready.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if serving:
            await asyncio.wait([process.ended for process in serving], timeout=_GONE_S)

    def _forget(self, process: WorkerProcess, reason: str) -> None:
        self._calls.pop(process, None)
        process.kill(reason)

    def _background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What sends the events knows ----------------------------------------------------------------------------------

    @abstractmethod
    def _alone(self, name: str) -> Runtime | None:
        """Whom a worker outside of a session can call."""

    @abstractmethod
    async def _call_stub(self, process: WorkerProcess, number: int, path: tuple[str, ...], args: Any) -> Any:
        """Call what a process keeps for others (Services.enter)."""
