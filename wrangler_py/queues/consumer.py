"""A consumer: when the next batch starts, how many run at once.

The next-batch rule, with `waiting` the queue's unleased messages in order of readiness:

- `max_batch_size` of them are ready: a batch starts at once.
- Some are ready: a batch starts when the first of them has been ready for `max_batch_timeout` seconds.
- None is ready: nothing starts; an empty queue never calls a handler.

So the moment of the next batch is the earlier of `waiting[0] + max_batch_timeout` and `waiting[max_batch_size - 1]`,
and one timer on that moment is all that is ever armed: nothing polls, and a million messages cost no more than one.
While the timer is armed, those first `max_batch_size` moments (the window) are kept up to date from what the broker
tells of new messages, so that the database is asked once a batch and not once a message.
(Cloudflare does not document what the timeout is measured from; wpy measures it from the moment the oldest waiting
message became ready.)

Concurrency: `max_concurrency` bounds the running invocations. It starts at one and is looked at after each batch, as
production does: a failed invocation scales down, a further full batch that waits scales up; retries that the handler
asked for are not failures. On one machine many invocations help only where handlers wait for something: while they keep
the worker's core busy there are two, one that runs and one on its way, because more would only stand in the way of requests.

A batch is settled in the transaction that claims the next one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence

from wrangler_py.clock import Clock, Timer
from wrangler_py.config.model import Consumer as ConsumerSettings
from wrangler_py.events.log import EventLog
from wrangler_py.events.trace import Span, within
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.history import BatchRun
from wrangler_py.queues.limits import AUTO_CONCURRENCY_CAP
from wrangler_py.queues.message import Batch, BatchOutcome, Message, QueueMetrics
from wrangler_py.queues.settlement import CANCELED, Settlement, give_back, settle
from wrangler_py.store.database import StateError

#: Runs one batch in user code. Never raises for what user code does.
Deliver = Callable[[Batch], Awaitable[BatchOutcome]]

#: How long to wait after the database refused to be read. Real seconds: this is about the machine, whatever the
#: session's clock does.
_READ_AGAIN_S = 1.0
#: How long to wait after an invocation was cut off though this session goes on: its worker is ending or starting. Real
#: seconds, too. The messages are ready again at once, and would be claimed over and over.
_CUT_OFF_S = 0.05
#: With handlers that keep the worker's core busy for this share of their time, so many invocations are all that help.
_BUSY = 0.9
_BUSY_CAP = 2


class QueueConsumer:
    """Delivers one queue to one worker."""

    def __init__(
        self,
        settings: ConsumerSettings,
        worker: str,
        deliver: Deliver,
        broker: Broker,
        clock: Clock,
        events: EventLog,
    ) -> None:
        self.settings = settings
        self.worker = worker
        self._deliver = deliver
        self._broker = broker
        self._clock = clock
        self._events = events
        self._target = 1
        #: Batches that are claimed, delivered or settled just now; and how many of them wait for, or are in, user code.
        self._running: set[asyncio.Task[None]] = set()
        self._invocations = 0
        #: Settlements that are not written yet: nothing is claimed past them, or what they give back would be overtaken.
        self._settling = 0
        self._claiming = False
        self._open = False
        self._ending = asyncio.Event()
        self._rest: asyncio.TimerHandle | None = None
        self._timer: Timer | None = None
        self._due_ms = 0
        #: When the first `max_batch_size` waiting messages are ready, in order; true while the timer is armed.
        self._window: list[int] = []

    # Control ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to listen; batches start once the gate is opened."""
        self._broker.listen(self.settings.queue, self._message_waiting)

    def open(self) -> None:
        """Let batches start: the worker is ready."""
        self._open = not self._ending.is_set()
        self.pump()

    def hold(self) -> None:
        """Start no further batch; running ones go on. Messages wait without an attempt being counted."""
        self._open = False
        self._disarm()

    def reconfigure(self, settings: ConsumerSettings) -> None:
        """Use other settings from the next batch on."""
        self.settings = settings
        self._target = min(self._target, self._cap)
        self._disarm()
        self.pump()

    async def close(self) -> None:
        """Start nothing more and wait for what runs. A settlement that cannot be written is not waited for: its
        messages come again in the next session."""
        self._ending.set()
        self.hold()
        if self._rest is not None:
            self._rest.cancel()
        self._broker.unlisten(self.settings.queue)
        await self.idle()

    async def idle(self) -> None:
        """Wait until no invocation runs."""
        while self._running:
            await asyncio.wait(self._running)

    @property
    def in_flight(self) -> int:
        """How many batches are claimed, delivered or settled now."""
        return len(self._running)

    # When ---------------------------------------------------------------------------------------------------------

    def _message_waiting(self, ready: Sequence[int]) -> None:
        """Messages came in that are ready at these moments; none of them: look at the queue."""
        if self._timer is None or not ready:
            self.pump()
            return
        self._window.extend(ready)
        self._window.sort()
        del self._window[self.settings.max_batch_size :]
        # Of several sends in one commit the first may have made it look at the queue, which shows the others too: they are
        # counted twice then, so before anything starts it looks again.
        self._start_or_arm(self._window, start=self.pump)

    def pump(self) -> None:
        """Start what is due and arm the timer for what is not."""
        if self._may_start:
            waiting = self._look()
            if waiting is not None:
                self._start_or_arm(waiting)

    def start_now(self) -> bool:
        """Start a batch of what is ready, without waiting for `max_batch_timeout`. False: nothing is ready, or no batch may
        start now."""
        waiting = self._look() if self._may_start else None
        if not waiting or waiting[0] > self._clock.now_ms():
            if waiting:
                self._start_or_arm(waiting)
            return False
        self._begin()
        return True

    @property
    def _may_start(self) -> bool:
        free = self._invocations < self._target and not self._settling
        return free and self._open and not self._claiming and self._rest is None

    def _look(self) -> list[int] | None:
        """When the messages of the next batch are ready; None when the database cannot say."""
        self._disarm()
        try:
            return self._broker.first_waiting(self.settings.queue, self.settings.max_batch_size)
        except (sqlite3.Error, StateError) as error:
            self._read_failed(error)
            return None

    def _start_or_arm(self, waiting: list[int], start: Callable[[], None] | None = None) -> None:
        if not waiting:
            return
        size = self.settings.max_batch_size
        due_ms = waiting[0] + round(self.settings.max_batch_timeout * 1000)
        if len(waiting) >= size:
            due_ms = min(due_ms, waiting[size - 1])
        if due_ms <= self._clock.now_ms():
            (start or self._begin)()
        elif self._timer is None or due_ms != self._due_ms:
            self._disarm()
            self._window = waiting
            self._due_ms = due_ms
            self._timer = self._clock.call_at(due_ms, self.pump)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read_failed(self, error: sqlite3.Error | StateError) -> None:
        self._events.emit(
            "store.failed", doing=f'read queue "{self.settings.queue}"', error=self._broker.explain(error)
        )
        if isinstance(error, StateError):  # the database was closed: there is nothing to come back to
            self._ending.set()
            self.hold()
        else:
            self._pause(_READ_AGAIN_S)

    def _pause(self, seconds: float) -> None:
        """Start nothing for a while."""
        self._disarm()
        if self._rest is None and not self._ending.is_set():
            self._rest = asyncio.get_running_loop().call_later(seconds, self._rested)

    def _rested(self) -> None:
        self._rest = None
        self.pump()

    # Run ----------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._disarm()
        self._claiming = True
        self._invocations += 1
        task = asyncio.get_running_loop().create_task(self._run_batch())
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._events.emit("consumer.failed", queue=self.settings.queue, error=repr(error))

    async def _run_batch(self) -> None:
        """Claim, deliver, settle. Once user code is done with the batch, the next one may start."""
        settings = self.settings
        outcome: BatchOutcome | None = None
        try:
            messages, metrics = await self._claim()
            if not messages:
                return
            if not self._open:  # the gate was shut meanwhile: nothing was delivered, so no attempt counts
                await self._write(give_back(messages))
                return
            self.pump()  # there may be work for another invocation
            started = self._clock.now_ms()
            span = Span("batch", f"queue {settings.queue}")
            self._events.emit("batch.started", queue=settings.queue, worker=self.worker, messages=messages, span=span)
            with within(span):
                outcome = await self._call(Batch(settings.queue, messages, metrics))
        finally:
            self._over(outcome)
        ms = self._clock.now_ms() - started
        settlements = settle(
            messages,
            outcome,
            max_retries=settings.max_retries,
            retry_delay=settings.retry_delay,
            dead_letter_queue=settings.dead_letter_queue,
        )
        run = BatchRun(self.worker, started, ms, outcome.outcome, outcome.error)
        if await self._write(settlements, settings.dead_letter_queue, run):
            self._events.emit(
                "batch.finished",
                queue=settings.queue,
                worker=self.worker,
                acked=sum(1 for s in settlements if s.action == "ack"),
                total=len(messages),
                outcome=outcome.outcome,
                error=outcome.error,
                ms=ms,
                settlements=settlements,
                dead_letter_queue=settings.dead_letter_queue,
                span=span,
            )

    async def _claim(self) -> tuple[tuple[Message, ...], QueueMetrics]:
        try:
            return await self._broker.claim(self.settings.queue, self.settings.max_batch_size)
        except (sqlite3.Error, StateError) as error:
            self._read_failed(error)
            return (), QueueMetrics(0, 0, None)
        finally:
            self._claiming = False

    def _over(self, outcome: BatchOutcome | None) -> None:
        """User code is done with a batch; None: it got none. The claim of the next one goes into the transaction that
        settles this one, because both are asked for in the same turn of the loop."""
        self._invocations -= 1
        if outcome is not None and outcome.outcome == CANCELED:
            self._pause(_CUT_OFF_S)
        if not self._open or self._rest is not None:
            return
        waiting = self._look()
        if waiting is not None:
            if outcome is not None:
                self._rescale(waiting, outcome)
            if self._may_start:
                self._start_or_arm(waiting)

    async def _call(self, batch: Batch) -> BatchOutcome:
        try:
            return await self._deliver(batch)
        except Exception as error:  # no doing of user code: say so, and let the messages come again
            self._events.emit("consumer.failed", queue=batch.queue, error=repr(error))
            return BatchOutcome("internalError", error=repr(error))

    async def _write(
        self, settlements: Sequence[Settlement], dead_letter_queue: str | None = None, run: BatchRun | None = None
    ) -> bool:
        self._settling += 1
        try:
            return await self._broker.settle(self.settings.queue, settlements, dead_letter_queue, self._ending, run)
        finally:
            self._settling -= 1
            self.pump()

    @property
    def _cap(self) -> int:
        return self.settings.max_concurrency or AUTO_CONCURRENCY_CAP

    def _rescale(self, waiting: Sequence[int], outcome: BatchOutcome) -> None:
        now = self._clock.now_ms()
        ready = sum(1 for moment in waiting if moment <= now)
        busy = outcome.busy is not None and outcome.busy >= _BUSY
        if outcome.outcome != "ok" or not ready:
            self._target = max(1, self._target - 1)
        elif ready >= self.settings.max_batch_size:
            self._target = min(self._cap, self._target + 1)
        if busy:
            self._target = min(self._target, _BUSY_CAP)
