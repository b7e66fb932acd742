"""One object: it is made when its first event comes, and events enter one after another through its gate."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from .. import logs, outcome, texts
from ..shims.js.core import JsProxy, js_error, make_object
from . import limits
from .calls import awaited, from_rpc, relaxed
from .database import Database
from .gate import InputGate
from .ids import DurableObjectId
from .state import DurableObjectState
from .storage import Operations

if TYPE_CHECKING:
    from ..shims.js.websocket import WebSocket
    from .objects import Objects


class Hibernation:
    """What the runtime keeps of a socket that an object has let sleep."""

    def __init__(self, tags: list[str]) -> None:
        self.tags = tags
        #: When it was last answered automatically: a JavaScript Date.
        self.answered: Any = None


class ObjectInstance:
    """A Durable Object of this process, awake or not."""

    def __init__(self, objects: Objects, class_name: str, object_id: DurableObjectId) -> None:
        self.objects = objects
        self.class_name = class_name
        self.id = object_id
        self.gate = InputGate(objects.hub)
        self.database = Database(objects.path(class_name, object_id.toString()), objects.began)
        sqlite_backed = objects.classes[class_name].sqlite
        self.operations = Operations(self.database, self.gate, "DurableObjectStorage", sqlite=sqlite_backed)
        self.operations.alarm_hidden = lambda: self._alarm_runs and not self._alarm_set
        self.operations.alarm_set = self._set_alarm
        self.operations.has_alarm_handler = lambda: callable(getattr(self._class, "alarm", None))
        self._class = objects.classes[class_name].cls
        #: The user's object, once there was an event.
        self.object: Any = None
        #: Why it is no more.
        self.broken: BaseException | None = None
        self._reset: asyncio.Future[None] = objects.hub.create_future()
        #: Events and waitUntil work that run now.
        self.running: set[asyncio.Future[Any]] = set()
        self.last_used = objects.hub.time()
        self._alarm_runs = False
        self._alarm_set = False
        #: Tasks that user code has started here, and sockets that do not let it sleep.
        self.tasks: set[asyncio.Task[Any]] = set()
        self.awake_sockets: set[Any] = set()
        self.sockets: list[WebSocket] = []
        self.auto_response: Any = None
        self.event_timeout_ms: int | None = None

    def __repr__(self) -> str:
        return f"<{self.class_name} {self.id.name or self.id.toString()}>"

    # --- events -----------------------------------------------------------------------------------------------------

    async def run(self, call: Callable[[Any], Awaitable[Any]]) -> Any:
        """Let an event in: `call(object)`. What it wrote is on disk when this returns.

        Raises what the call raises, and what resets the object meanwhile.
        """
        await self._admit()
        hub = self.objects.hub
        task = hub.create_task(_run(self, call))
        self.running.add(task)
        try:
            await asyncio.wait({task, self._reset}, return_when=asyncio.FIRST_COMPLETED)
            if task.done() and not task.cancelled() and isinstance(task.exception(), BaseException):
                error = task.exception()
                if not isinstance(error, Exception):  # the SDK's DurableObjectAbort: the reset follows in a moment
                    for _ in range(3):
                        if self.broken is None:
                            await asyncio.sleep(0)
            if self.broken is not None:
                raise self.broken
            result = task.result()
            self.commit()
            return result
        finally:
            self.running.discard(task)
            self.last_used = hub.time()
            if not task.done():
                task.cancel()

    async def _admit(self) -> None:
        await self.gate.enter()
        while True:
            if self.broken is not None:
                raise self.broken
            if self.object is None:
                self._construct()
            if not self.gate.locked:
                self.gate.touch()  # the next one comes when this one has begun
                return
            await self.gate.enter(first=True)

    def _construct(self) -> None:
        """Call the constructor. When it raises, so do the events that wait, and the next one tries again."""
        self.gate.lock()  # it may block in run_sync, and then the loop goes on
        context = copy_context()
        context.run(current_object.set, self)
        try:
            self.object = context.run(self._class, DurableObjectState.new(self), self.objects.env)
        except BaseException as error:
            self.reset(error)
            raise
        finally:
            self.gate.unlock()

    def commit(self) -> None:
        """Raises JavaScript's Error, and resets the object, when what it wrote cannot be stored."""
        try:
            self.objects.commit(self.database, self)
        except sqlite3.Error as error:
            failure = js_error("Error", f"{limits.WRITE_FAILED} ({error})")
            self.reset(failure)
            raise failure from None

    def keep(self, awaitable: Any) -> None:
        """ctx.waitUntil: errors are told, nothing else depends on it."""
        if not hasattr(awaitable, "__await__"):
            return
        future = asyncio.ensure_future(awaitable)
        self.running.add(future)

        def done(finished: asyncio.Future[Any]) -> None:
            self.running.discard(finished)
            if not finished.cancelled() and (error := finished.exception()) is not None and self.broken is None:
                logs.emit("error", outcome.format_exception(error))

        future.add_done_callback(done)

    def reset(self, error: BaseException) -> None:
        """Let go of the object: what runs in it and what waits for it fails with `error`. The next event begins anew."""
        if self.broken is not None:
            return
        with contextlib.suppress(AttributeError):
            error.durableObjectReset = True  # type: ignore[attr-defined]
        self.broken = error
        self.objects.forget(self)
        self.gate.fail(error)
        if not self._reset.done():
            self._reset.set_result(None)
        sockets, self.sockets = self.sockets, []
        for socket in sockets:
            socket._disconnect(_RESTARTED if error is self.objects.updated else _FAILED, "")
        try:
            self.database.rollback()
        finally:
            self.database.close()

    def release(self) -> None:
        """Close the file: nothing runs, or what runs was given up."""
        self.commit()
        self.database.close()

    # --- what an event calls ----------------------------------------------------------------------------------------

    def method(self, name: str) -> Callable[..., Any]:
        """A method that others may call over RPC. Raises JavaScript's TypeError for any other name."""
        if name in limits.RESERVED:
            raise js_error("TypeError", limits.RESERVED_METHOD.format(name=name))
        if name.startswith("_") or not callable(getattr(self._class, name, None)) or name in ("ctx", "env"):
            raise js_error("TypeError", texts.NO_RPC_METHOD.format(name=name))
        return getattr(self.object, name)

    async def fetch(self, request: Any) -> Any:
        """`fetch(request)` with the SDK's Request; the JavaScript Response."""

        async def call(target: Any) -> Any:
            method = getattr(target, "fetch", None)
            if not callable(method):
                raise js_error("Error", texts.NO_HANDLER["fetch"])
            return await awaited(relaxed(method, request))

        from ..shims.js.response import Response, not_a_response

        returned = await self.run(call)
        response = returned if isinstance(returned, JsProxy) else getattr(returned, "js_object", None)
        if not isinstance(response, Response):
            raise not_a_response()
        return response

    async def alarm(self, time_ms: int, retry_count: int) -> int | None:
        """Handle the alarm that was set for `time_ms`. While it is handled it counts as gone; when the handler raises, it is
        there again, unless the handler has set another one.

        Returns None, or the time of the object's alarm when that is another one (-1: there is none): nothing was called.
        """

        async def call(target: Any) -> int | None:
            stored = self.database.alarm()
            if stored is None or stored > time_ms:
                return -1 if stored is None else stored
            self._alarm_runs, self._alarm_set = True, False
            fields = {"scheduledTime": stored, "retryCount": retry_count, "isRetry": retry_count > 0}
            try:
                await awaited(relaxed(target.alarm, from_rpc(make_object(fields))))
            finally:
                self._alarm_runs = False
            if not self._alarm_set:
                self.database.set_alarm(None)
            return None

        return await self.run(call)

    async def drop_alarm(self, time_ms: int) -> None:
        """Forget the alarm, if it is still the one for `time_ms`; the object need not wake for it."""
        await self.gate.enter()
        if self.broken is None and self.database.alarm() == time_ms:
            self.database.set_alarm(None)
            self.commit()

    def _set_alarm(self) -> None:
        self._alarm_set = True

    @property
    def alarm_replaced(self) -> bool:
        """Whether the alarm handler that ran last has set an alarm."""
        return self._alarm_set

    # --- sockets ------------------------------------------------------------------------------------------------------

    def hibernate(self, socket: WebSocket, tags: list[str]) -> None:
        socket._hibernation = Hibernation(tags)
        self.sockets.append(socket)
        socket._take(self._socket_event)

    def _socket_event(self, socket: WebSocket, kind: str, *args: Any) -> None:
        """A message came, or the other side has closed: call the object, in the order of arrival."""
        if kind == "message" and self._answered_automatically(socket, args[0]):
            return
        if kind in ("close", "error") and socket in self.sockets:
            self.sockets.remove(socket)
        self.objects.socket_event(self, socket, kind, args)

    def _answered_automatically(self, socket: WebSocket, message: Any) -> bool:
        pair = self.auto_response
        if pair is None or not isinstance(message, str) or message != pair.request:
            return False
        from ..shims.js.dates import Date

        assert socket._hibernation is not None
        socket._hibernation.answered = Date.new()
        socket._send_raw(pair.response)
        return True

    async def socket_handler(self, socket: WebSocket, kind: str, args: tuple[Any, ...]) -> None:
        """`webSocketMessage(ws, message)`, `webSocketClose(ws, code, reason, wasClean)`, `webSocketError(ws, error)`."""
        name = {"message": "webSocketMessage", "close": "webSocketClose", "error": "webSocketError"}[kind]

        async def call(target: Any) -> None:
            method = getattr(target, name, None)
            if callable(method):
                await awaited(relaxed(method, socket, *(from_rpc(argument) for argument in args)))

        limit = None if self.event_timeout_ms is None else self.event_timeout_ms / 1000
        async with asyncio.timeout(limit):
            await self.run(call)

    # --- sleep ----------------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing runs in it that this process knows of."""
        return not (self.running or self.tasks or self.awake_sockets or self.gate.closed)


#: What the clients of a reset object's sockets are told (RFC 6455 and IANA's registry): internal error, service restart.
_FAILED, _RESTARTED = 1011, 1012

#: The object whose code runs. Tasks and timers inherit it.
current_object: ContextVar[ObjectInstance | None] = ContextVar("wpy_object", default=None)


async def _run(instance: ObjectInstance, call: Callable[[Any], Awaitable[Any]]) -> Any:
    current_object.set(instance)
    return await call(instance.object)
