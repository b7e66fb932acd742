"""A consumer: when the next batch starts, how many run at once.

The next-batch rule, with `waiting` the queue's unleased messages in order of readiness:

- `max_batch_size` of them are ready: a batch starts at once.
- Some are ready: a batch starts when the first of them has been ready for `max_batch_timeout` seconds.
- None is ready: nothing starts; an empty queue never calls a handler.

So the moment of the next batch is the earlier of `waiting[0] + max_batch_timeout` and `waiting[max_batch_size - 1]`,
and one timer on that moment is all that is ever armed: nothing polls, and a million messages cost no more than one.
(Cloudflare does not document what the timeout is measured from; wpy measures it from the moment the oldest waiting
message became ready.)

Concurrency: `max_concurrency` bounds the running invocations. It starts at one and is looked at after each batch, as
production does: a failed invocation scales down, a further full batch that waits scales up; retries that the handler
asked for are not failures.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable

from wrangler_py.clock import Clock, Timer
from wrangler_py.config.model import Consumer as ConsumerSettings
from wrangler_py.events.record import EventLog
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.limits import AUTO_CONCURRENCY_CAP
from wrangler_py.queues.message import Batch, BatchOutcome
from wrangler_py.queues.settlement import settle
from wrangler_py.store.database import StateError

#: Runs one batch in user code. Never raises for what user code does.
Deliver = Callable[[Batch], Awaitable[BatchOutcome]]

#: How long to wait after the database refused a claim (ms).
_CLAIM_AGAIN_MS = 1_000


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
        self._running: set[asyncio.Task[None]] = set()
        self._claiming = False
        self._open = False
        self._closed = False
        self._timer: Timer | None = None
        #: What the armed timer was computed from: how many messages were waiting.
        self._seen = 0
        self._due_ms = 0

    # Control ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to listen; batches start once the gate is opened."""
        self._broker.listen(self.settings.queue, self._message_waiting)

    def open(self) -> None:
        """Let batches start: the worker is ready."""
        self._open = True
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
        """Start nothing more and wait for what runs."""
        self._closed = True
        self.hold()
        self._broker.unlisten(self.settings.queue)
        await self.idle()

    async def idle(self) -> None:
        """Wait until no invocation runs."""
        while self._running:
            await asyncio.wait(self._running)

    @property
    def in_flight(self) -> int:
        """How many invocations run now."""
        return len(self._running)

    # When ---------------------------------------------------------------------------------------------------------

    def _message_waiting(self, count: int, first_visible_ms: int) -> None:
        """Messages came in. Look at the queue only if they can bring the next batch forward."""
        if self._timer is None:
            self.pump()
            return
        self._seen += count
        timeout_ms = round(self.settings.max_batch_timeout * 1000)
        if self._seen >= self.settings.max_batch_size or first_visible_ms + timeout_ms < self._due_ms:
            self.pump()

    def pump(self) -> None:
        """Start what is due and arm the timer for what is not."""
        self._disarm()
        if not self._open or self._claiming or len(self._running) >= self._target:
            return
        size = self.settings.max_batch_size
        waiting = self._broker.first_waiting(self.settings.queue, size)
        if not waiting:
            return
        due_ms = waiting[0] + round(self.settings.max_batch_timeout * 1000)
        if len(waiting) >= size:
            due_ms = min(due_ms, waiting[size - 1])
        if due_ms <= self._clock.now_ms():
            self._begin()
        else:
            # A full window counts as zero seen, so that only a message that is ready earlier leads to another look.
            self._seen = len(waiting) if len(waiting) < size else -(2**62)
            self._due_ms = due_ms
            self._timer = self._clock.call_at(due_ms, self.pump)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Run ----------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._claiming = True
        task = asyncio.get_running_loop().create_task(self._run_batch())
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._events.emit("consumer.failed", queue=self.settings.queue, error=repr(error))
        self.pump()

    async def _run_batch(self) -> None:
        settings = self.settings
        try:
            messages, metrics = await self._broker.claim(settings.queue, settings.max_batch_size)
        except (sqlite3.Error, StateError) as error:
            self._events.emit("store.failed", doing=f'read queue "{settings.queue}"', error=str(error))
            self._claiming = False
            if not self._closed:
                self._open = False  # the gate opens again below, so that the failure is not repeated in a tight loop
                self._clock.call_at(self._clock.now_ms() + _CLAIM_AGAIN_MS, self._reopen)
            return
        self._claiming = False
        if not messages:
            return  # another session was faster, or they expired
        if len(self._running) < self._target:
            self.pump()
        started = self._clock.now_ms()
        outcome = await self._deliver(Batch(settings.queue, messages, metrics))
        settlements = settle(
            messages,
            outcome,
            max_retries=settings.max_retries,
            retry_delay=settings.retry_delay,
            dead_letter_queue=settings.dead_letter_queue,
        )
        self._events.emit(
            "batch.finished",
            queue=settings.queue,
            worker=self.worker,
            acked=sum(1 for s in settlements if s.action == "ack"),
            total=len(messages),
            outcome=outcome.outcome,
            error=outcome.error,
            ms=self._clock.now_ms() - started,
        )
        await self._broker.settle(settings.queue, settlements, settings.dead_letter_queue)
        self._rescale(failed=outcome.outcome != "ok")

    def _reopen(self) -> None:
        if not self._closed:
            self.open()

    @property
    def _cap(self) -> int:
        return self.settings.max_concurrency or AUTO_CONCURRENCY_CAP

    def _rescale(self, *, failed: bool) -> None:
        size = self.settings.max_batch_size
        if failed:
            self._target = max(1, self._target - 1)
            return
        waiting = self._broker.first_waiting(self.settings.queue, size)
        now = self._clock.now_ms()
        if len(waiting) >= size and waiting[-1] <= now:
            self._target = min(self._cap, self._target + 1)
        elif not waiting:
            self._target = max(1, self._target - 1)
