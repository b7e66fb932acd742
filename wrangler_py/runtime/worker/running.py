"""One event on its way: the handler is called, its answer sent, its waitUntil work awaited."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from . import frames, logs, outcome, texts
from .connection import Connection
from .context import Event
from .events import MessageBatch, ScheduledController, Settlement
from .loop import Hub
from .shims.js.core import js_error


class EventRunner:
    """Runs the events of a loaded worker. dispatch.Dispatcher begins them."""

    def __init__(self, hub: Hub, connection: Connection, active: dict[int, Any]) -> None:
        """`active`: the tasks of the events that have begun, by number."""
        self._hub = hub
        self._connection = connection
        self._active = active
        self._beginning = 0
        self._handlers: Any = None
        self._env: Any = None
        self._keep_waiting = True
        self._calls: dict[int, asyncio.Future] = {}
        #: Calls whose answers may take days: a workflow's step that sleeps. Nothing is on the way for them.
        self._long_calls: dict[int, asyncio.Future] = {}
        self._next_call = 0
        #: Request bodies that are still coming, and answers that are still going, by event.
        self._bodies: dict[int, Any] = {}
        self._answers: dict[int, Any] = {}
        #: What the batches that run have settled, by event.
        self._settlements: dict[int, Settlement] = {}
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

    def _began(self, event: Event) -> None:
        """The first step of an event, in its own task."""
        self._beginning -= 1
        logs.current_event.set(event)

    def _over(self, event: Event, result: dict[str, Any]) -> None:
        number = event.id
        logs.finish(number)
        self._connection.send(frames.DONE, number, result)
        task = self._active.pop(number, None)
        if task is not None:
            task.remove_done_callback(self._ended)  # or the loop would turn once more for it
        if self._bodies:
            self._bodies.pop(number, None)
        if self._answers:
            self._answers.pop(number, None)

    def _ended(self, task: asyncio.Task) -> None:
        """A task that ended some other way than by `_over`: it was cancelled, or this package has a bug."""
        number = next((number for number, running in self._active.items() if running is task), None)
        if number is None:
            return
        event = Event(number)
        error = asyncio.CancelledError("the event was cancelled") if task.cancelled() else task.exception()
        event.fail(error or RuntimeError("the event ended without a result"))
        self._over(event, client_result(event))

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
                self._connection.send(frames.RETURNED, event.id, client_result(event))
        await event.idle()
        self._over(event, event.result() if sent else client_result(event))

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
            result = client_result(event)
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
        self._began(event)
        _, _, queue, messages, metrics = frame
        handlers = self._handlers
        batch = MessageBatch(queue, messages, metrics, handlers.raw)
        settlement = self._settlements[event.id] = batch._settlement
        began, idle = time.perf_counter(), self._hub.idle_s
        try:
            if not handlers.has("queue"):
                raise handlers.missing("queue", event)
            await handlers.call("queue", batch, event)
        except BaseException as error:
            self._failed(event, error)
        took = time.perf_counter() - began
        busy = 1 - (self._hub.idle_s - idle) / took if took > 0 else 1.0
        result = _queue_result(event, settlement, busy)
        if event.waits:
            self._connection.send(frames.RETURNED, event.id, result)
            settlement.closed = not self._keep_waiting
            await event.idle()
            if self._keep_waiting:
                result = _queue_result(event, settlement, busy)
        settlement.closed = True
        self._settlements.pop(event.id, None)
        self._over(event, result)

    async def _run_scheduled(self, event: Event, frame: tuple[Any, ...]) -> None:
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
            self._over(event, event.result() if sent else client_result(event))
            raise error

    # --- calls of bindings -------------------------------------------------------------------------------------

    def call(self, binding: str, method: str, args: tuple[Any, ...]) -> asyncio.Future:
        """Ask the server for something of `env.<binding>`; the future of its REPLY."""
        self._next_call = number = self._next_call + 1
        calls = self._long_calls if method == "step" and not binding else self._calls
        future = calls[number] = asyncio.Future(loop=asyncio.get_running_loop())
        event = logs.current_event.get()
        self._connection.send(frames.CALL, number, 0 if event is None else event.id, binding, method, args)
        return future


def _queue_result(event: Event, settlement: Settlement, busy: float) -> dict[str, Any]:
    result = settlement.result()
    result["busy"] = busy
    result.update(event.result())
    return result


def client_result(event: Event) -> dict[str, Any]:
    """RESULT of a fetch without an answer: `error` is what the client sees, the whole traceback."""
    assert event.error is not None
    from .rpc_values import encode_error

    text = outcome.format_exception(event.error).rstrip("\n")
    return {"outcome": "exception", "error": text, "thrown": encode_error(event.error, text)}
