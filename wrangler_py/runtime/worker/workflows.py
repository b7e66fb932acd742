"""`env.<WORKFLOW>`, and the steps of an instance that runs here. The engine is the server's (wrangler_py/workflows)."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import outcome
from .context import Event, ExecutionContext
from .queue_binding import Caller
from .rpc import SESSION, Exports
from .rpc_values import decode, encode, encode_error
from .shims.js.arrays import make_array
from .shims.js.convert import js_string, unwrap
from .shims.js.core import JsProxy, js_error, jsnull, make_object, merged, option, raise_js
from .shims.js.dates import Date
from .shims.js.promise import as_exception, js_async

#: Turns of the loop after an answer, without a further question, until the run is taken to rest.
_REST_TURNS = 12


def make(name: str, spec: dict[str, Any], call: Caller, exports: Callable[[], Exports]) -> Any:
    """The workflow of a binding."""
    return WorkflowImpl.new(name, call, exports)


class WorkflowImpl(JsProxy):
    """`env.<WORKFLOW>`: create, createBatch, get."""

    def __init__(self, name: str, call: Caller, exports: Callable[[], Exports]) -> None:
        self._name = name
        self._call = call
        self._exports = exports

    def _ask(self, method: str, *args: Any) -> Any:
        return self._call(self._name, method, args)

    def _wire(self, value: Any) -> Any:
        return encode(value, self._exports())

    @js_async
    async def create(self, options: Any = None, **keywords: Any) -> Any:
        """`create({id, params})`: a new instance, which runs at once."""
        made = await self._ask("create", *self._fields(merged(options, keywords)))
        return InstanceImpl.new(self, made)

    def _fields(self, options: Any) -> tuple[Any, Any]:
        options = unwrap(options)
        given_id, params = option(options, "id"), option(options, "params")
        wire_id = None if given_id in (None, jsnull) else js_string(given_id)
        return wire_id, self._wire(make_object({}) if params is None else params)

    @js_async
    async def createBatch(self, batch: Any = None) -> Any:
        """`createBatch([{id, params}, ...])`: the new instances, at most 100."""
        given = unwrap(batch)
        if given is None or given is jsnull or not hasattr(given, "__iter__"):
            raise js_error("TypeError", "createBatch takes an array of {id, params}")
        made = await self._ask("createBatch", [self._fields(item) for item in given])
        return make_array([InstanceImpl.new(self, instance) for instance in made])

    @js_async
    async def get(self, instance: Any = None) -> Any:
        """An instance by its id. Raises JavaScript's Error "instance.not_found"."""
        found = InstanceImpl.new(self, js_string(unwrap(instance)))
        await found.status()
        return found


class InstanceImpl(JsProxy):
    """An instance: id, status, pause, resume, terminate, restart, sendEvent."""

    _js_name = "WorkflowInstance"

    def __init__(self, workflow: WorkflowImpl, instance: str) -> None:
        self._workflow = workflow
        self._id = instance

    @property
    def id(self) -> str:
        return self._id

    @js_async
    async def status(self) -> Any:
        """`{status, output, error}`."""
        return decode(await self._workflow._ask("status", self._id), self._workflow._exports())

    @js_async
    async def pause(self) -> None:
        await self._workflow._ask("pause", self._id)

    @js_async
    async def resume(self) -> None:
        await self._workflow._ask("resume", self._id)

    @js_async
    async def terminate(self) -> None:
        await self._workflow._ask("terminate", self._id)

    @js_async
    async def restart(self) -> None:
        await self._workflow._ask("restart", self._id)

    @js_async
    async def sendEvent(self, options: Any = None, **keywords: Any) -> None:
        """`sendEvent({type, payload})`: for the step that waits for it now or later."""
        options = unwrap(merged(options, keywords))
        kind, payload = option(options, "type"), option(options, "payload")
        wire = self._workflow._wire(payload)
        await self._workflow._ask("sendEvent", self._id, None if kind is None else js_string(kind), wire)


# --- running ----------------------------------------------------------------------------------------------------------


def workflow_classes(module: ModuleType) -> dict[str, Any]:
    """The workflow classes that the user's module exports, by name."""
    base = getattr(sys.modules["workers"], "WorkflowEntrypoint", None)
    names = getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]
    found = {}
    for name in names:
        value = getattr(module, name, None)
        if base is not None and isinstance(value, type) and issubclass(value, base) and value is not base:
            found[name] = value
    return found


async def run(
    classes: dict[str, Any], target: tuple[Any, ...], args: Any, env: Any, event: Event, exports: Exports
) -> Any:
    """`run(event, step)` of an instance from its beginning; what it returns, in JavaScript.

    target: ("workflow", class, workflow, instance, token).
    """
    _, class_name, workflow, instance, token = target
    if class_name not in classes:
        there = ", ".join(classes) or "none"
        raise js_error("Error", f"The Worker exports no Workflow class {class_name}. It exports: {there}.")
    made = classes[class_name](ExecutionContext(event), env)
    if not callable(getattr(made, "run", None)):
        raise js_error("TypeError", "The Workflow class has no run() method.")
    step = WorkflowStep.new(exports, workflow, instance, token)
    result = unwrap(made.run(decode(args[0], exports), step))
    while hasattr(result, "__await__"):
        result = unwrap(await result)
    return result


class WorkflowStep(JsProxy):
    """`step`: do, sleep, sleepUntil, waitForEvent. Each asks the engine, which knows what was done before."""

    def __init__(self, exports: Exports, workflow: str, instance: str, token: int) -> None:
        self._exports = exports
        self._run = (workflow, instance, token)
        self._counts: Counter[str] = Counter()
        #: How many answers came (the start is the first), and how many questions were asked.
        self._answers = 1
        self._questions = 0

    async def _ask(self, operation: str, *args: Any) -> tuple[Any, ...]:
        self._questions += 1
        answer = await self._exports._call(SESSION, "step", (*self._run, self._answers, operation, *args))
        if answer[0] != "run":
            self._answers += 1
            self._rest_soon(self._questions, _REST_TURNS)
        return answer

    def _rest_soon(self, questions: int, turns: int) -> None:
        """When nothing more is asked for a while, the engine is told: until then the clock waits for this run."""
        if questions != self._questions:
            return
        if turns:
            asyncio.get_running_loop().call_soon(self._rest_soon, questions, turns - 1)
        else:
            resting = self._exports._call(SESSION, "step", (*self._run, self._answers, "rest"))
            resting.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _result(self, answer: tuple[Any, ...]) -> Any:
        value = decode(answer[1], self._exports)
        if answer[0] == "error":
            raise as_exception(value)
        return value

    def _count(self, kind: str, name: str) -> int:
        self._counts[f"{kind}-{name}"] += 1
        return self._counts[f"{kind}-{name}"]

    @js_async
    async def do(self, name: Any = None, *args: Any, **keywords: Any) -> Any:
        """`do(name, config, callback)`: what the callback returned, now or in an earlier run."""
        text = js_string(unwrap(name))
        call = unwrap(args[-1]) if args else None
        config = unwrap(args[0]) if len(args) > 1 else None
        if not callable(call):
            raise js_error("TypeError", f'step.do("{text}") needs a function.')
        count = self._count("do", text)
        answer = await self._ask("do", text, count, encode(config, self._exports))
        while answer[0] == "run":
            _, number, settings, timeout_ms = answer
            good, wire = await self._attempt(call, text, count, number, settings, timeout_ms)
            answer = await self._ask("done", text, count, number, good, wire)
        return self._result(answer)

    async def _attempt(
        self, call: Callable[..., Any], name: str, count: int, number: int, settings: Any, timeout_ms: float
    ) -> tuple[bool, Any]:
        """Call the step's function: whether it went well, and its result or error on the wire."""
        context = make_object(
            {
                "step": make_object({"name": name, "count": count}),
                "attempt": number,
                "config": decode(settings, self._exports),
            }
        )
        work = asyncio.ensure_future(_called(call, context))
        done, _ = await asyncio.wait({work}, timeout=timeout_ms / 1000)
        if not done:
            work.cancel()
            shown = int(timeout_ms) if timeout_ms == int(timeout_ms) else timeout_ms
            text = f"WorkflowTimeoutError: Execution timed out after {shown}ms"
            return False, ("err", "Error", text, None, [])
        try:
            return True, encode(unwrap(work.result()), self._exports)
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            return False, _step_error(error)

    @js_async
    async def sleep(self, name: Any = None, duration: Any = None) -> None:
        """`sleep(name, milliseconds or "5 minutes")`."""
        text, length = js_string(unwrap(name)), unwrap(duration)
        if isinstance(length, JsProxy) or length is jsnull:
            length = js_string(length)
        self._result(await self._ask("sleep", text, self._count(f"sleep-{length}", text), length))

    @js_async
    async def sleepUntil(self, name: Any = None, moment: Any = None) -> None:
        """`sleepUntil(name, Date or milliseconds)`."""
        text, given = js_string(unwrap(name)), unwrap(moment)
        if isinstance(given, str):
            given = Date.new(given)
        time_ms = given._time if isinstance(given, Date) else given
        if not isinstance(time_ms, (int, float)) or time_ms != time_ms:
            raise_js("TypeError", f'step.sleepUntil("{text}") needs a Date or a number of milliseconds.')
        # From this process's own now: the session's clock may stand elsewhere.
        ahead_ms = time_ms - time.time() * 1000
        self._result(await self._ask("sleep_until", text, self._count("sleepUntil", text), ahead_ms))

    @js_async
    async def waitForEvent(self, name: Any = None, options: Any = None, **keywords: Any) -> Any:
        """`waitForEvent(name, {type, timeout})`: `{payload, timestamp, type}` of the event."""
        text, given = js_string(unwrap(name)), unwrap(merged(options, keywords))
        timeout = option(given, "timeout")
        kind = js_string(option(given, "type"))
        count = self._count("wait", text)
        timeout = timeout or "24 hours"
        return self._result(await self._ask("wait", text, count, kind, timeout))


async def _called(call: Callable[..., Any], context: Any) -> Any:
    result = unwrap(call(context))
    while hasattr(result, "__await__"):
        result = unwrap(await result)
    return result


def _step_error(error: BaseException) -> Any:
    """What a step's function raised, on the wire. A NonRetryableError is told by its name (the SDK's workflows.js)."""
    if type(error).__name__ == "NonRetryableError":
        return ("err", "NonRetryableError", str(error), None, [])
    wire = encode_error(error, outcome.format_exception(error).rstrip("\n"))
    return (*wire[:3], None, [])
