"""The broker: takes messages in, leases them out, settles them. Everything it says is true only after COMMIT.

One broker serves one session. Several sessions may share a state folder: each leases under its own number (`owner`),
and a message is leased to at most one of them at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from wrangler_py.clock import Clock
from wrangler_py.events.log import EventLog
from wrangler_py.events.trace import Span, current_span
from wrangler_py.queues import backlog, history, limits, outbox_marks, tables
from wrangler_py.queues.history import BatchRun
from wrangler_py.queues.intake import Intake, check_limits
from wrangler_py.queues.message import Message, OutgoingMessage, QueueMetrics
from wrangler_py.queues.settlement import Settlement
from wrangler_py.queues.tables import NewMessage, QueueRecord
from wrangler_py.store.database import StateError, Store, explain_error

#: How long to wait before a settlement that could not be written (a full disk, a locked file) is tried again. Real
#: seconds: this is about the machine, whatever the session's clock does.
_SETTLE_AGAIN_S = 1.0
#: The same failure is told once within this time (ms): a burst of sends fails as one.
_TELL_AGAIN_MS = 1_000
#: Messages changed in one transaction when retention ends or the clock was set back; more would stall the loop.
_CHUNK = 5_000
#: How often the queues are looked after while nothing else happens (seconds).
_LOOK_EVERY_S = 60.0
#: A clock that is behind the latest message by no more than this was not set back (ms).
_CLOCK_TOLERANCE_MS = 5_000

#: Called with the moments (ms) at which messages that came into a queue are ready. None: look at the queue.
WaitingListener = Callable[[Sequence[int]], None]


#: Settled messages that wait in the queue again.
_COMES_AGAIN = frozenset(("retry", "release", "unclaim"))
_EVENTS = {
    "retry": "message.retried",
    "dead_letter": "message.dead_lettered",
    "drop": "message.dropped",
    "release": "message.released",
}


class Broker:
    """Send, claim and settle on the queues of one state folder."""

    def __init__(self, store: Store, clock: Clock, events: EventLog, owner: int) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._owner = owner
        self._intake = Intake(store, clock, self._refusal)
        #: The largest sendBatch (bytes), and the delay of sends that give none (seconds), by queue. As in production, unless
        #: the session is to be like miniflare.
        self.max_batch_bytes = limits.MAX_BATCH_BYTES
        self.producer_delays: Mapping[str, int] = {}
        self._listeners: dict[str, WaitingListener] = {}
        #: Told of every queue that got messages and has no listener here; another session may consume it.
        self.on_unheard: Callable[[str], None] = self._say_unconsumed
        self._unconsumed: set[str] = set()
        #: What was sent in this turn of the loop and is not told yet: queue, work, messages, as they are stored.
        self._sent: list[tuple[str, Span | None, list[OutgoingMessage], list[NewMessage]]] = []
        self._told: dict[tuple[str, str], int] = {}
        self._latest_ms = clock.now_ms()
        self._look = asyncio.Event()

    # Queues -------------------------------------------------------------------------------------------------------

    def ensure_queue(self, name: str) -> QueueRecord:
        """The queue's record; the queue is created when it is missing. For start-up: commits at once.

        Raises StateError with the next step when the database refuses.
        """
        try:
            record, created = self._store.write(lambda c: tables.ensure_queue(c, name, self._clock.now_ms()))
        except sqlite3.Error as error:
            raise StateError(explain_error(error, self._store.path)) from error
        if created:
            self._events.emit("queue.created", queue=name)
        return record

    def record(self, name: str) -> QueueRecord:
        """The queue and its settings, which another process may have changed a moment ago."""
        return tables.find_queue(self._store, name) or self.ensure_queue(name)

    def queue_names(self) -> list[str]:
        """The names of all queues of the state folder."""
        return [record.name for record in tables.all_queues(self._store)]

    def listen(self, queue: str, listener: WaitingListener) -> None:
        """Tell `listener` of every message that this session lets into `queue`."""
        self._listeners[queue] = listener

    def unlisten(self, queue: str) -> None:
        self._listeners.pop(queue, None)

    # In -----------------------------------------------------------------------------------------------------------

    def enqueue(
        self,
        queue: str,
        messages: Sequence[OutgoingMessage],
        delay_seconds: int | None,
        *,
        batch: bool,
        tell: Callable[[QueueMetrics | None, Exception | None], None],
        kept: tuple[str, int] | None = None,
    ) -> None:
        """Store messages; all of them or none. `tell(backlog, error)` is called after COMMIT: the backlog with them in
        it, or the QueueSendError of a disk that refuses. `kept`: the outbox that keeps them meanwhile, and their number there
        (intake.py); then they are tried again until they are stored, and `tell` hears of each time.

        Delay: the message's own, else `delay_seconds`, else the queue's `delivery_delay`; an explicit 0 counts.
        Raises QueueSendError when a limit is broken.
        """
        if delay_seconds is None and self.producer_delays:
            delay_seconds = self.producer_delays.get(queue)
        check_limits(messages, delay_seconds, batch=batch, max_batch_bytes=self.max_batch_bytes)
        self._now()  # sees a clock that was set back
        span = current_span.get()

        def stored(metrics: QueueMetrics | None, new: Sequence[NewMessage], error: Exception | None) -> None:
            tell(metrics, error)
            if error is None:
                self._note_sent(queue, span, messages, new)
                self._announce(queue, [message.visible_ms for message in new])
            elif isinstance(error, limits.QueueSendError):
                self._say_failed(f'send to queue "{queue}"', error.cause)

        self._intake.add(queue, messages, delay_seconds, stored, kept)

    def stored_of(self, outbox_name: str) -> int:
        """The number of the last send of an outbox that is stored; 0: none."""
        return outbox_marks.stored(self._store, outbox_name)

    def forget_outbox(self, name: str) -> asyncio.Future[None]:
        """An outbox is no more; its file has to be gone already."""
        return self._store.submit(partial(outbox_marks.forget, name=name))

    def _note_sent(
        self, queue: str, span: Span | None, messages: Sequence[OutgoingMessage], new: Sequence[NewMessage]
    ) -> None:
        """What one piece of work sends to one queue in one commit is told as one."""
        sent = self._sent
        if not sent:
            asyncio.get_running_loop().call_soon(self._tell_sent)
        elif sent[-1][0] == queue and sent[-1][1] is span:
            sent[-1][2].extend(messages)
            sent[-1][3].extend(new)
            return
        sent.append((queue, span, list(messages), list(new)))

    def _tell_sent(self) -> None:
        told, self._sent = self._sent, []
        for queue, span, messages, new in told:
            ids = [message.id for message in new]
            ready = [message.visible_ms for message in new]
            self._events.emit("message.sent", queue=queue, ids=ids, messages=messages, ready=ready, span=span)

    def commit_now(self) -> None:
        """Do not wait for the loop's next turn: what was enqueued is all that comes for now."""
        self._store.commit_now()

    def submit(
        self, queue: str, messages: Sequence[OutgoingMessage], delay_seconds: int | None = None, *, batch: bool = False
    ) -> asyncio.Future[QueueMetrics]:
        """`enqueue`, with a future that is done after COMMIT. Raises QueueSendError, at once or through the future."""
        future: asyncio.Future[QueueMetrics] = asyncio.get_running_loop().create_future()

        def tell(metrics: QueueMetrics | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                assert metrics is not None
                future.set_result(metrics)

        self.enqueue(queue, messages, delay_seconds, batch=batch, tell=tell)
        return future

    async def send(
        self, queue: str, messages: Sequence[OutgoingMessage], delay_seconds: int | None = None, *, batch: bool = False
    ) -> QueueMetrics:
        """`submit`, waited for. Raises QueueSendError."""
        return await self.submit(queue, messages, delay_seconds, batch=batch)

    def _refusal(self, error: Exception) -> Exception:
        """What a producer is told of an error of the database."""
        if isinstance(error, sqlite3.Error | StateError):
            return limits.QueueSendError(limits.UNKNOWN_INTERNAL_ERROR, self.explain(error))
        return error

    def metrics(self, queue: str) -> QueueMetrics:
        """The queue's backlog at this moment, with all sends in it that have come before."""
        self._store.commit_now()
        return tables.metrics(self._store, queue)

    def wake(self, queue: str, ready: Sequence[int] = ()) -> None:
        """Have whoever delivers the queue, here or in another session, look at it: its settings have changed, or it has
        got messages that are ready at these moments (ms)."""
        listener = self._listeners.get(queue)
        if listener is not None:
            listener(ready)
        else:
            self.on_unheard(queue)

    def _announce(self, queue: str, ready: Sequence[int]) -> None:
        if ready:
            self.wake(queue, ready)

    def _say_unconsumed(self, queue: str) -> None:
        if queue not in self._unconsumed:
            self._unconsumed.add(queue)
            self._events.emit("queue.unconsumed", queue=queue)

    # Out ----------------------------------------------------------------------------------------------------------

    def first_waiting(self, queue: str, limit: int) -> list[int]:
        """When the first `limit` waiting messages become (or became) ready, in order (ms). None while the delivery of
        the queue is paused or somebody pulls it over HTTP. Raises sqlite3.Error or StateError."""
        record = tables.find_queue(self._store, queue)
        if record is None or record.delivery_paused or tables.is_pulled(self._store, record.id):
            return []
        return tables.first_waiting(self._store, record.id, limit)

    async def claim(self, queue: str, limit: int) -> tuple[tuple[Message, ...], QueueMetrics]:
        """Lease up to `limit` ready messages and count the attempt. Second: what remains in the queue beside them.

        No message: another session was faster, or some had outlived the queue's retention and are deleted now, so that
        the queue has to be looked at again. Raises sqlite3.Error or StateError.
        """
        now = self._now()

        def operation(connection: sqlite3.Connection) -> tuple[tuple[Message, ...], QueueMetrics, int]:
            record = tables.find_queue(connection, queue)
            if record is None or record.delivery_paused or tables.is_pulled(connection, record.id):
                return (), QueueMetrics(0, 0, None), 0
            expired = tables.expire(connection, record, now, _CHUNK)
            if expired:  # with them the batch was due; without them it may not be
                return (), QueueMetrics(0, 0, None), expired
            messages = tables.claim(connection, record.id, self._owner, now, limit)
            return messages, tables.metrics_beside(connection, record, messages), expired

        messages, metrics, expired = await self._store.submit(operation)
        self._say_expired(queue, expired)
        return messages, metrics

    async def settle(
        self,
        queue: str,
        settlements: Sequence[Settlement],
        dead_letter_queue: str | None,
        ending: asyncio.Event | None = None,
        run: BatchRun | None = None,
    ) -> bool:
        """Write what was decided for a batch, and with `run` remember why (history.py). Tries until it is written; the
        lease keeps the messages safe meanwhile.

        Once `ending` is set it is tried a last time: what could not be written then comes again in the next session.
        Returns whether it was written. Raises StateError when the database is closed.
        """
        ending = ending or asyncio.Event()
        while True:
            last_time = ending.is_set()
            now = self._now()
            try:
                target, created = await self._store.submit(
                    lambda c, now=now: self._write(c, queue, settlements, dead_letter_queue, now, run)  # type: ignore[misc]
                )
                break
            except sqlite3.Error as error:
                self._say_failed(f'settle a batch of queue "{queue}"', self.explain(error))
            if last_time:
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_AGAIN_S):
                    await ending.wait()
        if created and target is not None:
            self._events.emit("queue.created", queue=target.name)
        self._report(queue, settlements, dead_letter_queue)
        if queue in self._listeners:  # else its consumer is being closed, which is no news
            self._announce(queue, [now + s.delay_seconds * 1000 for s in settlements if s.action in _COMES_AGAIN])
        if target is not None:
            dead = sum(1 for s in settlements if s.action == "dead_letter")
            self._announce(target.name, [now + target.delivery_delay * 1000] * dead)
        return True

    def _write(
        self,
        connection: sqlite3.Connection,
        queue: str,
        settlements: Sequence[Settlement],
        dead_letter_queue: str | None,
        now: int,
        run: BatchRun | None,
    ) -> tuple[QueueRecord | None, bool]:
        """Returns the dead letter queue, if one was needed, and whether it had to be created."""
        by_action: dict[str, list[Settlement]] = {}
        for s in settlements:
            by_action.setdefault(s.action, []).append(s)
        if run is not None:
            history.record(connection, queue, run, settlements)
        source = tables.find_queue(connection, queue)
        if source is None:  # deleted meanwhile, and its messages with it
            return None, False
        if gone := by_action.get("ack", []) + by_action.get("drop", []):
            tables.delete(connection, source.id, self._owner, [s.message for s in gone])
        if again := by_action.get("retry"):
            tables.retry(connection, self._owner, [(s.message, now + s.delay_seconds * 1000) for s in again])
        if released := by_action.get("release"):
            tables.release(connection, self._owner, [s.message for s in released], delivered=True)
        if untouched := by_action.get("unclaim"):
            tables.release(connection, self._owner, [s.message for s in untouched], delivered=False)
        dead = by_action.get("dead_letter")
        if not dead:
            return None, False
        assert dead_letter_queue is not None
        target, created = tables.ensure_queue(connection, dead_letter_queue, now)
        tables.move(connection, source.id, target, self._owner, now, [s.message for s in dead])
        return target, created

    def _report(self, queue: str, settlements: Sequence[Settlement], dead_letter_queue: str | None) -> None:
        for s in settlements:
            kind = _EVENTS.get(s.action)
            if kind is None:
                continue
            self._events.emit(
                kind,
                queue=queue,
                id=s.message.id,
                attempts=s.message.attempts,
                delay_seconds=s.delay_seconds,
                asked_seconds=s.asked_seconds,
                reason=s.reason,
                where=s.where,
                dead_letter_queue=dead_letter_queue,
            )

    # Looking after the queues -------------------------------------------------------------------------------------

    async def expire(self, queue: str) -> int:
        """Delete what has outlived the queue's retention. Returns how many messages that were."""
        record = self.record(queue)
        now = self._clock.now_ms()
        total, count = 0, _CHUNK
        while count == _CHUNK:
            count = await self._store.submit(lambda c: tables.expire(c, record, now, _CHUNK))
            total += count
        self._say_expired(queue, total)
        return total

    def _say_expired(self, queue: str, count: int) -> None:
        if count:
            record = tables.find_queue(self._store, queue)
            kept_ms = 0 if record is None else record.message_retention_period * 1000
            self._events.emit("message.expired", queue=queue, count=count, before_ms=self._clock.now_ms() - kept_ms)

    async def mend_future(self) -> dict[str, int]:
        """Bring messages back that came in the future: the wall clock was set back, and they would wait until it has
        caught up. None becomes ready sooner after its send than it would have. Returns how many there were, by queue."""
        now = self._clock.now_ms()
        mended: dict[str, int] = {}
        if backlog.latest_ms(self._store) <= now + _CLOCK_TOLERANCE_MS:
            return mended
        for record in tables.all_queues(self._store):
            latest_ms, seqs = tables.latest_entered(self._store, record.id) or (0, range(0))
            by_ms = latest_ms - now
            if by_ms <= _CLOCK_TOLERANCE_MS:
                continue
            mended[record.name] = 0
            for first in seqs[::_CHUNK]:
                piece = partial(tables.set_back, record.id, now, by_ms, first, first + _CHUNK)
                mended[record.name] += await self._store.submit(piece)
            self._events.emit("clock.set_back", queue=record.name, count=mended[record.name], ms=by_ms)
        await self._store.submit(lambda c: backlog.forget_latest(c, now))
        return mended

    async def watch_retention(self) -> None:
        """Look after all queues for as long as the session lives: expire what is old, mend what a clock that was set
        back has left in the future, and have the consumers look at what other processes did."""
        while True:
            try:
                for record in tables.all_queues(self._store):
                    oldest = tables.oldest_entered_ms(self._store, record.id)
                    if oldest is not None and oldest < self._clock.now_ms() - record.message_retention_period * 1000:
                        await self.expire(record.name)
                await self.mend_future()
            except sqlite3.Error as error:
                self._say_failed("look after the queues", self.explain(error))
            for listener in list(self._listeners.values()):
                listener(())
            timer = self._clock.call_later(_LOOK_EVERY_S, self._look.set, recurring=True)
            try:
                await self._look.wait()
            finally:
                timer.cancel()
            self._look.clear()

    def _now(self) -> int:
        now = self._clock.now_ms()
        if now < self._latest_ms - _CLOCK_TOLERANCE_MS:
            self._look.set()
        self._latest_ms = now
        return now

    # Saying what failed -------------------------------------------------------------------------------------------

    def explain(self, error: sqlite3.Error | StateError) -> str:
        """What an error of the database means, in words that name the next step."""
        return str(error) if isinstance(error, StateError) else explain_error(error, self._store.path)

    def _say_failed(self, doing: str, text: str) -> None:
        now = self._clock.now_ms()
        last = self._told.get((doing, text))
        if last is None or not 0 <= now - last < _TELL_AGAIN_MS:
            self._told[doing, text] = now
            self._events.emit("store.failed", doing=doing, error=text)
