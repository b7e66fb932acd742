"""A clock that stands until it is moved, firing on its way what is due, each at its own time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from wrangler_py.clock.base import Timer

#: With fewer dead timers than this nothing is tidied up.
_FEW_TIMERS = 64


class VirtualTimer:
    """A timer of a VirtualClock, in the order in which they fire."""

    __slots__ = ("_clock", "callback", "event", "order", "recurring", "spans", "when_ms")

    def __init__(
        self,
        clock: VirtualClock,
        when_ms: int,
        callback: Callable[[], object],
        recurring: bool,
        event: bool,
        spans: bool,
    ) -> None:
        self._clock = clock
        self.when_ms = when_ms
        self.order = next(clock._order)
        self.callback: Callable[[], object] | None = callback
        self.recurring = recurring
        #: Whether somebody sees it happen: a batch, a cron; not the upkeep of a room.
        self.event = event or not recurring
        #: Planned as a span of time: it moves along when the clock is set.
        self.spans = spans

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self._clock._timer_cancelled()

    def __lt__(self, other: VirtualTimer) -> bool:
        return (self.when_ms, self.order) < (other.when_ms, other.order)


class VirtualClock:
    """A clock that stands still until it is moved.

    Moving it fires what is due in due order, each with the clock set to the moment it was due, and waits for `settle`
    (given by whoever owns the work that timers start) before it goes on, so that work started at 00:00:05 which plans
    something for 00:00:06 is seen in the right order.
    """

    def __init__(self, now_ms: int = 0, settle: Callable[[], Awaitable[object]] | None = None) -> None:
        self._now_ms = now_ms
        self._timers: list[VirtualTimer] = []
        self._cancelled = 0
        self._order = itertools.count()
        self.settle: Callable[[], Awaitable[object]] = settle or _one_turn

    def now_ms(self) -> int:
        return self._now_ms

    def call_at(
        self, when_ms: int, callback: Callable[[], object], *, recurring: bool = False, event: bool = False
    ) -> Timer:
        return self._plan(VirtualTimer(self, when_ms, callback, recurring, event, spans=False))

    def call_later(
        self, seconds: float, callback: Callable[[], object], *, recurring: bool = False, event: bool = False
    ) -> Timer:
        when_ms = self.now_ms() + round(seconds * 1000)
        return self._plan(VirtualTimer(self, when_ms, callback, recurring, event, spans=True))

    def _plan(self, timer: VirtualTimer) -> Timer:
        heapq.heappush(self._timers, timer)
        if timer.when_ms <= self.now_ms():  # it must not wait for the next move
            asyncio.get_running_loop().call_soon(self._fire_one)
        return timer

    def _timer_cancelled(self) -> None:
        """Keep no more dead timers than living ones: one that was planned for tomorrow would stay until then."""
        self._cancelled += 1
        if self._cancelled > _FEW_TIMERS and self._cancelled * 2 > len(self._timers):
            self._timers[:] = [timer for timer in self._timers if timer.callback is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def next_due_ms(self) -> int | None:
        """When the next timer is due, or None when nothing is planned."""
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
            self._cancelled = max(0, self._cancelled - 1)
        return self._timers[0].when_ms if self._timers else None

    def next_event_ms(self) -> int | None:
        """When the next event is due that somebody would see, or None when none is planned. Upkeep is passed over."""
        return min((t.when_ms for t in self._timers if t.callback is not None and t.event), default=None)

    # Moving -----------------------------------------------------------------------------------------------------------

    async def advance_to(self, target_ms: int) -> None:
        """Move to `target_ms`, firing everything that is due on the way. Going back raises ValueError."""
        async with self._move():
            await self._go(target_ms)

    async def advance(self, seconds: float) -> None:
        """Move `seconds` ahead."""
        async with self._move():
            await self._go(self.now_ms() + round(seconds * 1000))

    async def next(self) -> int | None:
        """Move to the next event and fire it. Returns that moment, or None if no event is planned."""
        async with self._move():
            await self.settle()
            self._check()
            while self.next_event_ms() is not None:
                due = self.next_due_ms()
                assert due is not None
                if await self._fire_at(due):
                    return self._now_ms
            return None

    async def run_until_idle(self, limit_ms: int) -> bool:
        """Move on until nothing is planned but what plans itself for ever, at most `limit_ms` ahead.

        Returns whether that point was reached.
        """
        async with self._move():
            end_ms = self.now_ms() + limit_ms
            await self.settle()
            self._check()
            while any(timer.callback is not None and not timer.recurring for timer in self._timers):
                due = self.next_due_ms()
                assert due is not None
                if due > end_ms:
                    await self._go(end_ms)
                    return False
                await self._fire_at(due)
            return True

    def _move(self) -> AbstractAsyncContextManager[None]:
        """What encloses every move."""
        return nullcontext()

    def _check(self) -> None:
        """Raise ClockStopped or ClockEndless when the move is to end."""

    async def _go(self, target_ms: int) -> None:
        if target_ms < self.now_ms():
            raise ValueError(f"the clock cannot go back from {self.now_ms()} to {target_ms}")
        await self.settle()
        while (due := self.next_due_ms()) is not None and due <= target_ms:
            await self._fire_at(due)
        self._check()
        self._step_to(max(self._now_ms, target_ms))

    def _step_to(self, now_ms: int) -> None:
        self._now_ms = now_ms

    async def _fire_at(self, due_ms: int) -> bool:
        """Go to `due_ms` and fire what is due, one after another. Returns whether an event was among it."""
        self._check()
        self._step_to(max(self._now_ms, due_ms))
        seen = False
        while (timer := self._fire_one()) is not None:
            seen |= timer.event
            await self.settle()
            self._check()
        return seen

    def _fire_one(self) -> VirtualTimer | None:
        """Fire the first timer if it is due, and return it."""
        due = self.next_due_ms()
        if due is None or due > self.now_ms():
            return None
        timer = heapq.heappop(self._timers)
        callback, timer.callback = timer.callback, None
        assert callback is not None
        callback()
        return timer


async def _one_turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
