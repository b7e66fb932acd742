"""What a clock is, and the wall clock of this machine."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from typing import Protocol

#: The longest a real timer sleeps before it looks at the wall clock again. A laptop that was asleep, or
#: a wall clock that was set, is noticed within this time.
MAX_SLEEP_S = 30.0


class ClockStopped(Exception):
    """A move of the clock was ended before it was through. The clock shows how far it came."""


class ClockEndless(Exception):
    """A move of the clock cannot come to its end: one moment makes work without end. The text says what does."""


class Timer(Protocol):
    """A callback that is due at a moment; `cancel()` may be called at any time, also after it ran."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What the rooms may ask of time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...

    def call_at(
        self, when_ms: int, callback: Callable[[], object], *, recurring: bool = False, event: bool = False
    ) -> Timer:
        """Run `callback` on the event loop at `when_ms` or as soon after it as possible, never before.

        A moment that has passed already runs in the loop's next turn. `recurring` says that the callback will plan
        itself again for ever (a cron, a clean-up), so that it is no work that somebody waits for. `event` says of such
        a one that it is to be seen all the same (a cron): the next event that a clock is moved to.
        """
        ...

    def call_later(
        self, seconds: float, callback: Callable[[], object], *, recurring: bool = False, event: bool = False
    ) -> Timer:
        """Run `callback` once that much time has gone by. `recurring` and `event` as in `call_at`."""
        ...


async def sleep_until(clock: Clock, when_ms: int, *, recurring: bool = False) -> None:
    """Wait until `clock` has reached `when_ms`. `recurring` as in `Clock.call_at`."""
    done = asyncio.Event()
    timer = clock.call_at(when_ms, done.set, recurring=recurring)
    try:
        await done.wait()
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
            self._handle = loop.call_later(min(remaining, MAX_SLEEP_S), self._fire)

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


def utc_today() -> datetime.date:
    """The day on this machine's wall clock, in UTC."""
    return datetime.datetime.now(datetime.UTC).date()


class SystemClock:
    """The wall clock of this machine."""

    def now_ms(self) -> int:
        return wall_ms()

    def call_at(
        self, when_ms: int, callback: Callable[[], object], *, recurring: bool = False, event: bool = False
    ) -> Timer:
        return _SystemTimer(self, when_ms, callback)

    def call_later(
        self, seconds: float, callback: Callable[[], object], *, recurring: bool = False, event: bool = False
    ) -> Timer:
        # The loop's clock knows nothing of a wall clock that was set.
        return asyncio.get_running_loop().call_later(seconds, callback)


def wall_ms() -> int:
    """What the wall clock shows."""
    return time.time_ns() // 1_000_000
