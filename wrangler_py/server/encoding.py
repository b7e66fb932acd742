"""Answers that are compressed for a client that does not take that: unpacked on the way, as Cloudflare's edge does it
[https://developers.cloudflare.com/speed/optimization/content/compression/]."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Any

from msgspec.structs import replace

from wrangler_py.runtime.base import FetchResponse, StreamBroken

#: zlib's sign for gzip's format.
_GZIP = 31


def unpacked(response: FetchResponse, accepted: str) -> FetchResponse:
    """The answer for a client whose `accept-encoding` this is."""
    given = {name.lower(): value.strip().lower() for name, value in response.headers}
    if (
        given.get("content-encoding") != "gzip"
        or _takes_gzip(accepted)
        or "no-transform" in given.get("cache-control", "")
    ):
        return response
    decoder = zlib.decompressobj(_GZIP)
    try:
        body = decoder.decompress(response.body)
    except zlib.error:
        return response  # it is not what it says: let the client see for itself
    dropped = ("content-encoding", "content-length")
    headers = [header for header in response.headers if header[0].lower() not in dropped]
    stream = None if response.stream is None else _unpacked(decoder, response.stream)
    return replace(response, headers=headers, body=body, stream=stream)


async def _unpacked(decoder: Any, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in stream:
            try:
                data = decoder.decompress(chunk)
            except zlib.error as error:
                raise StreamBroken(f"the answer is not gzip, as its content-encoding says: {error}") from None
            if data:
                yield data
    finally:
        closing: Any = getattr(stream, "aclose", None)
        if closing is not None:
            await closing()


def _takes_gzip(accepted: str) -> bool:
    for item in accepted.lower().split(","):
        name, _, quality = item.partition(";")
        if name.strip() in ("gzip", "x-gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
