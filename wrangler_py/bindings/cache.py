"""The Cache API's store: answers by URL, for as long as their headers say; what was used least goes first.

A cache may forget at any time, and this one does so with its session. Rules:
https://developers.cloudflare.com/workers/runtime-apis/cache/ and, for answers that say nothing of their age,
https://developers.cloudflare.com/cache/how-to/configure-cache-status-code/#edge-ttl.
"""

from __future__ import annotations

from collections import OrderedDict
from email.utils import parsedate_to_datetime

from msgspec import Struct
from msgspec.structs import replace

from wrangler_py.clock import Clock

#: The bodies that are kept at most, all together (bytes).
MAX_BYTES = 64 << 20
#: How long answers without any word on it are kept, by status (seconds).
_DEFAULT_TTL_S = {200: 7200, 203: 7200, 301: 7200, 302: 1200, 303: 1200, 404: 180, 410: 180}

Headers = tuple[tuple[str, str], ...]


class Cached(Struct, frozen=True):
    """An answer that was put into the cache. In one that is taken out, the headers say its age."""

    status: int
    headers: Headers
    body: bytes
    since_ms: int
    until_ms: int


class CacheStore:
    """All caches of a session. Keys are (name of the cache, URL)."""

    def __init__(self, clock: Clock, max_bytes: int = MAX_BYTES) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._entries: OrderedDict[tuple[str, str], Cached] = OrderedDict()
        self._bytes = 0

    def match(self, cache: str, url: str) -> Cached | None:
        """What was put for a URL, if it is fresh."""
        found = self._entries.get((cache, url))
        if found is None:
            return None
        now = self._clock.now_ms()
        if found.until_ms <= now:
            self.delete(cache, url)
            return None
        self._entries.move_to_end((cache, url))
        age = str((now - found.since_ms) // 1000)
        return replace(found, headers=(*(h for h in found.headers if h[0].lower() != "age"), ("age", age)))

    def put(self, cache: str, url: str, status: int, headers: Headers, body: bytes) -> bool:
        """Keep an answer. False when its headers or its size forbid it."""
        now = self._clock.now_ms()
        ttl = time_to_live(status, headers, now)
        if ttl is None or len(body) > self._max_bytes:
            return False
        self.delete(cache, url)
        if ttl > 0:
            self._entries[cache, url] = Cached(status, headers, body, now, now + ttl * 1000)
            self._bytes += len(body)
        while self._bytes > self._max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= len(dropped.body)
        return True

    def delete(self, cache: str, url: str) -> bool:
        """Forget a URL. Whether there was anything."""
        found = self._entries.pop((cache, url), None)
        if found is None:
            return False
        self._bytes -= len(found.body)
        return found.until_ms > self._clock.now_ms()


def time_to_live(status: int, headers: Headers, now_ms: int) -> int | None:
    """How long an answer may be kept (seconds). None: it may not be kept at all."""
    named = {name.lower(): value for name, value in headers}
    directives: dict[str, str] = {}
    for part in named.get("cache-control", "").lower().split(","):
        name, _, value = part.strip().partition("=")
        directives[name] = value.strip('"')
    private = directives.get("private")
    if "no-store" in directives or (private is not None and private != "set-cookie"):
        return None
    if "set-cookie" in named and private is None:
        return None
    for name in ("s-maxage", "max-age"):
        if directives.get(name, "").isdigit():
            return int(directives[name])
    if "no-cache" in directives:
        return 0
    if "expires" in named:
        try:
            return max(0, round(parsedate_to_datetime(named["expires"]).timestamp() - now_ms / 1000))
        except ValueError:
            return 0
    return _DEFAULT_TTL_S.get(status, 0)
