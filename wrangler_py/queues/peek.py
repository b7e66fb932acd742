"""Looking at the messages of a queue without taking them, and deleting those that were looked at.

A peek shows what the next delivery would take, in its order: what is ready. It changes neither attempts nor visibility,
and works whoever consumes the queue, also while it is paused. (Cloudflare docs: REST API > Queues > Peek, Purge messages.)
"""

from __future__ import annotations

import base64
import binascii
import re
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import get_args

from msgspec import Struct, field

from wrangler_py.clock import Clock
from wrangler_py.events.log import EventLog
from wrangler_py.queues import backlog, limits
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.message import ContentType, Message, Source
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.store.database import Store

_READY = """
    SELECT seq, id, created_ms, attempts, content_type, source, delay_seconds, body FROM message INDEXED BY message_waiting
    WHERE queue_id = ? AND owner = 0 AND visible_ms <= ? AND entered_ms >= ? ORDER BY visible_ms, seq LIMIT ?
"""
_FIND = "SELECT owner, length(body) FROM message WHERE seq = ? AND id = ? AND queue_id = ?"
_DELETE = "DELETE FROM message WHERE seq = ?"

#: Refs purged in one transaction; more would stall the loop.
_PIECE = 1_000

_CONTENT_TYPES = get_args(ContentType)
_SOURCES = get_args(Source)
_REF = re.compile(r"([1-9][0-9]{0,18})\.([0-9a-f]{32})")


class PeekedMessage(Struct, frozen=True):
    """A message that was looked at. Its `attempts` are the deliveries it has had."""

    message: Message
    source: Source
    delay_seconds: int | None

    @property
    def ref(self) -> str:
        """What names this message to `purge`; callers need not understand it."""
        return base64.urlsafe_b64encode(f"{self.message.seq}.{self.message.id}".encode()).decode().rstrip("=")


class PurgedRefs(Struct):
    """What became of the refs that were to be purged."""

    count: int = 0
    errors: list[str] = field(default_factory=list)
    warnings: dict[str, str] = field(default_factory=dict)


class Peeks:
    """Looks at messages, and deletes those that were looked at."""

    def __init__(self, store: Store, clock: Clock, events: EventLog, broker: Broker) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._broker = broker

    def peek(self, record: QueueRecord, limit: int) -> list[PeekedMessage]:
        """Up to `limit` ready messages."""
        now = self._clock.now_ms()
        oldest = now - record.message_retention_period * 1000
        return [
            PeekedMessage(
                Message(seq, message_id.hex(), created_ms, attempts, _CONTENT_TYPES[content_type], body),
                _SOURCES[source],
                delay_seconds,
            )
            for seq, message_id, created_ms, attempts, content_type, source, delay_seconds, body in self._store.query(
                _READY, (record.id, now, oldest, limit)
            )
        ]

    async def purge(self, record: QueueRecord, refs: Sequence[str]) -> PurgedRefs:
        """Delete the messages that these refs name, where they still wait in the queue."""
        purged = PurgedRefs()
        for at in range(0, len(refs), _PIECE):
            piece = await self._store.submit(partial(_purge, record=record, refs=refs[at : at + _PIECE]))
            purged.count += piece.count
            purged.errors += piece.errors
            purged.warnings.update(piece.warnings)
        if purged.count:
            self._events.emit("queue.purged", queue=record.name, count=purged.count)
            self._broker.wake(record.name)
        return purged


def _purge(connection: sqlite3.Connection, record: QueueRecord, refs: Sequence[str]) -> PurgedRefs:
    purged = PurgedRefs()
    freed = 0
    backlog.count_up(connection)
    for ref in refs:
        target = _target(ref)
        if target is None:
            purged.errors.append(limits.ref_malformed(ref))
            continue
        seq, message_id = target
        row = connection.execute(_FIND, (seq, message_id, record.id)).fetchone()
        if row is None:
            purged.warnings[ref] = limits.REF_GONE
        elif row[0] != 0:
            purged.warnings[ref] = limits.REF_IN_FLIGHT
        else:
            connection.execute(_DELETE, (seq,))
            purged.count += 1
            freed += row[1]
    if purged.count:
        backlog.add(connection, record.id, -purged.count, -freed)
    return purged


def _target(ref: str) -> tuple[int, bytes] | None:
    """The message that a ref names: its number and id; None for what is no ref."""
    try:
        text = base64.b64decode(ref + "=" * (-len(ref) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    found = _REF.fullmatch(text)
    if found is None or int(found[1]) >= 1 << 63:
        return None
    return int(found[1]), bytes.fromhex(found[2])
