"""Map and Set, and the LiteralMap that Pyodide makes of a dict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .arrays import JsIterable, JsIterator, make_array
from .core import ordered

_MISSING = object()


class JsMap(JsIterable):
    """Anything that reads like a dict (pyodide.ffi.JsMap)."""

    __slots__ = ()
    __module__ = "pyodide.ffi"


class JsMutableMap(JsMap):
    """Anything that reads and is written like a dict (pyodide.ffi.JsMutableMap)."""

    __slots__ = ()
    __module__ = "pyodide.ffi"


def _key(value: Any) -> Any:
    """A dict key with JavaScript's identity: True is not 1, and an object is only itself."""
    kind = type(value)
    if kind is bool:
        return (bool, value)
    if kind is float and value != value:
        return (float, "NaN")
    if kind in (str, int, float) or value is None:
        return value
    return (object, id(value))


class Map(JsMutableMap):
    __slots__ = ("_data",)

    def __init__(self, entries: Any = None) -> None:
        self._data: dict[Any, tuple[Any, Any]] = {}
        for pair in entries or ():
            self.set(pair[0], pair[1])

    def _entries(self) -> list[tuple[Any, Any]]:
        return list(self._data.values())

    # --- JavaScript's side -------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        return len(self._data)

    def set(self, key: Any, value: Any) -> Map:
        self._data[_key(key)] = (key, value)
        return self

    def has(self, key: Any) -> bool:
        return _key(key) in self._data

    def delete(self, key: Any) -> bool:
        return self._data.pop(_key(key), None) is not None

    def entries(self) -> JsIterator:
        return JsIterator.new(make_array([key, value]) for key, value in self._entries())

    def forEach(self, call: Callable) -> None:
        for key, value in self._entries():
            call(value, key, self)

    # --- Python's side -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def __iter__(self) -> Iterator[Any]:
        return iter([key for key, _ in self._entries()])

    def __contains__(self, key: Any) -> bool:
        return self.has(key)

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._data[_key(key)][1]
        except KeyError:
            raise KeyError(key) from None

    def __setitem__(self, key: Any, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: Any) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def get(self, key: Any, default: Any = None) -> Any:
        return self._data.get(_key(key), (None, default))[1]

    def keys(self) -> Any:
        return dict.fromkeys(self).keys() if _plain(self) else list(self)

    def values(self) -> Any:
        return [value for _, value in self._entries()]

    def items(self) -> Any:
        return self._entries()

    def pop(self, key: Any, default: Any = _MISSING) -> Any:
        found = self._data.pop(_key(key), None)
        if found is not None:
            return found[1]
        if default is _MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[Any, Any]:
        return self._data.popitem()[1]

    def setdefault(self, key: Any, default: Any = None) -> Any:
        return self._data.setdefault(_key(key), (key, default))[1]

    def clear(self) -> None:
        self._data.clear()

    def update(self, other: Any = (), **keywords: Any) -> None:
        pairs = ((key, other[key]) for key in other.keys()) if hasattr(other, "keys") else other  # noqa: SIM118
        for key, value in pairs:
            self.set(key, value)
        for name, value in keywords.items():
            self.set(name, value)


def _plain(items: Map) -> bool:
    return all(isinstance(key, (str, int, float)) for key in items)


class LiteralMap(Map):
    """What `to_js(dict)` gives before Pyodide 314: a Map whose text keys are properties too."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        found = self._data.get(name) if name != "_data" else None
        if found is None:
            raise AttributeError(name)
        return found[1]

    def _own_entries(self) -> list[tuple[str, Any]]:
        return ordered({key: value for key, value in self._entries() if isinstance(key, str)})

    def toString(self) -> str:
        return "[object Map]"


class Set(JsIterable):
    __slots__ = ("_data",)

    def __init__(self, items: Any = None) -> None:
        self._data: dict[Any, Any] = {}
        for item in items or ():
            self.add(item)

    @property
    def size(self) -> int:
        return len(self._data)

    def add(self, value: Any) -> Set:
        self._data.setdefault(_key(value), value)
        return self

    def has(self, value: Any) -> bool:
        return _key(value) in self._data

    def delete(self, value: Any) -> bool:
        return self._data.pop(_key(value), _MISSING) is not _MISSING

    def clear(self) -> None:
        self._data.clear()

    def values(self) -> JsIterator:
        return JsIterator.new(iter(self))

    keys = values

    def entries(self) -> JsIterator:
        return JsIterator.new(make_array([item, item]) for item in self)

    def forEach(self, call: Callable) -> None:
        for item in list(self):
            call(item, item, self)

    def __len__(self) -> int:
        return len(self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._data.values()))

    def __contains__(self, value: Any) -> bool:
        return self.has(value)
