"""The engine's own limit, for context: sqlite3 and json in one loop, without processes, HTTP or handlers."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path

_TABLE = """
    CREATE TABLE message (seq INTEGER PRIMARY KEY, id BLOB, body BLOB, visible INTEGER, lease INTEGER DEFAULT 0);
    CREATE INDEX waiting ON message (visible, seq) WHERE lease = 0;
"""
_CLAIM = """
    UPDATE message SET lease = 1 WHERE seq IN (
        SELECT seq FROM message WHERE lease = 0 AND visible <= ? ORDER BY visible, seq LIMIT 100
    ) RETURNING seq, body
"""
_PAD = "x" * 130


def raw_rate(folder: Path, count: int, per_commit: int) -> float:
    """Messages per second of: encode and insert `per_commit` per commit, claim 100, decode, delete (WAL, NORMAL)."""
    path = folder / f"raw-{os.getpid()}.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_TABLE)
        started = time.perf_counter()
        waiting = 0
        for first in range(0, count, per_commit):
            now = time.time_ns() // 1_000_000
            rows = [
                (os.urandom(16), json.dumps({"run": 1, "i": i, "sent": now, "keep": False, "pad": _PAD}), now)
                for i in range(first, min(first + per_commit, count))
            ]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO message (id, body, visible) VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")
            waiting += len(rows)
            while waiting >= 100:
                waiting -= _cycle(connection)
        while waiting:
            waiting -= _cycle(connection)
        return count / (time.perf_counter() - started)
    finally:
        connection.close()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _cycle(connection: sqlite3.Connection) -> int:
    connection.execute("BEGIN IMMEDIATE")
    claimed = connection.execute(_CLAIM, (time.time_ns() // 1_000_000,)).fetchall()
    connection.execute("COMMIT")
    for _, body in claimed:
        json.loads(body)
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq, _ in claimed])
    connection.execute("COMMIT")
    return len(claimed)
