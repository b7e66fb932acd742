"""The clock of a session: the wall clock's pace, and moves."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

from wrangler_py.clock.base import MAX_SLEEP_S, ClockEndless, ClockStopped, Timer, wall_ms
from wrangler_py.clock.virtual import VirtualClock, VirtualTimer

#: A wall clock that goes back by more than this was set back (ms); less is what time servers correct.
_SET_BACK_MS = 5_000
#: A session's clock whose time changes by this much when it runs on was set (ms).
_SET_MS = 1_000


class SessionClock(VirtualClock):
    """The clock of a session: runs with the wall clock, and can be frozen, moved and set running again.

    It runs `offset` ahead of the wall clock after it was moved; timers keep their moments through all of it. Moves wait
    for one another. `freeze`, `resume` and `stop` end the moves that go on or wait, after the step they are in, and
    those raise ClockStopped. All methods belong to the event loop's thread.
    """

    def __init__(self, start_ms: int | None = None, *, frozen: bool = False) -> None:
        """`start_ms`: what it shows at first; None: the wall clock's time."""
        super().__init__(wall_ms() if start_ms is None else start_ms)
        self._offset_ms = 0 if start_ms is None else start_ms - wall_ms()
        self._frozen = frozen
        self._handle: asyncio.TimerHandle | None = None
        self._armed_ms: int | None = None
        self._lock = asyncio.Lock()
        self._moving = False
        #: How often moves were told to end, and how often they had been when the present one was asked for.
        self._stops = self._stops_before = 0
        self._ended = False
        self._stopping = asyncio.Event()
        #: Why the present move cannot come to its end.
        self._endless: str | None = None
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
        return self.now_ms() - wall_ms()

    @property
    def ahead_ms(self) -> int | None:
        """How far it runs ahead of the wall clock. None: it stands still, if only while it is being moved."""
        return None if self._frozen else self._offset_ms

    def now_ms(self) -> int:
        return self._now_ms if self._frozen else wall_ms() + self._offset_ms

    def _plan(self, timer: VirtualTimer) -> Timer:
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

    def give_up(self, why: str) -> None:
        """End the move that goes on, if one does: it raises ClockEndless."""
        if self._moving:
            self._endless = why
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
        self._offset_ms = 0 if at_wall_time else self.now_ms() - wall_ms()
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
            self._endless = None
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
        if self._endless is not None:
            raise ClockEndless(self._endless)

    # Running with the wall clock --------------------------------------------------------------------------------------

    def _arm(self) -> None:
        self._disarm()
        due = self.next_due_ms()
        if due is None:
            return
        self._armed_ms = due
        # Looked at again after a while, so that a laptop's sleep or a wall clock that was set is noticed.
        delay = min(max(0.0, (due - self.now_ms()) / 1000), MAX_SLEEP_S)
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


def _drift_ms() -> int:
    return (time.time_ns() - time.monotonic_ns()) // 1_000_000


def _nobody(*_: object, **__: object) -> None:
    pass
