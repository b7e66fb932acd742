"""What the record says: traces, failures, logs, figures over time; and the limits in force."""

from __future__ import annotations

import sqlite3
from typing import Any

from wrangler_py.cron import limits as cron_limits
from wrangler_py.events import failures as record_failures
from wrangler_py.events import metrics, reading, traces
from wrangler_py.events.limits import WAIT_UNTIL_LIMIT_SECONDS
from wrangler_py.queues import limits
from wrangler_py.queues.faults import MAX_SLOW_MS
from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api import schemas
from wrangler_py.server.dashboard_api.call import CURSOR, LIMIT, Call, Parameter, Routes
from wrangler_py.server.dashboard_api.queues import MOST_SENT
from wrangler_py.server.dashboard_api.state import MOST_WRITTEN

ROUTES = Routes("Record")

_MOST_BUCKETS = 500

_TRACE = schemas.record(
    id=schemas.ID,
    label=schemas.TEXT,
    kind=schemas.TEXT,
    startMs=schemas.MS,
    endMs=schemas.MS,
    messages=schemas.INTEGER,
    failed=schemas.BOOLEAN,
)


@ROUTES.get(
    "traces",
    "Traces, newest first",
    schemas.record(traces=schemas.array(_TRACE), cursor=schemas.nullable(schemas.TEXT)),
    (CURSOR, LIMIT),
)
async def list_traces(call: Call) -> dict[str, Any]:
    limit = call.limit()
    found = await call.reader.ask(traces.list_traces, call.number("cursor", None), limit)
    cursor = str(found[-1]["n"]) if len(found) == limit else None
    return {"traces": [{k: v for k, v in one.items() if k != "n"} for one in found], "cursor": cursor}


@ROUTES.get(
    "traces/{id}",
    "One trace as spans: what was work, and what was waiting",
    schemas.record(
        id=schemas.ID,
        label=schemas.TEXT,
        startMs=schemas.MS,
        endMs=schemas.nullable(schemas.MS),
        spans=schemas.array(schemas.TRACE_SPAN),
    ),
)
async def trace(call: Call) -> dict[str, Any]:
    trace_id = call.path["id"]
    spans = []
    if len(trace_id) == 32 and all(c in "0123456789abcdef" for c in trace_id):
        spans = await call.reader.ask(traces.spans_of, trace_id)
    if not spans:
        raise CallError(f'The record knows nothing of a trace "{trace_id[:50]}".', 404)
    ends = [span.end_ms for span in spans]
    return {
        "id": trace_id,
        "label": spans[0].name,
        "startMs": min(span.start_ms for span in spans),
        "endMs": None if None in ends else max(end for end in ends if end is not None),
        "spans": [span.as_json() for span in spans],
    }


@ROUTES.get("failures", "Failures by exception and line", schemas.record(failures=schemas.array(schemas.FAILURE)))
async def failures(call: Call) -> dict[str, Any]:
    return {"failures": [group.as_json() for group in await call.reader.ask(record_failures.failures)]}


_LOG = schemas.record(
    seq=schemas.INTEGER,
    atMs=schemas.MS,
    worker=schemas.nullable(schemas.TEXT),
    label=schemas.TEXT,
    level=schemas.TEXT,
    text=schemas.TEXT,
    traceId=schemas.nullable(schemas.ID),
    spanId=schemas.nullable(schemas.SPAN),
)


@ROUTES.get(
    "logs",
    "What workers printed, newest first",
    schemas.record(logs=schemas.array(_LOG), cursor=schemas.nullable(schemas.TEXT)),
    (*(Parameter(name) for name in ("worker", "queue", "level", "q", "trace")), CURSOR, LIMIT),
)
async def logs(call: Call) -> dict[str, Any]:
    limit, before = call.limit(), call.number("cursor", None)
    conditions, parameters = ["kind = 'worker.printed'"], list[Any]()
    for name, condition in (
        ("worker", "worker = ?"),
        ("trace", "trace = ?"),
        ("level", "json_extract(data, '$.level') = ?"),
    ):
        if value := call.query.get(name):
            conditions.append(condition)
            parameters.append(value)
    if queue := call.query.get("queue"):
        conditions.append("json_extract(data, '$.event') = ?")
        parameters.append(f"queue {queue}")
    if q := call.query.get("q"):
        conditions.append("instr(lower(json_extract(data, '$.text')), lower(?))")
        parameters.append(q)
    found = await call.reader.ask(reading.events_before, before, limit, " AND ".join(conditions), parameters)
    shown = []
    for event in found:
        data = event.data
        shown.append(
            {
                "seq": event.seq,
                "atMs": event.at_ms,
                "worker": event.worker,
                "label": data["event"],
                "level": data["level"],
                "text": data["text"],
                "traceId": event.trace,
                "spanId": event.span,
            }
        )
    return {"logs": shown, "cursor": str(found[-1].seq) if len(found) == limit else None}


_SERIES = schemas.record(
    **{name: schemas.array(schemas.INTEGER) for name in ("sent", "acked", "retried", "failed", "dead")},
    **{
        name: schemas.array(schemas.nullable(schemas.NUMBER))
        for name in ("depth", "oldestAgeMs", "p50Ms", "p95Ms", "workMs")
    },
)


@ROUTES.get(
    "metrics",
    "Figures over time, of one queue or of all",
    schemas.record(fromMs=schemas.MS, bucketMs=schemas.INTEGER, queue=schemas.nullable(schemas.TEXT), series=_SERIES),
    (
        Parameter("queue"),
        Parameter("minutes", "How far back; 60 without it", {"type": "integer"}),
        Parameter("buckets", "60 without it", {"type": "integer"}),
    ),
)
async def figures(call: Call) -> dict[str, Any]:
    minutes = call.number("minutes", 60, 1, 60 * 24 * 31) or 60
    buckets = call.number("buckets", 60, 1, _MOST_BUCKETS) or 60
    bucket_ms = max(1, minutes * 60_000 // buckets)
    queue = call.query.get("queue") or None
    from_ms = call.session.clock.now_ms() + 1 - bucket_ms * buckets
    found = await call.reader.ask(metrics.series, queue, from_ms, bucket_ms, buckets)
    return {"fromMs": from_ms, "bucketMs": bucket_ms, "queue": queue, "series": {**found.counts, **found.figures}}


@ROUTES.get(
    "limits",
    "Limits that are in force here: Cloudflare's, and those of this API",
    schemas.record(
        limits=schemas.array(
            schemas.record(
                key=schemas.TEXT,
                name=schemas.TEXT,
                value=schemas.ANY,
                unit=schemas.nullable(schemas.TEXT),
                source=schemas.TEXT,
            )
        )
    ),
)
async def show_limits(call: Call) -> dict[str, Any]:
    return {"limits": [{"key": k, "name": n, "value": v, "unit": u, "source": s} for k, n, v, u, s in _LIMITS]}


_QUEUE_LIMITS = "https://developers.cloudflare.com/queues/platform/limits/"
_QUEUE_CONFIG = "https://developers.cloudflare.com/queues/configuration/configure-queues/"
_OWN = "wpy"
_LIMITS: tuple[tuple[str, str, Any, str | None, str], ...] = (
    ("message_bytes", "Message size", limits.MAX_MESSAGE_BYTES, "bytes", _QUEUE_LIMITS),
    ("send_batch_count", "Messages in one sendBatch", limits.MAX_BATCH_COUNT, None, _QUEUE_LIMITS),
    ("send_batch_bytes", "Size of one sendBatch", limits.MAX_BATCH_BYTES, "bytes", _QUEUE_LIMITS),
    ("delay_seconds", "Delay of a message or a retry", limits.MAX_DELAY_SECONDS, "s", _QUEUE_LIMITS),
    ("max_batch_size", "Batch size of a consumer", limits.MAX_BATCH_SIZE, None, _QUEUE_LIMITS),
    ("max_batch_timeout", "Batch timeout of a consumer", limits.MAX_BATCH_TIMEOUT_MS // 1000, "s", _QUEUE_LIMITS),
    ("max_retries", "Retries of a consumer", limits.MAX_RETRIES, None, _QUEUE_LIMITS),
    ("max_concurrency", "Invocations of a consumer at once", limits.MAX_CONCURRENCY, None, _QUEUE_LIMITS),
    ("min_retention_seconds", "Retention of messages, shortest", limits.MIN_RETENTION_SECONDS, "s", _QUEUE_CONFIG),
    ("max_retention_seconds", "Retention of messages, longest", limits.MAX_RETENTION_SECONDS, "s", _QUEUE_CONFIG),
    ("wall_seconds", "Wall time of a batch or a cron", limits.WALL_LIMIT_SECONDS, "s", _QUEUE_LIMITS),
    (
        "wait_until_seconds",
        "waitUntil work after the handler",
        WAIT_UNTIL_LIMIT_SECONDS,
        "s",
        "https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil",
    ),
    ("api_send_count", "Messages that one call of this API sends", MOST_SENT, None, _OWN),
    ("api_value_bytes", "Value that this API writes to KV or R2", MOST_WRITTEN, "bytes", _OWN),
    ("fault_slow_ms", "How long a fault holds a batch up", MAX_SLOW_MS, "ms", _OWN),
    ("cron_runs", "Runs of crons that are remembered", cron_limits.HISTORY_RUNS, None, "wpy cron history"),
)


@ROUTES.get(
    "events",
    "Events after one; with Accept: text/event-stream the stream of changes",
    schemas.record(events=schemas.array(schemas.EVENT), seq=schemas.INTEGER),
    (Parameter("after", "The number of an event", {"type": "integer"}), LIMIT),
)
async def events(call: Call) -> dict[str, Any]:
    after, limit = call.number("after", None), call.limit()

    def read(connection: sqlite3.Connection) -> tuple[list[reading.Recorded], int]:
        last = reading.last_seq(connection)
        if after is None:
            return reading.events_before(connection, None, limit)[::-1], last
        return reading.events_after(connection, after, limit), last

    found, last = await call.reader.ask(read)
    return {"events": [event.as_json() for event in found], "seq": last}
