"""The consumers of queues as Cloudflare's API knows them: made, changed and removed through it, and listed beside those
that run.

What runs is said by the configs of the living sessions, and by them alone: a `worker` consumer made through the API is
kept and listed, and whoever makes it is told that it starts nothing. An `http_pull` consumer takes effect at once: from
then on its queue is pulled, and no Worker gets it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field
from msgspec.structs import asdict, force_setattr

from wrangler_py.clock import Clock
from wrangler_py.config.limits_and_texts import own_dead_letter_queue
from wrangler_py.events.log import EventLog
from wrangler_py.queues import limits, tables
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.queues.values import whole_number_between
from wrangler_py.store.database import Store
from wrangler_py.store.sessions import attachments, living_sessions

if TYPE_CHECKING:
    from wrangler_py.queues.broker import Broker

ConsumerType = Literal["worker", "http_pull"]

_COLUMNS = "id, queue_id, type, script, environment, dead_letter_queue, created_ms, settings"
_OF_QUEUE = f"SELECT {_COLUMNS} FROM consumer WHERE queue_id = ?"
_ALL = f"SELECT {_COLUMNS} FROM consumer"
_INSERT = f"INSERT OR REPLACE INTO consumer ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM consumer WHERE id = ?"


class WorkerSettings(Struct, frozen=True):
    """Settings of a `worker` consumer; the defaults are production's."""

    batch_size: int = limits.DEFAULT_BATCH_SIZE
    max_retries: int = limits.DEFAULT_RETRIES
    max_wait_time_ms: int = limits.DEFAULT_BATCH_TIMEOUT_MS
    #: None: scaled by the service.
    max_concurrency: int | None = None
    retry_delay: int = limits.DEFAULT_RETRY_DELAY_SECONDS  # seconds


class PullSettings(Struct, frozen=True):
    """Settings of an `http_pull` consumer; the defaults are production's."""

    batch_size: int = limits.DEFAULT_PULL_BATCH_SIZE
    max_retries: int = limits.DEFAULT_RETRIES
    visibility_timeout_ms: int = limits.DEFAULT_VISIBILITY_TIMEOUT_MS
    retry_delay: int = limits.DEFAULT_RETRY_DELAY_SECONDS  # seconds


#: What each setting may be.
_RANGES = {
    "batch_size": (1, limits.MAX_BATCH_SIZE),
    "max_retries": (0, limits.MAX_RETRIES),
    "max_wait_time_ms": (0, limits.MAX_BATCH_TIMEOUT_MS),
    "max_concurrency": (1, limits.MAX_CONCURRENCY),
    "retry_delay": (0, limits.MAX_DELAY_SECONDS),
    "visibility_timeout_ms": (0, limits.MAX_VISIBILITY_TIMEOUT_MS),
}
_SETTINGS: dict[str, tuple[str, ...]] = {
    "worker": tuple(WorkerSettings.__struct_fields__),
    "http_pull": tuple(PullSettings.__struct_fields__),
}


class ConsumerSpec(Struct, frozen=True):
    """A consumer as a caller asks for it. Raises Refusal when a setting is not what production accepts."""

    type: ConsumerType
    #: A `worker` consumer's Worker.
    script: str = ""
    environment: str = ""
    dead_letter_queue: str | None = None
    #: What the caller set; unknown names are passed over.
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = _SETTINGS[self.type]
        kept = {name: _setting(name, value) for name, value in self.settings.items() if name in names}
        force_setattr(self, "settings", kept)


class QueueConsumerInfo(Struct, frozen=True):
    """One consumer of one queue."""

    id: str  # 32 hex characters, Cloudflare's `consumer_id`
    queue_name: str
    queue_id: str
    type: ConsumerType
    script: str
    environment: str
    dead_letter_queue: str | None
    created_ms: int
    settings: WorkerSettings | PullSettings
    #: Made through the API.
    stored: bool
    #: Named by the config of a living session, whose settings these are.
    running: bool


class Attached:
    """What the Workers of the living sessions do with queues, read once."""

    def __init__(self, store: Store) -> None:
        started = {session.id: session.started_ms for session in living_sessions(store)}
        self.workers: set[str] = set()
        self.producers: dict[str, list[str]] = {}
        self._consumers: dict[str, dict[str, tuple[WorkerSettings, str | None, int]]] = {}
        for a in attachments(store):
            self.workers.add(a.worker)
            if a.role == "producer":
                workers = self.producers.setdefault(a.queue, [])
                if a.worker not in workers:
                    workers.append(a.worker)
            elif a.session_id in started:
                dead_letter_queue = a.detail.get("dead_letter_queue")
                running = (_running_settings(a.detail), dead_letter_queue, started[a.session_id])
                self._consumers.setdefault(a.queue, {})[a.worker] = running

    def consumers(self, record: QueueRecord) -> dict[str, QueueConsumerInfo]:
        """The consumers of a queue, by Worker."""
        found = {}
        for worker, (settings, dead_letter_queue, started_ms) in self._consumers.get(record.name, {}).items():
            consumer_id = hashlib.sha256(f"{record.uuid} {worker}".encode()).hexdigest()[:32]
            found[worker] = QueueConsumerInfo(
                *(consumer_id, record.name, record.uuid, "worker", worker, "", dead_letter_queue, started_ms, settings),
                stored=False,
                running=True,
            )
        return found

    def sources_of(self, dead_letter_queue: str) -> list[str]:
        """The queues whose dead letters go there."""
        return [
            queue
            for queue, consumers in self._consumers.items()
            if any(target == dead_letter_queue for _, target, _ in consumers.values())
        ]


class Consumers:
    """The consumers that are made, changed and removed through the API. Methods raise Refusal."""

    def __init__(self, store: Store, clock: Clock, events: EventLog, broker: Broker) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._broker = broker

    def of(self, record: QueueRecord) -> list[QueueConsumerInfo]:
        """The consumers of a queue: at most one that was made through the API, then those that run."""
        return of_queues(self._store, [record], Attached(self._store))[record.id]

    def get(self, record: QueueRecord, consumer_id: str) -> QueueConsumerInfo:
        for consumer in self.of(record):
            if consumer.id == consumer_id:
                return consumer
        raise limits.consumer_unknown(consumer_id)

    async def create(self, record: QueueRecord, spec: ConsumerSpec) -> tuple[QueueConsumerInfo, list[str]]:
        """Make a consumer. Second: what the caller should know of it."""
        self._check_dead_letter_queue(record, spec)
        if self.of(record):
            raise limits.consumer_exists(record.name)
        return await self._write(record, os.urandom(16).hex(), spec)

    async def replace(
        self, record: QueueRecord, consumer_id: str, spec: ConsumerSpec
    ) -> tuple[QueueConsumerInfo, list[str]]:
        """Give a consumer other settings; what `spec` leaves out goes back to its default."""
        existing = self.get(record, consumer_id)
        self._check_dead_letter_queue(record, spec)
        running = Attached(self._store).consumers(record)
        if running and (spec.type != "worker" or spec.script not in running):
            raise limits.consumer_exists(record.name)
        return await self._write(record, existing.id, spec, existing)

    async def remove(self, record: QueueRecord, consumer_id: str) -> None:
        """Remove a consumer. One that a config names is refused: it would go on."""
        consumer = self.get(record, consumer_id)
        if consumer.running:
            raise limits.consumer_in_config(consumer.script, record.name)
        await self._store.submit(lambda c: c.execute(_DELETE, (consumer.id,)).rowcount)
        self._events.emit("consumer.deleted", queue=record.name, type=consumer.type, worker=consumer.script)
        self._broker.wake(record.name)

    def _check_dead_letter_queue(self, record: QueueRecord, spec: ConsumerSpec) -> None:
        name = spec.dead_letter_queue
        if name is None:
            return
        if name == record.name:
            raise limits.consumer_settings_invalid(own_dead_letter_queue(name))
        if tables.find_queue(self._store, name) is None and not re.fullmatch(limits.QUEUE_NAME_PATTERN, name):
            raise limits.queue_name_invalid(name)

    async def _write(
        self, record: QueueRecord, consumer_id: str, spec: ConsumerSpec, existing: QueueConsumerInfo | None = None
    ) -> tuple[QueueConsumerInfo, list[str]]:
        now = self._clock.now_ms()
        row = (consumer_id, record.id, spec.type, spec.script, spec.environment, spec.dead_letter_queue)

        def operation(connection: sqlite3.Connection) -> bool:
            stored = [r[0] for r in connection.execute(_OF_QUEUE, (record.id,))]
            if stored and stored != [consumer_id]:
                raise limits.consumer_exists(record.name)
            if existing is not None and existing.stored and not stored:  # removed by another caller meanwhile
                raise limits.consumer_unknown(consumer_id)
            if tables.find_queue_by_uuid(connection, record.uuid) is None:
                raise limits.queue_unknown(record.uuid)
            values = (*row, now if existing is None else existing.created_ms, json.dumps(dict(spec.settings)))
            connection.execute(_INSERT, values)
            if spec.dead_letter_queue is None:
                return False
            return tables.ensure_queue(connection, spec.dead_letter_queue, now)[1]

        if await self._store.submit(operation):
            self._events.emit("queue.created", queue=spec.dead_letter_queue)
        event = "consumer.created" if existing is None else "consumer.updated"
        consumer = self.get(record, consumer_id)
        notes = _notes(consumer, spec)
        self._events.emit(event, queue=record.name, type=spec.type, worker=spec.script, notes=notes)
        self._broker.wake(record.name)
        return consumer, notes


def _notes(consumer: QueueConsumerInfo, spec: ConsumerSpec) -> list[str]:
    """What takes no effect, and why."""
    if spec.type == "http_pull":
        return []
    if not consumer.running:
        return [
            f"Worker '{spec.script}' gets nothing from queue '{consumer.queue_name}' yet: it is delivered by the session "
            "whose config has it in queues.consumers."
        ]
    asked = (WorkerSettings(**spec.settings), spec.dead_letter_queue)
    if asked == (consumer.settings, consumer.dead_letter_queue):
        return []
    return [
        f"Worker '{spec.script}' goes on with the settings of its config, in queues.consumers of the running session; "
        "those of this call were only stored."
    ]


# Reading --------------------------------------------------------------------------------------------------------------


def pull_consumer(source: Store | sqlite3.Connection, record: QueueRecord) -> QueueConsumerInfo | None:
    """The `http_pull` consumer of a queue, or None."""
    rows = (
        source.query(_OF_QUEUE, (record.id,)) if isinstance(source, Store) else source.execute(_OF_QUEUE, (record.id,))
    )
    for row in rows:
        if row[2] == "http_pull":
            return _consumer(row, record)
    return None


def of_queues(store: Store, records: Sequence[QueueRecord], attached: Attached) -> dict[int, list[QueueConsumerInfo]]:
    """The consumers of some queues, by the queue's row."""
    rows = store.query(_OF_QUEUE, (records[0].id,)) if len(records) == 1 else store.query(_ALL)
    by_queue = {row[1]: row for row in rows}
    return {r.id: _merged(by_queue.get(r.id), r, attached.consumers(r)) for r in records}


def sources_of(store: Store, attached: Attached, dead_letter_queue: str) -> list[str]:
    """The queues whose dead letters go to a queue, itself left out."""
    stored = store.query(
        "SELECT queue.name FROM consumer JOIN queue ON queue.id = consumer.queue_id WHERE dead_letter_queue = ?",
        (dead_letter_queue,),
    )
    return sorted({*(row[0] for row in stored), *attached.sources_of(dead_letter_queue)} - {dead_letter_queue})


def _merged(
    row: Sequence[Any] | None, record: QueueRecord, running: dict[str, QueueConsumerInfo]
) -> list[QueueConsumerInfo]:
    if row is None:
        return list(running.values())
    stored = _consumer(row, record)
    twin = running.pop(stored.script, None) if stored.type == "worker" else None
    if twin is not None:  # one and the same consumer: the config says how it runs
        stored = QueueConsumerInfo(
            *(stored.id, record.name, record.uuid, "worker", stored.script, stored.environment, twin.dead_letter_queue),
            *(stored.created_ms, twin.settings),
            stored=True,
            running=True,
        )
    return [stored, *running.values()]


def _consumer(row: Iterable[Any], record: QueueRecord) -> QueueConsumerInfo:
    consumer_id, _, kind, script, environment, dead_letter_queue, created_ms, text = row
    given = json.loads(text)
    settings = WorkerSettings(**given) if kind == "worker" else PullSettings(**given)
    return QueueConsumerInfo(
        *(consumer_id, record.name, record.uuid, kind, script, environment, dead_letter_queue, created_ms, settings),
        stored=True,
        running=False,
    )


def _running_settings(detail: Mapping[str, Any]) -> WorkerSettings:
    """The settings of a config's consumer, in the API's terms."""
    default = WorkerSettings()
    timeout = detail.get("max_batch_timeout")
    return WorkerSettings(
        batch_size=detail.get("max_batch_size", default.batch_size),
        max_retries=detail.get("max_retries", default.max_retries),
        max_wait_time_ms=default.max_wait_time_ms if timeout is None else round(timeout * 1000),
        max_concurrency=detail.get("max_concurrency"),
        retry_delay=detail.get("retry_delay", default.retry_delay),
    )


def _setting(name: str, value: Any) -> int | None:
    if value is None and name == "max_concurrency":
        return None
    try:
        return whole_number_between(name, value, *_RANGES[name])
    except ValueError as error:
        raise limits.consumer_settings_invalid(str(error)) from error


def settings_object(settings: WorkerSettings | PullSettings) -> dict[str, Any]:
    """The settings by their names in the API."""
    return asdict(settings)
