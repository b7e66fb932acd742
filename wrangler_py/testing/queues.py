"""`wpy.queues`: the queues of the test, the deliveries from all of them, the history of a message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wrangler_py.config.model import Consumer
from wrangler_py.queues import browse, history, tables
from wrangler_py.queues.message import Batch, BatchOutcome, Message
from wrangler_py.testing.errors import KitError, UnknownQueue
from wrangler_py.testing.messages import Attempt, StoredMessage
from wrangler_py.testing.queue_handle import QueueHandle
from wrangler_py.testing.results import QueueResult, Why, queue_result
from wrangler_py.testing.values import as_datetime

if TYPE_CHECKING:
    from wrangler_py.queues.pull import Pulls
    from wrangler_py.testing.kit import Wpy

__tracebackhide__ = True


class Queues:
    """All queues of the test."""

    def __init__(self, wpy: Wpy) -> None:
        self._wpy = wpy
        self._handles: dict[str, QueueHandle] = {}
        self._pulls: Pulls | None = None
        #: The messages that were delivered, by id, as they are stored.
        self.raw: dict[str, Message] = {}
        #: What the handlers said of each batch, in order.
        self.deliveries: list[QueueResult] = []

    def started(self) -> None:
        """The emulator runs: listen to the batches."""
        host = self._wpy.emulation.host
        then = host.after_batch

        def delivered(batch: Batch, outcome: BatchOutcome) -> BatchOutcome:
            outcome = then(batch, outcome)
            consumer = self.consumer_of(batch.queue)
            result = queue_result(batch.queue, batch.messages, outcome, consumer or Consumer(batch.queue))
            self.deliveries.append(result)
            self.raw.update((message.id, message) for message in batch.messages)
            return outcome

        host.after_batch = delivered

    def forget(self) -> None:
        """The test begins anew."""
        self._pulls = None
        self.raw.clear()
        for handle in self._handles.values():
            handle._looked_at = 0
        self.deliveries.clear()

    # Which there are --------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The queues that the config names, and those that were made since."""
        names: list[str | None] = []
        for worker in self._wpy.config.workers:
            names += [producer.queue for producer in worker.producers]
            for consumer in worker.consumers:
                names += [consumer.queue, consumer.dead_letter_queue]
        if self._wpy.started:
            names += [record.name for record in tables.all_queues(self._wpy.emulator.store)]
        return sorted({name for name in names if name})

    def check(self, name: str) -> None:
        """Raises UnknownQueue for a name that is none of them."""
        if name not in self.names():
            raise UnknownQueue(
                f'{self._wpy.name}: there is no queue "{name}" in this project. There are: '
                f"{', '.join(self.names()) or 'none'}. Add it to the config, or correct the name."
            )

    def __getitem__(self, name: str) -> QueueHandle:
        if name not in self._handles:
            self.check(name)
            self._handles[name] = QueueHandle(self._wpy, self, name)
        return self._handles[name]

    def __iter__(self) -> Iterator[QueueHandle]:
        return iter([self[name] for name in self.names()])

    def consumer_of(self, queue: str) -> Consumer | None:
        for worker in self._wpy.config.workers:
            for consumer in worker.consumers:
                if consumer.queue == queue:
                    return consumer
        return None

    # Of single messages -----------------------------------------------------------------------------------------------

    def history(self, message_id: str) -> list[Attempt]:
        """The deliveries of a message, oldest first."""
        attempts = []
        for batch in history.of_message(self._wpy.emulator.store, message_id):
            for message in batch.messages:
                if message.id == message_id:
                    why = Why(message.reason, message.where)
                    at = as_datetime(batch.started_ms)
                    attempts.append(
                        Attempt(
                            message.attempt,
                            at,
                            batch.worker,
                            batch.outcome,
                            message.action,
                            why,
                            message.delay_seconds,
                            batch.error,
                        )
                    )
        return attempts

    async def replay(self, message: StoredMessage) -> None:
        """Send a dead letter back to the queue that it died in. Raises KitError for a message that is none."""
        from wrangler_py.queues import redrive

        target = message.died_in or next(
            (c.queue for w in self._wpy.config.workers for c in w.consumers if c.dead_letter_queue == message.queue),
            None,
        )
        if target is None:
            raise KitError(
                f'Message {message.id} of queue "{message.queue}" is no dead letter: nothing to replay it to.'
            )
        emulator = self._wpy.emulator
        record = tables.find_queue(emulator.store, message.queue)
        assert record is not None
        found = list(browse.with_ids(emulator.store, record, self._wpy.clock.now_ms, [message.id]))
        if not found:
            raise KitError(f'Message {message.id} is not in queue "{message.queue}" any more.')
        now_ms = self._wpy.clock.now_ms
        redrive.send_back(emulator.store, record, target, [found[0].message.seq], now_ms)
        emulator.broker.wake(target, [now_ms])

    def pulls(self) -> Pulls:
        """What leases messages to pull consumers."""
        if self._pulls is None:
            from wrangler_py.queues.pull import Pulls

            emulator = self._wpy.emulator
            self._pulls = Pulls(emulator.store, emulator.clock, emulator.events, emulator.broker)
            self._pulls.start()

            async def close() -> None:
                assert self._pulls is not None
                self._pulls.close()

            self._wpy.emulation.closing.append(close)
        return self._pulls
