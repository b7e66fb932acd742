"""The last runs of every worker's crons, as Cloudflare's dashboard lists them under "Cron Events".

`RunHistory` listens to the event record, so whoever starts a run is noted alike. With a database the runs outlive the
session; the table is this room's own, and it asks of the database no more than `Database` says.
"""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from wrangler_py.cron.limits import HISTORY_LOGS, HISTORY_RUNS
from wrangler_py.events.record import Event, EventLog

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run that has ended. Times in ms since the epoch, `ms` is how long it took."""

    worker: str
    cron: str
    scheduled_ms: int
    started_ms: int
    ms: int
    outcome: str
    no_retry: bool
    error: str | None = None
    #: "clock", "catch-up" or "manual".
    trigger: str = "clock"
    #: What the worker printed meanwhile, as (level, text). Of two runs of one expression at one time, both have all.
    logs: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The record as `wpy cron history --json` shows it, under Cloudflare's names."""
        return {
            "worker": self.worker,
            "cron": self.cron,
            "scheduledTime": self.scheduled_ms,
            "start": self.started_ms,
            "durationMs": self.ms,
            "outcome": self.outcome,
            "noRetry": self.no_retry,
            "error": self.error,
            "trigger": self.trigger,
            "logs": [{"level": level, "text": text} for level, text in self.logs],
        }


class Database(Protocol):
    """What the history needs of the session's database."""

    def query(self, sql: str, parameters: tuple[Any, ...] = (), /) -> list[Any]: ...

    def write(self, operation: Callable[[sqlite3.Connection], T], /) -> T:
        """Run the operation in a transaction of its own, at once."""
        ...

    def submit(self, operation: Callable[[sqlite3.Connection], T], /) -> Any:
        """Run the operation in the next group commit; returns a future."""
        ...


# The table ------------------------------------------------------------------------------------------------------------

CREATE = """
CREATE TABLE IF NOT EXISTS cron_run (
    id INTEGER PRIMARY KEY,
    worker TEXT NOT NULL,
    cron TEXT NOT NULL,
    scheduled_ms INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    no_retry INTEGER NOT NULL,
    error TEXT,
    trigger TEXT NOT NULL,
    logs TEXT NOT NULL
)
"""
CREATE_INDEX = "CREATE INDEX IF NOT EXISTS cron_run_of_worker ON cron_run (worker, id)"
EXISTS = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'cron_run'"
INSERT = """
INSERT INTO cron_run (worker, cron, scheduled_ms, started_ms, ms, outcome, no_retry, error, trigger, logs)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
PRUNE = """
DELETE FROM cron_run WHERE worker = ?1
AND id <= (SELECT id FROM cron_run WHERE worker = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)
"""
LATEST = """
SELECT worker, cron, scheduled_ms, started_ms, ms, outcome, no_retry, error, trigger, logs
FROM cron_run ORDER BY id DESC LIMIT ?
"""
LAST_OF = """
SELECT worker, cron, scheduled_ms, started_ms, ms, outcome, no_retry, error, trigger, logs
FROM cron_run WHERE worker = ? AND cron = ? ORDER BY id DESC LIMIT 1
"""


class RunTable:
    """The runs in the database. Reading works without the table, as in a state folder that never ran a cron."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def prepare(self) -> None:
        """Create the table where it is missing. Raises sqlite3.Error."""

        def create(connection: sqlite3.Connection) -> None:
            connection.execute(CREATE)
            connection.execute(CREATE_INDEX)

        if not self._database.query(EXISTS):
            self._database.write(create)

    def add(self, run: RunRecord, keep: int = HISTORY_RUNS) -> Any:
        """Write one run and forget the worker's oldest past `keep`. Returns the future of the commit."""
        row = (
            run.worker,
            run.cron,
            run.scheduled_ms,
            run.started_ms,
            run.ms,
            run.outcome,
            run.no_retry,
            run.error,
            run.trigger,
            json.dumps(run.logs),
        )

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(INSERT, row)
            connection.execute(PRUNE, (run.worker, keep))

        return self._database.submit(insert)

    def latest(self, count: int = HISTORY_RUNS) -> list[RunRecord]:
        """The last runs of all workers, newest first."""
        return self._read(LATEST, (count,))

    def last_of(self, worker: str, cron: str) -> RunRecord | None:
        """The last run of one expression, or None."""
        return next(iter(self._read(LAST_OF, (worker, cron))), None)

    def _read(self, sql: str, parameters: tuple[Any, ...]) -> list[RunRecord]:
        if not self._database.query(EXISTS):
            return []
        return [_record(*row) for row in self._database.query(sql, parameters)]


def _record(
    worker: str,
    cron: str,
    scheduled_ms: int,
    started_ms: int,
    ms: int,
    outcome: str,
    no_retry: int,
    error: str | None,
    trigger: str,
    logs: str,
) -> RunRecord:
    printed = tuple((level, text) for level, text in json.loads(logs))
    return RunRecord(worker, cron, scheduled_ms, started_ms, ms, outcome, bool(no_retry), error, trigger, printed)


# Listening ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Active:
    scheduled_ms: int
    trigger: str
    logs: list[tuple[str, str]] = field(default_factory=list)


class RunHistory:
    """Keeps the last runs of a session in memory, and in `table` where there is one."""

    def __init__(self, events: EventLog, table: RunTable | None = None, keep: int = HISTORY_RUNS) -> None:
        self._events = events
        self._table = table
        self._keep = keep
        self._runs: deque[RunRecord] = deque(maxlen=keep)
        self._active: dict[tuple[str, str], list[_Active]] = {}
        self._unsubscribe = events.subscribe(self._seen)

    def latest(self) -> list[RunRecord]:
        """The runs that ended in this session, newest first."""
        return list(reversed(self._runs))

    def close(self) -> None:
        """Listen no more."""
        self._unsubscribe()

    def _seen(self, event: Event) -> None:
        data = event.data
        if event.kind == "cron.fired":
            active = _Active(data["scheduled_ms"], data["trigger"])
            self._active.setdefault((data["worker"], data["cron"]), []).append(active)
        elif event.kind == "worker.printed" and data["event"].startswith("cron "):
            for active in self._active.get((data["worker"], data["event"].removeprefix("cron ")), ()):
                if len(active.logs) < HISTORY_LOGS:
                    active.logs.append((data["level"], data["text"]))
        elif event.kind == "cron.finished":
            self._finished(data)

    def _finished(self, data: dict[str, Any]) -> None:
        run = RunRecord(
            data["worker"],
            data["cron"],
            data["scheduled_ms"],
            data["started_ms"],
            data["ms"],
            data["outcome"],
            data["no_retry"],
            data["error"],
            data["trigger"],
            self._logs_of(data),
        )
        self._runs.append(run)
        if self._table is not None:
            self._table.add(run, self._keep).add_done_callback(self._saved)

    def _logs_of(self, data: dict[str, Any]) -> tuple[tuple[str, str], ...]:
        key = (data["worker"], data["cron"])
        for active in self._active.get(key, ()):
            if (active.scheduled_ms, active.trigger) == (data["scheduled_ms"], data["trigger"]):
                self._active[key].remove(active)
                if not self._active[key]:
                    del self._active[key]
                return tuple(active.logs)
        return ()  # it began before this history listened

    def _saved(self, future: Any) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            self._events.emit("store.failed", doing="note a cron run", error=str(error))
