"""What the bindings have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..shims.js.convert import js_string
from ..shims.js.core import JsException, JsObject, JsProxy, js_error, jsnull

#: Sends a CALL of (binding, method, args) and returns the future of its REPLY.
Caller = Callable[[str, str, tuple[Any, ...]], asyncio.Future]


class Binding(JsProxy):
    """A binding's object, or one that it gave."""

    def __init__(self, name: str, call: Caller) -> None:
        self._name = name
        self._send = call

    @classmethod
    def _make(cls, *args: Any) -> Any:
        """An object of this class; code cannot construct one with `new`."""
        return type.__call__(cls, *args)

    def _ask(self, method: str, *args: Any) -> asyncio.Future:
        return self._send(self._name, method, args)

    def _own_entries(self) -> list[tuple[str, Any]]:
        return []


def missing(value: Any) -> bool:
    """Whether an option is not given: undefined, or null."""
    return value is None or value is jsnull


def plain_text(value: Any) -> str:
    """`String(value)` as it is stored: what is no Unicode becomes U+FFFD."""
    text = js_string(value)
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def is_text(value: Any) -> bool:
    """Whether JavaScript takes a value for text: a string, or a primitive that becomes one."""
    return isinstance(value, (str, int, float)) or value is jsnull


def not_of_type(call: str, on: str, parameter: int, kinds: str) -> JsException:
    """workerd's complaint about an argument."""
    return js_error(
        "TypeError", f"Failed to execute '{call}' on '{on}': parameter {parameter} is not of type '{kinds}'."
    )


def is_options(value: Any) -> bool:
    """Whether a value can be an options object."""
    return isinstance(value, (JsProxy, dict)) or missing(value)


def entries(value: Any) -> list[tuple[str, Any]]:
    """The properties of an options object."""
    from ..shims.js.core import own_entries

    return own_entries(value) if isinstance(value, (JsObject, dict, JsProxy)) else []
