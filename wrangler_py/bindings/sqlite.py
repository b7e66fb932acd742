"""Opening the small databases of KV and R2."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from wrangler_py.bindings.limits import BUSY_TIMEOUT_MS


def open_database(path: Path, schema: str) -> sqlite3.Connection:
    """The database at `path`, made when it does not exist. Transactions are begun by hand.

    WAL with synchronous=NORMAL: what was committed survives the end of the process, however it ended.
    Several processes may have it open. Raises sqlite3.Error and OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
            connection.executescript(schema)
    except BaseException:
        connection.close()
        raise
    return connection
