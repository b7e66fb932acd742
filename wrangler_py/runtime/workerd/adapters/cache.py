"""`caches` of a JavaScript Worker: workerd's requests, and the session's cache.

Protocol: workerd's src/workerd/api/cache.c++. An answer to keep comes as HTTP text in the body of a PUT.
"""

from __future__ import annotations

import re
from typing import Any

import httptools

from wrangler_py.bindings.cache import Cached, CacheStore
from wrangler_py.runtime.workerd.loopback import Call

_STATUS = "CF-Cache-Status"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class CacheAdapter:
    """Answers the requests of `caches.default` and of named caches."""

    def __init__(self, store: CacheStore) -> None:
        self._store = store

    async def __call__(self, call: Call) -> None:
        """Handler (loopback.py)."""
        cache = call.headers.get("cf-cache-namespace", "")
        url = call.target
        if call.method == "GET":
            found = self._store.match(cache, url)
            if found is None:
                call.answer(504, headers=((_STATUS, "MISS"),))
            else:
                _answer(call, found)
        elif call.method == "PUT":
            kept = _Response(await call.body())
            headers = tuple(header for header in kept.headers if header[0].lower() != "transfer-encoding")
            stored = self._store.put(cache, url, kept.status, headers, bytes(kept.body))
            call.answer(204 if stored else 413)
        elif call.method == "PURGE":
            call.answer(200 if self._store.delete(cache, url) else 404)
        else:
            call.answer(405)


def _answer(call: Call, found: Cached) -> None:
    headers = [header for header in found.headers if header[0].lower() != "content-length"]
    headers.append((_STATUS, "HIT"))
    named = {name.lower(): value for name, value in found.headers}
    tags = [tag.strip().removeprefix("W/") for tag in call.headers.get("if-none-match", "").split(",")]
    if named.get("etag", "-").removeprefix("W/") in tags or "*" in tags:
        call.answer(304, b"", headers)
        return
    asked = _RANGE.fullmatch(call.headers.get("range", ""))
    size = len(found.body)
    if asked is None or found.status != 200 or not any(asked.groups()):
        call.answer(found.status, found.body, headers)
        return
    first, last = asked.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        call.answer(416, b"", (*headers, ("Content-Range", f"bytes */{size}")))
        return
    call.answer(206, found.body[start : end + 1], (*headers, ("Content-Range", f"bytes {start}-{end}/{size}")))


class _Response:
    """An answer in HTTP's text form."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()
        parser: Any = httptools.HttpResponseParser(self)
        parser.feed_data(data)
        self.status: int = parser.get_status_code()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self.body += body
