"""Rate limiting: calls of a key counted in windows of 10 or 60 seconds, as miniflare and production count them.

Counts are a session's own and begin anew with it, as they do at every location of Cloudflare's.
"""

from __future__ import annotations

from collections import Counter

from wrangler_py.clock import Clock


class RateLimiter:
    """Counts for all namespaces. Bindings with one namespace share its counts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, float], tuple[int, Counter[str]]] = {}

    def limit(self, namespace: str, key: str, limit: float, period_s: float) -> bool:
        """Count one call of `key`; False when the window has had `limit` of them already."""
        window = int(self._clock.now_ms() // (period_s * 1000))
        since, counts = self._windows.get((namespace, period_s), (window, Counter[str]()))
        if since != window:
            counts = Counter()
        self._windows[namespace, period_s] = (window, counts)
        if counts[key] >= limit:
            return False
        counts[key] += 1
        return True
