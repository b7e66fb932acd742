"""Frames from the server: what each one starts or moves on."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import context, frames, logs, outcome
from .connection import Connection
from .context import Event
from .loop import MAX_DEPTH, Hub
from .running import EventRunner
from .shims.js.core import js_error
from .watchdog import Watchdog

if TYPE_CHECKING:
    from .outbox import Outbox


class Dispatcher(EventRunner):
    """Everything that a loaded worker does."""

    def __init__(
        self, hub: Hub, connection: Connection, helper: Any, flags: Any, problem: str, before: dict[str, ModuleType]
    ) -> None:
        """`problem`: why the SDK could not be imported, or "". `before`: the modules that every worker's process has."""
        self._watchdog = self._make_watchdog(hub, connection)
        super().__init__(hub, connection, self._watchdog.active)
        self._helper = helper
        self._flags = flags
        self._problem = problem
        self._before = before
        #: With `--worker-clock`: the last CLOCK, and what follows it.
        self._time: tuple[Any, ...] = ()
        self._clock: Any = None
        #: Events that wait because too many handlers are blocked (loop.MAX_DEPTH).
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._scheduled = False
        hub.on_unblocked = self._start_waiting_soon
        hub.on_exit = _report_exit
        hub.on_error = _report_error
        helper.wait_until = context.wait_until
        self._on: dict[int, Callable[..., None]] = {
            frames.LOAD: self._load,
            frames.FETCH: self._start,
            frames.BODY: self._body,
            frames.CLOCK: self._told_time,
            frames.QUEUE: self._start,
            frames.SCHEDULED: self._start,
            frames.RPC: self._start,
            frames.CANCEL: self._cancel,
            frames.REPLY: self._reply,
            frames.THROW: self._throw,
            frames.OBJECTS: self._objects_told,
            frames.SOCKET: self._socket,
        }

    # --- what a worker that shares its process with tests does in another way ------------------------------------

    def _make_watchdog(self, hub: Hub, connection: Connection) -> Any:
        return Watchdog(hub, connection)

    def _load_module(self, spec: dict[str, Any]) -> ModuleType:
        from . import loader

        return loader.load(spec)

    def _describe(self, *of: Any) -> dict[str, Any]:
        from . import loader

        return loader.describe(self._before, *of)

    def _new_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.Task(work, loop=self._hub)  # as hub.create_task(), without what that asks first

    def on_frame(self, frame: tuple[Any, ...]) -> None:
        self._on[frame[0]](frame)

    # --- LOAD --------------------------------------------------------------------------------------------------

    def _load(self, frame: tuple[Any, ...]) -> None:
        from . import env, handlers, loader
        from .shims import install

        spec = frame[1]
        flags = spec.get("flags") or {}
        follows = self._follow_clock() if spec.get("worker_clock") else None
        self._watchdog.arm()
        self._hub.may_block = False
        info: dict[str, Any] = {"handlers": [], "warnings": []}
        try:
            install.configure(self._flags, flags, spec.get("compatibility_date"))
            outcome.keeps_error_names = bool(flags.get("enhanced_error_serialization"))
            self._keep_waiting = not flags.get("queue_consumer_no_wait_for_wait_until")
            self._origin = spec.get("origin", 0)
            self._helper.call = self.call
            outbox = self._open_outbox(spec)
            self._env = self._helper.env = env.make_env(spec, self.call, self.exports, lambda: self._objects, outbox)
            module = self._load_module(spec)
            durable_classes = self._define_objects(spec, module)
            self._workflows = self._workflow_classes(module)
            legacy = not flags.get("python_no_global_handlers")
            self._handlers = handlers.Handlers(
                module, spec["main"], self._env, legacy=legacy, worker=spec.get("name") or ""
            )
            self.targets["entrypoint"] = self._handlers.make
            if flags.get("enable_ctx_exports", True):
                context.exports = env.make_exports(self._handlers.entrypoints, self.exports)
            info = {
                "handlers": self._handlers.kinds,
                "warnings": self._handlers.warnings,
                "durable_classes": durable_classes,
                "workflow_classes": list(self._workflows),
            }
        except loader.LoadFailure as error:
            text = f"{error}\n{self._problem}" if self._problem else str(error)
            self._connection.send(frames.LOAD_FAILED, text, info | self._describe(spec["main"]))
        except BaseException as error:  # SystemExit too: the process goes on, with nothing to serve
            text = outcome.format_exception(error)
            self._connection.send(frames.LOAD_FAILED, text, info | self._describe(spec["main"], error))
        else:
            if follows is not None:
                info["worker_clock"] = follows
            self._connection.send(frames.LOADED, info | self._describe())
            gc.freeze()  # modules stay as long as the process: no collection between messages needs to look at them
        finally:
            self._hub.may_block = True

    def _follow_clock(self) -> bool:
        """Let this process's time follow the session's. False: the library for that is missing."""
        from . import worker_clock

        self._clock = worker_clock.start(self._hub, self._connection, self._calls, self._time)
        return self._clock is not None

    def _define_objects(self, spec: dict[str, Any], module: ModuleType) -> list[str]:
        """The Durable Object classes of the user's module, when the server keeps a folder for their objects."""
        if not spec.get("durable"):
            return []
        base = sys.modules["workers"].DurableObject
        if not any(
            isinstance(item, type) and issubclass(item, base) and item is not base for item in vars(module).values()
        ):
            return []
        from .durable.objects import Objects

        self._objects = Objects(self._hub, self._connection, spec, self._env, self._session_ms)
        return self._objects.define(module)

    @staticmethod
    def _workflow_classes(module: ModuleType) -> dict[str, Any]:
        base = getattr(sys.modules["workers"], "WorkflowEntrypoint", None)
        if base is None or not any(isinstance(item, type) and issubclass(item, base) for item in vars(module).values()):
            return {}
        from . import workflows

        return workflows.workflow_classes(module)

    def _session_ms(self) -> int:
        """What the session's clock shows (ms)."""
        now_ms = int(time.time() * 1000)
        if self._clock is not None or not self._time:
            return now_ms
        _, stands_ms, ahead_ms = self._time
        return stands_ms if ahead_ms is None else now_ms + ahead_ms

    def _objects_told(self, frame: tuple[Any, ...]) -> None:
        if self._objects is not None:
            self._objects.told(frame[1])

    def _socket(self, frame: tuple[Any, ...]) -> None:
        if self._sockets is not None:
            self._sockets.on_frame(frame)

    def _told_time(self, frame: tuple[Any, ...]) -> None:
        self._time = frame
        if self._clock is not None:
            self._clock.follow(frame)

    # --- events ------------------------------------------------------------------------------------------------

    def _start(self, frame: tuple[Any, ...]) -> None:
        """Begin an event, or let it wait while too many handlers are blocked."""
        if frame[0] == frames.FETCH and frame[6]:
            from .fetch_event import IncomingBody

            self._bodies[frame[1]] = IncomingBody(frame[5])
        if self._waiting or not self._may_start():
            self._waiting.append(frame)
            self._start_waiting_soon()
        else:
            self._begin(frame)

    def _may_start(self) -> bool:
        """Each event that has begun but not run yet may block, one inside the other."""
        return self._hub.depth + self._beginning < MAX_DEPTH

    def _start_waiting_soon(self) -> None:
        """Go on when the events that have begun have shown whether they block; not while too many are blocked."""
        if self._waiting and not self._scheduled and self._hub.depth < MAX_DEPTH:
            self._scheduled = True
            self._hub.call_soon(self._start_waiting)

    def _start_waiting(self) -> None:
        self._scheduled = False
        while self._waiting and self._may_start():
            self._begin(self._waiting.popleft())
        self._start_waiting_soon()

    def _begin(self, frame: tuple[Any, ...]) -> None:
        self._beginning += 1
        kind = frame[0]
        event = Event(frame[1])
        work: Coroutine[Any, Any, None]
        if kind == frames.QUEUE:
            work = self._run_queue(event, frame)
        elif kind == frames.FETCH:
            work = self._run_fetch(event, frame)
        elif kind == frames.RPC:
            work = self._run_rpc(event, frame)
        else:
            work = self._run_scheduled(event, frame)
        self._watchdog.arm()
        # Held here: the loop itself keeps only weak references to its tasks.
        task = self._active[event.id] = self._new_task(work)
        task.add_done_callback(self._ended)

    # --- the rest of a request, and of an answer ---------------------------------------------------------------

    def _body(self, frame: tuple[Any, ...]) -> None:
        body = self._bodies.get(frame[1])
        if body is not None:
            body.feed(frame[2], frame[3])

    def _cancel(self, frame: tuple[Any, ...]) -> None:
        body = self._bodies.get(frame[1])
        if body is not None:
            body.fail(js_error("Error", "Network connection lost."))
        sending = self._answers.get(frame[1])
        if sending is not None:
            sending.cancel()
        settlement = self._settlements.get(frame[1])
        if settlement is not None:
            settlement.closed = True
            self._connection.send(frames.RETURNED, frame[1], settlement.result())

    # --- answers to calls of bindings -------------------------------------------------------------------------------------

    def _open_outbox(self, spec: dict[str, Any]) -> Outbox | None:
        if "outbox" not in spec:
            return None
        from .outbox import Outbox

        def number() -> int:
            self._next_call += 1
            return self._next_call

        outbox = Outbox(spec["outbox"], self._hub, self._connection, number)
        self._on[frames.STORED] = outbox.stored
        self._on[frames.REFUSED] = outbox.refused
        return outbox

    def _reply(self, frame: tuple[Any, ...]) -> None:
        future = self._calls.pop(frame[1], None) or self._long_calls.pop(frame[1], None)
        if future is not None and not future.done():
            future.set_result(frame[2])

    def _throw(self, frame: tuple[Any, ...]) -> None:
        future = self._calls.pop(frame[1], None) or self._long_calls.pop(frame[1], None)
        if future is not None and not future.done():
            future.set_exception(js_error(frame[2], frame[3]))


def _report_error(details: dict[str, Any]) -> None:
    """An exception of a task or a callback that nobody waits for: told, as an unhandled rejection is on Cloudflare."""
    task = details.get("future") or details.get("task")
    text = details.get("message") or "Unhandled exception in the event loop"
    if task is not None:
        text += f" ({getattr(task, 'get_coro', task.__repr__)()!r})"
    if (error := details.get("exception")) is not None:
        text += "\n" + outcome.format_exception(error)
    # Where it happened is the context of the task (readable from Python 3.12 on) or of the callback.
    get_context = getattr(task, "get_context", None)
    where = get_context() if get_context is not None else getattr(details.get("handle"), "_context", {})
    logs.emit("error", text, where.get(logs.current_event))


def _report_exit(error: BaseException) -> None:
    """A task or callback of the user's raised SystemExit: the process goes on, as in Pyodide."""
    event = logs.current_event.get()
    if event is not None:
        event.fail(error)
    else:
        logs.emit("error", outcome.format_exception(error))
