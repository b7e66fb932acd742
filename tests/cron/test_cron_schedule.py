"""When expressions fire. A, D and F are conformance cases; `published_table.tsv` is what Cloudflare's published parser
answers (first three fires after 2026-01-01T00:00:00Z) for expressions on which croniter alone would be wrong."""

import datetime as dt
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wrangler_py.cron.expression import (
    DIALECTS,
    FIELDS,
    MONTH_NAMES,
    WEEKDAY_NAMES,
    CronSyntaxError,
)
from wrangler_py.cron.schedule import QuickSchedule, Schedule, next_fires

HERE = Path(__file__).parent
KINDS = [Schedule, QuickSchedule]


def ms(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).astimezone(dt.UTC).timestamp() * 1000)


def utc(time_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC)


def fires(kind, text, after, count, dialect="intended"):
    return list(islice(kind(text, dialect).iter_after(ms(after)), count))


def rows(name):
    return [line.split("\t") for line in (HERE / name).read_text().splitlines()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("text", "after", "expected"), [pytest.param(*row[1:], id=row[0]) for row in rows("part_a.tsv")]
)
def test_next_four(kind, dialect, text, after, expected):
    found = [f"{utc(time):%Y-%m-%dT%H:%M}" for time in fires(kind, text, after, 4, dialect)]
    assert found == ([] if expected == "never" else expected.split(", "))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "after", "published", "intended"), [pytest.param(*row[1:], id=row[0]) for row in rows("part_d.tsv")]
)
def test_wrap_around_ranges(kind, text, after, published, intended):
    for dialect, expected in (("published", published), ("intended", intended)):
        found = [f"{utc(time):%a %m-%d %H:%M}" for time in fires(kind, text, after, 6, dialect)]
        assert found == expected.split(" · "), dialect


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("text", "expected"), [pytest.param(*row[1:], id=f"table-{row[0]}") for row in rows("published_table.tsv")]
)
def test_first_three_of_the_published_parser(kind, text, expected):
    text = text.replace("<TAB>", "\t").replace("<NL>", "\n").replace("<NBSP>", "\u00a0")
    after = "2026-01-01T00:00:00Z"
    if expected == "✗":
        with pytest.raises(CronSyntaxError):
            kind(text, "published")
        return
    found = [
        f"{utc(time):%a %m-%d %H:%M}" if utc(time).year == 2026 else f"{utc(time):%a %y-%m-%d %H:%M}"
        for time in fires(kind, text, after, 3, "published")
    ]
    assert found == ([] if expected == "never" else expected.split(" · "))


@pytest.mark.parametrize("kind", KINDS)
class TestGuardsAgainstCroniter:
    """F: what croniter alone, or an older croniter, gets wrong."""

    def test_first_of_march_is_not_skipped(self, kind):
        assert fires(kind, "0 0 1,31 * *", "2026-02-01T00:00:00Z", 1) == [ms("2026-03-01T00:00:00Z")]

    def test_an_equal_range_is_one_value(self, kind):
        found = fires(kind, "5-5 * * * *", "2026-01-01T00:00:00Z", 3)
        assert [utc(time).minute for time in found] == [5, 5, 5]
        assert found[1] - found[0] == 3_600_000

    def test_nearest_weekday_and_weekday_are_a_union(self, kind):
        found = [utc(time).date() for time in fires(kind, "0 0 15W * FRI", "2026-02-01T00:00:00Z", 5)]
        assert [day.day for day in found] == [6, 13, 16, 20, 27]

    def test_31W_skips_short_months(self, kind):
        found = [utc(time).month for time in fires(kind, "0 0 31W * *", "2026-01-01T00:00:00Z", 7)]
        assert found == [1, 3, 5, 7, 8, 10, 12]

    def test_a_full_weekday_list_fires_every_day(self, kind):
        found = fires(kind, "0 0 15 * 1-7", "2026-01-01T00:00:00Z", 3)
        assert [utc(time).day for time in found] == [2, 3, 4]


@pytest.mark.parametrize("kind", KINDS)
class TestOneSchedule:
    @pytest.mark.parametrize(
        "text", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31W 2 *", "0 0 L-30W 2 *", "0 0 31 4,6 *", "0 0 L-29 2 *"]
    )
    def test_never(self, kind, text):
        """C: accepted, and never fires."""
        schedule = kind(text)
        assert schedule.never
        assert schedule.next_after(0) is None
        assert not schedule.matches(ms("2026-02-28T00:00:00Z"))

    def test_the_longest_gap_of_the_calendar(self, kind):
        """29 February on a Sunday: 28 years apart, 40 across 2100."""
        found = fires(kind, "0 0 * 2 SUN#5", "2050-01-01T00:00:00Z", 3)
        assert [utc(time).year for time in found] == [2060, 2088, 2128]

    def test_matches_looks_at_the_whole_minute(self, kind):
        schedule = kind("30 10 * * MON#2")
        assert schedule.matches(ms("2026-01-12T10:30:00Z"))
        assert schedule.matches(ms("2026-01-12T10:30:59.999Z"))
        assert not schedule.matches(ms("2026-01-12T10:31:00Z"))
        assert not schedule.matches(ms("2026-01-12T10:29:59.999Z"))

    def test_matches_agrees_with_iteration_where_the_published_contains_does_not(self, kind):
        # L-3W in a month whose target is a Saturday moves to Friday only; 31W leaves 30-day months out.
        assert kind("0 0 L-3W * *").matches(ms("2026-03-27T00:00:00Z"))
        assert not kind("0 0 L-3W * *").matches(ms("2026-03-30T00:00:00Z"))
        assert not kind("0 0 31W * *").matches(ms("2027-04-30T00:00:00Z"))

    @pytest.mark.parametrize("ms_into_minute", [0, 1, 59_999])
    def test_the_start_is_floored_and_left_out(self, kind, ms_into_minute):
        start = ms("2026-01-01T00:05:00Z")
        assert kind("* * * * *").next_after(start + ms_into_minute) == start + 60_000

    def test_before_1970(self, kind):
        assert fires(kind, "0 0 29 2 *", "1959-12-31T23:59:00Z", 2) == [
            ms("1960-02-29T00:00:00Z"),
            ms("1964-02-29T00:00:00Z"),
        ]

    def test_the_calendar_ends(self, kind):
        schedule = kind("0 0 1 * *")
        assert schedule.next_after(ms("9999-11-15T00:00:00Z")) == ms("9999-12-01T00:00:00Z")
        assert schedule.next_after(ms("9999-12-01T00:00:00Z")) is None
        assert schedule.next_after(10**17) is None
        assert kind("0 0 L-3W * *").next_after(ms("9999-12-31T00:00:00Z")) is None

    def test_before_the_calendar_begins(self, kind):
        assert utc(kind("5 * * * *").next_after(-(10**17))) == dt.datetime(1, 1, 1, 0, 5, tzinfo=dt.UTC)


def test_next_fires():
    found = next_fires("0 10 * * MON#2", ms("2026-01-01T00:00:00Z"), 2)
    assert found == [ms("2026-01-12T10:00:00Z"), ms("2026-02-09T10:00:00Z")]
    assert next_fires("0 0 31 2 *", 0, 5) == []


# --- the two ways to the same answer ----------------------------------------------------------------------------------


def _value(field):
    numbers = st.integers(field.low, field.high).map(str)
    if not field.names:
        return numbers
    return numbers | st.sampled_from(MONTH_NAMES if field.high == 12 else WEEKDAY_NAMES)


@st.composite
def _items(draw, field):
    value = draw(_value(field))
    shape = draw(st.sampled_from(["v", "v", "v", "v-v", "v-v/s", "v/s", "*/s"]))
    step = str(draw(st.integers(1, field.high - field.low)))
    other = draw(_value(field))
    return {
        "v": value,
        "v-v": f"{value}-{other}",
        "v-v/s": f"{value}-{other}/{step}",
        "v/s": f"{value}/{step}",
        "*/s": f"*/{step}",
    }[shape]


def _lists(field):
    return st.just("*") | st.lists(_items(field), min_size=1, max_size=3).map(",".join)


MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS = FIELDS
_special_days = st.one_of(
    st.sampled_from(["L", "LW"]),
    st.integers(1, 30).map(lambda n: f"L-{n}"),
    st.integers(1, 30).map(lambda n: f"L-{n}W"),
    st.integers(1, 31).map(lambda n: f"{n}W"),
)
_special_weekdays = st.one_of(
    st.just("L"),
    _value(WEEKDAYS).map(lambda day: f"{day}L"),
    st.tuples(_value(WEEKDAYS), st.integers(1, 5)).map(lambda pair: f"{pair[0]}#{pair[1]}"),
)
expressions = st.tuples(
    _lists(MINUTES),
    _lists(HOURS),
    _lists(DAYS) | _special_days,
    _lists(MONTHS),
    _lists(WEEKDAYS) | _special_weekdays,
).map(" ".join)


@settings(max_examples=400, deadline=None)
@pytest.mark.no_cover
@given(expressions, st.integers(0, 4_102_444_800_000), st.sampled_from(DIALECTS))
def test_quick_and_croniter_agree(text, after, dialect):
    through_croniter = list(islice(Schedule(text, dialect).iter_after(after), 6))
    assert list(islice(QuickSchedule(text, dialect).iter_after(after), 6)) == through_croniter
    assert Schedule(text, dialect).never == (not through_croniter)
