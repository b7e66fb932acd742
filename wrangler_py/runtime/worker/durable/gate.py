"""The input gate of an object: while it is closed, no further event enters.

It is closed while `blockConcurrencyWhile` or a transaction runs, and for a moment after each storage operation: those
are done when they return here, but on Cloudflare they take time in which nothing else enters, and code relies on it
(two `storage.get()` in one `asyncio.gather`, then a `put`).
"""

from __future__ import annotations

import asyncio
from collections import deque

from ..loop import Hub

#: Turns of the loop that a storage operation keeps the gate closed: those that a gather() of two needs to go on.
_TURNS = 6


class InputGate:
    """Lets events in, in their order."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._locks = 0
        self._turns = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def closed(self) -> bool:
        return self._locks > 0 or self._turns > 0

    @property
    def locked(self) -> bool:
        """Whether it is closed for as long as somebody's own code takes."""
        return self._locks > 0

    async def enter(self, *, first: bool = False) -> None:
        """Wait for one's turn; with `first`, for the next one. Raises what `fail` is given."""
        if not self.closed and not self._waiting:
            return
        waiter: asyncio.Future[None] = self._hub.create_future()
        if first:
            self._waiting.appendleft(waiter)
        else:
            self._waiting.append(waiter)
        self._open_soon()
        await waiter

    def lock(self) -> None:
        self._locks += 1

    def unlock(self) -> None:
        self._locks -= 1
        self._open_soon()

    def touch(self) -> None:
        """A storage operation took place."""
        if self._turns == 0:
            self._hub.call_soon(self._turn)
        self._turns = _TURNS

    def _turn(self) -> None:
        self._turns -= 1
        if self._turns:
            self._hub.call_soon(self._turn)
        else:
            self._next()

    def _open_soon(self) -> None:
        if not self.closed:
            self._hub.call_soon(self._next)

    def _next(self) -> None:
        """Let the first in; the next one a turn later, unless the first closes the gate again."""
        while self._waiting and not self.closed:
            waiter = self._waiting.popleft()
            if waiter.done():
                continue
            waiter.set_result(None)
            if self._waiting:
                self._hub.call_soon(self._next)
            return

    def fail(self, error: BaseException) -> None:
        """Nobody comes in any more."""
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_exception(error)
