"""Crons: what fires when, what has run, and running one by hand."""

from __future__ import annotations

import asyncio
import calendar
import sqlite3
from datetime import UTC, datetime
from typing import Any

from wrangler_py.cron.expression import CronSyntaxError, parse
from wrangler_py.cron.limits import MAX_TRIGGER_TIME_MS
from wrangler_py.cron.schedule import Schedule, quick_schedule
from wrangler_py.cron.words import describe
from wrangler_py.events import reading
from wrangler_py.events.reading import Run
from wrangler_py.events.traces import log_as_json
from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api import schemas
from wrangler_py.server.dashboard_api.also import also, command
from wrangler_py.server.dashboard_api.call import CURSOR, LIMIT, Call, Parameter, Routes
from wrangler_py.server.dashboard_api.origins import Origins

ROUTES = Routes("Crons")

_STRIP = 60
_NEXT = 5
_MINUTE_MS = 60_000
#: Runs that a backfill starts at most.
_MOST_RUNS = 1_000
#: Minutes of a calendar in which several crons fire, listed at most.
_MOST_COLLISIONS = 500

_STRIPS = """
    SELECT n, span, started_ms, ms, outcome, json_extract(detail, '$.trigger') FROM run
    WHERE kind = 'cron' AND worker = ? AND label = ? ORDER BY n DESC LIMIT ?
"""
_MISSED = "SELECT worker, json_extract(data, '$.cron'), sum(json_extract(data, '$.skipped')) FROM event WHERE kind = 'cron.missed' GROUP BY 1, 2"
_REJECTED = (
    "SELECT worker, json_extract(data, '$.cron'), json_extract(data, '$.error') FROM event WHERE kind = 'cron.rejected'"
)


@ROUTES.get(
    "crons",
    "All crons, with their next and last runs",
    schemas.record(on=schemas.BOOLEAN, paused=schemas.BOOLEAN, nowMs=schemas.MS, crons=schemas.array(schemas.CRON)),
)
async def crons(call: Call) -> dict[str, Any]:
    described = call.session.crons.describe()
    coming = {(cron["worker"], cron["cron"]): cron["nextMs"] for cron in described["crons"]}
    named = [(worker.config, cron) for worker in call.session.workers.all() for cron in worker.config.crons]

    def read(connection: sqlite3.Connection) -> Any:
        strips = {(c.name, cron): connection.execute(_STRIPS, (c.name, cron, _STRIP)).fetchall() for c, cron in named}
        missed = {(row[0], row[1]): row[2] for row in connection.execute(_MISSED)}
        return strips, missed, {(row[0], row[1]): row[2] for row in connection.execute(_REJECTED)}

    strips, missed, rejected = await call.reader.ask(read)
    origins = {worker.config.name: Origins(worker.config) for worker in call.session.workers.all()}
    found = []
    for config, cron in named:
        key = (config.name, cron)
        valid = key in coming
        found.append(
            {
                "worker": config.name,
                "cron": cron,
                "words": _words(cron),
                "source": origins[config.name].of_cron(cron),
                "nextMs": coming.get(key),
                "next": _next(cron, described["nowMs"], _NEXT) if valid else [],
                "missed": missed.get(key) or 0,
                "rejected": None if valid else rejected.get(key) or "production refuses it",
                "strip": [
                    {"run": n, "spanId": span, "atMs": at, "ms": ms, "outcome": outcome, "trigger": trigger}
                    for n, span, at, ms, outcome, trigger in reversed(strips[key])
                ],
            }
        )
    return {"on": described["on"], "paused": described["paused"], "nowMs": described["nowMs"], "crons": found}


def _words(cron: str) -> str:
    try:
        return describe(parse(cron))
    except CronSyntaxError as error:
        return str(error)


def _next(cron: str, after_ms: int, count: int) -> list[int]:
    found = []
    for at in quick_schedule(cron).iter_after(after_ms):
        found.append(at)
        if len(found) == count:
            break
    return found


@ROUTES.get(
    "crons/runs",
    "Runs of crons, newest first",
    schemas.record(runs=schemas.array(schemas.CRON_RUN), cursor=schemas.nullable(schemas.TEXT)),
    (Parameter("cron"), Parameter("worker"), CURSOR, LIMIT),
)
async def runs(call: Call) -> dict[str, Any]:
    limit, before = call.limit(), call.number("cursor", None)
    conditions, parameters = ["kind = 'cron'"], list[Any]()
    for name, column in (("cron", "label"), ("worker", "worker")):
        if value := call.query.get(name):
            conditions.append(f"{column} = ?")
            parameters.append(value)
    if before is not None:
        conditions.append("n < ?")
        parameters.append(before)

    def read(connection: sqlite3.Connection) -> dict[str, Any]:
        found = reading.runs_where(connection, " AND ".join(conditions), parameters, limit)
        logs: dict[str, list[dict[str, Any]]] = {}
        for log in reading.logs_of(connection, [run.span for run in found]):
            logs.setdefault(log.span or "", []).append(log_as_json(log))
        shown = [_run(run, logs.get(run.span, [])) for run in found]
        return {"runs": shown, "cursor": str(found[-1].n) if len(found) == limit else None}

    return await call.reader.ask(read)


def _run(run: Run, logs: list[dict[str, Any]]) -> dict[str, Any]:
    detail = run.detail
    return {
        "run": run.n,
        "spanId": run.span,
        "traceId": run.trace,
        "worker": run.worker,
        "cron": run.label,
        "scheduledMs": detail.get("scheduled_ms"),
        "startedMs": run.started_ms,
        "endedMs": run.ended_ms,
        "ms": run.ms,
        "outcome": run.outcome,
        "error": run.error,
        "trigger": detail.get("trigger"),
        "noRetry": bool(detail.get("no_retry")),
        "logs": logs,
    }


_DAY = schemas.record(
    day=schemas.TEXT,
    runs=schemas.INTEGER,
    by=schemas.array(schemas.record(worker=schemas.TEXT, cron=schemas.TEXT, count=schemas.INTEGER)),
)
_COLLISION = schemas.record(
    atMs=schemas.MS, crons=schemas.array(schemas.record(worker=schemas.TEXT, cron=schemas.TEXT))
)


@ROUTES.get(
    "crons/calendar",
    "How often crons fire on each day of a month (UTC), and when several fire in the same minute",
    schemas.record(month=schemas.TEXT, days=schemas.array(_DAY), collisions=schemas.array(_COLLISION)),
    (Parameter("month", "Like 2026-11; the present one without it"),),
)
async def month(call: Call) -> dict[str, Any]:
    given = call.query.get("month") or datetime.fromtimestamp(call.session.clock.now_ms() / 1000, UTC).strftime("%Y-%m")
    try:
        start = datetime.strptime(given, "%Y-%m").replace(tzinfo=UTC)
    except ValueError as error:
        raise CallError(f'`month` must be like 2026-11, but is "{given[:50]}".') from error
    named = [(worker.config.name, cron) for worker in call.session.workers.all() for cron in worker.config.crons]
    by_day, collisions = await asyncio.to_thread(_fires_in, start, named)
    return {
        "month": given,
        "days": [
            {
                "day": f"{given}-{number:02d}",
                "runs": sum(day.values()),
                "by": [{"worker": worker, "cron": cron, "count": count} for (worker, cron), count in day.items()],
            }
            for number, day in enumerate(by_day, 1)
        ],
        "collisions": [
            {"atMs": at, "crons": [{"worker": worker, "cron": cron} for worker, cron in keys]}
            for at, keys in collisions
        ],
    }


def _fires_in(
    start: datetime, named: list[tuple[str, str]]
) -> tuple[list[dict[tuple[str, str], int]], list[tuple[int, list[tuple[str, str]]]]]:
    """By day of the month that begins at `start`, how often each cron fires; and the minutes in which several do."""
    length = calendar.monthrange(start.year, start.month)[1]
    begin, day_ms = round(start.timestamp() * 1000), 24 * 60 * _MINUTE_MS
    end = begin + length * day_ms
    by_day: list[dict[tuple[str, str], int]] = [{} for _ in range(length)]
    sparse: dict[int, list[tuple[str, str]]] = {}
    for key in named:
        try:
            schedule = quick_schedule(key[1])
        except CronSyntaxError:
            continue
        fires = []
        for at in schedule.iter_after(begin - 1):
            if at >= end:
                break
            fires.append(at)
            day = by_day[(at - begin) // day_ms]
            day[key] = day.get(key, 0) + 1
        if len(fires) < length * 24:  # one that fires every few minutes collides with everything
            for at in fires:
                sparse.setdefault(at, []).append(key)
    return by_day, [(at, keys) for at, keys in sorted(sparse.items()) if len(keys) > 1][:_MOST_COLLISIONS]


# Actions --------------------------------------------------------------------------------------------------------------


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_ASK = {"cron": schemas.TEXT, "worker": schemas.TEXT, "timeMs": schemas.INTEGER}


@ROUTES.post("crons/trigger", "Run a cron once", schemas.done(), schemas.record(("worker", "timeMs"), **_ASK))
async def trigger(call: Call) -> dict[str, Any]:
    cron = _cron(call)
    time_ms = call.whole("timeMs", None, -MAX_TRIGGER_TIME_MS, MAX_TRIGGER_TIME_MS)
    given = {name: call.body.get(name) for name in _ASK}
    lines = also(
        *(call, "crons/trigger", given),
        command("cron", "trigger", cron, *_worker(call), *(("--time", _iso(time_ms)) if time_ms is not None else ())),
        f"await wpy.crons.trigger({cron!r}" + (f", scheduled_time={_iso(time_ms)!r})" if time_ms is not None else ")"),
    )
    if call.preview:
        return {"ok": True, "also": lines}
    run = await call.session.controls["POST crons/trigger"](given)
    return {"ok": True, "also": lines, **run}


@ROUTES.post(
    "crons/backfill",
    "Run a cron for every planned time of a range, in order",
    schemas.done(times=schemas.array(schemas.MS), runs=schemas.array({"type": "object"})),
    schemas.record(
        ("worker", "dryRun"),
        cron=schemas.TEXT,
        worker=schemas.TEXT,
        fromMs=schemas.INTEGER,
        toMs=schemas.INTEGER,
        dryRun=schemas.BOOLEAN,
    ),
)
async def backfill(call: Call) -> dict[str, Any]:
    cron = _cron(call)
    from_ms = call.whole("fromMs", None, 0, MAX_TRIGGER_TIME_MS)
    to_ms = call.whole("toMs", None, 0, MAX_TRIGGER_TIME_MS)
    if from_ms is None or to_ms is None or to_ms < from_ms:
        raise CallError("`fromMs` and `toMs` must be two times, the earlier first.")
    try:
        schedule = Schedule(cron)
    except CronSyntaxError as error:
        raise CallError(f"The cron is not valid: {error}") from error
    times: list[int] = []
    for at in schedule.iter_after(from_ms - 1):
        if at > to_ms:
            break
        times.append(at)
        if len(times) > _MOST_RUNS:
            raise CallError(f"More than {_MOST_RUNS:,} runs are planned in that range; choose a shorter one.")
    lines = also(
        *(call, "crons/backfill", {name: call.body.get(name) for name in ("cron", "worker", "fromMs", "toMs")}),
        # The command's end is not included, this one's is.
        command("cron", "backfill", cron, *_worker(call), "--from", _iso(from_ms), "--to", _iso(to_ms + 1000), "--yes"),
        "\n".join(f"await wpy.crons.trigger({cron!r}, scheduled_time={_iso(at)!r})" for at in times[:5]) or None,
    )
    if call.preview:
        return {"ok": True, "also": lines}
    done = []
    if call.body.get("dryRun") is not True:
        for at in times:
            asked = {"cron": cron, "worker": call.text("worker"), "timeMs": at, "trigger": "backfill"}
            done.append(await call.session.controls["POST crons/trigger"](asked))
    return {"ok": True, "also": lines, "times": times, "runs": done}


def _worker(call: Call) -> tuple[str, ...]:
    worker = call.text("worker")
    return () if worker is None else ("--worker", worker)


def _cron(call: Call) -> str:
    cron = call.text("cron")
    if cron is None:
        raise CallError("Say which one by `cron`.")
    return cron


@ROUTES.post("crons/pause", "Let ticks pass by", schemas.done(paused=schemas.BOOLEAN))
async def pause(call: Call) -> dict[str, Any]:
    return await _control(call, "pause")


@ROUTES.post("crons/resume", "Fire again", schemas.done(paused=schemas.BOOLEAN))
async def resume(call: Call) -> dict[str, Any]:
    return await _control(call, "resume")


async def _control(call: Call, verb: str) -> dict[str, Any]:
    lines = also(call, f"crons/{verb}", {}, command("cron", verb), f"wpy.crons.{verb}()")
    if call.preview:
        return {"ok": True, "also": lines}
    return {"ok": True, "also": lines, **await call.session.controls[f"POST crons/{verb}"]({})}
