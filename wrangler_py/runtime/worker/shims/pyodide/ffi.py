"""`pyodide.ffi`: the types of JavaScript values, conversions, and `run_sync`."""

from ...loop import can_run_sync, run_sync
from ..js.arrays import JsArray, JsIterable, JsIterator
from ..js.buffers import JsBuffer
from ..js.buffers import TypedArray as JsTypedArray
from ..js.collections import JsMap, JsMutableMap
from ..js.convert import (
    ConversionError,
    JsCallableDoubleProxy,
    JsDoubleProxy,
    create_once_callable,
    create_proxy,
    destroy_proxies,
    to_js,
)
from ..js.convert import JsCallableDoubleProxy as JsOnceCallable
from ..js.core import JsCallable, JsException, JsNull, JsProxy, jsnull
from ..js.numbers import JsBigInt
from ..js.promise import JsPromise

#: What asks for it asks whether there is a JavaScript side at all.
IN_PYODIDE = True


class JsFetchResponse(JsProxy):
    """For annotations."""

    __slots__ = ()


class JsDomElement(JsProxy):
    """For annotations; Workers have no DOM."""

    __slots__ = ()


JsAsyncIterable = JsAsyncIterator = JsAsyncGenerator = JsGenerator = JsIterator
JsWeakRef = JsProxy


class ToJsConverter:
    """For annotations."""


def register_js_module(name: str, module: object) -> None:
    """Make `import name` give `module`."""
    import sys

    sys.modules[name] = module  # type: ignore[assignment]


def unregister_js_module(name: str) -> None:
    """Undo `register_js_module`. Raises ValueError for a name that was not registered."""
    import sys

    if sys.modules.pop(name, None) is None:
        raise ValueError(f"Cannot unregister {name!r}: no javascript module with that name is registered")


__all__ = [
    "IN_PYODIDE",
    "ConversionError",
    "JsArray",
    "JsAsyncGenerator",
    "JsAsyncIterable",
    "JsAsyncIterator",
    "JsBigInt",
    "JsBuffer",
    "JsCallable",
    "JsCallableDoubleProxy",
    "JsDomElement",
    "JsDoubleProxy",
    "JsException",
    "JsFetchResponse",
    "JsGenerator",
    "JsIterable",
    "JsIterator",
    "JsMap",
    "JsMutableMap",
    "JsNull",
    "JsOnceCallable",
    "JsPromise",
    "JsProxy",
    "JsTypedArray",
    "JsWeakRef",
    "ToJsConverter",
    "can_run_sync",
    "create_once_callable",
    "create_proxy",
    "destroy_proxies",
    "jsnull",
    "register_js_module",
    "run_sync",
    "to_js",
    "unregister_js_module",
]
