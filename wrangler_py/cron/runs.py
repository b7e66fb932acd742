"""The last runs of every worker's crons, as Cloudflare's dashboard lists them under "Cron Events".

`RunHistory` listens to the event record, so whoever starts a run is noted alike. With a database the runs outlive the
session; the table is this room's own, and it asks of the database no more than `Database` says.
"""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from msgspec import Struct, field

from wrangler_py.cron.limits import HISTORY_LOG_CHARS, HISTORY_LOGS, HISTORY_RUNS
from wrangler_py.events.log import Event, EventLog

T = TypeVar("T")


class RunRecord(Struct, frozen=True):
    """One run that has ended. Times in ms since the epoch, `ms` is how long it took."""

    worker: str
    cron: str
    scheduled_ms: int
    started_ms: int
    ms: int
    outcome: str
    no_retry: bool
    error: str | None = None
    #: "clock", "catch-up", "manual" or "backfill".
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


class _Active(Struct):
    worker: str
    #: What the worker's lines of this run are labelled with.
    label: str
    logs: list[tuple[str, str]] = field(default_factory=list)
    room: int = HISTORY_LOG_CHARS

    def note(self, level: str, text: str) -> None:
        """Keep what was printed, as long as there is room."""
        text = text.removesuffix("\n")
        if self.room > 0 and len(self.logs) < HISTORY_LOGS:
            kept = text if len(text) <= self.room else text[: self.room] + "…"
            self.logs.append((level, kept))
            self.room -= len(text)


class RunHistory:
    """Keeps the last runs of a session in memory, and in `table` where there is one."""

    def __init__(self, events: EventLog, table: RunTable | None = None, keep: int = HISTORY_RUNS) -> None:
        self._events = events
        self._table = table
        self._keep = keep
        self._runs: deque[tuple[int, RunRecord]] = deque(maxlen=keep)
        self._active: dict[int, _Active] = {}
        self._unsubscribe = events.subscribe(self._seen, ("cron.fired", "cron.finished", "worker.printed"))

    def latest(self) -> list[RunRecord]:
        """The runs that ended in this session, newest first."""
        return [run for _, run in reversed(self._runs)]

    def run(self, number: int) -> RunRecord | None:
        """The run of that number (CronScheduler.new_run), if it has ended and is not forgotten yet."""
        return next((run for known, run in reversed(self._runs) if known == number), None)

    def close(self) -> None:
        """Listen no more."""
        self._unsubscribe()

    def _seen(self, event: Event) -> None:
        data = event.data
        if event.kind == "cron.fired":
            self._active[data["run"]] = _Active(data["worker"], f"cron {data['cron']}")
        elif event.kind == "worker.printed":
            for active in self._active.values():
                if (active.worker, active.label) == (data["worker"], data["event"]):
                    active.note(data["level"], data["text"])
        elif event.kind == "cron.finished":
            self._finished(data)

    def _finished(self, data: dict[str, Any]) -> None:
        active = self._active.pop(data["run"], None)  # None: it began before this history listened
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
            tuple(active.logs) if active is not None else (),
        )
        self._runs.append((data["run"], run))
        if self._table is not None:
            self._table.add(run, self._keep).add_done_callback(self._saved)

    def _saved(self, future: Any) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            self._events.emit("store.failed", doing="note a cron run", error=str(error))
