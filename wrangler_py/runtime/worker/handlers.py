"""What the user's module exports, and how Cloudflare calls it (workerd, src/pyodide/internal/introspection.py)."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import logs, outcome, texts
from .context import Event, ExecutionContext
from .shims.js.core import js_error, raise_js

KINDS = ("fetch", "queue", "scheduled")

#: How many arguments a method gets besides `self`: (what is passed, None, None).
_ARGUMENTS = 3
#: What the signature of each method has to be.
_SHAPES = {
    "fetch": "async def fetch(self, request)",
    "queue": "async def queue(self, batch, env, ctx)",
    "scheduled": "async def scheduled(self, controller, env, ctx)",
    "__init__": "def __init__(self, ctx, env)",
}


class Handlers:
    """The handlers of a worker. `call` runs one, in the way of its entry style."""

    def __init__(self, module: ModuleType, main: str, env: Any, *, legacy: bool, worker: str = "") -> None:
        """Raises TypeError when the module defines both a class Default and module-level handlers."""
        self._worker = worker
        self._main = os.path.basename(main)  # noqa: PTH119
        self._env = env
        self._lacking: set[str] = set()
        #: Complaints about signatures, see `texts.SIGNATURE`, and about exports that nobody will call.
        self.warnings: list[str] = []
        #: Every WorkerEntrypoint that the module exports, by the name it is exported under.
        self.entrypoints = _entrypoints(module)
        self.module = module
        self._entrypoint = self.entrypoints.get("Default")
        functions = {kind: getattr(module, f"on_{kind}", None) for kind in KINDS}
        self._functions = {kind: call for kind, call in functions.items() if callable(call)} if legacy else {}
        if self._entrypoint is not None and self._functions:
            raise TypeError(texts.MULTIPLE_ENTRYPOINTS)
        #: Module-level handlers, which get JavaScript's own values.
        self.legacy = self._entrypoint is None
        #: JavaScript-shaped events: for module-level handlers, and for an SDK that wraps no batch.
        self.raw = self._entrypoint is None or not hasattr(
            sys.modules.get("workers.entrypoints"), "_wrap_queue_handler"
        )
        self._positions: dict[str, int] = {}
        #: Notes for the TypeError that a wrong signature raises.
        self._notes: dict[str, str] = {}
        if self._entrypoint is not None:
            self._inspect_class(self._entrypoint)
        elif not self._functions:
            self._explain_nothing(module, functions)

    @property
    def kinds(self) -> list[str]:
        """The events that there is a handler for."""
        if self._entrypoint is not None:
            return [kind for kind in KINDS if callable(getattr(self._entrypoint, kind, None))]
        return list(self._functions)

    def has(self, kind: str) -> bool:
        if self._entrypoint is not None:
            return callable(getattr(self._entrypoint, kind, None))
        return kind in self._functions

    def make(self, target: tuple[Any, ...], event: Event) -> Any:
        """A new instance of the entrypoint that `target` ("entrypoint", name, props) names. "default" is Default.

        Raises JavaScript's Error when there is none.
        """
        name = "Default" if target[1] in (None, "default") else target[1]
        entrypoint = self.entrypoints.get(name)
        if entrypoint is None:
            names = ", ".join(self.entrypoints) or "none"
            raise_js("Error", texts.NO_ENTRYPOINT.format(worker=self._worker, name=name, names=names))
        return entrypoint(ExecutionContext(event, target[2] if len(target) > 2 else None), self._env)

    async def call_method(self, instance: Any, name: str, args: list[Any]) -> Any:
        """Call a method from another Worker, as workerd does: arguments and result converted by the SDK. Raises what it
        raises, and TypeError for a method that is not there."""
        rpc = sys.modules["workers"]
        method = None if name.startswith("__") else getattr(instance, name, None)
        if not callable(method):
            raise TypeError(texts.NO_METHOD.format(name=name))
        result = method(*[rpc.python_from_rpc(arg) for arg in args])
        if hasattr(result, "__await__"):
            result = await result
        return rpc.python_to_rpc(result)

    async def call_fetch(self, instance: Any, request: Any) -> Any:
        """Call `fetch` of an entrypoint or object with a JavaScript Request; what it returns."""
        method = getattr(instance, "fetch", None)
        if not callable(method):
            raise js_error("Error", texts.NO_HANDLER["fetch"])
        given = (sys.modules["workers"].Request(request), None, None)
        result = method(*given[: self._position(f"{type(instance).__qualname__}.fetch", method)])
        return await result if hasattr(result, "__await__") else result

    async def call(self, kind: str, argument: Any, event: Event) -> Any:
        """Run a handler with what its event brings, and return what it returns. Raises what it raises."""
        entrypoint = self._entrypoint
        if entrypoint is None:
            function = self._functions[kind]
            result = function(*(argument, self._env, ExecutionContext(event))[: self._position(kind, function)])
        else:
            try:
                instance = entrypoint(ExecutionContext(event), self._env)  # a new one for every event
                method = getattr(instance, kind)
                if kind == "fetch":  # relaxed: surplus arguments are dropped
                    result = method(*(argument, None, None)[: self._position(kind, method)])
                else:
                    result = method(argument, None, None)
                if hasattr(result, "__await__"):
                    result = await result
            except TypeError as error:
                self._explain(kind, error)
                raise
            return result
        if hasattr(result, "__await__"):
            result = await result
        return result

    def missing(self, kind: str, event: Event) -> Exception:
        """The error of an event that there is no handler for; the log says so too, once for each kind."""
        if self._functions:
            name = f"on_{kind}"
            return js_error("Error", texts.NO_LEGACY_HANDLER.format(file=self._main, name=name))
        if kind not in self._lacking:
            self._lacking.add(kind)
            logs.emit("warn", texts.LACKS_HANDLER[kind], event)
        return js_error("Error", texts.NO_HANDLER[kind])

    def _position(self, kind: str, call: Callable) -> int:
        """How many of the positional arguments `call` takes."""
        count = self._positions.get(kind)
        if count is None:
            try:
                parameters = inspect.signature(call).parameters.values()
            except (TypeError, ValueError):
                count = _ARGUMENTS
            else:
                places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
                count = sum(parameter.kind in places for parameter in parameters)
                if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
                    count = _ARGUMENTS
            self._positions[kind] = count
        return count

    def _explain(self, kind: str, error: TypeError) -> None:
        """Add the note about the signature to the TypeError that the call itself raised."""
        for name in ("__init__", kind):
            note = self._notes.get(name)
            if note is not None and not outcome.has_user_frame(error.__traceback__):
                error.add_note(note)
                return

    def _inspect_class(self, entrypoint: Any) -> None:
        for name in ("__init__", *KINDS):
            method = _original_init(entrypoint) if name == "__init__" else getattr(entrypoint, name, None)
            if not inspect.isfunction(method):
                continue
            method = inspect.unwrap(method)
            arguments = 2 if name == "__init__" else _ARGUMENTS
            signature = _wrong_signature(method, arguments, relaxed=name == "fetch")
            if signature is None:
                continue
            self._notes[name] = texts.SIGNATURE_NOTES[name]
            code = method.__code__
            self.warnings.append(
                texts.SIGNATURE.format(
                    where=f"{outcome.shown(code.co_filename)}:{code.co_firstlineno}",
                    signature=f"{entrypoint.__name__}.{name}{signature}",
                    called=_called(name),
                    fix=_SHAPES[name],
                )
            )

    def _explain_nothing(self, module: ModuleType, functions: dict[str, Any]) -> None:
        """There is nothing to call: say why, when the module shows what was meant."""
        unused = [f"on_{kind}" for kind, call in functions.items() if callable(call)]
        others = sorted(name for name in _entrypoints(module) if name != "Default")
        if unused:
            self.warnings.append(texts.LEGACY_OFF.format(names=", ".join(unused), file=self._main))
        elif others:
            self.warnings.append(texts.NO_DEFAULT.format(names=", ".join(others), file=self._main))
        else:
            self.warnings.append(texts.NOTHING_EXPORTED.format(file=self._main))


def _entrypoints(module: ModuleType) -> dict[str, Any]:
    """WorkerEntrypoint subclasses by name: those in `__all__`, else every public name, imported ones included."""
    base = sys.modules["workers"].WorkerEntrypoint
    names = getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]
    found = {}
    for name in names:
        value = getattr(module, name, None)
        if isinstance(value, type) and issubclass(value, base) and value is not base:
            found[name] = value
    return found


def _original_init(entrypoint: Any) -> Any:
    """The user's own `__init__`; the SDK has put a wrapper around it that takes anything."""
    wrapper = entrypoint.__dict__.get("__init__")
    code, cells = getattr(wrapper, "__code__", None), getattr(wrapper, "__closure__", None)
    if code is not None and cells and "original_init" in code.co_freevars:
        return cells[code.co_freevars.index("original_init")].cell_contents
    return wrapper


def _wrong_signature(method: Any, arguments: int, *, relaxed: bool) -> str | None:
    """The signature as text when a call with `self` and so many arguments would raise TypeError."""
    signature = inspect.signature(method)
    given = arguments
    if relaxed:
        places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        given = min(given, max(0, sum(parameter.kind in places for parameter in signature.parameters.values()) - 1))
    try:
        signature.bind(*[None] * (given + 1))
    except TypeError:
        return str(signature)
    return None


def _called(name: str) -> str:
    shape = _SHAPES[name]
    note = " with env and ctx None" if name in ("queue", "scheduled") else ""
    return shape.removeprefix("async ").removeprefix("def ").replace("self, ", "") + note
