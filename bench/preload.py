"""Fills a project's state before its session starts, through the functions that wpy itself stores messages with."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path

from wrangler_py.queues import tables
from wrangler_py.queues.tables import NewMessage
from wrangler_py.store.database import open_store

_CHUNK = 10_000
_PAD = "x" * 130


def preload(project: Path, queue: str, count: int, run: int, delay_ms: int = 0) -> None:
    """Put `count` messages of the measured worker's form into `queue`, due `delay_ms` from now."""
    store = open_store(project / ".wpy" / "state")
    now = time.time_ns() // 1_000_000
    try:
        record, _ = store.write(lambda connection: tables.ensure_queue(connection, queue, now))
        for first in range(0, count, _CHUNK):
            messages = [
                NewMessage(os.urandom(16), "json", _body(run, number, now), now + delay_ms)
                for number in range(first, min(first + _CHUNK, count))
            ]
            store.write(partial(tables.append, queue_id=record.id, now_ms=now, messages=messages))
    finally:
        store.close()


def _body(run: int, number: int, now: int) -> bytes:
    return json.dumps({"run": run, "i": number, "sent": now, "keep": False, "pad": _PAD}).encode()
