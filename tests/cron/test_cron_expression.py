"""What the dialect accepts and refuses, and how a refusal is shown. B and C are the conformance cases of the dialect."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wrangler_py.cron.expression import CronSyntaxError, LastDay, LastWeekday, NearestWeekday, NthWeekday, parse

EXPRESSIONS = [json.loads(line)["expr"] for line in (Path(__file__).parent / "vectors.jsonl").read_text().splitlines()]

#: Case, expression, field, columns at fault, and the expression that is offered instead.
REFUSED = [
    ("B1", "", None, 0, 0, "* * * * *"),
    ("B2", "* * * *", None, 7, 7, None),
    ("B3", "* * * * * *", None, 10, 11, "* * * * *"),
    ("B4", "@daily", None, 0, 6, "0 0 * * *"),
    ("B5", " * * * * *", None, 0, 1, "* * * * *"),
    ("B6", "* * * * * ", None, 9, 10, "* * * * *"),
    ("B7", "* * * * *\n", None, 9, 10, "* * * * *"),
    ("B8", "*\n* * * *", None, 1, 2, "* * * * *"),
    ("B9", "\xa0* * * * *", None, 0, 1, "* * * * *"),
    ("B10", "60 * * * *", "minute", 0, 2, "0 * * * *"),
    ("B11", "256 * * * *", "minute", 0, 3, None),
    ("B12", "+5 * * * *", "minute", 0, 1, "5 * * * *"),
    ("B13", "1.5 * * * *", "minute", 1, 2, None),
    ("B14", "* 24 * * *", "hour", 2, 4, "* 0 * * *"),
    ("B15", "* * 0 * *", "day of month", 4, 5, "* * 1 * *"),
    ("B16", "* * 32 * *", "day of month", 4, 6, "* * L * *"),
    ("B17", "* * * 0 *", "month", 6, 7, "* * * 1 *"),
    ("B18", "* * * 13 *", "month", 6, 8, None),
    ("B19", "* * * * 0", "day of week", 8, 9, "* * * * SUN"),
    ("B20", "* * * * 8", "day of week", 8, 9, None),
    ("B21", "*/0 * * * *", "minute", 2, 3, None),
    ("B22", "*/60 * * * *", "minute", 2, 4, "0 * * * *"),
    ("B23", "* */24 * * *", "hour", 4, 6, "* 0 * * *"),
    ("B24", "* * */31 * *", "day of month", 6, 8, "* * 1 * *"),
    ("B25", "* * * */12 *", "month", 8, 10, "* * * JAN *"),
    ("B26", "* * * * */7", "day of week", 10, 11, "* * * * SUN"),
    ("B27", "*,5 * * * *", "minute", 0, 1, "* * * * *"),
    ("B28", "*-30 * * * *", "minute", 0, 4, "0-30 * * * *"),
    ("B29", "5,,6 * * * *", "minute", 1, 2, "5,6 * * * *"),
    ("B30", "5, * * * *", "minute", 1, 2, "5 * * * *"),
    ("B31", "0 0 l * *", "day of month", 4, 5, "0 0 L * *"),
    ("B32", "0 0 15w * *", "day of month", 4, 7, "0 0 15W * *"),
    ("B33", "0 0 * * fril", "day of week", 8, 12, "0 0 * * friL"),
    ("B34", "0 0 L,15 * *", "day of month", 4, 5, "0 0 15 * *  and  0 0 L * *"),
    ("B35", "0 0 15,L * *", "day of month", 7, 8, "0 0 15 * *  and  0 0 L * *"),
    ("B36", "0 0 1W,15W * *", "day of month", 4, 6, "0 0 1W * *  and  0 0 15W * *"),
    ("B37", "0 0 L-0 * *", "day of month", 6, 7, "0 0 L * *"),
    ("B38", "0 0 L-31 * *", "day of month", 6, 8, None),
    ("B39", "0 0 WL * *", "day of month", 4, 6, "0 0 LW * *"),
    ("B40", "0 0 W * *", "day of month", 4, 5, None),
    ("B41", "0 0 * * MON#0", "day of week", 12, 13, None),
    ("B42", "0 0 * * MON#6", "day of week", 12, 13, None),
    ("B43", "0 0 * * MON#2,FRI", "day of week", 8, 13, "0 0 * * FRI  and  0 0 * * MON#2"),
    ("B44", "0 0 * * LW", "day of week", 8, 10, "0 0 LW * *"),
    ("B45", "0 0 * * L6", "day of week", 8, 10, "0 0 * * 6L"),
    ("B46", "0 0 * * 2L,4L", "day of week", 8, 10, "0 0 * * 2L  and  0 0 * * 4L"),
    ("B47", "0 0 ? * MON", "day of month", 4, 5, "0 0 * * MON"),
    ("B48", "0 0 * * ?", "day of week", 8, 9, "0 0 * * *"),
    ("B49", "0 0 * * MONDAY", "day of week", 8, 14, "0 0 * * MON"),
    ("B50", "0 0 1 JANUARY *", "month", 6, 13, "0 0 1 JAN *"),
    ("B51", "H * * * *", "minute", 0, 1, None),
    ("B52", "* * * * SUN-", "day of week", 11, 12, None),
    ("month-name-in-weekdays", "0 0 * * JAN", "day of week", 8, 11, None),
    ("weekday-in-months", "0 0 * MON *", "month", 6, 9, None),
    ("classic-weekdays", "0 0 * * 0-6", "day of week", 8, 9, "0 0 * * SUN-SAT"),
    ("classic-weekday-list", "0 0 * * 0,6", "day of week", 8, 9, "0 0 * * SUN,SAT"),
    ("classic-first-sunday", "0 0 * * 0#1", "day of week", 8, 9, "0 0 * * SUN#1"),
    ("range-end-past-the-hour", "0-60 * * * *", "minute", 2, 4, "0-59 * * * *"),
    ("step-from-value", "5/60 * * * *", "minute", 2, 4, "5 * * * *"),
    ("to-the-last-day", "0 0 25-L * *", "day of month", 7, 8, "0 0 25-31 * *"),
    ("years", "0 0 31 * * 2026", None, 11, 15, "0 0 31 * *"),
    ("two-faults", "0 0 lw * ?", "day of month", 4, 6, "0 0 LW * *"),
    ("W-first", "0 0 W15 * *", "day of month", 4, 7, "0 0 15W * *"),
    ("empty-first", ",5 * * * *", "minute", 0, 1, "5 * * * *"),
    ("no-step", "5/ * * * *", "minute", 1, 2, None),
    ("sign", "-5 * * * *", "minute", 0, 1, None),
    ("wide-letters", "0 0 日本 * *", "day of month", 4, 5, None),
    ("fullwidth-digit", "５ * * * *", "minute", 0, 1, None),
    ("reboot", "@reboot", None, 0, 7, None),
    ("endless-number", "0 0 " + "9" * 9000 + " * *", "day of month", 4, 9004, None),
    ("endless-step", "*/" + "9" * 9000 + " * * * *", "minute", 2, 9002, None),
]


@pytest.mark.parametrize(
    ("text", "field", "start", "end", "instead"),
    [pytest.param(*case[1:], id=case[0]) for case in REFUSED],
)
def test_refused_with_place_and_fix(text, field, start, end, instead):
    with pytest.raises(CronSyntaxError) as caught:
        parse(text)
    error = caught.value
    assert (error.expression, error.field, error.start, error.end) == (text, field, start, end)
    assert str(error) == f"invalid cron string: {text}"
    assert error.code == 10100
    assert error.rule
    if instead is None:
        assert "* *" not in (error.fix or "")
    else:
        assert error.fix is not None and error.fix.endswith(f": {instead}")
        for one in instead.split("  and  "):
            parse(one)


def test_a_refusal_is_shown_with_a_caret():
    with pytest.raises(CronSyntaxError) as caught:
        parse("0 0 * * 0")
    assert caught.value.pretty().splitlines() == [
        "invalid cron string: 0 0 * * 0 [code: 10100]",
        "  0 0 * * 0",
        "          ^ day of week: values go from 1 (SUN) to 7 (SAT)",
        "  Sunday is 1 or SUN: 0 0 * * SUN",
    ]


@pytest.mark.parametrize(
    ("text", "shown", "caret"),
    [
        ("0\t0 * *  MONDAY", "0 0 * *  MONDAY", "         ^^^^^^"),
        ("*\n* * * *", "*␊* * * *", " ^"),
        ("\x1b[2J * * * *", "␛[2J * * * *", "^"),
        ("5 日 * * *", "5 日 * * *", "  ^^"),
    ],
)
def test_the_caret_stands_under_what_a_terminal_shows(text, shown, caret):
    with pytest.raises(CronSyntaxError) as caught:
        parse(text)
    lines = caught.value.pretty().splitlines()
    assert lines[1] == "  " + shown
    assert lines[2].startswith("  " + caret + " ")
    assert "\x1b" not in caught.value.pretty()


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        pytest.param("*\t*  * * *", "* * * * *", id="C-blanks-and-tabs"),
        pytest.param("00 00 * * *", "0 0 * * *", id="C-leading-zeros"),
        pytest.param("0005 * * * *", "5 * * * *", id="C-many-leading-zeros"),
        pytest.param("0 0 * * mOn", "0 0 * * MON", id="C-name-case"),
        pytest.param("0 0 1,* * *", "0 0 1 * *", id="C-star-in-the-tail-is-the-minimum-day"),
        pytest.param("0 0 * * 2,*", "0 0 * * SUN,MON", id="C-star-in-the-tail-is-sunday"),
        pytest.param("5,* * * * *", "0,5 * * * *", id="C-star-in-the-tail-is-minute-0"),
        pytest.param("50,*-10/5 * * * *", "0,5,10,50 * * * *", id="C-star-begins-a-range-in-the-tail"),
        pytest.param("0 0 * * SUN-SUN", "0 0 * * SUN", id="C-equal-range"),
        pytest.param("0-0 0-0/1 * * MON,Mon", "0 0 * * MON", id="C-production-duplicate"),
        pytest.param("0 0 * * MON-5", "0 0 * * 2,3,4,5", id="C-name-and-number"),
        pytest.param("0 0 1 1-JUN/4 *", "0 0 1 1,5 *", id="C-number-and-name"),
        pytest.param("0 0 * * L", "0 0 * * 7", id="C-L-alone-is-saturday"),
        pytest.param("0-59 0-23 * 1-12 *", "* * * * *", id="C-full-ranges"),
    ],
)
def test_accepted_with_one_meaning(text, same_as):
    expression = parse(text)
    assert expression.source == text
    assert expression.compiled == parse(same_as).compiled


@pytest.mark.parametrize(("text", "plain"), [("0 0 */1 * *", "0 0 * * *"), ("0 0 * * 1-7", "0 0 * * *")])
def test_a_restriction_that_every_day_meets_is_not_a_star(text, plain):
    assert parse(text).compiled != parse(plain).compiled


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 31W 2 *", "0 0 L-30W 2 *"])
def test_dates_that_never_come_are_accepted(text):
    """C."""
    assert parse(text).source == text


@pytest.mark.parametrize(
    ("text", "days", "weekdays"),
    [
        ("0 0 L * *", LastDay(0, False), None),
        ("0 0 LW * *", LastDay(0, True), None),
        ("0 0 L-3 * *", LastDay(3, False), None),
        ("0 0 L-03W * *", LastDay(3, True), None),
        ("0 0 031W * *", NearestWeekday(31), None),
        ("0 0 * * 6L", None, LastWeekday(6)),
        ("0 0 * * friL", None, LastWeekday(6)),
        ("0 0 * * sunL", None, LastWeekday(1)),
        ("0 0 * * MON#2", None, NthWeekday(2, 2)),
        ("0 0 1 * 1#5", (1,), NthWeekday(1, 5)),
    ],
)
def test_special_days(text, days, weekdays):
    expression = parse(text)
    assert (expression.days, expression.weekdays) == (days, weekdays)


def _check(text):
    """Parsed, or refused with a place inside the text and a fix that would be accepted."""
    try:
        expression = parse(text)
    except CronSyntaxError as error:
        assert 0 <= error.start <= error.end <= len(text)
        assert text in str(error)
        assert error.pretty()
        if error.fix and ": " in error.fix:
            for offered in error.fix.rsplit(": ", 1)[1].split("  and  "):
                parse(offered)
    else:
        assert str(expression) == text


@pytest.mark.no_cover
@given(st.text(max_size=12) | st.text(alphabet="0123456789*,-/#LWlw?@ \t\nMONFRIsatjan", max_size=24))
def test_any_text_is_parsed_or_refused_with_a_place_inside_it(text):
    _check(text)


_slips = st.text(alphabet="0123456789*,-/#LWlw?@ \tHMONFRIsatjan+.\u0665", min_size=1, max_size=3)


@settings(max_examples=500)
@pytest.mark.no_cover
@given(st.sampled_from(EXPRESSIONS), st.data())
def test_a_slip_of_the_pen_is_parsed_or_refused_with_a_place_inside_it(text, data):
    start = data.draw(st.integers(0, len(text)))
    _check(text[:start] + data.draw(_slips) + text[start + data.draw(st.integers(0, 2)) :])


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_each_vector_is_parsed_or_refused_with_a_place_inside_it(text):
    _check(text)
