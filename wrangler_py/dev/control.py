"""What the control API of a session can do: show and move the clock; list, run, pause the crons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from wrangler_py.clock import SessionClock
from wrangler_py.dev.crons import SessionCrons
from wrangler_py.dev.workers import WorkerSet
from wrangler_py.server.control import Call, CallError

#: The farthest that one call moves the clock (seconds): ten years. More is a slip of the finger.
MAX_ADVANCE_S = 10 * 366 * 86_400
#: How far `run-until-idle` goes unless told otherwise (seconds): past the longest delay and retention there is.
IDLE_LIMIT_S = 15 * 86_400


def clock_calls(clock: SessionClock) -> Mapping[str, Call]:
    """The calls about the clock."""

    def state() -> dict[str, Any]:
        now_ms, due_ms = clock.now_ms(), clock.next_due_ms()
        return {
            "now": iso(now_ms),
            "nowMs": now_ms,
            "frozen": clock.frozen,
            "aheadMs": clock.offset_ms,
            "next": None if due_ms is None else iso(due_ms),
            "nextMs": due_ms,
        }

    async def show(_: dict[str, Any]) -> Any:
        return state()

    async def freeze(arguments: dict[str, Any]) -> Any:
        at_ms = arguments.get("atMs")
        clock.freeze()
        if at_ms is not None:
            await _move_to(clock, at_ms)
        return state()

    async def advance(arguments: dict[str, Any]) -> Any:
        seconds = arguments.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_ADVANCE_S:
            raise CallError(f"`seconds` must be a number from 0 to {MAX_ADVANCE_S}, but is {seconds!r}.")
        await clock.advance(seconds)
        return state()

    async def next_event(_: dict[str, Any]) -> Any:
        fired_ms = await clock.next()
        return {**state(), "fired": None if fired_ms is None else iso(fired_ms)}

    async def run_until_idle(arguments: dict[str, Any]) -> Any:
        limit_s = arguments.get("limitSeconds", IDLE_LIMIT_S)
        if isinstance(limit_s, bool) or not isinstance(limit_s, int | float) or not 0 < limit_s <= MAX_ADVANCE_S:
            raise CallError(f"`limitSeconds` must be a number up to {MAX_ADVANCE_S}, but is {limit_s!r}.")
        idle = await clock.run_until_idle(round(limit_s * 1000))
        return {**state(), "idle": idle}

    async def resume(arguments: dict[str, Any]) -> Any:
        clock.resume(at_wall_time=bool(arguments.get("wallTime", False)))
        return state()

    return {
        "GET clock": show,
        "POST clock/freeze": freeze,
        "POST clock/advance": advance,
        "POST clock/next": next_event,
        "POST clock/run-until-idle": run_until_idle,
        "POST clock/resume": resume,
    }


async def _move_to(clock: SessionClock, at_ms: Any) -> None:
    if isinstance(at_ms, bool) or not isinstance(at_ms, int):
        raise CallError(f"`atMs` must be a whole number of milliseconds since 1970, but is {at_ms!r}.")
    now_ms = clock.now_ms()
    if at_ms < now_ms:
        raise CallError(f"The clock shows {iso(now_ms)} and cannot go back to {iso(at_ms)}.", 409)
    if at_ms - now_ms > MAX_ADVANCE_S * 1000:
        raise CallError(f"{iso(at_ms)} is more than ten years ahead of the clock ({iso(now_ms)}).")
    await clock.advance_to(at_ms)


def cron_calls(crons: SessionCrons) -> Mapping[str, Call]:
    """The calls about crons."""

    async def show(_: dict[str, Any]) -> Any:
        return {"paused": crons.paused, "crons": crons.describe()}

    async def trigger(arguments: dict[str, Any]) -> Any:
        cron, worker, time_ms = arguments.get("cron"), arguments.get("worker"), arguments.get("timeMs")
        if not isinstance(cron, str):
            raise CallError(f"`cron` must be a text, but is {cron!r}.")
        if time_ms is not None and (isinstance(time_ms, bool) or not isinstance(time_ms, int)):
            raise CallError(f"`timeMs` must be a whole number of milliseconds since 1970, but is {time_ms!r}.")
        try:
            outcome = await crons.run(worker, cron, time_ms, wait_until=True)
        except LookupError as error:
            names = ", ".join(crons.worker_names())
            raise CallError(f'There is no worker "{worker}" in this session. There are: {names}.', 404) from error
        return {"cron": cron, "outcome": outcome.outcome, "noRetry": outcome.no_retry, "error": outcome.error}

    async def pause(_: dict[str, Any]) -> Any:
        crons.pause()
        return {"paused": True}

    async def resume(_: dict[str, Any]) -> Any:
        crons.resume()
        return {"paused": False}

    return {"GET crons": show, "POST crons/trigger": trigger, "POST crons/pause": pause, "POST crons/resume": resume}


def queue_calls(workers: WorkerSet) -> Mapping[str, Call]:
    """The calls about queues."""

    async def wake(arguments: dict[str, Any]) -> Any:
        """Another process let messages into a queue: look at it now."""
        consumer = workers.consumer(str(arguments.get("queue")))
        if consumer is not None:
            consumer.pump()
        return {"consumed": consumer is not None}

    return {"POST queues/wake": wake}


def iso(ms: int) -> str:
    """A moment as ISO 8601 in UTC, with milliseconds where there are any."""
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds" if ms % 1000 else "seconds").replace("+00:00", "Z")
