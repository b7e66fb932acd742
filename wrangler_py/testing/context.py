"""`wpy.ctx`: the ExecutionContext of handlers that a test calls itself."""

from __future__ import annotations

import asyncio
from typing import Any

from wrangler_py.runtime.worker.context import Event, ExecutionContext
from wrangler_py.testing.errors import KitError
from wrangler_py.testing.values import Span, seconds

__tracebackhide__ = True


class TestContext(ExecutionContext):
    """What `ctx` is to a handler, and its waitUntil work to the test."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__(Event(0))
        #: The work that was handed to waitUntil, in order.
        self.tasks: list[asyncio.Future[Any]] = []

    def waitUntil(self, awaitable: Any = None) -> None:
        before = set(self._event._pending)
        super().waitUntil(awaitable)
        self.tasks += [task for task in self._event._pending if task not in before]

    async def settle(self, timeout: Span = 10) -> None:
        """Wait until the waitUntil work is done, and raise what it raised. `timeout`: of real time."""
        limit = seconds(timeout)
        try:
            async with asyncio.timeout(limit):
                await self._event.idle()
        except TimeoutError:
            waiting = sum(not task.done() for task in self.tasks)
            raise KitError(f"{waiting} of {len(self.tasks)} waitUntil tasks did not end within {limit:g} s.") from None
        for task in self.tasks:
            task.result()

    def assert_no_pending(self) -> None:
        """Fail when waitUntil work is not done."""
        waiting = [task for task in self.tasks if not task.done()]
        if waiting:
            raise AssertionError(f"{len(waiting)} waitUntil tasks are not done: {waiting}")
