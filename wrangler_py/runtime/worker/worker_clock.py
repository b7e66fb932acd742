"""The worker's own clock follows the session's (`wpy dev --worker-clock`). Imported only when LOAD asks for it.

What code asks of the time (`datetime.now()`, `time.time()`, `Date.now()`) is answered by time-machine, which replaces the
functions themselves. What code waits for (`asyncio.sleep`, `time.sleep` in a handler, `setTimeout`) goes by the loop's
`time()`, which follows too: while the clock stands the loop waits without a limit, and says for when (WAITING), so that
the session can move on to that moment. `time.monotonic()` and what is built on it stay real.
"""

from __future__ import annotations

import asyncio
import math
import time
from datetime import timedelta
from typing import Any

from . import frames
from .connection import Connection
from .loop import MAX_SELECT_S, Hub, WebLoop

#: The session's clock counts milliseconds; what is due within a thousandth of one is due (seconds). More than a float
#: of many years' seconds errs by, so that a timer is due at the very moment that was announced for it.
_RESOLUTION_S = 1e-6


def start(hub: Hub, connection: Connection, calls: dict[int, Any], now: tuple[Any, ...]) -> WorkerClock | None:
    """Follow the session's clock from now on. None: this interpreter has no time-machine, and time stays real.

    `calls`: those that wait for an answer. `now`: the CLOCK frame that came before LOAD.
    """
    try:
        import time_machine
    except ImportError:
        return None
    return WorkerClock(hub, connection, calls, now, time_machine)


class WorkerClock:
    """What this process shows as the time, and how far its loop's time has come."""

    def __init__(
        self, hub: Hub, connection: Connection, calls: dict[int, Any], now: tuple[Any, ...], time_machine: Any
    ) -> None:
        self._hub = hub
        self._connection = connection
        self._calls = calls
        self._real_ns = time_machine.escape_hatch.time.time_ns
        self._traveller = time_machine.travel(0).start()
        #: The loop's time when it was last told the session's, and since when it runs (monotonic; None: it stands).
        self._at = time.monotonic()
        self._since: float | None = None
        self._stands_ms = now[1]
        self._ahead_ms: int | None = None
        self._taken = 0
        self._said: tuple[Any, ...] = ()
        self._threads = 0
        #: The loop's own file descriptors and the session's socket; any further one is the user's.
        self._own_sockets = len(hub._selector.get_map())
        self.follow(now)

        hub.time = self.loop_time  # type: ignore[method-assign]
        hub._clock_resolution = _RESOLUTION_S
        hub.wait_time = self._wait_time
        self._count_frames()
        self._count_threads()

    def _count_frames(self) -> None:
        on_frame = self._connection.on_frame

        def counted(frame: tuple[Any, ...]) -> None:
            self._taken += 1
            on_frame(frame)

        self._connection.on_frame = counted

    def _count_threads(self) -> None:
        run = asyncio.SelectorEventLoop.run_in_executor

        def run_in_executor(loop: WebLoop, executor: Any, func: Any, *args: Any) -> Any:
            future = run(loop, executor, func, *args)
            self._threads += 1
            future.add_done_callback(self._thread_done)
            return future

        WebLoop.run_in_executor = run_in_executor  # type: ignore[method-assign, assignment]

    def _thread_done(self, _: Any) -> None:
        self._threads -= 1

    # What it shows ----------------------------------------------------------------------------------------------------

    def _now_ms(self) -> float:
        return self._stands_ms if self._ahead_ms is None else self._real_ns() / 1e6 + self._ahead_ms

    def follow(self, frame: tuple[Any, ...]) -> None:
        """Show what a CLOCK frame says. The loop's time goes along ahead but never back: what waits, waits on."""
        before_ms, loop_time = self._now_ms(), self.loop_time()
        _, self._stands_ms, self._ahead_ms = frame
        self._at = loop_time + max(0.0, (self._now_ms() - before_ms) / 1000)
        runs = self._ahead_ms is not None
        self._since = time.monotonic() if runs else None
        now_us = (
            self._real_ns() // 1000 + self._ahead_ms * 1000 if self._ahead_ms is not None else self._stands_ms * 1000
        )
        seconds, microseconds = divmod(now_us, 1_000_000)
        # Not in one float, which would lose digits.
        self._traveller.move_to(seconds, tick=runs)
        self._traveller.shift(timedelta(microseconds=microseconds))
        self._traveller.time_ns()  # its ticking begins with the first question

    # What waits -------------------------------------------------------------------------------------------------------

    def loop_time(self) -> float:
        """What `loop.time()` gives (seconds)."""
        return self._at if self._since is None else self._at + (time.monotonic() - self._since)

    def _wait_time(self) -> float | None:
        """How long the loop may wait for its selector, with nothing to do at once (seconds of real time)."""
        timers = self._hub._scheduled
        left = timers[0]._when - self.loop_time() if timers else None
        if self._since is not None:
            return None if left is None else min(max(0.0, left), MAX_SELECT_S)
        if left is not None and left < _RESOLUTION_S:
            return 0
        self._say(None if left is None else self._stands_ms + math.ceil(left * 1000 - _RESOLUTION_S * 500))
        return None

    def _say(self, due_ms: int | None) -> None:
        if self._calls:  # their answers are on the way
            return
        sockets = len(self._hub._selector.get_map()) > self._own_sockets
        besides = "threads" if self._threads else "sockets" if sockets else ""
        said = (due_ms, self._taken, besides)
        if said != self._said:
            self._said = said
            self._connection.send(frames.WAITING, *said)
            self._connection.flush()
