"""A worker's "process" that is none: the two ends of the frames, in one process and on one loop."""

from __future__ import annotations

import asyncio
import itertools
from asyncio import events
from types import ModuleType
from typing import TYPE_CHECKING, Any

from wrangler_py.runtime.inprocess.hub import LoopHub, begins, current_process
from wrangler_py.runtime.python.pending import PendingEvent, ProcessEnded
from wrangler_py.runtime.python.process import BlockedSink, Calls, LogSink, WorkerProcess
from wrangler_py.runtime.worker import frames
from wrangler_py.runtime.worker.context import Event
from wrangler_py.runtime.worker.dispatch import Dispatcher

if TYPE_CHECKING:
    from wrangler_py.runtime.inprocess.runtime import Host

CRASHED = "the worker process was ended by the test"


class Link:
    """The worker's connection (runtime/worker/connection.py), without a socket."""

    congested = False

    def __init__(self, process: LocalProcess) -> None:
        self._process = process

    def send(self, *frame: Any) -> None:
        store = self._process.hub.before_output
        if store is not None and not self._process.dead:
            store()
        self._process.from_worker(frame)

    send_now = send

    def log(self, event: int, level: str, text: str) -> None:
        if text.endswith("\n"):
            text = text[:-1]
        self._process.from_worker((frames.LOG, event, level, text))

    def flush(self) -> None:
        """Nothing waits here."""

    flush_all = flush

    async def drained(self) -> None:
        """Nothing waits here."""

    def server_is_gone(self) -> bool:
        return False


class LogRouter:
    """What `logs.emit` writes to: the process that the running code belongs to."""

    def log(self, event: int, level: str, text: str) -> None:
        process = current_process.get()
        if process is not None and not process.dead:
            process.link.log(event, level, text)


class _NoWatchdog:
    """A test that blocks is stopped by other means."""

    def __init__(self) -> None:
        self.active: dict[int, Any] = {}

    def arm(self) -> None:
        """There is nobody to wake."""


class LocalDispatcher(Dispatcher):
    """The worker side of a LocalProcess."""

    def __init__(self, process: LocalProcess, host: Host) -> None:
        self._host = host
        self._process = process
        super().__init__(host.hub, process.link, host.helper, host.flags, "", {})  # type: ignore[arg-type]

    def _make_watchdog(self, *_of: Any) -> Any:
        return _NoWatchdog()

    def _new_task(self, work: Any) -> asyncio.Task[None]:
        return self._hub.create_task(work)

    def _begin(self, frame: tuple[Any, ...]) -> None:
        token = begins.set(True)
        try:
            super()._begin(frame)
        finally:
            begins.reset(token)

    def _began(self, event: Event) -> None:
        super()._began(event)
        self._host.on_began(self._process, event)

    def call(self, *of: Any) -> Any:
        if events._get_running_loop() is not None:
            return super().call(*of)
        events._set_running_loop(self._host.hub.loop)  # a test that is not async makes the call, and awaits it later
        try:
            return super().call(*of)
        finally:
            events._set_running_loop(None)

    def _session_ms(self) -> int:
        return self._host.clock.now_ms()

    def _load_module(self, spec: dict[str, Any]) -> ModuleType:
        return self._host.modules.load(spec)

    def _describe(self, *_of: Any) -> dict[str, Any]:
        return {"modules": [], "files": []}


class LocalProcess(WorkerProcess):
    """Looks to the runtime like a process that has said HELLO."""

    def __init__(self, host: Host, name: str, calls: Calls, log: LogSink, blocked: BlockedSink) -> None:
        super().__init__(None, calls, log, blocked)
        self._numbers = host.numbers
        self.name = name
        self.dead = False
        self._host = host
        self._to_server: list[tuple[Any, ...]] = []
        self._server = host.context.copy()
        #: What frames are handed to the worker in; its events have copies.
        self.frames_context = self._worker = host.context.copy()
        self._worker.run(current_process.set, self)
        self.link = Link(self)
        self.dispatcher = self._worker.run(LocalDispatcher, self, host)

    @property
    def hub(self) -> LoopHub:
        return self._host.hub

    @property
    def pid(self) -> int:
        import os

        return os.getpid()

    async def connect(self) -> dict[str, Any]:
        return {"pid": self.pid}

    # Frames -----------------------------------------------------------------------------------------------------------

    def send(self, *frame: Any) -> None:
        """To the worker, in a turn of its own."""
        if frame[0] in (frames.REPLY, frames.THROW):
            self._host.unanswered.discard((self, frame[1]))
        if not self.dead:
            self._loop.call_soon(self._to_worker, frame, context=self._worker)

    def _to_worker(self, frame: tuple[Any, ...]) -> None:
        if not self.dead:
            self.dispatcher.on_frame(frame)

    def from_worker(self, frame: tuple[Any, ...]) -> None:
        """To the server, in the next turn and in a context that has nothing of the event."""
        if self.dead:
            return
        self._to_server.append(frame)
        if len(self._to_server) == 1:
            self._loop.call_soon(self._deliver, context=self._server)

    def _deliver(self) -> None:
        arrived, self._to_server = self._to_server, []
        for frame in arrived:
            if frame[0] == frames.CALL and frame[3]:  # one of the session itself may wait for other events
                self._host.unanswered.add((self, frame[1]))
            self._host.on_frame(self, frame)
        self.take(arrived)
        self._host.on_news()

    def _pause(self) -> None:
        """Nothing is read from a socket here."""

    def _resume(self) -> None:
        """Nothing is read from a socket here."""

    # Events -----------------------------------------------------------------------------------------------------------

    def start_event(self, kind: str, label: str) -> tuple[int, PendingEvent]:
        number, event = super().start_event(kind, label)
        self._host.on_start(self, number, event)
        return number, event

    def asleep(self, kind: str) -> int:
        """How many events of a kind wait for the clock."""
        if not self.hub.quiet:
            return 0
        sleeping = {event.id for event in self.hub.timers if event is not None}
        return sum(1 for number, event in self.events.items() if event.kind == kind and number in sleeping)

    def where(self, number: int) -> str:
        """Where an event waits: its innermost line of the user's own, as text."""
        task = self.dispatcher._active.get(number)
        return _where(task) if task is not None else "it has not begun"

    # End --------------------------------------------------------------------------------------------------------------

    def crash(self, reason: str = CRASHED) -> None:
        """Cut off everything that runs in it, where it stands: nothing of it goes on, no `finally` either."""
        self.kill(reason)

    def kill(self, reason: str) -> None:
        if self.dead:
            return
        self.dead = True
        self._host.unanswered -= {call for call in self._host.unanswered if call[0] is self}
        self._host.bury(self)
        if not self.ended.done():
            self.ended.set_result(reason)
        error = ProcessEnded(reason)
        if not self._loaded.done():
            self._loaded.set_exception(error)
            self._loaded.exception()
        events, self.events = list(self.events.values()), {}
        for event in events:
            event.fail(error)
        self.on_event_over()


def _where(task: asyncio.Task[Any]) -> str:
    from wrangler_py.runtime.worker import outcome

    coroutine: Any = task.get_coro()
    found = "?"
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None and outcome.is_users(frame.f_code.co_filename):
            found = f"{outcome.shown(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return found


def numbers() -> itertools.count[int]:
    """Event numbers, unique across the workers of a session."""
    return itertools.count(1)
