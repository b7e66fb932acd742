"""Limits on what runs in a process, in real time; they stand still while user code stands at a breakpoint."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class TimeLimits:
    """The limits that run now."""

    def __init__(self) -> None:
        #: Whether user code stands at a breakpoint.
        self.debugging = False
        #: Each with the seconds that it has left while it stands still.
        self._timers: dict[asyncio.Timeout, float] = {}

    @contextlib.asynccontextmanager
    async def within(self, seconds: float | None) -> AsyncIterator[None]:
        """Raises TimeoutError after so many seconds of real time, those in a debugger not counted. None: never."""
        if seconds is None:
            yield
            return
        async with asyncio.timeout(seconds) as timer:
            self._timers[timer] = seconds
            if self.debugging:
                timer.reschedule(None)
            try:
                yield
            finally:
                del self._timers[timer]

    def debug(self, begins: bool) -> None:
        """A breakpoint begins, or ends."""
        if begins == self.debugging:
            return
        self.debugging = begins
        now = asyncio.get_running_loop().time()
        for timer in self._timers:
            if begins:
                self._timers[timer] = max(0.0, (timer.when() or now) - now)
                timer.reschedule(None)
            else:
                timer.reschedule(now + self._timers[timer])
