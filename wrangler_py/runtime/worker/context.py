"""One event on its way through the worker: its `ctx`, its waitUntil work, and what became of it."""

from __future__ import annotations

import asyncio
from typing import Any

from . import logs, outcome, texts
from .shims.js.convert import unwrap
from .shims.js.core import make_object, raise_js
from .shims.js.jsjson import to_js_value


class Event:
    """A fetch, queue or scheduled event. It is over when its handler and all of its waitUntil work are."""

    __slots__ = ("__weakref__", "_idle", "_pending", "error", "id")

    def __init__(self, number: int) -> None:
        self.id = number
        #: The first exception of the handler or of its waitUntil work.
        self.error: BaseException | None = None
        self._pending: set[asyncio.Future] = set()
        self._idle: asyncio.Future | None = None

    def fail(self, error: BaseException) -> None:
        """An exception reached the end of the handler, or of something that it left behind."""
        if self.error is None:
            self.error = error
        logs.emit("error", outcome.format_exception(error), self)

    def wait_until(self, awaitable: Any) -> None:
        """Keep the event alive until `awaitable` is done. Values that are none are as good as done, as in JavaScript."""
        awaitable = unwrap(awaitable)
        if awaitable is None:
            raise_js("TypeError", texts.NOT_A_PROMISE)
        if not hasattr(awaitable, "__await__"):
            return
        if not asyncio.isfuture(awaitable):
            awaitable = asyncio.get_running_loop().create_task(_wait(awaitable))
        self._pending.add(awaitable)
        awaitable.add_done_callback(self._done)

    def _done(self, future: asyncio.Future) -> None:
        self._pending.discard(future)
        if future.cancelled():
            self.fail(asyncio.CancelledError("work given to waitUntil was cancelled"))
        elif (error := future.exception()) is not None:
            self.fail(error)
        if not self._pending and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    @property
    def waits(self) -> bool:
        """Whether there is waitUntil work that is not done."""
        return bool(self._pending)

    async def idle(self) -> None:
        """Wait until no waitUntil work is left, that which such work adds included."""
        while self._pending:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def result(self) -> dict[str, Any]:
        """RESULT's common fields."""
        return {"outcome": "ok", "error": None} if self.error is None else outcome.exception_result(self.error)


async def _wait(awaitable: Any) -> Any:
    return await awaitable


#: What `ctx.exports` is, made when a worker is loaded; None where the compatibility date has none.
exports: Any = None


class ExecutionContext:
    """`ctx`, native: the SDK passes it through."""

    def __init__(self, event: Event, props: Any = None) -> None:
        """`props`: what the binding that led here says of the caller, as JSON."""
        self._event = event
        self._props = props

    def waitUntil(self, awaitable: Any = None) -> None:
        """Keep the event alive until `awaitable` is done; if it fails, so does the event."""
        self._event.wait_until(awaitable)

    def passThroughOnException(self) -> None:
        """There is no origin behind a local worker to pass a request on to."""

    @property
    def props(self) -> Any:
        """What the config of the calling Worker gives its service binding (`props`), else an empty object."""
        return make_object({}) if self._props is None else to_js_value(self._props)

    @property
    def exports(self) -> Any:
        """This Worker's own entrypoints, as bindings (flag enable_ctx_exports)."""
        if exports is None:
            raise AttributeError("exports")
        return exports


def wait_until(awaitable: Any) -> None:
    """`workers.wait_until`: the running event's `ctx.waitUntil`. Raises JavaScript's Error outside of one."""
    event = logs.current_event.get()
    if event is None:
        raise_js("Error", texts.NO_EVENT)
    event.wait_until(awaitable)
