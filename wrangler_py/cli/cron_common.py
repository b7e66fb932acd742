"""What the `wpy cron` commands share: options, times, tables of times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import typer


def moment(text: str, option: str) -> int:
    """The time that was given for `option`, in ms. Raises BadParameter."""
    from wrangler_py.cron.questions import parse_time

    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def trigger_moment(text: str, option: str) -> int:
    """A `scheduledTime` that was given for `option`, ISO 8601 or ms since the epoch, in ms. It may lie in the past.
    Raises BadParameter for what workerd has no date for."""
    from wrangler_py.cron.limits import MAX_TRIGGER_TIME_MS

    digits = text.removeprefix("-")
    # Shorter ones may be a date: 20260301. The longest one that is kept is past the range in any case.
    if digits.isdecimal() and digits.isascii() and len(digits) > len("20260301"):
        time_ms = int(text[:20])
    else:
        time_ms = moment(text, option)
    if abs(time_ms) > MAX_TRIGGER_TIME_MS:
        raise typer.BadParameter(
            f"{text!r} is out of range: workerd has dates from 1677-09-21 to 2262-04-11 only", param_hint=option
        )
    return time_ms


def iso(time_ms: int | None) -> str | None:
    """A time as JSON shows it."""
    from wrangler_py.cron.questions import iso as iso_of

    return None if time_ms is None else iso_of(time_ms)


def utc(time_ms: int | None) -> str:
    """A time as tables show it."""
    return "never" if time_ms is None else f"{dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC):%a %Y-%m-%d %H:%M}"


def local(time_ms: int | None) -> str:
    """The time where the user is; what lies outside of the system's calendar is left as it is in UTC."""
    if time_ms is None:
        return "never"
    try:
        return f"{dt.datetime.fromtimestamp(time_ms / 1000):%a %Y-%m-%d %H:%M}"
    except (OverflowError, OSError, ValueError):
        return utc(time_ms) + " UTC"


def differ(times: Iterable[int | None]) -> bool:
    """Whether any of the times reads differently where the user is, so that a column of local times tells something."""
    return any(local(time) != utc(time) for time in times)


def zone(time_ms: int) -> str:
    """The name of the user's zone at that time."""
    return dt.datetime.fromtimestamp(time_ms / 1000).astimezone().tzname() or "local"
