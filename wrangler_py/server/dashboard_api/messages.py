"""Messages: the list, and one of them with its whole way. What can be done to them: message_actions.py."""

from __future__ import annotations

import base64
import re
import sqlite3
import time
from typing import Any

from wrangler_py.events import reading
from wrangler_py.events.reading import Item, Run
from wrangler_py.events.traces import Attempt, attempts_of, log_as_json
from wrangler_py.queues import search
from wrangler_py.queues.query import Query, QueryError, parse
from wrangler_py.queues.search import Found
from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api import schemas
from wrangler_py.server.dashboard_api.call import CURSOR, LIMIT, Call, Parameter, Routes

ROUTES = Routes("Messages")

_ID = re.compile(r"[0-9a-f]{32}")
#: States in which a message waits, and can be taken away or made ready.
_WAITS = ("ready", "delayed", "retrying", "dead")
_WHY = {
    "ack()": "acknowledged: message.ack() was called{where}",
    "retry()": "message.retry() was called{where}",
    "ackAll()": "acknowledged: batch.ackAll() was called{where}",
    "retryAll()": "batch.retryAll() was called{where}",
    "handler returned": "acknowledged: the handler returned, and no call had settled the message",
    "ack lost": "its acknowledgement was lost, by a fault that somebody set in this session",
    "exception": "the handler raised, and no call had settled the message",
    "exceededWallTime": "the handler ran for too long, and its process was ended",
    "canceled": "the session or the worker's process ended while the handler ran",
}


def query_of(call: Call) -> Query:
    """The query that the query string describes. Raises CallError."""
    try:
        query = parse(call.query.get("q", ""))
        query.narrow(call.query.get("queue"), call.query.get("state"))
    except QueryError as error:
        raise CallError(str(error)) from error
    return query


@ROUTES.get(
    "messages",
    "Messages that fit, wherever they are",
    schemas.MESSAGES,
    (
        Parameter("q", "Words and parts like body.user.id:42, attempts:>1, error:Timeout; see docs/dashboard-api.md"),
        Parameter("queue"),
        Parameter("state", "One or several, separated by commas"),
        Parameter("order", "newest or oldest", {"enum": ["newest", "oldest"]}),
        *(CURSOR, LIMIT),
    ),
)
async def messages(call: Call) -> dict[str, Any]:
    query, limit = query_of(call), call.limit()
    order = call.query.get("order") or "newest"
    if order not in ("newest", "oldest"):
        raise CallError(f'`order` must be newest or oldest, but is "{order}".')
    cursor = call.query.get("cursor") or None
    now_ms = call.session.clock.now_ms()
    wanted = tuple(call.query.get(name, "") for name in ("q", "queue", "state"))
    total, fresh = call.reader.total(wanted)
    started = time.perf_counter()
    try:
        page = await call.reader.ask(
            *(search.search, query, now_ms),
            limit=limit,
            cursor=cursor,
            order=order,
            count=cursor is None and not fresh,
        )
    except ValueError as error:
        raise CallError(f"{error}.") from error
    if cursor is None and not fresh:
        total = page.total
        call.reader.counted_total(wanted, total, page.counted_s)
    return {
        "rows": [found.as_json() for found in page.rows],
        "cursor": page.cursor,
        "total": None if cursor is not None else total,
        "totalIsExact": cursor is None and total is not None and not fresh,
        "tookMs": round((time.perf_counter() - started) * 1000, 1),
    }


@ROUTES.get("messages/{id}", "One message: its body, its way, every attempt, where it comes from", schemas.MESSAGE)
async def message(call: Call) -> dict[str, Any]:
    message_id = call.path["id"]
    if not _ID.fullmatch(message_id):
        raise CallError(f'"{message_id[:50]}" is no id of a message, which is 32 characters of 0-9 and a-f.', 404)
    found = await call.reader.ask(_read, message_id, call.session.clock.now_ms())
    if found is None:
        raise CallError(f"No message {message_id} lives here, and the record knows of none.", 404)
    shown, body, attempts, logs, lineage = found
    consumer = call.session.workers.consumer(shown.died_in if shown.state == "dead" and shown.died_in else shown.queue)
    row = shown.as_json()
    del row["preview"], row["attempts"]
    waits = shown.state in _WAITS
    return {
        **row,
        "attemptCount": shown.attempts,
        "body": None if body is None else body_object(body, shown.content_type),
        "enteredMs": shown.entered_ms,
        "delaySeconds": shown.delay_seconds,
        "maxRetries": None if consumer is None else consumer.settings.max_retries,
        "deadLetterQueue": None if consumer is None else consumer.settings.dead_letter_queue,
        "path": _path(shown, attempts),
        "attempts": [_attempt(attempt, logs) for attempt in attempts],
        "lineage": lineage,
        "actions": {
            "retryNow": waits and (shown.due_ms or 0) > call.session.clock.now_ms(),
            "replay": body is not None,
            "discard": waits,
            "redrive": shown.state == "dead",
        },
    }


def body_object(body: bytes, content_type: str) -> dict[str, Any]:
    """A body as text where it is one, else in base64. Never as JSON, which would round large integers."""
    text: str | None = None
    if content_type in ("json", "text"):
        try:
            text = body.decode()
        except UnicodeDecodeError:
            text = None
    encoded = base64.b64encode(body).decode() if text is None else None
    return {"contentType": content_type, "text": text, "base64": encoded, "truncated": False}


_Known = tuple[Found, bytes | None, list[Attempt], dict[str, list[dict[str, Any]]], dict[str, Any]]


def _read(connection: sqlite3.Connection, message_id: str, now_ms: int) -> _Known | None:
    found = search.find(connection, message_id, now_ms)
    if found is None:
        return None
    shown, body = found
    item = shown.item
    attempts = [] if item is None else attempts_of(connection, item)
    spans = [attempt.batch.span for attempt in attempts]
    logs: dict[str, list[dict[str, Any]]] = {}
    for log in reading.logs_of(connection, spans):
        logs.setdefault(log.span or "", []).append(log_as_json(log))
    lineage = {
        "parent": None if item is None else _parent(connection, item),
        "replayedFrom": item.replayed_from.hex() if item is not None and item.replayed_from is not None else None,
        "replays": [one.hex for one in reading.replays(connection, message_id)],
        "children": [{"id": one.hex, "queue": one.queue} for one in reading.children(connection, spans)],
    }
    return shown, body, attempts, logs, lineage


def _parent(connection: sqlite3.Connection, item: Item) -> dict[str, Any] | None:
    if item.parent is None:
        kind = "replay" if item.replayed_from is not None else "api" if item.source == "api" else None
        return None if kind is None else {"kind": kind, "label": kind, "spanId": None, "traceId": None, "messages": []}
    run: Run | None = reading.run(connection, item.parent)
    if run is None:
        return {"kind": "unknown", "label": "", "spanId": item.parent, "traceId": item.trace, "messages": []}
    ids = [entry[0] for entry in run.messages]
    return {"kind": run.kind, "label": run.label, "spanId": run.span, "traceId": run.trace, "messages": ids}


def _attempt(attempt: Attempt, logs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    run = attempt.batch
    struck = attempt.reason == run.outcome
    return {
        "attempt": attempt.attempt,
        "queue": run.queue,
        "batch": run.span,
        "batchSize": len(run.messages),
        "spanId": run.span,
        "worker": run.worker,
        "atMs": run.started_ms,
        "ms": run.ms,
        "outcome": run.outcome,
        "action": attempt.action,
        "reason": attempt.reason,
        "where": attempt.where or (run.site if struck else None),
        "why": why(attempt),
        "delaySeconds": attempt.delay_seconds,
        "error": run.error,
        "traceback": run.traceback,
        "logs": logs.get(run.span, []),
    }


def why(attempt: Attempt) -> str:
    """Why an attempt ended as it did, as a sentence."""
    if attempt.action is None:
        return "it goes on, or its session was killed"
    where = f" at {attempt.where}" if attempt.where else ""
    text = _WHY.get(attempt.reason or "", attempt.reason or "").format(where=where)
    if attempt.action == "retry":
        after = f" in {attempt.delay_seconds} s" if attempt.delay_seconds else " at once"
        return f"retried{after}: {text}"
    if attempt.action == "dead_letter":
        return f"moved to the dead letter queue, as no retry was left: {text}"
    if attempt.action == "drop":
        return f"dropped, as no retry was left and there is no dead letter queue: {text}"
    if attempt.action in ("release", "unclaim"):
        return f"given back as it was: {text}"
    return text


def _path(shown: Found, attempts: list[Attempt]) -> list[dict[str, Any]]:
    first = attempts[0].batch.queue if attempts else shown.died_in or shown.queue
    path: list[dict[str, Any]] = [{"state": "sent", "atMs": shown.sent_ms, "queue": first}]
    ready_ms = shown.sent_ms + (shown.delay_seconds or 0) * 1000
    if shown.delay_seconds:
        path.append({"state": "delayed", "atMs": shown.sent_ms, "untilMs": ready_ms})
    for attempt in attempts:
        run = attempt.batch
        if ready_ms <= run.started_ms:
            path.append({"state": "ready", "atMs": ready_ms, "queue": run.queue})
        step = {"atMs": run.started_ms, "batch": run.span, "attempt": attempt.attempt, "queue": run.queue}
        path.append({"state": "in_flight", **step})
        if attempt.action is None or run.ended_ms is None:
            continue
        end, why_ = run.ended_ms, {"reason": attempt.reason, "where": attempt.where}
        ready_ms = end + (attempt.delay_seconds or 0) * 1000
        if attempt.action == "ack":
            path.append({"state": "acked", "atMs": end, **why_})
        elif attempt.action == "drop":
            path.append({"state": "dropped", "atMs": end, **why_})
        elif attempt.action == "dead_letter":
            path.append({"state": "dead", "atMs": end, "queue": shown.queue, **why_})
        else:
            path.append({"state": "retrying", "atMs": end, "untilMs": ready_ms, **why_})
    if shown.state in ("ready", "delayed", "retrying", "dead"):
        due = shown.due_ms or ready_ms
        if not attempts and shown.state == "ready":
            path.append({"state": "ready", "atMs": due, "queue": shown.queue})
    elif shown.state in ("discarded", "purged", "expired") and shown.ended_ms is not None:
        path.append({"state": shown.state, "atMs": shown.ended_ms})
    return path
