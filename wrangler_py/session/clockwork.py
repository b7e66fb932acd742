"""What a session's clock drives: when everything it has started is done, and what follows when it is set."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Mapping
from typing import Protocol

from wrangler_py.clock import SessionClock
from wrangler_py.events.log import EventLog
from wrangler_py.queues import tables
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.limits import MAX_DELAY_SECONDS
from wrangler_py.runtime.python.clocked import WorkerClocks
from wrangler_py.session.crons import SessionCrons
from wrangler_py.session.hosted_workers import WorkerSet
from wrangler_py.session.rounds import Rounds
from wrangler_py.store.database import StateError, Store

#: How often a worker that is being started is looked at (seconds of real time).
_LOOK_S = 0.005
#: A clock that is set by less than this leaves the crons as they are planned (ms): no minute is lost or comes twice.
_REPLAN_MS = 60_000
#: A clock that is farther than this from the wall clock is told of at the start, when there are messages (ms).
_APART_MS = 3_600_000


class Driven(Protocol):
    """Something that starts work when the clock says so."""

    @property
    def running(self) -> int:
        """How much of it runs now."""
        ...

    async def idle(self) -> None:
        """Wait until none does."""
        ...


class Clockwork:
    """Ties a SessionClock to the rooms of its session.

    Events: `clock.apart` (ahead_ms, messages), `clock.waits` (queue, until_ms), and what the clock announces.
    """

    def __init__(
        self,
        clock: SessionClock,
        store: Store,
        broker: Broker,
        workers: WorkerSet,
        crons: SessionCrons,
        events: EventLog,
        clocks: WorkerClocks | None = None,
        driven: Mapping[str, Driven] | None = None,
    ) -> None:
        """`clocks`: the workers' own clocks follow (`--worker-clock`). `driven`: what else the clock starts, by the kind of
        event that it is in a worker."""
        self._clock = clock
        self._store = store
        self._broker = broker
        self._workers = workers
        self._crons = crons
        self._events = events
        self._mending: asyncio.Task[dict[str, int]] | None = None
        self._started = asyncio.Event()
        clock.settle = self.settled
        clock.announce = events.emit
        clock.on_set = self._was_set
        self._clocks = clocks
        self._driven = driven or {}
        clock.on_change = self._clock_changed
        self._rounds = Rounds(clock, events, clock.give_up)
        self._rounds.clock_changed()

    async def start(self) -> None:
        """Look at what earlier sessions, whose clocks may have shown other times, have left."""
        ahead_ms = self._clock.offset_ms
        if abs(ahead_ms) > _APART_MS:
            messages = sum(queue.backlog_count for queue in tables.all_queues(self._store))
            if messages:
                self._events.emit("clock.apart", ahead_ms=ahead_ms, messages=messages)
        # A message that was delayed while the clock was ahead may wait for longer than any delay lasts.
        await self._mend(MAX_DELAY_SECONDS * 1000)
        self._started.set()

    def close(self) -> None:
        """The session ends: the clock is moved no further."""
        self._clock.end()
        if self._mending is not None:
            self._mending.cancel()

    # Settling -----------------------------------------------------------------------------------------------------

    async def settled(self) -> None:
        """Wait until all work that the clock has started is done, and what that work has sent is stored and looked at.
        A move that is told to end does not wait, and one that comes before the session is ready does."""
        if not self._started.is_set():
            await self._clock.unless_stopped(self._started.wait())
        while True:
            await self._committed()
            if not self._busy:
                return
            await self._clock.unless_stopped(self._idle())
            if self._clock.stopping:
                return

    @property
    def _busy(self) -> bool:
        return self._workers.busy or self._crons.busy or self._driven_busy or self._starting or not self._resting

    @property
    def _driven_busy(self) -> bool:
        """Whether an alarm or the like runs that does more than sleep until the clock moves."""
        runtimes = [worker.runtime for worker in self._workers.all()]
        return any(
            driven.running and driven.running > sum(runtime.sleeping(kind) for runtime in runtimes)
            for kind, driven in self._driven.items()
        )

    @property
    def _resting(self) -> bool:
        """Whether every worker has done what it had to do at the time that it was told (`--worker-clock`)."""
        return all(worker.runtime.resting for worker in self._workers.all())

    @property
    def _starting(self) -> bool:
        """Whether a worker that has queues to deliver is being started again, after a crash or a reload: its messages
        are due now, and not when the clock has gone on. One whose code is broken is not waited for."""
        return any(worker.consumers and worker.starting for worker in self._workers.all())

    async def _idle(self) -> None:
        while self._starting:
            await asyncio.sleep(_LOOK_S)  # real time: this is about the machine
        if self._clocks is None:
            await self._workers.idle()
            await self._crons.idle()
            for driven in self._driven.values():
                await driven.idle()
            return
        while self._busy:  # their end is not what is waited for: they may sleep until the clock goes on
            self._clocks.news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._clocks.news.wait()

    def _clock_changed(self) -> None:
        self._rounds.clock_changed()
        for worker in self._workers.all():
            worker.runtime.tell_time(on_the_way=self._clock.moving)

    async def _committed(self) -> None:
        for _ in range(2):  # what was just started says what it has to store
            await asyncio.sleep(0)
        try:
            await self._store.submit(_nothing)  # its turn comes after everything that was submitted before
        except (sqlite3.Error, StateError):
            pass  # those who had something to store are told so
        for _ in range(2):  # a commit, and what hears of it
            await asyncio.sleep(0)

    # The clock was set ----------------------------------------------------------------------------------------------

    def _was_set(self, by_ms: int) -> None:
        if abs(by_ms) >= _REPLAN_MS:
            self._crons.reschedule()
        if by_ms < 0:
            self._mending = asyncio.ensure_future(self._mend(_REPLAN_MS))

    async def mended(self) -> dict[str, int]:
        """How many messages of each queue had been sent at times that the clock, when it was last set, had not reached
        yet. They have been brought back."""
        return await self._mending if self._mending is not None else {}

    async def _mend(self, told_after_ms: int) -> dict[str, int]:
        found: dict[str, int] = {}
        try:
            found = await self._broker.mend_future()
            for record in tables.all_queues(self._store):
                first = self._broker.first_waiting(record.name, 1)
                if first and first[0] > self._clock.now_ms() + told_after_ms:
                    self._events.emit("clock.waits", queue=record.name, until_ms=first[0])
        except (sqlite3.Error, StateError) as error:
            self._events.emit("store.failed", doing="look after the queues", error=self._broker.explain(error))
        for worker in self._workers.all():
            for consumer in worker.consumers.values():
                consumer.pump()
        return found


def _nothing(_: sqlite3.Connection) -> None:
    pass
