"""Lengths of time as Workflows write them: milliseconds, or a text like "5 minutes"."""

from __future__ import annotations

import math
import re
from typing import Any

_SECOND = 1000
_UNITS = {
    "ms": 1,  # these two stand in no list of Cloudflare's, and its engine takes them [wrangler 4.86]
    "millisecond": 1,
    "second": _SECOND,
    "minute": 60 * _SECOND,
    "hour": 3600 * _SECOND,
    "day": 24 * 3600 * _SECOND,
    "week": 7 * 24 * 3600 * _SECOND,
    "month": 30 * 24 * 3600 * _SECOND,
    "year": 31_557_600 * _SECOND,  # 365.25 days, as the engine of wrangler 4.86 counts it
}
_TEXT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s+([a-z]+)\s*\Z", re.IGNORECASE)


def milliseconds(given: Any) -> float | None:
    """A length of time, or None when `given` is none."""
    if isinstance(given, bool):
        return None
    if isinstance(given, int | float):
        return float(given) if math.isfinite(given) and given >= 0 else None
    if not isinstance(given, str):
        return None
    found = _TEXT.match(given)
    if found is not None:
        name = found[2].lower()
        unit = _UNITS.get(name, _UNITS.get(name.removesuffix("s")))
        return None if unit is None else float(found[1]) * unit
    try:
        value = float(given)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
