"""What the bindings have in common."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from ..shims.js.convert import js_string
from ..shims.js.core import JsException, JsProxy, js_error, jsnull, make_object
from ..shims.js.promise import js_async

#: Sends a CALL of (binding, method, args) and returns the future of its REPLY.
Caller = Callable[[str, str, tuple[Any, ...]], asyncio.Future]


def js_method(call: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: a method as JavaScript has it. Keyword arguments become a last argument that is an object; arguments
    beyond those that it takes are ignored. A coroutine function runs without being awaited."""
    code = call.__code__
    most = None if code.co_flags & inspect.CO_VARARGS else code.co_argcount - 1
    run = js_async(call) if inspect.iscoroutinefunction(call) else call

    @wraps(call)
    def wrapper(self: Any, *args: Any, **options: Any) -> Any:
        if options:
            args = (*args, make_object(options))
        return run(self, *args[:most])

    return wrapper


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


def check_unread(stream: Any) -> None:
    """Raise workerd's TypeError for a stream that somebody reads or has read."""
    read = stream._whole is None and stream._state == "closed" and stream._length
    if stream.locked or read:
        raise js_error("TypeError", "The ReadableStream has been locked to a reader.")


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
