"""`console`: lines of the event that prints them, with console's levels."""

from __future__ import annotations

import time
from typing import Any

from ... import logs
from .arrays import Array
from .buffers import TypedArray
from .collections import Map, Set
from .convert import js_string, unwrap
from .core import Function, JsException, JsObject, JsProxy, jsnull, own_entries

_LEVELS = {
    "log": "log",
    "info": "info",
    "warn": "warn",
    "error": "error",
    "debug": "debug",
    "trace": "log",
    "dir": "log",
}

#: How deep objects are shown, as in workerd and Node.
_DEPTH = 2


def inspect(value: Any, depth: int = 0) -> str:
    """A value as console.log shows it inside of an object."""
    value = unwrap(value)
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, JsException) or not isinstance(value, JsProxy):
        return js_string(value) if value is None or value is jsnull or isinstance(value, (bool, float)) else str(value)
    if isinstance(value, Array):
        return "[Array]" if depth > _DEPTH else _block("[", [inspect(item, depth + 1) for item in value], "]")
    if isinstance(value, (Map, Set)):
        items = (
            [f"{inspect(key, depth + 1)} => {inspect(item, depth + 1)}" for key, item in value._entries()]
            if isinstance(value, Map)
            else [inspect(item, depth + 1) for item in value]
        )
        return f"{value.constructor.name}({len(value)}) " + _block("{", items, "}")
    if isinstance(value, TypedArray):
        return f"{value.constructor.name}({len(value)}) " + _block("[", [str(item) for item in value], "]")
    if value.typeof == "function":
        return f"[Function: {getattr(value, 'name', '')}]"
    if type(value) is not JsObject:
        return value.toString() if not own_entries(value) else f"{value.constructor.name} {_fields(value, depth)}"
    return "[Object]" if depth > _DEPTH else _fields(value, depth)


def _fields(value: Any, depth: int) -> str:
    return _block("{", [f"{key}: {inspect(item, depth + 1)}" for key, item in own_entries(value)], "}")


def _block(start: str, items: list[str], end: str) -> str:
    return f"{start} {', '.join(items)} {end}" if items else start + end


def _line(args: tuple[Any, ...]) -> str:
    return " ".join(arg if isinstance(arg, str) else inspect(arg) for arg in args)


class Console(JsProxy):
    _js_name = "console"

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._timers: dict[str, float] = {}
        for method, level in _LEVELS.items():
            self.__dict__[method] = Function.new(self._printer(level), method)

    def _printer(self, level: str) -> Any:
        return lambda *args: logs.emit(level, _line(args))

    def assert_(self, condition: Any = False, *args: Any) -> None:
        if not condition:
            logs.emit("error", "Assertion failed" + (": " + _line(args) if args else ""))

    def count(self, label: Any = "default") -> None:
        self._counts[label] = self._counts.get(label, 0) + 1
        logs.emit("log", f"{label}: {self._counts[label]}")

    def time(self, label: Any = "default") -> None:
        self._timers[label] = time.monotonic()

    def timeEnd(self, label: Any = "default") -> None:
        started = self._timers.pop(label, None)
        if started is not None:
            logs.emit("log", f"{label}: {(time.monotonic() - started) * 1000:.3f}ms")

    def table(self, data: Any = None, *_columns: Any) -> None:
        logs.emit("log", inspect(data))

    def group(self, *args: Any) -> None:
        if args:
            logs.emit("log", _line(args))

    def groupEnd(self) -> None:
        """Groups are not indented."""


console = Console.new()
