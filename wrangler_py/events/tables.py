"""The record's own SQLite file: its tables, and the statements that write them.

It is a file beside the queues' and not a part of it, so that a full disk, a damaged page or a slow write of the record never
stands in the way of a message.

- `event`: everything that happened, one row each, in order.
- `item`: one row a message: where it came from, what became of it last, and its body.
- `run`: one row an invocation of user code (a request, a batch, a cron run, ...); that of a batch knows its messages, and how
  many of them were acknowledged, are to be retried, or were given up.
- `pack`: events that came too fast to be put in their places (packs.py). Whoever reads unpacks them first.

Many rows go into one statement: SQLite gives the interpreter's lock away once a statement, and a writer that took it back for
every row would wait for a busy event loop each time.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

FILE_NAME = "events.sqlite"
#: The format of the file. One of another format is set aside: what it holds is a log, not somebody's data.
VERSION = 2
#: Rows in one statement. SQLite takes 32,766 parameters.
_ROWS = 200
#: Bytes of the log that stay on the disk once it was written into the file.
_LOG_BYTES = 4 << 20
#: How long a write waits for another session that writes (ms).
BUSY_TIMEOUT_MS = 5_000

SCHEMA = """
CREATE TABLE event (
    seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, worker TEXT, queue TEXT, trace TEXT, span TEXT,
    data TEXT NOT NULL
);
CREATE INDEX event_span ON event (span) WHERE span IS NOT NULL;
CREATE INDEX event_kind ON event (kind, seq);
CREATE TABLE item (
    n INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL, queue TEXT NOT NULL, sent_ms INTEGER NOT NULL,
    entered_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL, content_type TEXT NOT NULL, size INTEGER NOT NULL,
    source TEXT NOT NULL, delay INTEGER, trace TEXT NOT NULL, parent TEXT, replayed_from BLOB, ended_ms INTEGER, state TEXT,
    attempts INTEGER NOT NULL DEFAULT 0, died_in TEXT, reason TEXT, site TEXT, error TEXT, spans TEXT, body BLOB
);
CREATE UNIQUE INDEX item_id ON item (id);
CREATE INDEX item_trace ON item (trace);
CREATE INDEX item_parent ON item (parent) WHERE parent IS NOT NULL;
CREATE INDEX item_replayed ON item (replayed_from) WHERE replayed_from IS NOT NULL;
CREATE TABLE run (
    n INTEGER PRIMARY KEY AUTOINCREMENT, span TEXT NOT NULL UNIQUE, parent TEXT, trace TEXT NOT NULL, kind TEXT NOT NULL,
    label TEXT NOT NULL, worker TEXT, queue TEXT, started_ms INTEGER NOT NULL, ended_ms INTEGER, ms INTEGER, outcome TEXT,
    error TEXT, acked INTEGER, retried INTEGER, given_up INTEGER, traceback TEXT, site TEXT, messages TEXT,
    detail TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX run_trace ON run (trace);
CREATE INDEX run_kind ON run (kind, n);
CREATE INDEX run_failed ON run (n) WHERE error IS NOT NULL;
CREATE TABLE pack (
    n INTEGER PRIMARY KEY AUTOINCREMENT, last_seq INTEGER NOT NULL, messages INTEGER NOT NULL DEFAULT 0, data BLOB NOT NULL
)
"""
#: By the version that a file has: what leads to the next one.
_UPGRADES = {
    1: """
        ALTER TABLE pack ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE run ADD COLUMN acked INTEGER;
        ALTER TABLE run ADD COLUMN retried INTEGER;
        ALTER TABLE run ADD COLUMN given_up INTEGER;
        UPDATE run SET acked = (length(messages) - length(replace(messages, '"ack"', ''))) / 5,
            retried = (length(messages) - length(replace(messages, '"retry"', ''))) / 7,
            given_up = (length(messages) - length(replace(messages, '"dead_letter"', ''))) / 13
                + (length(messages) - length(replace(messages, '"drop"', ''))) / 6
            WHERE kind = 'batch' AND ended_ms IS NOT NULL
    """
}

#: The columns of each row of `Rows`.
EVENT = ("at_ms", "kind", "worker", "queue", "trace", "span", "data")
ITEM = (
    *("id", "queue", "sent_ms", "entered_ms", "due_ms", "content_type", "size", "source", "delay"),
    *("trace", "parent", "replayed_from", "body"),
)
RUN = ("span", "parent", "trace", "kind", "label", "worker", "queue", "started_ms", "messages", "detail")

#: A message may be seen in a batch before its sender, another process, has written it down.
_INSERT_ITEM = f"""
    INSERT INTO item ({", ".join(ITEM)}) VALUES {{values}} ON CONFLICT (id) DO UPDATE SET
        body = excluded.body, content_type = excluded.content_type, size = excluded.size, source = excluded.source,
        delay = excluded.delay, replayed_from = excluded.replayed_from WHERE body IS NULL AND excluded.body IS NOT NULL
"""
_INSERT_EVENT = f"INSERT OR IGNORE INTO event (seq, {', '.join(EVENT)}) VALUES "
_INSERT_RUN = f"INSERT OR IGNORE INTO run ({', '.join(RUN)}) VALUES "
#: A row of `settled`: (attempts, state, queue, entered_ms, due_ms, ended_ms, died_in, reason, site, error, span, id); what is
#: None stays as it was, but for `error`.
_SETTLE = """
    UPDATE item SET attempts = v.column1, state = v.column2, queue = coalesce(v.column3, queue),
        entered_ms = coalesce(v.column4, entered_ms), due_ms = coalesce(v.column5, due_ms), ended_ms = v.column6,
        died_in = coalesce(v.column7, died_in), reason = v.column8, site = v.column9, error = v.column10,
        spans = coalesce(spans || ' ', '') || v.column11
    FROM (VALUES {values}) AS v WHERE item.id = v.column12
"""
_END_RUN = """
    UPDATE run SET ended_ms = ?, ms = ?, outcome = ?, error = ?, traceback = coalesce(?, traceback), site = ?,
        messages = coalesce(?, messages), detail = json_patch(detail, ?), acked = ?, retried = ?, given_up = ? WHERE span = ?
"""
_END_ITEMS = "UPDATE item SET state = ?, ended_ms = ?, reason = ? WHERE queue = ? AND state IS NULL AND entered_ms <= ?"
_END_ITEM = "UPDATE item SET state = ?, ended_ms = ?, reason = ? WHERE id = ?"
_LAST_SEQ = "SELECT max(coalesce((SELECT max(seq) FROM event), 0), coalesce((SELECT max(last_seq) FROM pack), 0))"


class Rows(Struct):
    """What is to be written, by table."""

    events: list[tuple[Any, ...]] = field(default_factory=list)
    items: list[tuple[Any, ...]] = field(default_factory=list)
    runs: list[tuple[Any, ...]] = field(default_factory=list)
    settled: list[tuple[Any, ...]] = field(default_factory=list)
    #: (ended_ms, ms, outcome, error, traceback, site, messages, detail, acked, retried, given_up, span)
    ended: list[tuple[Any, ...]] = field(default_factory=list)
    #: (state, ended_ms, reason, queue, entered before or at)
    removed: list[tuple[Any, ...]] = field(default_factory=list)
    #: (state, ended_ms, reason, id)
    marked: list[tuple[Any, ...]] = field(default_factory=list)


class Unusable(Exception):
    """The file is no record that this version can go on with."""


def connect(path: Path) -> sqlite3.Connection:
    """Open (and create) the record's file for writing. Raises sqlite3.Error, or Unusable for another format."""
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000, cached_statements=64, check_same_thread=False
    )
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -32000")  # KiB
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:  # else another session was faster
                for statement in SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        elif version in _UPGRADES:
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version in _UPGRADES:  # else another session was faster
                for statement in _UPGRADES[version].split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        elif version != VERSION:
            raise Unusable(f"format {version}, this wpy knows {VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


def last_seq(connection: sqlite3.Connection) -> int:
    """The number of the newest event, also of one that is still packed."""
    return int(connection.execute(_LAST_SEQ).fetchone()[0])


def apply(connection: sqlite3.Connection, rows: Rows, first_seq: int) -> None:
    """Put rows in their places, in the transaction of the caller. Events are numbered from `first_seq`."""
    for values, parameters in _chunks(rows.items):
        connection.execute(_INSERT_ITEM.format(values=values), parameters)
    _insert(connection, _INSERT_RUN, rows.runs)
    for once_each in _each_once(rows.settled):
        for values, parameters in _chunks(once_each):
            connection.execute(_SETTLE.format(values=values), parameters)
    for row in rows.ended:
        connection.execute(_END_RUN, row)
    for row in rows.removed:
        connection.execute(_END_ITEMS, row)
    connection.executemany(_END_ITEM, rows.marked)
    _insert(connection, _INSERT_EVENT, [(seq, *row) for seq, row in enumerate(rows.events, first_seq)])


def prune(connection: sqlite3.Connection, *, events: int, messages: int, max_bytes: int, rows: bool = True) -> None:
    """Forget the oldest, so that at most so many events and messages (and as many runs) are kept; and a tenth of all, or more,
    when they take more than `max_bytes`. `rows` false: what is in its place is not counted, only its bytes are."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    used = (pages - free) * size
    if used > max_bytes // 2 or connection.execute("SELECT sum(messages) FROM pack").fetchone()[0]:
        used -= _prune_packs(connection, events, messages, max_bytes)
    share = 0.0 if used <= max_bytes else max(0.1, 1 - max_bytes / used)
    if not rows and not share:
        return
    for table, key, keep in (("event", "seq", events), ("item", "n", messages), ("run", "n", messages)):
        low, high = connection.execute(f"SELECT min({key}), max({key}) FROM {table}").fetchone()
        if low is None:
            continue
        cut = max(high - keep, low - 1 + int((high - low) * share))
        if cut >= low:
            connection.execute(f"DELETE FROM {table} WHERE {key} <= ?", (cut,))


def _prune_packs(connection: sqlite3.Connection, events: int, messages: int, max_bytes: int) -> int:
    """Forget the oldest packs without ever looking into them, when the newer ones are enough. Returns the bytes of it."""
    kept_messages = kept_bytes = newest = freed = 0
    rows = connection.execute("SELECT n, last_seq, messages, length(data) FROM pack ORDER BY n DESC").fetchall()
    cut = 0
    for number, last, count, size in rows:
        newest = newest or last
        if cut or kept_messages >= messages or kept_bytes >= max_bytes or newest - last >= events:
            cut = max(cut, number)
            freed += size
        kept_messages += count
        kept_bytes += size
    if cut:
        connection.execute("DELETE FROM pack WHERE n <= ?", (cut,))
    return freed


def give_back(connection: sqlite3.Connection, pages: int) -> bool:
    """Give so many free pages back to the file system, if there are as many. Whether there may be more of them."""
    if connection.execute("PRAGMA freelist_count").fetchone()[0] < pages:
        return False
    # executescript, because execute() of this pragma frees one page only.
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # only then does the file become shorter
    return True


def _insert(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for values, parameters in _chunks(rows):
        connection.execute(statement + values, parameters)


def _each_once(rows: Sequence[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows in order, in groups that name no message twice: of two rows for one, UPDATE FROM takes either."""
    group: list[tuple[Any, ...]] = []
    seen: set[bytes] = set()
    for row in rows:
        if row[-1] in seen:
            yield group
            group, seen = [], set()
        seen.add(row[-1])
        group.append(row)
    yield group


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, list[Any]]]:
    """The rows in pieces: the text of VALUES, and the parameters."""
    for at in range(0, len(rows), _ROWS):
        part = rows[at : at + _ROWS]
        one = f"({', '.join('?' * len(part[0]))})"
        yield ", ".join([one] * len(part)), list(_flat(part))


def _flat(rows: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    return itertools.chain.from_iterable(rows)
