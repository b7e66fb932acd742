"""Changing messages that somebody picked out: make them ready, send them again, send dead letters back, throw them away and
take that back.

The messages were looked up a moment before (search.py); one that somebody has taken meanwhile is left to him and not counted.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from wrangler_py.clock import Clock, SystemClock
from wrangler_py.events.log import EventLog
from wrangler_py.queues import backlog, tables
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.message import OutgoingMessage
from wrangler_py.queues.search import Found
from wrangler_py.store.database import Store

#: Messages changed in one transaction; more would stall the loop.
_PIECE = 1_000
#: How long messages that were thrown away can be brought back (ms on the wall clock).
UNDO_MS = 15_000
#: Messages that one call changes at most.
MOST = 100_000
#: Messages in one send.
_SEND = 100

_HASTEN = "UPDATE message SET visible_ms = :now WHERE seq = :seq AND owner = 0 AND visible_ms > :now RETURNING seq, queue_id, id"
_COLUMNS = (
    "seq, queue_id, id, content_type, created_ms, entered_ms, visible_ms, attempts, source, delay_seconds, died_in, "
    "died_after, body"
)
_TAKE = f"SELECT {_COLUMNS} FROM message WHERE seq = ? AND owner = 0"
_DELETE = "DELETE FROM message WHERE seq = ?"
_PUT_BACK = f"""
    INSERT INTO message ({_COLUMNS}) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
    WHERE EXISTS (SELECT 1 FROM queue WHERE id = ?2) AND NOT EXISTS (SELECT 1 FROM message WHERE seq = ?1)
"""
_MOVE = """
    UPDATE message SET queue_id = ?, attempts = 0, entered_ms = ?, visible_ms = ?, died_in = NULL, died_after = NULL
    WHERE seq = ? AND owner = 0 RETURNING length(body)
"""
#: Leases of deliveries in the dead letter queue settle nothing any more.
_FORGET_LEASES = "DELETE FROM lease WHERE seq = ?"
_QUEUE_IDS = "SELECT name, id FROM queue"


class _Discarded(Struct):
    until_ms: int
    rows: list[tuple[Any, ...]]


class BulkChanges:
    """Changes messages of a state folder. Methods raise sqlite3.Error or StateError."""

    def __init__(self, store: Store, clock: Clock, events: EventLog, broker: Broker) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._broker = broker
        self._wall = SystemClock()
        self._discarded: dict[str, _Discarded] = {}

    async def make_ready(self, messages: Sequence[Found]) -> int:
        """Make waiting messages ready now. Returns how many were not before."""
        now, total = self._clock.now_ms(), 0
        for piece in _pieces(messages):
            done = await self._store.submit(partial(_hasten, now, [m.seq for m in piece]))
            total += len(done)
            self._tell("message.hastened", done)
        self._wake(messages)
        return total

    async def discard(self, messages: Sequence[Found]) -> tuple[int, str, int]:
        """Delete waiting messages. Returns how many there were, what brings them back, and until when it does (ms on the wall
        clock)."""
        rows: list[tuple[Any, ...]] = []
        for piece in _pieces(messages):
            rows += await self._store.submit(partial(_take_out, [m.seq for m in piece]))
        token, until_ms = secrets.token_urlsafe(12), self._wall.now_ms() + UNDO_MS
        self._forget_old()
        self._discarded[token] = _Discarded(until_ms, rows)
        self._tell("message.discarded", rows)
        return len(rows), token, until_ms

    async def undo(self, token: str) -> int | None:
        """Bring back what a discard has deleted. None: it is not known, or the time is over."""
        self._forget_old()
        taken = self._discarded.pop(token, None)
        if taken is None:
            return None
        back: list[tuple[Any, ...]] = []
        for at in range(0, len(taken.rows), _PIECE):
            back += await self._store.submit(partial(_put_back, taken.rows[at : at + _PIECE]))
        self._tell("message.restored", back)
        for name in self._names(row[1] for row in back):
            self._broker.wake(name)
        return len(back)

    async def redrive(self, messages: Sequence[Found], to: str | None) -> tuple[dict[str, int], int]:
        """Send dead letters back to the queues they died in, or all to one. Returns how many went to which queue, and how
        many were left because nobody knows where they died."""
        by_queue: dict[str, list[Found]] = {}
        left = 0
        for message in messages:
            target = to or message.died_in
            if target is None:
                left += 1
            else:
                by_queue.setdefault(target, []).append(message)
        moved: dict[str, int] = {}
        for name, those in by_queue.items():
            self._broker.ensure_queue(name)
            now = self._clock.now_ms()
            for piece in _pieces(those):
                seqs = await self._store.submit(partial(_move, name, now, piece))
                ids = [m.id for m in piece if m.seq in seqs]
                if ids:
                    self._events.emit("message.redriven", queue=name, ids=ids)
                moved[name] = moved.get(name, 0) + len(ids)
            self._broker.wake(name)
        return moved, left

    async def replay(
        self, messages: Sequence[tuple[str, str, OutgoingMessage]], delay_seconds: int | None
    ) -> list[tuple[str, str, str]]:
        """Send (id replayed, queue, message) anew. Returns (new id, queue, id replayed). Raises QueueSendError."""
        sent: list[tuple[str, str, str]] = []
        by_queue: dict[str, list[tuple[str, OutgoingMessage]]] = {}
        for old, name, message in messages:
            by_queue.setdefault(name, []).append((old, message))

        def note(event: Any) -> None:
            for key, message in zip(event.data["ids"], event.data["messages"], strict=True):
                if message.replayed_from is not None:
                    sent.append((key.hex(), event.data["queue"], message.replayed_from))

        leave = self._events.subscribe(note, ("message.sent",))
        try:
            for name, those in by_queue.items():
                for at in range(0, len(those), _SEND):
                    await self._broker.send(name, [message for _, message in those[at : at + _SEND]], delay_seconds)
            await asyncio.sleep(0)  # what was sent is told in the loop's next turn
        finally:
            leave()
        asked = {(old, name) for old, name, _ in messages}
        return [one for one in sent if (one[2], one[1]) in asked]

    def _tell(self, kind: str, rows: Iterable[tuple[Any, ...]]) -> None:
        by_queue: dict[int, list[str]] = {}
        for row in rows:
            by_queue.setdefault(row[1], []).append(row[2].hex())
        for queue_id, ids in by_queue.items():
            for name in self._names([queue_id]):
                self._events.emit(kind, queue=name, ids=ids)

    def _names(self, queue_ids: Iterable[int]) -> list[str]:
        wanted = set(queue_ids)
        return [name for name, queue_id in self._store.query(_QUEUE_IDS) if queue_id in wanted]

    def _wake(self, messages: Iterable[Found]) -> None:
        for name in {message.queue for message in messages}:
            self._broker.wake(name)

    def _forget_old(self) -> None:
        now = self._wall.now_ms()
        self._discarded = {token: taken for token, taken in self._discarded.items() if taken.until_ms > now}


def _pieces(messages: Sequence[Found]) -> Iterable[Sequence[Found]]:
    return (messages[at : at + _PIECE] for at in range(0, len(messages), _PIECE))


def _hasten(now_ms: int, seqs: Sequence[int | None], connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return [row for seq in seqs for row in connection.execute(_HASTEN, {"now": now_ms, "seq": seq})]


def _take_out(seqs: Sequence[int | None], connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    backlog.count_up(connection)
    for seq in seqs:
        row = connection.execute(_TAKE, (seq,)).fetchone()
        if row is not None:
            connection.execute(_DELETE, (seq,))
            rows.append(row)
    _count(connection, rows, -1)
    return rows


def _put_back(rows: Sequence[tuple[Any, ...]], connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    backlog.count_up(connection)
    if rows:
        backlog.note_entry(connection, max(row[5] for row in rows))
    back = [row for row in rows if connection.execute(_PUT_BACK, row).rowcount]
    _count(connection, back, 1)
    return back


def _move(name: str, now_ms: int, messages: Sequence[Found], connection: sqlite3.Connection) -> set[int]:
    record = tables.find_queue(connection, name)
    ids = dict(connection.execute(_QUEUE_IDS).fetchall())
    moved: set[int] = set()
    if record is None:
        return moved
    backlog.count_up(connection)
    backlog.note_entry(connection, now_ms)
    for message in messages:
        assert message.seq is not None
        due_ms = now_ms + record.delivery_delay * 1000
        row = connection.execute(_MOVE, (record.id, now_ms, due_ms, message.seq)).fetchone()
        if row is not None:
            connection.execute(_FORGET_LEASES, (message.seq,))
            backlog.add(connection, ids[message.queue], -1, -row[0])
            backlog.add(connection, record.id, 1, row[0])
            moved.add(message.seq)
    return moved


def _count(connection: sqlite3.Connection, rows: Iterable[tuple[Any, ...]], sign: int) -> None:
    sizes: dict[int, list[int]] = {}
    for row in rows:
        sizes.setdefault(row[1], []).append(len(row[-1]))
    for queue_id, those in sizes.items():
        backlog.add(connection, queue_id, sign * len(those), sign * sum(those))
