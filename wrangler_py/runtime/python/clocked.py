"""A Python worker's process whose own clock follows the session's (`wpy dev --worker-clock`)."""

from __future__ import annotations

import asyncio
from typing import Any

from wrangler_py.clock import SessionClock, Timer
from wrangler_py.runtime.python.process import BlockedSink, Calls, LogSink, WorkerProcess
from wrangler_py.runtime.python.spawn import SpawnedProcess
from wrangler_py.runtime.worker import frames

#: A handler that sleeps while the process has sockets open may wait for them or keep them for later. When nothing has
#: come for this long, time goes on (seconds of real time).
QUIET_S = 5.0


class WorkerClocks:
    """The clock that all workers of a session follow, and word of what they wait for."""

    def __init__(self, clock: SessionClock) -> None:
        self.clock = clock
        #: Set whenever a process says what it waits for, an event is over, or a process has ended.
        self.news = asyncio.Event()


class ClockedProcess(WorkerProcess):
    """Tells its process the time, and moves on with it what sleeps there.

    A frame carries the time when the process has been told another. While the clock stands the process says after each
    turn what it waits for; its next timer is one of the session's clock, which then tells it the time.
    """

    def __init__(
        self, spawned: SpawnedProcess, calls: Calls, log: LogSink, blocked: BlockedSink, clocks: WorkerClocks
    ) -> None:
        super().__init__(spawned, calls, log, blocked)
        self._clocks = clocks
        self._clock = clocks.clock
        #: Whether the process follows: from LOAD on, when it has the library for it.
        self._follows = False
        self._told: tuple[int | None, int | None] | None = None
        #: Frames sent since LOAD, and how many of them the process had taken when it last said what it waits for.
        self._sent = 0
        self._taken = -1
        self._due_ms: int | None = None
        self._besides = ""
        #: When it last did something but hear of the time (the loop's time).
        self._since = 0.0
        self._timer: Timer | None = None
        self._planned: tuple[int, bool] | None = None
        self.ended.add_done_callback(self._gone)

    async def load(self, spec: dict[str, Any]) -> dict[str, Any]:
        """As WorkerProcess.load; the code is imported at the session's time."""
        self._told = self._time()
        super().send(frames.CLOCK, self._clock.now_ms(), self._clock.ahead_ms)
        super().send(frames.LOAD, spec)
        self._follows = True
        info = await self._loaded
        self._follows = bool(info.get("worker_clock"))
        return info

    # Telling it the time ----------------------------------------------------------------------------------------------

    def send(self, *frame: Any) -> None:
        if self._follows:
            self._tell()
            self._sent += 1
            self._stirred()
        super().send(*frame)

    def tell_time(self, *, on_the_way: bool) -> None:
        """The clock was frozen, moved or set running. `on_the_way`: it is being moved. A process without events then
        needs no word of each step, and one with a timer at this very moment hears of it when its turn comes."""
        if not self._follows or self.ended.done():
            return
        now_ms = self._clock.now_ms()
        if on_the_way and (not self.events or (self._planned is not None and self._planned[0] <= now_ms)):
            return
        self._tell()

    def _tell(self) -> None:
        time = self._time()
        if time == self._told:
            return
        self._told = time
        self._sent += 1
        super().send(frames.CLOCK, self._clock.now_ms(), self._clock.ahead_ms)
        if self._clock.ahead_ms is not None:
            self._forget_timer()

    def _time(self) -> tuple[int | None, int | None]:
        ahead_ms = self._clock.ahead_ms
        return (self._clock.now_ms() if ahead_ms is None else None), ahead_ms

    # What it waits for ------------------------------------------------------------------------------------------------

    @property
    def resting(self) -> bool:
        """Whether it has taken everything that was sent to it and waits. One that does not follow counts as such."""
        return not self._follows or self._taken == self._sent or self.ended.done()

    @property
    def asleep(self) -> bool:
        """Whether nothing but the clock will bring its events on."""
        if not self._follows or self._taken != self._sent or self._due_ms is None:
            return False
        quiet = self._loop.time() - self._since > QUIET_S
        return not self._besides or (self._besides == "sockets" and quiet)

    def _received(self, frame: tuple[Any, ...]) -> None:
        kind = frame[0]
        if kind == frames.WAITING:
            _, due_ms, self._taken, besides = frame
            if (due_ms, besides) != (self._due_ms, self._besides):  # else it has only heard of the time
                self._due_ms, self._besides = due_ms, besides
                self._stirred()
            self._plan()
            self._clocks.news.set()
            return
        self._stirred()
        if kind == frames.CALL:
            self._taken = -1  # it is awake, and will say so when it has its answer
        super()._received(frame)
        if kind == frames.DONE:
            self._plan()
            self._clocks.news.set()

    def _stirred(self) -> None:
        self._since = self._loop.time()

    def _plan(self) -> None:
        if self._taken != self._sent or self._clock.ahead_ms is not None or self.ended.done():
            return
        # A timer without an event is upkeep: it is no work that somebody waits for.
        planned = None if self._due_ms is None else (self._due_ms, bool(self.events))
        if planned == self._planned:
            return
        self._forget_timer()
        self._planned = planned
        if planned is not None:
            self._timer = self._clock.call_at(planned[0], self._wake, recurring=not planned[1])

    def _wake(self) -> None:
        self._forget_timer()
        self._tell()

    def _forget_timer(self) -> None:
        timer, self._timer, self._planned = self._timer, None, None
        if timer is not None:
            timer.cancel()

    def _gone(self, _: object) -> None:
        self._forget_timer()
        self._clocks.news.set()
