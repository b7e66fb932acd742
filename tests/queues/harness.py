"""A room of queues on a real database file, under virtual time, with a handler that does what it is told.

Everything between `send` and the handler is the product's own; only the user's code behind it is stood in for, by
`Handler`, which notes each batch it was given and answers with what the test prepared.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from wrangler_py.clock import Clock, VirtualClock
from wrangler_py.config.model import Consumer as Settings
from wrangler_py.events.log import Event, EventLog
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.consumer import QueueConsumer
from wrangler_py.queues.message import Batch, BatchOutcome, OutgoingMessage, QueueMetrics, Retry
from wrangler_py.store.database import open_store
from wrangler_py.store.sessions import open_session

#: When virtual time begins: 2026-01-01T00:00:00Z.
START_MS = 1_767_225_600_000

Script = Callable[[Batch], BatchOutcome | Awaitable[BatchOutcome]]


@dataclass(slots=True)
class Call:
    """One call of a handler."""

    at_s: float  # since START_MS
    batch: Batch
    outcome: BatchOutcome | None = None
    running: int = 0  # how many ran at that moment, this one included

    @property
    def bodies(self) -> list[str]:
        return [m.body.decode() for m in self.batch.messages]

    @property
    def attempts(self) -> list[int]:
        return [m.attempts for m in self.batch.messages]


class Handler:
    """Stands for a worker's `queue()`: notes its calls and answers with `script` ("ok" at first)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.calls: list[Call] = []
        self.script: Script = lambda batch: BatchOutcome()
        self.running = 0
        self.held: list[asyncio.Future[BatchOutcome]] = []

    async def __call__(self, batch: Batch) -> BatchOutcome:
        self.running += 1
        call = Call((self._clock.now_ms() - START_MS) / 1000, batch, running=self.running)
        self.calls.append(call)
        try:
            outcome = self.script(batch)
            call.outcome = await outcome if inspect.isawaitable(outcome) else outcome
        finally:
            self.running -= 1
        return call.outcome

    def hold(self) -> None:
        """From now on an invocation runs until `finish`."""

        async def wait(batch: Batch) -> BatchOutcome:
            future: asyncio.Future[BatchOutcome] = asyncio.get_running_loop().create_future()
            self.held.append(future)
            return await future

        self.script = wait

    def finish(self, outcome: BatchOutcome | None = None, which: int = 0) -> None:
        """End a held invocation, the longest running one first."""
        self.held.pop(which).set_result(outcome or BatchOutcome())

    @property
    def bodies(self) -> list[list[str]]:
        return [call.bodies for call in self.calls]

    @property
    def times(self) -> list[float]:
        return [call.at_s for call in self.calls]

    @property
    def flat(self) -> list[str]:
        return [body for call in self.calls for body in call.bodies]


@dataclass
class Room:
    """Store, session, broker and consumers of one `wpy dev` session."""

    folder: Path
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(START_MS))
    events: list[Event] = field(default_factory=list)
    consumers: dict[str, QueueConsumer] = field(default_factory=dict)
    handlers: dict[str, Handler] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock.settle = self.quiet
        self.log = EventLog(self.clock)
        self.log.subscribe(self.events.append)
        self.store = open_store(self.folder)
        self.session = open_session(self.store, self.clock.now_ms())
        self.broker = Broker(self.store, self.clock, self.log, self.session.id)

    # Building -----------------------------------------------------------------------------------------------------

    def consume(
        self, queue: str = "q", *, opened: bool = True, handler: Handler | None = None, **settings: object
    ) -> Handler:
        """Attach a consumer with these settings (the defaults are production's)."""
        handler = handler or Handler(self.clock)
        self.broker.ensure_queue(queue)
        consumer = QueueConsumer(Settings(queue, **settings), "worker", handler, self.broker, self.clock, self.log)
        self.consumers[queue] = consumer
        self.handlers[queue] = handler
        consumer.start()
        if opened:
            consumer.open()
        return handler

    def setting(self, queue: str, **columns: object) -> None:
        """Change a queue's settings in the database, as another process would."""
        self.broker.ensure_queue(queue)
        for column, value in columns.items():
            self.store.write(
                lambda c, k=column, v=value: c.execute(f"UPDATE queue SET {k} = ? WHERE name = ?", (v, queue))
            )

    # Doing --------------------------------------------------------------------------------------------------------

    async def send(
        self,
        *bodies: str | bytes | tuple[str, int | None],
        queue: str = "q",
        delay: int | None = None,
        batch: bool | None = None,
    ) -> QueueMetrics:
        """Send bodies, or (body, delaySeconds) pairs; several go as one sendBatch."""
        messages = [outgoing(body) for body in bodies]
        return await self.broker.send(queue, messages, delay, batch=len(messages) > 1 if batch is None else batch)

    async def advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    async def quiet(self) -> None:
        """Wait until nothing more happens without time moving on or a held invocation being finished."""
        for _ in range(10_000):
            before = self._signs()
            for _ in range(6):
                await asyncio.sleep(0)
            if self._signs() == before and not self._busy():
                return
        raise AssertionError("the room does not come to rest")

    def _signs(self) -> tuple[int, ...]:
        return (len(self.events), *(len(handler.calls) for handler in self.handlers.values()))

    def _busy(self) -> bool:
        return any(
            consumer.in_flight > len([held for held in self.handlers[queue].held if not held.done()])
            for queue, consumer in self.consumers.items()
        )

    async def close(self) -> None:
        """End in order, as Ctrl-C does."""
        for queue in list(self.consumers):
            for held in self.handlers[queue].held:
                if not held.done():
                    held.set_result(BatchOutcome("canceled"))
        await asyncio.gather(*(consumer.close() for consumer in self.consumers.values()))
        self.session.close()
        self.store.close()

    async def crash(self) -> None:
        """End as `kill -9` does: nothing more is written, the operating system lets go of the session's lock."""
        tasks = [task for consumer in self.consumers.values() for task in consumer._running]
        for consumer in self.consumers.values():
            consumer.hold()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.store._connection.close()
        self.session._lock.close()

    # Seeing -------------------------------------------------------------------------------------------------------

    def of(self, kind: str) -> list[dict]:
        """What was announced of one kind."""
        return [event.data for event in self.events if event.kind == kind]

    def rows(self, queue: str = "q", columns: str = "body") -> list:
        """What the table holds of a queue, in order of sending."""
        sql = f"SELECT {columns} FROM message WHERE queue_id = (SELECT id FROM queue WHERE name = ?) ORDER BY seq"
        rows = self.store.query(sql, (queue,))
        return [row[0] if len(row) == 1 else row for row in rows]

    def left(self, queue: str = "q") -> list[str]:
        """The bodies that are still in a queue, in order of sending."""
        return [body.decode() for body in self.rows(queue)]

    def backlog(self, queue: str = "q") -> tuple[int, int]:
        """The counters, after they were compared with the table."""
        metrics = self.broker.metrics(queue)
        bodies = self.rows(queue)
        assert (metrics.backlog_count, metrics.backlog_bytes) == (len(bodies), sum(map(len, bodies)))
        return metrics.backlog_count, metrics.backlog_bytes


def outgoing(body: str | bytes | tuple[str, int | None]) -> OutgoingMessage:
    delay = None
    if isinstance(body, tuple):
        body, delay = body
    return OutgoingMessage(body.encode() if isinstance(body, str) else body, "text", delay)


# What handlers say of a batch -----------------------------------------------------------------------------------------


def ids(batch: Batch, bodies: Iterable[str]) -> list[str]:
    """The ids of the messages with these bodies; those that are not in the batch are left out."""
    wanted = set(bodies)
    return [m.id for m in batch.messages if m.body.decode() in wanted]


def says(
    outcome: str = "ok",
    *,
    ack: Iterable[str] = (),
    retry: Iterable[str] | dict[str, int | None] = (),
    ack_all: bool = False,
    retry_all: Retry | bool | None = None,
) -> Script:
    """A handler that acknowledges and retries the messages with these bodies, and ends with `outcome`."""

    def script(batch: Batch) -> BatchOutcome:
        delays = retry if isinstance(retry, dict) else dict.fromkeys(retry)
        by_body = {m.body.decode(): m.id for m in batch.messages}
        return BatchOutcome(
            outcome,
            ack_all=ack_all,
            retry_all=Retry() if retry_all is True else retry_all or None,
            explicit_acks=set(ids(batch, ack)),
            retries={by_body[body]: Retry(delay) for body, delay in delays.items() if body in by_body},
        )

    return script


def in_turn(*scripts: Script) -> Script:
    """One script after the other; the last one stays."""
    left = list(scripts)

    def script(batch: Batch) -> BatchOutcome | Awaitable[BatchOutcome]:
        return (left.pop(0) if len(left) > 1 else left[0])(batch)

    return script


fails: Script = says("exception")
