"""How a test waits for what its workers do: while they only sleep, the clock moves on; what never ends is told with its place."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from wrangler_py.testing.errors import HandlerHung

if TYPE_CHECKING:
    from wrangler_py.clock import SessionClock
    from wrangler_py.testing.emulation import Emulation

__tracebackhide__ = True

T = TypeVar("T")

#: How often an event that sleeps is looked at (seconds of real time).
_LOOK_S = 0.01


class Driver:
    """Waits for the events of one emulation. `timeout_s`: how long nothing may happen, in seconds of real time."""

    def __init__(self, test: str, emulation: Emulation, clock: SessionClock, timeout_s: float) -> None:
        self._test = test
        self._emulation = emulation
        self._clock = clock
        self._timeout_s = timeout_s

    async def drive(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for an event; while it only sleeps, move the clock to what it waits for. Raises HandlerHung."""
        task = asyncio.ensure_future(work)
        news = self._emulation.host.clocks.news
        since = time.monotonic()
        try:
            while not task.done():
                if news.is_set():
                    since = time.monotonic()
                news.clear()
                waiting = asyncio.ensure_future(news.wait())
                # While something sleeps it is looked at again: what it waits for beside the clock tells nobody.
                again = _LOOK_S if self._emulation.hub.timers else self._timeout_s
                await asyncio.wait((task, waiting), timeout=again, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if task.done():
                    break
                if await self._sleeps():
                    await self._clock.next()
                elif time.monotonic() - since >= self._timeout_s:
                    text = self._hung()
                    for process in self._emulation.processes():
                        process.kill("a handler did not end")
                    raise HandlerHung(text)
        finally:
            if not task.done():
                task.cancel()
        return task.result()

    async def settle(self) -> None:
        """Wait until all that has begun is over, moving the clock where handlers sleep."""
        emulator = self._emulation.emulator
        assert emulator is not None
        while True:
            await emulator.clockwork.settled()
            if not await self._sleeps():
                break
            await self._clock.next()
        self.raise_troubles()

    async def as_event(self, worker: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run something as if a handler of a worker did it: by the test's clock, able to block, its tasks kept apart."""
        from wrangler_py.runtime.worker import logs
        from wrangler_py.runtime.worker.context import Event as WorkerEvent

        process = self._emulation.runtime(worker).process
        assert process is not None
        context = process.frames_context.copy()
        context.run(logs.current_event.set, WorkerEvent(next(self._emulation.host.numbers)))
        return await asyncio.get_running_loop().create_task(make(), context=context)

    async def left(self) -> str | None:
        """What still runs, in words. Batches that have begun get a moment to end by themselves."""
        emulator = self._emulation.emulator
        assert emulator is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                await emulator.clockwork.settled()
        running = [f"{label} (at {where})" for label, where in self._running()]
        if not running:
            return None
        return (
            f"{self._test} ended while this was still running: {', '.join(running)}. Let it end: "
            "`await wpy.clock.run_until_idle()` moves the clock over what it waits for. Or allow it: "
            '@pytest.mark.wpy(leftovers="allow").'
        )

    def raise_troubles(self) -> None:
        """Raises HandlerHung for a handler that did not end."""
        host = self._emulation.host
        if host.troubles:
            troubles, host.troubles = host.troubles, []
            raise HandlerHung(f"In {self._test}: {troubles[0]}")

    async def _sleeps(self) -> bool:
        """Whether nothing goes on until the clock is moved, and an event waits for that."""
        hub = self._emulation.hub
        for _ in range(3):
            await asyncio.sleep(0)
            if not hub.quiet:
                return False
        return any(event is not None for event in hub.timers)

    def _running(self) -> list[tuple[str, str]]:
        """The events that run, each with where it waits."""
        return [
            (event.label, process.where(number))
            for process in self._emulation.processes()
            for number, event in process.events.items()
        ]

    def _hung(self) -> str:
        running = [f"{label} waits at {where}" for label, where in self._running()]
        return (
            f"{self._test}: nothing has happened for {self._timeout_s:g} s of real time, and this did not end: "
            f"{'; '.join(running) or '?'}. Something that it awaits never comes: look at that line, or give it longer with "
            "`wpy_timeout = SECONDS` in pytest's settings or @pytest.mark.wpy(timeout=SECONDS)."
        )
