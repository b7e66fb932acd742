"""Questions about expressions as JSON lines, for editors and CI: one line in, one line out, thousands a second.

    {"expr": "0 10 * * MON#2", "after": "2026-03-01T00:00:00Z", "n": 3}
    {"expr": "0 10 * * MON#2", "ok": true, "next": ["2026-03-09T10:00:00Z", ...]}

`after` (default: now) and `n` (default: as asked on the command line) may be left out.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from wrangler_py.cron.expression import DIALECTS, CronSyntaxError, Dialect
from wrangler_py.cron.schedule import next_fires

#: The most fires that one question may ask for.
MAX_FIRES = 10_000

_EPOCH = dt.datetime(1970, 1, 1)
_EPOCH_UTC = _EPOCH.replace(tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)


def iso(time_ms: int) -> str:
    """A time of the calendar as "2026-03-01T00:00:00Z"."""
    return (_EPOCH + dt.timedelta(milliseconds=time_ms)).isoformat() + "Z"


def parse_time(text: str) -> int:
    """ISO 8601 to ms since the epoch; a time without an offset is UTC. Raises ValueError with the reason."""
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time like 2026-03-01T00:00:00Z") from None
    return ((time if time.tzinfo else time.replace(tzinfo=dt.UTC)) - _EPOCH_UTC) // _MS


def answer(line: bytes, now_ms: int, count: int, dialect: Dialect = "intended") -> bytes:
    """The answer to one line, without a line break. What is wrong with the line is an answer too."""
    expression: object = None
    try:
        question = _read(line)
        expression = question.get("expr")
        reply = _answer(question, now_ms, count, dialect)
    except CronSyntaxError as error:
        reply = refusal(error)
    except ValueError as error:
        reply = {"expr": expression, "ok": False, "error": str(error)}
    return json.dumps(reply, separators=(",", ":")).encode()


def refusal(error: CronSyntaxError) -> dict[str, Any]:
    """A refused expression as JSON: production's message, and for an editor the columns, the rule and the fix."""
    return {
        "expr": error.expression,
        "ok": False,
        "error": str(error),
        "code": error.code,
        "field": error.field,
        "start": error.start,
        "end": error.end,
        "rule": error.rule,
        "fix": error.fix,
    }


def _read(line: bytes) -> dict[str, Any]:
    try:
        question = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a JSON object: {error}") from None
    if not isinstance(question, dict):
        raise ValueError('not a JSON object like {"expr": "* * * * *", "after": "2026-03-01T00:00:00Z", "n": 5}')
    return question


def _answer(question: dict[str, Any], now_ms: int, count: int, dialect: Dialect) -> dict[str, Any]:
    expression = question.get("expr")
    if not isinstance(expression, str):
        raise ValueError('"expr" must be a string')
    after = question.get("after")
    if after is None:
        after_ms = now_ms
    elif isinstance(after, str):
        after_ms = parse_time(after)
    else:
        raise ValueError('"after" must be a time like "2026-03-01T00:00:00Z"')
    n = question.get("n", count)
    if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= MAX_FIRES:
        raise ValueError(f'"n" must be a whole number from 0 to {MAX_FIRES}')
    asked = question.get("dialect", dialect)
    if asked not in DIALECTS:
        raise ValueError(f'"dialect" must be one of {", ".join(DIALECTS)}')
    return {"expr": expression, "ok": True, "next": [iso(time) for time in next_fires(expression, after_ms, n, asked)]}
