"""The session's crons: fired on the clock, run by hand, and said aloud."""

from __future__ import annotations

import asyncio
import time

from wrangler_py.clock import Clock
from wrangler_py.config.model import SessionConfig
from wrangler_py.cron.expression import CronSyntaxError
from wrangler_py.cron.schedule import Schedule
from wrangler_py.cron.scheduler import CronScheduler
from wrangler_py.dev.workers import WorkerSet
from wrangler_py.events.record import EventLog
from wrangler_py.runtime.base import ScheduledOutcome


class SessionCrons:
    """Hands cron ticks to the workers of a session."""

    def __init__(self, workers: WorkerSet, clock: Clock, events: EventLog, *, on: bool) -> None:
        self._workers = workers
        self._clock = clock
        self._events = events
        self._on = on
        self._scheduler = CronScheduler(clock, self._fire, events)
        self._by_hand: set[asyncio.Task[ScheduledOutcome]] = set()

    def set_config(self, config: SessionConfig) -> None:
        """Use the crons of this config from now on."""
