"""How much is in a queue, and since when: counters that a send does not have to write.

A commit of one message costs what it writes, so it writes the message and its place in the order of delivery and nothing
else. `queue.backlog_count` and `backlog_bytes` cover the messages up to the number in `counted`; the few beyond it are
counted when somebody asks, and counted in together once there are `UNCOUNTED` of them. The rule that keeps this true:
whoever removes messages from a queue calls `count_up` first, in the same transaction. `seq` goes on from the larger of
that number and the last message's, so it never comes back, not even after the table was emptied.

Nor is there an index of all messages by age: one that waits without a delay of its own is as old as its place in the order
of delivery says, and only the others (delayed, retried) and those in flight stand in an index by age.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from wrangler_py.store.database import Store

#: Messages that may be waiting to be counted in.
UNCOUNTED = 64

_TAIL = "FROM message WHERE seq > (SELECT seq FROM counted) AND queue_id = queue.id"
#: The two counters as columns of a SELECT from `queue`.
COLUMNS = (
    f"backlog_count + (SELECT count(*) {_TAIL}) AS backlog_count, "
    f"backlog_bytes + (SELECT coalesce(sum(length(body)), 0) {_TAIL}) AS backlog_bytes"
)
_COUNT_IN = """
    UPDATE queue SET backlog_count = backlog_count + tail.number, backlog_bytes = backlog_bytes + tail.size
    FROM (
        SELECT queue_id, count(*) AS number, sum(length(body)) AS size
        FROM message WHERE seq > (SELECT seq FROM counted) GROUP BY queue_id
    ) AS tail
    WHERE queue.id = tail.queue_id
"""
_LATEST_OF_TAIL = "SELECT max(entered_ms) FROM message WHERE seq > (SELECT seq FROM counted)"
_COUNTED = f"""
    UPDATE counted SET seq = (SELECT max(seq) FROM message), latest_ms = max(latest_ms, coalesce(({_LATEST_OF_TAIL}), 0))
    WHERE seq < (SELECT max(seq) FROM message)
"""
_NOTE = "UPDATE counted SET latest_ms = ?1 WHERE latest_ms < ?1"
_LAST = "SELECT max(seq, coalesce((SELECT max(seq) FROM message), 0)), seq FROM counted"
_LATEST = f"SELECT max(latest_ms, coalesce(({_LATEST_OF_TAIL}), 0)) FROM counted"
_FORGET_LATEST = "UPDATE counted SET latest_ms = ?"
_ADD = "UPDATE queue SET backlog_count = backlog_count + ?, backlog_bytes = backlog_bytes + ? WHERE id = ?"
_RECOUNT = """
    UPDATE queue SET
        backlog_count = (SELECT count(*) FROM message WHERE queue_id = :queue),
        backlog_bytes = (SELECT coalesce(sum(length(body)), 0) FROM message WHERE queue_id = :queue)
    WHERE id = :queue
"""
#: The first by age of those that wait without a delay, wait with one, are in flight. The first in the order of delivery may
#: well have a delay; then none that waits without one is older than it is.
_FIRST_WAITING = "FROM message INDEXED BY message_waiting WHERE queue_id = ?1 AND owner = 0 ORDER BY visible_ms, seq"
_FIRST_SHIFTED = """
    FROM message INDEXED BY message_shifted
    WHERE queue_id = ?1 AND owner = 0 AND visible_ms <> entered_ms ORDER BY entered_ms, seq
"""
_LEASED_BY_AGE = "FROM message INDEXED BY message_leased WHERE queue_id = ?1 AND owner <> 0 ORDER BY entered_ms, seq"
_OLDEST_WAITING = f"""
    SELECT entered_ms, seq, created_ms FROM (SELECT entered_ms, seq, created_ms {_FIRST_WAITING} LIMIT 1)
    UNION ALL SELECT * FROM (SELECT entered_ms, seq, created_ms {_FIRST_SHIFTED} LIMIT 1)
"""
_OLDEST = f"""
    SELECT entered_ms, created_ms FROM ({_OLDEST_WAITING}
    UNION ALL SELECT * FROM (SELECT entered_ms, seq, created_ms {_LEASED_BY_AGE} LIMIT 1)) ORDER BY entered_ms, seq LIMIT 1
"""
_OLDEST_THAT_WAITS = f"SELECT entered_ms, created_ms FROM ({_OLDEST_WAITING}) ORDER BY entered_ms, seq LIMIT 1"
_LEASED = f"SELECT seq, entered_ms, created_ms {_LEASED_BY_AGE}"


def count_up(connection: sqlite3.Connection) -> None:
    """Count in what has come since the last time. To be called before messages are removed from a queue."""
    connection.execute(_COUNT_IN)
    connection.execute(_COUNTED)


def last_seq(connection: sqlite3.Connection) -> tuple[int, int]:
    """The last number that a message was given, and up to which number they are counted in."""
    last, counted = connection.execute(_LAST).fetchone()
    return last, counted


def add(connection: sqlite3.Connection, queue_id: int, count: int, size: int) -> None:
    """Change a queue's counters by messages that left it (negative) or came from another queue."""
    connection.execute(_ADD, (count, size, queue_id))


def recount(connection: sqlite3.Connection, queue_id: int) -> None:
    """Set a queue's counters by its messages, after `count_up`. Walks the queue."""
    connection.execute(_RECOUNT, {"queue": queue_id})


def oldest(source: Store | sqlite3.Connection, queue_id: int) -> tuple[int, int] | None:
    """When the message that has been in a queue for the longest time came into it, and when it was sent (ms). None when
    the queue is empty."""
    rows = source.query(_OLDEST, (queue_id,)) if isinstance(source, Store) else source.execute(_OLDEST, (queue_id,))
    for entered_ms, created_ms in rows:
        return entered_ms, created_ms
    return None


def oldest_beside(connection: sqlite3.Connection, queue_id: int, seqs: Collection[int]) -> int | None:
    """When the oldest message of a queue was sent (ms), apart from those in flight with these numbers."""
    found = [tuple(row) for row in connection.execute(_OLDEST_THAT_WAITS, (queue_id,))]
    for seq, entered_ms, created_ms in connection.execute(_LEASED, (queue_id,)):
        if seq not in seqs:
            found.append((entered_ms, created_ms))
            break
    return min(found)[1] if found else None


def note_entry(connection: sqlite3.Connection, now_ms: int) -> None:
    """Messages came into a queue in another way than by being sent: remember how late that was."""
    connection.execute(_NOTE, (now_ms,))


def latest_ms(store: Store) -> int:
    """A moment (ms) that no message has come into its queue after."""
    return int(store.query(_LATEST)[0][0])


def forget_latest(connection: sqlite3.Connection, now_ms: int) -> None:
    """Messages that came later than now were brought back to it."""
    connection.execute(_FORGET_LATEST, (now_ms,))
