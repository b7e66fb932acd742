"""Alarms of Durable Objects: when each is due on the session's clock, and what follows when its handler fails.

The objects themselves keep their alarms; a worker's process tells them all when it takes over its objects, and every change
after that. What is kept here is how often each has been tried. An alarm runs at least once: it is forgotten when its handler
has returned, or after the last retry.

Events: `alarm.scheduled` (due_ms), `alarm.started` (retry), `alarm.finished` (ms), `alarm.retrying` (retry, delay_s, error),
`alarm.gave_up` (retries, error), `alarm.canceled`; all with worker, class_name, id, name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from wrangler_py.clock import Clock, Timer
from wrangler_py.durable_objects import limits
from wrangler_py.events.log import EventLog
from wrangler_py.events.trace import Span, within

#: (class, id, name or None, time as the object has it or None, due on the session's clock or None); both None: no alarm.
AlarmChange = tuple[str, str, str | None, int | None, int | None]


class AlarmOutcome(Struct, frozen=True):
    """What became of one call of `alarm()`.

    "ok"; "failed": it raised, and is to be tried again; "replaced": it raised after it had set another alarm; "none" and
    "moved": the object has no alarm any more, or a later one, and nothing was called.
    """

    outcome: str
    error: str | None = None


class Alarm(Struct):
    """One object's alarm."""

    worker: str
    class_name: str
    id: str
    name: str | None
    #: As the object has set it (ms), and on the session's clock.
    time_ms: int
    due_ms: int
    #: How often it has failed.
    failures: int = 0
    running: bool = False
    timer: Timer | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.worker, self.class_name, self.id

    def as_json(self) -> dict[str, Any]:
        return {
            "worker": self.worker,
            "class": self.class_name,
            "id": self.id,
            "name": self.name,
            "scheduledTime": self.time_ms,
            "due": self.due_ms,
            "attempts": self.failures,
            "running": self.running,
        }


class AlarmWorkers(Protocol):
    """How the scheduler reaches the objects."""

    async def run(self, alarm: Alarm) -> AlarmOutcome:
        """Call the object's `alarm()`. Never raises for what user code does."""
        ...

    async def drop(self, alarm: Alarm) -> None:
        """Make the object forget its alarm."""
        ...


class AlarmScheduler:
    """Fires the alarms of all objects of a session."""

    def __init__(self, clock: Clock, events: EventLog, workers: AlarmWorkers) -> None:
        self._clock = clock
        self._events = events
        self._workers = workers
        self._alarms: dict[tuple[str, str, str], Alarm] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    # What the objects say -------------------------------------------------------------------------------------------

    def opened(self, worker: str, alarms: Sequence[AlarmChange]) -> None:
        """A process has taken over a worker's objects: these are all alarms that they have."""
        told = {(worker, change[0], change[1]) for change in alarms}
        for key in [key for key in self._alarms if key[0] == worker and key not in told]:
            self._forget(self._alarms[key])
        self.moved(worker, alarms, announce=False)

    def moved(self, worker: str, changes: Sequence[AlarmChange], *, announce: bool = True) -> None:
        """Objects have set or deleted their alarms."""
        for class_name, object_id, name, time_ms, due_ms in changes:
            known = self._alarms.get((worker, class_name, object_id))
            if time_ms is None or due_ms is None:
                if known is not None and not known.running:
                    self._forget(known)
                elif known is not None:
                    known.time_ms = -1  # its handler has done so, or is about to return
                continue
            if known is not None and known.time_ms == time_ms and known.failures:
                continue  # it waits for its retry
            if known is None:
                known = Alarm(worker, class_name, object_id, name, time_ms, due_ms)
                self._alarms[known.key] = known
            known.time_ms, known.due_ms, known.name, known.failures = time_ms, due_ms, name or known.name, 0
            if not known.running:
                self._plan(known)
            if announce:
                self._emit("alarm.scheduled", known, due_ms=due_ms)

    # Firing -----------------------------------------------------------------------------------------------------------

    def _plan(self, alarm: Alarm) -> None:
        if alarm.timer is not None:
            alarm.timer.cancel()
        alarm.timer = None if self._closed else self._clock.call_at(alarm.due_ms, lambda: self._fire(alarm))

    def _fire(self, alarm: Alarm) -> asyncio.Task[AlarmOutcome] | None:
        if alarm.timer is not None:
            alarm.timer.cancel()
            alarm.timer = None
        if alarm.running or self._closed:
            return None
        alarm.running = True
        task = asyncio.get_running_loop().create_task(self._run(alarm))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, alarm: Alarm) -> AlarmOutcome:
        with within(Span("alarm", f"{alarm.class_name} {alarm.name or alarm.id[:8]}")):
            return await self._run_in_span(alarm)

    async def _run_in_span(self, alarm: Alarm) -> AlarmOutcome:
        tried_ms = alarm.time_ms
        started = time.perf_counter()
        span = Span("alarm", f"alarm {alarm.class_name} {alarm.name or alarm.id[:8]}")
        self._emit("alarm.started", alarm, retry=alarm.failures, span=span)
        with within(span):
            outcome = await self._workers.run(alarm)
        ms = round((time.perf_counter() - started) * 1000)
        alarm.running = False
        if self._closed:
            return outcome
        if outcome.outcome == "failed":
            await self._failed(alarm, outcome.error or "", ms, span)
            return outcome
        if outcome.outcome == "ok":
            self._emit("alarm.finished", alarm, retry=alarm.failures, ms=ms, span=span)
        elif outcome.outcome == "replaced":
            self._emit("alarm.failed", alarm, retry=alarm.failures, error=outcome.error, ms=ms, span=span)
        if alarm.time_ms in (tried_ms, -1):
            self._forget(alarm)
        else:
            alarm.failures = 0
            self._plan(alarm)
        return outcome

    async def _failed(self, alarm: Alarm, error: str, ms: int, span: Span) -> None:
        alarm.failures += 1
        if alarm.failures <= limits.MAX_RETRIES:
            delay_s = limits.retry_delay_s(alarm.failures)
            alarm.due_ms = self._clock.now_ms() + round(delay_s * 1000)
            self._plan(alarm)
            self._emit("alarm.retrying", alarm, retry=alarm.failures, delay_s=delay_s, error=error, ms=ms, span=span)
            return
        self._forget(alarm)
        self._emit("alarm.gave_up", alarm, retries=limits.MAX_RETRIES, error=error, ms=ms, span=span)
        await self._workers.drop(alarm)

    def _forget(self, alarm: Alarm) -> None:
        if alarm.timer is not None:
            alarm.timer.cancel()
            alarm.timer = None
        if self._alarms.get(alarm.key) is alarm:
            del self._alarms[alarm.key]

    def _emit(self, kind: str, alarm: Alarm, **fields: Any) -> None:
        self._events.emit(
            kind, worker=alarm.worker, class_name=alarm.class_name, id=alarm.id, name=alarm.name, **fields
        )

    # By hand ----------------------------------------------------------------------------------------------------------

    def all(self) -> list[Alarm]:
        """All alarms, the next one first."""
        return sorted(self._alarms.values(), key=lambda alarm: (alarm.due_ms, alarm.key))

    def find(self, worker: str, class_name: str, object_id: str) -> Alarm:
        """Raises LookupError when there is no such alarm."""
        return self._alarms[worker, class_name, object_id]

    async def run_now(self, alarm: Alarm) -> AlarmOutcome | None:
        """Run an alarm before its time; what became of it. None: it runs already."""
        task = self._fire(alarm)
        return None if task is None else await task

    async def cancel(self, alarm: Alarm) -> None:
        """Make the object forget its alarm."""
        self._forget(alarm)
        await self._workers.drop(alarm)
        self._emit("alarm.canceled", alarm)

    # The session's clock ------------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """How many handlers run now."""
        return len(self._tasks)

    async def idle(self) -> None:
        """Wait until no handler runs."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self, grace_s: float) -> None:
        """Fire nothing more; what runs gets `grace_s` seconds."""
        self._closed = True
        for alarm in self._alarms.values():
            if alarm.timer is not None:
                alarm.timer.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_s)
        for task in self._tasks:
            task.cancel()
