"""Faults on purpose: rules for the consumers of this session (queues/faults.py)."""

from __future__ import annotations

from typing import Any

from wrangler_py.queues.faults import KINDS, MAX_SLOW_MS
from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api import schemas
from wrangler_py.server.dashboard_api.also import also, command
from wrangler_py.server.dashboard_api.call import Call, Routes

ROUTES = Routes("Faults")

_RULE = schemas.record(
    id=schemas.INTEGER,
    queue=schemas.TEXT,
    kind={"enum": list(KINDS)},
    percent=schemas.NUMBER,
    left=schemas.nullable(schemas.INTEGER),
    ms=schemas.INTEGER,
    struck=schemas.INTEGER,
)
_MOST_TIMES = 1_000_000


@ROUTES.get(
    "faults",
    "The faults that are in force, how often each has struck, and the queues that this session consumes",
    schemas.record(faults=schemas.array(_RULE), queues=schemas.array(schemas.TEXT)),
)
async def faults(call: Call) -> dict[str, Any]:
    queues = [queue for worker in call.session.workers.all() for queue in worker.consumers]
    return {"faults": [rule.as_json() for rule in call.session.faults.all()], "queues": sorted(queues)}


@ROUTES.post(
    "faults/add",
    "From the next batch on: fail batches before their handler, call it later (`ms`), or lose acknowledgements",
    schemas.done(fault=_RULE),
    schemas.record(
        ("percent", "times", "ms"),
        queue=schemas.TEXT,
        kind={"enum": list(KINDS)},
        percent={"type": "number", "exclusiveMinimum": 0, "maximum": 100},
        times=schemas.INTEGER,
        ms=schemas.INTEGER,
    ),
)
async def add(call: Call) -> dict[str, Any]:
    queue, kind = call.text("queue"), call.text("kind")
    if queue is None or call.session.workers.consumer(queue) is None:
        known = ", ".join(sorted(q for worker in call.session.workers.all() for q in worker.consumers)) or "none"
        raise CallError(
            f'This session consumes no queue "{queue}", so that no fault can strike there. It consumes: {known}.', 404
        )
    if kind not in KINDS:
        raise CallError(f"`kind` must be one of {', '.join(KINDS)}, but is {str(kind)[:50]!r}.")
    percent = call.body.get("percent", 100)
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 < percent <= 100:
        raise CallError(f"`percent` must be a number above 0 and up to 100, but is {str(percent)[:50]!r}.")
    times = call.whole("times", None, 1, _MOST_TIMES)
    ms = call.whole("ms", None, 1, MAX_SLOW_MS)
    if (kind == "slow") != (ms is not None):
        raise CallError(
            f"`ms` (1 to {MAX_SLOW_MS:,}) says how much later the handler is called: it goes with `slow`, and only there."
        )
    test = "@pytest.mark.wpy_chaos(duplicate=True)" if kind == "duplicate" else None
    given = {"--percent": None if percent == 100 else f"{percent:g}", "--times": times, "--ms": ms}
    words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    lines = also(call, "faults/add", call.body, command("faults", "add", queue, kind, *words), test)
    if call.preview:
        return {"ok": True, "also": lines}
    return {"ok": True, "also": lines, "fault": call.session.faults.add(queue, kind, percent, times, ms or 0).as_json()}


@ROUTES.post("faults/remove", "Take a fault away", schemas.done(), schemas.record(id=schemas.INTEGER))
async def remove(call: Call) -> dict[str, Any]:
    rule = call.whole("id", None, 1, 1 << 53)
    lines = also(call, "faults/remove", call.body, command("faults", "remove", str(rule)))
    if not call.preview and (rule is None or not call.session.faults.remove(rule)):
        raise CallError(f"There is no fault {rule}.", 404)
    return {"ok": True, "also": lines}
