"""Real and virtual time: the only room that may ask what time it is.

Every delay, batch timeout, retention, cron and TTL in wpy asks the `Clock` it was given, in whole
milliseconds since the Unix epoch (UTC). A virtual clock can therefore move all of them at once.
"""

from wrangler_py.clock.base import Clock, ClockEndless, ClockStopped, SystemClock, Timer, sleep_until, utc_today
from wrangler_py.clock.session import SessionClock
from wrangler_py.clock.virtual import VirtualClock

__all__ = [
    "Clock",
    "ClockEndless",
    "ClockStopped",
    "SessionClock",
    "SystemClock",
    "Timer",
    "VirtualClock",
    "sleep_until",
    "utc_today",
]
