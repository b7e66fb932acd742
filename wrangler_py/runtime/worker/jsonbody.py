"""The body of a message as JSON: what JSON.stringify gives for the value after the SDK has carried it to JavaScript.

Plain values, which are nearly all, go straight to the standard library's encoder. Everything else takes the way that it
takes on Cloudflare: the SDK's `python_to_rpc`, then JSON.stringify.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from . import texts
from .shims.js.core import js_error
from .shims.js.numbers import MAX_NUMBER

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False, allow_nan=False).encode

_SIMPLE = frozenset((str, bool, type(None)))
_DIGITS = frozenset("0123456789")


def is_plain(value: Any) -> bool:
    """Whether the standard library writes `value` exactly as JSON.stringify would.

    Raises RecursionError for a structure that contains itself.
    """
    kind = type(value)
    if kind in _SIMPLE:
        return True
    if kind is int:
        return -MAX_NUMBER <= value <= MAX_NUMBER
    if kind is float:
        # Both write such a float alike; JavaScript writes 1.0 as 1 and has other limits for exponents.
        return 1e-4 <= (value if value >= 0 else -value) < 1e16 and not value.is_integer()
    if isinstance(value, dict):
        for key, item in value.items():
            # JavaScript puts keys that look like array indices first.
            if type(key) is not str or key[:1] in _DIGITS:
                return False
            if type(item) not in _SIMPLE and not is_plain(item):
                return False
        return True
    if isinstance(value, list):
        for item in value:  # noqa: SIM110  (all() with a generator takes twice as long)
            if type(item) not in _SIMPLE and not is_plain(item):
                return False
        return True
    return False


def encode_plain(value: Any) -> bytes | None:
    """The JSON of a plain value, or None when it has to take the long way."""
    try:
        if is_plain(value):
            return _encode(value).encode()
    except (RecursionError, UnicodeEncodeError):  # a circle; a lone surrogate
        pass
    return None


def to_js_value(value: Any) -> Any:
    """A Python value as the SDK hands it to a binding. Raises the SDK's TypeError for what RPC cannot carry, and the
    RecursionError that the SDK runs into with a circle, with the reason in it."""
    try:
        return sys.modules["workers.rpc"].python_to_rpc(value)
    except RecursionError as error:
        raise RecursionError(texts.CIRCULAR) from error


def encode_js(value: Any, warn: Callable[[str], None]) -> bytes:
    """The JSON of a JavaScript value. Raises JavaScript's TypeError for a bigint, a circle and a function.

    `warn` is told the type of a Python object that has no JSON form and is stored as {}.
    """
    from .shims.js.jsjson import stringify

    text = stringify(value)
    if text is None:
        # workerd stores the text "undefined" here, which no consumer can read.
        raise js_error("TypeError", "Message body cannot be undefined")
    for lost in _lost(value):
        warn(f"{type(lost).__module__}.{type(lost).__qualname__}")
    return utf8(text)


def _lost(value: Any) -> list[Any]:
    from .shims.js.arrays import Array
    from .shims.js.convert import unwrap
    from .shims.js.core import JsObject, JsProxy

    value = unwrap(value)
    if isinstance(value, Array):
        return [lost for item in value for lost in _lost(item)]
    if isinstance(value, JsObject):
        return [lost for item in value._props.values() for lost in _lost(item)]
    if isinstance(value, (JsProxy, str, int, float, dict, list, range, bytes)) or not value or callable(value):
        return []
    return [value]


def utf8(text: str) -> bytes:
    """Text as JavaScript hands it out: surrogate pairs are joined, a lone one becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
