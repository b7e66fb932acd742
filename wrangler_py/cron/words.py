"""An expression in English, true for Cloudflare's dialect.

The sentence is made from the compiled values, so it says what fires and not what was typed: `*/42` is "minutes 0 and
42", weekday 1 is Sunday, and two day fields are joined by "or". (Libraries that describe cron texts say "every 42
minutes" and join `L` with `MON#1` as if both were needed.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from wrangler_py.cron.days import firing_days, kinds_of, never_fires
from wrangler_py.cron.expression import (
    CronExpression,
    LastDay,
    LastWeekday,
    NearestWeekday,
    NthWeekday,
)

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
NTH = ("first", "second", "third", "fourth", "fifth")
#: More clock times than this are told as minutes and hours instead.
_MOST_TIMES = 6


def describe(expression: CronExpression) -> str:
    """One sentence without a full stop, e.g. "At 10:00 UTC on the second Monday of the month"."""
    if never_fires(expression):
        return "Never: no month that it names has such a day"
    days, months = _days(expression), _in_months(expression.months)
    if " or " in days:
        days, months = months, days  # "in February" must not seem to belong to the last day only
    text = " ".join(filter(None, (_time(expression), days, months)))
    return text[0].upper() + text[1:]


# --- time of day ------------------------------------------------------------------------------------------------------


def _time(expression: CronExpression) -> str:
    minutes, hours = expression.minutes, expression.hours
    every_hour = len(hours) == 24
    if len(minutes) * len(hours) <= _MOST_TIMES and not every_hour:
        return f"at {_and(_clock(hour, minute) for hour in hours for minute in minutes)} UTC"
    if len(minutes) == 1 and not every_hour:
        return _one_minute(minutes[0], hours)
    step = _step(minutes, 60)
    if len(minutes) == 60:
        told = "every minute"
    elif step is not None:
        told = f"every {step} minutes" + (f" from minute {minutes[0]}" if minutes[0] else "")
    else:
        told = f"at {_counted('minute', minutes)}" + (" of every hour" if every_hour else "")
    if every_hour:
        return told
    spans = _and(f"{run[0]:02}:00-{run[-1]:02}:59" for run in _consecutive(hours, 0, 23))
    return f"{told} during {spans} UTC"


def _one_minute(minute: int, hours: Sequence[int]) -> str:
    step = _step(hours, 24)
    if step is not None:
        return f"every {step} hours from {hours[0]:02}:{minute:02} UTC"
    runs = _consecutive(hours, 0, 23)
    if len(runs) == 1:
        return f"every hour from {_clock(runs[0][0], minute)} to {_clock(runs[0][-1], minute)} UTC"
    return f"at {_and(_clock(hour, minute) for hour in hours)} UTC"


def _clock(hour: int, minute: int) -> str:
    """A time of day."""
    return f"{hour:02}:{minute:02}"


# --- days -------------------------------------------------------------------------------------------------------------


def _days(expression: CronExpression) -> str:
    kinds = {kind for month in expression.months for kind in kinds_of(month)}
    if all(len(firing_days(expression, *kind)) == kind[0] for kind in kinds):
        return "" if len(expression.hours) == 24 else "every day"
    parts = []
    if expression.days is not None:
        parts.append(f"on {day_of_month_words(expression.days)} of the month")
    if expression.weekdays is not None:
        parts.append(f"on {day_of_week_words(expression.weekdays)}")
    return " or ".join(parts)


def day_of_month_words(rule: tuple[int, ...] | LastDay | NearestWeekday) -> str:
    """A restricted third field, to be followed by "of the month"."""
    if isinstance(rule, LastDay):
        days = f"{rule.offset} day{'' if rule.offset == 1 else 's'} before the last day"
        if rule.weekday:
            return f"the weekday (Mon-Fri) nearest {days}" if rule.offset else "the last weekday (Mon-Fri)"
        return f"the day {days}" if rule.offset else "the last day"
    if isinstance(rule, NearestWeekday):
        return f"the weekday (Mon-Fri) nearest day {rule.day}"
    step = rule[1] - rule[0] if len(rule) > 3 else 1
    if step > 1 and rule == tuple(range(rule[0], rule[-1] + 1, step)):
        return f"every {_ordinal(step)} day from day {rule[0]} to day {rule[-1]}"
    return _counted("day", rule)


def day_of_week_words(rule: tuple[int, ...] | LastWeekday | NthWeekday) -> str:
    """A restricted fifth field."""
    if isinstance(rule, LastWeekday):
        return f"the last {_WEEKDAYS[rule.weekday - 1]} of the month"
    if isinstance(rule, NthWeekday):
        return f"the {NTH[rule.nth - 1]} {_WEEKDAYS[rule.weekday - 1]} of the month"
    return _named(rule, _WEEKDAYS)


def _in_months(months: Sequence[int]) -> str:
    return "" if len(months) == 12 else f"in {_named(months, _MONTHS)}"


# --- lists ------------------------------------------------------------------------------------------------------------


def _step(values: Sequence[int], size: int) -> int | None:
    """The even step of values that go round their field without a seam, if they do."""
    if len(values) < 2 or size % len(values):
        return None
    step = size // len(values)
    return step if step > 1 and all(b - a == step for a, b in pairwise(values)) else None


def _consecutive(values: Sequence[int], low: int, high: int) -> list[list[int]]:
    """Sorted values as runs of neighbours; in a field that goes round, the run over its seam comes in one piece."""
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][-1] == value - 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    if len(runs) > 1 and runs[0][0] == low and runs[-1][-1] == high:
        runs.append(runs.pop() + runs.pop(0))
    return runs


def _named(values: Sequence[int], names: Sequence[str]) -> str:
    told: list[str] = []
    for run in _consecutive(values, 1, len(names)):
        span = [f"{names[run[0] - 1]} to {names[run[-1] - 1]}"]
        told += span if len(run) > 2 else [names[value - 1] for value in run]
    return _and(told)


def _counted(noun: str, values: Sequence[int]) -> str:
    """ "day 5", "days 1 and 15", "minutes 0 to 30 and 45"."""
    told: list[str] = []
    for run in _consecutive(values, -1, -1):
        told += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run)
    return f"{noun}{'s' if len(values) > 1 else ''} {_and(told)}"


def _and(parts: Iterable[str]) -> str:
    *rest, last = parts
    return f"{', '.join(rest)} and {last}" if rest else last


def _ordinal(number: int) -> str:
    return {2: "2nd", 3: "3rd", 21: "21st", 22: "22nd", 23: "23rd"}.get(number, f"{number}th")
