"""The workflows of a session: how the engine reaches the workers, and how bindings and commands reach the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from wrangler_py.clock import SessionClock
from wrangler_py.config.model import SessionConfig
from wrangler_py.events.log import EventLog
from wrangler_py.runtime.base import RemoteError, Runtime, WorkerError
from wrangler_py.runtime.compat import resolve_flags
from wrangler_py.runtime.python.bindings import CallContext, CallError
from wrangler_py.runtime.services import NoAnswer
from wrangler_py.server import control
from wrangler_py.workflows import limits, show, values
from wrangler_py.workflows.engine import Definition, Run, RunFailed, RunLost, WorkflowEngine, WorkflowError, status_of
from wrangler_py.workflows.live import Superseded


class _Workers(Protocol):
    def named(self, name: str) -> Runtime | None: ...


class SessionWorkflows:
    """Runner (workflows/engine.py), and BindingHandler of `env.<WORKFLOW>` (runtime/python/bindings.py)."""

    def __init__(self, state: Path, clock: SessionClock, events: EventLog) -> None:
        self.engine = WorkflowEngine(state, clock, events, self)
        #: Set when the session has its workers.
        self.workers: _Workers | None = None

    def configure(self, config: SessionConfig) -> None:
        """The workflows that the session's config names, each once."""
        definitions: dict[str, Definition] = {}
        for worker in config.workers:
            flags = resolve_flags(worker.compatibility_date, worker.compatibility_flags)
            for workflow in worker.workflows:
                owner = workflow.script_name or worker.name
                if workflow.name in definitions and owner != worker.name:
                    continue  # the worker that has the class says more of it
                definitions[workflow.name] = Definition(
                    workflow.name,
                    owner,
                    workflow.class_name,
                    workflow.step_limit or limits.MAX_STEPS,
                    flags["workflows_preserve_non_retryable_error_message"],
                )
        self.engine.configure(list(definitions.values()))

    # Runner -----------------------------------------------------------------------------------------------------------

    async def start(
        self, definition: Definition, instance: str, token: int, event: Any, hold: Callable[[bool], None]
    ) -> Run:
        """See Runner.start."""
        runtime: Any = None if self.workers is None else self.workers.named(definition.worker)
        if not hasattr(runtime, "start_workflow"):
            text = limits.NO_RUNNER.format(name=definition.name, worker=definition.worker)
            raise RunFailed(values.error("Error", f"WorkflowInternalError: {text}"))
        target = ("workflow", definition.class_name, definition.name, instance, token)
        while True:
            try:
                return _WorkerRun(await runtime.start_workflow(target, [event]))
            except WorkerError as error:
                if runtime.broken is None:
                    raise RunLost(error.text) from None
            hold(True)  # its code cannot be loaded: wait for code that can
            try:
                while runtime.broken is not None:
                    await asyncio.sleep(_BROKEN_S)  # real time: this is about the code, not about the session's clock
            finally:
                hold(False)

    async def asked(self, name: str, instance: str, token: int, seen: int, operation: str, *arguments: Any) -> Any:
        """A question of a running `run()` (a session call of its worker)."""
        try:
            return await self.engine.ask(name, instance, token, seen, operation, *arguments)
        except Superseded:
            raise NoAnswer from None

    # BindingHandler -----------------------------------------------------------------------------------------------------

    async def call(self, method: str, args: tuple[Any, ...], context: CallContext) -> Any:
        """See BindingHandler.call. Values are wire values."""
        name, engine = context.spec["workflow"], self.engine
        try:
            if method == "create":
                return engine.create(name, args[0], args[1], "binding")
            if method == "createBatch":
                return engine.create_batch(name, args[0], "binding")
            if method == "sendEvent":
                return engine.send_event(name, *args)
            if method == "status":
                return ("obj", list(status_of(engine.file(name), engine.find(name, args[0])).items()))
            if method in ("pause", "resume", "terminate", "restart"):
                changes: dict[str, Callable[[str, str], str]] = {
                    "pause": engine.pause,
                    "resume": engine.resume,
                    "terminate": engine.terminate,
                    "restart": engine.restart,
                }
                changes[method](name, args[0])
                return None
        except WorkflowError as error:
            raise CallError("Error", str(error)) from None
        raise CallError("TypeError", f"env.{context.binding}.{method} is not a function")


#: How long a workflow whose worker is broken waits before it looks again (seconds).
_BROKEN_S = 0.5


class _WorkerRun:
    """Run (workflows/engine.py) over one of a runtime's."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self.superseded: asyncio.Future[None] = run.superseded

    async def result(self) -> Any:
        try:
            return await self._run.result()
        except RemoteError as error:
            raise RunFailed(error.thrown) from None
        except WorkerError as error:
            raise RunLost(error.text) from None

    def abandon(self) -> None:
        self._run.abandon()


def workflow_calls(engine: WorkflowEngine) -> Mapping[str, control.Call]:
    """The control API's calls about workflows. `id` may be "latest"."""

    def text(arguments: dict[str, Any], name: str) -> str:
        value = arguments.get(name)
        if not isinstance(value, str):
            raise control.CallError(f"`{name}` must be a text, but is {value!r}.")
        return value

    def named(arguments: dict[str, Any]) -> tuple[str, str]:
        name, instance = text(arguments, "workflow"), text(arguments, "id")
        if instance == "latest":
            record = engine.file(name).latest()
            if record is None:
                raise WorkflowError(f'The workflow "{name}" has no instances.')
            instance = record.id
        return name, instance

    def refusing(call: Callable[[dict[str, Any]], Any]) -> control.Call:
        async def answer(arguments: dict[str, Any]) -> Any:
            try:
                return call(arguments)
            except WorkflowError as error:
                missing = str(error) in (limits.NOT_FOUND,) or "has no workflow" in str(error)
                raise control.CallError(str(error), 404 if missing else 409) from None

        return answer

    def trigger(arguments: dict[str, Any]) -> Any:
        instance = arguments.get("id")
        params = values.from_json(arguments.get("params", {}))
        made = engine.create(text(arguments, "workflow"), instance, params, "api")
        return {"id": made, "workflow": arguments["workflow"]}

    def event(arguments: dict[str, Any]) -> Any:
        name, instance = named(arguments)
        engine.send_event(name, instance, arguments.get("type"), values.from_json(arguments.get("payload", {})))
        return {"id": instance}

    def change(action: Callable[[str, str], str]) -> control.Call:
        def run(arguments: dict[str, Any]) -> Any:
            name, instance = named(arguments)
            return {"id": instance, "status": action(name, instance)}

        return refusing(run)

    calls: dict[str, control.Call] = {
        "POST workflows/trigger": refusing(trigger),
        "POST workflows/event": refusing(event),
        "POST workflows/pause": change(engine.pause),
        "POST workflows/resume": change(engine.resume),
        "POST workflows/terminate": change(engine.terminate),
        "POST workflows/restart": change(engine.restart),
        "GET workflows": refusing(
            lambda _: {"workflows": [show.workflow(engine.file(d.name), d) for d in engine.definitions()]}
        ),
        "POST workflows/instances": refusing(
            lambda arguments: {
                "instances": [
                    show.instance(record)
                    for record in engine.file(text(arguments, "workflow")).instances(arguments.get("statuses") or ())
                ]
            }
        ),
        "POST workflows/instance": refusing(lambda a: _details(engine, *named(a))),
    }
    return calls


def _details(engine: WorkflowEngine, name: str, instance: str) -> Any:
    return show.details(engine.file(name), engine.find(name, instance))
