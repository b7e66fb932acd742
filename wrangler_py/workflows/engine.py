"""The engine of a session's workflows: instances are created, run to their end through everything that ends a process or a
session, paused, resumed, terminated, restarted.

Events: `workflow.created`, `started`, `step_started`, `step_finished`, `step_failed`, `sleeping`, `waiting`, `paused`,
`resumed`, `terminated`, `restarted`, `completed`, `errored`, `interrupted`; all with workflow, instance.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from wrangler_py.clock import Clock
from wrangler_py.events.log import EventLog
from wrangler_py.workflows import limits, values
from wrangler_py.workflows.live import Answer, LiveInstance, Superseded, _split
from wrangler_py.workflows.tables import FOLDER, InstanceRecord, WorkflowFile, open_workflow


class Definition(Struct, frozen=True):
    """A workflow of the session's config. `preserve_errors`: the flag workflows_preserve_non_retryable_error_message."""

    name: str
    worker: str
    class_name: str
    step_limit: int = limits.MAX_STEPS
    preserve_errors: bool = False


class RunFailed(Exception):
    """`run()` raised; `wire` is the error."""

    def __init__(self, wire: Any) -> None:
        super().__init__(str(wire[1:3]))
        self.wire = wire


class RunLost(Exception):
    """The process that ran it has ended; the text says how."""


class Run(Protocol):
    """`run()` on its way in a worker's process."""

    #: Done when another version of the code has taken over.
    superseded: asyncio.Future[None]

    async def result(self) -> Any:
        """What it returns (a wire value). Raises RunFailed and RunLost."""
        ...

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        ...


class Runner(Protocol):
    """Who runs `run()`."""

    async def start(
        self, definition: Definition, instance: str, token: int, event: Any, hold: Callable[[bool], None]
    ) -> Run:
        """Raises RunLost when the worker's process ends. `hold` is told while it cannot be started, which may take long."""
        ...


class WorkflowError(Exception):
    """What a binding or a command is refused with."""


class WorkflowEngine:
    """All workflows of a session."""

    def __init__(self, state: Path, clock: Clock, events: EventLog, runner: Runner) -> None:
        self._state = state
        self.clock = clock
        self._events = events
        self._runner = runner
        self._definitions: dict[str, Definition] = {}
        self._files: dict[str, WorkflowFile] = {}
        self._live: dict[tuple[str, str], LiveInstance] = {}
        self._tasks: dict[LiveInstance, asyncio.Task[None]] = {}
        self._renewals: dict[LiveInstance, asyncio.Event] = {}
        self._news = asyncio.Event()
        self._closed = False

    # --- the session ----------------------------------------------------------------------------------------------------

    def configure(self, definitions: Sequence[Definition]) -> None:
        """The workflows that the session's config names."""
        self._definitions = {definition.name: definition for definition in definitions}

    def start(self) -> None:
        """Go on with what earlier sessions have left."""
        for name, definition in self._definitions.items():
            path = self._state / FOLDER / f"{name}.sqlite"
            if not path.exists():
                continue
            file = self._file(name)
            file.describe(definition.worker, definition.class_name, self.clock.now_ms())
            for record in file.instances(["waitingForPause"]):
                file.update(record.seq, self.clock.now_ms(), status="paused", paused_ms=self.clock.now_ms())
            for record in file.instances(["queued", "running", "waiting"], reverse=True):
                if (name, record.id) not in self._live:
                    self._begin(definition, file, record)

    async def close(self) -> None:
        """The session ends; what runs goes on with the next one."""
        self._closed = True
        tasks = list(self._tasks.values())
        for live in list(self._live.values()):
            live.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for file in self._files.values():
            file.close()
        self._files.clear()

    def news(self) -> None:
        """Something has begun or ended: whoever waits for rest looks again."""
        self._news.set()

    @property
    def running(self) -> int:
        """How many instances do more than wait."""
        return sum(live.busy for live in self._live.values())

    async def idle(self) -> None:
        """Wait until all instances wait."""
        while self.running:
            self._news.clear()
            await self._news.wait()

    def emit(self, kind: str, definition: Definition, instance: str, **fields: Any) -> None:
        self._events.emit(kind, worker=definition.worker, workflow=definition.name, instance=instance, **fields)

    # --- what bindings and commands ask -----------------------------------------------------------------------------------

    def definition(self, name: str) -> Definition:
        """Raises WorkflowError for a workflow that the session does not have."""
        found = self._definitions.get(name)
        if found is None:
            raise WorkflowError(limits.UNKNOWN_WORKFLOW.format(name=name))
        return found

    def definitions(self) -> list[Definition]:
        return list(self._definitions.values())

    def file(self, name: str) -> WorkflowFile:
        """The file of a workflow of this session, to be read. Raises WorkflowError."""
        self.definition(name)
        return self._file(name)

    def create(self, name: str, instance_id: str | None, params: Any, trigger: str) -> str:
        """Create an instance, which runs at once; its id. `params`: a wire value. Raises WorkflowError."""
        definition = self.definition(name)
        made = self._create(definition, instance_id, params, trigger)
        if made is None:
            raise WorkflowError(limits.EXISTS)
        return made

    def create_batch(self, name: str, batch: Sequence[tuple[str | None, Any]], trigger: str) -> list[str]:
        """Create instances, all or none; those whose id is taken are left out. The ids of the others."""
        definition = self.definition(name)
        if not batch:
            raise WorkflowError(limits.EMPTY_BATCH)
        if len(batch) > limits.MAX_BATCH:
            raise WorkflowError(limits.BIG_BATCH.format(limit=limits.MAX_BATCH, count=len(batch)))
        for instance_id, params in batch:
            self._check(instance_id, params)
        made = [self._create(definition, instance_id, params, trigger) for instance_id, params in batch]
        return [instance_id for instance_id in made if instance_id is not None]

    @staticmethod
    def _check(instance_id: Any, params: Any) -> None:
        if instance_id is not None and not (
            isinstance(instance_id, str)
            and len(instance_id) <= limits.MAX_INSTANCE_ID
            and limits.ID_PATTERN.match(instance_id)
        ):
            raise WorkflowError(limits.BAD_INSTANCE_ID)
        if not values.storable(params):
            raise WorkflowError("WorkflowError: params must be serialisable")
        if len(values.dump(params)) > limits.MAX_VALUE_BYTES:
            raise WorkflowError(limits.TOO_LARGE.format(what="The instance's params"))

    def _create(self, definition: Definition, instance_id: str | None, params: Any, trigger: str) -> str | None:
        self._check(instance_id, params)
        file = self._file(definition.name)
        now_ms = self.clock.now_ms()
        file.describe(definition.worker, definition.class_name, now_ms)
        record = file.create(instance_id or str(uuid.uuid4()), values.dump(params), trigger, now_ms)
        if record is None:
            return None
        self.emit("workflow.created", definition, record.id, trigger=trigger)
        self._begin(definition, file, record)
        return record.id

    def find(self, name: str, instance_id: str) -> InstanceRecord:
        """Raises WorkflowError when there is no such instance."""
        self.definition(name)
        record = self._file(name).find(instance_id)
        if record is None:
            raise WorkflowError(limits.NOT_FOUND)
        return record

    def send_event(self, name: str, instance_id: str, event_type: Any, payload: Any) -> None:
        """Hand an event to an instance; it is kept until a step waits for it."""
        record = self.find(name, instance_id)
        if not isinstance(event_type, str) or not limits.EVENT_TYPE.match(event_type):
            raise WorkflowError(limits.BAD_EVENT_TYPE.format(given=event_type))
        if not values.storable(payload):
            raise WorkflowError("WorkflowError: the event's payload must be serialisable")
        data = values.dump(payload)
        if len(data) > limits.MAX_VALUE_BYTES:
            raise WorkflowError(limits.TOO_LARGE.format(what="The event's payload"))
        self._file(name).add_event(record.seq, event_type, data, self.clock.now_ms())
        live = self._live.get((name, instance_id))
        if live is not None:
            live.event_came(event_type)

    def pause(self, name: str, instance_id: str) -> str:
        """Pause an instance: at once when it waits, else after the steps that run. Its status now."""
        record = self.find(name, instance_id)
        live = self._live.get((name, instance_id))
        if live is None:
            return record.status
        if live.executing:
            live.pause_asked = True
            live.set_status("waitingForPause")
        else:
            self.paused(live)
        return live.status

    def resume(self, name: str, instance_id: str) -> str:
        """Go on with a paused instance; what waited waits as much longer as it was paused. Its status now."""
        record = self.find(name, instance_id)
        live = self._live.get((name, instance_id))
        if live is not None:
            if live.pause_asked:
                live.pause_asked = False
                live.set_status("running")
            return live.status
        if record.status != "paused":
            return record.status
        file, now_ms = self._file(name), self.clock.now_ms()
        with file.transaction():
            file.shift(record.seq, now_ms - (record.paused_ms or now_ms))
            file.update(record.seq, now_ms, status="queued", paused_ms=None)
        definition = self.definition(name)
        self.emit("workflow.resumed", definition, instance_id)
        self._begin(definition, file, self.find(name, instance_id))
        return "queued"

    def terminate(self, name: str, instance_id: str) -> str:
        """End an instance for good. Raises WorkflowError when it has ended. Its status now."""
        record = self.find(name, instance_id)
        if record.status in limits.FINAL:
            raise WorkflowError(limits.CANNOT_TERMINATE)
        self._give_up(name, instance_id)
        now_ms = self.clock.now_ms()
        self._file(name).update(record.seq, now_ms, status="terminated", ended_ms=now_ms)
        self.emit("workflow.terminated", self.definition(name), instance_id)
        return "terminated"

    def restart(self, name: str, instance_id: str) -> str:
        """Run an instance from its beginning, as if none of its steps had run. Its status now."""
        record = self.find(name, instance_id)
        definition, file = self.definition(name), self._file(name)
        self._give_up(name, instance_id)
        file.restart(record.seq, self.clock.now_ms())
        self.emit("workflow.restarted", definition, instance_id)
        self._begin(definition, file, self.find(name, instance_id))
        return "queued"

    def _file(self, name: str) -> WorkflowFile:
        if name not in self._files:
            self._files[name] = open_workflow(self._state, name)
        return self._files[name]

    # --- running ----------------------------------------------------------------------------------------------------------

    async def ask(self, name: str, instance_id: str, token: int, seen: int, operation: str, *arguments: Any) -> Answer:
        """A question of a running `run()`. Raises Superseded when that was given up."""
        live = self._live.get((name, instance_id))
        if live is None:
            raise Superseded
        return await live.ask(token, seen, operation, *arguments)

    def _begin(self, definition: Definition, file: WorkflowFile, record: InstanceRecord) -> None:
        if self._closed:
            return
        live = LiveInstance(self, definition, file, record)
        self._live[definition.name, record.id] = live
        task = self._tasks[live] = asyncio.get_running_loop().create_task(self._drive(live))
        task.add_done_callback(lambda _: self._tasks.pop(live, None))
        self.news()

    def _give_up(self, name: str, instance_id: str) -> None:
        live = self._live.pop((name, instance_id), None)
        if live is not None:
            live.stop()
            task = self._tasks.get(live)
            if task is not None:
                task.cancel()
        self.news()

    def paused(self, live: LiveInstance) -> None:
        """An instance stands still now."""
        now_ms = self.clock.now_ms()
        live.file.update(live.record.seq, now_ms, status="paused", paused_ms=now_ms)
        live.status = "paused"
        live.emit("workflow.paused")
        self._give_up(live.definition.name, live.record.id)

    def renewed(self, live: LiveInstance) -> None:
        """An instance goes on with new code: its run in the old process is given up."""
        live.stop()
        live.renew = False
        self._renewals.get(live, asyncio.Event()).set()

    async def _drive(self, live: LiveInstance) -> None:
        crashes, reason = 0, ""
        while True:
            if crashes > limits.MAX_CRASHES:
                text = limits.CRASHED.format(count=crashes, reason=reason)
                self._errored(live, values.error("Error", f"WorkflowInternalError: {text}"))
                return
            started = live.record.started_ms or self.clock.now_ms()
            live.record.started_ms = started
            live.set_status("running", started_ms=started)
            token = live.begin()
            live.emit("workflow.started")
            try:
                result = await self._run_once(live, token)
            except RunFailed as error:
                self._errored(live, error.wire)
                return
            except RunLost as error:
                crashes, reason = (1 if live.progress else crashes + 1), str(error)
                live.stop()
                live.emit("workflow.interrupted", reason=reason)
                continue
            if result is not _RENEW:
                self._completed(live, result)
                return

    async def _run_once(self, live: LiveInstance, token: int) -> Any:
        event = (
            "obj",
            [
                ("payload", values.load(live.record.params)),
                ("timestamp", ("date", live.record.created_ms)),
                ("instanceId", live.record.id),
            ],
        )
        run = await self._runner.start(live.definition, live.record.id, token, event, live.hold)
        result = asyncio.ensure_future(run.result())
        renewed = self._renewals[live] = asyncio.Event()
        superseded = asyncio.ensure_future(self._superseded(live, run, renewed))
        try:
            await asyncio.wait({result, superseded}, return_when=asyncio.FIRST_COMPLETED)
            return result.result() if result.done() else _RENEW
        finally:
            self._renewals.pop(live, None)
            superseded.cancel()
            if not result.done():
                run.abandon()
                result.cancel()
            elif not result.cancelled():
                result.exception()

    async def _superseded(self, live: LiveInstance, run: Run, renewed: asyncio.Event) -> None:
        """Done when other code is there, and no step runs in the old."""
        await asyncio.shield(run.superseded)
        if live.executing:
            live.renew = True
            await renewed.wait()
        else:
            live.stop()

    def _completed(self, live: LiveInstance, wire: Any) -> None:
        if not values.storable(wire):
            self._errored(live, values.error("Error", "WorkflowFatalError: the instance's output is not serialisable"))
            return
        now_ms = self.clock.now_ms()
        live.set_status("complete", ended_ms=now_ms, output=values.dump(wire))
        self._ended(live)
        live.emit("workflow.completed")

    def _errored(self, live: LiveInstance, wire: Any) -> None:
        name, message = _split(wire)
        if name == "NonRetryableError" and not live.definition.preserve_errors:
            name, message = "WorkflowFatalError", limits.NON_RETRYABLE
        elif name != "NonRetryableError":
            name, message = str(wire[1]), str(wire[2])
        now_ms = self.clock.now_ms()
        live.set_status("errored", ended_ms=now_ms, error_name=name, error_message=message)
        self._ended(live)
        live.emit("workflow.errored", error=message, name=name)

    def fatal(self, live: LiveInstance, wire: Any) -> None:
        """An instance cannot go on, whatever its code would do."""
        self._errored(live, wire)
        task = self._tasks.get(live)
        if task is not None:
            task.cancel()

    def _ended(self, live: LiveInstance) -> None:
        live.stop()
        self._live.pop((live.definition.name, live.record.id), None)
        self.news()


_RENEW = object()


def status_of(file: WorkflowFile, record: InstanceRecord) -> Mapping[str, Any]:
    """What `instance.status()` says, in wire values by name."""
    outputs = [
        values.load(step.value) if step.kind == "do" else dict(values.load(step.value)[1])["payload"]
        for step in file.steps(record.seq)
        if step.state == "done" and step.kind in ("do", "wait")
    ]
    error = None
    if record.status == "errored":
        error = ("obj", [("name", record.error_name), ("message", record.error_message)])
    output = values.load(record.output)
    return {
        "status": record.status,
        "__LOCAL_DEV_STEP_OUTPUTS": ("list", outputs),
        "output": ("null",) if output is None else output,
        "error": error,
    }
