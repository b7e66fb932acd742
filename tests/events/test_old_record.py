"""A record that an earlier wpy wrote is gone on with: its file is brought to today's format, and nothing of it is lost."""

from __future__ import annotations

import json
import marshal
import sqlite3
from pathlib import Path

from session_project import Project

NOW_MS = 1_772_355_600_000  # 2026-03-01T09:00:00Z

#: As format 1 had it.
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
    error TEXT, traceback TEXT, site TEXT, messages TEXT, detail TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX run_trace ON run (trace);
CREATE INDEX run_kind ON run (kind, n);
CREATE INDEX run_failed ON run (n) WHERE error IS NOT NULL;
CREATE TABLE pack (n INTEGER PRIMARY KEY AUTOINCREMENT, last_seq INTEGER NOT NULL, data BLOB NOT NULL);
PRAGMA journal_mode = WAL;
PRAGMA user_version = 1;
"""
CONFIG = """
[[queues.producers]]
binding = "JOBS"
queue = "jobs"

[[queues.consumers]]
queue = "jobs"
"""
CODE = """
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        await self.env.JOBS.send("new")
        return Response("sent")

    async def queue(self, batch, env, ctx):
        pass
"""
ITEM = """
    INSERT INTO item (id, queue, sent_ms, entered_ms, due_ms, content_type, size, source, trace, ended_ms, state, attempts, body)
    VALUES (?, 'jobs', :at, :at, :at, 'json', 5, 'worker', 't', :at, 'acked', 1, CAST('"old"' AS BLOB))
""".replace(":at", str(NOW_MS - 5_000))
RUN = """
    INSERT INTO run (span, trace, kind, label, worker, queue, started_ms, ended_ms, ms, outcome, messages)
    VALUES ('b1', 't', 'batch', 'queue jobs', 'w', 'jobs', :at, :at, 1, 'ok', ?)
""".replace(":at", str(NOW_MS - 5_000))


def test_a_record_of_the_first_format_is_gone_on_with(tmp_path: Path):
    project = Project(tmp_path / "app")
    project.config(CONFIG)
    project.code(CODE)
    path = project.folder / ".wpy" / "state" / "events.sqlite"
    path.parent.mkdir(parents=True)
    actions = [
        *(("ack", "handler returned"),) * 3,
        *(("retry", "retry()"),) * 2,
        ("dead_letter", "retry()"),
        ("drop", "x"),
    ]
    settled = [[f"{n:032x}", 1, action, reason, None, 0] for n, (action, reason) in enumerate(actions)]
    sent = {
        "queue": "jobs",
        "ids": [b"p" * 16],
        "messages": [(b'"packed"', "json", None, "worker", None)],
        "ready": [NOW_MS],
    }
    old = sqlite3.connect(path)
    old.executescript(SCHEMA)
    old.execute(
        "INSERT INTO event VALUES (1, ?, 'worker.printed', 'w', NULL, NULL, NULL, '{\"text\":\"said\"}')",
        (NOW_MS - 9_000,),
    )
    old.execute(ITEM, (bytes(15) + b"\x00",))
    old.execute(RUN, (json.dumps(settled),))
    old.execute(
        "INSERT INTO pack (last_seq, data) VALUES (2, ?)",
        (marshal.dumps([(NOW_MS - 4_000, "message.sent", None, sent)], 4),),
    )
    old.commit()
    old.close()

    server = project.start("--clock", "virtual", "--now", "2026-03-01T09:00:00Z")
    try:
        (queue,) = [q for q in server.get("/cdn-cgi/wpy/api/overview").json()["queues"] if q["name"] == "jobs"]
        spark = {name: sum(queue["spark"][name]) for name in ("acked", "retried", "failed")}
        assert spark == {"acked": 3, "retried": 2, "failed": 2}, "what the run's text told stands in columns"
        rows = server.get("/cdn-cgi/wpy/api/messages?q=old").json()["rows"]
        assert [(row["id"], row["state"]) for row in rows] == [("0" * 32, "acked")]
        server.get("/")
        events = server.get("/cdn-cgi/wpy/api/events?after=0&limit=100").json()["events"]
        assert [(e["seq"], e["kind"]) for e in events[:2]] == [(1, "worker.printed"), (2, "message.sent")]
        assert server.get(f"/cdn-cgi/wpy/api/messages/{(b'p' * 16).hex()}").json()["body"]["text"] == '"packed"'
        assert any(e["seq"] > 2 and e["kind"] == "message.sent" for e in events), "new events come after the old ones"
    finally:
        project.stop()
    with sqlite3.connect(path) as new:
        assert new.execute("PRAGMA user_version").fetchone() == (2,)
    new.close()
    assert not list(path.parent.glob("events.sqlite.damaged*"))
