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

    def call_at(self, when_ms: int, callback: Callable[[], object], *, recurring: bool = False) -> Timer:
        """Run `callback` on the event loop at `when_ms` or as soon after it as possible, never before.

        A moment that has passed already runs in the loop's next turn. `recurring` says that the callback will plan
        itself again for ever (a cron, a clean-up), so that it is no work that somebody waits for.
        """
        ...

    def call_later(self, seconds: float, callback: Callable[[], object], *, recurring: bool = False) -> Timer:
        """Run `callback` once that much time has gone by. `recurring` as in `call_at`."""
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
        return _wall_ms()

    def call_at(self, when_ms: int, callback: Callable[[], object], *, recurring: bool = False) -> Timer:
        return _SystemTimer(self, when_ms, callback)

    def call_later(self, seconds: float, callback: Callable[[], object], *, recurring: bool = False) -> Timer:
        # The loop's clock knows nothing of a wall clock that was set.
        return asyncio.get_running_loop().call_later(seconds, callback)


class _VirtualTimer:
    __slots__ = ("callback", "order", "recurring", "when_ms")

    def __init__(self, when_ms: int, order: int, callback: Callable[[], object] | None, recurring: bool) -> None:
        self.when_ms = when_ms
        self.order = order
        self.callback = callback
        self.recurring = recurring

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: _VirtualTimer) -> bool:
        return (self.when_ms, self.order) < (other.when_ms, other.order)


class VirtualClock:
    """A clock that stands still until it is moved.

    Moving it fires what is due in due order, each with the clock set to the moment it was due, and waits for `settle`
    (given by whoever owns the work that timers start) before it goes on, so that work started at 00:00:05 which plans
    something for 00:00:06 is seen in the right order.
    """

    def __init__(self, now_ms: int = 0, settle: Callable[[], Awaitable[object]] | None = None) -> None:
        self._now_ms = now_ms
        self._timers: list[_VirtualTimer] = []
        self._order = itertools.count()
        self.settle: Callable[[], Awaitable[object]] = settle or _one_turn

    def now_ms(self) -> int:
        return self._now_ms

    def call_at(self, when_ms: int, callback: Callable[[], object], *, recurring: bool = False) -> Timer:
        timer = _VirtualTimer(when_ms, next(self._order), callback, recurring)
        heapq.heappush(self._timers, timer)
        if when_ms <= self.now_ms():  # it must not wait for the next move
            asyncio.get_running_loop().call_soon(self._fire_one)
        return timer

    def call_later(self, seconds: float, callback: Callable[[], object], *, recurring: bool = False) -> Timer:
        return self.call_at(self.now_ms() + round(seconds * 1000), callback, recurring=recurring)

    def next_due_ms(self) -> int | None:
        """When the next timer is due, or None when nothing is planned."""
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0].when_ms if self._timers else None

    async def advance_to(self, target_ms: int) -> None:
        """Move to `target_ms`, firing everything that is due on the way. Going back raises ValueError."""
        if target_ms < self.now_ms():
            raise ValueError(f"the clock cannot go back from {self.now_ms()} to {target_ms}")
        await self.settle()
        while (due := self.next_due_ms()) is not None and due <= target_ms:
            self._now_ms = max(self._now_ms, due)
            await self._fire_due()
        self._now_ms = max(self._now_ms, target_ms)

    async def advance(self, seconds: float) -> None:
        """Move `seconds` ahead."""
        await self.advance_to(self.now_ms() + round(seconds * 1000))

    async def next(self) -> int | None:
        """Move to the next planned moment and fire it. Returns that moment, or None if nothing is planned."""
        await self.settle()
        due = self.next_due_ms()
        if due is not None:
            await self.advance_to(max(due, self.now_ms()))
        return due

    async def run_until_idle(self, limit_ms: int) -> bool:
        """Move on until nothing is planned but what plans itself for ever, at most `limit_ms` ahead.

        Returns whether that point was reached.
        """
        end_ms = self.now_ms() + limit_ms
        await self.settle()
        while any(timer.callback is not None and not timer.recurring for timer in self._timers):
            due = self.next_due_ms()
            assert due is not None
            if due > end_ms:
                await self.advance_to(end_ms)
                return False
            await self.advance_to(max(due, self.now_ms()))
        return True

    async def _fire_due(self) -> None:
        while self._fire_one():
            await self.settle()

    def _fire_one(self) -> bool:
        """Fire the first timer if it is due. Returns whether it was."""
        due = self.next_due_ms()
        if due is None or due > self.now_ms():
            return False
        timer = heapq.heappop(self._timers)
        callback, timer.callback = timer.callback, None
        if callback is not None:
            callback()
        return True


class SessionClock(VirtualClock):
    """The clock of a session: runs with the wall clock, and can be frozen, moved and set running again.

    It runs `offset` ahead of the wall clock after it was moved; timers keep their moments through all of it. All methods
    belong to the event loop's thread.
    """

    def __init__(self, start_ms: int | None = None, *, frozen: bool = False) -> None:
        """`start_ms`: what it shows at first; None: the wall clock's time."""
        super().__init__(_wall_ms() if start_ms is None else start_ms)
        self._offset_ms = 0 if start_ms is None else start_ms - _wall_ms()
        self._frozen = frozen
        self._handle: asyncio.TimerHandle | None = None
        self._armed_ms: int | None = None
        self._moving = asyncio.Lock()

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self._frozen

    @property
    def offset_ms(self) -> int:
        """How far it is ahead of the wall clock."""
        return self.now_ms() - _wall_ms()

    def now_ms(self) -> int:
        return self._now_ms if self._frozen else _wall_ms() + self._offset_ms

    def call_at(self, when_ms: int, callback: Callable[[], object], *, recurring: bool = False) -> Timer:
        timer = super().call_at(when_ms, callback, recurring=recurring)
        if not self._frozen and (self._armed_ms is None or when_ms < self._armed_ms):
            self._arm()
        return timer

    def freeze(self) -> None:
        """Stand still at this moment."""
        if not self._frozen:
            self._now_ms = self.now_ms()
            self._frozen = True
            self._disarm()

    def resume(self, *, at_wall_time: bool = False) -> None:
        """Run on from where it stands, or with the wall clock again."""
        if at_wall_time:
            self._offset_ms = 0
        elif self._frozen:
            self._offset_ms = self._now_ms - _wall_ms()
        self._frozen = False
        self._arm()

    async def advance_to(self, target_ms: int) -> None:
        """See VirtualClock. A running clock goes on running afterwards."""
        async with self._moving:
            was_running = not self._frozen
            self.freeze()
            try:
                await super().advance_to(target_ms)
            finally:
                if was_running:
                    self.resume()

    def _arm(self) -> None:
        self._disarm()
        due = self.next_due_ms()
        if due is None:
            return
        self._armed_ms = due
        # Looked at again after a while, so that a laptop's sleep or a wall clock that was set is noticed.
        delay = min(max(0.0, (due - self._offset_ms) / 1000 - time.time()), _MAX_SLEEP_S)
        self._handle = asyncio.get_running_loop().call_later(delay, self._wake)

    def _disarm(self) -> None:
        self._armed_ms = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wake(self) -> None:
        self._handle = None
        now_ms = self.now_ms()
        try:
            while (due := self.next_due_ms()) is not None and due <= now_ms:
                timer = heapq.heappop(self._timers)
                callback, timer.callback = timer.callback, None
                if callback is not None:
                    callback()
        finally:
            self._arm()


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


async def _one_turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
