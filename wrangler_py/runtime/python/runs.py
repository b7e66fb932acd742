"""The `run()` of a workflow's instance in a worker's process."""

from __future__ import annotations

import asyncio
from typing import Any

from wrangler_py.runtime.base import RemoteError, WorkerError
from wrangler_py.runtime.python.pending import PendingEvent, ProcessEnded
from wrangler_py.runtime.python.process import WorkerProcess


class WorkflowRun:
    """One of them, from its start to its end, or until it is given up."""

    def __init__(self, process: WorkerProcess, number: int, event: PendingEvent) -> None:
        self._process = process
        self._number = number
        self._event = event
        #: Done when another process has taken the place of this one.
        self.superseded: asyncio.Future[None] = process.superseded

    async def result(self) -> Any:
        """What it returns (a wire value). Raises RemoteError for what it raises, WorkerError when the process ends."""
        try:
            result = await self._event.returned
        except ProcessEnded as error:
            raise WorkerError(error.reason) from None
        if "thrown" in result:
            raise RemoteError(result["thrown"])
        return result["value"]

    def abandon(self) -> None:
        """Nobody waits for it any more: the process may end without it."""
        self._process.drop_event(self._number)
