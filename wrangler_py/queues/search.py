"""Looking at all messages of a state folder, wherever they are: those that live, in the queues' table, and those that are
settled, in the record. Nothing is changed by it.

It reads on a connection of its own, in whatever thread the caller likes, so that a long search delays no message.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

from msgspec import Struct

from wrangler_py.events import reading, tables
from wrangler_py.events.reading import Item
from wrangler_py.queues.message import ContentType, Source
from wrangler_py.queues.query import LIVE_COLUMNS, LIVING, RECORD_COLUMNS, SETTLED, Query

Order = Literal["newest", "oldest"]

#: Characters of a body that a list shows.
PREVIEW = 200
#: How long the messages that fit are counted before the total is given up (seconds).
_COUNT_S = 0.25
_TICK = 10_000

_CONTENT_TYPES = get_args(ContentType)
_SOURCES = get_args(Source)

_STATE = """
    CASE WHEN m.owner <> 0 THEN 'in_flight' WHEN m.died_in IS NOT NULL THEN 'dead' WHEN m.attempts > 0 THEN 'retrying'
        WHEN m.visible_ms > :now THEN 'delayed' ELSE 'ready' END
"""
_LIVE = """
    m.seq, m.id, q.name, m.created_ms, m.entered_ms, m.visible_ms, m.attempts, m.content_type, length(m.body), m.owner,
    m.source, m.delay_seconds, m.died_in
"""
_COUNTS = f"SELECT m.queue_id, {_STATE}, count(*) FROM message AS m GROUP BY 1, 2"


class Found(Struct, frozen=True):
    """One message as a list shows it. Times in ms."""

    id: str
    queue: str
    state: str
    attempts: int
    sent_ms: int
    #: When it came into the queue that it is in.
    entered_ms: int
    #: When it is ready, or was; None for one that is settled or in flight.
    due_ms: int | None
    ended_ms: int | None
    content_type: str
    size: int
    preview: str
    source: str
    delay_seconds: int | None
    died_in: str | None
    #: What the record knows; None where it does not know the message.
    item: Item | None
    #: Its number in the queues' table; None for one that is settled.
    seq: int | None

    def as_json(self) -> dict[str, Any]:
        """The row as the API shows it."""
        item = self.item
        return {
            "id": self.id,
            "queue": self.queue,
            "state": self.state,
            "attempts": self.attempts,
            "sentMs": self.sent_ms,
            "dueMs": self.due_ms,
            "endedMs": self.ended_ms,
            "contentType": self.content_type,
            "size": self.size,
            "preview": self.preview,
            "reason": None if item is None else item.reason,
            "where": None if item is None else item.site,
            "error": None if item is None else item.error,
            "traceId": self.id if item is None else item.trace,
            "source": self.source,
            "diedIn": self.died_in,
            "replayedFrom": None if item is None or item.replayed_from is None else item.replayed_from.hex(),
        }


class Page(Struct, frozen=True):
    """Part of what fits. `cursor` leads to the next part; None: this was the last. `total` None: too many to count."""

    rows: list[Found]
    cursor: str | None
    total: int | None
    #: How long counting them took (seconds).
    counted_s: float = 0.0


def connect(database: Path) -> sqlite3.Connection:
    """A connection that reads a state folder's queues, with its record attached (or an empty one where there is none).
    Usable in any thread, one at a time. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        f"file:{quote(str(database))}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=1.0
    )
    try:
        record = database.with_name(tables.FILE_NAME)
        if record.is_file():
            connection.execute("ATTACH ? AS record", (f"file:{quote(str(record))}?mode=ro",))
        else:
            connection.execute("ATTACH ':memory:' AS record")
            for statement in tables.SCHEMA.split(";"):
                text = (
                    statement.strip()
                    .replace("CREATE TABLE ", "CREATE TABLE record.")
                    .replace("CREATE INDEX ", "CREATE INDEX record.")
                )
                connection.execute(text.replace("CREATE UNIQUE INDEX ", "CREATE UNIQUE INDEX record."))
    except BaseException:
        connection.close()
        raise
    return connection


def counts(connection: sqlite3.Connection, now_ms: int) -> dict[str, dict[str, int]]:
    """By queue, how many living messages are in which state; empty queues are left out. Walks all messages."""
    rows = connection.execute(_COUNTS, {"now": now_ms}).fetchall()
    names = dict(connection.execute("SELECT id, name FROM queue").fetchall()) if rows else {}
    found: dict[str, dict[str, int]] = {}
    for queue_id, state, count in rows:
        if queue_id in names:
            found.setdefault(names[queue_id], dict.fromkeys(LIVING, 0))[state] = count
    return found


def queue_names(connection: sqlite3.Connection) -> list[str]:
    """The names of all queues, in order."""
    return [row[0] for row in connection.execute("SELECT name FROM queue ORDER BY name")]


def search(
    connection: sqlite3.Connection,
    query: Query,
    now_ms: int,
    *,
    limit: int,
    cursor: str | None = None,
    order: Order = "newest",
    count: bool = True,
) -> Page:
    """One page of the messages that fit, by the time at which they were sent. Raises sqlite3.Error, and ValueError for a
    cursor that is none."""
    live_from, record_from = _read_cursor(cursor)
    sign, direction = ("<", "DESC") if order == "newest" else (">", "ASC")
    live = _live(
        connection, query, now_ms, f"m.seq {sign} ?" if live_from is not None else "1", live_from, direction, limit
    )
    old = _settled(
        connection, query, f"i.n {sign} ?" if record_from is not None else "1", record_from, direction, limit
    )
    began = time.monotonic()
    total = _total(connection, query, now_ms) if count else None
    counted_s = time.monotonic() - began
    newest = order == "newest"
    rows: list[Found] = []
    while len(rows) < limit and (live or old):
        take_live = bool(live) and (
            not old or (live[0].sent_ms >= old[0].sent_ms if newest else live[0].sent_ms <= old[0].sent_ms)
        )
        rows.append(live.pop(0) if take_live else old.pop(0))
    next_cursor = None
    if len(rows) == limit:
        last_live = next((row.seq for row in reversed(rows) if row.seq is not None), live_from)
        last_old = next((row.item.n for row in reversed(rows) if row.seq is None and row.item is not None), record_from)
        next_cursor = f"{_shown(last_live)}.{_shown(last_old)}"
    return Page(rows, next_cursor, total, counted_s)


def find(connection: sqlite3.Connection, message_id: str, now_ms: int) -> tuple[Found, bytes | None] | None:
    """A message by its id (32 hex characters), and its body; None when nothing is known of it. Of one that neither lives nor
    is settled in the record the state is "gone": it was removed while nothing was recorded."""
    key = bytes.fromhex(message_id)
    item = reading.item(connection, message_id)
    sql = f"SELECT {_LIVE}, {_STATE}, m.body FROM message AS m JOIN queue AS q ON q.id = m.queue_id WHERE m.id = :id"
    for row in connection.execute(sql, {"id": key, "now": now_ms}):
        return _found_live(row[:-2], row[-2], row[-1], item), row[-1]
    return None if item is None else (_found_item(item), item.body)


def living(
    connection: sqlite3.Connection, ids: Sequence[str] | None, query: Query | None, now_ms: int, limit: int
) -> list[Found]:
    """The living messages with these ids, or those that fit a query, for whoever wants to change them."""
    if ids is None:
        assert query is not None
        return _live(connection, query, now_ms, "1", None, "ASC", limit)
    found: list[Found] = []
    for at in range(0, len(ids), 500):
        keys = [bytes.fromhex(one) for one in ids[at : at + 500]]
        marks = ", ".join("?" * len(keys))
        sql = f"""
            SELECT {_LIVE}, {_STATE.replace(":now", "?")}, substr(m.body, 1, {PREVIEW * 4}) FROM message AS m
            JOIN queue AS q ON q.id = m.queue_id WHERE m.id IN ({marks}) ORDER BY m.seq
        """
        found += [_found_live(row[:-2], row[-2], row[-1], None) for row in connection.execute(sql, (now_ms, *keys))]
    return found[:limit]


def _live(
    connection: sqlite3.Connection, query: Query, now_ms: int, bound: str, start: int | None, direction: str, limit: int
) -> list[Found]:
    sql, parameters = _live_sql(
        query, now_ms, f"{_LIVE}, {_STATE.replace(':now', '?')}, substr(m.body, 1, {PREVIEW * 4})"
    )
    if sql is None:
        return []
    values = [now_ms, *parameters, *([] if start is None else [start]), limit]
    rows = connection.execute(f"{sql} AND {bound} ORDER BY m.seq {direction} LIMIT ?", values).fetchall()
    known = {item.id: item for item in reading.items(connection, [row[1] for row in rows])} if rows else {}
    return [_found_live(row[:-2], row[-2], row[-1], known.get(row[1])) for row in rows]


def _live_sql(query: Query, now_ms: int, columns: str) -> tuple[str | None, list[Any]]:
    """SELECT up to its conditions. None: no living message can fit."""
    states = set(LIVING) if query.states is None else query.states & set(LIVING)
    if not states or query.queues == set():
        return None, []
    condition, parameters = query.sql(LIVE_COLUMNS)
    join = "LEFT JOIN item AS i ON i.id = m.id" if query.needs_record else ""
    sql = f"SELECT {columns} FROM message AS m JOIN queue AS q ON q.id = m.queue_id {join} WHERE {condition}"
    if query.queues is not None:
        sql += f" AND m.queue_id IN (SELECT id FROM queue WHERE name IN ({_marks(query.queues)}))"
        parameters += sorted(query.queues)
    if len(states) < len(LIVING):
        sql += f" AND ({_STATE.replace(':now', '?')}) IN ({_marks(states)})"
        parameters += [now_ms, *sorted(states)]
    return sql, parameters


def _settled(
    connection: sqlite3.Connection, query: Query, bound: str, start: int | None, direction: str, limit: int
) -> list[Found]:
    sql, parameters = _settled_sql(
        query, ", ".join(f"i.{name}" for name in Item._fields[:-1]) + f", substr(i.body, 1, {PREVIEW * 4})"
    )
    if sql is None:
        return []
    values = [*parameters, *([] if start is None else [start]), limit]
    rows = connection.execute(f"{sql} AND {bound} ORDER BY i.n {direction} LIMIT ?", values)
    return [_found_item(Item._make(row)) for row in rows]


def _settled_sql(query: Query, columns: str) -> tuple[str | None, list[Any]]:
    states = set(SETTLED) if query.states is None else query.states & set(SETTLED)
    if not states or query.queues == set():
        return None, []
    condition, parameters = query.sql(RECORD_COLUMNS)
    sql = f"SELECT {columns} FROM item AS i WHERE {condition}"
    if len(states) < len(SETTLED):
        sql += f" AND i.state IN ({_marks(states)})"
        parameters += sorted(states)
    else:
        sql += " AND i.state IS NOT NULL"
    if query.queues is not None:
        sql += f" AND i.queue IN ({_marks(query.queues)})"
        parameters += sorted(query.queues)
    return sql, parameters


def _total(connection: sqlite3.Connection, query: Query, now_ms: int) -> int | None:
    end = time.monotonic() + _COUNT_S
    connection.set_progress_handler(lambda: time.monotonic() > end, _TICK)
    try:
        total = 0
        for sql, parameters in (_live_sql(query, now_ms, "count(*)"), _settled_sql(query, "count(*)")):
            if sql is not None:
                total += connection.execute(sql, parameters).fetchone()[0]
        return total
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return None
    finally:
        connection.set_progress_handler(None, 0)


def _found_live(row: Sequence[Any], state: str, body: bytes, item: Item | None) -> Found:
    seq, key, queue, sent_ms, entered_ms, visible_ms, attempts, content_type, size, _, source, delay, died_in = row
    return Found(
        id=key.hex(),
        queue=queue,
        state=state,
        attempts=attempts,
        sent_ms=sent_ms,
        entered_ms=entered_ms,
        due_ms=None if state == "in_flight" else visible_ms,
        ended_ms=None,
        content_type=_CONTENT_TYPES[content_type],
        size=size,
        preview=preview(body, _CONTENT_TYPES[content_type]),
        source=_SOURCES[source],
        delay_seconds=delay,
        died_in=died_in,
        item=item,
        seq=seq,
    )


def _found_item(item: Item) -> Found:
    return Found(
        id=item.hex,
        queue=item.queue,
        state=item.state or "gone",
        attempts=item.attempts,
        sent_ms=item.sent_ms,
        entered_ms=item.entered_ms,
        due_ms=None,
        ended_ms=item.ended_ms,
        content_type=item.content_type,
        size=item.size,
        preview=preview(item.body or b"", item.content_type),
        source=item.source,
        delay_seconds=item.delay,
        died_in=item.died_in,
        item=item,
        seq=None,
    )


def preview(body: bytes, content_type: str) -> str:
    """The beginning of a body, for a list."""
    if content_type in ("json", "text"):
        return body[: PREVIEW * 4].decode("utf-8", "replace")[:PREVIEW]
    return body[: PREVIEW // 2].hex(" ", 1)[:PREVIEW]


def _read_cursor(cursor: str | None) -> tuple[int | None, int | None]:
    if cursor is None:
        return None, None
    live, dot, old = cursor.partition(".")
    if not dot:
        raise ValueError(f'"{cursor}" is no cursor of an earlier answer')
    try:
        return (int(live) if live != "-" else None), (int(old) if old != "-" else None)
    except ValueError:
        raise ValueError(f'"{cursor}" is no cursor of an earlier answer') from None


def _shown(number: int | None) -> str:
    return "-" if number is None else str(number)


def _marks(values: Sequence[Any] | set[str]) -> str:
    return ", ".join("?" * len(values))
