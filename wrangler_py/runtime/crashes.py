"""What both runtimes do about a process that has crashed: it is started again at once, and after the next crashes more
and more slowly."""

from __future__ import annotations

#: How long a fetch waits for a Worker that is being started after a crash (seconds).
FETCH_START_WAIT_S = 10.0
#: Crashes within this time of each other count as a row of them (seconds).
_WINDOW_S = 10.0
#: How long the start after the first, the second, ... crash in a row waits (seconds).
_BACKOFF_S = (0.0, 0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
#: So many crashes in a row without an event in between, and the code itself is at fault.
MOST_FAILED_STARTS = len(_BACKOFF_S)


class CrashBackoff:
    """How long to wait before a process is started again."""

    def __init__(self) -> None:
        self._crashes: list[float] = []

    def crashed(self, now: float) -> float:
        """A process has crashed at `now` (seconds of a monotonic clock): how long to wait (seconds)."""
        self._crashes = [at for at in self._crashes if now - at < _WINDOW_S] + [now]
        return _BACKOFF_S[min(len(self._crashes), len(_BACKOFF_S)) - 1]
