"""Turns what happened into rows of the record (tables.py): one function a kind of event that means more than itself.

Runs in the recorder's thread. What belongs together is told by spans (trace.py). The messages of a batch may come from several
traces: the batch then has one of its own, and what it sends goes on in that; where all are of one trace, the batch and what it
sends belong to it too. That is why the trace of a batch is known here only, and not where the batch is begun.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from wrangler_py.events.record import Event
from wrangler_py.events.tables import Rows
from wrangler_py.events.trace import Span

#: Told by `batch.finished` too, with more.
_TOLD_TWICE = frozenset({"message.retried", "message.dead_lettered", "message.dropped", "message.released"})
#: What `data` of an event never repeats: it stands in columns, or in the tables of messages and runs.
_NOT_DATA = frozenset({"messages", "ids", "ready", "settlements", "worker", "queue", "settled"})
#: A text in the data of an event, a log line for one, is cut after so many characters.
MAX_TEXT = 64 * 1024
#: Ids of messages that an event itself names; all of them stand with the batch or the messages.
_FEW = 20
#: Traces of batches that are remembered while they run; far more than run at once.
_MOST_BATCHES = 10_000
#: Traces of messages that are remembered until they are in the database.
_MOST_NEW = 200_000

_STATES = {"ack": "acked", "drop": "dropped"}
_WAITS = frozenset({"retry", "release", "unclaim"})
_FRAME = re.compile(r'^\s*File "(.+)", line (\d+)', re.MULTILINE)
_CONTENT_TYPES = ("json", "text", "bytes", "v8")


class Digest:
    """Makes rows of events. `connection` is asked for the traces of messages that were sent before."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._batch_traces: dict[str, str] = {}
        #: Of messages that are not in the database yet.
        self._new_traces: dict[bytes, str] = {}
        self._tracebacks: dict[str, str] = {}

    def rows(self, events: Iterable[Event]) -> Rows:
        """The rows of events."""
        rows = Rows()
        for event in events:
            span = event.span
            if event.kind in _TOLD_TWICE:
                continue
            special = _SPECIAL.get(event.kind)
            extra = special(self, rows, event, span) if special is not None else None
            data = {key: value for key, value in event.data.items() if key not in _NOT_DATA}
            if extra:
                data |= extra
            worker, queue = event.data.get("worker"), event.data.get("queue")
            trace = None if span is None else self._trace(span)
            rows.events.append(
                (event.at_ms, event.kind, worker, queue, trace, None if span is None else span.id, _json(data))
            )
        return rows

    def written(self) -> None:
        """The rows are in the database."""
        self._new_traces.clear()

    # Messages -----------------------------------------------------------------------------------------------------

    def _sent(self, rows: Rows, event: Event, span: Span | None) -> dict[str, Any]:
        data, at = event.data, event.at_ms
        trace = None if span is None else self._trace(span)
        parent = None if span is None else span.id
        size = 0
        for key, message, due_ms in zip(data["ids"], data["messages"], data["ready"], strict=True):
            body, origin = message.body, bytes.fromhex(message.replayed_from) if message.replayed_from else None
            own = self._trace_of(origin) if origin else trace or key.hex()
            if len(self._new_traces) < _MOST_NEW:
                self._new_traces[key] = own
            size += len(body)
            rows.items.append(
                (key, data["queue"], at, at, due_ms, message.content_type, len(body), message.source)
                + (message.delay_seconds, own, parent, origin, body)
            )
        return {"count": len(data["ids"]), "bytes": size, "ids": [key.hex() for key in data["ids"][:_FEW]]}

    def _removed(self, rows: Rows, event: Event, _: Span | None) -> None:
        rows.removed.append(("queue", "purged", event.at_ms, "the queue was purged", event.data["queue"], event.at_ms))

    def _expired(self, rows: Rows, event: Event, _: Span | None) -> None:
        reason = "outlived the queue's retention period"
        for key in event.data.get("ids", ()):
            rows.removed.append(("id", "expired", event.at_ms, reason, key, None))

    def _discarded(self, rows: Rows, event: Event, _: Span | None) -> dict[str, Any]:
        ids = event.data["ids"]
        for key in ids:
            rows.removed.append(("id", "discarded", event.at_ms, "discarded by hand", bytes.fromhex(key), None))
        return {"count": len(ids), "ids": list(ids[:_FEW])}

    def _restored(self, rows: Rows, event: Event, _: Span | None) -> dict[str, Any]:
        ids = event.data["ids"]
        for key in ids:
            rows.removed.append(("id", None, None, None, bytes.fromhex(key), None))
        return {"count": len(ids), "ids": list(ids[:_FEW])}

    def _redriven(self, rows: Rows, event: Event, _: Span | None) -> dict[str, Any]:
        ids = event.data["ids"]
        for key in ids:
            rows.settled.append(
                (
                    0,
                    None,
                    event.data["queue"],
                    event.at_ms,
                    event.at_ms,
                    None,
                    None,
                    "redriven",
                    None,
                    None,
                    "",
                    bytes.fromhex(key),
                )
            )
        return {"count": len(ids), "ids": list(ids[:_FEW])}

    # Batches ------------------------------------------------------------------------------------------------------

    def _batch_started(self, rows: Rows, event: Event, span: Span | None) -> dict[str, Any] | None:
        if span is None:
            return None
        data = event.data
        messages = data["messages"]
        trace = self._batch_trace(span, messages)
        listed = [[m.id, m.attempts] for m in messages]
        detail = {"wait_ms": data.get("wait_ms")}
        rows.runs.append(
            (span.id, None, trace, "batch", span.label, data["worker"], data["queue"], event.at_ms)
            + (json.dumps(listed), json.dumps(detail))
        )
        return {"count": len(messages), "ids": [m.id for m in messages[:_FEW]]}

    def _batch_finished(self, rows: Rows, event: Event, span: Span | None) -> dict[str, Any] | None:
        data, settlements = event.data, event.data.get("settlements")
        if span is None or settlements is None:
            return None
        at, dlq = event.at_ms, data.get("dead_letter_queue")
        error, outcome = data["error"], data["outcome"]
        listed = []
        counts: dict[str, int] = {}
        for s in settlements:
            message, action = s.message, s.action
            counts[action] = counts.get(action, 0) + 1
            listed.append([message.id, message.attempts, action, s.reason, s.where, s.delay_seconds])
            state = _STATES.get(action)
            dead = action == "dead_letter"
            due = at + s.delay_seconds * 1000 if action in _WAITS else at if dead else None
            rows.settled.append(
                (0 if dead else message.attempts, state, dlq if dead else None, at if dead else None, due)
                + (at if state else None, data["queue"] if dead else None, s.reason, s.where)
                + (error if s.reason == outcome else None, span.id, bytes.fromhex(message.id))
            )
        traceback = self._tracebacks.pop(span.id, None)
        site = _site(traceback)
        rows.ended.append((at, data["ms"], outcome, error, traceback, site, json.dumps(listed), "{}", span.id))
        return {"actions": counts}

    def _pulled_settled(self, rows: Rows, event: Event, _: Span | None) -> dict[str, Any]:
        at, counts = event.at_ms, dict[str, int]()
        for queue, dlq, s in event.data["settled"]:
            dead, state = s.action == "dead_letter", _STATES.get(s.action)
            counts[s.action] = counts.get(s.action, 0) + 1
            due = at + s.delay_seconds * 1000 if s.action in _WAITS else at if dead else None
            rows.settled.append(
                (0 if dead else s.message.attempts, state, dlq if dead else None, at if dead else None, due)
                + (
                    at if state else None,
                    queue if dead else None,
                    s.reason,
                    s.where,
                    None,
                    "",
                    bytes.fromhex(s.message.id),
                )
            )
        return {"actions": counts}

    def _batch_trace(self, span: Span, messages: Any) -> str:
        traces = self._traces_of([bytes.fromhex(m.id) for m in messages])
        trace = traces.pop() if len(traces) == 1 else span.trace
        self._batch_traces[span.id] = trace
        if len(self._batch_traces) > _MOST_BATCHES:
            self._batch_traces.pop(next(iter(self._batch_traces)))
        return trace

    def _trace(self, span: Span) -> str:
        found = self._batch_traces.get(span.id)
        if found is None and span.parent is not None:  # waitUntil work of a batch
            found = self._batch_traces.get(span.parent)
        return found or span.trace

    def _trace_of(self, key: bytes) -> str:
        return self._traces_of([key]).pop()

    def _traces_of(self, keys: list[bytes]) -> set[str]:
        """The traces of messages; one of which nothing is known has its id for a trace."""
        known = {key: trace for key in keys if (trace := self._new_traces.get(key)) is not None}
        unknown = [key for key in keys if key not in known]
        if unknown:
            marks = ", ".join("?" * len(unknown))
            known |= self._connection.execute(f"SELECT id, trace FROM item WHERE id IN ({marks})", unknown)
        return {known.get(key) or key.hex() for key in keys}

    # Other runs ---------------------------------------------------------------------------------------------------

    def _run_begun(self, rows: Rows, event: Event, span: Span | None) -> None:
        if span is not None:
            detail = {k: v for k, v in event.data.items() if k not in _NOT_DATA}
            rows.runs.append(
                (span.id, span.parent, self._trace(span), span.kind, span.label, event.data.get("worker"), None)
                + (event.at_ms, None, _json(detail))
            )

    def _run_ended(self, rows: Rows, event: Event, span: Span | None) -> None:
        if span is None:
            return
        data = event.data
        traceback = self._tracebacks.pop(span.id, None)
        detail = {k: v for k, v in data.items() if k not in _NOT_DATA}
        rows.ended.append(
            (event.at_ms, data["ms"], data["outcome"], data.get("error"), traceback, _site(traceback), None)
            + (_json(detail), span.id)
        )

    def _alarm_ended(self, rows: Rows, event: Event, span: Span | None) -> None:
        outcome = "ok" if event.kind == "alarm.finished" else "exception"
        self._run_ended(rows, Event(event.at_ms, event.kind, {"ms": None, **event.data, "outcome": outcome}), span)

    def _request(self, rows: Rows, event: Event, span: Span | None) -> None:
        if span is None:
            return
        data = event.data
        self._run_begun(rows, Event(event.at_ms - data["ms"], event.kind, data), span)
        error = data.get("error")
        traceback = self._tracebacks.pop(span.id, None)
        if traceback is None and error and "\n" in error:
            traceback = error
        last = error.strip().rpartition("\n")[2] if error else None
        outcome = "ok" if data["status"] < 500 else "exception" if error else "error"
        rows.ended.append((event.at_ms, data["ms"], outcome, last, traceback, _site(traceback), None, "{}", span.id))

    def _printed(self, rows: Rows, event: Event, span: Span | None) -> None:
        """What a worker prints of an exception that a handler let through is its traceback."""
        if (
            span is not None
            and event.data["level"] == "error"
            and "Traceback (most recent call last)" in event.data["text"]
        ):
            if len(self._tracebacks) > _MOST_BATCHES:
                self._tracebacks.clear()
            self._tracebacks[span.id] = event.data["text"][:MAX_TEXT]


def _site(traceback: str | None) -> str | None:
    """ "file:line" of the innermost frame of a traceback that is no library's, or of the innermost one."""
    if not traceback:
        return None
    frames = _FRAME.findall(traceback.rpartition("Traceback (most recent call last)")[2] or traceback)
    own = [f for f in frames if not f[0].startswith("/") and "site-packages" not in f[0]] or frames
    return f"{own[-1][0]}:{own[-1][1]}" if own else None


def _json(data: dict[str, Any]) -> str:
    for key, value in data.items():
        if isinstance(value, str) and len(value) > MAX_TEXT:
            data = {**data, key: value[:MAX_TEXT] + "…"}
    return json.dumps(data, ensure_ascii=False, default=repr, separators=(",", ":")).encode("utf-8", "replace").decode()


_SPECIAL: dict[str, Callable[[Digest, Rows, Event, Span | None], dict[str, Any] | None]] = {
    "message.sent": Digest._sent,
    "message.expired": Digest._expired,
    "message.discarded": Digest._discarded,
    "message.restored": Digest._restored,
    "message.redriven": Digest._redriven,
    "queue.purged": Digest._removed,
    "batch.started": Digest._batch_started,
    "batch.finished": Digest._batch_finished,
    "pull.settled": Digest._pulled_settled,
    "request.finished": Digest._request,
    "api.finished": Digest._request,
    "cron.fired": Digest._run_begun,
    "cron.finished": Digest._run_ended,
    "alarm.started": Digest._run_begun,
    "alarm.finished": Digest._alarm_ended,
    "alarm.failed": Digest._alarm_ended,
    "alarm.retrying": Digest._alarm_ended,
    "alarm.gave_up": Digest._alarm_ended,
    "task.started": Digest._run_begun,
    "task.finished": Digest._run_ended,
    "worker.printed": Digest._printed,
}
