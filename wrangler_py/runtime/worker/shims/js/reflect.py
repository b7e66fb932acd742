"""Reflect, Symbol, WeakMap, WeakSet and `process`: names that library code looks at."""

from __future__ import annotations

import os
import sys
from typing import Any

from .arrays import make_array
from .collections import Map, Set
from .convert import js_string, unwrap
from .core import Function, JsObject, JsProxy, function, make_object, own_entries, raise_js


class WeakMap(Map):
    """A Map that holds its keys: nothing here is collected early."""

    __slots__ = ()


class WeakSet(Set):
    __slots__ = ()


class SymbolValue(JsProxy):
    __slots__ = ("description",)
    _js_name = "Symbol"

    def __init__(self, description: Any = None) -> None:
        self.description = description

    @property
    def typeof(self) -> str:
        return "symbol"

    def toString(self) -> str:
        return f"Symbol({'' if self.description is None else js_string(self.description)})"


_registered: dict[str, SymbolValue] = {}


def _symbol(description: Any = None) -> SymbolValue:
    return SymbolValue.new(description)


def _symbol_for(key: Any = None) -> SymbolValue:
    name = js_string(key)
    return _registered.setdefault(name, SymbolValue.new(name))


Symbol = Function.new(_symbol, "Symbol")
Symbol.for_ = function(_symbol_for)
for _name in ("iterator", "asyncIterator", "toPrimitive", "toStringTag", "hasInstance", "dispose", "asyncDispose"):
    setattr(Symbol, _name, SymbolValue.new(f"Symbol.{_name}"))


class ReflectObject(JsProxy):
    _js_name = "Reflect"

    def ownKeys(self, target: Any) -> Any:
        return make_array([key for key, _ in own_entries(unwrap(target))])

    def has(self, target: Any, name: Any) -> bool:
        return hasattr(unwrap(target), js_string(name))

    def get(self, target: Any, name: Any, *_receiver: Any) -> Any:
        return getattr(unwrap(target), js_string(name), None)

    def set(self, target: Any, name: Any, value: Any) -> bool:
        setattr(unwrap(target), js_string(name), value)
        return True

    def deleteProperty(self, target: Any, name: Any) -> bool:
        target = unwrap(target)
        if isinstance(target, JsObject):
            target._props.pop(js_string(name), None)
        return True

    def apply(self, target: Any, _this: Any, args: Any) -> Any:
        return target(*args)

    def construct(self, target: Any, args: Any = (), *_new_target: Any) -> Any:
        return target.new(*args)


Reflect = ReflectObject.new()


def _proxy(*_args: Any) -> Any:
    raise_js("Error", "wpy does not emulate js.Proxy: write a Python class with __getattr__ instead.")


Proxy = Function.new(_proxy, "Proxy")


def _process() -> Any:
    """`process` of the flag nodejs_compat: what libraries read of it."""
    helper = sys.modules.get("_pyodide_entrypoint_helper")
    env = getattr(helper, "env", None)
    texts = {name: value for name, value in getattr(env, "_props", {}).items() if isinstance(value, str)}
    return make_object(
        {
            "env": make_object(texts),
            "platform": "linux",
            "arch": "x64",
            "version": "v22.19.0",
            "versions": make_object({"node": "22.19.0"}),
            "argv": make_array([]),
            "pid": 1,
            "cwd": Function.new(lambda: os.sep + "bundle", "cwd"),
            "nextTick": Function.new(_next_tick, "nextTick"),
        }
    )


def _next_tick(call: Any, *args: Any) -> None:
    import asyncio

    asyncio.get_running_loop().call_soon(lambda: call(*args))


process = _process()
