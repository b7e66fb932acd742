"""`wpy.clock`: the one clock that everything goes by. It stands until the test moves it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from wrangler_py.session.times import IDLE_LIMIT_S, MAX_ADVANCE_S, iso
from wrangler_py.testing.errors import ClockBackwards, KitError
from wrangler_py.testing.values import Moment, Span, as_datetime, moment_ms, seconds

if TYPE_CHECKING:
    from wrangler_py.testing.kit import Wpy

__tracebackhide__ = True


class TestClock:
    """The clock of a test. Everything that is due on the way fires in its order, each at its own time."""

    __test__ = False

    def __init__(self, wpy: Wpy) -> None:
        self._wpy = wpy

    def now(self) -> datetime:
        """What it shows: an aware datetime in UTC."""
        return as_datetime(self.now_ms)

    @property
    def now_ms(self) -> int:
        """What it shows, in ms since the epoch."""
        return self._wpy.session_clock.now_ms()

    def __str__(self) -> str:
        return iso(self.now_ms)

    def freeze(self, at: Moment | None = None) -> None:
        """Show `at` without firing anything on the way. It stands still anyway. Raises ClockBackwards."""
        if at is None:
            return
        at_ms = moment_ms(at)
        self._check(at_ms)
        clock = self._wpy.session_clock
        clock._step_to(at_ms)
        self._wpy.clock_was_set()

    async def advance(self, span: Span) -> None:
        """Move ahead by a span ("30s", "1h30m", seconds, a timedelta)."""
        length = seconds(span)
        if length < 0:
            raise ClockBackwards(self._text(f"cannot go back by {-length:g} s"))
        if length > MAX_ADVANCE_S:
            raise KitError(f"{span!r} is more than ten years.")
        await self._wpy.start()
        await self._wpy.guard(self._wpy.session_clock.advance(length))

    async def advance_to(self, at: Moment) -> None:
        """Move ahead to a moment."""
        at_ms = moment_ms(at)
        self._check(at_ms)
        await self._wpy.start()
        await self._wpy.guard(self._wpy.session_clock.advance_to(at_ms))

    async def next_event(self) -> datetime | None:
        """Move to the next thing that happens (a batch, a cron, an alarm, a timer of a handler) and let it happen.
        None: nothing is planned."""
        await self._wpy.start()
        at_ms = await self._wpy.guard(self._wpy.session_clock.next())
        return None if at_ms is None else as_datetime(at_ms)

    async def run_until_idle(self, limit: Span = IDLE_LIMIT_S) -> None:
        """Move on until nothing is left to happen but what comes for ever (crons).

        Raises KitError when there is still something after `limit`, e.g. a message that is retried for ever.
        """
        await self._wpy.start()
        idle = await self._wpy.guard(self._wpy.session_clock.run_until_idle(round(seconds(limit) * 1000)))
        if not idle:
            raise KitError(
                f"The project was not idle after {limit if isinstance(limit, str) else f'{seconds(limit):g} s'} of its "
                "clock: something plans itself again and again (a message that is sent anew by its own consumer?). "
                f"See the timeline, or give a longer limit.\n\n{self._wpy.report()}"
            )

    def upcoming(self) -> datetime | None:
        """When the next thing happens; None: nothing is planned."""
        at_ms = self._wpy.session_clock.next_event_ms()
        return None if at_ms is None else as_datetime(at_ms)

    @contextmanager
    def real(self) -> Iterator[None]:
        """Let the clock run with the wall clock inside of the block, from where it stands."""
        clock = self._wpy.session_clock
        clock.resume()
        try:
            yield
        finally:
            clock.freeze()

    def _check(self, at_ms: int) -> None:
        if at_ms < self.now_ms:
            raise ClockBackwards(self._text(f"cannot go back to {iso(at_ms)}"))

    def _text(self, what: str) -> str:
        return (
            f"The clock shows {self} and {what}. Start the test earlier instead: "
            f'@pytest.mark.wpy(clock="2026-01-01T00:00:00Z") on {self._wpy.name}.'
        )
