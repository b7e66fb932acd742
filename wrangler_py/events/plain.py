"""Events as plain values, which can be put aside at once and made sense of later (digest.py).

While messages flow, this is all that is done with an event: what it holds of other rooms' objects is taken apart by columns
(the ids of a hundred messages are one string of bytes, what they all have in common stands there once), and the whole goes
through `marshal` and `zlib`, which are written in C; zlib lets the event loop run meanwhile. Marshal's format 4 is read alike by
every CPython from 3.4 on.
"""

from __future__ import annotations

import json
import marshal
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wrangler_py.events.log import Event
from wrangler_py.events.trace import Span

#: (id, trace, parent, kind, label)
PlainSpan = tuple[str, str, str | None, str, str]
#: (at_ms, kind, span, data)
Plain = tuple[int, str, PlainSpan | None, dict[str, Any]]

#: zlib's fastest: bodies of one queue are so alike that more is not worth its time.
_LEVEL = 1
#: With this byte begins what zlib has written; what was packed before there was zlib begins with marshal's for a list.
_ZLIB = b"\x78"
_ID_BYTES = 16


def plain(events: Sequence[Event], joined_ms: int = 0) -> list[Plain]:
    """Events without objects of other rooms, but for named tuples. Sends of one piece of work into one queue, one right after
    the other and all within `joined_ms`, become one; `at` says when each of its messages was sent."""
    found: list[Plain] = []
    last: Event | None = None  # the send that the next one may join
    until = 0
    for event in events:
        at_ms, kind, data, span = event
        if kind == "message.sent":
            if last is not None and at_ms <= until and last.span is span and last.data["queue"] == data["queue"]:
                joined = found[-1][3]
                joined["ids"] += data["ids"]
                joined["messages"] += data["messages"]
                joined["ready"] += data["ready"]
                joined["at"] += [at_ms] * len(data["ids"])
                continue
            last, until = event, at_ms + joined_ms
            sent = _sent(data)
            sent["at"] = [at_ms] * len(data["ids"])
            found.append((at_ms, kind, _given(span), sent))
            continue
        last = None
        special = _SPECIAL.get(kind)
        found.append((at_ms, kind, _given(span), data if special is None else special(data)))
    return found


def _given(span: Span | None) -> PlainSpan | None:
    return None if span is None else (span.id, span.trace, span.parent, span.kind, span.label)


def pack(events: Sequence[Plain]) -> bytes:
    """Plain events as bytes."""
    columns = [(at, kind, span, _PACK[kind](data) if kind in _PACK else data) for at, kind, span, data in events]
    try:
        text = marshal.dumps(columns, 4)
    except ValueError:  # some event's data holds what is no plain value: a path, an exception
        text = marshal.dumps([(*event[:3], _shown(event[3])) for event in columns], 4)
    return zlib.compress(text, _LEVEL)


def unpack(data: bytes) -> list[Plain]:
    """What `pack` was given. Raises ValueError, EOFError or TypeError for bytes that are damaged."""
    if data[:1] != _ZLIB:
        found: list[Plain] = marshal.loads(data)
        return found
    try:
        columns = marshal.loads(zlib.decompress(data))
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return [(at, kind, span, _UNPACK[kind](data) if kind in _UNPACK else data) for at, kind, span, data in columns]


def _shown(data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        marshal.dumps(dict(data), 4)
        return dict(data)
    except ValueError:
        shown: dict[str, Any] = json.loads(json.dumps(data, default=repr, skipkeys=True))
        return shown


# What is special about a kind ----------------------------------------------------------------------------------------


def _sent(data: dict[str, Any]) -> dict[str, Any]:
    ids, messages, ready = list(data["ids"]), list(data["messages"]), list(data["ready"])
    return {"queue": data["queue"], "ids": ids, "messages": messages, "ready": ready}


def _begun(data: dict[str, Any]) -> dict[str, Any]:
    if not data["messages"]:
        return {**data, "messages": []}
    _, ids, sent, attempts, types, bodies = zip(*data["messages"], strict=True)
    return {**data, "messages": list(zip(ids, attempts, sent, types, map(len, bodies), strict=True))}


def _finished(data: dict[str, Any]) -> dict[str, Any]:
    settlements = data.get("settlements")
    return data if settlements is None else {**data, "settlements": _settled(settlements)}


def _pulled(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "settled": [(queue, dlq, *_settled([s])[0]) for queue, dlq, s in data["settled"]]}


def _settled(settlements: Sequence[Any]) -> list[tuple[Any, ...]]:
    """(message id, attempt, action, reason, where, delay), one a message."""
    if not settlements:
        return []
    messages, actions, delays, reasons, sites, _ = zip(*settlements, strict=True)
    _, ids, _, attempts, _, _ = zip(*messages, strict=True)
    return list(zip(ids, attempts, actions, reasons, sites, delays, strict=True))


_SPECIAL: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "batch.started": _begun,
    "batch.finished": _finished,
    "pull.settled": _pulled,
}


# Columns -------------------------------------------------------------------------------------------------------------


def _pack_sent(data: dict[str, Any]) -> dict[str, Any]:
    bodies, *others = zip(*data["messages"], strict=True) if data["messages"] else ((), (), (), (), ())
    columns = (b"".join(data["ids"]), bodies, *map(_short, others))
    times = {name: array("q", data[name]).tobytes() for name in ("ready", "at")}
    return {**data, "ids": None, "messages": columns, **times}


def _unpack_sent(data: dict[str, Any]) -> dict[str, Any]:
    ids, bodies, *others = data["messages"]
    columns = (_long(column, len(bodies)) for column in others)
    times = {name: array("q", data[name]).tolist() for name in ("ready", "at")}
    keys = [ids[at : at + _ID_BYTES] for at in range(0, len(ids), _ID_BYTES)]
    return {**data, "ids": keys, "messages": list(zip(bodies, *columns, strict=True)), **times}


def _pack_rows(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Rows that begin with the id of a message."""

    def work(data: dict[str, Any]) -> dict[str, Any]:
        if not data.get(name):
            return data
        ids, *others = zip(*data[name], strict=True)
        return {**data, name: (bytes.fromhex("".join(ids)), *map(_short, others))}

    return work


def _unpack_rows(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def work(data: dict[str, Any]) -> dict[str, Any]:
        if not data.get(name):
            return data
        keys, *others = data[name]
        text, width = keys.hex(), 2 * _ID_BYTES
        ids = [text[at : at + width] for at in range(0, len(text), width)]
        return {**data, name: list(zip(ids, *(_long(column, len(ids)) for column in others), strict=True))}

    return work


def _short(column: tuple[Any, ...]) -> tuple[Any, ...]:
    """A column, or the one value that stands in all of its places."""
    return column[:1] if column.count(column[0]) == len(column) else column


def _long(column: tuple[Any, ...], length: int) -> tuple[Any, ...]:
    return column * length if len(column) == 1 else column


_PACK = {
    "message.sent": _pack_sent,
    "batch.started": _pack_rows("messages"),
    "batch.finished": _pack_rows("settlements"),
}
_UNPACK = {
    "message.sent": _unpack_sent,
    "batch.started": _unpack_rows("messages"),
    "batch.finished": _unpack_rows("settlements"),
}
