"""Makes sense of plain events: rows of the record (tables.py), one function a kind of event that means more than itself.

Runs in the recorder's thread, or in a command. What belongs together is told by spans (trace.py). The messages of a batch may
come from several traces: the batch then has one of its own, and what it sends goes on in that; where all are of one trace, the
batch and what it sends belong to it too. That is why the trace of a batch is known here only, and not where the batch is begun.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from wrangler_py.events.plain import Plain, PlainSpan
from wrangler_py.events.tables import Rows

#: What `data` of an event never repeats: it stands in columns, or in the tables of messages and runs.
_NOT_DATA = frozenset({"messages", "ids", "ready", "settlements", "worker", "queue", "settled", "at"})
#: A text in the data of an event, a log line for one, is cut after so many characters.
MAX_TEXT = 64 * 1024
#: Ids of messages that an event itself names; all of them stand with the batch or the messages.
_FEW = 20
#: Batches of which something is remembered while they run; far more than run at once.
_MOST_BATCHES = 10_000

_NO_MESSAGES = (None, None, None)
_STATES = {"ack": "acked", "drop": "dropped"}
_WAITS = frozenset({"retry", "release", "unclaim"})
_FRAME = re.compile(r'^\s*File "(.+)", line (\d+)', re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last)"

_TRACES = "SELECT id, trace FROM item WHERE id IN ({marks})"
_TRACE_OF_RUN = "SELECT trace FROM run WHERE span = ?"

#: (rows, at_ms, data, span) -> more data for the event itself
_Special = Callable[["Digest", Rows, int, dict[str, Any], PlainSpan | None], dict[str, Any] | None]


class Digest:
    """Makes rows of events. `connection` is asked for what was written before."""

    def __init__(self, connection: sqlite3.Connection, roots: Iterable[str] = ()) -> None:
        """`roots`: the project folders, to which the files of tracebacks are shown relative."""
        self._connection = connection
        self._roots = tuple(root.rstrip("/") + "/" for root in (*roots, _project_of(connection)) if root)
        self._batch_traces: dict[str, str] = {}
        #: Of messages that are not in the database yet.
        self._new_traces: dict[bytes, str] = {}
        self._tracebacks: dict[str, str] = {}

    def rows(self, events: Iterable[Plain]) -> Rows:
        """The rows of events: as many of `Rows.events` as there are events."""
        rows = Rows()
        self._new_traces.clear()
        for at_ms, kind, span, data in events:
            special = _SPECIAL.get(kind)
            extra = special(self, rows, at_ms, data, span) if special is not None else None
            trace, span_id = (None, None) if span is None else (self._trace(span), span[0])
            shown = shown_data(kind, data, extra)
            rows.events.append((at_ms, kind, data.get("worker"), data.get("queue"), trace, span_id, shown))
        return rows

    # Messages -----------------------------------------------------------------------------------------------------

    def _sent(self, rows: Rows, at: int, data: dict[str, Any], span: PlainSpan | None) -> None:
        trace, parent = (None, None) if span is None else (self._trace(span), span[0])
        queue = data["queue"]
        times = data.get("at") or [at] * len(data["ids"])
        for key, message, due_ms, sent_ms in zip(data["ids"], data["messages"], data["ready"], times, strict=True):
            body, content_type, delay, source, replayed_from = message
            origin = bytes.fromhex(replayed_from) if replayed_from else None
            own = self._known([origin]).get(origin, origin.hex()) if origin else trace or key.hex()
            self._new_traces[key] = own
            rows.items.append(
                (
                    key,
                    queue,
                    sent_ms,
                    sent_ms,
                    due_ms,
                    content_type,
                    len(body),
                    source,
                    delay,
                    own,
                    parent,
                    origin,
                    body,
                )
            )

    def _purged(self, rows: Rows, at: int, data: dict[str, Any], _: PlainSpan | None) -> None:
        rows.removed.append(("purged", at, "the queue was purged", data["queue"], at))

    def _expired(self, rows: Rows, at: int, data: dict[str, Any], _: PlainSpan | None) -> None:
        if "before_ms" in data:
            reason = "outlived the queue's retention period"
            rows.removed.append(("expired", at, reason, data["queue"], data["before_ms"]))

    def _discarded(self, rows: Rows, at: int, data: dict[str, Any], _: PlainSpan | None) -> None:
        for key in data["ids"]:
            rows.marked.append(("discarded", at, "discarded by hand", bytes.fromhex(key)))

    def _restored(self, rows: Rows, at: int, data: dict[str, Any], _: PlainSpan | None) -> None:
        for key in data["ids"]:
            rows.marked.append((None, None, None, bytes.fromhex(key)))

    def _redriven(self, rows: Rows, at: int, data: dict[str, Any], _: PlainSpan | None) -> None:
        queue = data["queue"]
        for key in data["ids"]:
            row = (0, None, queue, at, at, None, None, "redriven", None, None, "", bytes.fromhex(key))
            rows.settled.append(row)

    # Batches ------------------------------------------------------------------------------------------------------

    def _batch_started(self, rows: Rows, at: int, data: dict[str, Any], span: PlainSpan | None) -> None:
        if span is None:
            return
        messages, queue = data["messages"], data["queue"]
        known = self._known([bytes.fromhex(message[0]) for message in messages])
        for message_id, attempts, sent_ms, content_type, size in messages:
            key = bytes.fromhex(message_id)
            if key not in known:  # it was sent while nobody recorded, or its sender has not written it down yet
                known[key] = self._new_traces[key] = message_id
                entered_ms = sent_ms if attempts == 1 else at
                row = (key, queue, sent_ms, entered_ms, entered_ms, content_type, size, "worker", None, message_id)
                rows.items.append((*row, None, None, None))
        traces = set(known.values())
        trace = traces.pop() if len(traces) == 1 else span[1]
        self._batch_traces[span[0]] = trace
        if len(self._batch_traces) > _MOST_BATCHES:
            del self._batch_traces[next(iter(self._batch_traces))]
        given = (span[0], None, trace, "batch", span[4], data["worker"], data["queue"], at)
        rows.runs.append((*given, json.dumps([message[:2] for message in messages]), "{}"))

    def _batch_finished(
        self, rows: Rows, at: int, data: dict[str, Any], span: PlainSpan | None
    ) -> dict[str, Any] | None:
        settlements = data.get("settlements")
        if span is None or settlements is None:
            return None
        error, outcome = data["error"], data["outcome"]
        counts: dict[str, int] = {}
        for settled in settlements:
            counts[settled[2]] = counts.get(settled[2], 0) + 1
            struck = error if settled[3] == outcome else None
            rows.settled.append(_settled(at, data["queue"], data.get("dead_letter_queue"), settled, struck, span[0]))
        traceback = self._tracebacks.pop(span[0], None)
        listed = json.dumps(settlements)
        given = (at, data["ms"], outcome, error, traceback, self._site(traceback), listed, "{}")
        given_up = counts.get("dead_letter", 0) + counts.get("drop", 0)
        rows.ended.append((*given, counts.get("ack", 0), counts.get("retry", 0), given_up, span[0]))
        return {"actions": counts}

    def _pull_settled(self, rows: Rows, at: int, data: dict[str, Any], _: PlainSpan | None) -> dict[str, Any]:
        counts: dict[str, int] = {}
        for queue, dead_letter_queue, *settled in data["settled"]:
            counts[settled[2]] = counts.get(settled[2], 0) + 1
            rows.settled.append(_settled(at, queue, dead_letter_queue, settled, None, ""))
        return {"actions": counts}

    def _trace(self, span: PlainSpan) -> str:
        span_id, trace, parent, kind, _ = span
        owner = span_id if kind == "batch" else parent if kind == "waitUntil" else None
        if owner is None:
            return trace
        found = self._batch_traces.get(owner)
        if found is None:
            row = self._connection.execute(_TRACE_OF_RUN, (owner,)).fetchone()
            found = trace if row is None else str(row[0])
        return found

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        """The traces of those of the messages that the record knows."""
        known = {key: trace for key in keys if (trace := self._new_traces.get(key)) is not None}
        unknown = [key for key in keys if key not in known]
        if unknown:
            known |= self._connection.execute(_TRACES.format(marks=", ".join("?" * len(unknown))), unknown)
        return known

    # Other runs ---------------------------------------------------------------------------------------------------

    def _run_begun(self, rows: Rows, at: int, data: dict[str, Any], span: PlainSpan | None) -> None:
        if span is not None:
            span_id, _, parent, kind, label = span
            given = (span_id, parent, self._trace(span), kind, label, data.get("worker"), None, at)
            rows.runs.append((*given, None, shown_data(kind, data)))

    def _run_ended(self, rows: Rows, at: int, data: dict[str, Any], span: PlainSpan | None) -> None:
        if span is None:
            return
        traceback = self._tracebacks.pop(span[0], None)
        given = (at, data["ms"], data["outcome"], data.get("error"), traceback, self._site(traceback), None)
        rows.ended.append((*given, shown_data(span[3], data), *_NO_MESSAGES, span[0]))

    def _alarm_done(self, rows: Rows, at: int, data: dict[str, Any], span: PlainSpan | None) -> None:
        self._run_ended(rows, at, {**data, "outcome": "ok"}, span)

    def _alarm_failed(self, rows: Rows, at: int, data: dict[str, Any], span: PlainSpan | None) -> None:
        self._run_ended(rows, at, {"ms": None, **data, "outcome": "exception"}, span)

    def _request(self, rows: Rows, at: int, data: dict[str, Any], span: PlainSpan | None) -> None:
        if span is None:
            return
        self._run_begun(rows, at - data["ms"], data, span)
        error = data.get("error")
        traceback = self._tracebacks.pop(span[0], None)
        if traceback is None and error and "\n" in error:
            traceback = error
        last = error.strip().rpartition("\n")[2] if error else None
        outcome = "ok" if data["status"] < 500 else "exception" if error else "error"
        given = (at, data["ms"], outcome, last, traceback, self._site(traceback), None, "{}")
        rows.ended.append((*given, *_NO_MESSAGES, span[0]))

    def _site(self, traceback: str | None) -> str | None:
        """Where a traceback's innermost frame stands that is the project's own ("file:line"), or else the innermost one."""
        if not traceback:
            return None
        frames = _FRAME.findall(traceback.rpartition(_TRACEBACK)[2] or traceback)
        found = [(self._shown(file), line) for file, line in frames]
        own = [f for f in found if not Path(f[0]).is_absolute() and "site-packages" not in f[0]] or found
        return f"{own[-1][0]}:{own[-1][1]}" if own else None

    def _shown(self, file: str) -> str:
        return next((file.removeprefix(root) for root in self._roots if file.startswith(root)), file)

    def _printed(self, rows: Rows, at: int, data: dict[str, Any], span: PlainSpan | None) -> None:
        """What a worker prints of an exception that a handler let through is its traceback."""
        if span is not None and data["level"] == "error" and _TRACEBACK in data["text"]:
            if len(self._tracebacks) > _MOST_BATCHES:
                self._tracebacks.clear()
            self._tracebacks[span[0]] = data["text"][:MAX_TEXT]


def _settled(
    at: int, queue: str, dead_letter_queue: str | None, settled: Sequence[Any], error: str | None, span: str
) -> tuple[Any, ...]:
    """A row of `Rows.settled`."""
    message_id, attempts, action, reason, where, delay = settled
    key = bytes.fromhex(message_id)
    if action == "dead_letter":
        return 0, None, dead_letter_queue, at, at, None, queue, reason, where, error, span, key
    due_ms = at + delay * 1000 if action in _WAITS else None
    state = _STATES.get(action)
    return attempts, state, None, None, due_ms, at if state else None, None, reason, where, error, span, key


def _project_of(connection: sqlite3.Connection) -> str:
    """The folder of the project whose record this is; empty when its state lies elsewhere (`--persist-to`)."""
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    return str(path.parents[2]) if len(path.parents) > 2 and path.parents[1].name == ".wpy" else ""


def shown_data(kind: str, data: dict[str, Any], extra: dict[str, Any] | None = None) -> str:
    """What the record shows of an event's data, as JSON."""
    shown = {key: value for key, value in data.items() if key not in _NOT_DATA}
    ids = data.get("ids")
    if ids is not None:
        shown |= {"count": len(ids), "ids": [key if isinstance(key, str) else key.hex() for key in ids[:_FEW]]}
    if kind == "message.sent":
        shown["bytes"] = sum(len(message[0]) for message in data["messages"])
    elif kind == "batch.started":
        shown |= {"count": len(data["messages"]), "ids": [message[0] for message in data["messages"][:_FEW]]}
    for key, value in shown.items():
        if isinstance(value, str) and len(value) > MAX_TEXT:
            shown[key] = value[:MAX_TEXT] + "…"
    shown |= extra or {}
    text = json.dumps(shown, ensure_ascii=False, default=repr, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()  # half of a surrogate pair is no text for SQLite


_SPECIAL: dict[str, _Special] = {
    "message.sent": Digest._sent,
    "message.expired": Digest._expired,
    "message.discarded": Digest._discarded,
    "message.restored": Digest._restored,
    "message.redriven": Digest._redriven,
    "queue.purged": Digest._purged,
    "queue.deleted": Digest._purged,
    "batch.started": Digest._batch_started,
    "batch.finished": Digest._batch_finished,
    "pull.settled": Digest._pull_settled,
    "request.finished": Digest._request,
    "api.finished": Digest._request,
    "cron.fired": Digest._run_begun,
    "cron.finished": Digest._run_ended,
    "alarm.started": Digest._run_begun,
    "alarm.finished": Digest._alarm_done,
    "alarm.failed": Digest._alarm_failed,
    "alarm.retrying": Digest._alarm_failed,
    "alarm.gave_up": Digest._alarm_failed,
    "task.started": Digest._run_begun,
    "task.finished": Digest._run_ended,
    "worker.printed": Digest._printed,
}
