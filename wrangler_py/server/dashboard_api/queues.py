"""Queues: the list, one of them, and what can be done to a whole queue."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, cast

from wrangler_py.config.model import Consumer
from wrangler_py.events import metrics
from wrangler_py.queues import limits, search, tables
from wrangler_py.queues.admin import QueueAdmin
from wrangler_py.queues.consumers import Attached, of_queues
from wrangler_py.queues.limits import QueueSendError
from wrangler_py.queues.message import ContentType, OutgoingMessage
from wrangler_py.queues.purge import Purges
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api import schemas
from wrangler_py.server.dashboard_api.also import also, command
from wrangler_py.server.dashboard_api.batches import batch_objects
from wrangler_py.server.dashboard_api.call import CURSOR, LIMIT, MAX_PAGE, Call, Parameter, Routes
from wrangler_py.server.dashboard_api.origins import Origins
from wrangler_py.store.sessions import attachments

ROUTES = Routes("Queues")

_BUCKETS, _BUCKET_MS = 30, 10_000
_LAST_BATCHES = 10
_API_DEAD_LETTERS = """
    SELECT queue.name, consumer.dead_letter_queue FROM consumer JOIN queue ON queue.id = consumer.queue_id
    WHERE consumer.dead_letter_queue IS NOT NULL
"""
#: Messages that one call sends at most.
MOST_SENT = 10_000
_NO_COUNTS = {"ready": 0, "delayed": 0, "in_flight": 0, "retrying": 0, "dead": 0}


def record_of(call: Call, name: str | None = None) -> QueueRecord:
    """The queue that a path names. Raises CallError."""
    name = call.path["name"] if name is None else name
    found = tables.find_queue(call.session.store, name)
    if found is None:
        raise CallError(f'There is no queue "{name}" in this state folder.', 404)
    return found


async def chosen(call: Call, limit: int) -> tuple[list[str], int]:
    """The names of up to `limit` queues, in order, and how many there are. Of more, those in which something is or that somebody
    uses come first."""
    counts = await call.reader.counts()
    names = await call.reader.ask(search.queue_names, fresh=False)
    if len(names) <= limit:
        return names, len(names)
    attached = Attached(call.session.store)
    used = {a.queue for a in attachments(call.session.store)} | {
        name for name, states in counts.items() if any(states.values())
    }
    first = [name for name in names if name in used or name in attached.producers][:limit]
    rest = set(first)
    first += [name for name in names if name not in rest][: limit - len(first)]
    return sorted(first), len(names)


def _dead_letters_of(call: Call) -> dict[str, list[str]]:
    """By dead letter queue, the queues whose dead letters it takes."""
    found: dict[str, list[str]] = {}
    pairs = [
        (a.queue, a.detail.get("dead_letter_queue")) for a in attachments(call.session.store) if a.role == "consumer"
    ]
    for name, target in (*pairs, *call.session.store.query(_API_DEAD_LETTERS)):
        if target and name not in found.setdefault(target, []):
            found[target].append(name)
    return found


async def queue_objects(call: Call, names: Sequence[str]) -> list[dict[str, Any]]:
    """These queues as the API shows them."""
    session = call.session
    records = [r for name in names if (r := tables.find_queue(session.store, name)) is not None]
    counts = await call.reader.counts()
    now_ms = session.clock.now_ms()
    sparks = await call.reader.summary(metrics.spark, now_ms, _BUCKET_MS, _BUCKETS)
    attached = Attached(session.store)
    infos = of_queues(session.store, records, attached)
    dead_letters_of = _dead_letters_of(call)
    found = []
    for record in records:
        here = session.workers.consumer(record.name)
        info = next(iter(infos[record.id]), None)
        consumer: dict[str, Any] | None = None
        if info is not None and (info.type == "http_pull" or info.running):
            consumer = {"worker": info.script, "type": info.type}
            if info.running and here is None:
                consumer["session"] = "another session"
        quiet = [0] * _BUCKETS
        spark = sparks.get(record.name) or {"acked": quiet, "retried": quiet, "failed": quiet}
        counted = counts.get(record.name, _NO_COUNTS)
        found.append(
            {
                "name": record.name,
                "paused": bool(record.delivery_paused),
                "producers": list(attached.producers.get(record.name, [])),
                "consumer": consumer,
                "deadLetterQueue": None if info is None else info.dead_letter_queue,
                "deadLettersOf": dead_letters_of.get(record.name, []),
                "counts": {("inFlight" if key == "in_flight" else key): value for key, value in counted.items()},
                "backlog": record.backlog_count,
                "bytes": record.backlog_bytes,
                "oldestMs": tables.oldest_ms(session.store, record.id) if record.backlog_count else None,
                "running": 0 if here is None else here.in_flight,
                "maxConcurrency": None
                if here is None
                else here.settings.max_concurrency or limits.AUTO_CONCURRENCY_CAP,
                "spark": {"fromMs": now_ms - _BUCKETS * _BUCKET_MS, "bucketMs": _BUCKET_MS, **spark},
            }
        )
    return found


def summed(counts: dict[str, dict[str, int]]) -> dict[str, int]:
    """The counts of all queues together, under the API's names."""
    found = dict.fromkeys(("ready", "delayed", "inFlight", "retrying", "dead"), 0)
    for states in counts.values():
        for state, count in states.items():
            found["inFlight" if state == "in_flight" else state] += count
    return found


def _count(number: int) -> str:
    return "1 message" if number == 1 else f"{number:,} messages"


def advice(call: Call, queues: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the session's user should know."""
    found = [{"level": level, "text": text, "queue": queue} for level, text, queue in call.session.advice()]
    for worker in call.session.workers.all():
        if worker.runtime.broken is not None:
            text = f'Worker "{worker.config.name}" could not be loaded; its traceback stands with it.'
            found.append({"level": "error", "text": text, "queue": None})
    for queue in queues:
        if queue["backlog"] and queue["consumer"] is None and not queue["deadLettersOf"]:
            text = (
                f'Queue "{queue["name"]}" has {_count(queue["backlog"])} and no consumer in any session. They are kept '
                "until their retention ends."
            )
            found.append({"level": "warn", "text": text, "queue": queue["name"]})
        if queue["paused"] and queue["backlog"]:
            text = f'Queue "{queue["name"]}" is paused; {_count(queue["backlog"])} waiting.'
            found.append({"level": "warn", "text": text, "queue": queue["name"]})
    return found


@ROUTES.get(
    "queues",
    "Queues, by name",
    schemas.record(queues=schemas.array(schemas.QUEUE), cursor=schemas.nullable(schemas.TEXT), total=schemas.INTEGER),
    (Parameter("q", "Part of the name"), CURSOR, LIMIT),
)
async def queues(call: Call) -> dict[str, Any]:
    limit, after, part = call.limit(MAX_PAGE), call.query.get("cursor") or "", call.query.get("q", "")
    names = [name for name in await call.reader.ask(search.queue_names, fresh=False) if part in name]
    page = [name for name in names if name > after][:limit]
    cursor = page[-1] if len(page) == limit else None
    return {"queues": await queue_objects(call, page), "cursor": cursor, "total": len(names)}


@ROUTES.get("queues/{name}", "One queue, with its settings and where they come from", schemas.QUEUE_DETAIL)
async def queue(call: Call) -> dict[str, Any]:
    record = record_of(call)
    (shown,) = await queue_objects(call, [record.name])
    last = await call.reader.ask(batch_objects, "kind = 'batch' AND queue = ?", [record.name], _LAST_BATCHES)
    return {
        **shown,
        "id": record.uuid,
        "createdMs": record.created_ms,
        "settings": _settings(call, record),
        "lastBatches": last,
    }


_RANGES = {
    "max_batch_size": f"1 to {limits.MAX_BATCH_SIZE}",
    "max_batch_timeout": f"0 to {limits.MAX_BATCH_TIMEOUT_MS // 1000}",
    "max_retries": f"0 to {limits.MAX_RETRIES}",
    "max_concurrency": f"1 to {limits.MAX_CONCURRENCY}",
    "retry_delay": f"0 to {limits.MAX_DELAY_SECONDS}",
}
_UNITS = {"max_batch_timeout": "s", "retry_delay": "s"}


def _settings(call: Call, record: QueueRecord) -> list[dict[str, Any]]:
    rows = []
    here = call.session.workers.consumer(record.name)
    if here is not None:
        worker = next(w.config for w in call.session.workers.all() if w.config.name == here.worker)
        origins, defaults = Origins(worker), Consumer(record.name)
        for key in (*_RANGES, "dead_letter_queue"):
            value, default = getattr(here.settings, key), getattr(defaults, key)
            if key == "max_concurrency":
                value, default = value or "auto", "auto"
            source = origins.of_consumer(record.name, key) or "default"
            rows.append(_setting(key, value, default, source, _UNITS.get(key), _RANGES.get(key)))
    for key, default, unit, allowed in (
        ("delivery_delay", limits.DEFAULT_DELIVERY_DELAY_SECONDS, "s", f"0 to {limits.MAX_DELAY_SECONDS}"),
        (
            "message_retention_period",
            limits.DEFAULT_RETENTION_SECONDS,
            "s",
            f"{limits.MIN_RETENTION_SECONDS} to {limits.MAX_RETENTION_SECONDS}",
        ),
    ):
        value = getattr(record, key)
        rows.append(_setting(key, value, default, "default" if value == default else "api", unit, allowed))
    return rows


def _setting(key: str, value: Any, default: Any, source: str, unit: str | None, allowed: str | None) -> dict[str, Any]:
    return {"key": key, "value": value, "default": default, "source": source, "unit": unit, "range": allowed}


# Actions --------------------------------------------------------------------------------------------------------------


def outgoing(
    call: Call, *, number: int | None = None, default_type: str = "json", replayed: str | None = None
) -> OutgoingMessage:
    """The message that a body describes by `text` or `base64`. Raises CallError."""
    content_type = call.text("contentType", default_type) or default_type
    if content_type not in ("json", "text", "bytes", "v8"):
        raise CallError(f'`contentType` must be json, text, bytes or v8, but is "{content_type}".')
    text, encoded = call.text("text"), call.text("base64")
    if (text is None) == (encoded is None):
        raise CallError("Give the body as `text`, or as `base64`.")
    if text is not None:
        if number is not None:
            text = text.replace("{{i}}", str(number))
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            raise CallError(f"`text` is no Unicode text: {error.reason}.") from error
        if content_type == "json":
            _check_json(text)
    else:
        try:
            data = base64.b64decode(encoded or "", validate=True)
        except (binascii.Error, ValueError) as error:
            raise CallError(f"`base64` is not base64: {error}.") from error
    return OutgoingMessage(data, cast(ContentType, content_type), source="api", replayed_from=replayed)


def _check_json(text: str) -> None:
    try:
        json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CallError(f"`text` is not JSON: {said}. For other text, say contentType text.") from error


def _no_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


@ROUTES.post(
    "queues/{name}/send",
    "Send messages",
    schemas.done(count=schemas.INTEGER),
    schemas.record(
        ("text", "base64", "contentType", "delaySeconds", "count"),
        text=schemas.TEXT,
        base64=schemas.TEXT,
        contentType=schemas.TEXT,
        delaySeconds=schemas.INTEGER,
        count=schemas.INTEGER,
    ),
)
async def send(call: Call) -> dict[str, Any]:
    record = record_of(call)
    count = call.whole("count", 1, 1, MOST_SENT) or 1
    delay = call.whole("delaySeconds", None, 0, limits.MAX_DELAY_SECONDS)
    first = outgoing(call, number=0)
    lines = also(
        call,
        f"queues/{record.name}/send",
        call.body,
        command(
            *("queues", "send", record.name, call.text("text") or "<body>", "--content-type", first.content_type),
            *(("--delay", str(delay)) if delay is not None else ()),
            *(("--count", str(count)) if count > 1 else ()),
        ),
        _sending(record.name, call, count),
    )
    if call.preview:
        return {"ok": True, "also": lines}
    try:
        for at in range(0, count, limits.MAX_BATCH_COUNT):
            numbers = range(at, min(count, at + limits.MAX_BATCH_COUNT))
            await call.session.broker.send(record.name, [outgoing(call, number=n) for n in numbers], delay)
    except QueueSendError as error:
        raise CallError(error.cause) from error
    call.reader.changed()
    return {"ok": True, "also": lines, "count": count}


def _sending(queue: str, call: Call, count: int) -> str:
    """The line of a test that sends the same."""
    text = call.text("text")
    if count == 1:
        return f"await wpy.queues[{queue!r}].send({_python(call)})"
    if text is None or "{{i}}" not in text:
        return f"for _ in range({count}):\n    await wpy.queues[{queue!r}].send({_python(call)})"
    filled = f"{text!r}.replace('{{{{i}}}}', str(i))"
    is_json = (call.text("contentType") or "json") == "json"
    first = "import json\n" if is_json else ""
    sent = f"json.loads({filled})" if is_json else filled
    return f"{first}for i in range({count}):\n    await wpy.queues[{queue!r}].send({sent})"


def _python(call: Call) -> str:
    """The body as a Python expression."""
    text = call.text("text")
    if text is None:
        return f"base64.b64decode({call.text('base64')!r})"
    if (call.text("contentType") or "json") == "json":
        return repr(json.loads(text))
    return repr(text)


@ROUTES.post("queues/{name}/pause", "Deliver nothing until it is resumed", schemas.done(paused=schemas.BOOLEAN))
async def pause(call: Call) -> dict[str, Any]:
    return await _pause(call, paused=True)


@ROUTES.post("queues/{name}/resume", "Deliver again", schemas.done(paused=schemas.BOOLEAN))
async def resume(call: Call) -> dict[str, Any]:
    return await _pause(call, paused=False)


async def _pause(call: Call, *, paused: bool) -> dict[str, Any]:
    record = record_of(call)
    verb = "pause" if paused else "resume"
    lines = also(
        *(call, f"queues/{record.name}/{verb}", {}),
        command("queues", f"{verb}-delivery", record.name),
        f"await wpy.queues[{record.name!r}].{verb}()",
    )
    if call.preview:
        return {"ok": True, "also": lines}
    session = call.session
    admin = QueueAdmin(session.store, session.clock, session.events, session.broker)
    await admin.change(record, {"delivery_paused": paused}, reset=False)
    return {"ok": True, "also": lines, "paused": paused}


@ROUTES.post("queues/{name}/purge", "Delete everything that waits", schemas.done(count=schemas.INTEGER))
async def purge(call: Call) -> dict[str, Any]:
    record = record_of(call)
    lines = also(
        *(call, f"queues/{record.name}/purge", {}),
        command("queues", "purge", record.name, "--force"),
        f"await wpy.queues[{record.name!r}].purge()",
    )
    if call.preview:
        return {"ok": True, "also": lines}
    session = call.session
    before = record.backlog_count
    await Purges(session.store, session.clock, session.events, session.broker).purge(record)
    call.reader.changed()
    after = record_of(call).backlog_count
    return {"ok": True, "also": lines, "count": max(0, before - after)}
