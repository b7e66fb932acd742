"""The session's crons: fired on the clock, run by hand, and said aloud."""

from __future__ import annotations

import asyncio
from typing import Any

from wrangler_py.clock import Clock
from wrangler_py.config.model import SessionConfig
from wrangler_py.cron.runs import RunHistory, RunRecord, RunTable
from wrangler_py.cron.scheduler import CronScheduler, Run, Trigger
from wrangler_py.events.log import EventLog
from wrangler_py.runtime.base import ScheduledOutcome
from wrangler_py.session.hosted_workers import HostedWorker, WorkerSet
from wrangler_py.session.times import iso
from wrangler_py.store.database import Store


class SessionCrons:
    """Hands cron ticks to the workers of a session."""

    def __init__(
        self, workers: WorkerSet, clock: Clock, events: EventLog, store: Store, *, on: bool, catch_up: bool = False
    ) -> None:
        self._workers = workers
        self._clock = clock
        self._events = events
        self._on = on
        self._scheduler = CronScheduler(clock, self._fire, events, catch_up=catch_up)
        self._table = RunTable(store)
        self._table.prepare()
        self._history = RunHistory(events, self._table)
        self._names: set[str] = set()
        self._by_hand: set[asyncio.Task[ScheduledOutcome]] = set()

    def set_config(self, config: SessionConfig) -> None:
        """Use the crons of this config from now on. What production would refuse is announced and never fires."""
        wanted = {worker.name: worker.crons for worker in config.workers}
        for name in self._names - wanted.keys():
            self._scheduler.set_crons(name, ())
        for name, crons in wanted.items():
            self._scheduler.set_crons(name, crons)
        self._names = set(wanted)

    def start(self) -> None:
        """Fire from the next minute on, unless crons are off."""
        if self._on:
            self._scheduler.start()

    def reschedule(self) -> None:
        """The clock was set: plan anew from what it shows."""
        self._scheduler.reschedule()

    # What there is ------------------------------------------------------------------------------------------------

    def upcoming(self) -> list[tuple[str, str, int | None]]:
        """(worker, expression, next run in ms or None for never) for every cron."""
        return [(u.worker, u.cron, u.next_ms) for u in self._scheduler.upcoming()]

    def describe(self) -> dict[str, Any]:
        """The crons with their next runs, for the control API."""
        now_ms = self._clock.now_ms()
        return {
            "on": self._on,
            "paused": self._scheduler.paused,
            "now": iso(now_ms),
            "nowMs": now_ms,
            "workers": self.worker_names(),
            "crons": [
                {"worker": worker, "cron": cron, "next": None if next_ms is None else iso(next_ms), "nextMs": next_ms}
                for worker, cron, next_ms in self.upcoming()
            ],
        }

    def worker_names(self) -> list[str]:
        """The names of the session's workers."""
        return [worker.config.name for worker in self._workers.all()]

    def history(self) -> list[RunRecord]:
        """The last runs that the state folder knows of, newest first. Raises sqlite3.Error."""
        return self._table.latest()

    # Pausing --------------------------------------------------------------------------------------------------------

    @property
    def on(self) -> bool:
        """Whether the clock fires crons in this session at all."""
        return self._on

    @property
    def paused(self) -> bool:
        """Whether ticks pass by without a run."""
        return self._scheduler.paused

    def pause(self) -> None:
        """Let ticks pass by until `resume`."""
        self._scheduler.pause()

    def resume(self) -> None:
        """Fire again."""
        self._scheduler.resume()

    # Running --------------------------------------------------------------------------------------------------------

    async def idle(self) -> None:
        """Wait until no run that the clock started is left."""
        await self._scheduler.idle()

    @property
    def busy(self) -> bool:
        """Whether a run that the clock started goes on now. One that sleeps until the clock moves (`--worker-clock`) does
        not."""
        return self._scheduler.active > sum(worker.runtime.sleeping("scheduled") for worker in self._workers.all())

    def run_all(self) -> None:
        """Run every cron once, now (the hot key). Says so (`cron.none`) when there is none."""
        crons = self.upcoming()
        if not crons:
            self._events.emit("cron.none")
        for worker, cron, _ in crons:
            task = asyncio.ensure_future(self.run(worker, cron, None, wait_until=True))
            self._by_hand.add(task)
            task.add_done_callback(self._by_hand.discard)

    async def run(self, worker: str | None, cron: str, time_ms: int | None, *, wait_until: bool) -> ScheduledOutcome:
        """One run by hand (RunScheduled of server/triggers.py). `time_ms` None: now. Raises LookupError for an unknown
        worker.

        Without `wait_until` it is wrangler's `/__scheduled`, which passes over a worker without a handler in silence.
        """
        host = self._host(worker)
        if wait_until:
            outcome, _ = await self._run(host, cron, time_ms, "manual", self._fire)
            return outcome
        handlers = host.runtime.handlers
        if handlers and "scheduled" not in handlers:
            return ScheduledOutcome(handler=False)
        outcome, _ = await self._run(host, cron, time_ms, "manual", self._fire_without_wait)
        return outcome

    async def trigger(self, worker: str | None, cron: str, time_ms: int | None, trigger: Trigger) -> RunRecord:
        """One run by hand, to its end, as the history notes it. Raises as `run`."""
        _, number = await self._run(self._host(worker), cron, time_ms, trigger, self._fire)
        record = self._history.run(number)
        assert record is not None, "a run that has ended is noted"
        return record

    async def _run(
        self, host: HostedWorker, cron: str, time_ms: int | None, trigger: Trigger, run: Run
    ) -> tuple[ScheduledOutcome, int]:
        number = self._scheduler.new_run()
        scheduled_ms = self._clock.now_ms() if time_ms is None else time_ms
        outcome = await self._scheduler.fire(host.config.name, cron, scheduled_ms, trigger, run=run, number=number)
        if isinstance(outcome, ScheduledOutcome):
            return outcome, number
        return ScheduledOutcome(outcome.outcome, outcome.no_retry, outcome.error), number

    def _host(self, name: str | None) -> HostedWorker:
        for worker in self._workers.all():
            if name is None or worker.config.name == name:
                return worker
        raise LookupError(name)

    async def _fire(self, worker: str, cron: str, scheduled_ms: int) -> ScheduledOutcome:
        return await self._call(worker, cron, scheduled_ms, wait_until=True)

    async def _fire_without_wait(self, worker: str, cron: str, scheduled_ms: int) -> ScheduledOutcome:
        return await self._call(worker, cron, scheduled_ms, wait_until=False)

    async def _call(self, worker: str, cron: str, scheduled_ms: int, *, wait_until: bool) -> ScheduledOutcome:
        try:
            runtime = self._host(worker).runtime
        except LookupError:  # the config dropped the worker a moment ago
            return ScheduledOutcome("scriptNotFound", error=f'no worker "{worker}" in this session')
        if runtime.broken is not None:  # it would wait until the code is mended, and the clock with it
            return ScheduledOutcome("exception", error=runtime.broken)
        return await runtime.scheduled(cron, scheduled_ms, wait_until=wait_until)

    async def close(self, grace_s: float) -> None:
        """Fire no more; give running runs a moment. Those that HTTP has begun end with their worker, and are noted too."""
        await asyncio.gather(self._scheduler.close(grace_s), self._close_by_hand(grace_s))

    async def _close_by_hand(self, grace_s: float) -> None:
        if self._by_hand:
            await asyncio.wait(self._by_hand, timeout=grace_s)
        for task in self._by_hand:
            task.cancel()
