"""Looking at all messages of a queue, wherever they are: in flight, ready, delayed. Nothing is changed by it.

`peek.py` is the call of Cloudflare's API, which shows what is ready; this is for whoever wants to see the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

from msgspec import Struct

from wrangler_py.queues import tables
from wrangler_py.queues.message import ContentType, Message, Source
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.store.database import Store

State = Literal["ready", "delayed", "in_flight"]

_COLUMNS = (
    "seq, id, created_ms, attempts, content_type, body, entered_ms, visible_ms, owner, source, delay_seconds, died_in, "
    "died_after, "
    "(SELECT max(until_ms) FROM lease WHERE lease.seq = message.seq AND state = 'open')"
)
_IN_FLIGHT = f"""
    SELECT {_COLUMNS} FROM message INDEXED BY message_leased WHERE owner <> 0 AND queue_id = ? ORDER BY seq LIMIT ?
"""
_WAITING = f"""
    SELECT {_COLUMNS} FROM message INDEXED BY message_waiting WHERE queue_id = ? AND owner = 0
    ORDER BY visible_ms, seq LIMIT ?
"""
_BY_ID = f"SELECT {_COLUMNS} FROM message WHERE id = ? AND queue_id = ?"
_ANYWHERE = f"SELECT queue_id, {_COLUMNS} FROM message WHERE id = ?"

_CONTENT_TYPES = get_args(ContentType)
_SOURCES = get_args(Source)


class StoredMessage(Struct, frozen=True):
    """A message where it is now. Times in ms. Its `attempts` are the deliveries it has had, with the running one."""

    message: Message
    state: State
    #: When it came into this queue; for a dead letter that is later than its `timestamp_ms`.
    entered_ms: int
    #: When it is ready, or was; for one in flight to a pull consumer when its lease ends; None in flight to a Worker.
    due_ms: int | None
    #: The session that delivers it just now, -1 for a pull consumer, 0 for none.
    owner: int
    source: Source
    delay_seconds: int | None
    #: The queue whose dead letter it is.
    died_in: str | None
    #: How often it was delivered there; None: no dead letter, or one of a time before that was kept.
    died_after: int | None
    #: It has outlived the queue's retention, and is deleted as soon as somebody looks after the queue.
    expired: bool


def messages(store: Store, record: QueueRecord, now_ms: int, limit: int) -> list[StoredMessage]:
    """Up to `limit` messages of a queue: those in flight, then the others in the order in which they are or become
    ready."""
    rows = store.query(_IN_FLIGHT, (record.id, limit))
    rows += store.query(_WAITING, (record.id, limit - len(rows)))
    return [_stored(row, record, now_ms) for row in rows]


def with_ids(store: Store, record: QueueRecord, now_ms: int, ids: Sequence[str]) -> Iterator[StoredMessage]:
    """The messages of a queue with these ids (32 hex characters). Ids that are not in it are passed over. Reads the
    queue."""
    for message_id in ids:
        for row in store.query(_BY_ID, (bytes.fromhex(message_id), record.id)):
            yield _stored(row, record, now_ms)


def find(store: Store, message_id: str, now_ms: int) -> tuple[QueueRecord, StoredMessage] | None:
    """The queue that a message is in, and the message; None when it is in none. Reads all queues."""
    records = {record.id: record for record in tables.all_queues(store)}
    for queue_id, *row in store.query(_ANYWHERE, (bytes.fromhex(message_id),)):
        if queue_id in records:
            return records[queue_id], _stored(row, records[queue_id], now_ms)
    return None


def _stored(row: Sequence[Any], record: QueueRecord, now_ms: int) -> StoredMessage:
    seq, message_id, created_ms, attempts, content_type, body, *rest = row
    entered_ms, visible_ms, owner, source, delay_seconds, died_in, died_after, lease_end_ms = rest
    state: State = "in_flight" if owner else "ready" if visible_ms <= now_ms else "delayed"
    return StoredMessage(
        Message(seq, message_id.hex(), created_ms, attempts, _CONTENT_TYPES[content_type], body),
        state,
        entered_ms,
        (lease_end_ms if owner < 0 else None) if owner else visible_ms,
        owner,
        _SOURCES[source],
        delay_seconds,
        died_in,
        died_after,
        expired=not owner and entered_ms < now_ms - record.message_retention_period * 1000,
    )
