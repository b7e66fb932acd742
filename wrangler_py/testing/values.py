"""Values as tests write them, and as the rooms have them: bodies, spans, moments."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from wrangler_py.queues.message import ContentType
from wrangler_py.session.times import parse_span
from wrangler_py.testing.errors import KitError

Span = str | int | float | timedelta
Moment = str | int | datetime

CONTENT_TYPES = get_args(ContentType)


def seconds(span: Span) -> float:
    """A span in seconds: "30s", "1h30m", a number of seconds, a timedelta. Raises KitError."""
    if isinstance(span, timedelta):
        return span.total_seconds()
    if isinstance(span, str):
        try:
            return parse_span(span)
        except ValueError as error:
            raise KitError(str(error)) from None
    return float(span)


def moment_ms(moment: Moment) -> int:
    """A moment in ms since the epoch: ISO 8601 text (UTC when it names no zone), a datetime, or ms. Raises KitError."""
    if isinstance(moment, int):
        return moment
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise KitError(f'{moment!r} is not a time. Write it like "2026-03-29T00:59:00Z".') from None
    at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)


def as_datetime(ms: int) -> datetime:
    """A moment as an aware datetime in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def encode_body(value: Any, content_type: str | None = None) -> tuple[bytes, ContentType]:
    """A body as a Worker's `send(value, contentType=...)` stores it. Without a type: bytes are "bytes", all else "json".

    Raises KitError for a value that the type cannot carry.
    """
    kind = content_type or ("bytes" if isinstance(value, bytes | bytearray | memoryview) else "json")
    if kind not in CONTENT_TYPES:
        raise KitError(f"{kind!r} is no content type of Queues. There are: {', '.join(CONTENT_TYPES)}.")
    if kind == "text":
        if not isinstance(value, str):
            raise KitError(f'A body of content type "text" must be a str, but is {type(value).__name__}.')
        return value.encode(), "text"
    if kind == "bytes":
        if not isinstance(value, bytes | bytearray | memoryview):
            raise KitError(f'A body of content type "bytes" must be bytes, but is {type(value).__name__}.')
        return bytes(value), "bytes"
    from wrangler_py.runtime.worker.jsonbody import encode_js, encode_plain, to_js_value

    if kind == "v8":
        from wrangler_py.runtime.worker import v8

        return v8.serialize(to_js_value(value)), "v8"
    plain = encode_plain(value)
    return (plain if plain is not None else encode_js(to_js_value(value), lambda _: None)), "json"


def decode_body(content_type: str, body: bytes) -> Any:
    """A stored body as Python has it."""
    if content_type == "json":
        return json.loads(body)
    if content_type == "text":
        return body.decode("utf-8", "replace")
    if content_type == "bytes":
        return body
    from workers.rpc import python_from_rpc

    from wrangler_py.runtime.worker import v8

    return python_from_rpc(v8.deserialize(body))


@dataclass(frozen=True)
class Approx:
    """A span that is met within a tolerance (seconds). `delay=approx("30s", tol="1s")`."""

    seconds: float
    tolerance: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | float) and abs(other - self.seconds) <= self.tolerance

    def __hash__(self) -> int:
        return hash((self.seconds, self.tolerance))

    def __repr__(self) -> str:
        return f"{self.seconds:g} s ± {self.tolerance:g} s"


def approx(span: Span, tol: Span = 1) -> Approx:
    """A span give or take `tol`, for `delay=` of assert_enqueued and friends."""
    return Approx(seconds(span), seconds(tol))
