"""What there is to say of each queue: its record and backlog from the state, its producers and consumers from the
project's config, from the sessions that run, and from what was made through the API.

A queue that only the config names counts as existing: the next `wpy dev` creates it. It has no record until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

from wrangler_py.config.model import Consumer, WorkerConfig
from wrangler_py.queues import tables
from wrangler_py.queues.consumers import (
    Attached,
    PullSettings,
    QueueConsumerInfo,
    WorkerSettings,
    of_queues,
    settings_object,
)
from wrangler_py.queues.limits import DEFAULT_DELIVERY_DELAY_SECONDS, DEFAULT_RETENTION_SECONDS
from wrangler_py.queues.tables import Counts, QueueRecord
from wrangler_py.store.database import Store
from wrangler_py.store.sessions import Attachment, SessionInfo, attachments, living_sessions


class ProducerEntry(Struct):
    """A Worker that sends to a queue."""

    worker: str
    bindings: list[str] = field(default_factory=list)
    #: The living sessions that run it; none when only the config names it.
    sessions: list[SessionInfo] = field(default_factory=list)


class ConsumerEntry(Struct):
    """A Worker that a queue is delivered to, or whoever pulls it."""

    #: Empty for an `http_pull` consumer.
    worker: str
    #: Those in force in a running session, else those of the config, else those given through the API.
    settings: WorkerSettings | PullSettings
    dead_letter_queue: str | None
    #: What the state knows of it; None when only the config names it.
    info: QueueConsumerInfo | None = None
    sessions: list[SessionInfo] = field(default_factory=list)

    @property
    def label(self) -> str:
        """As in wrangler's lists: the type, and the Worker where there is one."""
        return f"worker:{self.worker}" if isinstance(self.settings, WorkerSettings) else "http_pull"


class QueueEntry(Struct):
    """One queue."""

    name: str
    #: None: the config names it, and no session has created it yet.
    record: QueueRecord | None = None
    counts: Counts = field(default_factory=lambda: Counts(0, 0, 0))
    #: When the message that has waited longest was sent, and when it came into this queue (ms): a dead letter was sent
    #: earlier. Retention counts from the second.
    oldest_ms: int | None = None
    oldest_entered_ms: int | None = None
    producers: dict[str, ProducerEntry] = field(default_factory=dict)
    consumers: list[ConsumerEntry] = field(default_factory=list)

    @property
    def delivery_delay(self) -> int:
        """Seconds."""
        return self.record.delivery_delay if self.record else DEFAULT_DELIVERY_DELAY_SECONDS

    @property
    def message_retention_period(self) -> int:
        """Seconds."""
        return self.record.message_retention_period if self.record else DEFAULT_RETENTION_SECONDS

    @property
    def delivery_paused(self) -> bool:
        return self.record is not None and bool(self.record.delivery_paused)


class Inventory(Struct, frozen=True):
    """The queues of a state folder and its project, by name."""

    queues: dict[str, QueueEntry]

    def sources_of(self, dead_letter_queue: str) -> list[str]:
        """The queues whose dead letters go to this one."""
        return [
            queue.name
            for queue in self.queues.values()
            if any(consumer.dead_letter_queue == dead_letter_queue for consumer in queue.consumers)
        ]


def take_inventory(store: Store | None, workers: Sequence[WorkerConfig]) -> Inventory:
    """All queues that the state (None: there is none yet) and the project's Workers know of."""
    queues: dict[str, QueueEntry] = {}
    if store is not None:
        for record in tables.all_queues(store):
            queues[record.name] = QueueEntry(record.name, record)
    _add_config(queues, workers)
    if store is not None:
        _add_sessions(queues, store)
    return Inventory(dict(sorted(queues.items())))


def count_messages(store: Store | None, queues: Iterable[QueueEntry], now_ms: int) -> None:
    """Fill in where the messages of these queues are. Walks each queue: for the queues that are shown, no others."""
    for queue in queues:
        if store is not None and queue.record is not None:
            queue.counts = tables.counts(store, queue.record.id, now_ms)
            queue.oldest_ms = tables.oldest_ms(store, queue.record.id)
            queue.oldest_entered_ms = tables.oldest_entered_ms(store, queue.record.id)


def _entry(queues: dict[str, QueueEntry], name: str) -> QueueEntry:
    return queues.setdefault(name, QueueEntry(name))


def _add_config(queues: dict[str, QueueEntry], workers: Sequence[WorkerConfig]) -> None:
    for worker in workers:
        for producer in worker.producers:
            ends = _entry(queues, producer.queue).producers
            ends.setdefault(worker.name, ProducerEntry(worker.name)).bindings.append(producer.binding)
        for consumer in worker.consumers:
            entry = ConsumerEntry(worker.name, _config_settings(consumer), consumer.dead_letter_queue)
            _entry(queues, consumer.queue).consumers.append(entry)
            if consumer.dead_letter_queue:
                _entry(queues, consumer.dead_letter_queue)


def _config_settings(consumer: Consumer) -> WorkerSettings:
    return WorkerSettings(
        batch_size=consumer.max_batch_size,
        max_retries=consumer.max_retries,
        max_wait_time_ms=round(consumer.max_batch_timeout * 1000),
        max_concurrency=consumer.max_concurrency,
        retry_delay=consumer.retry_delay,
    )


def _add_sessions(queues: dict[str, QueueEntry], store: Store) -> None:
    records = [queue.record for queue in queues.values() if queue.record is not None]
    if not records:
        return
    living = {session.id: session for session in living_sessions(store)}
    attached = attachments(store)
    consumers = of_queues(store, records, Attached(store))
    for record in records:
        for info in consumers[record.id]:
            _add_consumer(queues[record.name], info)
    for attachment in attached:
        session, queue = living.get(attachment.session_id), queues.get(attachment.queue)
        if session is not None and queue is not None:  # a session may end, and begin, between two looks
            _add_attachment(queue, attachment, session)


def _add_consumer(queue: QueueEntry, info: QueueConsumerInfo) -> None:
    for consumer in queue.consumers:
        if info.type == "worker" and consumer.worker == info.script:
            consumer.info = info
            if info.running:
                consumer.settings, consumer.dead_letter_queue = info.settings, info.dead_letter_queue
            return
    queue.consumers.append(ConsumerEntry(info.script, info.settings, info.dead_letter_queue, info))


def _add_attachment(queue: QueueEntry, attachment: Attachment, session: SessionInfo) -> None:
    if attachment.role == "consumer":
        for consumer in queue.consumers:
            if consumer.worker == attachment.worker:
                consumer.sessions.append(session)
        return
    producer = queue.producers.setdefault(attachment.worker, ProducerEntry(attachment.worker))
    binding = attachment.detail.get("binding")
    if isinstance(binding, str) and binding not in producer.bindings:
        producer.bindings.append(binding)
    if session not in producer.sessions:
        producer.sessions.append(session)


# Cloudflare's object shapes.


def queue_object(queue: QueueEntry, inventory: Inventory) -> dict[str, Any]:
    """A queue as Cloudflare's REST API gives it (API v4: Queues > Get Queue), with what wpy knows besides.

    Cloudflare's keys: `queue_id`, `queue_name`, `created_on`, `modified_on` (RFC 3339), `producers`,
    `producers_total_count`, `consumers`, `consumers_total_count`, `settings`. `queue_id`, `created_on` and
    `modified_on` are null for a queue that the config names and no session has created yet; likewise a consumer's
    `consumer_id` and `created_on`.
    wpy's own: `backlog` (Cloudflare's QueueMetrics, and where the messages are), `dead_letter_queue_of` (queues whose
    dead letters come here); in `producers` also `bindings`, and in both lists `sessions` (pid and url of each
    `wpy dev` that runs the Worker; url is null while it starts).
    """
    record = queue.record
    return {
        "queue_id": record.uuid if record else None,
        "queue_name": queue.name,
        "created_on": rfc3339(record.created_ms) if record else None,
        "modified_on": rfc3339(record.modified_ms) if record else None,
        "producers_total_count": len(queue.producers),
        "producers": [
            {"type": "worker", "script": p.worker, "bindings": p.bindings, "sessions": _sessions(p.sessions)}
            for p in queue.producers.values()
        ],
        "consumers_total_count": len(queue.consumers),
        "consumers": [consumer_object(queue, consumer) for consumer in queue.consumers],
        "settings": {
            "delivery_delay": queue.delivery_delay,
            "delivery_paused": queue.delivery_paused,
            "message_retention_period": queue.message_retention_period,
        },
        "backlog": {
            "backlog_count": record.backlog_count if record else 0,
            "backlog_bytes": record.backlog_bytes if record else 0,
            "oldest_message_timestamp_ms": queue.oldest_ms or 0,  # as Cloudflare's: 0 when there is none
            "ready": queue.counts.ready,
            "delayed": queue.counts.delayed,
            "in_flight": queue.counts.in_flight,
        },
        "dead_letter_queue_of": inventory.sources_of(queue.name),
    }


def consumer_object(queue: QueueEntry, consumer: ConsumerEntry) -> dict[str, Any]:
    """A consumer likewise (API v4: Queues > Consumers)."""
    info = consumer.info
    is_worker = isinstance(consumer.settings, WorkerSettings)
    return {
        "consumer_id": info.id if info else None,
        "created_on": rfc3339(info.created_ms) if info else None,
        "type": "worker" if is_worker else "http_pull",
        **({"script": consumer.worker, "script_name": consumer.worker} if is_worker else {}),
        "queue_name": queue.name,
        "dead_letter_queue": consumer.dead_letter_queue or "",
        "settings": settings_object(consumer.settings),
        "sessions": _sessions(consumer.sessions),
    }


def _sessions(sessions: Sequence[SessionInfo]) -> list[dict[str, Any]]:
    return [{"pid": session.pid, "url": session.url} for session in sessions]


def rfc3339(ms: int) -> str:
    """Microseconds and Z, as Cloudflare writes its timestamps."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}000Z"
