"""Messages: the list, one of them with its whole way, and what can be done to those that were picked."""

from __future__ import annotations

import base64
import re
import sqlite3
import time
from typing import Any, cast

from wrangler_py.events import reading
from wrangler_py.events.reading import Item, Run
from wrangler_py.events.traces import Attempt, attempts_of, log_as_json
from wrangler_py.queues import bulk, limits, search
from wrangler_py.queues.limits import QueueSendError
from wrangler_py.queues.message import ContentType, OutgoingMessage
from wrangler_py.queues.query import Query, QueryError, parse
from wrangler_py.queues.search import Found
from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api import schemas
from wrangler_py.server.dashboard_api.also import also, command, few
from wrangler_py.server.dashboard_api.call import CURSOR, LIMIT, Call, Parameter, Routes
from wrangler_py.server.dashboard_api.queues import outgoing, record_of

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
    now_ms = call.rooms.clock.now_ms()
    started = time.perf_counter()
    try:
        page = await call.reader.ask(
            *(search.search, query, now_ms),
            limit=limit,
            cursor=cursor,
            order=order,
            count=cursor is None,
        )
    except ValueError as error:
        raise CallError(f"{error}.") from error
    return {
        "rows": [found.as_json() for found in page.rows],
        "cursor": page.cursor,
        "total": page.total,
        "totalIsExact": page.total is not None,
        "tookMs": round((time.perf_counter() - started) * 1000, 1),
    }


@ROUTES.get("messages/{id}", "One message: its body, its way, every attempt, where it comes from", schemas.MESSAGE)
async def message(call: Call) -> dict[str, Any]:
    message_id = call.path["id"]
    if not _ID.fullmatch(message_id):
        raise CallError(f'"{message_id[:50]}" is no id of a message, which is 32 characters of 0-9 and a-f.', 404)
    found = await call.reader.ask(_read, message_id, call.rooms.clock.now_ms())
    if found is None:
        raise CallError(f"No message {message_id} lives here, and the record knows of none.", 404)
    shown, body, attempts, logs, lineage = found
    consumer = call.rooms.workers.consumer(shown.died_in if shown.state == "dead" and shown.died_in else shown.queue)
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
            "retryNow": waits and (shown.due_ms or 0) > call.rooms.clock.now_ms(),
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


# Actions --------------------------------------------------------------------------------------------------------------

_PICK = {"ids": schemas.array(schemas.ID), "q": schemas.TEXT, "queue": schemas.TEXT, "state": schemas.TEXT}


def _ids(call: Call) -> list[str] | None:
    ids = call.body.get("ids")
    if ids is None:
        return None
    if not isinstance(ids, list) or not all(isinstance(one, str) and _ID.fullmatch(one) for one in ids):
        raise CallError("`ids` must be a list of ids, each of 32 characters of 0-9 and a-f.")
    if len(ids) > bulk.MOST:
        raise CallError(f"`ids` has more than {bulk.MOST:,} ids; pick them with `q` instead.")
    return list(dict.fromkeys(ids))


def _query(call: Call) -> Query:
    q = call.text("q")
    if q is None and call.text("queue") is None and call.text("state") is None:
        raise CallError("Say which messages: by `ids`, or by `q`, `queue` or `state`.")
    try:
        query = parse(q or "")
        query.narrow(call.text("queue"), call.text("state"))
    except QueryError as error:
        raise CallError(str(error)) from error
    return query


async def picked(call: Call, *, queue: str | None = None) -> list[Found]:
    """The waiting messages that the body picks. Raises CallError."""
    ids = _ids(call)
    query = None if ids is not None else _query(call)
    now_ms = call.rooms.clock.now_ms()
    found = await call.reader.ask(search.living, ids, query, now_ms, bulk.MOST)
    return [one for one in found if one.state in _WAITS and queue in (None, one.queue)]


def _how_picked(call: Call) -> dict[str, Any]:
    return {name: call.body.get(name) for name in ("ids", "q", "queue", "state") if call.body.get(name) is not None}


async def _cli_by_queue(call: Call, *verb: str) -> str | None:
    """A command line for picked messages; None where the command has no such filter."""
    ids = _ids(call)
    if ids is None:
        return None
    found = await call.reader.ask(search.living, ids, None, call.rooms.clock.now_ms(), bulk.MOST)
    by_queue: dict[str, list[str]] = {}
    for one in found:
        by_queue.setdefault(one.queue, []).append(one.id)
    lines = [command("queues", verb[0], name, *_options(verb[1:], few(those))) for name, those in by_queue.items()]
    return "\n".join(lines) or None


def _options(option: tuple[str, ...], ids: list[str]) -> list[str]:
    return [word for one in ids for word in (*option, one)]


@ROUTES.post(
    "messages/retry",
    "Make waiting messages ready now",
    schemas.done(count=schemas.INTEGER),
    schemas.record(tuple(_PICK), **_PICK),
)
async def retry(call: Call) -> dict[str, Any]:
    lines = also(call, "messages/retry", _how_picked(call), await _cli_by_queue(call, "retry"))
    if call.preview:
        return {"ok": True, "also": lines}
    count = await call.rooms.bulk.make_ready(await picked(call))
    call.reader.changed()
    return {"ok": True, "also": lines, "count": count}


@ROUTES.post(
    "messages/discard",
    "Delete waiting messages; `undo` brings them back for a while",
    schemas.done(count=schemas.INTEGER, undo=schemas.TEXT, undoUntilMs=schemas.INTEGER),
    schemas.record(tuple(_PICK), **_PICK),
)
async def discard(call: Call) -> dict[str, Any]:
    lines = also(call, "messages/discard", _how_picked(call))
    if call.preview:
        return {"ok": True, "also": lines}
    count, token, until_ms = await call.rooms.bulk.discard(await picked(call))
    call.reader.changed()
    return {"ok": True, "also": lines, "count": count, "undo": token, "undoUntilMs": until_ms}


@ROUTES.post(
    "messages/undo",
    "Bring discarded messages back",
    schemas.done(count=schemas.INTEGER),
    schemas.record(undo=schemas.TEXT),
)
async def undo(call: Call) -> dict[str, Any]:
    token = call.text("undo")
    if token is None:
        raise CallError("Say what to take back by `undo`, as the answer to messages/discard named it.")
    lines = also(call, "messages/undo", {"undo": token})
    if call.preview:
        return {"ok": True, "also": lines}
    count = await call.rooms.bulk.undo(token)
    if count is None:
        raise CallError(f"There is nothing to take back any more: it is possible for {bulk.UNDO_MS // 1000} s.", 409)
    call.reader.changed()
    return {"ok": True, "also": lines, "count": count}


_REPLAYED = schemas.record(id=schemas.ID, queue=schemas.TEXT, replayedFrom=schemas.ID)


@ROUTES.post(
    "messages/replay",
    "Send messages anew, as they were or edited",
    schemas.done(count=schemas.INTEGER, messages=schemas.array(_REPLAYED)),
    schemas.record(
        (*_PICK, "to", "text", "base64", "contentType", "delaySeconds"),
        **_PICK,
        to=schemas.TEXT,
        text=schemas.TEXT,
        base64=schemas.TEXT,
        contentType=schemas.TEXT,
        delaySeconds=schemas.INTEGER,
    ),
)
async def replay(call: Call) -> dict[str, Any]:
    to, delay = call.text("to"), call.whole("delaySeconds", None, 0, limits.MAX_DELAY_SECONDS)
    edited = call.body.get("text") is not None or call.body.get("base64") is not None
    ids = _ids(call)
    if edited and (ids is None or len(ids) != 1):
        raise CallError("An edited body goes with one id in `ids`.")
    if to is not None and not call.preview:
        record_of(call, to)
    given = {name: call.body.get(name) for name in ("to", "text", "base64", "contentType", "delaySeconds")}
    originals = await _originals(call, ids)
    lines = also(
        *(call, "messages/replay", {**_how_picked(call), **given}),
        "\n".join(_send_line(found, body, to, delay) for found, body in originals[:5]) or None,
        "\n".join(_test_line(found, body, to) for found, body in originals[:5]) or None,
    )
    if call.preview:
        return {"ok": True, "also": lines}
    if not originals:
        raise CallError("None of these messages is known with its body, so that it could be sent anew.", 404)
    planned: list[tuple[str, str, OutgoingMessage]] = []
    for found, body in originals:
        message = (
            outgoing(call, default_type=found.content_type, replayed=found.id)
            if edited
            else OutgoingMessage(body, cast(ContentType, found.content_type), source="api", replayed_from=found.id)
        )
        planned.append((found.id, to or found.died_in or found.queue, message))
    try:
        sent = await call.rooms.bulk.replay(planned, delay)
    except QueueSendError as error:
        raise CallError(error.cause) from error
    call.reader.changed()
    listed = [{"id": new, "queue": name, "replayedFrom": old} for new, name, old in sent]
    return {"ok": True, "also": lines, "count": len(listed), "messages": listed}


async def _originals(call: Call, ids: list[str] | None) -> list[tuple[Found, bytes]]:
    """The messages to replay, with their bodies: wherever they are, settled ones too."""
    query, now_ms = None if ids is not None else _query(call), call.rooms.clock.now_ms()

    def read(connection: sqlite3.Connection) -> list[tuple[Found, bytes]]:
        wanted = ids
        if wanted is None:
            assert query is not None
            page = search.search(connection, query, now_ms, limit=_MOST_REPLAYED, count=False, order="oldest")
            wanted = [found.id for found in page.rows]
        known = [search.find(connection, one, now_ms) for one in wanted]
        return [(found[0], found[1]) for found in known if found is not None and found[1] is not None]

    return await call.reader.ask(read)


#: Messages that one call sends anew at most.
_MOST_REPLAYED = 1_000


def _send_line(found: Found, body: bytes, to: str | None, delay: int | None) -> str:
    name = to or found.died_in or found.queue
    text = body.decode("utf-8", "replace") if found.content_type in ("json", "text") else "<body>"
    more = ("--delay", str(delay)) if delay is not None else ()
    return command("queues", "send", name, text, "--content-type", found.content_type, *more)


def _test_line(found: Found, body: bytes, to: str | None) -> str:
    name = to or found.died_in or found.queue
    if found.content_type == "json":
        import json

        try:
            value: Any = json.loads(body)
        except (ValueError, RecursionError):
            value = body
    else:
        value = body.decode("utf-8", "replace") if found.content_type == "text" else body
    return f"await queues[{name!r}].send({value!r})"


@ROUTES.post(
    "queues/{name}/redrive",
    "Send dead letters back to the queues they died in",
    schemas.done(
        count=schemas.INTEGER, byQueue={"type": "object", "additionalProperties": schemas.INTEGER}, left=schemas.INTEGER
    ),
    schemas.record((*_PICK, "to"), **_PICK, to=schemas.TEXT),
)
async def redrive(call: Call) -> dict[str, Any]:
    record = record_of(call)
    to, ids = call.text("to"), _ids(call)
    everything = ids is None and call.text("q") is None
    words = ("--all",) if everything else tuple(_options(("--id",), few(ids))) if ids is not None else None
    cli = None if words is None else command("queues", "redrive", record.name, *words, *(("--to", to) if to else ()))
    given = {name: call.body.get(name) for name in ("ids", "q", "to")}
    lines = also(call, f"queues/{record.name}/redrive", given, cli)
    if call.preview:
        return {"ok": True, "also": lines}
    if to is not None:
        record_of(call, to)
    if everything:
        call.body["queue"] = record.name
    moved, left = await call.rooms.bulk.redrive(await picked(call, queue=record.name), to)
    call.reader.changed()
    return {"ok": True, "also": lines, "count": sum(moved.values()), "byQueue": moved, "left": left}
