"""What is legal and yet probably not meant: weekday digits, unions, uneven steps, dates that never come.

Advice never refuses; `check` and the start of a session print it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Literal

from msgspec import Struct

from wrangler_py.config.limits_and_texts import duplicate_cron
from wrangler_py.cron.days import days_of_month, days_of_week, firing_days, kinds_of, never_fires
from wrangler_py.cron.expression import (
    DAY,
    HOUR,
    MINUTE,
    MONTH_NAMES,
    WEEKDAY,
    WEEKDAY_NAMES,
    CronExpression,
    CronSyntaxError,
    Dialect,
    Field,
    FieldRule,
    Item,
    LastDay,
    LastWeekday,
    NearestWeekday,
    NthWeekday,
    expand,
    parse,
)
from wrangler_py.cron.limits import CODE_INVALID, FREE_PLAN_CRONS, PAID_PLAN_CRONS
from wrangler_py.cron.words import NTH, day_of_month_words, day_of_week_words

Kind = Literal[
    "weekday-digits", "wrap-range", "every-day", "union", "uneven-step", "never-fires", "skips-months", "too-many"
]


class Advice(Struct, frozen=True):
    """One warning about an accepted expression (or, for "too-many", about the list)."""

    kind: Kind
    text: str
    field: str | None = None


class CronProblem(Struct, frozen=True):
    """One expression that production refuses on deploy. `text` is its message, `error` the details of a syntax error."""

    expression: str
    text: str
    code: int = CODE_INVALID
    error: CronSyntaxError | None = None

    def __str__(self) -> str:
        return f"{self.text} [code: {self.code}]"


def accept(sources: Iterable[str], dialect: Dialect = "intended") -> tuple[list[CronExpression], list[CronProblem]]:
    """Sort one Worker's expressions into those that production would take and those that it refuses.

    Of two with one meaning the first is taken and the second refused.
    """
    accepted: dict[object, CronExpression] = {}
    problems: list[CronProblem] = []
    for source in sources:
        try:
            expression = parse(source, dialect)
        except CronSyntaxError as error:
            problems.append(CronProblem(source, str(error), error=error))
            continue
        if expression.compiled in accepted:
            problems.append(CronProblem(source, duplicate_cron(source)))
        else:
            accepted[expression.compiled] = expression
    return list(accepted.values()), problems


def nearest(source: str, known: Iterable[str]) -> str | None:
    """The one of `known` that was most likely meant by an expression that is not among them: one of the same meaning,
    else one that is written much like it."""
    compiled = _compiled(source)
    known = list(known)
    same = (one for one in known if compiled is not None and _compiled(one) == compiled)
    return next(same, None) or next(iter(get_close_matches(source[:80], known, n=1)), None)


def _compiled(source: str) -> object | None:
    try:
        return parse(source).compiled
    except CronSyntaxError:
        return None


def advise(expression: CronExpression) -> list[Advice]:
    """Everything worth a warning about one expression."""
    minute, hour, day, month, weekday = expression.fields
    found: list[Advice] = []
    for field in (minute, hour, day, month, weekday):
        found += _wraps(field, expression.dialect)
        found += _uneven(field)
    found += _digits(weekday, expression)
    if never_fires(expression):
        found.append(Advice("never-fires", "never fires: no month that it names has such a day"))
    else:
        found += _union(expression, day, weekday)
        found += _skipped(expression)
    return found


def advise_count(count: int, plan: Literal["free", "paid"] = "free") -> list[Advice]:
    """Whether an account of the plan takes that many triggers."""
    limit = FREE_PLAN_CRONS if plan == "free" else PAID_PLAN_CRONS
    if count <= limit:
        return []
    more = f" (the Paid plan allows {PAID_PLAN_CRONS})" if plan == "free" else ""
    return [
        Advice("too-many", f"{count} cron triggers; the Workers {plan.title()} plan allows {limit} per account{more}")
    ]


# --- the checks -------------------------------------------------------------------------------------------------------


def _names(rule: FieldRule, values: Iterable[int]) -> str:
    return ",".join(rule.names[value - rule.low] if rule.names else str(value) for value in values)


def _wraps(field: Field, dialect: Dialect) -> Iterator[Advice]:
    for item in field.items:
        if item.low <= item.high:
            continue
        meant, published = expand(field.rule, item, "intended"), expand(field.rule, item, "published")
        differences = [
            f"{verb} {_names(field.rule, values)}"
            for verb, values in (
                ("also matches", [value for value in published if value not in meant]),
                ("does not match", [value for value in meant if value not in published]),
            )
            if values and set(meant) != set(published)
        ]
        if differences:
            advice = f"write the list: {_names(field.rule, meant)}"
            here = "" if dialect == "intended" else ", and so does this dialect"
            text = (
                f"{item.text} wraps around: Cloudflare's published parser {' and '.join(differences)}{here}; {advice}"
            )
            yield Advice("wrap-range", text, field.rule.name)


def _uneven(field: Field) -> Iterator[Advice]:
    rule = field.rule
    for item in field.items:
        values = expand(rule, item, "intended")
        if item.kind not in ("every", "from") or len(values) < 2 or item.step == 1:
            continue
        # a/n in days, months and weekdays names values (2/2 is MON,WED,FRI); in minutes and hours it means a period.
        if item.kind == "from" and rule not in (MINUTE, HOUR):
            continue
        gap = values[0] + (rule.high - rule.low + 1) - values[-1]
        if gap != item.step:
            yield Advice("uneven-step", _uneven_text(rule, item, values, gap), rule.name)


def _uneven_text(rule: FieldRule, item: Item, values: tuple[int, ...], gap: int) -> str:
    period, unit = {
        "minute": ("hour", "minute"),
        "hour": ("day", "hour"),
        "day of month": ("month", "day"),
        "month": ("year", "month"),
        "day of week": ("week", "day"),
    }[rule.name]
    shown = _names(rule, values if len(values) <= 12 else values[:3]) + ("" if len(values) <= 12 else ",...")
    last = "" if rule is DAY else f"; the last gap is {gap} {unit}{'' if gap == 1 else 's'}"
    return f"{item.text} is {shown} and starts anew every {period}, not every {item.step} {unit}s throughout{last}"


def _digits(field: Field, expression: CronExpression) -> Iterator[Advice]:
    # Digits after / and # are counts, not weekdays.
    written = field.text.split("#")[0]
    named = ",".join(part.split("/")[0] for part in written.split(","))
    if not any(character.isdecimal() for character in named):
        return
    rule = expression.weekdays
    if isinstance(rule, tuple) and len(rule) == 7:
        return  # every day, however one counts
    if isinstance(rule, LastWeekday):
        meaning = f"{WEEKDAY_NAMES[rule.weekday - 1]}L"
    elif isinstance(rule, NthWeekday):
        meaning = f"{WEEKDAY_NAMES[rule.weekday - 1]}#{rule.nth}"
    else:
        meaning = _names(WEEKDAY, rule or ())
    text = f"weekday {field.text} is {meaning}: Cloudflare counts 1 = Sunday to 7 = Saturday; names cannot be misread"
    yield Advice("weekday-digits", text, field.rule.name)


def _union(expression: CronExpression, day: Field, weekday: Field) -> Iterator[Advice]:
    if expression.days is None or expression.weekdays is None:
        return
    kinds = {kind for month in expression.months for kind in kinds_of(month)}
    either = "day of month and day of week are both set, and either is enough"
    if any(len(firing_days(expression, *kind)) < kind[0] for kind in kinds):
        also = f"on {day_of_month_words(expression.days)} of the month and also on {day_of_week_words(expression.weekdays)}"
        yield Advice("union", f"{either}: it fires {also}")
        return
    for field, all_days in (
        (day, all(len(days_of_month(expression.days, *kind)) == kind[0] for kind in kinds)),
        (weekday, all(len(days_of_week(expression.weekdays, *kind)) == kind[0] for kind in kinds)),
    ):
        if all_days:
            text = f"fires every day: {either}, and {field.text} is a restriction that every day meets; write * instead"
            yield Advice("every-day", text, field.rule.name)
            return
    yield Advice("every-day", f"fires every day: {either}, and together they leave no day out")


def _skipped(expression: CronExpression) -> Iterator[Advice]:
    """Months that the expression allows and that have no such day, always or in some years."""
    always: list[int] = []
    sometimes: list[int] = []
    for month in expression.months:
        empty = [kind for kind in kinds_of(month) if not firing_days(expression, *kind)]
        if len(empty) == len(list(kinds_of(month))):
            always.append(month)
        elif empty:
            sometimes.append(month)
    field = DAY.name if expression.weekdays is None else WEEKDAY.name
    if always:
        yield Advice("skips-months", f"never fires in {_months(always)}: {_missing_day(expression)}", field)
    if sometimes:
        when = "in some years" if len(sometimes) < 12 else "in some months"
        where = "" if len(sometimes) == 12 else f" in {_months(sometimes)}"
        yield Advice("skips-months", f"does not fire{where} {when}: {_missing_day(expression)}", field)


def _months(months: list[int]) -> str:
    return ",".join(MONTH_NAMES[month - 1] for month in months)


def _missing_day(expression: CronExpression) -> str:
    rule = expression.days
    if isinstance(expression.weekdays, NthWeekday):
        name = WEEKDAY_NAMES[expression.weekdays.weekday - 1]
        return f"not every month has a {NTH[expression.weekdays.nth - 1]} {name}"
    if isinstance(rule, LastDay):
        return f"it takes a month of {rule.offset + 1} days or more"
    if isinstance(rule, NearestWeekday):
        return f"not every month has a day {rule.day}"
    assert rule is not None
    return f"not every month has a day {min(rule)}" + (" or later" if len(rule) > 1 else "")
