"""Which work an event belongs to: one trace joins a request, the messages it sent, every attempt at them, and a replay.

Ids are those of W3C Trace Context, so that an incoming `traceparent` is honoured: 16 bytes for a trace, 8 for a span, as
hexadecimal text. Whoever begins a piece of work (the front door, a consumer, the cron scheduler, an alarm) makes a `Span`
and sets `current_span` while it calls a runtime; a runtime keeps it with the running event, so that what the handler sends
and prints later is known to be its doing.
"""

from __future__ import annotations

import os
import re
from contextvars import ContextVar

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


class Span:
    """One invocation of user code."""

    __slots__ = ("id", "kind", "label", "parent", "trace")

    def __init__(self, kind: str, label: str, trace: str | None = None, parent: str | None = None) -> None:
        """`kind`: "request", "batch", "cron", "alarm", ...; `trace` None: it begins one. `parent`: the id of a span."""
        if trace is None:
            both = os.urandom(24).hex()
            self.trace, self.id = both[:32], both[32:]
        else:
            self.trace, self.id = trace, os.urandom(8).hex()
        self.kind = kind
        self.label = label
        self.parent = parent


#: The work that goes on in this task, None outside of any.
current_span: ContextVar[Span | None] = ContextVar("wpy_span", default=None)


class within:
    """Have what happens inside of the `with` belong to a span. A class, because every send of a worker passes through."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def __enter__(self) -> Span | None:
        self._token = current_span.set(self._span)
        return self._span

    def __exit__(self, *_: object) -> None:
        current_span.reset(self._token)


def parse_traceparent(value: str) -> tuple[str, str] | None:
    """Trace and parent of a `traceparent` header (W3C Trace Context, 3.2), or None for one that is to be ignored."""
    found = _TRACEPARENT.fullmatch(value.strip())
    if found is None or value.startswith("ff") or (value.startswith("00") and found[3]):
        return None
    trace, parent = found[1], found[2]
    return None if trace == "0" * 32 or parent == "0" * 16 else (trace, parent)
