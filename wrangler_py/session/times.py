"""Moments and spans of time: in words, and how far a clock is moved at once."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

#: The farthest that one call moves a clock (seconds): ten years. More is a slip of the finger.
MAX_ADVANCE_S = 10 * 366 * 86_400
#: How far `wpy clock run-until-idle` goes unless told otherwise (seconds): past the longest delay and retention.
IDLE_LIMIT_S = 15 * 86_400

_EPOCH = datetime(1970, 1, 1)

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|[smhdw])", re.IGNORECASE)


def iso(ms: int) -> str:
    """A moment as ISO 8601 in UTC, with milliseconds where there are any."""
    try:
        at = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:  # past the year 9999, where no calendar of Python's goes
        return f"{ms} ms since 1970"
    return at.isoformat(timespec="milliseconds" if ms % 1000 else "seconds") + "Z"


def span(ms: int) -> str:
    """A span in its two largest units: "4 d", "2 h 5 min", "0 s"."""
    rest = abs(ms) // 1000
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


def parse_span(text: str) -> float:
    """Seconds of a span such as "90s", "2h", "1h30m", "1.5d" or a plain number of seconds. Raises ValueError."""
    plain = text.strip().replace(" ", "")
    parts = _PART.findall(plain)
    if parts and "".join(number + unit for number, unit in parts) == plain:
        return float(sum(float(number) * _UNITS[unit.lower()] for number, unit in parts))
    try:
        seconds = float(plain)
    except ValueError:
        seconds = float("nan")
    if seconds != seconds:
        raise ValueError(f"{text!r} is not a span of time. Write it like 30s, 10m, 2h, 1h30m or 7d.")
    return seconds
