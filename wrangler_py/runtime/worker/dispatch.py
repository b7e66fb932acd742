"""Frames from the server: what each one starts or moves on."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import context, frames, logs, outcome, texts
from .connection import Connection
from .context import Event
from .loop import MAX_DEPTH, Hub
from .shims.js.core import js_error
from .watchdog import Watchdog

if TYPE_CHECKING:
    from .outbox import Outbox


class Dispatcher:
    """Everything that a loaded worker does."""

    def __init__(
        self, hub: Hub, connection: Connection, helper: Any, flags: Any, problem: str, before: dict[str, ModuleType]
    ) -> None:
        """`problem`: why the SDK could not be imported, or "". `before`: the modules that every worker's process has."""
        self._hub = hub
        self._connection = connection
        self._helper = helper
        self._flags = flags
        self._problem = problem
        self._before = before
        self._handlers: Any = None
        self._env: Any = None
        self._keep_waiting = True
        #: With `--worker-clock`: the last CLOCK, and what follows it.
        self._time: tuple[Any, ...] = ()
        self._clock: Any = None
        self._calls: dict[int, asyncio.Future] = {}
        #: Calls whose answers may take days: a workflow's step that sleeps. Nothing is on the way for them.
        self._long_calls: dict[int, asyncio.Future] = {}
        self._next_call = 0
        #: Request bodies that are still coming, and answers that are still going, by event.
        self._bodies: dict[int, Any] = {}
        self._answers: dict[int, Any] = {}
        #: Events that wait because too many handlers are blocked (loop.MAX_DEPTH), and how many have begun just now.
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._beginning = 0
        self._scheduled = False
        #: What other Workers may call in this process (rpc.Exports, made when first needed), and how what an RPC or FETCH
        #: names is found: `resolve(target, event)` gives the instance, by the kind of target.
        self._exports: Any = None
        self._origin = 0
        self.targets: dict[str, Callable[[tuple[Any, ...], Event], Any]] = {}
        #: Durable Objects of this process (durable.Objects), with a spec that asks for them; sockets that clients hold.
        self._objects: Any = None
        #: Workflow classes by name.
        self._workflows: dict[str, Any] = {}
        self._sockets: Any = None
        self._watchdog = self._make_watchdog()
        self._active = self._watchdog.active
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

    def _make_watchdog(self) -> Any:
        return Watchdog(self._hub, self._connection)

    def _load_module(self, spec: dict[str, Any]) -> ModuleType:
        from . import loader

        return loader.load(spec)

    def _describe(self, *of: Any) -> dict[str, Any]:
        from . import loader

        return loader.describe(self._before, *of)

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
        if kind == frames.FETCH:
            work = self._run_fetch(event, frame)
        elif kind == frames.QUEUE:
            work = self._run_queue(event, frame)
        elif kind == frames.RPC:
            work = self._run_rpc(event, frame)
        else:
            work = self._run_scheduled(event, frame)
        self._watchdog.arm()
        # Held here: the loop itself keeps only weak references to its tasks.
        task = self._active[event.id] = self._hub.create_task(work)
        task.add_done_callback(lambda _: self._ensure_over(event))

    def _ensure_over(self, event: Event) -> None:
        """An event whose task ended some other way than by `_over`: it was cancelled, or this package has a bug."""
        task = self._active.get(event.id)
        if task is None:
            return
        error = asyncio.CancelledError("the event was cancelled") if task.cancelled() else task.exception()
        event.fail(error or RuntimeError("the event ended without a result"))
        self._over(event, _client_result(event))

    def _began(self, event: Event) -> None:
        """The first step of an event, in its own task."""
        self._beginning -= 1
        logs.current_event.set(event)

    def _over(self, event: Event, result: dict[str, Any]) -> None:
        logs.finish(event.id)
        self._connection.send(frames.DONE, event.id, result)
        self._active.pop(event.id, None)
        self._bodies.pop(event.id, None)
        self._answers.pop(event.id, None)

    async def _run_fetch(self, event: Event, frame: tuple[Any, ...]) -> None:
        from .fetch_event import answer, make_request

        self._began(event)
        sent = False
        try:
            request = make_request(frame, self._bodies.get(event.id))
            if len(frame) > 8 and frame[8] is not None and frame[8][0] == "object":
                response = await self._object_fetch(frame[8], request)
            elif len(frame) > 8 and frame[8] is not None:
                response = await self._handlers.call_fetch(self._resolve(frame[8], event), request)
            else:
                if not self._handlers.has("fetch"):
                    raise self._handlers.missing("fetch", event)
                if not self._handlers.legacy:
                    request = sys.modules["workers"].Request(request)
                response = await self._handlers.call("fetch", request, event)
            sending = answer(event, frame, response, self._connection, self._socket_links)
            sent = True
            self._connection.send(frames.RETURNED, event.id, event.result())
            if sending is not None:
                self._answers[event.id] = sending
                await sending.run()
        except BaseException as error:
            self._failed(event, error, sent)
            if not sent:
                self._connection.send(frames.RETURNED, event.id, _client_result(event))
        await event.idle()
        self._over(event, event.result() if sent else _client_result(event))

    def _socket_links(self) -> Any:
        """socket_links.SocketLinks of this process."""
        if self._sockets is None:
            from .socket_links import SocketLinks

            self._sockets = SocketLinks(self._connection)
        return self._sockets

    async def _object_rpc(self, target: tuple[Any, ...], path: tuple[str, ...], args: Any) -> Any:
        from .durable import namespace

        return await namespace.invoke(await self._own_objects(), self.exports(), target, path, args)

    async def _object_fetch(self, target: tuple[Any, ...], request: Any) -> Any:
        from .durable import namespace

        return await namespace.fetch(await self._own_objects(), target, request)

    async def _own_objects(self) -> Any:
        if self._objects is None:
            raise js_error("Error", texts.NO_OBJECTS)
        if not await self._objects.here():
            raise js_error("Error", texts.OBJECTS_MOVED)
        return self._objects

    def exports(self) -> Any:
        """rpc.Exports of this process."""
        if self._exports is None:
            from .rpc import Exports

            self._exports = Exports(self.call, self._origin)
            self._exports.sockets = self._socket_links
        return self._exports

    def _resolve(self, target: tuple[Any, ...], event: Event) -> Any:
        """The instance that an RPC or a FETCH is for."""
        resolve = self.targets.get(target[0])
        if resolve is None:
            raise js_error("Error", f"this worker has no {target[0]} to call")
        return resolve(target, event)

    async def _run_rpc(self, event: Event, frame: tuple[Any, ...]) -> None:
        from .rpc_values import decode, encode

        self._began(event)
        _, _, target, path, args = frame
        exports = self.exports()
        result: dict[str, Any]
        try:
            if target[0] == "stub":
                value = await exports.call_here(target[1], tuple(path), args)
            elif target[0] == "object":
                value = await self._object_rpc(target, tuple(path), args)
            elif target[0] == "workflow":
                from . import workflows

                value = await workflows.run(self._workflows, target, args, self._env, event, exports)
            elif args is None or len(path) != 1:
                raise js_error("TypeError", texts.NO_RPC_METHOD.format(name=".".join(path)))
            else:
                given = [decode(arg, exports) for arg in args]
                instance = self._resolve(target, event)
                value = await self._handlers.call_method(instance, path[0], given)
            result = {"value": encode(value, exports)}
        except BaseException as error:
            event.error = event.error or error  # not logged here: whoever called hears of it
            result = _client_result(event)
            if isinstance(error, KeyboardInterrupt):
                self._over(event, result)
                raise
        else:
            result = event.result() | result
        if event.waits:
            self._connection.send(frames.RETURNED, event.id, result)
            await event.idle()
        self._over(event, result)

    async def _run_queue(self, event: Event, frame: tuple[Any, ...]) -> None:
        from .events import MessageBatch

        self._began(event)
        _, _, queue, messages, metrics = frame
        batch = MessageBatch(queue, messages, metrics, self._handlers.raw)
        settlement = batch._settlement
        began, idle = time.perf_counter(), self._hub.idle_s
        try:
            if not self._handlers.has("queue"):
                raise self._handlers.missing("queue", event)
            await self._handlers.call("queue", batch, event)
        except BaseException as error:
            self._failed(event, error)
        took = time.perf_counter() - began
        busy = {"busy": 1 - (self._hub.idle_s - idle) / took if took > 0 else 1.0}
        result = event.result() | settlement.result() | busy
        if event.waits:
            self._connection.send(frames.RETURNED, event.id, result)
            settlement.closed = not self._keep_waiting
            await event.idle()
            if self._keep_waiting:
                result = event.result() | settlement.result() | busy
        settlement.closed = True
        self._over(event, result)

    async def _run_scheduled(self, event: Event, frame: tuple[Any, ...]) -> None:
        from .events import ScheduledController

        self._began(event)
        controller = ScheduledController.new(frame[2], frame[3])
        has_handler = self._handlers.has("scheduled")
        try:
            if not has_handler:
                controller._no_retry = True  # as workerd does
                raise self._handlers.missing("scheduled", event)
            await self._handlers.call("scheduled", controller, event)
        except BaseException as error:
            self._failed(event, error)

        def result() -> dict[str, Any]:
            return event.result() | {"no_retry": controller._no_retry, "handler": has_handler}

        if event.waits:
            self._connection.send(frames.RETURNED, event.id, result())
            await event.idle()
        self._over(event, result())

    def _failed(self, event: Event, error: BaseException, sent: bool = False) -> None:
        """A handler raised. SystemExit is an exception of the event, as in Pyodide; KeyboardInterrupt ends the process."""
        if isinstance(error, ImportError):
            from . import loader

            loader.explain_import(error)
        event.fail(error)
        if isinstance(error, KeyboardInterrupt):
            self._over(event, event.result() if sent else _client_result(event))
            raise error

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

    # --- calls of bindings -------------------------------------------------------------------------------------

    def call(self, binding: str, method: str, args: tuple[Any, ...]) -> asyncio.Future:
        """Ask the server for something of `env.<binding>`; the future of its REPLY."""
        self._next_call = number = self._next_call + 1
        calls = self._long_calls if method == "step" and not binding else self._calls
        future = calls[number] = asyncio.Future(loop=asyncio.get_running_loop())
        event = logs.current_event.get()
        self._connection.send(frames.CALL, number, 0 if event is None else event.id, binding, method, args)
        return future

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


def _client_result(event: Event) -> dict[str, Any]:
    """RESULT of a fetch without an answer: `error` is what the client sees, the whole traceback."""
    assert event.error is not None
    from .rpc_values import encode_error

    text = outcome.format_exception(event.error).rstrip("\n")
    return {"outcome": "exception", "error": text, "thrown": encode_error(event.error, text)}


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
