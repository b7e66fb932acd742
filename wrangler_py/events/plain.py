"""Events as plain values, which can be put aside at once and made sense of later (digest.py).

While messages flow, this is all that is done with an event: what it holds of other rooms' objects becomes tuples, and the whole
goes through `marshal`, which is written in C. Format 4 is read alike by every CPython from 3.4 on.
"""

from __future__ import annotations

import json
import marshal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wrangler_py.events.log import Event

#: (id, trace, parent, kind, label)
PlainSpan = tuple[str, str, str | None, str, str]
#: (at_ms, kind, span, data)
Plain = tuple[int, str, PlainSpan | None, dict[str, Any]]


def plain(events: Sequence[Event]) -> list[Plain]:
    """Events without objects of other rooms. Sends of one piece of work into one queue in one millisecond become one."""
    found: list[Plain] = []
    last: Event | None = None  # the send that the next one may join
    for event in events:
        at_ms, kind, data, span = event
        if kind == "message.sent":
            if last is not None and last.span is span and last.at_ms == at_ms and last.data["queue"] == data["queue"]:
                joined = found[-1][3]
                joined["ids"] += data["ids"]
                joined["messages"] += map(tuple, data["messages"])
                joined["ready"] += data["ready"]
                continue
            last = event
        else:
            last = None
        given = None if span is None else (span.id, span.trace, span.parent, span.kind, span.label)
        special = _SPECIAL.get(kind)
        found.append((at_ms, kind, given, data if special is None else special(data)))
    return found


def pack(events: Sequence[Plain]) -> bytes:
    """Plain events as bytes."""
    try:
        return marshal.dumps(list(events), 4)
    except ValueError:  # some event's data holds what is no plain value: a path, an exception
        return marshal.dumps([(*event[:3], _shown(event[3])) for event in events], 4)


def unpack(data: bytes) -> list[Plain]:
    """What `pack` was given. Raises ValueError, EOFError or TypeError for bytes that are damaged."""
    found: list[Plain] = marshal.loads(data)
    return found


def _shown(data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        marshal.dumps(dict(data), 4)
        return dict(data)
    except ValueError:
        shown: dict[str, Any] = json.loads(json.dumps(data, default=repr, skipkeys=True))
        return shown


def _sent(data: dict[str, Any]) -> dict[str, Any]:
    messages = list(map(tuple, data["messages"]))
    return {"queue": data["queue"], "ids": list(data["ids"]), "messages": messages, "ready": list(data["ready"])}


def _begun(data: dict[str, Any]) -> dict[str, Any]:
    given = [(m.id, m.attempts, m.timestamp_ms, m.content_type, len(m.body)) for m in data["messages"]]
    return {**data, "messages": given}


def _finished(data: dict[str, Any]) -> dict[str, Any]:
    settlements = data.get("settlements")
    if settlements is None:
        return data
    return {**data, "settlements": [_settled(s) for s in settlements]}


def _pulled(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "settled": [(queue, dlq, *_settled(s)) for queue, dlq, s in data["settled"]]}


def _settled(s: Any) -> tuple[Any, ...]:
    message = s.message
    return message.id, message.attempts, s.action, s.reason, s.where, s.delay_seconds


_SPECIAL: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "message.sent": _sent,
    "batch.started": _begun,
    "batch.finished": _finished,
    "pull.settled": _pulled,
}
