"""Array: JavaScript's, with Python's protocol of a list on top, as Pyodide's JsArray has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .array_methods import ArrayMethods
from .core import JsProxy, raise_js


class JsIterable(JsProxy):
    """Anything with `Symbol.iterator` (pyodide.ffi.JsIterable)."""

    __slots__ = ()
    __module__ = "pyodide.ffi"


class JsIterator(JsIterable):
    """A JavaScript iterator: `next()` gives `{done, value}`; Python iterates over the values."""

    __slots__ = ("_source",)
    __module__ = "pyodide.ffi"
    _js_name = "Iterator"

    def __init__(self, source: Iterable[Any]) -> None:
        self._source = iter(source)

    def __iter__(self) -> Iterator[Any]:
        return self._source

    def __next__(self) -> Any:
        return next(self._source)

    def next(self, _value: Any = None) -> Any:
        from .core import make_object

        for value in self._source:
            return make_object({"done": False, "value": value})
        return make_object({"done": True, "value": None})


class JsArray(JsIterable):
    """An Array or a typed array (pyodide.ffi.JsArray)."""

    __slots__ = ()
    __module__ = "pyodide.ffi"


class Array(ArrayMethods, JsArray):
    __slots__ = ("_items",)
    _items: list[Any]

    def _same(self, items: list[Any]) -> Array:
        return make_array(items)

    def _list(self) -> list[Any]:
        return list(self._items)

    def __init__(self, *items: Any) -> None:
        if len(items) == 1 and isinstance(items[0], (int, float)) and not isinstance(items[0], bool):
            if items[0] != int(items[0]) or not 0 <= items[0] < 2**32:
                raise_js("RangeError", "Invalid array length")
            self._items = [None] * int(items[0])
        else:
            self._items = list(items)

    @classmethod
    def _js_call(cls, *items: Any) -> Any:
        return cls.new(*items)

    @staticmethod
    def of(*items: Any) -> Array:
        return make_array(list(items))

    @staticmethod
    def isArray(value: Any) -> bool:
        return isinstance(value, Array)

    @staticmethod
    def from_(source: Any, convert: Callable | None = None) -> Array:
        """`Array.from(iterable or array-like, mapper)`."""
        if hasattr(source, "__iter__"):
            items = list(source)
        else:
            from .core import option

            items = [option(source, str(index)) for index in range(int(option(source, "length") or 0))]
        return make_array([convert(item, index) for index, item in enumerate(items)] if convert else items)

    # --- Python's side -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        return bool(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._items)

    def __contains__(self, value: Any) -> bool:
        return value in self._items

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return make_array(self._items[key])
        if not isinstance(key, int):
            raise TypeError(f"list indices must be integers or slices, not {type(key).__name__}")
        try:
            return self._items[key]
        except IndexError:
            raise IndexError(key) from None

    def __setitem__(self, key: Any, value: Any) -> None:
        self._items[key] = list(value) if isinstance(key, slice) else value

    def __delitem__(self, key: Any) -> None:
        del self._items[key]

    def __add__(self, other: Iterable[Any]) -> Array:
        return make_array([*self._items, *other])

    def __iadd__(self, other: Iterable[Any]) -> Array:
        self._items.extend(other)
        return self

    def __mul__(self, times: int) -> Array:
        return make_array(self._items * times)

    def append(self, value: Any) -> None:
        self._items.append(value)

    def extend(self, values: Iterable[Any]) -> None:
        self._items.extend(values)

    def insert(self, index: int, value: Any) -> None:
        self._items.insert(index, value)

    def index(self, value: Any, *bounds: int) -> int:
        return self._items.index(value, *bounds)

    def count(self, value: Any) -> int:
        return self._items.count(value)

    def remove(self, value: Any) -> None:
        self._items.remove(value)

    def pop(self, index: int = -1) -> Any:
        return self._items.pop(index)

    def reverse(self) -> None:
        self._items.reverse()

    # --- JavaScript's side -------------------------------------------------------------------------------------

    @property
    def length(self) -> int:
        return len(self._items)

    @length.setter
    def length(self, size: int) -> None:
        del self._items[size:]
        self._items.extend([None] * (size - len(self._items)))

    def toString(self) -> str:
        return self.join(",")

    def _own_entries(self) -> list[tuple[str, Any]]:
        return [(str(index), item) for index, item in enumerate(self._items)]

    def push(self, *values: Any) -> int:
        self._items.extend(values)
        return len(self._items)

    def shift(self) -> Any:
        return self._items.pop(0) if self._items else None

    def unshift(self, *values: Any) -> int:
        self._items[:0] = values
        return len(self._items)

    def slice(self, start: int | None = None, end: int | None = None) -> Array:
        return make_array(self._items[start:end])

    def splice(self, start: int, count: int | None = None, *values: Any) -> Array:
        size = len(self._items)
        start = max(size + start, 0) if start < 0 else min(start, size)
        end = size if count is None else min(size, start + max(0, count))
        removed = self._items[start:end]
        self._items[start:end] = values
        return make_array(removed)

    def concat(self, *others: Any) -> Array:
        items = list(self._items)
        for other in others:
            items.extend(other._items if isinstance(other, Array) else [other])
        return make_array(items)

    def join(self, separator: str = ",") -> str:
        from .convert import js_string
        from .core import jsnull

        return separator.join("" if item is None or item is jsnull else js_string(item) for item in self._items)

    def entries(self) -> JsIterator:
        return JsIterator.new(make_array([index, item]) for index, item in enumerate(self._items))

    def flat(self, depth: int = 1) -> Array:
        flat: list[Any] = []
        for item in self._items:
            flat.extend(item.flat(depth - 1)._items if isinstance(item, Array) and depth > 0 else [item])
        return make_array(flat)

    def flatMap(self, call: Callable) -> Array:
        return self.map(call).flat()

    def toSpliced(self, start: int, count: int | None = None, *values: Any) -> Array:
        made = make_array(list(self._items))
        made.splice(start, count, *values)
        return made

    def values(self) -> JsIterator:
        return JsIterator.new(iter(self._items))

    def fill(self, value: Any, start: int = 0, end: int | None = None) -> Array:
        for index in range(*slice(start, end).indices(len(self._items))):
            self._items[index] = value
        return self

    def sort(self, compare: Callable | None = None) -> Array:
        self._items[:] = self._sorted(compare)
        return self


def make_array(items: list[Any]) -> Array:
    """An array that owns `items`."""
    made = Array.__new__(Array)
    made._items = items
    return made


# `Array.from` is a keyword in Python: Pyodide spells it `from_`, and `getattr(Array, "from")` works too.
type.__setattr__(Array, "from", Array.from_)
