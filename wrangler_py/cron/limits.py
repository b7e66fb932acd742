"""Cloudflare's numbers and texts for Cron Triggers, each with its source. No other file of the room spells them."""

from __future__ import annotations

#: Error code of the API for a bad or doubled expression (workers-sdk#8923).
CODE_INVALID = 10100


def invalid_cron(expression: str) -> str:
    """What `PUT /accounts/:id/workers/scripts/:name/schedules` answers to a bad expression (workers-sdk#8923)."""
    return f"invalid cron string: {expression}"


#: Triggers per account (Cloudflare docs: Workers > Platform > Limits).
FREE_PLAN_CRONS = 5
PAID_PLAN_CRONS = 250

#: How many past runs the dashboard's "Cron Events" keeps (Cloudflare docs: Cron Triggers > View past events).
HISTORY_RUNS = 100
#: wpy's own: how many printed pieces of one run the history keeps, the first ones.
HISTORY_LOGS = 200
#: wpy's own: how many characters of them.
HISTORY_LOG_CHARS = 100_000

#: wpy's own: a tick seen later than this was missed (the laptop slept, the process was stopped), not merely late.
MISSED_AFTER_MS = 60_000
#: wpy's own: the most ticks that one wake-up makes up for with `catch_up`; older ones are reported as missed.
CATCH_UP_RUNS = 1_000

#: Largest `time` of the trigger endpoints either side of the epoch, ms: int64 nanoseconds (workerd's `kj::Date`).
MAX_TRIGGER_TIME_MS = 9_223_372_036_854
#: Largest time value of a JavaScript Date either side of the epoch, ms (ECMA-262, TimeClip).
MAX_JS_DATE_MS = 8_640_000_000_000_000
#: First lines of the 500 on /cdn-cgi/handler/scheduled, before a stack of miniflare's files (measured, wrangler 4.86).
INVALID_DATE = "TypeError: The value cannot be converted because it is not a valid Date."
DATE_TOO_LATE = "TypeError: This API doesn't support dates after 2189."
DATE_TOO_EARLY = "TypeError: This API doesn't support dates before 1687."
#: Body of a 200 on /__scheduled (wrangler's middleware-scheduled, 19 bytes).
RAN_SCHEDULED_EVENT = "Ran scheduled event"
