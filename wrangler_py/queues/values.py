"""Values that came as JSON: what counts as a whole number, and how they are quoted in an error."""

from __future__ import annotations

import json
from typing import Any

#: A quoted value is cut after so many characters.
_MOST_QUOTED = 80


def whole_number(value: Any) -> int | None:
    """The value as an int when it is a whole number (5 and 5.0, as in JavaScript), else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def quoted(value: Any) -> str:
    """A value as the caller wrote it, cut where it is long."""
    text = json.dumps(value)
    return text if len(text) <= _MOST_QUOTED else text[:_MOST_QUOTED] + "..."


def whole_number_between(name: str, value: Any, low: int, high: int) -> int:
    """The value of a setting. Raises ValueError with the range in its text."""
    whole = whole_number(value)
    if whole is None or not low <= whole <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, but is {quoted(value)}.")
    return whole
