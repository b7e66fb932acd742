"""Values as JavaScript sees them, for texts that quote a part of the config the way wrangler does."""

from __future__ import annotations

import datetime
import json
import math
import re
from typing import Any, Literal

JsType = Literal["boolean", "number", "string", "object"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def js_typeof(value: Any) -> JsType:
    """What `typeof` says of a value read from TOML or JSON. Python's `True` is not a number here."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object"


def is_object(value: Any) -> bool:
    """True for what JavaScript calls an object other than null: tables, arrays, TOML dates."""
    return value is not None and js_typeof(value) == "object"


def js_stringify(value: Any) -> str:
    """`JSON.stringify(value)`: no blanks, 1.0 as 1, NaN and infinities as null, TOML dates as strings."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str):
        return _SURROGATE.sub(lambda m: f"\\u{ord(m[0]):04x}", json.dumps(value, ensure_ascii=False))
    if isinstance(value, dict):
        return "{" + ",".join(f"{js_stringify(str(k))}:{js_stringify(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(js_stringify, value)) + "]"
    if isinstance(value, datetime.datetime):
        text = value.isoformat(timespec="milliseconds")
        return js_stringify(text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text)
    if isinstance(value, datetime.time):
        return js_stringify(value.isoformat(timespec="milliseconds"))
    if isinstance(value, datetime.date):
        return js_stringify(value.isoformat())
    raise TypeError(f"{type(value).__name__} comes neither from TOML nor from JSON")


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "null"
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    # JavaScript writes 1e-7 where Python writes 1e-07.
    return re.sub(r"e([+-])0*(\d)", r"e\1\2", repr(value))
