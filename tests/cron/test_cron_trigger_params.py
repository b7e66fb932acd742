"""The query of the trigger endpoints. Expected values were read off wrangler 4.86; E numbers are its recorded cases."""

import pytest

from wrangler_py.cron.trigger_params import Trigger, TriggerError, parse_test_scheduled, parse_trigger

NOW = 1_795_337_166_313
INVALID = "TypeError: The value cannot be converted because it is not a valid Date."
LATE = "TypeError: This API doesn't support dates after 2189."
EARLY = "TypeError: This API doesn't support dates before 1687."


@pytest.mark.parametrize(
    ("query", "cron"),
    [
        pytest.param(b"", "", id="E12"),
        pytest.param(b"cron=zzz", "zzz", id="E13"),
        pytest.param(b"cron=a&cron=b", "a", id="E14"),
        pytest.param(b"cron=0%200%20*%20*%20MON%232", "0 0 * * MON#2", id="E15"),
        pytest.param(b"cron=a%2Bb", "a+b", id="E16"),
        pytest.param(b"cron", "", id="E17"),
        pytest.param(b"cron=*+*+*+*+*", "* * * * *", id="E2-plus"),
        pytest.param(b"cron=*%20*%20*%20*%20*", "* * * * *", id="E3-percent20"),
        pytest.param(b"cron=%zz", "%zz", id="bad-percent"),
        pytest.param(b"cron=%ff", "\ufffd", id="bad-utf8"),
        pytest.param(b"cron=%E2%82", "\ufffd", id="truncated-utf8"),
        pytest.param(b"cron=%ED%A0%80", "\ufffd\ufffd\ufffd", id="surrogate"),
        pytest.param(b"cron=%EF%BB%BFx", "\ufeffx", id="bom-kept"),
        pytest.param(b"cron=%00", "\0", id="nul"),
        pytest.param(b"cron=a;b=c", "a;b=c", id="semicolon"),
        pytest.param(b"cron=a=b", "a=b", id="equals"),
        pytest.param(b"CRON=a", "", id="name-case"),
        pytest.param(b"c%72on=enc", "enc", id="name-encoded"),
        pytest.param(b"=x&cron=y", "y", id="empty-name"),
        pytest.param(b"&&cron=z", "z", id="empty-pairs"),
        pytest.param(b"cron=%F0%9F%98%80", "\U0001f600", id="emoji"),
        pytest.param(b"cron=a#b", "a", id="fragment"),
        pytest.param(b"cron=\xff", "\ufffd", id="raw-byte"),
    ],
)
def test_cron_is_the_first_value_decoded(query, cron):
    assert parse_trigger(query, NOW) == Trigger(cron, NOW, False)
    assert parse_test_scheduled(query) == cron


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("time=0", 0, id="E18"),
        pytest.param("time=-5", -5, id="E19"),
        pytest.param("time=1.9", 1, id="E20"),
        pytest.param("time=12abc", 12, id="E21"),
        pytest.param("time=1e12", 1, id="E22"),
        pytest.param("time=", NOW, id="E23"),
        pytest.param("time", NOW, id="E23-valueless"),
        pytest.param("time=&time=5", NOW, id="E23-first-counts"),
        pytest.param("time=0x10", 16, id="E24"),
        pytest.param("time=-0x10", -16, id="E24-negative"),
        pytest.param("time=0X1F", 31, id="E24-upper"),
        pytest.param("time=9223372036854", 9_223_372_036_854, id="E26-last"),
        pytest.param("time=-9223372036854", -9_223_372_036_854, id="E26-first"),
        pytest.param("time=2026-01-01T00:00:00Z", 2026, id="iso-is-2026-ms"),
        pytest.param("time=+7", 7, id="plus-is-a-space"),
        pytest.param("time=%2B7", 7, id="sign"),
        pytest.param("time=-0", 0, id="minus-zero"),
        pytest.param("time=-1.9", -1, id="negative-fraction"),
        pytest.param("time=0b11", 0, id="no-binary"),
        pytest.param("time=1_000", 1, id="no-underscores"),
        pytest.param("time=1e400", 1, id="exponent"),
        pytest.param("time=%0A8", 8, id="newline"),
        pytest.param("time=%C2%A05", 5, id="nbsp"),
        pytest.param("time=%EF%BB%BF6", 6, id="bom"),
        pytest.param("time=%E3%80%805", 5, id="ideographic-space"),
        pytest.param("time=" + "0" * 6000 + "9", 9, id="many-zeros"),
    ],
)
def test_time_goes_through_parse_int(text, expected):
    assert parse_trigger(text.encode(), NOW).time_ms == expected


@pytest.mark.parametrize(
    ("text", "body"),
    [
        pytest.param("abc", INVALID, id="E25"),
        pytest.param("%20", INVALID, id="E25-blank"),
        pytest.param("0x", INVALID, id="E25-0x"),
        pytest.param("-", INVALID, id="E25-sign-only"),
        pytest.param(".5", INVALID, id="E25-no-integer-part"),
        pytest.param("Infinity", INVALID, id="E25-infinity"),
        pytest.param("%D9%A1", INVALID, id="E25-arabic-digit"),
        pytest.param("%1C9", INVALID, id="E25-file-separator-is-no-space"),
        pytest.param("%C2%859", INVALID, id="E25-nel-is-no-space"),
        pytest.param("%E2%80%8B5", INVALID, id="E25-zero-width-space"),
        pytest.param("8640000000000001", INVALID, id="E25-past-Date"),
        pytest.param("-8640000000000001", INVALID, id="E25-before-Date"),
        pytest.param("9" * 9000, INVALID, id="E25-9000-digits"),
        pytest.param("0x7fffffffffffffffff", INVALID, id="E25-hex"),
        pytest.param("9223372036855", LATE, id="E26"),
        pytest.param("8640000000000000", LATE, id="E26-last-Date"),
        pytest.param("-9223372036855", EARLY, id="E26-before-1687"),
        pytest.param("-8640000000000000", EARLY, id="E26-first-Date"),
    ],
)
def test_time_that_is_no_date(text, body):
    with pytest.raises(TriggerError) as caught:
        parse_trigger(b"time=" + text.encode(), NOW)
    assert caught.value.body == body


@pytest.mark.parametrize(
    ("query", "json"),
    [
        pytest.param(b"format=json", True, id="E27"),
        pytest.param(b"format=JSON", False, id="E35"),
        pytest.param(b"format=text&format=json", False, id="first-counts"),
        pytest.param(b"", False, id="absent"),
    ],
)
def test_format(query, json):
    assert parse_trigger(query, NOW).want_json is json


def test_test_scheduled_ignores_time_and_format():
    """E4, E5."""
    assert parse_test_scheduled(b"time=abc&format=json&cron=x") == "x"
