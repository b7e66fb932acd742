"""A trace as spans for a waterfall: what was work, and what was waiting.

The spans are made when somebody looks, from the messages and runs of the record: a request, cron or alarm with the messages that
it sent; each message with its waiting and its attempts; what an attempt sent in turn; and a replay under the message it replays.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

from wrangler_py.events import reading
from wrangler_py.events.reading import Item, Recorded, Run

#: Messages of one trace that are shown at most.
MOST_MESSAGES = 500


class TraceSpan(Struct):
    """One bar. `end_ms` None: it goes on."""

    id: str
    parent: str | None
    kind: str
    name: str
    start_ms: int
    end_ms: int | None
    waiting: bool = False
    status: str = "ok"  # "ok", "error", "retry", "running"
    detail: dict[str, Any] = field(default_factory=dict)
    logs: list[Recorded] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The span as the API shows it."""
        return {
            "id": self.id,
            "parent": self.parent,
            "kind": self.kind,
            "name": self.name,
            "startMs": self.start_ms,
            "endMs": self.end_ms,
            "waiting": self.waiting,
            "status": self.status,
            "detail": self.detail,
            "logs": [log_as_json(log) for log in self.logs],
        }


class Attempt(Struct, frozen=True):
    """One delivery of one message. `action` None: it goes on, or its session was killed."""

    batch: Run
    attempt: int
    action: str | None
    reason: str | None
    where: str | None
    delay_seconds: int | None


def log_as_json(log: Recorded) -> dict[str, Any]:
    """A log line as the API shows it inside of a run."""
    data = log.data
    return {"seq": log.seq, "atMs": log.at_ms, "level": data["level"], "text": data["text"]}


def attempts_of(connection: sqlite3.Connection, item: Item) -> list[Attempt]:
    """The deliveries of a message, in order."""
    return [attempt for run in reading.batches_of(connection, item) for attempt in _attempts_in(run, item.hex)]


def _attempts_in(run: Run, message_id: str) -> list[Attempt]:
    found = []
    for entry in run.messages:
        if entry[0] == message_id:
            action, reason, where, delay = entry[2:6] if len(entry) > 2 else (None, None, None, None)
            found.append(Attempt(run, entry[1], action, reason, where, delay))
    return found


def spans_of(connection: sqlite3.Connection, trace: str) -> list[TraceSpan]:
    """The spans of a trace, each after its parent; empty when nothing is known of it."""
    items = reading.items_where(connection, "trace = ?", (trace,), MOST_MESSAGES)
    if not items:  # the trace of a message that nobody's span has sent is its own id
        items = [item] if (item := reading.item(connection, trace)) is not None else []
    runs = reading.runs_where(connection, "trace = ? AND kind <> 'batch'", (trace,), MOST_MESSAGES, newest=False)
    by_item = {item.id: attempts_of(connection, item) for item in items}
    spans = [_run_span(run) for run in runs]
    known = {run.span for run in runs}
    of_batch: dict[str, str] = {}  # span of a batch -> the first of its attempts, which stands for what it sent
    for item in items:
        for attempt in by_item[item.id]:
            of_batch.setdefault(attempt.batch.span, _attempt_id(item, attempt))
    for item in items:
        spans += _message_spans(item, by_item[item.id], known, of_batch)
    logged = _logs(connection, [*known, *of_batch])
    attached: set[str] = set()
    for span in spans:
        key = str(span.detail.get("batch") or span.id)
        if key in logged and span.kind != "message" and not span.waiting and key not in attached:
            attached.add(key)
            span.logs = logged[key]
    present = {span.id for span in spans}
    for span in spans:
        if span.kind == "waitUntil" and span.parent not in present:
            span.parent = of_batch.get(span.parent or "")
        if span.parent not in present:
            span.parent = None
    return _parents_first(spans)


def _run_span(run: Run) -> TraceSpan:
    failed = run.outcome not in (None, "ok") or run.error is not None
    status = "running" if run.ended_ms is None else "error" if failed else "ok"
    detail: dict[str, Any] = {"worker": run.worker, "outcome": run.outcome, "error": run.error, "where": run.site}
    given = run.detail
    detail |= {
        key: given[key] for key in ("status", "method", "path", "cron", "scheduled_ms", "trigger") if key in given
    }
    end_ms = run.ended_ms
    if end_ms is not None and run.ms is not None:
        end_ms = max(end_ms, run.started_ms + run.ms)  # real work under a clock that stands still
    return TraceSpan(run.span, run.parent, run.kind, run.label, run.started_ms, end_ms, status=status, detail=detail)


def _message_spans(
    item: Item, attempts: Sequence[Attempt], known: set[str], of_batch: dict[str, str]
) -> list[TraceSpan]:
    own = item.hex
    parent = item.parent if item.parent in known else of_batch.get(item.parent or "")
    kind, replayed = "message", None
    if item.replayed_from is not None:
        kind, replayed, parent = "replay", item.replayed_from.hex(), item.replayed_from.hex()
    origin = item.died_in if item.died_in else item.queue
    first = attempts[0].batch.queue if attempts else origin
    status = {"acked": "ok", None: "running"}.get(item.state, "error")
    detail = {"id": own, "queue": first, "state": item.state, "replayedFrom": replayed}
    spans = [TraceSpan(own, parent, kind, f"{first}", item.sent_ms, item.ended_ms, status=status, detail=detail)]
    ready_ms, waits_for = item.sent_ms + (item.delay or 0) * 1000, "delay"
    since = item.sent_ms
    number = 0
    for number, attempt in enumerate(attempts, 1):
        batch = attempt.batch
        spans += _waiting(own, number, since, ready_ms, batch.started_ms, waits_for, batch.queue or origin)
        end_ms = None if batch.ended_ms is None else max(batch.ended_ms, batch.started_ms + (batch.ms or 0))
        acted = {"ack": "ok", "retry": "retry", "release": "retry", "unclaim": "retry", None: "running"}
        spans.append(
            TraceSpan(
                _attempt_id(item, attempt),
                own,
                "attempt",
                f"attempt {attempt.attempt}",
                batch.started_ms,
                end_ms,
                status=acted.get(attempt.action, "error"),
                detail={
                    "batch": batch.span,
                    "queue": batch.queue,
                    "worker": batch.worker,
                    "attempt": attempt.attempt,
                    "action": attempt.action,
                    "reason": attempt.reason,
                    "where": attempt.where or (batch.site if attempt.reason == batch.outcome else None),
                    "delaySeconds": attempt.delay_seconds,
                    "error": batch.error,
                    "traceback": batch.traceback,
                },
            )
        )
        since = batch.ended_ms or batch.started_ms
        ready_ms, waits_for = since + (attempt.delay_seconds or 0) * 1000, "retry"
        if attempt.action == "dead_letter":
            spans.append(
                TraceSpan(
                    f"{own}-dead",
                    own,
                    "deadLetter",
                    f"dead letter queue {item.queue}",
                    since,
                    since,
                    status="error",
                    detail={"diedIn": batch.queue, "queue": item.queue, "reason": attempt.reason},
                )
            )
            waits_for = "delay"
    if item.state is None and (not attempts or attempts[-1].action is not None):
        spans += _waiting(own, number + 1, since, max(ready_ms, item.due_ms), None, waits_for, item.queue)
    return spans


def _waiting(
    own: str, number: int, since: int, ready_ms: int, until: int | None, waits_for: str, queue: str
) -> list[TraceSpan]:
    """The wait before an attempt: first for its time to come, then for a batch."""
    found = []
    came = ready_ms if until is None else min(ready_ms, until)
    if came > since:
        name = "retry delay" if waits_for == "retry" else "delay"
        found.append(
            TraceSpan(f"{own}-d{number}", own, "delay", name, since, came, waiting=True, detail={"queue": queue})
        )
    if until is None or until > came:
        found.append(
            TraceSpan(
                f"{own}-q{number}",
                own,
                "queued",
                "in the queue",
                max(since, came),
                until,
                waiting=True,
                detail={"queue": queue},
            )
        )
    if until is None:
        for span in found:
            span.status = "running"
    return found


def _attempt_id(item: Item, attempt: Attempt) -> str:
    return f"{item.hex}-{attempt.batch.span}"


def _logs(connection: sqlite3.Connection, spans: Sequence[str]) -> dict[str, list[Recorded]]:
    found: dict[str, list[Recorded]] = {}
    for log in reading.logs_of(connection, spans):
        found.setdefault(log.span or "", []).append(log)
    return found


def _parents_first(spans: list[TraceSpan]) -> list[TraceSpan]:
    """Depth first, by time among siblings."""
    by_parent: dict[str | None, list[TraceSpan]] = {}
    for span in spans:
        by_parent.setdefault(span.parent, []).append(span)
    ordered: list[TraceSpan] = []
    for siblings in by_parent.values():
        siblings.sort(key=lambda span: span.start_ms)
    stack = [list(reversed(by_parent.get(None, [])))]
    while stack:
        if not stack[-1]:
            stack.pop()
            continue
        span = stack[-1].pop()
        ordered.append(span)
        stack.append(list(reversed(by_parent.get(span.id, []))))
    return ordered


def list_traces(connection: sqlite3.Connection, before: int | None, limit: int) -> list[dict[str, Any]]:
    """The traces that began last, newest first, each with the number by which the list goes on."""
    bound = (1 << 62) if before is None else before
    rows = connection.execute(
        """
        SELECT n, trace, label, kind, started_ms, coalesce(ended_ms, started_ms), error IS NOT NULL,
            (SELECT count(*) FROM item WHERE item.trace = run.trace),
            (SELECT max(coalesce(ended_ms, sent_ms)) FROM item WHERE item.trace = run.trace),
            (SELECT count(*) FROM item WHERE item.trace = run.trace AND (state = 'dropped' OR died_in IS NOT NULL))
        FROM run WHERE n < ? AND parent IS NULL AND kind <> 'waitUntil'
            AND NOT (kind = 'batch' AND EXISTS (SELECT 1 FROM item WHERE item.trace = run.trace AND item.parent IS NOT run.span))
        ORDER BY n DESC LIMIT ?
        """,
        (bound, limit),
    ).fetchall()
    return [
        {
            "n": n,
            "id": trace,
            "label": label,
            "kind": kind,
            "startMs": started,
            "endMs": max(ended, items_end or 0),
            "messages": messages,
            "failed": bool(failed or dead),
        }
        for n, trace, label, kind, started, ended, failed, messages, items_end, dead in rows
    ]
