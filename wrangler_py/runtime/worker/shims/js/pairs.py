"""What FormData and URLSearchParams have in common: names with values, in the order in which they were added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .arrays import JsIterator, make_array
from .collections import JsMap
from .convert import js_string
from .core import jsnull


class JsPairs(JsMap):
    """A list of pairs; a name may be in it more than once."""

    __slots__ = ("_list",)
    _list: list[tuple[str, Any]]

    def get(self, name: Any, *default: Any) -> Any:
        key = js_string(name)
        return next((value for seen, value in self._list if seen == key), default[0] if default else jsnull)

    def getAll(self, name: Any) -> Any:
        key = js_string(name)
        return make_array([value for seen, value in self._list if seen == key])

    def entries(self) -> JsIterator:
        return JsIterator.new(make_array([name, value]) for name, value in list(self._list))

    def keys(self) -> JsIterator:
        return JsIterator.new(name for name, _ in list(self._list))

    def values(self) -> JsIterator:
        return JsIterator.new(value for _, value in list(self._list))

    def forEach(self, call: Callable) -> None:
        for name, value in list(self._list):
            call(value, name, self)

    def _own_entries(self) -> list[tuple[str, Any]]:
        return []
