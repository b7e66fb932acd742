"""The workers of a session: each with its runtime and its consumers, and how a changed config reaches them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from wrangler_py.clock import Clock
from wrangler_py.config.model import SessionConfig, WorkerConfig
from wrangler_py.events.log import EventLog
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.consumer import QueueConsumer
from wrangler_py.queues.faults import QueueFaults
from wrangler_py.runtime.base import LoadResult, Runtime
from wrangler_py.session.runtimes import MakeRuntime


class HostedWorker:
    """One worker: its code, and the queues delivered to it."""

    def __init__(
        self,
        config: WorkerConfig,
        broker: Broker,
        clock: Clock,
        events: EventLog,
        make_runtime: MakeRuntime,
        faults: QueueFaults,
    ) -> None:
        self.config = config
        self._broker = broker
        self._clock = clock
        self._events = events
        self._gate_open = False
        self.consumers: dict[str, QueueConsumer] = {}
        self.runtime = make_runtime(config, self._gate)
        self._deliver = faults.around(self.runtime.queue, lambda queue: self.consumers[queue].settings)
        #: The user's source files that the last load imported.
        self.files: tuple[str, ...] = ()
        #: Why the code as it is on disk could not be loaded; the version before may go on serving.
        self.refused: str | None = None
        self._loaded_before = False

    @property
    def starting(self) -> bool:
        """Whether its code is being started again, after a crash or a reload. Broken code is not, and code that waits for
        the version before, whose handlers sleep until the clock moves, is not either."""
        return not self._gate_open and self.runtime.broken is None and not self.runtime.drains_asleep

    @property
    def busy(self) -> bool:
        """Whether a batch runs that does more than sleep until the clock moves."""
        in_flight = sum(consumer.in_flight for consumer in self.consumers.values())
        return in_flight > self.runtime.sleeping("queue")

    def _gate(self, is_open: bool) -> None:
        self._gate_open = is_open
        for consumer in self.consumers.values():
            if is_open:
                consumer.open()
            else:
                consumer.hold()

    async def load(self, config: WorkerConfig | None = None) -> LoadResult:
        """Load the code, and say how it went."""
        started = time.perf_counter()
        result = await self.runtime.load(config)
        self.files = result.files or self.files
        self.refused = result.error
        if result.error is not None:
            serving = not self.runtime.broken
            self._events.emit("worker.load_failed", worker=self.config.name, error=result.error, serving=serving)
        elif self._loaded_before:
            ms = round((time.perf_counter() - started) * 1000)
            self._events.emit("worker.reloaded", worker=self.config.name, ms=ms)
        self._loaded_before = True
        for warning in (*result.warnings, *(self._missing_handlers() if result.error is None else ())):
            self._events.emit("worker.warned", worker=self.config.name, text=warning)
        return result

    def _missing_handlers(self) -> list[str]:
        """What the config asks of the code and the code does not have; production accepts it and fails every time."""
        main, handlers = self.config.main.name, self.runtime.handlers
        missing = []
        if self.config.consumers and "queue" not in handlers:
            queues = ", ".join(consumer.queue for consumer in self.config.consumers)
            missing.append(f"it consumes {queues}, and {main} has no queue() handler: every batch will fail")
        if self.config.crons and "scheduled" not in handlers:
            missing.append(f"it has crons, and {main} has no scheduled() handler: every run will fail")
        return missing

    async def drop_consumers(self, config: WorkerConfig) -> None:
        """Let go of the queues that `config` no longer names."""
        wanted = {consumer.queue for consumer in config.consumers}
        for queue in [queue for queue in self.consumers if queue not in wanted]:
            await self.consumers.pop(queue).close()

    def take_consumers(self, config: WorkerConfig) -> None:
        """Attach the queues that `config` names, with its settings."""
        for producer in config.producers:
            self._broker.ensure_queue(producer.queue)
        for settings in config.consumers:
            self._broker.ensure_queue(settings.queue)
            if settings.dead_letter_queue:
                self._broker.ensure_queue(settings.dead_letter_queue)
            existing = self.consumers.get(settings.queue)
            if existing is not None:
                existing.reconfigure(settings)
                continue
            consumer = QueueConsumer(settings, config.name, self._deliver, self._broker, self._clock, self._events)
            self.consumers[settings.queue] = consumer
            consumer.start()
            if self._gate_open:
                consumer.open()

    async def close(self, grace_s: float) -> None:
        """Start nothing more, give what runs `grace_s` seconds, end the processes, and settle what they left."""
        closing = [asyncio.ensure_future(consumer.close()) for consumer in self.consumers.values()]
        await self.runtime.close(grace_s)
        if closing:
            await asyncio.gather(*closing)


class WorkerSet:
    """All workers of a session, in the order of their configs. Workers (server/front_door.py)."""

    def __init__(self, make: Callable[[WorkerConfig], HostedWorker]) -> None:
        self._make = make
        self._workers: dict[str, HostedWorker] = {}

    def all(self) -> list[HostedWorker]:
        return list(self._workers.values())

    def primary(self) -> Runtime:
        return next(iter(self._workers.values())).runtime

    def named(self, name: str) -> Runtime | None:
        worker = self._workers.get(name)
        return worker.runtime if worker is not None else None

    async def apply(self, session: SessionConfig) -> None:
        """Bring the workers in line with a config: load what is new or changed, end what is gone."""
        wanted = {config.name: config for config in session.workers}
        gone = [self._workers[name] for name in self._workers if name not in wanted]
        changed = []
        workers: dict[str, HostedWorker] = {}
        for name, config in wanted.items():
            worker = self._workers.get(name)
            if worker is None:
                worker = self._make(config)
                changed.append(worker)
            elif worker.config != config:
                changed.append(worker)
            worker.config = config
            workers[name] = worker
        self._workers = workers
        for worker in gone:
            await worker.close(grace_s=1.0)
        # A consumer that moved from one worker to another is let go before it is taken up.
        for worker in changed:
            await worker.drop_consumers(worker.config)
        for worker in changed:
            worker.take_consumers(worker.config)
        await asyncio.gather(*(worker.load(worker.config) for worker in changed))

    def consumer(self, queue: str) -> QueueConsumer | None:
        """Whoever consumes a queue in this session."""
        for worker in self.all():
            if queue in worker.consumers:
                return worker.consumers[queue]
        return None

    @property
    def busy(self) -> bool:
        """Whether a batch runs anywhere. One that sleeps until the clock moves (`--worker-clock`) does not."""
        return any(worker.busy for worker in self.all())

    async def idle(self) -> None:
        """Wait until no batch runs any more."""
        for worker in self.all():
            for consumer in worker.consumers.values():
                await consumer.idle()

    async def close(self, grace_s: float) -> None:
        await asyncio.gather(*(worker.close(grace_s) for worker in self._workers.values()))
