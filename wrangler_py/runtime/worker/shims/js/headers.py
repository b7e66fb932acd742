"""Headers. Error texts are workerd's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from .arrays import JsIterator, make_array
from .collections import JsMap
from .convert import js_string
from .core import JsProxy, jsnull, make_object, own_entries, raise_js

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_BAD_VALUE = re.compile(r"[\0\r\n]")
_SPACE = " \t\r\n"

_BAD_SEQUENCE = "To initialize a Headers object from a sequence, each inner sequence must have exactly two elements."
_NO_SEQUENCE = "Incorrect type: the provided value is not of type 'Sequence'."
_BAD_INIT = "Failed to construct 'Headers': constructor parameter 1 is not of type 'Headers or Sequence or object'."
_GET_ALL = 'getAll() can only be used with the header name "Set-Cookie".'


class Headers(JsMap):
    __slots__ = ("_list",)
    #: (lower-case name, name as written, value), in the order they were added.
    _list: list[tuple[str, str, str]]

    def __init__(self, init: Any = None, **fields: Any) -> None:
        self._list = []
        if fields:
            init = make_object(fields)
        if init is None:
            return
        if isinstance(init, Headers):
            self._list = list(init._list)
        elif isinstance(init, (str, int, float)) or init is jsnull:
            raise_js("TypeError", _BAD_INIT)
        elif not hasattr(init, "__iter__"):
            for name, value in own_entries(init):
                self.append(name, value)
        else:  # a Python dict as well: JavaScript sees something iterable, which gives the keys alone
            for pair in init:
                if isinstance(pair, str):
                    raise_js("TypeError", _NO_SEQUENCE)
                try:
                    name, value = pair
                except (ValueError, TypeError):
                    raise_js("TypeError", _BAD_SEQUENCE)
                self.append(name, value)

    def append(self, name: Any, value: Any) -> None:
        name = _checked_name(name)
        self._list.append((name.lower(), name, _checked_value(value)))

    def set(self, name: Any, value: Any) -> None:
        name = _checked_name(name)
        lower = name.lower()
        entry = (lower, name, _checked_value(value))
        for index, (seen, _, _) in enumerate(self._list):
            if seen == lower:
                self._list[index:] = [entry, *(item for item in self._list[index + 1 :] if item[0] != lower)]
                return
        self._list.append(entry)

    def get(self, name: Any, *default: Any) -> Any:
        lower = _checked_name(name).lower()
        values = [value for seen, _, value in self._list if seen == lower]
        if not values:
            return default[0] if default else jsnull
        return values[0] if len(values) == 1 else ", ".join(values)

    def has(self, name: Any) -> bool:
        lower = _checked_name(name).lower()
        return any(seen == lower for seen, _, _ in self._list)

    def delete(self, name: Any) -> None:
        lower = _checked_name(name).lower()
        self._list = [item for item in self._list if item[0] != lower]

    def getSetCookie(self) -> Any:
        return make_array([value for seen, _, value in self._list if seen == "set-cookie"])

    def getAll(self, name: Any) -> Any:
        if js_string(name).lower() != "set-cookie":
            raise_js("TypeError", _GET_ALL)
        return self.getSetCookie()

    def _pairs(self) -> list[tuple[str, str]]:
        """By name, values of one name joined; each Set-Cookie by itself."""
        joined: dict[str, list[str]] = {}
        for lower, _, value in self._list:
            joined.setdefault(lower, []).append(value)
        pairs = []
        for lower in sorted(joined):
            values = joined[lower]
            pairs += [(lower, value) for value in values] if lower == "set-cookie" else [(lower, ", ".join(values))]
        return pairs

    def entries(self) -> JsIterator:
        return JsIterator.new(make_array(list(pair)) for pair in self._pairs())

    def keys(self) -> JsIterator:
        return JsIterator.new(name for name, _ in self._pairs())

    def values(self) -> JsIterator:
        return JsIterator.new(value for _, value in self._pairs())

    def items(self) -> list[tuple[str, str]]:
        return self._pairs()

    def forEach(self, call: Callable) -> None:
        for name, value in self._pairs():
            call(value, name, self)

    def _own_entries(self) -> list[tuple[str, Any]]:
        return []

    # --- Python's side -----------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        return iter([make_array(list(pair)) for pair in self._pairs()])

    def __contains__(self, name: Any) -> bool:
        return isinstance(name, str) and self.has(name)

    def __getitem__(self, name: Any) -> Any:
        value = self.get(name)
        if value is jsnull:
            raise KeyError(name)
        return value


def make_headers(pairs: list[tuple[str, str]]) -> Headers:
    """Headers of pairs that came over HTTP and need no check."""
    made = Headers.__new__(Headers)
    made._list = [(name.lower(), name, value) for name, value in pairs]
    return made


def headers_of(init: Any) -> Headers:
    """A copy of what an `init.headers` holds."""
    return Headers.new(init) if isinstance(init, (JsProxy, dict, list, tuple)) or init is not None else Headers.new()


def _checked_name(name: Any) -> str:
    text = name if type(name) is str else js_string(name)
    if not _NAME.match(text):
        raise_js("TypeError", "Invalid header name.")
    return text


def _checked_value(value: Any) -> str:
    text = (value if type(value) is str else js_string(value)).strip(_SPACE)
    if _BAD_VALUE.search(text):
        raise_js("TypeError", "Invalid header value.")
    return text
