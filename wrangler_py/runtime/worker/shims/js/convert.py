"""`to_js` and `to_py`, and a value's text: how values cross between Python and JavaScript (pyodide.ffi)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .arrays import Array, make_array
from .buffers import ArrayBuffer, BufferView, typed_array_of
from .collections import LiteralMap, Map, Set
from .core import Function, JsException, JsObject, JsProxy, jsnull, make_object, own_entries
from .numbers import is_bigint, number_text

#: What a dict becomes without a `dict_converter`: a plain object from Pyodide 314 on, before that a Map whose entries
#: are readable as properties too. Set from the worker's compatibility date.
dicts_become_objects = False

_PRIMITIVES = (str, int, float, bool, type(None), type(jsnull))


class ConversionError(Exception):
    """A value has no counterpart on the other side (pyodide.ffi.ConversionError)."""

    __module__ = "pyodide.ffi"


def js_string(value: Any) -> str:
    """`String(value)`."""
    if isinstance(value, str):
        return value
    if value is None:
        return "undefined"
    if value is jsnull:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float):
        return number_text(value)
    return str(value)


def js_typeof(value: Any) -> str:
    """`typeof value`."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "bigint" if is_bigint(value) else "number"
    if isinstance(value, float):
        return "number"
    if isinstance(value, JsProxy):
        return value.typeof
    return "function" if callable(value) else "object"


class JsDoubleProxy(JsProxy):
    """A Python object that JavaScript holds, seen from Python again (pyodide.ffi.JsDoubleProxy)."""

    __slots__ = ("_alive", "_target")
    __module__ = "pyodide.ffi"
    _js_name = "PyProxy"

    def __init__(self, target: Any) -> None:
        self._target = target
        self._alive = True

    def unwrap(self) -> Any:
        """The Python object itself."""
        self._check()
        return self._target

    def destroy(self) -> None:
        """Let go of the Python object. Any use after that is an error, as in Pyodide."""
        self._alive = False
        self._target = None

    def copy(self) -> JsDoubleProxy:
        return JsDoubleProxy.new(self.unwrap())

    def getBuffer(self) -> Any:
        """The memory of a Python buffer: `.data` is a typed array over it, `.release()` gives it back."""
        self._check()
        return make_object({"data": typed_array_of(self._target), "release": Function.new(lambda: None, "release")})

    def _check(self) -> None:
        if not self._alive:
            from .core import raise_js

            raise_js("Error", "Object has already been destroyed")

    @property
    def typeof(self) -> str:
        return "function" if callable(self._target) else "object"

    def toString(self) -> str:
        self._check()
        return str(self._target)

    def __getattr__(self, name: str) -> Any:
        self._check()
        target = self._target
        if isinstance(target, dict) and name in target:
            return target[name]
        if name == "length" and hasattr(target, "__len__"):
            return len(target)
        return getattr(target, name)

    def __getitem__(self, key: Any) -> Any:
        self._check()
        return self._target[key]

    def __iter__(self) -> Any:
        self._check()
        return iter(self._target)

    def __len__(self) -> int:
        self._check()
        return len(self._target)

    def __bool__(self) -> bool:
        return True

    def __await__(self) -> Any:
        self._check()
        return self._target.__await__()


class JsCallableDoubleProxy(JsDoubleProxy):
    """A Python callable that JavaScript holds."""

    __slots__ = ("_capture_this", "_once")
    __module__ = "pyodide.ffi"

    def __init__(self, target: Any, once: bool = False) -> None:
        super().__init__(target)
        self._once = once

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if not self._alive and self._once:
            from .core import raise_js

            raise_js("Error", "OnceProxy can only be called once")
        target = self.unwrap()
        if self._once:
            self.destroy()
        return target(*args, **keywords)


def create_proxy(obj: Any, /, *, capture_this: bool = False, roundtrip: bool = True) -> Any:
    """A proxy of a Python object whose life the caller controls with `destroy()`."""
    return (JsCallableDoubleProxy if callable(obj) else JsDoubleProxy).new(obj)


def create_once_callable(obj: Callable, /, **_options: Any) -> Any:
    """A proxy of a callable which may be called once."""
    return JsCallableDoubleProxy.new(obj, True)


def destroy_proxies(pyproxies: Any, /) -> None:
    """Destroy the proxies in a JavaScript array."""
    for proxy in pyproxies:
        if isinstance(proxy, JsDoubleProxy):
            proxy.destroy()


def unwrap(value: Any) -> Any:
    """What JavaScript holds when it is handed `value`: a double proxy is the Python object again."""
    return value.unwrap() if isinstance(value, JsDoubleProxy) else value


def to_js(
    obj: Any,
    /,
    *,
    depth: int = -1,
    pyproxies: Any = None,
    create_pyproxies: bool = True,
    dict_converter: Callable | None = None,
    default_converter: Callable | None = None,
    eager_converter: Callable | None = None,
) -> Any:
    """`obj` as a JavaScript value: lists, tuples, dicts, sets and buffers are copied, other objects become proxies.

    Raises ConversionError for what cannot be converted: a dict key that is no primitive, or with `create_pyproxies`
    False any object that would need a proxy.
    """
    if isinstance(obj, (*_PRIMITIVES, JsProxy)) and eager_converter is None:
        return obj
    made: dict[int, Any] = {}

    def cache(value: Any, converted: Any) -> None:
        made[id(value)] = converted

    def convert(value: Any) -> Any:
        return walk(value, depth)

    def walk(value: Any, left: int) -> Any:
        if eager_converter is not None:
            return eager_converter(value, lambda inner: plain(inner, left), cache)
        return plain(value, left)

    def plain(value: Any, left: int) -> Any:
        kind = type(value)
        if kind in _PRIMITIVES or isinstance(value, JsProxy):
            return value
        if id(value) in made:
            return made[id(value)]
        if left == 0:
            return proxy(value)
        if isinstance(value, (list, tuple)):
            array = make_array([])
            made[id(value)] = array
            array._items.extend(walk(item, left - 1) for item in value)
            return array
        if isinstance(value, dict):
            return from_dict(value, left)
        if isinstance(value, set):
            items = Set.new()
            made[id(value)] = items
            for item in value:
                items.add(walk(item, left - 1))
            return items
        if isinstance(value, _PRIMITIVES):  # subclasses: an enum member, a str of one's own
            return value
        if (buffer := typed_array_of(value, copy=True)) is not None:
            return buffer
        if default_converter is not None:
            return default_converter(value, convert, cache)
        return proxy(value)

    def from_dict(value: dict, left: int) -> Any:
        for key in value:
            if not isinstance(key, _PRIMITIVES):
                raise ConversionError(f"Cannot use {key!r} as a key for a Javascript Map")
        if dict_converter is object_from_entries or (dict_converter is None and dicts_become_objects):
            props: dict[str, Any] = {}
            result: Any = make_object(props)
            made[id(value)] = result
            for key, item in value.items():
                props[js_string(key)] = walk(item, left - 1)
            return result
        if dict_converter is None:
            result = LiteralMap.new()
            made[id(value)] = result
            for key, item in value.items():
                result.set(key, walk(item, left - 1))
            return result
        return dict_converter(make_array([make_array([key, walk(item, left - 1)]) for key, item in value.items()]))

    def proxy(value: Any) -> Any:
        if not create_pyproxies:
            raise ConversionError("No conversion known for x.")
        if pyproxies is not None:
            pyproxies.push(create_proxy(value))
        return value  # inside of a JavaScript object a Python object stands for its proxy

    result = walk(obj, depth)
    return result if isinstance(result, (*_PRIMITIVES, JsProxy)) else create_proxy(result)


def to_py(obj: Any, *, depth: int = -1, default_converter: Callable | None = None) -> Any:
    """A JavaScript value as plain Python: arrays, objects, maps, sets and buffers are converted, the rest is kept."""
    made: dict[int, Any] = {}

    def cache(value: Any, converted: Any) -> None:
        made[id(value)] = converted

    def convert(value: Any) -> Any:
        return walk(value, depth)

    def walk(value: Any, left: int) -> Any:
        if not isinstance(value, JsProxy) or left == 0:
            return value
        if id(value) in made:
            return made[id(value)]
        result: Any
        if isinstance(value, Array):
            result = made[id(value)] = []
            result.extend(walk(item, left - 1) for item in value._items)
            return result
        if isinstance(value, Map):
            result = made[id(value)] = {}
            for key, item in value._entries():
                result[hashable(key, left)] = walk(item, left - 1)
            return result
        if isinstance(value, Set):
            result = made[id(value)] = set()
            result.update(hashable(item, left) for item in value)
            return result
        if isinstance(value, (ArrayBuffer, BufferView)):
            return value.to_memoryview()
        if type(value) is JsObject:
            result = made[id(value)] = {}
            for key, item in own_entries(value):
                result[key] = walk(item, left - 1)
            return result
        if isinstance(value, JsDoubleProxy):
            return value.unwrap()
        if default_converter is not None:
            return default_converter(value, convert, cache)
        return value

    def hashable(value: Any, left: int) -> Any:
        converted = walk(value, left - 1)
        try:
            hash(converted)
        except TypeError:
            raise ConversionError(f"Cannot use {converted!r} as a key for a Python dict") from None
        return converted

    return walk(obj, depth)


def _from_entries(entries: Any = None) -> Any:
    """`Object.fromEntries(iterable)`."""
    if isinstance(entries, Map):
        entries = entries._entries()
    return make_object({js_string(pair[0]): pair[1] for pair in entries})


object_from_entries = Function.new(_from_entries, "fromEntries")

__all__ = ["ConversionError", "JsException", "create_proxy", "to_js", "to_py"]
