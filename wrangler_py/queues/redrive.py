"""Sending dead letters back to the queues they died in.

First a plan, then its execution in pieces: a message is taken once however often it dies again meanwhile, and what others
take out of the dead letter queue in between is left to them. A message that goes back keeps its id, timestamp and body;
attempts and retention begin anew, and the `delivery_delay` of its queue counts, as for any message that enters it.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Sequence
from typing import get_args

from msgspec import Struct, field

from wrangler_py.queues import backlog, tables
from wrangler_py.queues.message import ContentType, Message
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.store.database import Store

#: Messages looked at together.
_CHUNK = 1_000

_COLUMNS = "seq, entered_ms, visible_ms, died_in, id, created_ms, attempts, content_type, body"
_WAITING = f"""
    SELECT {_COLUMNS} FROM message INDEXED BY message_waiting
    WHERE queue_id = ? AND owner = 0 AND (visible_ms, seq) > (?, ?) ORDER BY visible_ms, seq LIMIT ?
"""
_BY_ID = f"SELECT {_COLUMNS} FROM message WHERE id = ? AND queue_id = ? AND owner = 0"
_IN_FLIGHT = "SELECT count(*) FROM message INDEXED BY message_leased WHERE owner <> 0 AND queue_id = ?"
_IS_IN_FLIGHT = "SELECT 1 FROM message WHERE id = ? AND queue_id = ? AND owner <> 0"
_MOVE = """
    UPDATE message SET queue_id = ?, attempts = 0, entered_ms = ?, visible_ms = ?, died_in = NULL, died_after = NULL
    WHERE seq = ? AND queue_id = ? AND owner = 0 RETURNING length(body), id
"""
#: Leases of deliveries in the dead letter queue settle nothing any more.
_FORGET_LEASES = "DELETE FROM lease WHERE seq = ?"

_CONTENT_TYPES = get_args(ContentType)


class Plan(Struct):
    """Which dead letters go where. Messages by their `seq`, in the order in which they would be delivered."""

    targets: dict[str, array[int]] = field(default_factory=dict)
    #: Messages of which nobody knows where they died: no dead letters, or of a time before that was recorded.
    without_source: int = 0
    #: Messages that a filter did not pick, that somebody has just now, or that have outlived the retention.
    filtered: int = 0
    in_flight: int = 0
    expired: int = 0
    #: Ids that are not in the queue.
    unknown: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(map(len, self.targets.values()))


def plan(
    store: Store,
    dead_letters: QueueRecord,
    now_ms: int,
    *,
    to: str | None = None,
    otherwise: str | None = None,
    ids: Sequence[str] | None = None,
    matches: Callable[[Message], bool] | None = None,
) -> Plan:
    """Plan to send back all waiting messages of a queue, or those with these ids (32 hex characters), and of them those
    that `matches` picks.

    `to`: where they all go. Without it each goes to the queue it died in; `otherwise` is for those of which that is not
    known. Raises sqlite3.Error or StateError.
    """
    found = Plan()
    oldest_ms = now_ms - dead_letters.message_retention_period * 1000

    def take(row: Sequence[object]) -> None:
        seq, entered_ms, _, died_in, message_id, created_ms, attempts, content_type, body = row
        assert isinstance(seq, int) and isinstance(entered_ms, int) and isinstance(message_id, bytes)
        assert isinstance(created_ms, int) and isinstance(attempts, int) and isinstance(content_type, int)
        assert isinstance(body, bytes)
        if entered_ms < oldest_ms:
            found.expired += 1
            return
        message = Message(seq, message_id.hex(), created_ms, attempts, _CONTENT_TYPES[content_type], body)
        if matches is not None and not matches(message):
            found.filtered += 1
            return
        target = to or (str(died_in) if died_in else otherwise)
        if target is None:
            found.without_source += 1
        else:
            found.targets.setdefault(target, array("q")).append(seq)

    if ids is None:
        last = (-1, -1)
        while rows := store.query(_WAITING, (dead_letters.id, *last, _CHUNK)):
            for row in rows:
                take(row)
            last = (rows[-1][2], rows[-1][0])
        found.in_flight = int(store.query(_IN_FLIGHT, (dead_letters.id,))[0][0])
        return found
    for message_id in dict.fromkeys(ids):
        key = (bytes.fromhex(message_id), dead_letters.id)
        rows = store.query(_BY_ID, key)
        for row in rows:
            take(row)
        if not rows:
            if store.query(_IS_IN_FLIGHT, key):
                found.in_flight += 1
            else:
                found.unknown.append(message_id)
    return found


def send_back(store: Store, dead_letters: QueueRecord, target: str, seqs: Sequence[int], now_ms: int) -> list[str]:
    """Move messages of a plan to an existing queue, in one transaction. Returns the ids of those that were still there. Raises
    LookupError when the target is gone, sqlite3.Error or StateError."""

    def operation(connection: sqlite3.Connection) -> list[str]:
        record = tables.find_queue(connection, target)
        if record is None:
            raise LookupError(target)
        visible_ms = now_ms + record.delivery_delay * 1000
        sizes, ids = [], []
        backlog.count_up(connection)
        backlog.note_entry(connection, now_ms)
        for seq in seqs:
            moved = connection.execute(_MOVE, (record.id, now_ms, visible_ms, seq, dead_letters.id)).fetchall()
            if moved:
                sizes.append(moved[0][0])
                ids.append(moved[0][1].hex())
                connection.execute(_FORGET_LEASES, (seq,))
        if sizes:
            backlog.add(connection, dead_letters.id, -len(sizes), -sum(sizes))
            backlog.add(connection, record.id, len(sizes), sum(sizes))
        return ids

    return store.write(operation)
