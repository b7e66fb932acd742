"""The query of the local trigger endpoints, read as miniflare and workerd read it (measured on wrangler 4.86).

Nothing is validated: `cron` may be any text and need not be configured; `time` goes through JavaScript's parseInt, so
`1e12` is 1 and `2026-01-01` is 2026.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from wrangler_py.cron.limits import DATE_TOO_EARLY, DATE_TOO_LATE, INVALID_DATE, MAX_JS_DATE_MS, MAX_TRIGGER_TIME_MS


class Trigger(Struct, frozen=True):
    """What `/cdn-cgi/handler/scheduled` was asked to run. `want_json`: answer with outcome and noRetry as JSON."""

    cron: str
    time_ms: int
    want_json: bool


class TriggerError(ValueError):
    """The `time` is no date that workerd takes: answer 500 with `body` as text, and do not run the handler."""

    def __init__(self, body: str) -> None:
        super().__init__(body)
        self.body = body


def parse_trigger(query_string: bytes, now_ms: int) -> Trigger:
    """Read the query of `/cdn-cgi/handler/scheduled` (without its `?`). Raises TriggerError."""
    query = _first_values(query_string)
    return Trigger(query.get("cron", ""), _time(query.get("time", ""), now_ms), query.get("format") == "json")


def parse_test_scheduled(query_string: bytes) -> str:
    """The `cron` of `/__scheduled`, which ignores every other parameter and runs with the present time."""
    return _first_values(query_string).get("cron", "")


def _first_values(query_string: bytes) -> dict[str, str]:
    """WHATWG form decoding; the first of several values counts. A raw `#` begins the fragment, which no server sees."""
    values: dict[str, str] = {}
    for pair in query_string.partition(b"#")[0].split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            values.setdefault(_decode(name), _decode(value))
    return values


def _decode(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8", "replace")


def _time(text: str, now_ms: int) -> int:
    if not text:
        return now_ms
    number = _parse_int(text)
    if number is None or abs(number) > MAX_JS_DATE_MS:
        raise TriggerError(INVALID_DATE)
    if number > MAX_TRIGGER_TIME_MS:
        raise TriggerError(DATE_TOO_LATE)
    if number < -MAX_TRIGGER_TIME_MS:
        raise TriggerError(DATE_TOO_EARLY)
    return number


#: ECMA-262 WhiteSpace and LineTerminator; str.strip() would take a few others too.
_JS_SPACE = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_NUMBER = re.compile(rf"[{_JS_SPACE}]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(?!0[xX])([0-9]+))")


def _parse_int(text: str) -> int | None:
    """JavaScript's parseInt without a radix; None for NaN."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    sign, hexadecimal, decimal = match.groups()
    if hexadecimal is not None:
        number = int(hexadecimal, 16)
    else:
        # 17 digits are past every date, and int() refuses to read thousands of them.
        significant = decimal.lstrip("0")[:17]
        number = int(significant or "0")
    return -number if sign == "-" else number
