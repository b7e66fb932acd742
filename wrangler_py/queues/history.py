"""What became of the messages of past batches, and why: which call or which rule settled each, and where it stood.

One row a batch, written in the transaction that settles it, so that what is recorded is what happened. The record is bounded:
the last `KEPT_BATCHES` batches of a state folder.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from msgspec import Struct

from wrangler_py.queues.settlement import Settlement
from wrangler_py.store.database import Store

#: How many batches are remembered.
KEPT_BATCHES = 20_000
#: Old ones are deleted every so many batches, not one by one.
_PRUNE_EVERY = 256

_INSERT = """
    INSERT INTO batch (queue, worker, started_ms, ms, outcome, error, settlements) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_PRUNE = "DELETE FROM batch WHERE id <= ?"
_COLUMNS = "id, queue, worker, started_ms, ms, outcome, error, settlements"
_LATEST = f"SELECT {_COLUMNS} FROM batch ORDER BY id DESC LIMIT ?"
_LATEST_OF_QUEUE = f"SELECT {_COLUMNS} FROM batch WHERE queue = ? ORDER BY id DESC LIMIT ?"
_AFTER = f"SELECT {_COLUMNS} FROM batch WHERE id > ? ORDER BY id LIMIT ?"
_OF_MESSAGE = f"SELECT {_COLUMNS} FROM batch WHERE settlements LIKE ? ORDER BY id"
_LAST_ID = "SELECT coalesce(max(id), 0) FROM batch"


class SettledMessage(Struct, frozen=True):
    """What happened to one message in one batch."""

    id: str
    attempt: int
    action: str  # "ack", "retry", "dead_letter", "drop", "release"
    reason: str  # see Settlement.reason
    where: str | None  # "file:line" of the call
    delay_seconds: int


class BatchRecord(Struct, frozen=True):
    """One batch that is over. Times in ms."""

    id: int
    queue: str
    worker: str
    started_ms: int
    ms: int
    outcome: str
    error: str | None
    messages: tuple[SettledMessage, ...]


class BatchRun(Struct, frozen=True):
    """How a batch ran, as the consumer knows it."""

    worker: str
    started_ms: int
    ms: int
    outcome: str
    error: str | None


def record(connection: sqlite3.Connection, queue: str, run: BatchRun, settlements: Sequence[Settlement]) -> None:
    """Remember a batch, in the transaction that settles it."""
    rows = [[s.message.id, s.message.attempts, s.action, s.reason, s.where, s.delay_seconds] for s in settlements]
    values = (
        queue,
        run.worker,
        run.started_ms,
        run.ms,
        run.outcome,
        run.error,
        json.dumps(rows, separators=(",", ":")),
    )
    batch_id = connection.execute(_INSERT, values).lastrowid or 0
    if batch_id % _PRUNE_EVERY == 0:
        connection.execute(_PRUNE, (batch_id - KEPT_BATCHES,))


def latest(store: Store, count: int, queue: str | None = None) -> list[BatchRecord]:
    """The last batches, newest first; of one queue when it is named."""
    rows = store.query(_LATEST, (count,)) if queue is None else store.query(_LATEST_OF_QUEUE, (queue, count))
    return [_batch(*row) for row in rows]


def after(store: Store, batch_id: int, count: int) -> list[BatchRecord]:
    """The first `count` batches after one, oldest first."""
    return [_batch(*row) for row in store.query(_AFTER, (batch_id, count))]


def last_id(store: Store) -> int:
    """The number of the newest batch; 0 when there is none."""
    return int(store.query(_LAST_ID)[0][0])


def of_message(store: Store, message_id: str) -> list[BatchRecord]:
    """All remembered batches that held a message (32 hex characters), oldest first. Reads the whole record."""
    return [_batch(*row) for row in store.query(_OF_MESSAGE, (f'%"{message_id}"%',))]


def _batch(
    batch_id: int,
    queue: str,
    worker: str,
    started_ms: int,
    ms: int,
    outcome: str,
    error: str | None,
    settlements: str,
) -> BatchRecord:
    messages = tuple(SettledMessage(*row) for row in json.loads(settlements))
    return BatchRecord(batch_id, queue, worker, started_ms, ms, outcome, error, messages)
