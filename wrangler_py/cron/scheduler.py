"""Fires cron expressions on a clock.

One timer stands at the earliest next fire of all (worker, expression) pairs. A tick starts one run for every expression
that is due, each in a task of its own, so that runs may overlap as they do in production; `scheduledTime` is the planned
minute, whenever the run begins. Nothing is retried: Cloudflare promises no retry of a scheduled event.

Ticks that come more than a minute late (the laptop slept, the process was stopped) were missed: they are announced and
skipped, or with `catch_up` made up for one after another in planned order.

The scheduler knows no runtime. It is handed `run(worker, cron, scheduled_ms)`, which also enforces the wall time limit.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from itertools import takewhile
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import Struct

from wrangler_py.clock import Clock, Timer
from wrangler_py.cron.advice import CronProblem, accept
from wrangler_py.cron.expression import CronExpression, Dialect
from wrangler_py.cron.limits import CATCH_UP_RUNS, MISSED_AFTER_MS
from wrangler_py.cron.schedule import MINUTE_MS, QuickSchedule, Schedule
from wrangler_py.events.log import EventLog
from wrangler_py.events.trace import Span, current_span, within

#: Why a run was started.
Trigger = Literal["clock", "catch-up", "manual", "backfill"]


class Outcome(Protocol):
    """What became of a run; `outcome` in workerd's names ("ok", "exception", "exceededWallTime", ...)."""

    @property
    def outcome(self) -> str: ...
    @property
    def no_retry(self) -> bool: ...
    @property
    def error(self) -> str | None: ...


Run = Callable[[str, str, int], Awaitable[Outcome]]


class Upcoming(NamedTuple):
    """The next planned run of one expression; `next_ms` None if it never fires."""

    worker: str
    cron: str
    next_ms: int | None


class RunFailed(Struct, frozen=True):
    """The outcome of a run that `run` itself could not carry out."""

    error: str
    outcome: str = "internalError"
    no_retry: bool = False


class _Entry(Struct):
    worker: str
    expression: CronExpression
    schedule: Schedule
    quick: QuickSchedule
    due_ms: int | None = None

    @property
    def cron(self) -> str:
        return self.expression.source


class CronScheduler:
    """The crons of one session. All methods belong to the event loop's thread.

    Events (times in ms): `cron.fired` (run, worker, cron, scheduled_ms, trigger), `cron.finished` (those, and started_ms,
    ms, outcome, no_retry, error), `cron.missed` (worker, cron, count, first_ms, last_ms, skipped), `cron.skipped`
    (worker, cron, scheduled_ms, reason), `cron.rejected` (worker, cron, error, code), `cron.paused`, `cron.resumed`.
    `run` numbers the runs of a session; `ms` is real time, whatever the clock does.
    """

    def __init__(
        self, clock: Clock, run: Run, events: EventLog, *, catch_up: bool = False, dialect: Dialect = "intended"
    ) -> None:
        self._clock = clock
        self._run = run
        self._events = events
        self._catch_up = catch_up
        self._dialect: Dialect = dialect
        self._entries: dict[str, list[_Entry]] = {}
        self._timer: Timer | None = None
        self._running = False
        self._paused = False
        self._runs: set[asyncio.Task[object]] = set()
        self._numbers = itertools.count(1)
        self._backlog: deque[tuple[_Entry, int, Trigger]] = deque()
        self._catching_up: asyncio.Task[object] | None = None

    # What to fire -----------------------------------------------------------------------------------------------------

    def set_crons(self, worker: str, expressions: Iterable[str]) -> list[CronProblem]:
        """Replace the worker's expressions; none removes it. Returns what production would refuse, which never fires.

        What is due under the old expressions is fired first, and one that stays keeps its place, so that a reload
        within the minute neither fires a tick twice nor loses it.
        """
        if self._running:
            self._tick()
        now_ms = self._clock.now_ms()
        kept = {entry.cron: entry for entry in self._entries.pop(worker, [])}
        accepted, problems = accept(expressions, self._dialect)
        entries: list[_Entry] = []
        for expression in accepted:
            entry = kept.get(expression.source)
            if entry is None:
                entry = _Entry(worker, expression, Schedule(expression), QuickSchedule(expression))
                if self._running:
                    entry.due_ms = entry.quick.next_after(now_ms)
            entries.append(entry)
        if entries:
            self._entries[worker] = entries
        for problem in problems:
            self._events.emit(
                "cron.rejected", worker=worker, cron=problem.expression, error=problem.text, code=problem.code
            )
        self._arm()
        return problems

    def upcoming(self) -> list[Upcoming]:
        """The next run of every expression, in the order they were set. Answers before `start` too."""
        now_ms = self._clock.now_ms()
        return [
            Upcoming(entry.worker, entry.cron, entry.due_ms if self._running else entry.quick.next_after(now_ms))
            for entry in self._all()
        ]

    # Start and stop ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Fire from the next minute on. Needs a running event loop."""
        self._running = True
        self.reschedule()

    def reschedule(self) -> None:
        """Plan anew from the present, e.g. after the clock was set back. Nothing is counted as missed."""
        if not self._running:
            return
        now_ms = self._clock.now_ms()
        for entry in self._all():
            # Not through croniter, whose import would take a tenth of a session's start.
            entry.due_ms = entry.quick.next_after(now_ms)
        self._arm()

    @property
    def paused(self) -> bool:
        """Whether ticks are skipped at present."""
        return self._paused

    def pause(self) -> None:
        """Let ticks pass by, each announced as `cron.skipped`, until `resume`."""
        if not self._paused:
            self._paused = True
            self._events.emit("cron.paused")

    def resume(self) -> None:
        """Fire again from the next tick on."""
        if self._paused:
            self._paused = False
            self._events.emit("cron.resumed")

    @property
    def active(self) -> int:
        """Runs that the clock started and that have not ended."""
        return len(self._runs)

    async def idle(self) -> None:
        """Wait until no run that the clock started is left."""
        while self._runs:
            await asyncio.wait(self._runs)

    async def close(self, grace_s: float = 0) -> None:
        """Fire no more; give running runs `grace_s` seconds of real time to end, then cancel them."""
        self._running = False
        self._backlog.clear()
        self._arm()
        if self._runs and grace_s > 0:
            await asyncio.wait(self._runs, timeout=grace_s)
        for task in self._runs:
            task.cancel()
        await self.idle()

    # Firing -----------------------------------------------------------------------------------------------------------

    def new_run(self) -> int:
        """A number for a run that is about to be fired."""
        return next(self._numbers)

    async def fire(
        self,
        worker: str,
        cron: str,
        scheduled_ms: int,
        trigger: Trigger = "manual",
        *,
        run: Run | None = None,
        number: int | None = None,
    ) -> Outcome:
        """Run once, announced like a tick. `cron` may be any text, as with the trigger endpoints. `run`: carry it out in
        another way; `number`: one from `new_run`."""
        particulars = {
            "run": number or self.new_run(),
            "worker": worker,
            "cron": cron,
            "scheduled_ms": scheduled_ms,
            "trigger": trigger,
        }
        caller = current_span.get()  # a request of one of the trigger endpoints
        span = Span("cron", cron, *((caller.trace, caller.id) if caller is not None else ()))
        self._events.emit("cron.fired", **particulars, span=span)
        started_ms = self._clock.now_ms()
        begun = time.perf_counter()
        outcome: Outcome = RunFailed("the run was canceled", "canceled")
        try:
            with within(span):
                outcome = await (run or self._run)(worker, cron, scheduled_ms)
        except Exception as error:  # `run` reports what user code does; this is its own failure, and other crons go on
            outcome = RunFailed(f"{type(error).__name__}: {error}")
        finally:
            self._events.emit(
                "cron.finished",
                **particulars,
                started_ms=started_ms,
                ms=round((time.perf_counter() - begun) * 1000),
                outcome=outcome.outcome,
                no_retry=outcome.no_retry,
                error=outcome.error,
                span=span,
            )
        return outcome

    def _all(self) -> Iterable[_Entry]:
        return (entry for entries in self._entries.values() for entry in entries)

    def _arm(self) -> None:
        """Put the one timer where the earliest fire is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [entry.due_ms for entry in self._all() if entry.due_ms is not None]
        if self._running and due:
            self._timer = self._clock.call_at(min(due), self._wake, recurring=True, event=True)

    def _wake(self) -> None:
        self._timer = None
        self._tick()
        self._arm()

    def _tick(self) -> None:
        """Start everything that is due, in planned order."""
        now_ms = self._clock.now_ms()
        on_time: list[tuple[int, _Entry]] = []
        missed: list[tuple[int, _Entry]] = []
        for entry in self._all():
            for planned_ms in self._take_due(entry, now_ms):
                (missed if now_ms - planned_ms > MISSED_AFTER_MS else on_time).append((planned_ms, entry))
        on_time.sort(key=_planned)
        missed.sort(key=_planned)
        made_up = missed[-CATCH_UP_RUNS:] if self._catch_up and not self._paused else []
        if missed:
            self._announce_missed(missed, len(missed) - len(made_up))
        if self._paused:
            for planned_ms, entry in on_time:
                self._events.emit(
                    "cron.skipped", worker=entry.worker, cron=entry.cron, scheduled_ms=planned_ms, reason="paused"
                )
        elif made_up:
            # The ticks of this very wake-up queue behind what was missed, so that the order is kept.
            self._backlog += [(entry, planned_ms, "catch-up") for planned_ms, entry in made_up]
            self._backlog += [(entry, planned_ms, "clock") for planned_ms, entry in on_time]
            if self._catching_up is None:
                self._catching_up = self._start(self._work_off_backlog())
        else:
            for planned_ms, entry in on_time:
                self._start(self.fire(entry.worker, entry.cron, planned_ms, "clock"))

    def _take_due(self, entry: _Entry, now_ms: int) -> list[int]:
        """The entry's planned minutes up to now, and its next one planned. From the planned minute: nothing drifts."""
        first_ms = entry.due_ms
        if first_ms is None or first_ms > now_ms:
            return []
        entry.due_ms = entry.schedule.next_after(now_ms)
        if now_ms - first_ms < MINUTE_MS:
            return [first_ms]
        return [first_ms, *takewhile(lambda planned_ms: planned_ms <= now_ms, entry.quick.iter_after(first_ms))]

    def _announce_missed(self, missed: list[tuple[int, _Entry]], skipped: int) -> None:
        """One event for each expression. The oldest `skipped` of all will not be made up for."""
        for entry in self._all():
            mine = [(place, planned_ms) for place, (planned_ms, owner) in enumerate(missed) if owner is entry]
            if mine:
                self._events.emit(
                    "cron.missed",
                    worker=entry.worker,
                    cron=entry.cron,
                    count=len(mine),
                    first_ms=mine[0][1],
                    last_ms=mine[-1][1],
                    skipped=sum(place < skipped for place, _ in mine),
                )

    async def _work_off_backlog(self) -> None:
        try:
            while self._backlog:
                entry, planned_ms, trigger = self._backlog.popleft()
                await self.fire(entry.worker, entry.cron, planned_ms, trigger)
        finally:
            self._catching_up = None

    def _start(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = asyncio.get_running_loop().create_task(work)
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)
        return task


def _planned(slot: tuple[int, _Entry]) -> int:
    return slot[0]
