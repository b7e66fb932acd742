"""What the rooms know, in the shapes of Cloudflare's API (see schemas.py)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from wrangler_py.queues.admin import Queue, settings_of
from wrangler_py.queues.consumers import QueueConsumerInfo, settings_object
from wrangler_py.queues.message import Message, QueueMetrics, Source
from wrangler_py.queues.peek import PeekedMessage
from wrangler_py.queues.pull_leases import PulledMessage
from wrangler_py.queues.subscriptions import Subscription


def moment(ms: int) -> str:
    """RFC 3339 with microseconds and Z, as Cloudflare writes it."""
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}000Z"


def queue(q: Queue) -> dict[str, Any]:
    record = q.record
    settings = settings_of(record)
    found = {
        "queue_id": record.uuid,
        "queue_name": record.name,
        "created_on": moment(record.created_ms),
        "modified_on": moment(record.modified_ms),
        "producers_total_count": len(q.producers),
        "producers": [{"type": "worker", "script": worker} for worker in q.producers],
        "consumers_total_count": len(q.consumers),
        "consumers": [consumer(c) for c in q.consumers],
        "settings": {
            "delivery_delay": settings.delivery_delay,
            "delivery_paused": settings.delivery_paused,
            "message_retention_period": settings.message_retention_period,
        },
    }
    if q.jurisdiction is not None:
        found["jurisdiction"] = q.jurisdiction
    return found


def consumer(c: QueueConsumerInfo) -> dict[str, Any]:
    found: dict[str, Any] = {
        "consumer_id": c.id,
        "created_on": moment(c.created_ms),
        "queue_name": c.queue_name,
        "queue_id": c.queue_id,
        "type": c.type,
        "dead_letter_queue": c.dead_letter_queue or "",
        "settings": settings_object(c.settings),
    }
    if c.type == "worker":
        found["script"] = found["script_name"] = c.script
        if c.environment:
            found["environment"] = c.environment
    return found


def metrics(m: QueueMetrics) -> dict[str, int]:
    return {
        "backlog_bytes": m.backlog_bytes,
        "backlog_count": m.backlog_count,
        "oldest_message_timestamp_ms": m.oldest_timestamp_ms or 0,
    }


def pulled(p: PulledMessage) -> dict[str, Any]:
    return {**_message(p.message, p.source, p.delay_seconds), "lease_id": p.lease_id}


def peeked(p: PeekedMessage) -> dict[str, Any]:
    return {**_message(p.message, p.source, p.delay_seconds), "ref": p.ref}


def previewed(messages: Sequence[PeekedMessage], leases: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {**_message(p.message, p.source, p.delay_seconds), "lease_id": lease}
        for p, lease in zip(messages, leases, strict=True)
    ]


def _message(m: Message, source: Source, delay_seconds: int | None) -> dict[str, Any]:
    is_text = m.content_type == "text"
    metadata: dict[str, str] = {"CF-Content-Type": m.content_type, "CF-sourceMessageSource": source}
    if delay_seconds is not None:
        metadata["CF-msg-delay-secs"] = str(delay_seconds)
    return {
        "id": m.id,
        "timestamp_ms": m.timestamp_ms,
        "attempts": m.attempts,
        "body": m.body.decode("utf-8", "replace") if is_text else base64.b64encode(m.body).decode(),
        "metadata": metadata,
    }


def subscription(s: Subscription) -> dict[str, Any]:
    return {
        "id": s.id,
        "created_at": moment(s.created_ms),
        "modified_at": moment(s.modified_ms),
        "name": s.name,
        "enabled": s.enabled,
        "source": s.source,
        "destination": {"type": "queues.queue", "queue_id": s.queue_id},
        "events": s.events,
    }
