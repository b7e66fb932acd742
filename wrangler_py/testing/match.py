"""Which messages a test means: `body__to="a"`, `delay="30s"`, `content_type="json"`, a predicate."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from wrangler_py.testing.errors import KitError
from wrangler_py.testing.values import Approx, seconds

_MISSING = object()
#: How much a delay given as a plain span may differ (seconds).
_TOLERANCE_S = 1.0


def matches(fields: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a message's fields meet every condition.

    A condition names a field, or with `__` what lies below it (`body__user__name`). It is met by an equal value, by a
    callable that returns true, by a compiled pattern that is found in the text, by a type that it is an instance of.
    """
    return all(_meets(_look_up(fields, name.split("__")), condition, name) for name, condition in wanted.items())


def _look_up(value: Any, path: list[str]) -> Any:
    for name in path:
        if isinstance(value, Mapping):
            value = value.get(name, _MISSING)
        elif isinstance(value, list) and name.isdigit():
            value = value[int(name)] if int(name) < len(value) else _MISSING
        else:
            return _MISSING
        if value is _MISSING:
            return value
    return value


def _meets(value: Any, condition: Any, name: str) -> bool:
    if value is _MISSING:
        return False
    if name == "delay" and isinstance(condition, str | int | float) and not isinstance(condition, bool):
        condition = Approx(seconds(condition), _TOLERANCE_S)
    if isinstance(condition, Approx):
        return bool(condition == value)
    if isinstance(condition, re.Pattern):
        return isinstance(value, str) and condition.search(value) is not None
    if isinstance(condition, type):
        return isinstance(value, condition)
    if callable(condition):
        return bool(_call(condition, value, name))
    return bool(value == condition)


def _call(condition: Callable[[Any], Any], value: Any, name: str) -> Any:
    try:
        return condition(value)
    except Exception as error:
        raise KitError(f"The matcher of {name} failed on {value!r}: {type(error).__name__}: {error}") from error


def describe(wanted: Mapping[str, Any]) -> str:
    """The conditions in words."""
    return ", ".join(f"{name}={condition!r}" for name, condition in wanted.items()) or "anything"


def check_names(wanted: Mapping[str, Any], fields: tuple[str, ...]) -> None:
    """Raises KitError for a condition on a field that messages do not have."""
    for name in wanted:
        if name.split("__")[0] not in fields:
            raise KitError(f"Messages have no {name!r} to match. They have: {', '.join(fields)}, and body__NAME.")
