"""What arrays and typed arrays have in common beside their storage (ECMAScript 23.1.3 and 23.2.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from .core import raise_js


class ArrayMethods:
    """For a class with `__iter__` and `__len__`; `_same(items)` makes another array of the same kind."""

    __slots__ = ()

    def _same(self, items: list[Any]) -> Any:
        raise NotImplementedError

    def _list(self) -> list[Any]:
        return list(self)  # type: ignore[call-overload]

    def at(self, index: int = 0) -> Any:
        items = self._list()
        return items[index] if -len(items) <= index < len(items) else None

    def includes(self, value: Any) -> bool:
        return value in self._list()

    def indexOf(self, value: Any, start: int = 0) -> int:
        try:
            return self._list().index(value, start)
        except ValueError:
            return -1

    def lastIndexOf(self, value: Any, *start: int) -> int:
        items = self._list()
        last = start[0] if start else len(items) - 1
        last = last + len(items) if last < 0 else min(last, len(items) - 1)
        return next((index for index in range(last, -1, -1) if items[index] == value), -1)

    def forEach(self, call: Callable) -> None:
        for index, item in enumerate(self._list()):
            call(item, index, self)

    def map(self, call: Callable) -> Any:
        return self._same([call(item, index, self) for index, item in enumerate(self._list())])

    def filter(self, call: Callable) -> Any:
        return self._same([item for index, item in enumerate(self._list()) if call(item, index, self)])

    def find(self, call: Callable) -> Any:
        return next((item for index, item in enumerate(self._list()) if call(item, index, self)), None)

    def findIndex(self, call: Callable) -> int:
        return next((index for index, item in enumerate(self._list()) if call(item, index, self)), -1)

    def findLast(self, call: Callable) -> Any:
        found = self.findLastIndex(call)
        return None if found < 0 else self._list()[found]

    def findLastIndex(self, call: Callable) -> int:
        items = self._list()
        return next((index for index in range(len(items) - 1, -1, -1) if call(items[index], index, self)), -1)

    def some(self, call: Callable) -> bool:
        return any(call(item, index, self) for index, item in enumerate(self._list()))

    def every(self, call: Callable) -> bool:
        return all(call(item, index, self) for index, item in enumerate(self._list()))

    def reduce(self, call: Callable, *initial: Any) -> Any:
        return self._fold(call, list(enumerate(self._list())), initial)

    def reduceRight(self, call: Callable, *initial: Any) -> Any:
        return self._fold(call, list(enumerate(self._list()))[::-1], initial)

    def _fold(self, call: Callable, items: list[tuple[int, Any]], initial: tuple[Any, ...]) -> Any:
        if not initial and not items:
            raise_js("TypeError", "Reduce of empty array with no initial value")
        value = initial[0] if initial else items.pop(0)[1]
        for index, item in items:
            value = call(value, item, index, self)
        return value

    def toReversed(self) -> Any:
        return self._same(self._list()[::-1])

    def toSorted(self, compare: Callable | None = None) -> Any:
        return self._same(self._sorted(compare))

    def _sorted(self, compare: Callable | None) -> list[Any]:
        from .convert import js_string

        return sorted(self._list(), key=cmp_to_key(compare) if compare else js_string)

    def with_(self, index: int, value: Any) -> Any:
        items = self._list()
        if not -len(items) <= index < len(items):
            raise_js("RangeError", f"Invalid index : {index}")
        items[index] = value
        return self._same(items)

    def toLocaleString(self, *_options: Any) -> str:
        from .convert import js_string

        return ",".join("" if item is None else js_string(item) for item in self._list())

    def copyWithin(self, target: int, start: int = 0, end: int | None = None) -> Any:
        items = self._list()
        size = len(items)
        copied = items[slice(start, end)]
        at = target + size if target < 0 else target
        for offset, item in enumerate(copied):
            if 0 <= at + offset < size:
                self[at + offset] = item  # type: ignore[index]
        return self


# A keyword in Python: Pyodide spells it `with_`, and getattr(array, "with") works too.
setattr(ArrayMethods, "with", ArrayMethods.with_)
