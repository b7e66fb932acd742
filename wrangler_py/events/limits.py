"""Limits of Cloudflare on what the record shows, each with its source."""

from __future__ import annotations

#: How long waitUntil work may go on after the handler has returned (seconds)
#: [https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil].
WAIT_UNTIL_LIMIT_SECONDS = 30
