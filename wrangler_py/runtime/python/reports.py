"""What a Python worker's processes say of themselves, as events of the session."""

from __future__ import annotations

import asyncio

from wrangler_py.events.log import EventLog
from wrangler_py.runtime.python.pending import PendingEvent


class WorkerReports:
    """The reports of one worker."""

    def __init__(self, worker: str, events: EventLog) -> None:
        self._worker = worker
        self._events = events

    def printed(self, label: str, level: str, text: str) -> None:
        self._events.emit("worker.printed", worker=self._worker, event=label, level=level, text=text)

    def tasks_told(self, event: PendingEvent, over: tuple[str, str | None] | None) -> None:
        """The waitUntil work of an event has begun, or is over: (outcome, error)."""
        assert event.tasks is not None
        span, since = event.tasks
        if over is None:
            self._events.emit("task.started", worker=self._worker, span=span)
        else:
            ms = round((asyncio.get_running_loop().time() - since) * 1000)
            self._events.emit("task.finished", worker=self._worker, ms=ms, outcome=over[0], error=over[1], span=span)

    def debugged(self, label: str, begins: bool, where: str) -> None:
        """A prompt of pdb has appeared, or is gone."""
        kind = "worker.breakpoint" if begins else "worker.continued"
        self._events.emit(kind, worker=self._worker, event=label, where=where)

    def blocked(self, label: str, seconds: float, where: str) -> None:
        self._events.emit("worker.blocked", worker=self._worker, event=label, seconds=seconds, where=where)
