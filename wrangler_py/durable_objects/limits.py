"""The numbers of alarms, with their sources.

"docs": https://developers.cloudflare.com/durable-objects/api/alarms/; "workerd": src/workerd/server/alarm-scheduler.h,
measured with wrangler 4.86 (a failed alarm came again after 2 s, then 4 s).
"""

from __future__ import annotations

#: How often an alarm that failed is tried again (docs: up to 6 retries).
MAX_RETRIES = 6
#: The wait before the first retry (seconds; docs: 2 s); each one after that takes twice as long. Without workerd's random
#: part, so that a test can wait for it.
FIRST_RETRY_S = 2.0


def retry_delay_s(retry: int) -> float:
    """How long to wait before the retry of this number, counted from 1 (seconds)."""
    return float(FIRST_RETRY_S * 2 ** (retry - 1))
