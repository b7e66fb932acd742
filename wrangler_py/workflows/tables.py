"""The file of one workflow: its instances, their steps and attempts, and the events that wait for them.

One SQLite file a workflow, in `workflows/` of the state folder. A session that runs the workflow writes it; commands without
a session may as well. Every change is one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

#: The folder in a state folder.
FOLDER = "workflows"

_CREATE = """
CREATE TABLE IF NOT EXISTS workflow (name TEXT PRIMARY KEY, worker TEXT, class_name TEXT, created_ms INTEGER);
CREATE TABLE IF NOT EXISTS instance (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, status TEXT NOT NULL, params BLOB, trigger TEXT,
    created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, started_ms INTEGER, ended_ms INTEGER, paused_ms INTEGER,
    output BLOB, error_name TEXT, error_message TEXT);
CREATE INDEX IF NOT EXISTS instance_status ON instance (status);
CREATE TABLE IF NOT EXISTS step (
    instance INTEGER NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    count INTEGER NOT NULL, state TEXT NOT NULL, config TEXT, attempts INTEGER NOT NULL DEFAULT 0, due_ms INTEGER,
    event_type TEXT, started_ms INTEGER NOT NULL, ended_ms INTEGER, value BLOB, error BLOB,
    PRIMARY KEY (instance, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (
    instance INTEGER NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER,
    success INTEGER, error_name TEXT, error_message TEXT, PRIMARY KEY (instance, key, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, instance INTEGER NOT NULL, type TEXT NOT NULL, payload BLOB, sent_ms INTEGER NOT NULL);
"""

_INSTANCE = "seq, id, status, params, trigger, created_ms, modified_ms, started_ms, ended_ms, paused_ms, output, error_name, error_message"
_STEP = "key, seq, kind, name, count, state, config, attempts, due_ms, event_type, started_ms, ended_ms, value, error"
_BUSY_S = 10.0


class InstanceRecord(Struct):
    """One instance as it is stored. Times are ms on the session's clock; values are values.dump's bytes."""

    seq: int
    id: str
    status: str
    params: bytes | None
    trigger: str | None
    created_ms: int
    modified_ms: int
    started_ms: int | None
    ended_ms: int | None
    paused_ms: int | None
    output: bytes | None
    error_name: str | None
    error_message: str | None


class StepRecord(Struct):
    """One step ("do"), sleep or wait ("wait") of an instance. `state`: "running", "retrying", "waiting", "done", "failed"."""

    key: str
    seq: int
    kind: str
    name: str
    count: int
    state: str
    config: str | None
    attempts: int
    due_ms: int | None
    event_type: str | None
    started_ms: int
    ended_ms: int | None
    value: bytes | None
    error: bytes | None


class AttemptRecord(Struct):
    """One attempt of a step."""

    key: str
    number: int
    started_ms: int
    ended_ms: int | None
    success: bool | None
    error_name: str | None
    error_message: str | None


class WorkflowFile:
    """The file of one workflow, open."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.name = path.stem
        self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_CREATE)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    # --- the workflow ---------------------------------------------------------------------------------------------------

    def describe(self, worker: str, class_name: str, now_ms: int) -> None:
        """Note whose workflow it is."""
        self._connection.execute(
            "INSERT INTO workflow VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET worker = excluded.worker, "
            "class_name = excluded.class_name",
            (self.name, worker, class_name, now_ms),
        )

    def description(self) -> tuple[str | None, str | None, int | None]:
        """(worker, class, created)."""
        row = self._connection.execute("SELECT worker, class_name, created_ms FROM workflow").fetchone()
        return row or (None, None, None)

    def counts(self) -> dict[str, int]:
        """Instances by status."""
        return dict(self._connection.execute("SELECT status, count(*) FROM instance GROUP BY status").fetchall())

    # --- instances ------------------------------------------------------------------------------------------------------

    def create(self, instance_id: str, params: bytes, trigger: str, now_ms: int) -> InstanceRecord | None:
        """None when there is one of that id."""
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO instance (id, status, params, trigger, created_ms, modified_ms) VALUES (?, 'queued', ?, ?, ?, ?)",
            (instance_id, params, trigger, now_ms, now_ms),
        )
        return self.find(instance_id) if cursor.rowcount else None

    def find(self, instance_id: str) -> InstanceRecord | None:
        row = self._connection.execute(f"SELECT {_INSTANCE} FROM instance WHERE id = ?", (instance_id,)).fetchone()
        return None if row is None else InstanceRecord(*row)

    def latest(self) -> InstanceRecord | None:
        row = self._connection.execute(f"SELECT {_INSTANCE} FROM instance ORDER BY seq DESC LIMIT 1").fetchone()
        return None if row is None else InstanceRecord(*row)

    def instances(
        self, statuses: Sequence[str] = (), *, reverse: bool = False, limit: int = -1, offset: int = 0
    ) -> list[InstanceRecord]:
        """The newest first, unless `reverse`."""
        where = f" WHERE status IN ({', '.join('?' * len(statuses))})" if statuses else ""
        order = "" if reverse else " DESC"
        sql = f"SELECT {_INSTANCE} FROM instance{where} ORDER BY seq{order} LIMIT ? OFFSET ?"
        return [InstanceRecord(*row) for row in self._connection.execute(sql, (*statuses, limit, offset))]

    def update(self, seq: int, now_ms: int, **fields: Any) -> None:
        """Set fields of an instance."""
        names = ", ".join(f"{name} = ?" for name in fields)
        self._connection.execute(
            f"UPDATE instance SET {names}, modified_ms = ? WHERE seq = ?", (*fields.values(), now_ms, seq)
        )

    def restart(self, seq: int, now_ms: int) -> None:
        """As if it had just been created."""
        with self.transaction() as connection:
            for table in ("step", "attempt", "event"):
                connection.execute(f"DELETE FROM {table} WHERE instance = ?", (seq,))
            self.update(
                seq,
                now_ms,
                status="queued",
                started_ms=None,
                ended_ms=None,
                paused_ms=None,
                output=None,
                error_name=None,
                error_message=None,
            )

    def delete(self, seq: int) -> None:
        with self.transaction() as connection:
            for table in ("step", "attempt", "event"):
                connection.execute(f"DELETE FROM {table} WHERE instance = ?", (seq,))
            connection.execute("DELETE FROM instance WHERE seq = ?", (seq,))

    def shift(self, seq: int, by_ms: int) -> None:
        """What waits waits so much longer: the instance was paused."""
        self._connection.execute(
            "UPDATE step SET due_ms = due_ms + ? WHERE instance = ? AND state IN ('waiting', 'retrying')", (by_ms, seq)
        )

    # --- steps ----------------------------------------------------------------------------------------------------------

    def step(self, seq: int, key: str) -> StepRecord | None:
        row = self._connection.execute(
            f"SELECT {_STEP} FROM step WHERE instance = ? AND key = ?", (seq, key)
        ).fetchone()
        return None if row is None else StepRecord(*row)

    def steps(self, seq: int) -> list[StepRecord]:
        sql = f"SELECT {_STEP} FROM step WHERE instance = ? ORDER BY seq"
        return [StepRecord(*row) for row in self._connection.execute(sql, (seq,))]

    def begin_step(
        self, seq: int, key: str, kind: str, name: str, count: int, state: str, now_ms: int, **fields: Any
    ) -> None:
        (number,) = self._connection.execute("SELECT count(*) FROM step WHERE instance = ?", (seq,)).fetchone()
        columns = {
            "instance": seq,
            "key": key,
            "seq": number + 1,
            "kind": kind,
            "name": name,
            "count": count,
            "state": state,
            "started_ms": now_ms,
            **fields,
        }
        sql = f"INSERT INTO step ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        self._connection.execute(sql, tuple(columns.values()))

    def update_step(self, seq: int, key: str, **fields: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in fields)
        self._connection.execute(
            f"UPDATE step SET {names} WHERE instance = ? AND key = ?", (*fields.values(), seq, key)
        )

    def attempts(self, seq: int) -> list[AttemptRecord]:
        sql = (
            "SELECT key, number, started_ms, ended_ms, success, error_name, error_message FROM attempt WHERE instance = ? "
            "ORDER BY key, number"
        )
        return [
            AttemptRecord(row[0], row[1], row[2], row[3], None if row[4] is None else bool(row[4]), row[5], row[6])
            for row in self._connection.execute(sql, (seq,))
        ]

    def begin_attempt(self, seq: int, key: str, number: int, now_ms: int) -> None:
        with self.transaction() as connection:
            connection.execute(
                "INSERT INTO attempt (instance, key, number, started_ms) VALUES (?, ?, ?, ?)",
                (seq, key, number, now_ms),
            )
            self.update_step(seq, key, attempts=number, state="running", due_ms=None)

    def end_attempt(self, seq: int, key: str, number: int, now_ms: int, error: tuple[str, str] | None) -> None:
        name, message = error or (None, None)
        self._connection.execute(
            "UPDATE attempt SET ended_ms = ?, success = ?, error_name = ?, error_message = ? "
            "WHERE instance = ? AND key = ? AND number = ?",
            (now_ms, error is None, name, message, seq, key, number),
        )

    # --- events ---------------------------------------------------------------------------------------------------------

    def add_event(self, seq: int, kind: str, payload: bytes, now_ms: int) -> None:
        self._connection.execute(
            "INSERT INTO event (instance, type, payload, sent_ms) VALUES (?, ?, ?, ?)", (seq, kind, payload, now_ms)
        )

    def take_event(self, seq: int, kind: str) -> tuple[bytes, int] | None:
        """The oldest event of a type, which is gone after that: (payload, when it was sent). Within a transaction."""
        row = self._connection.execute(
            "SELECT seq, payload, sent_ms FROM event WHERE instance = ? AND type = ? ORDER BY seq LIMIT 1", (seq, kind)
        ).fetchone()
        if row is None:
            return None
        self._connection.execute("DELETE FROM event WHERE seq = ?", (row[0],))
        return row[1], row[2]


def workflow_files(state: Path) -> list[Path]:
    """The files of a state folder, by the names of their workflows."""
    return sorted((state / FOLDER).glob("*.sqlite"))


def open_workflow(state: Path, name: str) -> WorkflowFile:
    """The file of one workflow, made when there is none."""
    return WorkflowFile(state / FOLDER / f"{name}.sqlite")
