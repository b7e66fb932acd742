"""Real and virtual time: the only room that may ask what time it is.

Every delay, batch timeout, retention, cron and TTL in wpy asks the `Clock` it was given, in whole
milliseconds since the Unix epoch (UTC). A virtual clock can therefore move all of them at once.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

#: The longest a real timer sleeps before it looks at the wall clock again. A laptop that was asleep, or
#: a wall clock that was set, is noticed within this time.
_MAX_SLEEP_S = 30.0


class Timer(Protocol):
    """A callback that is due at a moment; `cancel()` may be called at any time, also after it ran."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What the rooms may ask of time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...

    def call_at(self, when_ms: int, callback: Callable[[], object]) -> Timer:
        """Run `callback` on the event loop at `when_ms` or as soon after it as possible, never before.

        A moment that has passed already runs in the loop's next turn.
        """
        ...


async def sleep_until(clock: Clock, when_ms: int) -> None:
    """Wait until `clock` has reached `when_ms`."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    timer = clock.call_at(when_ms, wake)
    try:
        await done
    finally:
        timer.cancel()


class _SystemTimer:
    __slots__ = ("_callback", "_clock", "_handle", "_when_ms")

    def __init__(self, clock: SystemClock, when_ms: int, callback: Callable[[], object]) -> None:
        self._clock = clock
        self._when_ms = when_ms
        self._callback: Callable[[], object] | None = callback
        self._handle: asyncio.Handle | None = None
        self._arm()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        remaining = self._when_ms / 1000 - time.time()
        if remaining <= 0:
            self._handle = loop.call_soon(self._fire)
        else:
            self._handle = loop.call_later(min(remaining, _MAX_SLEEP_S), self._fire)

    def _fire(self) -> None:
        if self._callback is None:
            return
        # The loop's monotonic timer may be a hair early, and the wall clock may have been set back.
        if self._clock.now_ms() < self._when_ms:
            self._arm()
            return
        callback, self._callback = self._callback, None
        callback()

    def cancel(self) -> None:
        self._callback = None
        if self._handle is not None:
            self._handle.cancel()


class SystemClock:
    """The wall clock of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def call_at(self, when_ms: int, callback: Callable[[], object]) -> Timer:
        return _SystemTimer(self, when_ms, callback)


class _VirtualTimer:
    __slots__ = ("callback", "order", "when_ms")

    def __init__(self, when_ms: int, order: int, callback: Callable[[], object] | None) -> None:
        self.when_ms = when_ms
        self.order = order
        self.callback = callback

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: _VirtualTimer) -> bool:
        return (self.when_ms, self.order) < (other.when_ms, other.order)


class VirtualClock:
    """A clock that stands still until it is moved.

    `advance` and `next` fire what is due in due order, each with the clock set to the moment it was due,
    and wait for `settle` (given by whoever owns the work that timers start) before they go on, so that work
    started at 00:00:05 which plans something for 00:00:06 is seen in the right order.
    """

    def __init__(self, now_ms: int = 0, settle: Callable[[], Awaitable[object]] | None = None) -> None:
        self._now_ms = now_ms
        self._timers: list[_VirtualTimer] = []
        self._order = itertools.count()
        self.settle: Callable[[], Awaitable[object]] = settle or _one_turn

    def now_ms(self) -> int:
        return self._now_ms

    def call_at(self, when_ms: int, callback: Callable[[], object]) -> Timer:
        timer = _VirtualTimer(when_ms, next(self._order), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def next_due_ms(self) -> int | None:
        """When the next timer is due, or None when nothing is planned."""
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0].when_ms if self._timers else None

    async def advance_to(self, target_ms: int) -> None:
        """Move to `target_ms`, firing everything that is due on the way. Going back raises ValueError."""
        if target_ms < self._now_ms:
            raise ValueError(f"the clock cannot go back from {self._now_ms} to {target_ms}")
        await self.settle()
        while (due := self.next_due_ms()) is not None and due <= target_ms:
            self._now_ms = max(self._now_ms, due)
            await self._fire_due()
        self._now_ms = target_ms

    async def advance(self, seconds: float) -> None:
        """Move `seconds` ahead."""
        await self.advance_to(self._now_ms + round(seconds * 1000))

    async def next(self) -> int | None:
        """Move to the next planned moment and fire it. Returns that moment, or None if nothing is planned."""
        await self.settle()
        due = self.next_due_ms()
        if due is not None:
            await self.advance_to(max(due, self._now_ms))
        return due

    async def _fire_due(self) -> None:
        while (due := self.next_due_ms()) is not None and due <= self._now_ms:
            timer = heapq.heappop(self._timers)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
            await self.settle()


async def _one_turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
