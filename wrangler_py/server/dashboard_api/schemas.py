"""The shapes of answers, as JSON Schema: the OpenAPI document is made of them, and real answers are tested against them."""

from __future__ import annotations

from typing import Any

TEXT = {"type": "string"}
NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}
BOOLEAN = {"type": "boolean"}
MS = {"type": "integer", "description": "Milliseconds since 1970 on the session's clock"}
ID = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
SPAN = {"type": "string", "pattern": "^[0-9a-f]{16}$"}
ANY: dict[str, Any] = {}


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: dict[str, Any]) -> dict[str, Any]:
    """A list of these."""
    return {"type": "array", "items": items}


def record(optional: tuple[str, ...] = (), /, **properties: dict[str, Any]) -> dict[str, Any]:
    """An object with these members; all of them are there but the optional ones."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


COUNTS = record(ready=INTEGER, delayed=INTEGER, inFlight=INTEGER, retrying=INTEGER, dead=INTEGER)
CLOCK = record(
    now=TEXT, nowMs=MS, frozen=BOOLEAN, moving=BOOLEAN, aheadMs=INTEGER, next=nullable(TEXT), nextMs=nullable(MS)
)
LOG = record(seq=INTEGER, atMs=MS, level=TEXT, text=TEXT)
SPARK = record(fromMs=MS, bucketMs=INTEGER, acked=array(INTEGER), retried=array(INTEGER), failed=array(INTEGER))
CONSUMER = record(("session",), worker=TEXT, type={"enum": ["worker", "http_pull"]}, session=nullable(TEXT))
QUEUE = record(
    name=TEXT,
    paused=BOOLEAN,
    producers=array(TEXT),
    consumer=nullable(CONSUMER),
    deadLetterQueue=nullable(TEXT),
    deadLettersOf=array(TEXT),
    counts=COUNTS,
    backlog=INTEGER,
    bytes=INTEGER,
    oldestMs=nullable(MS),
    running=INTEGER,
    maxConcurrency=nullable(INTEGER),
    spark=SPARK,
)
SETTING = record(key=TEXT, value=ANY, default=ANY, source=TEXT, unit=nullable(TEXT), range=nullable(TEXT))
SETTLED = record(
    id=ID,
    attempt=INTEGER,
    action=nullable(TEXT),
    reason=nullable(TEXT),
    where=nullable(TEXT),
    delaySeconds=nullable(INTEGER),
)
BATCH = record(
    id=SPAN,
    spanId=SPAN,
    queue=TEXT,
    worker=nullable(TEXT),
    startedMs=MS,
    endedMs=nullable(MS),
    ms=nullable(INTEGER),
    outcome=nullable(TEXT),
    error=nullable(TEXT),
    waitMs=nullable(INTEGER),
    traceIds=array(ID),
    messages=array(SETTLED),
)
BATCH_DETAIL = record(
    **BATCH["properties"], logs=array(LOG), traceback=nullable(TEXT), children=array(record(id=ID, queue=TEXT))
)
QUEUE_DETAIL = record(**QUEUE["properties"], id=ID, createdMs=MS, settings=array(SETTING), lastBatches=array(BATCH))
ROW = record(
    id=ID,
    queue=TEXT,
    state=TEXT,
    attempts=INTEGER,
    sentMs=MS,
    dueMs=nullable(MS),
    endedMs=nullable(MS),
    contentType={"enum": ["json", "text", "bytes", "v8"]},
    size=INTEGER,
    preview=TEXT,
    reason=nullable(TEXT),
    where=nullable(TEXT),
    error=nullable(TEXT),
    traceId=ID,
    source=TEXT,
    diedIn=nullable(TEXT),
    replayedFrom=nullable(ID),
)
MESSAGES = record(rows=array(ROW), cursor=nullable(TEXT), total=nullable(INTEGER), totalIsExact=BOOLEAN, tookMs=NUMBER)
ATTEMPT = record(
    attempt=INTEGER,
    queue=nullable(TEXT),
    batch=SPAN,
    batchSize=INTEGER,
    spanId=SPAN,
    worker=nullable(TEXT),
    atMs=MS,
    ms=nullable(INTEGER),
    outcome=nullable(TEXT),
    action=nullable(TEXT),
    reason=nullable(TEXT),
    where=nullable(TEXT),
    why=TEXT,
    delaySeconds=nullable(INTEGER),
    error=nullable(TEXT),
    traceback=nullable(TEXT),
    logs=array(LOG),
)
STEP = record(
    ("untilMs", "queue", "batch", "attempt", "reason", "where"),
    state=TEXT,
    atMs=MS,
    untilMs=nullable(MS),
    queue=nullable(TEXT),
    batch=SPAN,
    attempt=INTEGER,
    reason=nullable(TEXT),
    where=nullable(TEXT),
)
BODY = record(contentType=TEXT, text=nullable(TEXT), base64=nullable(TEXT), truncated=BOOLEAN)
PARENT = record(kind=TEXT, label=TEXT, spanId=nullable(SPAN), traceId=nullable(ID), messages=array(ID))
MESSAGE = record(
    **{name: schema for name, schema in ROW["properties"].items() if name not in ("preview", "attempts")},
    attemptCount=INTEGER,
    body=nullable(BODY),
    enteredMs=MS,
    delaySeconds=nullable(INTEGER),
    maxRetries=nullable(INTEGER),
    deadLetterQueue=nullable(TEXT),
    path=array(STEP),
    attempts=array(ATTEMPT),
    lineage=record(
        parent=nullable(PARENT),
        replayedFrom=nullable(ID),
        replays=array(ID),
        children=array(record(id=ID, queue=TEXT)),
    ),
    actions=record(retryNow=BOOLEAN, replay=BOOLEAN, discard=BOOLEAN, redrive=BOOLEAN),
)
CRON_RUN = record(
    run=INTEGER,
    spanId=SPAN,
    traceId=ID,
    worker=nullable(TEXT),
    cron=TEXT,
    scheduledMs=nullable(MS),
    startedMs=MS,
    endedMs=nullable(MS),
    ms=nullable(INTEGER),
    outcome=nullable(TEXT),
    error=nullable(TEXT),
    trigger=nullable(TEXT),
    noRetry=BOOLEAN,
    logs=array(LOG),
)
CRON = record(
    worker=TEXT,
    cron=TEXT,
    words=TEXT,
    source=nullable(TEXT),
    nextMs=nullable(MS),
    next=array(MS),
    missed=INTEGER,
    rejected=nullable(TEXT),
    strip=array(
        record(run=INTEGER, spanId=SPAN, atMs=MS, ms=nullable(INTEGER), outcome=nullable(TEXT), trigger=nullable(TEXT))
    ),
)
FAILURE = record(
    key=TEXT,
    type=TEXT,
    message=TEXT,
    where=nullable(TEXT),
    kind=TEXT,
    worker=nullable(TEXT),
    count=INTEGER,
    sinceReload=INTEGER,
    firstMs=MS,
    lastMs=MS,
    queues=array(TEXT),
    messageIds=array(ID),
    spanId=nullable(SPAN),
    traceback=nullable(TEXT),
)
EVENT = record(
    seq=INTEGER,
    atMs=MS,
    kind=TEXT,
    worker=nullable(TEXT),
    queue=nullable(TEXT),
    traceId=nullable(ID),
    spanId=nullable(SPAN),
    data={"type": "object"},
)
TRACE_SPAN = record(
    id=TEXT,
    parent=nullable(TEXT),
    kind=TEXT,
    name=TEXT,
    startMs=MS,
    endMs=nullable(MS),
    waiting=BOOLEAN,
    status={"enum": ["ok", "error", "retry", "running"]},
    detail={"type": "object"},
    logs=array(LOG),
)
TASK = record(
    spanId=SPAN,
    traceId=ID,
    worker=nullable(TEXT),
    label=TEXT,
    startedMs=MS,
    endedMs=nullable(MS),
    ms=nullable(INTEGER),
    outcome=nullable(TEXT),
    error=nullable(TEXT),
    overMs=INTEGER,
)
ALSO = record(cli=nullable(TEXT), curl=TEXT, pytest=nullable(TEXT))
OVERVIEW = record(
    nowMs=MS,
    seq=INTEGER,
    readonly=BOOLEAN,
    version=TEXT,
    url=TEXT,
    workers=array(
        record(
            name=TEXT,
            state={"enum": ["up", "starting", "broken"]},
            error=nullable(TEXT),
            handlers=array(TEXT),
            main=TEXT,
            language=TEXT,
        )
    ),
    counts=COUNTS,
    clock=CLOCK,
    nextCron=nullable(record(worker=TEXT, cron=TEXT, atMs=MS)),
    queues=array(QUEUE),
    queuesTotal=INTEGER,
    failures=array(FAILURE),
    advice=array(record(level=TEXT, text=TEXT, queue=nullable(TEXT))),
    reloadedMs=nullable(MS),
    record=record(on=BOOLEAN, behind=BOOLEAN, lost=INTEGER, error=nullable(TEXT)),
)


def done(**properties: dict[str, Any]) -> dict[str, Any]:
    """The answer of an action; of a preview only `ok` and `also` are there."""
    return record(tuple(properties), ok=BOOLEAN, also=ALSO, **properties)
