"""The way into the REST API: imports and builds the application with the first request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from wrangler_py.clock import Clock
from wrangler_py.events.log import EventLog
from wrangler_py.queues import tables
from wrangler_py.store.database import Store

if TYPE_CHECKING:
    from wrangler_py.queues.broker import Broker
    from wrangler_py.queues.pull import Pulls

PREFIX = "/client/v4"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class RestOptions(Struct, frozen=True):
    """What the REST API works on, and whom it answers."""

    store: Store
    clock: Clock
    events: EventLog
    broker: Broker
    #: Host names that requests may be for (see server/guard.py).
    allowed_hosts: Collection[str]
    #: What requests from other machines must show. None: they are refused.
    api_token: str | None = None


class RestDoor:
    """The REST API as an ASGI application for the paths that `serves` names."""

    def __init__(self, options: RestOptions) -> None:
        self._options = options
        self._pulls: Pulls | None = None
        self._app: App | None = None
        self._building = asyncio.Lock()

    def start(self) -> None:
        """Go on ending the leases that earlier sessions gave to pull consumers."""
        if tables.first_lease_end(self._options.store) is not None:
            self._start_pulls()

    def look(self) -> None:
        """Another process may have given leases to pull consumers: end those in time, too. Raises sqlite3.Error or
        StateError."""
        if self._pulls is not None:
            self._pulls.look()
        else:
            self.start()

    def close(self) -> None:
        """End no more leases; the next session does."""
        if self._pulls is not None:
            self._pulls.close()

    @staticmethod
    def serves(path: str) -> bool:
        return path.startswith(PREFIX) and path[len(PREFIX) : len(PREFIX) + 1] in ("", "/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 0

        async def note_status(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        app = self._app or await self._build()
        await app(scope, receive, note_status)
        self._options.events.emit(
            "api.finished",
            method=scope["method"],
            path=scope["path"],
            status=status,  # 0: the client went away
            ms=round((time.perf_counter() - started) * 1000),
        )

    async def _build(self) -> App:
        async with self._building:
            if self._app is None:
                # In a thread: the import takes a tenth of a second, and a queue may be draining at this moment.
                build = await asyncio.to_thread(_import_build)
                self._app = build(self._options, self._pulls or self._start_pulls())
            return self._app

    def _start_pulls(self) -> Pulls:
        from wrangler_py.queues.pull import Pulls

        options = self._options
        pulls = Pulls(options.store, options.clock, options.events, options.broker)
        pulls.start()
        self._pulls = pulls
        return pulls


def _import_build() -> Callable[[RestOptions, Pulls], App]:
    from wrangler_py.server.rest.app import build_app

    return build_app
