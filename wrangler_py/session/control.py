"""What the control API of a session can do: show and move the clock; list, run, pause the crons."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from wrangler_py.clock import ClockEndless, ClockStopped, SessionClock
from wrangler_py.cron.limits import MAX_TRIGGER_TIME_MS
from wrangler_py.events.log import EventLog
from wrangler_py.events.notebook import NOTED_KINDS
from wrangler_py.server.control import Call, CallError
from wrangler_py.session.clockwork import Clockwork
from wrangler_py.session.crons import SessionCrons
from wrangler_py.session.hosted_workers import WorkerSet
from wrangler_py.session.times import IDLE_LIMIT_S, MAX_ADVANCE_S, iso
from wrangler_py.store.database import StateError


def clock_calls(clock: SessionClock, clockwork: Clockwork) -> Mapping[str, Call]:
    """The calls about the clock. One that moves it answers when the handlers are done that it has started. It goes on
    when its client goes away, until another call stops it."""

    def state() -> dict[str, Any]:
        now_ms, due_ms = clock.now_ms(), clock.next_event_ms()
        return {
            "now": iso(now_ms),
            "nowMs": now_ms,
            "frozen": clock.frozen,
            "moving": clock.moving,
            "aheadMs": clock.offset_ms,
            "next": None if due_ms is None else iso(due_ms),
            "nextMs": due_ms,
        }

    async def moved(move: Awaitable[Any], told: Callable[[Any], dict[str, Any]] = lambda _: {}) -> dict[str, Any]:
        from_ms = clock.now_ms()
        try:
            result = await move
        except ClockStopped:
            return {**state(), "stopped": True}
        except ClockEndless as error:
            raise CallError(str(error), 409) from error
        except ValueError as error:  # another move was faster
            raise CallError(f"The clock shows {iso(clock.now_ms())} already: {error}.", 409) from error
        return {**state(), "stopped": False, "from": iso(from_ms), **told(result)}

    async def show(_: dict[str, Any]) -> Any:
        return state()

    async def freeze(arguments: dict[str, Any]) -> Any:
        at_ms = arguments.get("atMs")
        if at_ms is not None:
            _check_target(clock, at_ms)
        clock.freeze()
        await clock.still()
        return state() if at_ms is None else await moved(clock.advance_to(at_ms))

    async def advance(arguments: dict[str, Any]) -> Any:
        seconds = _number(arguments.get("seconds"), "seconds", 0, MAX_ADVANCE_S)
        return await moved(clock.advance(seconds))

    async def next_event(_: dict[str, Any]) -> Any:
        return await moved(clock.next(), lambda at: {"fired": None if at is None else iso(at)})

    async def run_until_idle(arguments: dict[str, Any]) -> Any:
        limit_s = _number(arguments.get("limitSeconds", IDLE_LIMIT_S), "limitSeconds", 0, MAX_ADVANCE_S)
        return await moved(clock.run_until_idle(round(limit_s * 1000)), lambda idle: {"idle": idle})

    async def stop(_: dict[str, Any]) -> Any:
        clock.stop()
        await clock.still()
        return state()

    async def resume(arguments: dict[str, Any]) -> Any:
        wall_time = arguments.get("wallTime", False)
        if not isinstance(wall_time, bool):
            raise CallError(f"`wallTime` must be true or false, but is {wall_time!r}.")
        before_ms = clock.now_ms()
        clock.resume(at_wall_time=wall_time)
        await clock.still()
        set_back = await clockwork.mended() if clock.now_ms() < before_ms else {}
        return {**state(), "setBack": set_back}

    return {
        "GET clock": show,
        "POST clock/freeze": freeze,
        "POST clock/advance": advance,
        "POST clock/next": next_event,
        "POST clock/run-until-idle": run_until_idle,
        "POST clock/stop": stop,
        "POST clock/resume": resume,
    }


def _check_target(clock: SessionClock, at_ms: Any) -> None:
    if isinstance(at_ms, bool) or not isinstance(at_ms, int):
        raise CallError(f"`atMs` must be a whole number of milliseconds since 1970, but is {at_ms!r}.")
    now_ms = clock.now_ms()
    if at_ms < now_ms:
        raise CallError(f"The clock shows {iso(now_ms)} and cannot go back to {iso(at_ms)}.", 409)
    if at_ms - now_ms > MAX_ADVANCE_S * 1000:
        raise CallError(f"{iso(at_ms)} is more than ten years ahead of the clock ({iso(now_ms)}).")


def _number(value: Any, name: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise CallError(f"`{name}` must be a number from {low:,} to {high:,}, but is {value!r}.")
    return value


def cron_calls(crons: SessionCrons) -> Mapping[str, Call]:
    """The calls about crons."""

    async def show(_: dict[str, Any]) -> Any:
        return crons.describe()

    async def history(_: dict[str, Any]) -> Any:
        try:
            return {"runs": [run.as_json() for run in crons.history()]}
        except sqlite3.Error as error:
            raise CallError(f"The history cannot be read: {error}.", 500) from error

    async def trigger(arguments: dict[str, Any]) -> Any:
        cron, worker, time_ms = arguments.get("cron"), arguments.get("worker"), arguments.get("timeMs")
        if not isinstance(cron, str):
            raise CallError(f"`cron` must be a text, but is {cron!r}.")
        if worker is not None and not isinstance(worker, str):
            raise CallError(f"`worker` must be a name, but is {worker!r}.")
        if time_ms is not None and (isinstance(time_ms, bool) or not isinstance(time_ms, int)):
            raise CallError(f"`timeMs` must be a whole number of milliseconds since 1970, but is {time_ms!r}.")
        if time_ms is not None and abs(time_ms) > MAX_TRIGGER_TIME_MS:
            raise CallError(f"`timeMs` must be from -{MAX_TRIGGER_TIME_MS} to {MAX_TRIGGER_TIME_MS}, but is {time_ms}.")
        kind: Any = arguments.get("trigger", "manual")
        if kind not in ("manual", "backfill"):
            raise CallError(f'`trigger` must be "manual" or "backfill", but is {kind!r}.')
        try:
            run = await crons.trigger(worker, cron, time_ms, kind)
        except LookupError as error:
            names = ", ".join(crons.worker_names())
            raise CallError(f'There is no worker "{worker}" in this session. There are: {names}.', 404) from error
        return run.as_json()

    async def pause(_: dict[str, Any]) -> Any:
        before = crons.paused
        crons.pause()
        return {"paused": True, "changed": not before, "on": crons.on}

    async def resume(_: dict[str, Any]) -> Any:
        before = crons.paused
        crons.resume()
        return {"paused": False, "changed": before, "on": crons.on}

    return {
        "GET crons": show,
        "GET crons/history": history,
        "POST crons/trigger": trigger,
        "POST crons/pause": pause,
        "POST crons/resume": resume,
    }


def record_calls(events: EventLog) -> Mapping[str, Call]:
    """The calls about the record."""

    async def note(arguments: dict[str, Any]) -> Any:
        """A command has changed queues in the state beside this session: whoever watches is to see it."""
        given = arguments.get("events")
        if not isinstance(given, list) or not all(
            isinstance(one, dict) and one.get("kind") in NOTED_KINDS and isinstance(one.get("data"), dict)
            for one in given
        ):
            raise CallError(f"`events` must be a list of {{kind, data}}, kind one of {', '.join(sorted(NOTED_KINDS))}.")
        for one in given:
            events.emit(
                one["kind"], span=None, **{name: value for name, value in one["data"].items() if name != "span"}
            )
        return {"noted": len(given)}

    return {"POST events/note": note}


def queue_calls(workers: WorkerSet, look_at_leases: Callable[[], object]) -> Mapping[str, Call]:
    """The calls about queues."""

    async def wake(arguments: dict[str, Any]) -> Any:
        """Another process let messages into a queue, gave leases on some, or changed its settings: look at it now."""
        consumer = workers.consumer(str(arguments.get("queue")))
        if consumer is not None:
            consumer.pump()
        try:
            look_at_leases()
        except (sqlite3.Error, StateError) as error:
            raise CallError(f"The leases of pulled messages cannot be read: {error}.", 500) from error
        return {"consumed": consumer is not None}

    return {"POST queues/wake": wake}
