"""Cloudflare's cron dialect: what an expression may say, and what it means.

The grammar is that of saffron, the parser Cloudflare publishes for Cron Triggers: five fields, weekdays 1 = Sunday to
7 = Saturday, `L`, `LW`, `L-n`, `nW`, `dL`, `d#n`, and a union when day of month and day of week are both restricted.
(https://developers.cloudflare.com/workers/configuration/cron-triggers/, https://github.com/cloudflare/saffron)

`a-b` with a > b wraps around. saffron then also matches the value before `a`, and drops values of a stepped wrap in
days, months and weekdays; its own tests show that the plain set was meant. `dialect="intended"` takes the plain set,
`dialect="published"` does as the code does.
"""

from __future__ import annotations

import re
from typing import Literal, NoReturn

from msgspec import Struct

from wrangler_py.cron.limits import CODE_INVALID, invalid_cron

Dialect = Literal["intended", "published"]
DIALECTS: tuple[Dialect, ...] = ("intended", "published")

MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAY_NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class FieldRule(Struct, frozen=True):
    """What one of the five fields may hold."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def span(self) -> str:
        """The allowed values in words."""
        if self.names:
            return f"{self.low} ({self.names[0]}) to {self.high} ({self.names[-1]})"
        return f"{self.low} to {self.high}"


MINUTE = FieldRule("minute", 0, 59)
HOUR = FieldRule("hour", 0, 23)
DAY = FieldRule("day of month", 1, 31)
MONTH = FieldRule("month", 1, 12, MONTH_NAMES)
WEEKDAY = FieldRule("day of week", 1, 7, WEEKDAY_NAMES)
FIELDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


class CronSyntaxError(ValueError):
    """Cloudflare refuses this expression.

    `expression` is the text as given, `field` the name of the field at fault (None when it is the whole), `start` and
    `end` the columns at fault (0-based, end exclusive; equal where something is missing), `rule` the rule in words and
    `fix` what was probably meant, where that can be guessed.
    """

    code = CODE_INVALID

    def __init__(self, expression: str, field: str | None, start: int, end: int, rule: str) -> None:
        super().__init__(invalid_cron(expression))
        self.expression = expression
        self.field = field
        self.start = start
        self.end = end
        self.rule = rule

    @property
    def fix(self) -> str | None:
        from wrangler_py.cron.refusal import guess_fix

        return guess_fix(self)

    def pretty(self) -> str:
        """Production's message, the expression with a caret under the part at fault, the rule, and the fix."""
        from wrangler_py.cron.refusal import pretty

        return pretty(self)


class Item(Struct, frozen=True):
    """One part of a comma list. `high < low` wraps around; `kind` tells how it was written:
    "value" (`5`, or a `*` after a comma, which means the field's minimum), "range" (`1-5`, `1-5/2`), "from" (`5/10`)
    or "every" (`*/10`)."""

    text: str
    start: int
    end: int
    kind: Literal["value", "range", "from", "every"]
    low: int
    high: int
    step: int = 1


class LastDay(Struct, frozen=True):
    """`L`, `L-n`, `LW`, `L-nW`: `offset` days before the month's last day; `weekday` moves it to a Monday to Friday."""

    offset: int
    weekday: bool


class NearestWeekday(Struct, frozen=True):
    """`nW`: the Monday to Friday nearest to `day`, within the month."""

    day: int


class LastWeekday(Struct, frozen=True):
    """`dL`: the month's last such weekday (1 = Sunday)."""

    weekday: int


class NthWeekday(Struct, frozen=True):
    """`d#n`: the month's nth such weekday (1 = Sunday)."""

    weekday: int
    nth: int


#: Explicit days, sorted; None for an unrestricted `*`.
Days = tuple[int, ...] | LastDay | NearestWeekday | None
Weekdays = tuple[int, ...] | LastWeekday | NthWeekday | None


class Field(Struct, frozen=True):
    """One field as written: its columns, and the parts of its list (none for `*`, `L`, `15W`, `MON#2`, ...)."""

    rule: FieldRule
    text: str
    start: int
    items: tuple[Item, ...] = ()


class CronExpression(Struct, frozen=True):
    """A parsed expression. `source` is the text character for character, as `controller.cron` shows it.

    `minutes`, `hours` and `months` are sorted values. `days` and `weekdays` are None only for a bare `*`: `*/1`,
    `1-31` and `1-7` are restrictions, and two restrictions make a union.
    """

    source: str
    dialect: Dialect
    fields: tuple[Field, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: Days
    months: tuple[int, ...]
    weekdays: Weekdays

    @property
    def compiled(self) -> tuple[object, ...]:
        """Equal for expressions of one meaning; production refuses two of them on one Worker."""
        return (self.minutes, self.hours, self.days, self.months, self.weekdays)

    def __str__(self) -> str:
        return self.source


_SEPARATED = re.compile(r"[^ \t]+")
_ITEM = re.compile(r"(\*|[0-9]+|[A-Za-z]+)(?:-([0-9]+|[A-Za-z]+))?(?:/([0-9]+))?")
_LAST_DAY = re.compile(r"L(?:(W)|-([0-9]+)(W)?)?")
_NEAREST = re.compile(r"([0-9]+)W")
_LAST_WEEKDAY = re.compile(r"([0-9]+|[A-Za-z]{3})L")
_NTH = re.compile(r"([0-9]+|[A-Za-z]+)#([0-9]+)")


def parse(source: str, dialect: Dialect = "intended") -> CronExpression:
    """Read `source`, or raise CronSyntaxError exactly where Cloudflare refuses it."""
    fields = _split(source)
    minute, hour, day, month, weekday = (
        _Reader(source, rule, match.group(), match.start(), dialect) for rule, match in zip(FIELDS, fields, strict=True)
    )
    # In reading order, so that the first field at fault is the one reported.
    minutes, hours = minute.values(), hour.values()
    days: Days = None if day.text == "*" else day.special_day() or day.values()
    months = month.values()
    weekdays: Weekdays = None if weekday.text == "*" else weekday.special_weekday() or weekday.values()
    return CronExpression(
        source,
        dialect,
        tuple(Field(r.rule, r.text, r.start, r.items) for r in (minute, hour, day, month, weekday)),
        minutes,
        hours,
        days,
        months,
        weekdays,
    )


def _split(source: str) -> list[re.Match[str]]:
    for column, character in enumerate(source):
        if character.isspace() and character not in " \t":
            raise CronSyntaxError(source, None, column, column + 1, "only spaces and tabs separate the fields")
    matches = list(_SEPARATED.finditer(source))
    if not matches:
        raise CronSyntaxError(source, None, 0, len(source), "there are no fields; five are needed")
    if matches[0].start() > 0:
        raise CronSyntaxError(source, None, 0, matches[0].start(), "nothing may stand before the first field")
    if matches[-1].end() < len(source):
        raise CronSyntaxError(source, None, matches[-1].end(), len(source), "nothing may stand after the last field")
    if source.startswith("@"):
        raise CronSyntaxError(source, None, 0, matches[0].end(), "names such as @daily are not part of the dialect")
    if len(matches) > 5:
        rule = f"exactly five fields: minute, hour, day of month, month, day of week; here are {len(matches)}"
        raise CronSyntaxError(source, None, matches[5].start(), matches[-1].end(), rule)
    if len(matches) < 5:
        noun = "is 1" if len(matches) == 1 else f"are {len(matches)}"
        rule = f"exactly five fields: minute, hour, day of month, month, day of week; here {noun}"
        raise CronSyntaxError(source, None, len(source), len(source), rule)
    return matches


class _Reader:
    """Reads one field."""

    __slots__ = ("dialect", "items", "rule", "source", "start", "text")

    def __init__(self, source: str, rule: FieldRule, text: str, start: int, dialect: Dialect) -> None:
        self.source = source
        self.rule = rule
        self.text = text
        self.start = start
        self.dialect = dialect
        self.items: tuple[Item, ...] = ()

    def fail(self, start: int, end: int, rule: str) -> NoReturn:
        """Refuse the columns `start` to `end` of this field's text."""
        raise CronSyntaxError(self.source, self.rule.name, self.start + start, self.start + end, rule)

    def values(self) -> tuple[int, ...]:
        """The sorted values of a `*` or a list."""
        rule = self.rule
        if self.text == "*":
            return tuple(range(rule.low, rule.high + 1))
        items: list[Item] = []
        values: set[int] = set()
        column = 0
        for part in self.text.split(","):
            item = self._item(part, column, first=column == 0)
            items.append(item)
            values.update(expand(rule, item, self.dialect))
            column += len(part) + 1
        self.items = tuple(items)
        return tuple(sorted(values))

    def special_day(self) -> LastDay | NearestWeekday | None:
        """`L`, `LW`, `L-n`, `L-nW`, `nW`, or None for a list."""
        if match := _LAST_DAY.fullmatch(self.text):
            short_w, offset, long_w = match.groups()
            if offset is None:
                return LastDay(0, short_w is not None)
            days = self._bounded(offset, match.start(2), 1, 30, "L-n counts 1 to 30 days back from the last day")
            return LastDay(days, long_w is not None)
        if match := _NEAREST.fullmatch(self.text):
            return NearestWeekday(self._value(match.group(1), 0))
        return None

    def special_weekday(self) -> tuple[int, ...] | LastWeekday | NthWeekday | None:
        """`L` (every Saturday), `dL`, `d#n`, or None for a list."""
        if self.text == "L":
            return (7,)
        if match := _LAST_WEEKDAY.fullmatch(self.text):
            return LastWeekday(self._value(match.group(1), 0))
        if match := _NTH.fullmatch(self.text):
            rule = "# is followed by 1 to 5: a month has at most five of each weekday"
            weekday = self._value(match.group(1), 0)
            return NthWeekday(weekday, self._bounded(match.group(2), match.start(2), 1, 5, rule))
        return None

    def _item(self, part: str, column: int, *, first: bool) -> Item:
        match = _ITEM.fullmatch(part)
        if match is None:
            from wrangler_py.cron.refusal import unreadable

            self.fail(*unreadable(self.rule, self.text, part, column))
        low_text, high_text, step_text = match.groups()
        starred = low_text == "*"
        if starred and first and step_text is None and high_text is None:
            self.fail(column, column + 1, "a * stands alone in its field; it cannot begin a list")
        if starred and first and high_text is not None:
            self.fail(column, column + len(part), "a range begins with a value, not with *")
        low = self.rule.low if starred else self._value(low_text, column)
        high = low if high_text is None else self._value(high_text, column + match.start(2))
        step = 1
        if step_text is not None:
            longest = self.rule.high - self.rule.low
            rule = f"a step in this field is 1 to {longest}, since it starts anew at every wrap of the field"
            step = self._bounded(step_text, column + match.start(3), 1, longest, rule)
        kind: Literal["value", "range", "from", "every"] = "value"
        if high_text is not None:
            kind = "range"
        elif step_text is not None:
            kind = "every" if starred else "from"
            high = self.rule.high
        return Item(part, self.start + column, self.start + column + len(part), kind, low, high, step)

    def _value(self, text: str, column: int) -> int:
        if text[0].isdigit():
            return self._bounded(text, column, self.rule.low, self.rule.high, f"values go from {self.rule.span}")
        try:
            return self.rule.names.index(text.upper()) + self.rule.low
        except ValueError:
            from wrangler_py.cron.refusal import unknown_name

            self.fail(column, column + len(text), unknown_name(self.rule, text))

    def _bounded(self, digits: str, column: int, low: int, high: int, rule: str) -> int:
        # Leading zeros are legal in any number; more than three real digits never are (and int() has a limit).
        significant = digits.lstrip("0") or "0"
        if len(significant) > 3 or not low <= int(significant) <= high:
            self.fail(column, column + len(digits), rule)
        return int(significant)


def expand(rule: FieldRule, item: Item, dialect: Dialect) -> tuple[int, ...]:
    """The values that one part of a list stands for, in the order it counts them."""
    low, high, step = item.low, item.high, item.step
    if low <= high:
        return tuple(range(low, high + 1, step))
    if dialect == "intended":
        return (*range(low, rule.high + 1), *range(rule.low, high + 1))[::step]
    if step == 1:
        # saffron builds the upper half as a bit mask that begins one bit too low.
        return (*range(low - 1, rule.high + 1), *range(rule.low, high + 1))
    # saffron chains zero-based values with the field's own bounds; minutes and hours, zero-based anyway, come out right.
    chained = (*range(low - rule.low, rule.high + 1), *range(rule.low, high - rule.low + 1))[::step]
    return tuple(value + rule.low for value in chained if value + rule.low <= rule.high)
