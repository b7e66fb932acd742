"""The Durable Objects of a session: where they are kept, and how their alarms reach them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from wrangler_py.clock import SessionClock
from wrangler_py.durable_objects.alarms import Alarm, AlarmOutcome, AlarmScheduler
from wrangler_py.events.log import EventLog
from wrangler_py.runtime.base import RemoteError, Runtime, Target, WorkerError
from wrangler_py.runtime.python.objects import DurableHome
from wrangler_py.server.control import Call, CallError

#: The folder of Durable Objects in a state folder.
FOLDER = "do"


class _Workers(Protocol):
    def named(self, name: str) -> Runtime | None: ...


class _ObjectRuntime(Protocol):
    """A runtime whose objects' alarms the session keeps; workerd keeps those of its own."""

    async def alarm(self, target: Target, time_ms: int, retry: int) -> Any: ...

    async def drop_alarm(self, target: Target, time_ms: int) -> None: ...


class SessionObjects:
    """Alarms on the session's clock, run in the workers. AlarmWorkers (durable_objects/alarms.py)."""

    def __init__(self, state: Path, clock: SessionClock, events: EventLog) -> None:
        self.alarms = AlarmScheduler(clock, events, self)
        self.home = DurableHome(state / FOLDER, self.alarms, clock)
        #: Set when the session has its workers.
        self.workers: _Workers | None = None

    def _runtime(self, worker: str) -> _ObjectRuntime | None:
        runtime: Any = None if self.workers is None else self.workers.named(worker)
        return runtime if hasattr(runtime, "drop_alarm") else None

    async def run(self, alarm: Alarm) -> AlarmOutcome:
        """See AlarmWorkers.run."""
        runtime = self._runtime(alarm.worker)
        if runtime is None:
            return AlarmOutcome("failed", f'the worker "{alarm.worker}" does not run')
        try:
            result = await runtime.alarm(_target(alarm), alarm.time_ms, alarm.failures)
        except (RemoteError, WorkerError) as error:
            if getattr(runtime, "broken", None) is not None:
                return AlarmOutcome("none")  # its object has it still, and says so to the next code that can be loaded
            return AlarmOutcome("failed", str(error))
        return AlarmOutcome(result["outcome"], result.get("error"))

    async def drop(self, alarm: Alarm) -> None:
        """See AlarmWorkers.drop."""
        runtime = self._runtime(alarm.worker)
        if runtime is not None:
            try:
                await runtime.drop_alarm(_target(alarm), alarm.time_ms)
            except (RemoteError, WorkerError):
                pass  # its process died: it comes again when the next one opens the objects, and is canceled then


def _target(alarm: Alarm) -> Target:
    return ("object", alarm.class_name, alarm.id, alarm.name)


def alarm_calls(alarms: AlarmScheduler) -> Mapping[str, Call]:
    """The control API's calls about alarms."""

    def find(arguments: dict[str, Any]) -> Alarm:
        named = [arguments.get(name) for name in ("worker", "class", "id")]
        if not all(isinstance(name, str) for name in named):
            raise CallError("`worker`, `class` and `id` must be texts: they name the object whose alarm is meant.")
        try:
            return alarms.find(*named)  # type: ignore[arg-type]
        except LookupError:
            raise CallError(f"The object {named[2]} of {named[1]} in {named[0]} has no alarm.", 404) from None

    async def show(_: dict[str, Any]) -> Any:
        return {"alarms": [alarm.as_json() for alarm in alarms.all()]}

    async def run(arguments: dict[str, Any]) -> Any:
        outcome = await alarms.run_now(find(arguments))
        if outcome is None:
            raise CallError("This alarm is being handled already.", 409)
        return {"outcome": outcome.outcome, "error": outcome.error}

    async def cancel(arguments: dict[str, Any]) -> Any:
        alarm = find(arguments)
        await alarms.cancel(alarm)
        return {"canceled": alarm.as_json()}

    return {
        "GET durable-objects/alarms": show,
        "POST durable-objects/alarms/run": run,
        "POST durable-objects/alarms/cancel": cancel,
    }
