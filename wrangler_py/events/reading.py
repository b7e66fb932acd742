"""Reading the record: messages, runs, events, as they were written (tables.py).

The functions take a connection, which may have the record attached beside another database: the tables' names are their own.
Packs are not looked into; whoever writes has put them in their places (Recorder.caught_up), or `open_record` does.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wrangler_py.events import tables
from wrangler_py.events.digest import Digest
from wrangler_py.events.packs import unpack_one


class Item(NamedTuple):
    """One message, as the record knows it. Times in ms."""

    n: int
    id: bytes
    queue: str
    sent_ms: int
    entered_ms: int
    due_ms: int
    content_type: str
    size: int
    source: str
    delay: int | None
    trace: str
    parent: str | None  # the span that sent it
    replayed_from: bytes | None
    ended_ms: int | None
    state: str | None  # "acked", "dropped", "discarded", "purged", "expired"; None: it lives
    attempts: int
    died_in: str | None
    reason: str | None
    site: str | None
    error: str | None
    spans: str | None
    body: bytes | None

    @property
    def hex(self) -> str:
        return self.id.hex()


class Run(NamedTuple):
    """One invocation of user code. `ended_ms` None: it goes on, or its session was killed."""

    n: int
    span: str
    parent: str | None
    trace: str
    kind: str  # "request", "batch", "cron", "alarm", "waitUntil"
    label: str
    worker: str | None
    queue: str | None
    started_ms: int
    ended_ms: int | None
    ms: int | None
    outcome: str | None
    error: str | None
    #: Of a batch that is over: how many messages were acknowledged, are to be retried, were given up.
    acked: int | None
    retried: int | None
    given_up: int | None
    traceback: str | None
    site: str | None
    messages_json: str | None
    detail_json: str

    @property
    def messages(self) -> list[list[Any]]:
        """Of a batch: [id, attempt] or, once it is over, [id, attempt, action, reason, where, delay]."""
        return [] if self.messages_json is None else json.loads(self.messages_json)

    @property
    def detail(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.detail_json)
        return found


class Recorded(NamedTuple):
    """One event."""

    seq: int
    at_ms: int
    kind: str
    worker: str | None
    queue: str | None
    trace: str | None
    span: str | None
    data_json: str

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.data_json)
        return found

    def as_json(self) -> dict[str, Any]:
        """The event as the API and `--json` show it."""
        return {
            "seq": self.seq,
            "atMs": self.at_ms,
            "kind": self.kind,
            "worker": self.worker,
            "queue": self.queue,
            "traceId": self.trace,
            "spanId": self.span,
            "data": self.data,
        }


_ITEM = ", ".join(f"item.{name}" for name in Item._fields)
_RUN = ", ".join(name.removesuffix("_json") for name in Run._fields)
_EVENT = ", ".join(name.removesuffix("_json") for name in Recorded._fields)


@contextlib.contextmanager
def open_record(folder: Path) -> Iterator[sqlite3.Connection | None]:
    """The record of a state folder, for commands; None when there is none. What is packed is put in its place. Raises
    sqlite3.Error, or tables.Unusable for a file of another format."""
    path = folder / tables.FILE_NAME
    if not path.is_file():
        yield None
        return
    connection = tables.connect(path)
    try:
        digest = Digest(connection)
        while unpack_one(connection, digest):
            pass
        yield connection
    finally:
        connection.close()


# Messages -------------------------------------------------------------------------------------------------------------


def item(connection: sqlite3.Connection, message_id: str) -> Item | None:
    """A message by its id (32 hex characters)."""
    return next(iter(items(connection, [bytes.fromhex(message_id)])), None)


def items(connection: sqlite3.Connection, ids: Sequence[bytes]) -> list[Item]:
    """The messages with these ids that the record knows, in no order."""
    marks = ", ".join("?" * len(ids))
    return [Item._make(row) for row in connection.execute(f"SELECT {_ITEM} FROM item WHERE id IN ({marks})", ids)]


def items_where(connection: sqlite3.Connection, condition: str, parameters: Iterable[Any], limit: int) -> list[Item]:
    """Messages by a condition of SQL, in the order of sending."""
    sql = f"SELECT {_ITEM} FROM item WHERE {condition} ORDER BY n LIMIT ?"
    return [Item._make(row) for row in connection.execute(sql, (*parameters, limit))]


def replays(connection: sqlite3.Connection, message_id: str) -> list[Item]:
    """The messages that replayed this one, oldest first."""
    return items_where(connection, "replayed_from = ?", (bytes.fromhex(message_id),), 1_000)


def children(connection: sqlite3.Connection, spans: Sequence[str], limit: int = 1_000) -> list[Item]:
    """The messages that these runs sent."""
    return items_where(connection, f"parent IN ({', '.join('?' * len(spans))})", spans, limit) if spans else []


# Runs -----------------------------------------------------------------------------------------------------------------


def run(connection: sqlite3.Connection, span: str) -> Run | None:
    """A run by its span."""
    return next(iter(runs(connection, [span])), None)


def runs(connection: sqlite3.Connection, spans: Sequence[str]) -> list[Run]:
    """The runs with these spans, in the order in which they began."""
    marks = ", ".join("?" * len(spans))
    return runs_where(connection, f"span IN ({marks})", spans, len(spans), newest=False)


def runs_where(
    connection: sqlite3.Connection, condition: str, parameters: Iterable[Any], limit: int, *, newest: bool = True
) -> list[Run]:
    """Runs by a condition of SQL."""
    sql = f"SELECT {_RUN} FROM run WHERE {condition} ORDER BY n {'DESC' if newest else ''} LIMIT ?"
    return [Run._make(row) for row in connection.execute(sql, (*parameters, limit))]


def batches_of(connection: sqlite3.Connection, found: Item) -> list[Run]:
    """The batches that held a message, in order; one that still runs too."""
    spans = [span for span in (found.spans or "").split(" ") if span]
    settled = runs(connection, spans) if spans else []
    running = runs_where(
        connection,
        "kind = 'batch' AND ended_ms IS NULL AND n > ? AND instr(messages, ?)",
        (settled[-1].n if settled else 0, found.hex),
        100,
        newest=False,
    )
    return settled + running


# Events ---------------------------------------------------------------------------------------------------------------


def last_seq(connection: sqlite3.Connection) -> int:
    """The number of the newest event; 0 when there is none."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0])


def events_after(connection: sqlite3.Connection, seq: int, limit: int) -> list[Recorded]:
    """The first `limit` events after one, oldest first."""
    sql = f"SELECT {_EVENT} FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
    return [Recorded._make(row) for row in connection.execute(sql, (seq, limit))]


def events_before(
    connection: sqlite3.Connection, seq: int | None, limit: int, condition: str = "1", parameters: Iterable[Any] = ()
) -> list[Recorded]:
    """The last `limit` events before one (None: of all) that fit a condition of SQL, newest first."""
    bound = (1 << 62) if seq is None else seq
    sql = f"SELECT {_EVENT} FROM event WHERE seq < ? AND {condition} ORDER BY seq DESC LIMIT ?"
    return [Recorded._make(row) for row in connection.execute(sql, (bound, *parameters, limit))]


def first_seq_since(connection: sqlite3.Connection, at_ms: int) -> int:
    """The number before that of the first event since a moment. Walks back from the newest."""
    for seq, event_ms in connection.execute("SELECT seq, at_ms FROM event ORDER BY seq DESC"):
        if event_ms < at_ms:
            return int(seq)
    return 0


def logs_of(connection: sqlite3.Connection, spans: Sequence[str], limit: int = 5_000) -> list[Recorded]:
    """What was printed in these runs, in order."""
    if not spans:
        return []
    marks = ", ".join("?" * len(spans))
    sql = f"SELECT {_EVENT} FROM event WHERE span IN ({marks}) AND kind = 'worker.printed' ORDER BY seq LIMIT ?"
    return [Recorded._make(row) for row in connection.execute(sql, (*spans, limit))]
