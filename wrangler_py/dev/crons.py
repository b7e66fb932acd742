"""The session's crons: fired on the clock, run by hand, and said aloud."""

from __future__ import annotations

import asyncio
from typing import Any

from wrangler_py.clock import Clock
from wrangler_py.config.model import SessionConfig
from wrangler_py.cron.runs import RunHistory, RunTable
from wrangler_py.cron.scheduler import CronScheduler
from wrangler_py.dev.workers import WorkerSet
from wrangler_py.events.record import EventLog
from wrangler_py.runtime.base import ScheduledOutcome
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
        table = RunTable(store)
        table.prepare()
        self._history = RunHistory(events, table)
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

    def upcoming(self) -> list[tuple[str, str, int | None]]:
        """(worker, expression, next run in ms or None for never) for every cron."""
        return [(u.worker, u.cron, u.next_ms) for u in self._scheduler.upcoming()]

    def describe(self) -> list[dict[str, Any]]:
        """Every cron with its next run, for the control API."""
        return [{"worker": worker, "cron": cron, "nextMs": next_ms} for worker, cron, next_ms in self.upcoming()]

    def worker_names(self) -> list[str]:
        """The names of the session's workers."""
        return [worker.config.name for worker in self._workers.all()]

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

    async def idle(self) -> None:
        """Wait until no run that the clock started is left."""
        await self._scheduler.idle()

    @property
    def busy(self) -> bool:
        """Whether a run that the clock started goes on now."""
        return self._scheduler.active > 0

    def run_all(self) -> None:
        """Run every cron once, now (the hot key)."""
        for worker, cron, _ in self.upcoming():
            task = asyncio.ensure_future(self.run(worker, cron, None, wait_until=True))
            self._by_hand.add(task)
            task.add_done_callback(self._by_hand.discard)

    async def run(self, worker: str | None, cron: str, time_ms: int | None, *, wait_until: bool) -> ScheduledOutcome:
        """One run by hand (RunScheduled of server/triggers.py). `time_ms` None: now. Raises LookupError for an unknown
        worker."""
        if time_ms is None:
            time_ms = self._clock.now_ms()
        runtime = self._workers.primary() if worker is None else self._workers.named(worker)
        if runtime is None:
            raise LookupError(worker)
        if wait_until:
            outcome = await self._scheduler.fire(runtime.name, cron, time_ms)
            if isinstance(outcome, ScheduledOutcome):
                return outcome
            return ScheduledOutcome(outcome.outcome, outcome.no_retry, outcome.error)
        return await runtime.scheduled(cron, time_ms, wait_until=False)

    async def close(self, grace_s: float) -> None:
        """Fire no more; give running runs a moment."""
        for task in self._by_hand:
            task.cancel()
        await self._scheduler.close(grace_s)
        self._history.close()

    async def _fire(self, worker: str, cron: str, scheduled_ms: int) -> ScheduledOutcome:
        runtime = self._workers.named(worker)
        if runtime is None:  # the config dropped the worker a moment ago
            return ScheduledOutcome("scriptNotFound", error=f'no worker "{worker}" in this session')
        return await runtime.scheduled(cron, scheduled_ms)
