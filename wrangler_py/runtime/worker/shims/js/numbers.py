"""How JavaScript writes and reads numbers."""

from __future__ import annotations

import math
import re
from typing import Any

from .core import JsProxy, jsnull

#: Ints up to this size cross the boundary as numbers, larger ones as bigints (Pyodide 0.28 and 314, measured).
MAX_NUMBER = 2**53 - 2
MAX_SAFE_INTEGER = 2**53 - 1

_NUMERIC = re.compile(r"[+-]?(?:Infinity|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)$", re.ASCII)
_RADIX = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)$", re.ASCII)


class JsBigInt(int):
    """An int that is a bigint to JavaScript whatever its size (pyodide.ffi.JsBigInt)."""

    __module__ = "pyodide.ffi"


def is_bigint(value: Any) -> bool:
    """Whether an int stands for a bigint."""
    return type(value) is not bool and (not -MAX_NUMBER <= value <= MAX_NUMBER or type(value) is JsBigInt)


def number_text(value: float) -> str:
    """`String(value)` (ECMAScript, Number::toString)."""
    if value != value:
        return "NaN"
    if value in (math.inf, -math.inf):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))  # the decimal point, in `digits`
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    tail = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if power > 0 else '-'}{abs(power)}"


def from_js(value: float) -> int | float:
    """A number as Python sees it: an int when it is a safe integer, else a float."""
    if value == value and abs(value) <= MAX_SAFE_INTEGER and value == int(value):
        return int(value)
    return value


def to_number(value: Any) -> int | float:
    """`Number(value)`. Raises JavaScript's TypeError for a bigint."""
    if type(value) is bool:
        return int(value)
    if isinstance(value, (int, float)):
        if isinstance(value, int) and is_bigint(value):
            from .core import raise_js

            raise_js("TypeError", "Cannot convert a BigInt value to a number")
        return value
    if value is None:
        return math.nan
    if value is jsnull:
        return 0
    if isinstance(value, str):
        return _parse(value)
    if isinstance(value, JsProxy):
        primitive = value.valueOf() if hasattr(value, "valueOf") else value
        if isinstance(primitive, JsProxy):
            primitive = primitive.toString()
        return to_number(primitive)
    return math.nan


def _parse(text: str) -> int | float:
    text = text.strip()
    if not text:
        return 0
    if _RADIX.match(text):
        return int(text, 0)
    if not _NUMERIC.match(text):
        return math.nan
    return from_js(float(text.replace("Infinity", "inf")))


def to_int32(value: Any) -> int:
    """The ToInt32 conversion that workerd applies to a field of type int: truncation, NaN and infinities become 0.

    Raises JavaScript's TypeError beyond 32 bits, with workerd's text.
    """
    number = to_number(value)
    if number != number or number in (math.inf, -math.inf):
        return 0
    whole = int(number)
    if not -(2**31) <= whole < 2**31:
        from .core import raise_js

        raise_js("TypeError", "Value out of range. Must be between -2147483648 and 2147483647 (inclusive).")
    return whole
