"""`wpy.queues["mail"]`: one queue of the test: what is in it, what was delivered from it, what its dead letters are."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wrangler_py.config import snippets
from wrangler_py.queues import browse, tables
from wrangler_py.queues.message import OutgoingMessage, QueueMetrics
from wrangler_py.testing.errors import KitError
from wrangler_py.testing.match import check_names, describe, matches
from wrangler_py.testing.messages import FIELDS, PulledMessage, StoredMessage
from wrangler_py.testing.results import QueueResult
from wrangler_py.testing.values import Span, as_datetime, decode_body, encode_body, seconds

if TYPE_CHECKING:
    from wrangler_py.testing.kit import Wpy
    from wrangler_py.testing.queues import Queues

__tracebackhide__ = True

#: Messages that one look at a queue shows at most.
_ALL = 1_000_000
#: Batches that `drain` delivers at most.
_BATCHES = 1_000


class QueueHandle:
    """One queue."""

    def __init__(self, wpy: Wpy, queues: Queues, name: str) -> None:
        self._wpy = wpy
        self._queues = queues
        self.name = name
        self._looked_at = 0

    def __repr__(self) -> str:
        return f"<Queue {self.name}: {self.pending} messages>"

    # In ---------------------------------------------------------------------------------------------------------------

    async def send(self, body: Any, *, content_type: str | None = None, delay: Span | None = None) -> None:
        """Send one message, as a producer does. `delay`: until it is delivered."""
        await self._send([self._outgoing(body, content_type, delay)], batch=False)

    async def send_batch(
        self, bodies: Sequence[Any], *, content_type: str | None = None, delay: Span | None = None
    ) -> None:
        """Send several messages, all or none, within the limits of `sendBatch`."""
        await self._send([self._outgoing(body, content_type, delay) for body in bodies], batch=True)

    async def _send(self, messages: list[OutgoingMessage], *, batch: bool) -> None:
        from wrangler_py.queues.limits import QueueSendError

        await self._wpy.start()
        try:
            await self._wpy.emulator.broker.send(self.name, messages, batch=batch)
        except QueueSendError as error:
            raise KitError(
                f'Queue "{self.name}" refuses this: {error.text("sendBatch" if batch else "send", expose_codes=False)}'
            ) from None

    @staticmethod
    def _outgoing(body: Any, content_type: str | None, delay: Span | None) -> OutgoingMessage:
        data, kind = encode_body(body, content_type)
        return OutgoingMessage(data, kind, None if delay is None else round(seconds(delay)))

    # Looking ----------------------------------------------------------------------------------------------------------

    def messages(self, state: str | None = None, /, **match: Any) -> list[StoredMessage]:
        """The messages that are in the queue now, in the order of their delivery, and match.

        `state`: "ready", "delayed" or "in_flight". Conditions: see `assert_enqueued`.
        """
        check_names(match, FIELDS)
        record = self._record()
        if record is None:
            return []
        now_ms = self._wpy.clock.now_ms
        found = browse.messages(self._wpy.emulator.store, record, now_ms, _ALL)
        made = [self._stored(message, now_ms) for message in found if not message.expired]
        return [message for message in made if state in (None, message.state) and matches(message.fields(), match)]

    def _stored(self, stored: browse.StoredMessage, now_ms: int) -> StoredMessage:
        message = stored.message
        wait_ms = 0 if stored.due_ms is None else max(0, stored.due_ms - now_ms)
        return StoredMessage(
            self.name,
            message.id,
            decode_body(message.content_type, message.body),
            message.content_type,
            message.attempts,
            stored.state,
            wait_ms / 1000,
            as_datetime(message.timestamp_ms),
            stored.died_in,
            stored.source,
            self._queues,
        )

    def one(self, **match: Any) -> StoredMessage:
        """The only message that matches. Fails when there is none, or more than one."""
        found = self.messages(**match)
        if len(found) != 1:
            raise AssertionError(f"{len(found)} messages match {describe(match)}, not one.\n{self._listing()}")
        return found[0]

    @property
    def pending(self) -> int:
        """How many messages are in the queue: ready, delayed and in flight."""
        return self.metrics.backlog_count

    @property
    def metrics(self) -> QueueMetrics:
        """The backlog, as `env.QUEUE.metrics()` has it."""
        return self._wpy.emulator.broker.metrics(self.name)

    @property
    def deliveries(self) -> list[QueueResult]:
        """What became of the batches that were delivered from this queue, in order."""
        return [result for result in self._queues.deliveries if result.queue == self.name]

    @property
    def delivered(self) -> int:
        """How many messages were handed to a handler, each delivery counted."""
        return sum(len(result.messages) for result in self.deliveries)

    @property
    def acked(self) -> int:
        """How many messages were acknowledged."""
        return sum(len(result.acked) for result in self.deliveries)

    # Claims -----------------------------------------------------------------------------------------------------------

    def assert_enqueued(self, *, count: int | None = None, **match: Any) -> StoredMessage:
        """Fail unless a message that matches is in the queue. Returns the first one.

        Conditions: `body={"to": "a"}`, `body__to="a"` (below the body, however deep), `delay="30s"` (give or take a second;
        `approx("30s", tol="5s")`), `content_type="json"`, `attempts=1`, `state="delayed"`. A condition may be a
        value, a predicate, a type or a compiled pattern. `count`: exactly so many match.
        """
        found = self.messages(**match)
        if (count is None and not found) or (count is not None and len(found) != count):
            wanted = "a message" if count is None else f"{count} messages"
            raise AssertionError(
                f'Queue "{self.name}" should hold {wanted} with {describe(match)}, and holds {len(found)}.\n'
                f"{self._listing()}"
            )
        return found[0] if found else None  # type: ignore[return-value]

    def refute_enqueued(self, **match: Any) -> None:
        """Fail when a message that matches is in the queue."""
        found = self.messages(**match)
        if found:
            raise AssertionError(
                f'Queue "{self.name}" should hold no message with {describe(match)}, and holds {len(found)}.\n'
                f"{self._listing()}"
            )

    def all_enqueued(self, **match: Any) -> list[StoredMessage]:
        """The messages that match; the same as `messages(...)`."""
        return self.messages(**match)

    def assert_empty(self) -> None:
        """Fail unless the queue is empty."""
        self.refute_enqueued()

    def _listing(self) -> str:
        held = self.messages()
        lines = [
            f"  {m.id[:8]}  {m.state:<9}  attempt {m.attempts}  in {m.delay:g} s  {m.content_type:<5}  {m.body!r}"
            for m in held[:20]
        ]
        more = [f"  and {len(held) - 20} more"] if len(held) > 20 else []
        return "\n".join([f'Queue "{self.name}" holds {len(held)} messages:', *lines, *more])

    # Delivering -------------------------------------------------------------------------------------------------------

    async def deliver_one_batch(self) -> QueueResult:
        """Deliver what is ready, one batch of it, without waiting for `max_batch_timeout`; what became of it.

        Raises KitError when nothing is ready or nobody consumes the queue.
        """
        results = await self._deliver()
        if not results:
            waiting = self.messages()
            soonest = f"; the next one is ready in {min(m.delay for m in waiting):g} s" if waiting else ""
            raise KitError(f'Queue "{self.name}" has nothing to deliver{soonest}.')
        return results[0]

    async def drain(self, *, with_delayed: bool = False, max_batches: int = _BATCHES) -> list[QueueResult]:
        """Deliver what is ready, batch by batch, until nothing is; what became of the batches.

        With `with_delayed` the clock is moved on to what is delayed, retries included, until the queue is empty or its
        messages are dead. Raises KitError after `max_batches`.
        """
        results: list[QueueResult] = []
        while True:
            delivered = await self._deliver()
            if delivered:
                results += delivered
            elif with_delayed and (waiting := self.messages()):
                await self._wpy.clock.advance(max(0.001, min(message.delay for message in waiting)))
                continue
            else:
                return results
            if len(results) >= max_batches:
                raise KitError(
                    f'Queue "{self.name}" was not empty after {max_batches} batches: does its consumer send to itself, or '
                    "retry without a delay? Give a larger max_batches if so many are meant."
                )

    async def _deliver(self) -> list[QueueResult]:
        """Deliver a batch, unless one that was full has begun by itself."""
        await self._wpy.start()
        consumer = self._wpy.emulator.workers.consumer(self.name)
        if consumer is None:
            file = self._wpy.config.workers[0].path
            raise KitError(
                f'Nobody consumes queue "{self.name}": add {snippets.entry(file, "queues.consumers", queue=self.name)}, '
                "or read it with messages() or pull()."
            )
        if consumer.in_flight == 0 and not self._news():
            consumer.start_now()
        while True:
            await self._wpy.driver.settle()
            if (news := self._news()) or consumer.in_flight == 0:
                self._looked_at += len(news)
                return news

    def _news(self) -> list[QueueResult]:
        """What was delivered since the last time that the test asked for a delivery."""
        return self.deliveries[self._looked_at :]

    async def redeliver(self, message_id: str | None = None) -> None:
        """Deliver a message again that was acknowledged, as production may: at least once means sometimes twice.

        `message_id`: the last delivered one when left out. It comes with its next attempt.
        """
        delivered = [message for result in self.deliveries for message in result.messages]
        found = [m for m in delivered if message_id in (None, m.id)]
        if not found:
            raise KitError(f'No message {message_id or ""} was delivered from queue "{self.name}" yet.')
        message = self._queues.raw[found[-1].id]
        await self._wpy.start()
        emulator = self._wpy.emulator
        now_ms = self._wpy.clock.now_ms

        def insert(connection: sqlite3.Connection) -> None:
            record, _ = tables.ensure_queue(connection, self.name, now_ms)
            new = tables.NewMessage(bytes.fromhex(message.id), message.content_type, message.body, now_ms)
            tables.append(connection, record.id, now_ms, [new])
            connection.execute(
                "UPDATE message SET attempts = ? WHERE queue_id = ? AND id = ?",
                (message.attempts, record.id, bytes.fromhex(message.id)),
            )

        emulator.store.write(insert)
        emulator.broker.wake(self.name, [now_ms])

    def reorder(self, seed: int | None = None) -> list[str]:
        """Shuffle the messages that are ready; production promises no order. Returns their ids in the new order."""
        order = self.shuffle(self._wpy.random if seed is None else random.Random(seed))
        self._wpy.emulator.broker.wake(self.name)
        return order

    def shuffle(self, chooser: random.Random) -> list[str]:
        """Shuffle the messages that are ready, and wake nobody. Returns their ids in the new order."""
        ready = self.messages("ready")
        chooser.shuffle(ready)
        now_ms = self._wpy.clock.now_ms
        rows = [(now_ms - len(ready) + place, bytes.fromhex(m.id)) for place, m in enumerate(ready)]
        self._wpy.emulator.store.write(lambda c: c.executemany("UPDATE message SET visible_ms = ? WHERE id = ?", rows))
        return [message.id for message in ready]

    # Changing ---------------------------------------------------------------------------------------------------------

    async def pause(self) -> None:
        """Deliver nothing until `resume`; messages are kept."""
        await self._change(delivery_paused=True)

    async def resume(self) -> None:
        """Deliver again."""
        await self._change(delivery_paused=False)

    async def _change(self, **settings: Any) -> None:
        from wrangler_py.queues.admin import QueueAdmin

        await self._wpy.start()
        emulator = self._wpy.emulator
        admin = QueueAdmin(emulator.store, emulator.clock, emulator.events, emulator.broker)
        await admin.change(emulator.broker.ensure_queue(self.name), settings, reset=False)

    async def purge(self) -> None:
        """Delete all messages."""
        from wrangler_py.queues.purge import Purges

        await self._wpy.start()
        emulator = self._wpy.emulator
        record = emulator.broker.ensure_queue(self.name)
        await Purges(emulator.store, emulator.clock, emulator.events, emulator.broker).purge(record)

    # Pulling ----------------------------------------------------------------------------------------------------------

    async def pull(self, batch_size: int | None = None, visibility_timeout: Span | None = None) -> list[PulledMessage]:
        """Lease messages as an HTTP pull consumer does."""
        from wrangler_py.queues.consumers import Consumers, ConsumerSpec, pull_consumer

        if self._queues.consumer_of(self.name) is not None:
            raise KitError(f'Queue "{self.name}" is consumed by a worker; only one that is not can be pulled.')
        await self._wpy.start()
        emulator = self._wpy.emulator
        record = emulator.broker.ensure_queue(self.name)
        if pull_consumer(emulator.store, record) is None:
            consumers = Consumers(emulator.store, emulator.clock, emulator.events, emulator.broker)
            await consumers.create(record, ConsumerSpec("http_pull"))
        timeout_ms = None if visibility_timeout is None else round(seconds(visibility_timeout) * 1000)
        pulled = await self._queues.pulls().pull(record, batch_size, timeout_ms)
        return [PulledMessage(self, leased) for leased in pulled.messages]

    # Dead letters -----------------------------------------------------------------------------------------------------

    @property
    def dlq(self) -> QueueHandle:
        """Its dead letter queue. Raises KitError when the config gives it none."""
        consumer = self._queues.consumer_of(self.name)
        if consumer is None or not consumer.dead_letter_queue:
            raise KitError(f'The consumer of queue "{self.name}" has no dead_letter_queue in the config.')
        return self._queues[consumer.dead_letter_queue]

    def _record(self) -> tables.QueueRecord | None:
        return tables.find_queue(self._wpy.emulator.store, self.name)
