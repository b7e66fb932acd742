"""Real and virtual time: the only room that may ask what time it is.

Every delay, batch timeout, retention, cron and TTL in wpy asks the `Clock` it was given, in whole
milliseconds since the Unix epoch (UTC). A virtual clock can therefore move all of them at once.
"""

from __future__ import annotations

import asyncio
import datetime
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Protocol

#: The longest a real timer sleeps before it looks at the wall clock again. A laptop that was asleep, or
#: a wall clock that was set, is noticed within this time.
_MAX_SLEEP_S = 30.0
#: A wall clock that goes back by more than this was set back (ms); less is what time servers correct.
_SET_BACK_MS = 5_000
#: A session's clock whose time changes by this much when it runs on was set (ms).
_SET_MS = 1_000
#: With fewer dead timers than this nothing is tidied up.
_FEW_TIMERS = 64


class ClockStopped(Exception):
    """A move of the clock was ended before it was through. The clock shows how far it came."""


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


def utc_today() -> datetime.date:
    """The day on this machine's wall clock, in UTC."""
    return datetime.datetime.now(datetime.UTC).date()


class SystemClock:
    """The wall clock of this machine."""

    def now_ms(self) -> int:
        return _wall_ms()

    def call_at(
        self, when_ms: int, callback: Callable[[], object], *, recurring: bool = False, event: bool = False
    ) -> Timer:
        return _SystemTimer(self, when_ms, callback)

    def call_later(
        self, seconds: float, callback: Callable[[], object], *, recurring: bool = False, event: bool = False
    ) -> Timer:
        # The loop's clock knows nothing of a wall clock that was set.
        return asyncio.get_running_loop().call_later(seconds, callback)


class _VirtualTimer:
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
        self._cancelled = 0
        self._order = itertools.count()
        self.settle: Callable[[], Awaitable[object]] = settle or _one_turn

    def now_ms(self) -> int:
        return self._now_ms

    def call_at(
        self, when_ms: int, callback: Callable[[], object], *, recurring: bool = False, event: bool = False
    ) -> Timer:
        return self._plan(_VirtualTimer(self, when_ms, callback, recurring, event, spans=False))

    def call_later(
        self, seconds: float, callback: Callable[[], object], *, recurring: bool = False, event: bool = False
    ) -> Timer:
        when_ms = self.now_ms() + round(seconds * 1000)
        return self._plan(_VirtualTimer(self, when_ms, callback, recurring, event, spans=True))

    def _plan(self, timer: _VirtualTimer) -> Timer:
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
        """Raise ClockStopped when the move is to end."""

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

    def _fire_one(self) -> _VirtualTimer | None:
        """Fire the first timer if it is due, and return it."""
        due = self.next_due_ms()
        if due is None or due > self.now_ms():
            return None
        timer = heapq.heappop(self._timers)
        callback, timer.callback = timer.callback, None
        assert callback is not None
        callback()
        return timer


class SessionClock(VirtualClock):
    """The clock of a session: runs with the wall clock, and can be frozen, moved and set running again.

    It runs `offset` ahead of the wall clock after it was moved; timers keep their moments through all of it. Moves wait
    for one another. `freeze`, `resume` and `stop` end the moves that go on or wait, after the step they are in, and
    those raise ClockStopped. All methods belong to the event loop's thread.
    """

    def __init__(self, start_ms: int | None = None, *, frozen: bool = False) -> None:
        """`start_ms`: what it shows at first; None: the wall clock's time."""
        super().__init__(_wall_ms() if start_ms is None else start_ms)
        self._offset_ms = 0 if start_ms is None else start_ms - _wall_ms()
        self._frozen = frozen
        self._handle: asyncio.TimerHandle | None = None
        self._armed_ms: int | None = None
        self._lock = asyncio.Lock()
        self._moving = False
        #: How often moves were told to end, and how often they had been when the present one was asked for.
        self._stops = self._stops_before = 0
        self._ended = False
        self._stopping = asyncio.Event()
        #: What happens at the end of the present move; None: the clock stands still.
        self._then: Callable[[], object] | None = None
        #: The wall clock against the loop's, as it was when last looked at.
        self._drift_ms = _drift_ms()
        #: Told of `clock.frozen` (now_ms), `clock.moved` (from_ms, to_ms), `clock.resumed` (now_ms, ahead_ms) and
        #: `clock.jumped` (by_ms: the wall clock was set back).
        self.announce: Callable[..., None] = _nobody
        #: Told when the clock was set: how far ahead (ms; negative: back). What was planned keeps its moments.
        self.on_set: Callable[[int], object] = _nobody
        #: Told when it shows something that does not follow from what it showed before: it was stopped, moved, set running.
        self.on_change: Callable[[], object] = _nobody

    @property
    def frozen(self) -> bool:
        """Whether it stands still, but for being moved."""
        return self._then is None if self._moving else self._frozen

    @property
    def moving(self) -> bool:
        """Whether it is being moved now."""
        return self._moving

    @property
    def offset_ms(self) -> int:
        """How far it is ahead of the wall clock."""
        return self.now_ms() - _wall_ms()

    @property
    def ahead_ms(self) -> int | None:
        """How far it runs ahead of the wall clock. None: it stands still, if only while it is being moved."""
        return None if self._frozen else self._offset_ms

    def now_ms(self) -> int:
        return self._now_ms if self._frozen else _wall_ms() + self._offset_ms

    def _plan(self, timer: _VirtualTimer) -> Timer:
        super()._plan(timer)
        if not self._frozen and (self._armed_ms is None or timer.when_ms < self._armed_ms):
            self._arm()
        return timer

    # Standing still and running -----------------------------------------------------------------------------------

    def freeze(self) -> None:
        """Stand still: at this moment, or where the move that goes on has come to."""
        self.stop()
        if self._moving:
            self._then = None
        elif not self._frozen:
            self._stand_still()
            self.announce("clock.frozen", now_ms=self._now_ms)

    def resume(self, *, at_wall_time: bool = False) -> None:
        """Run on from where it stands, or with the wall clock again."""
        self.stop()
        if self._moving:
            self._then = lambda: self._resume(at_wall_time)
        else:
            self._resume(at_wall_time)

    def stop(self) -> None:
        """End the moves that go on or wait. The clock then stands or runs as it did before."""
        self._stops += 1
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether the move that goes on is to end."""
        return self._stopping.is_set()

    async def unless_stopped(self, waiting: Coroutine[object, object, object]) -> None:
        """Wait for something, but no longer than until the move that goes on is to end."""
        stopped = asyncio.ensure_future(self._stopping.wait())
        task = asyncio.ensure_future(waiting)
        try:
            await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            task.cancel()
            stopped.cancel()

    async def still(self) -> None:
        """Wait until no move goes on."""
        async with self._lock:
            pass

    def end(self) -> None:
        """The session ends: end the move that goes on, and make no further one."""
        self._ended = True
        self._stopping.set()

    def _resume(self, at_wall_time: bool) -> None:
        was_frozen, before_ms = self._frozen, self.now_ms()
        self._run_on(at_wall_time)
        by_ms = self.now_ms() - before_ms
        if was_frozen or abs(by_ms) >= _SET_MS:
            self.announce("clock.resumed", now_ms=self.now_ms(), ahead_ms=self.offset_ms)
        if abs(by_ms) >= _SET_MS:
            self._was_set(by_ms)

    def _run_on(self, at_wall_time: bool = False) -> None:
        self._offset_ms = 0 if at_wall_time else self.now_ms() - _wall_ms()
        self._frozen = False
        self._drift_ms = _drift_ms()
        self._arm()
        self.on_change()

    def _stand_still(self) -> None:
        self._now_ms = self.now_ms()
        self._frozen = True
        self._disarm()
        self.on_change()

    def _step_to(self, now_ms: int) -> None:
        super()._step_to(now_ms)
        self.on_change()

    def _was_set(self, by_ms: int) -> None:
        for timer in self._timers:
            if timer.spans:
                timer.when_ms += by_ms
        heapq.heapify(self._timers)
        self._arm()
        self.on_set(by_ms)

    # Being moved ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _move(self) -> AsyncIterator[None]:
        stops = self._stops
        async with self._lock:
            self._stops_before = stops
            self._check()
            self._stopping.clear()
            was_running = not self._frozen
            self._then = self._run_on if was_running else None
            self._stand_still()
            from_ms = self._now_ms
            self._moving = True
            try:
                yield
            finally:
                self._moving = False
                then, self._then = self._then, None
                if self._now_ms != from_ms:
                    self.announce("clock.moved", from_ms=from_ms, to_ms=self._now_ms)
                if then is not None:
                    then()
                elif was_running:
                    self.announce("clock.frozen", now_ms=self._now_ms)
                if then is None:
                    self.on_change()

    def _check(self) -> None:
        if self._ended or self._stops != self._stops_before:
            raise ClockStopped

    # Running with the wall clock --------------------------------------------------------------------------------------

    def _arm(self) -> None:
        self._disarm()
        due = self.next_due_ms()
        if due is None:
            return
        self._armed_ms = due
        # Looked at again after a while, so that a laptop's sleep or a wall clock that was set is noticed.
        delay = min(max(0.0, (due - self.now_ms()) / 1000), _MAX_SLEEP_S)
        self._handle = asyncio.get_running_loop().call_later(delay, self._wake)

    def _disarm(self) -> None:
        self._armed_ms = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wake(self) -> None:
        self._handle = None
        self._look_at_the_wall()
        now_ms = self.now_ms()
        try:
            while not self._frozen and (due := self.next_due_ms()) is not None and due <= now_ms:
                self._fire_one()
        finally:
            if not self._frozen:
                self._arm()

    def _look_at_the_wall(self) -> None:
        """A wall clock that was set back would leave everything waiting until it has caught up."""
        drift_ms = _drift_ms()
        by_ms, self._drift_ms = drift_ms - self._drift_ms, drift_ms
        if by_ms < -_SET_BACK_MS:
            self.announce("clock.jumped", by_ms=by_ms)
            self._was_set(by_ms)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _drift_ms() -> int:
    return (time.time_ns() - time.monotonic_ns()) // 1_000_000


async def _one_turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def _nobody(*_: object, **__: object) -> None:
    pass
