"""On which days of a month an expression fires: Cloudflare's rules for `L`, `W`, `#` and the union, as plain arithmetic.

A month is known by two numbers, its length and the weekday of its 1st (1 = Sunday), so there are at most 28 kinds of
month and everything about an expression's days can be answered exactly.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from functools import lru_cache

from wrangler_py.cron.expression import CronExpression, Days, LastDay, LastWeekday, NearestWeekday, NthWeekday, Weekdays

_SUNDAY, _SATURDAY = 1, 7
_LENGTHS = {1: (31,), 2: (28, 29), 3: (31,), 4: (30,), 5: (31,), 6: (30,)} | {
    month: (30 if month in (9, 11) else 31,) for month in range(7, 13)
}


@lru_cache(maxsize=2048)
def month_kind(year: int, month: int) -> tuple[int, int]:
    """Length of the month, and the weekday of its 1st."""
    first, length = calendar.monthrange(year, month)
    return length, (first + 1) % 7 + 1


def weekday(day: int, first: int) -> int:
    """The weekday of `day` in a month whose 1st is the weekday `first`."""
    return (first + day - 2) % 7 + 1


def days_of_month(days: Days, length: int, first: int) -> frozenset[int]:
    """The days that the third field alone allows; every day for `*`."""
    if days is None:
        return frozenset(range(1, length + 1))
    if isinstance(days, LastDay):
        target = length - days.offset
        if target < 1:
            return frozenset()
        return frozenset((_nearest_weekday(target, length, first) if days.weekday else target,))
    if isinstance(days, NearestWeekday):
        if days.day > length:
            return frozenset()
        return frozenset((_nearest_weekday(days.day, length, first),))
    return frozenset(day for day in days if day <= length)


def _nearest_weekday(day: int, length: int, first: int) -> int:
    """The nearest Monday to Friday that does not leave the month."""
    on = weekday(day, first)
    if on == _SATURDAY:
        return day - 1 if day > 1 else 3
    if on == _SUNDAY:
        return day + 1 if day < length else day - 2
    return day


def days_of_week(weekdays: Weekdays, length: int, first: int) -> frozenset[int]:
    """The days that the fifth field alone allows; every day for `*`."""
    if weekdays is None:
        return frozenset(range(1, length + 1))
    if isinstance(weekdays, LastWeekday):
        last = weekday(length, first)
        return frozenset((length - (last - weekdays.weekday) % 7,))
    if isinstance(weekdays, NthWeekday):
        day = (weekdays.weekday - first) % 7 + 1 + 7 * (weekdays.nth - 1)
        return frozenset((day,) if day <= length else ())
    return frozenset(day for day in range(1, length + 1) if weekday(day, first) in weekdays)


def firing_days(expression: CronExpression, length: int, first: int) -> tuple[int, ...]:
    """The sorted days of such a month on which `expression` fires, whatever the month's name.

    Two restricted fields make a union; a bare `*` leaves the choice to the other.
    """
    if expression.days is None:
        found = days_of_week(expression.weekdays, length, first)
    elif expression.weekdays is None:
        found = days_of_month(expression.days, length, first)
    else:
        found = days_of_month(expression.days, length, first) | days_of_week(expression.weekdays, length, first)
    return tuple(sorted(found))


def kinds_of(month: int) -> Iterator[tuple[int, int]]:
    """Every length and first weekday that the month can have; each does occur within 400 years."""
    for length in _LENGTHS[month]:
        for first in range(1, 8):
            yield length, first


def never_fires(expression: CronExpression) -> bool:
    """Whether no year has a day for it, as `0 0 31 2 *`. Such expressions are accepted all the same."""
    return not any(firing_days(expression, *kind) for month in expression.months for kind in kinds_of(month))
