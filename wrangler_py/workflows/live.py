"""One instance that runs now: what its `run()` asks for, step by step.

`run()` is started from its beginning each time (a new process, new code, a session that was killed); what it asks for that
was done before is answered from the file. Each answer that changes something is committed before it is given.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from wrangler_py.clock import Timer
from wrangler_py.workflows import limits, values
from wrangler_py.workflows.durations import milliseconds
from wrangler_py.workflows.retries import retry_delay_ms, used_up
from wrangler_py.workflows.settings import step_config
from wrangler_py.workflows.tables import InstanceRecord, WorkflowFile

if TYPE_CHECKING:
    from wrangler_py.workflows.engine import Definition, WorkflowEngine

#: An answer to `run()`: ("value", wire), ("error", wire), or ("run", attempt, config wire): call the step's function.
Answer = tuple[Any, ...]


class Superseded(Exception):
    """Nobody waits for the answer any more: this run was given up."""


class Failure(Exception):
    """What a step is answered with instead of a value."""

    def __init__(self, wire: Any) -> None:
        super().__init__(str(wire))
        self.wire = wire


class LiveInstance:
    """An instance while `run()` runs."""

    def __init__(
        self, engine: WorkflowEngine, definition: Definition, file: WorkflowFile, record: InstanceRecord
    ) -> None:
        self._engine = engine
        self.definition = definition
        self.file = file
        self.record = record
        self.status = record.status
        #: The run that may ask; another number is another's.
        self.token = 0
        #: Steps whose function runs now, and what waits: for the clock or an event.
        self.executing: set[str] = set()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._timers: dict[str, Timer] = {}
        #: What waits no longer, and has no answer yet.
        self._waking = 0
        #: How many answers the run was given, and how many of them it had when it last asked or said that it rests.
        self._answered, self._seen = 1, 0
        #: Whether it waits for code that can be loaded.
        self._held = False
        self.pause_asked = False
        #: Whether the run is to be begun anew as soon as no step runs.
        self.renew = False
        #: Steps that were finished since the run began.
        self.progress = 0

    # --- how it stands ------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether it does more than wait."""
        if self._held:
            return False
        return bool(self.executing or self._waking) or self._answered > self._seen or not self._waiting

    def hold(self, held: bool) -> None:
        """Whether nothing can be done for it now: the clock does not wait for it."""
        self._held = held
        self._engine.news()

    def begin(self) -> int:
        """A new run; its token."""
        self.token += 1
        self.executing.clear()
        self._drop_waits()
        self._answered, self._seen = 1, 0
        self.renew = False
        self.progress = 0
        return self.token

    def stop(self) -> None:
        """This run may ask nothing more."""
        self.token += 1
        self.executing.clear()
        self._drop_waits()

    def _drop_waits(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._waking = 0
        waits, self._waiting = self._waiting, {}
        for future in waits.values():
            if not future.done():
                future.set_exception(Superseded())
                future.exception()

    def _changed(self) -> None:
        if self.status in ("running", "waiting"):
            self.set_status("running" if self.busy else "waiting")
        self._engine.news()

    def set_status(self, status: str, **fields: Any) -> None:
        """Store a status, with other fields that change with it."""
        if status != self.status or fields:
            self.status = status
            self.file.update(self.record.seq, self._now(), status=status, **fields)
            self._engine.news()

    def _now(self) -> int:
        return self._engine.clock.now_ms()

    def emit(self, kind: str, **fields: Any) -> None:
        self._engine.emit(kind, self.definition, self.record.id, **fields)

    # --- what run() asks ----------------------------------------------------------------------------------------------

    async def ask(self, token: int, seen: int, operation: str, *arguments: Any) -> Answer:
        """Answer one question. Raises Superseded when the run that asks is not the present one."""
        if token != self.token:
            raise Superseded
        self._seen = max(self._seen, seen)
        if operation == "rest":
            self._changed()
            return ("value", None)
        handler = getattr(self, f"_{operation}")
        try:
            answer: Answer = await handler(*arguments)
        except Failure as failure:
            answer = ("error", failure.wire)
        if token != self.token:
            raise Superseded
        if self._give_way():
            raise Superseded
        if answer[0] != "run":
            self._answered += 1
        self._changed()
        return answer

    def _give_way(self) -> bool:
        """Between steps an instance may be paused, or go on with new code."""
        if self.executing or not (self.pause_asked or self.renew):
            return False
        if self.pause_asked:
            self._engine.paused(self)
        else:
            self._engine.renewed(self)
        return True

    async def _do(self, name: Any, count: int, given: Any) -> Answer:
        config = step_config(name, given)
        seq, key = self.record.seq, f"do-{name}-{count}"
        step = self.file.step(seq, key)
        if step is None:
            if len(self.file.steps(seq)) >= self.definition.step_limit:
                text = limits.STEP_LIMIT.format(limit=self.definition.step_limit)
                raise Failure(values.error("Error", f"WorkflowFatalError: {text}"))
            stored = json.dumps(config)
            self.file.begin_step(seq, key, "do", name, count, "running", self._now(), config=stored)
            self.emit("workflow.step_started", step=name, count=count)
            return self._attempt(key, 1, config)
        if step.state == "done":
            return ("value", values.load(step.value))
        if step.state == "failed":
            raise Failure(values.load(step.error))
        config = json.loads(step.config or "{}")
        number = step.attempts
        if step.state == "running" and number:  # the process, or the session, ended meanwhile
            lost = values.error("WorkflowInternalError", limits.ATTEMPT_LOST)
            self.file.end_attempt(seq, key, number, self._now(), (lost[1], lost[2]))
            if used_up(config, number):
                return self._fail(key, name, count, values.error("Error", f"{lost[1]}: {lost[2]}"))
        elif step.state == "retrying" and step.due_ms is not None:
            await self._until(key, step.due_ms)
        return self._attempt(key, number + 1, config)

    def _attempt(self, key: str, number: int, config: dict[str, Any]) -> Answer:
        self.file.begin_attempt(self.record.seq, key, number, self._now())
        self.executing.add(key)
        timeout_ms = milliseconds(config["timeout"]) or float(limits.STEP_TIMEOUT_MS)
        return ("run", number, values.from_json(config), timeout_ms)

    async def _done(self, name: str, count: int, number: int, good: bool, wire: Any) -> Answer:
        seq, key = self.record.seq, f"do-{name}-{count}"
        self.executing.discard(key)
        step = self.file.step(seq, key)
        assert step is not None
        config = json.loads(step.config or "{}")
        if good:
            if not values.storable(wire):
                refused = values.error("WorkflowFatalError", limits.NOT_SERIALISABLE.format(name=name))
                self._fail(key, name, count, refused)
                self.file.end_attempt(seq, key, number, self._now(), (refused[1], refused[2]))
                text = limits.NOT_SERIALISABLE_FATAL.format(name=name)
                self._engine.fatal(self, values.error("WorkflowFatalError", text))
                raise Superseded
            refused = self._refused(name, count, wire)
            if refused is None:
                with self.file.transaction():
                    self.file.end_attempt(seq, key, number, self._now(), None)
                    self.file.update_step(seq, key, state="done", ended_ms=self._now(), value=values.dump(wire))
                self.progress += 1
                self.emit("workflow.step_finished", step=name, count=count, attempt=number)
                return ("value", wire)
            wire = refused
        error_name, message = _split(wire)
        self.file.end_attempt(seq, key, number, self._now(), (error_name, message))
        final = error_name in ("NonRetryableError", "WorkflowFatalError") or used_up(config, number)
        self.emit("workflow.step_failed", step=name, count=count, attempt=number, error=message, final=final)
        if final:
            return self._fail(key, name, count, wire)
        due_ms = self._now() + round(retry_delay_ms(config, number))
        self.file.update_step(seq, key, state="retrying", due_ms=due_ms)
        if self._give_way():
            raise Superseded
        await self._until(key, due_ms)
        return self._attempt(key, number + 1, config)

    @staticmethod
    def _refused(name: str, count: int, wire: Any) -> Any:
        """The error of a result that cannot be kept, or None."""
        if len(values.dump(wire)) > limits.MAX_VALUE_BYTES:
            return values.error(
                "Error", "WorkflowInternalError: " + limits.STEP_TOO_LARGE.format(name=name, count=count)
            )
        return None

    def _fail(self, key: str, name: str, count: int, wire: Any) -> Answer:
        self.file.update_step(self.record.seq, key, state="failed", ended_ms=self._now(), error=values.dump(wire))
        self.progress += 1
        return ("error", wire)

    async def _sleep(self, name: str, count: int, duration: Any) -> Answer:
        return await self._sleep_for(name, count, duration, f"sleep-{name}-{duration}-{count}")

    async def _sleep_until(self, name: str, count: int, ahead_ms: float) -> Answer:
        key = f"sleepUntil-{name}-{count}"
        if self.file.step(self.record.seq, key) is None and ahead_ms < 0:
            raise Failure(values.error("Error", limits.PAST))
        return await self._sleep_for(name, count, max(0.0, ahead_ms), key)

    async def _sleep_for(self, name: str, count: int, duration: Any, key: str) -> Answer:
        seq = self.record.seq
        step = self.file.step(seq, key)
        if step is None:
            past = isinstance(duration, int | float) and duration < 0  # [engine] no time at all
            length = 0.0 if past else milliseconds(duration)
            if length is None:
                raise Failure(values.error("Error", limits.BAD_DURATION.format(name=name, given=duration)))
            if length > limits.MAX_SLEEP_MS:
                raise Failure(values.error("Error", limits.SLEEP_TOO_LONG.format(name=name)))
            due_ms = self._now() + round(length)
            self.file.begin_step(seq, key, "sleep", name, count, "waiting", self._now(), due_ms=due_ms)
            self.emit("workflow.sleeping", step=name, until_ms=due_ms)
        elif step.state == "done":
            return ("value", None)
        else:
            due_ms = step.due_ms or self._now()
        await self._until(key, due_ms)
        self.file.update_step(seq, key, state="done", ended_ms=self._now())
        self.progress += 1
        return ("value", None)

    async def _wait(self, name: str, count: int, event_type: str, timeout: Any) -> Answer:
        seq, key = self.record.seq, f"wait-{name}-{count}"
        step = self.file.step(seq, key)
        if step is None:
            length = milliseconds(timeout)
            if length is None or not limits.EVENT_TYPE.match(event_type):
                given = timeout if length is None else event_type
                raise Failure(values.error("Error", limits.BAD_DURATION.format(name=name, given=given)))
            due_ms = self._now() + round(length)
            config = json.dumps({"timeout": length})
            fields = {"due_ms": due_ms, "event_type": event_type, "config": config}
            self.file.begin_step(seq, key, "wait", name, count, "waiting", self._now(), **fields)
            self.emit("workflow.waiting", step=name, event_type=event_type, until_ms=due_ms)
        elif step.state == "done":
            return ("value", values.load(step.value))
        elif step.state == "failed":
            raise Failure(values.load(step.error))
        else:
            due_ms = step.due_ms or self._now()
        if not self._take_event(key, event_type):
            await self._until(key, due_ms)
        step = self.file.step(seq, key)
        assert step is not None
        if step.state == "done":
            return ("value", values.load(step.value))
        length_ms = json.loads(step.config or "{}").get("timeout", limits.EVENT_TIMEOUT_MS)
        text = limits.TIMED_OUT.format(ms=int(length_ms) if length_ms == int(length_ms) else length_ms)
        return self._fail(key, name, count, values.error("Error", f"WorkflowTimeoutError: {text}"))

    # --- waiting --------------------------------------------------------------------------------------------------------

    async def _until(self, key: str, due_ms: int) -> None:
        """Wait until the clock shows `due_ms`, or `_wake` is called. Raises Superseded when the run is given up."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = future
        self._timers[key] = self._engine.clock.call_at(due_ms, lambda: self._wake(key))
        self._changed()
        token = self.token
        await future
        if token != self.token:
            raise Superseded
        self._waking -= 1  # what follows does not wait until there is an answer

    def _wake(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        future = self._waiting.pop(key, None)
        if future is not None and not future.done():
            self._waking += 1
            future.set_result(None)

    def _take_event(self, key: str, event_type: str) -> bool:
        """Give a waiting step the oldest event of its type, if there is one."""
        seq = self.record.seq
        with self.file.transaction():
            found = self.file.take_event(seq, event_type)
            if found is None:
                return False
            payload, sent_ms = found
            event = ("obj", [("payload", values.load(payload)), ("type", event_type), ("timestamp", ("date", sent_ms))])
            self.file.update_step(seq, key, state="done", ended_ms=self._now(), value=values.dump(event))
        self.progress += 1
        return True

    def event_came(self, event_type: str) -> None:
        """An event was stored: the first step that waits for its type gets it."""
        for key in list(self._waiting):
            step = self.file.step(self.record.seq, key)
            if step is not None and step.kind == "wait" and step.event_type == event_type:
                if self._take_event(key, event_type):
                    self._wake(key)
                return


def _split(wire: Any) -> tuple[str, str]:
    """Name and message of an error, whose name may stand in the message (as RPC passes it on)."""
    name, message = str(wire[1]), str(wire[2])
    if name == "Error":
        for known in ("NonRetryableError", "WorkflowTimeoutError", "WorkflowFatalError", "WorkflowInternalError"):
            if message == known or message.startswith(f"{known}: "):
                return known, message[len(known) + 2 :]
    return name, message
