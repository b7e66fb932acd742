"""When an expression fires. UTC, whole minutes, in ms since the epoch.

`Schedule` asks croniter. croniter speaks another dialect (weekdays from 0, `W` intersected with a weekday, `5-5` as the
whole field, ...), so it is given only what both read alike: explicit lists, weekday names, one of the two day fields at
a time. What it cannot say (`L-n`, `L-nW`, `29W` in February) is a walk over days with croniter for the time of day.

`QuickSchedule` gives the same answers without croniter, for questions by the thousand; the tests hold the two equal.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from wrangler_py.cron.days import days_of_month, firing_days, month_kind, never_fires
from wrangler_py.cron.expression import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    WEEKDAY_NAMES,
    CronExpression,
    Dialect,
    LastDay,
    LastWeekday,
    NearestWeekday,
    NthWeekday,
    parse,
)

if TYPE_CHECKING:
    from croniter import croniter  # type: ignore[import-untyped]

MINUTE_MS = 60_000
_DAY_S = 86_400
#: The calendar that Python knows ends with the year 9999; nothing fires after it.
_END_S = int(dt.datetime(9999, 12, 31, 23, 59, tzinfo=dt.UTC).timestamp())
_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
_FIRST_S = (1 - _EPOCH_ORDINAL) * _DAY_S


class Schedule:
    """The fire times of one expression."""

    def __init__(self, expression: CronExpression | str, dialect: Dialect = "intended") -> None:
        """Raises CronSyntaxError when given a text that Cloudflare refuses."""
        self.expression = parse(expression, dialect) if isinstance(expression, str) else expression

    @cached_property
    def never(self) -> bool:
        """Whether it never fires, in any year."""
        return never_fires(self.expression)

    @cached_property
    def _sources(self) -> list[_Source]:
        return [] if self.never else _translate(self.expression)

    def next_after(self, ms: int) -> int | None:
        """The first fire strictly after the minute of `ms`, or None if there is none before the year 10000."""
        after_s = ms // MINUTE_MS * 60
        if after_s >= _END_S:
            return None
        found = [
            second for source in self._sources if (second := source.next_after(max(after_s, _FIRST_S))) is not None
        ]
        return min(found) * 1000 if found else None

    def iter_after(self, ms: int) -> Iterator[int]:
        """All fires after the minute of `ms`, in order; endless unless the calendar ends."""
        found = self.next_after(ms)
        while found is not None:
            yield found
            found = self.next_after(found)

    def matches(self, ms: int) -> bool:
        """Whether the minute that `ms` lies in is one to fire at."""
        minute = ms // MINUTE_MS * MINUTE_MS
        return next(self.iter_after(minute - 1), None) == minute


class QuickSchedule(Schedule):
    """The same fire times, from lists of days and minutes instead of croniter: microseconds instead of a tenth of a
    millisecond for each."""

    def next_after(self, ms: int) -> int | None:
        return next(self.iter_after(ms), None)

    def iter_after(self, ms: int) -> Iterator[int]:
        minute = ms // MINUTE_MS + 1
        day_number, time = divmod(minute, 1440)
        ordinal = max(day_number + _EPOCH_ORDINAL, 1)
        if ordinal > dt.date.max.toordinal():
            return
        if ordinal != day_number + _EPOCH_ORDINAL:
            time = 0
        start = dt.date.fromordinal(ordinal)
        year, month, day = start.year, start.month, start.day
        empty_months = 0
        while True:
            if month in self.expression.months:
                days = self._days(*month_kind(year, month))
                first_ms = (ordinal - day) * _DAY_S * 1000 - _EPOCH_ORDINAL * _DAY_S * 1000
                for fire_day in days[bisect_left(days, day) :]:
                    midnight_ms = first_ms + fire_day * _DAY_S * 1000
                    for at in self._times(time if fire_day == day else 0):
                        yield midnight_ms + at * MINUTE_MS
                empty_months = 0 if days else empty_months
            empty_months += 1
            if empty_months == 13 and self.never:
                return
            # To the 1st of the next month.
            ordinal += month_kind(year, month)[0] - day + 1
            day, time = 1, 0
            month += 1
            if month == 13:
                year, month = year + 1, 1
                if year > dt.MAXYEAR:
                    return

    def _times(self, start: int) -> Iterator[int]:
        """The minutes of the day from `start` on."""
        hours = self.expression.hours
        for hour in hours[bisect_left(hours, start // 60) :]:
            for minute in self.expression.minutes:
                if hour * 60 + minute >= start:
                    yield hour * 60 + minute

    def _days(self, length: int, first: int) -> tuple[int, ...]:
        kind = (length, first)
        if kind not in self._days_by_kind:
            self._days_by_kind[kind] = firing_days(self.expression, length, first)
        return self._days_by_kind[kind]

    @cached_property
    def _days_by_kind(self) -> dict[tuple[int, int], tuple[int, ...]]:
        return {}


@lru_cache(maxsize=1024)
def quick_schedule(source: str, dialect: Dialect = "intended") -> QuickSchedule:
    """A QuickSchedule, kept for the next question about the same text. Raises CronSyntaxError."""
    return QuickSchedule(source, dialect)


def next_fires(source: str, after_ms: int, count: int, dialect: Dialect = "intended") -> list[int]:
    """The next `count` fires after the minute of `after_ms`; fewer when there are no more. Raises CronSyntaxError."""
    return list(islice(quick_schedule(source, dialect).iter_after(after_ms), count))


# --- the translation for croniter -------------------------------------------------------------------------------------


class _Source(Protocol):
    """Fire times in seconds since the epoch; an expression has one, or two for a union."""

    def next_after(self, second: int) -> int | None: ...


class _Croniter:
    """A five-field text that croniter reads as Cloudflare means it."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _iterator(self) -> croniter:
        from croniter import croniter

        return croniter(self._text, 0.0, ret_type=float)

    def next_after(self, second: int) -> int | None:
        from croniter import CroniterBadDateError

        try:
            found = self._iterator.get_next(float, start_time=float(second))
        except CroniterBadDateError:
            return None  # no match within croniter's 50 years, more than the longest gap the calendar can make (40)
        except OverflowError:
            return None  # croniter walked past the year 9999
        return round(found) if found <= _END_S else None


class _WalkedDays:
    """Days by arithmetic, the time of day by croniter."""

    def __init__(self, expression: CronExpression, times: _Croniter, months: tuple[int, ...]) -> None:
        self._rule = expression.days
        self._times = times
        self._months = months

    def next_after(self, second: int) -> int | None:
        after = dt.datetime.fromtimestamp(second, dt.UTC)
        year, month = after.year, after.month
        for _ in range(12 * 50):
            if month in self._months:
                for day in sorted(days_of_month(self._rule, *month_kind(year, month))):
                    midnight = int(dt.datetime(year, month, day, tzinfo=dt.UTC).timestamp())
                    found = self._times.next_after(max(second, midnight - 60))
                    if found is not None and found < midnight + _DAY_S:
                        return found
            month += 1
            if month == 13:
                year, month = year + 1, 1
                if year > dt.MAXYEAR:
                    return None
        return None


def _translate(expression: CronExpression) -> list[_Source]:
    """What to ask for its fire times; the earliest answer counts."""
    clock = f"{_listed(expression.minutes, MINUTE.low, MINUTE.high)} {_listed(expression.hours, HOUR.low, HOUR.high)}"
    months = _listed(expression.months, MONTH.low, MONTH.high)
    sources: list[_Source] = []
    if expression.days is not None or expression.weekdays is None:
        sources += _translate_days(expression, clock)
    if expression.weekdays is not None:
        sources.append(_Croniter(f"{clock} * {months} {_weekdays(expression)}"))
    return sources


def _translate_days(expression: CronExpression, clock: str) -> list[_Source]:
    rule, months = expression.days, expression.months
    if isinstance(rule, LastDay) and rule.offset:
        return [_WalkedDays(expression, _Croniter(f"{clock} * * *"), months)]
    if isinstance(rule, LastDay):
        days = "31W" if rule.weekday else "L"  # croniter clamps 31W to the month's last day, which is what LW means
    elif isinstance(rule, NearestWeekday):
        days = f"{rule.day}W"
        if rule.day == 29 and 2 in months:
            return [_WalkedDays(expression, _Croniter(f"{clock} * * *"), months)]
        # The clamp again: here a month without that day must not fire.
        months = tuple(
            month for month in months if rule.day <= (29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31)
        )
    else:
        days = "*" if rule is None else _listed(rule, DAY.low, DAY.high)
    return [_Croniter(f"{clock} {days} {_listed(months, MONTH.low, MONTH.high)} *")] if months else []


def _weekdays(expression: CronExpression) -> str:
    rule = expression.weekdays
    if isinstance(rule, LastWeekday):
        return f"L{rule.weekday - 1}"
    if isinstance(rule, NthWeekday):
        return f"{WEEKDAY_NAMES[rule.weekday - 1]}#{rule.nth}"
    assert rule is not None
    return "*" if len(rule) == 7 else ",".join(WEEKDAY_NAMES[day - 1] for day in rule)


def _listed(values: tuple[int, ...], low: int, high: int) -> str:
    return "*" if len(values) == high - low + 1 else ",".join(map(str, values))
