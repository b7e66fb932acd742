"""What `cache.match()` answers of what is kept: the whole, a range of it, or that it has not changed.

Source: https://developers.cloudflare.com/workers/runtime-apis/cache/#match.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from wrangler_py.bindings.cache import Cached

Headers = list[tuple[str, str]]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)\s*\Z")


def answer_to(asked: Headers, found: Cached) -> tuple[int, Headers, bytes]:
    """Status, headers and body for a request with the headers `asked`."""
    headers = [*found.headers, ("cf-cache-status", "HIT")]
    if _not_modified(asked, headers):
        return 304, headers, b""
    part = _part(_get(asked, "range"), len(found.body)) if found.status == 200 else None
    if part is None:
        return found.status, headers, found.body
    first, last = part
    headers = [item for item in headers if item[0].lower() != "content-length"]
    headers.append(("content-range", f"bytes {first}-{last}/{len(found.body)}"))
    return 206, headers, found.body[first : last + 1]


def _get(headers: Headers, name: str) -> str | None:
    values = [value for key, value in headers if key.lower() == name]
    return ", ".join(values) if values else None


def _not_modified(asked: Headers, headers: Headers) -> bool:
    tags, tag = _get(asked, "if-none-match"), _get(headers, "etag")
    if tags is not None:
        plain = [one.strip().removeprefix("W/") for one in tags.split(",")]
        return tag is not None and (tag.removeprefix("W/") in plain or "*" in plain)
    since, modified = _get(asked, "if-modified-since"), _get(headers, "last-modified")
    if since is None or modified is None:
        return False
    try:
        return parsedate_to_datetime(modified) <= parsedate_to_datetime(since)
    except (TypeError, ValueError):
        return False


def _part(asked: str | None, size: int) -> tuple[int, int] | None:
    """The first and last byte that a Range header asks for; None: the whole."""
    found = _RANGE.match(asked or "")
    if found is None or not size or not (found[1] or found[2]):
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size - 1
    first = int(found[1])
    last = min(int(found[2]), size - 1) if found[2] else size - 1
    return (first, last) if first <= last else None
