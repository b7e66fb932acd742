"""What can be done to messages that were picked: retry now, discard and take that back, replay as they were or edited, redrive."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any, cast

from wrangler_py.queues import bulk, limits, search
from wrangler_py.queues.limits import QueueSendError
from wrangler_py.queues.message import ContentType, OutgoingMessage
from wrangler_py.queues.query import Query, QueryError, parse
from wrangler_py.queues.search import Found
from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api import schemas
from wrangler_py.server.dashboard_api.also import also, command, few
from wrangler_py.server.dashboard_api.call import Call, Routes
from wrangler_py.server.dashboard_api.queues import outgoing, record_of

ROUTES = Routes("Messages")

_ID = re.compile(r"[0-9a-f]{32}")
#: States in which a message waits, and can be taken away or made ready.
_WAITS = ("ready", "delayed", "retrying", "dead")
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
    now_ms = call.session.clock.now_ms()
    found = await call.reader.ask(search.living, ids, query, now_ms, bulk.MOST)
    return [one for one in found if one.state in _WAITS and queue in (None, one.queue)]


def _how_picked(call: Call) -> dict[str, Any]:
    return {name: call.body.get(name) for name in ("ids", "q", "queue", "state") if call.body.get(name) is not None}


async def _cli_by_queue(call: Call, *verb: str) -> str | None:
    """A command line for picked messages; None where the command has no such filter."""
    ids = _ids(call)
    if ids is None:
        return None
    found = await call.reader.ask(search.living, ids, None, call.session.clock.now_ms(), bulk.MOST)
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
    count = await call.session.bulk.make_ready(await picked(call))
    call.reader.changed()
    return {"ok": True, "also": lines, "count": count}


@ROUTES.post(
    "messages/discard",
    "Delete waiting messages; `undo` brings them back for a while",
    schemas.done(count=schemas.INTEGER, undo=schemas.TEXT, undoUntilMs=schemas.INTEGER),
    schemas.record(tuple(_PICK), **_PICK),
)
async def discard(call: Call) -> dict[str, Any]:
    lines = also(call, "messages/discard", _how_picked(call), await _cli_by_queue(call, "discard"))
    if call.preview:
        return {"ok": True, "also": lines}
    count, token, until_ms = await call.session.bulk.discard(await picked(call))
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
    lines = also(call, "messages/undo", {"undo": token}, command("queues", "undo", "--", token))
    if call.preview:
        return {"ok": True, "also": lines}
    count = await call.session.bulk.undo(token)
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
        sent = await call.session.bulk.replay(planned, delay)
    except QueueSendError as error:
        raise CallError(error.cause) from error
    call.reader.changed()
    listed = [{"id": new, "queue": name, "replayedFrom": old} for new, name, old in sent]
    return {"ok": True, "also": lines, "count": len(listed), "messages": listed}


async def _originals(call: Call, ids: list[str] | None) -> list[tuple[Found, bytes]]:
    """The messages to replay, with their bodies: wherever they are, settled ones too."""
    query, now_ms = None if ids is not None else _query(call), call.session.clock.now_ms()

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
        try:
            value: Any = json.loads(body)
        except (ValueError, RecursionError):
            value = body
    else:
        value = body.decode("utf-8", "replace") if found.content_type == "text" else body
    return f"await wpy.queues[{name!r}].send({value!r})"


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
    test = f"for message in wpy.queues[{record.name!r}].messages():\n    await message.replay()" if everything else None
    lines = also(call, f"queues/{record.name}/redrive", given, cli, test)
    if call.preview:
        return {"ok": True, "also": lines}
    if to is not None:
        record_of(call, to)
    if everything:
        call.body["queue"] = record.name
    moved, left = await call.session.bulk.redrive(await picked(call, queue=record.name), to)
    call.reader.changed()
    return {"ok": True, "also": lines, "count": sum(moved.values()), "byQueue": moved, "left": left}
