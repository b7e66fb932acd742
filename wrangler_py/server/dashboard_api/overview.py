"""The strip that is always there, and the home screen."""

from __future__ import annotations

from typing import Any

from wrangler_py import __version__
from wrangler_py.events import failures, reading
from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api import schemas
from wrangler_py.server.dashboard_api.call import Call, Routes
from wrangler_py.server.dashboard_api.queues import advice, chosen, queue_objects, summed
from wrangler_py.server.dashboard_api.session_view import HostedWorker

ROUTES = Routes("Overview")

_RELOADED = "SELECT max(at_ms) FROM event WHERE kind = 'worker.reloaded'"
#: Groups of failures that the home screen gets.
_FAILURES = 50
#: Queues that it gets: it is asked for after whatever happens, and lanes and lists of more than these help nobody.
_QUEUES = 100


@ROUTES.get("overview", "Everything that the strip and the home screen show", schemas.OVERVIEW)
async def overview(call: Call) -> dict[str, Any]:
    session = call.session

    def read(connection: Any) -> tuple[int, int | None]:
        return reading.last_seq(connection), connection.execute(_RELOADED).fetchone()[0]

    seq, reloaded = await call.reader.ask(read)
    groups = (await call.reader.summary(failures.failures))[:_FAILURES]
    names, total = await chosen(call, _QUEUES)
    queues = await queue_objects(call, names)
    recorder = session.recorder
    state = None if recorder is None else recorder.state
    return {
        "nowMs": session.clock.now_ms(),
        "seq": seq,
        "readonly": session.readonly,
        "version": __version__,
        "url": session.url,
        "workers": [worker_object(worker) for worker in session.workers.all()],
        "counts": summed(await call.reader.counts()),
        "clock": await clock_object(call),
        "nextCron": next_cron(call),
        "queues": queues,
        "queuesTotal": total,
        "failures": [group.as_json() for group in groups],
        "advice": advice(call, queues),
        "reloadedMs": reloaded,
        "record": {
            "on": state is not None,
            "behind": state is not None and state.behind,
            "lost": 0 if state is None else state.lost,
            "error": None if state is None else state.error,
        },
    }


@ROUTES.get("clock", "What the session's clock shows", schemas.CLOCK)
async def clock(call: Call) -> dict[str, Any]:
    return await clock_object(call)


async def clock_object(call: Call) -> dict[str, Any]:
    """The clock, as the control API tells of it."""
    show = call.session.controls.get("GET clock")
    if show is None:
        raise CallError("This session's clock cannot be looked at.", 404)
    found: dict[str, Any] = await show({})
    return found


def next_cron(call: Call) -> dict[str, Any] | None:
    """The cron that fires next."""
    described = call.session.crons.describe()
    if not described["on"] or described["paused"]:
        return None
    coming = [cron for cron in described["crons"] if cron["nextMs"] is not None]
    if not coming:
        return None
    first = min(coming, key=lambda cron: cron["nextMs"])
    return {"worker": first["worker"], "cron": first["cron"], "atMs": first["nextMs"]}


def worker_object(worker: HostedWorker) -> dict[str, Any]:
    """A worker of the session."""
    config, runtime = worker.config, worker.runtime
    main = config.main
    shown = main.relative_to(config.root) if main.is_relative_to(config.root) else main
    return {
        "name": config.name,
        "state": "broken" if runtime.broken is not None else "starting" if worker.starting else "up",
        "error": runtime.broken or worker.refused,
        "handlers": list(runtime.handlers),
        "main": shown.as_posix(),
        "language": config.language,
    }
