"""What an expression is said to mean, and what it is warned of."""

import datetime as dt
from itertools import islice

import pytest

from wrangler_py.cron.advice import accept, advise, advise_count
from wrangler_py.cron.expression import parse
from wrangler_py.cron.schedule import QuickSchedule
from wrangler_py.cron.words import describe


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("0,30 * * * *", "Every 30 minutes"),
        ("1/5 * * * *", "Every 5 minutes from minute 1"),
        ("*/42 * * * *", "At minutes 0 and 42 of every hour"),
        ("5 * * * *", "At minute 5 of every hour"),
        ("5,* * * * *", "At minutes 0 and 5 of every hour"),
        ("0 0 * * *", "At 00:00 UTC every day"),
        ("30 9,13 * * *", "At 09:30 and 13:30 UTC every day"),
        ("0 9-17 * * MON-FRI", "Every hour from 09:00 to 17:00 UTC on Monday to Friday"),
        ("*/15 9-17 * * 2-6", "Every 15 minutes during 09:00-17:59 UTC on Monday to Friday"),
        ("0 22-4 * * *", "Every hour from 22:00 to 04:00 UTC every day"),
        ("0 */2 * * *", "Every 2 hours from 00:00 UTC every day"),
        ("* 3 * * *", "Every minute during 03:00-03:59 UTC every day"),
        ("5,10,15 3,4,7 * * *", "At minutes 5, 10 and 15 during 03:00-04:59 and 07:00-07:59 UTC every day"),
        ("0 0 * * 1", "At 00:00 UTC on Sunday"),
        ("0 0 * * L", "At 00:00 UTC on Saturday"),
        ("0 0 * * FRI-MON", "At 00:00 UTC on Friday to Monday"),
        ("0 18 * * 6L", "At 18:00 UTC on the last Friday of the month"),
        ("0 10 * * MON#2", "At 10:00 UTC on the second Monday of the month"),
        ("59 23 LW * *", "At 23:59 UTC on the last weekday (Mon-Fri) of the month"),
        ("0 0 L * *", "At 00:00 UTC on the last day of the month"),
        ("0 0 L-1 * *", "At 00:00 UTC on the day 1 day before the last day of the month"),
        ("0 0 L-3W * *", "At 00:00 UTC on the weekday (Mon-Fri) nearest 3 days before the last day of the month"),
        ("0 0 15W * *", "At 00:00 UTC on the weekday (Mon-Fri) nearest day 15 of the month"),
        ("0 0 1,15 * *", "At 00:00 UTC on days 1 and 15 of the month"),
        ("0 0 */10 * *", "At 00:00 UTC on every 10th day from day 1 to day 31 of the month"),
        ("0 0 1-7 * *", "At 00:00 UTC on days 1 to 7 of the month"),
        ("0 0 13 * FRI", "At 00:00 UTC on day 13 of the month or on Friday"),
        ("0 0 L * MON#1", "At 00:00 UTC on the last day of the month or on the first Monday of the month"),
        ("0 0 29 2 MON", "At 00:00 UTC in February on day 29 of the month or on Monday"),
        ("0 0 1 NOV-FEB *", "At 00:00 UTC on day 1 of the month in November to February"),
        ("0 0 1 */5 *", "At 00:00 UTC on day 1 of the month in January, June and November"),
        ("0 0 */1 * MON", "At 00:00 UTC every day"),
        ("0 0 31 2 *", "Never: no month that it names has such a day"),
    ],
)
def test_words(text, words):
    assert describe(parse(text)) == words


def advice(text, dialect="intended"):
    return [(one.kind, one.field) for one in advise(parse(text, dialect))]


@pytest.mark.parametrize(
    "text",
    ["* * * * *", "*/5 * * * *", "0 9-17 * * MON-FRI", "0 0 * * MON,WED", "0 0 L * *", "0 0 1-31 * *", "0 0 * * 1-7",
     "0 0 2 */3 *", "7/15 * * * *", "59/15 * * * *", "0 0 * * MON/2", "0 0 28 2 *", "50-10/5 * * * *", "0 0 * * MON-SUN"],
)  # fmt: skip
def test_nothing_to_say(text):
    assert advice(text) == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("0 0 * * 1-5", [("weekday-digits", "day of week")]),
        ("0 0 * * 6L", [("weekday-digits", "day of week")]),
        ("0 0 * * 2#1", [("weekday-digits", "day of week")]),
        ("0 0 * * MON-5", [("weekday-digits", "day of week")]),
        ("0 0 * * FRI-MON", [("wrap-range", "day of week")]),
        ("0 0 * * FRI-MON/2", [("wrap-range", "day of week")]),
        ("0 22-4 * * *", [("wrap-range", "hour")]),
        ("0 0 31-2 * *", [("wrap-range", "day of month")]),
        ("0 0 1 NOV-FEB *", [("wrap-range", "month")]),
        ("*/42 * * * *", [("uneven-step", "minute")]),
        ("0 */5 * * *", [("uneven-step", "hour")]),
        ("0 0 */2 * *", [("uneven-step", "day of month")]),
        ("0 0 1 */5 *", [("uneven-step", "month")]),
        ("0 0 * * */2", [("uneven-step", "day of week")]),
        ("0 0 13 * FRI", [("union", None)]),
        ("0 0 */1 * MON", [("every-day", "day of month")]),
        ("0 0 1-31 * MON", [("every-day", "day of month")]),
        ("0 0 15 * SUN-SAT", [("every-day", "day of week")]),
        ("0 0 31 2 *", [("never-fires", None)]),
        ("0 0 31W 2 *", [("never-fires", None)]),
        ("0 0 31 * *", [("skips-months", "day of month")]),
        ("0 0 31W * *", [("skips-months", "day of month")]),
        ("0 0 L-30 * *", [("skips-months", "day of month")]),
        ("0 0 29 2 *", [("skips-months", "day of month")]),
        ("0 0 * * FRI#5", [("skips-months", "day of week")]),
    ],
)
def test_advice(text, kinds):
    assert advice(text) == kinds


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0 0 * * 1-5", "weekday 1-5 is SUN,MON,TUE,WED,THU: "),
        ("0 0 * * SAT-SUN", "Cloudflare's published parser also matches FRI; write the list: SAT,SUN"),
        ("0 0 * * FRI-MON/2", "Cloudflare's published parser does not match SUN; write the list: FRI,SUN"),
        ("0 22-4 * * *", "also matches 21; write the list: 22,23,0,1,2,3,4"),
        ("0 0 28-3/2 * *", "does not match 1; write the list: 28,30,1,3"),
        ("*/42 * * * *", "*/42 is 0,42 and starts anew every hour, not every 42 minutes throughout; the last gap is 18 minutes"),
        ("0 0 */1 * MON", "*/1 is a restriction that every day meets; write * instead"),
        ("0 0 31 * *", "never fires in FEB,APR,JUN,SEP,NOV: not every month has a day 31"),
        ("0 0 29 2 *", "does not fire in FEB in some years: not every month has a day 29"),
        ("0 0 * * FRI#5", "does not fire in some months: not every month has a fifth FRI"),
        ("0 0 L-30 * *", "it takes a month of 31 days or more"),
    ],
)  # fmt: skip
def test_what_advice_says(text, told):
    assert told in advise(parse(text))[0].text


def test_a_union_that_leaves_no_day_out():
    [one] = advise(parse("0 0 1-31/2 * SUN-SAT"))
    assert one.kind == "every-day"


def test_wrap_advice_in_the_published_dialect_says_that_it_applies():
    [one] = advise(parse("0 0 * * SAT-SUN", "published"))
    assert "and so does this dialect" in one.text


@pytest.mark.parametrize("text", ["0 0 31 * *", "0 0 * * FRI#5", "0 0 29 2 *", "0 0 15W 2,4 *", "0 0 30,31 * *"])
def test_months_said_to_be_skipped_are_those_without_a_fire(text):
    """Against 28 years of fires, in which every kind of month occurs."""
    skipped = any(one.kind == "skips-months" for one in advise(parse(text)))
    start = round(dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp() * 1000) - 1
    fires = [
        dt.datetime.fromtimestamp(time / 1000, dt.UTC) for time in islice(QuickSchedule(text).iter_after(start), 5000)
    ]
    seen = {(time.year, time.month) for time in fires if time.year < 2054}
    wanted = {(year, month) for year in range(2026, 2054) for month in parse(text).months}
    assert skipped == (seen != wanted)


def test_production_refuses_two_of_one_meaning():
    accepted, problems = accept(["0 0 * * MON", "0-0 0-0/1 * * MON,Mon", "0 0 * * 0", "0 0 * * MON", "0 0 1 * *"])
    assert [expression.source for expression in accepted] == ["0 0 * * MON", "0 0 1 * *"]
    assert [str(problem) for problem in problems] == [
        "duplicate cron found: 0-0 0-0/1 * * MON,Mon [code: 10100]",
        "invalid cron string: 0 0 * * 0 [code: 10100]",
        "duplicate cron found: 0 0 * * MON [code: 10100]",
    ]


def test_the_number_of_triggers_of_a_plan():
    assert advise_count(5) == []
    [one] = advise_count(6)
    assert one.text == "6 cron triggers; the Workers Free plan allows 5 per account (the Paid plan allows 250)"
    assert advise_count(250, "paid") == []
    assert advise_count(251, "paid")[0].text == "251 cron triggers; the Workers Paid plan allows 250 per account"
