"""`ctx` of a Durable Object."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .. import context
from ..shims.js.arrays import Array, make_array
from ..shims.js.convert import js_string, unwrap
from ..shims.js.core import JsProxy, js_error, jsnull, make_object, raise_js
from ..shims.js.numbers import to_number
from ..shims.js.promise import _start
from . import limits
from .calls import awaited
from .ids import DurableObjectId
from .storage import DurableObjectStorage

if TYPE_CHECKING:
    from .instance import ObjectInstance


class DurableObjectState(JsProxy):
    """What an object's constructor is given (workerd: DurableObjectState)."""

    def __init__(self, instance: ObjectInstance) -> None:
        self._instance = instance
        self._storage = DurableObjectStorage.new(
            instance.operations,
            self._critical,
            delete_alarm=instance.objects.flag("delete_all_deletes_alarm"),
        )

    @property
    def id(self) -> DurableObjectId:
        return self._instance.id

    @property
    def storage(self) -> DurableObjectStorage:
        return self._storage

    @property
    def props(self) -> Any:
        return make_object({})

    @property
    def exports(self) -> Any:
        """The Worker's own entrypoints, as bindings (flag enable_ctx_exports)."""
        if context.exports is None:
            raise AttributeError("exports")
        return context.exports

    def waitUntil(self, awaitable: Any = None) -> None:
        """An object lives on anyway; an error is told."""
        self._instance.keep(unwrap(awaitable))

    def blockConcurrencyWhile(self, callback: Any = None) -> Any:
        """Run an async function while no other event enters; resolves to what it returns.

        When it raises, or takes longer than 30 seconds, the object is reset.
        """
        instance, call = self._instance, unwrap(callback)

        async def guarded() -> Any:
            work = asyncio.ensure_future(awaited(call()))
            done, _ = await asyncio.wait({work}, timeout=limits.BLOCK_LIMIT_S)
            if not done:
                error: BaseException = js_error("Error", limits.BLOCKED_TOO_LONG)
                instance.reset(error)
                work.cancel()
                raise error
            try:
                return work.result()
            except BaseException as failure:
                instance.reset(failure)
                raise

        return self._critical(guarded)

    def _critical(self, run: Callable[[], Awaitable[Any]]) -> Any:
        """Run an async function while the gate is closed: the promise of what it returns."""
        self._instance.gate.lock()

        async def locked() -> Any:
            try:
                return await run()
            finally:
                self._instance.gate.unlock()

        promise = _start(locked())
        promise.add_done_callback(lambda done: done.cancelled() or done.exception())
        return promise

    def abort(self, reason: Any = None) -> None:
        """Reset the object: what runs in it fails with `reason`, and what this turn has not yet stored is lost."""
        error = js_error("Error", limits.ABORTED if reason is None else js_string(unwrap(reason)))
        self._instance.reset(error)

    # --- hibernating WebSockets -----------------------------------------------------------------------------------

    def acceptWebSocket(self, socket: Any = None, tags: Any = None) -> None:
        """Take a socket whose messages wake the object. Tags: at most 10 texts of 256 characters."""
        from ..shims.js.websocket import WebSocket

        socket = unwrap(socket)
        if not isinstance(socket, WebSocket):
            raise_js(
                "TypeError",
                "Failed to execute 'acceptWebSocket' on 'DurableObjectState': parameter 1 is not of type 'WebSocket'.",
            )
        given = unwrap(tags)
        labels = list(dict.fromkeys(js_string(tag) for tag in given)) if given not in (None, jsnull) else []
        if socket._accepted or socket._hibernation is not None:
            raise_js("Error", limits.TAKEN_BY_ACCEPT)
        if len(labels) > limits.MAX_TAGS:
            raise_js("Error", limits.TOO_MANY_TAGS.format(limit=limits.MAX_TAGS))
        for tag in labels:
            if len(tag) > limits.MAX_TAG_LENGTH:
                raise_js("Error", limits.TAG_TOO_LONG.format(tag=tag, limit=limits.MAX_TAG_LENGTH))
        if len(self._instance.sockets) >= limits.MAX_SOCKETS:
            raise_js("Error", limits.TOO_MANY_SOCKETS.format(limit=limits.MAX_SOCKETS))
        self._instance.hibernate(socket, labels)

    def getWebSockets(self, tag: Any = None) -> Array:
        """The open sockets that `acceptWebSocket` took; with a tag, those that have it."""
        found = [
            socket
            for socket in self._instance.sockets
            if tag is None or tag is jsnull or js_string(tag) in socket._hibernation.tags
        ]
        return make_array(found)

    def getTags(self, socket: Any = None) -> Array:
        hibernation = getattr(unwrap(socket), "_hibernation", None)
        if hibernation is None:
            raise_js("Error", limits.NO_TAGS_YET)
        return make_array(list(hibernation.tags))

    def setWebSocketAutoResponse(self, pair: Any = None) -> None:
        """Answer a message that is exactly `pair.request` with `pair.response`, without waking the object."""
        self._instance.auto_response = None if pair is None or pair is jsnull else unwrap(pair)

    def getWebSocketAutoResponse(self) -> Any:
        return self._instance.auto_response or jsnull

    def getWebSocketAutoResponseTimestamp(self, socket: Any = None) -> Any:
        hibernation = getattr(unwrap(socket), "_hibernation", None)
        return jsnull if hibernation is None or hibernation.answered is None else hibernation.answered

    def setHibernatableWebSocketEventTimeout(self, milliseconds: Any = None) -> None:
        given = None if milliseconds is None or milliseconds is jsnull else int(to_number(milliseconds))
        self._instance.event_timeout_ms = given or None

    def getHibernatableWebSocketEventTimeout(self) -> Any:
        return self._instance.event_timeout_ms
