"""Batches: each delivery, with what became of its messages; and the waitUntil work and alarms beside them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from wrangler_py.events import reading
from wrangler_py.events.limits import WAIT_UNTIL_LIMIT_SECONDS
from wrangler_py.events.reading import Run
from wrangler_py.events.traces import log_as_json
from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api import schemas
from wrangler_py.server.dashboard_api.also import also, command
from wrangler_py.server.dashboard_api.call import CURSOR, LIMIT, Call, Parameter, Routes

ROUTES = Routes("Runs")

#: How long waitUntil work may go on after the handler in production (ms).
WAIT_UNTIL_MS = WAIT_UNTIL_LIMIT_SECONDS * 1000


def batch_objects(
    connection: sqlite3.Connection, condition: str, parameters: Sequence[Any], limit: int
) -> list[dict[str, Any]]:
    """Batches by a condition of SQL, newest first."""
    runs = reading.runs_where(connection, condition, parameters, limit)
    keys = {bytes.fromhex(entry[0]) for run in runs for entry in run.messages}
    known: dict[str, reading.Item] = {}
    ordered = sorted(keys)
    for at in range(0, len(ordered), 500):
        known |= {item.hex: item for item in reading.items(connection, ordered[at : at + 500])}
    return [_batch(run, known) for run in runs]


def _batch(run: Run, known: dict[str, reading.Item]) -> dict[str, Any]:
    entries = run.messages
    waits = [
        run.started_ms - (item.entered_ms + (item.delay or 0) * 1000)
        for entry in entries
        if (item := known.get(entry[0])) is not None and entry[1] == 1 and item.entered_ms <= run.started_ms
    ]
    traces = dict.fromkeys(item.trace if (item := known.get(entry[0])) else entry[0] for entry in entries)
    return {
        "id": run.span,
        "spanId": run.span,
        "queue": run.queue,
        "worker": run.worker,
        "startedMs": run.started_ms,
        "endedMs": run.ended_ms,
        "ms": run.ms,
        "outcome": run.outcome,
        "error": run.error,
        "waitMs": max(0, *waits) if waits else None,
        "traceIds": list(traces),
        "messages": [settled_object(entry) for entry in entries],
    }


def settled_object(entry: list[Any]) -> dict[str, Any]:
    """One message of a batch."""
    action, reason, where, delay = entry[2:6] if len(entry) > 2 else (None, None, None, None)
    return {
        "id": entry[0],
        "attempt": entry[1],
        "action": action,
        "reason": reason,
        "where": where,
        "delaySeconds": delay,
    }


def page_of(call: Call, limit: int, found: list[Any], number: str = "n") -> str | None:
    """The cursor of a list that has a whole page."""
    return None if len(found) < limit else str(found[-1][number])


@ROUTES.get(
    "batches",
    "Batches, newest first",
    schemas.record(batches=schemas.array(schemas.BATCH), cursor=schemas.nullable(schemas.TEXT)),
    (Parameter("queue"), Parameter("outcome"), CURSOR, LIMIT),
)
async def batches(call: Call) -> dict[str, Any]:
    limit, before = call.limit(), call.number("cursor", None)
    conditions, parameters = ["kind = 'batch'"], []
    for name in ("queue", "outcome"):
        if value := call.query.get(name):
            conditions.append(f"{name} = ?")
            parameters.append(value)
    if before is not None:
        conditions.append("n < ?")
        parameters.append(str(before))

    def read(connection: sqlite3.Connection) -> dict[str, Any]:
        condition = " AND ".join(conditions)
        runs = reading.runs_where(connection, condition, parameters, limit)
        cursor = str(runs[-1].n) if len(runs) == limit else None
        return {"batches": batch_objects(connection, condition, parameters, limit), "cursor": cursor}

    return await call.reader.ask(read)


@ROUTES.get("batches/{id}", "One batch, with what it printed and sent", schemas.BATCH_DETAIL)
async def batch(call: Call) -> dict[str, Any]:
    span = call.path["id"]

    def read(connection: sqlite3.Connection) -> dict[str, Any] | None:
        run = reading.run(connection, span)
        if run is None or run.kind != "batch":
            return None
        (shown,) = batch_objects(connection, "span = ?", [span], 1)
        logs = [log_as_json(log) for log in reading.logs_of(connection, [span])]
        sent = [{"id": item.hex, "queue": item.queue} for item in reading.children(connection, [span])]
        return {**shown, "logs": logs, "traceback": run.traceback, "children": sent}

    found = await call.reader.ask(read)
    if found is None:
        raise CallError(f'The record knows no batch "{span}".', 404)
    return found


@ROUTES.get(
    "tasks", "waitUntil work that outlived its handler", schemas.record(tasks=schemas.array(schemas.TASK)), (LIMIT,)
)
async def tasks(call: Call) -> dict[str, Any]:
    limit = call.limit()

    def read(connection: sqlite3.Connection) -> list[Run]:
        running = reading.runs_where(connection, "kind = 'waitUntil' AND ended_ms IS NULL", (), limit)
        return running + reading.runs_where(connection, "kind = 'waitUntil' AND ended_ms IS NOT NULL", (), limit)

    now_ms = call.session.clock.now_ms()
    return {"tasks": [_task(run, now_ms) for run in await call.reader.ask(read)]}


def _task(run: Run, now_ms: int) -> dict[str, Any]:
    taken = run.ms if run.ms is not None else now_ms - run.started_ms
    return {
        "spanId": run.span,
        "traceId": run.trace,
        "worker": run.worker,
        "label": run.label,
        "startedMs": run.started_ms,
        "endedMs": run.ended_ms,
        "ms": run.ms,
        "outcome": run.outcome,
        "error": run.error,
        "overMs": max(0, taken - WAIT_UNTIL_MS),
    }


_ALARM = schemas.record(
    ("attempts",),
    worker=schemas.TEXT,
    namespace=schemas.TEXT,
    objectId=schemas.TEXT,
    name=schemas.nullable(schemas.TEXT),
    atMs=schemas.MS,
    retries=schemas.INTEGER,
    running=schemas.BOOLEAN,
)
_SHOW_ALARMS = "GET durable-objects/alarms"


@ROUTES.get("alarms", "Pending alarms of Durable Objects", schemas.record(alarms=schemas.array(_ALARM)))
async def alarms(call: Call) -> dict[str, Any]:
    show = call.session.controls.get(_SHOW_ALARMS)
    pending = [] if show is None else (await show({}))["alarms"]
    return {
        "alarms": [
            {
                "worker": alarm["worker"],
                "namespace": alarm["class"],
                "objectId": alarm["id"],
                "name": alarm["name"],
                "atMs": alarm["due"],
                "retries": alarm["attempts"],
                "running": alarm["running"],
            }
            for alarm in pending
        ]
    }


_WHICH = ("worker", "namespace", "objectId")


@ROUTES.post(
    "alarms/run",
    "Run an alarm now",
    schemas.done(outcome=schemas.TEXT, error=schemas.nullable(schemas.TEXT)),
    schemas.record(**dict.fromkeys(_WHICH, schemas.TEXT)),
)
async def run_alarm(call: Call) -> dict[str, Any]:
    return await _with_alarm(call, "run")


@ROUTES.post(
    "alarms/cancel",
    "Take an alarm away: it will not run",
    schemas.done(),
    schemas.record(**dict.fromkeys(_WHICH, schemas.TEXT)),
)
async def cancel_alarm(call: Call) -> dict[str, Any]:
    return await _with_alarm(call, "cancel")


async def _with_alarm(call: Call, verb: str) -> dict[str, Any]:
    given = {name: call.text(name) for name in _WHICH}
    if None in given.values():
        raise CallError("Say which one by `worker`, `namespace` and `objectId`.")
    lines = also(call, f"alarms/{verb}", given, command("alarms", verb, *given.values()))
    if call.preview:
        return {"ok": True, "also": lines}
    control = call.session.controls.get(f"POST durable-objects/alarms/{verb}")
    if control is None:
        raise CallError("This session has no Durable Objects.", 404)
    done = await control({"worker": given["worker"], "class": given["namespace"], "id": given["objectId"]})
    return {"ok": True, "also": lines, **(done if verb == "run" else {})}
