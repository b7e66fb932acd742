"""Sends of a process that serves no session: each is stored in a transaction of its own, and waits for those who write.

What a session lets in goes through the broker, which gathers the sends of many handlers into one commit. A command has
nobody to gather for, wants the ids, and must know after a Ctrl-C what is stored and what is not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from msgspec import Struct

from wrangler_py.queues import limits, tables
from wrangler_py.queues.intake import check_limits, incoming
from wrangler_py.queues.message import OutgoingMessage, QueueMetrics
from wrangler_py.store.database import Store


class Stored(Struct, frozen=True):
    """What a send has stored."""

    #: 32 hex characters each, in the order of the messages.
    ids: Sequence[str]
    #: The backlog of the queue with them in it.
    metrics: QueueMetrics
    #: When each is ready (ms).
    ready: Sequence[int] = ()


def store_messages(
    store: Store,
    queue: str,
    messages: Sequence[OutgoingMessage],
    now_ms: int,
    delay_seconds: int | None = None,
    *,
    batch: bool = False,
) -> Stored:
    """Store messages in an existing queue: all of them or none.

    Delay as in `incoming`. `batch`: they
    are one sendBatch, with its limits; else each is a send of its own. Raises QueueSendError, sqlite3.Error or StateError.
    """
    check_limits(messages, delay_seconds, batch=batch)

    def operation(connection: sqlite3.Connection) -> Stored:
        record = tables.find_queue(connection, queue)
        if record is None:
            raise limits.QueueSendError(limits.QUEUE_NOT_FOUND, f"Queue {queue} does not exist")
        new = incoming(messages, delay_seconds, record.delivery_delay, now_ms)
        tables.append(connection, record.id, now_ms, new)
        ids, ready = [message.id.hex() for message in new], [message.visible_ms for message in new]
        return Stored(ids, tables.metrics(connection, queue), ready)

    return store.write(operation)
