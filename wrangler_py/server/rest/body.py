"""The body of a request: read whole or not at all, and parsed as JSON whatever its content type says.

wrangler sends `text/plain`, curl as documented `application/x-www-form-urlencoded`, the SDKs `application/json`. A body that
its `Content-Encoding` calls gzip or deflate is unpacked, within the same limit.
"""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

from starlette.requests import ClientDisconnect, Request

#: The largest body that is parsed (bytes): a batch of 256,000 bytes with every one escaped as \\u0000 is smaller.
MAX_BODY = 2 * 1024 * 1024
#: How much of a larger one is read and dropped, so that its sender gets to see the answer (bytes). Cloudflare's own limit
#: for a request is 100 MB (Cloudflare docs: Workers > Limits).
_MAX_DROPPED = 100_000_000
#: How zlib is told of the formats that are unpacked [RFC 9110, 8.4.1].
_FORMATS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}

#: JavaScript's Number.MAX_SAFE_INTEGER: what is beyond it is rounded by every JSON parser of JavaScript.
_MAX_SAFE_INTEGER = (1 << 53) - 1


class TooLarge(Exception):
    """The body is larger than MAX_BODY."""


class Packed(ValueError):
    """The body is not what its `Content-Encoding` says, or nothing that is unpacked here. The text says which."""


class Malformed(ValueError):
    """The body is not JSON. The text says where and why."""


async def read(request: Request) -> bytes:
    """The whole body. Raises TooLarge, Packed, or ClientDisconnect when the client went away half way."""
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY:
            body += chunk
        else:
            body.clear()
            if size > _MAX_DROPPED:
                break
    if size > MAX_BODY:
        raise TooLarge
    data = bytes(body)
    named = ",".join(request.headers.getlist("content-encoding"))
    for encoding in reversed([name.strip().lower() for name in named.split(",") if name.strip()]):
        data = _unpack(data, encoding)
    return data


def _unpack(data: bytes, encoding: str) -> bytes:
    if encoding == "identity" or not data:
        return data
    if encoding not in _FORMATS:
        raise Packed(f"Content-Encoding {encoding} is not supported: send the body as it is, or as gzip or deflate")
    # Some clients send deflate's bare stream, without the head and checksum of zlib that HTTP asks for (RFC 9110, 8.4.1.2).
    bare = encoding == "deflate" and int.from_bytes(data[:2], "big") % 31 != 0
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS if bare else _FORMATS[encoding])
    try:
        whole = unpacking.decompress(data, MAX_BODY + 1)
    except zlib.error as error:
        raise Packed(f"the body is not {encoding}, as its Content-Encoding says: {error}") from None
    if len(whole) > MAX_BODY:
        raise TooLarge
    if not unpacking.eof:
        raise Packed(f"the body is not {encoding}, as its Content-Encoding says: its end is missing")
    return whole


def parse(body: bytes) -> Any:
    """The JSON value, with numbers as JavaScript has them. Raises Malformed."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8: invalid byte at position {error.start}") from error
    try:
        return json.loads(text, parse_float=_number, parse_int=_number, parse_constant=_no_constant)
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise Malformed(f"{error.msg} at line {error.lineno}, column {error.colno}") from error


def stringify(value: Any) -> bytes:
    """`JSON.stringify` of a value that came from `parse`."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    return text.encode("utf-8", "backslashreplace")  # half of a surrogate pair stays an escape, as in JavaScript


def is_unicode(value: Any) -> bool:
    """Whether all texts in a value are Unicode: JSON can hold half of a surrogate pair, UTF-8 cannot."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _number(text: str) -> int | float:
    number = float(text)
    if math.isinf(number):
        raise Malformed(f"the number {text[:20]}{'...' if len(text) > 20 else ''} is out of range")
    if number.is_integer() and abs(number) <= _MAX_SAFE_INTEGER:
        return int(number)
    return number


def _no_constant(text: str) -> Any:
    raise Malformed(f"{text} is not JSON")


__all__ = [
    "MAX_BODY",
    "ClientDisconnect",
    "Malformed",
    "Packed",
    "TooLarge",
    "is_unicode",
    "parse",
    "read",
    "stringify",
]
