"""What a failing test shows: what happened, where the messages are, and how to look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wrangler_py.events.log import Event
from wrangler_py.queues import tables
from wrangler_py.session.times import iso

if TYPE_CHECKING:
    from wrangler_py.testing.kit import Wpy

#: Events and log lines that a failure shows at most; the last ones.
_LINES = 30

#: Events that say nothing to whoever looks for a mistake.
_SILENT = frozenset(("queue.created", "worker.reloaded", "clock.moved", "clock.frozen"))


def report(wpy: Wpy) -> str:
    """The timeline of a test and the table of its queues."""
    parts = []
    lines = [line for event in wpy.timeline if (line := _line(event)) is not None]
    if lines:
        left_out = [f"  ... {len(lines) - _LINES} earlier"] if len(lines) > _LINES else []
        parts.append("\n".join(["Timeline (the test's clock, UTC):", *left_out, *lines[-_LINES:]]))
    if wpy.http.requests:
        asked = [f"  {request}" for request in wpy.http.requests[-_LINES:]]
        parts.append("\n".join(["Requests of the worker:", *asked]))
    table = _table(wpy)
    if table:
        parts.append(table)
    return "\n\n".join(parts)


def _line(event: Event) -> str | None:
    data, kind = event.data, event.kind
    if kind in _SILENT:
        return None
    if kind == "worker.warned" and "--worker-clock" in data["text"]:
        return None
    if kind == "worker.printed":
        return _at(event, f"{data['worker']}: {data['event']}: " if data["event"] else f"{data['worker']}: ") + _cut(
            data["text"]
        )
    if kind == "batch.finished":
        failed = f" ({data['error']})" if data["error"] else ""
        return _at(
            event, f"batch of {data['queue']}: {data['acked']} of {data['total']} acked, {data['outcome']}{failed}"
        )
    if kind == "message.retried":
        why = data["reason"] + (f" at {data['where']}" if data["where"] else "")
        return _at(
            event,
            f"{data['queue']}: {data['id'][:8]} comes again in {data['delay_seconds']} s (attempt {data['attempts']}: {why})",
        )
    if kind == "message.dead_lettered":
        return _at(
            event, f"{data['queue']}: {data['id'][:8]} is dead after {data['attempts']} attempts: {data['reason']}"
        )
    if kind == "cron.finished":
        failed = f" ({data['error']})" if data["error"] else ""
        return _at(event, f"cron {data['cron']} for {iso(data['scheduled_ms'])}: {data['outcome']}{failed}")
    if kind in ("message.sent", "message.produced"):
        bodies = [_body(message) for message in data.get("messages", ())]
        return _at(event, f"sent to {data['queue']}: {_cut(', '.join(bodies), 200)}")
    if kind == "batch.started":
        return _at(event, f"batch of {data['queue']} begins: {len(data['messages'])} messages for {data['worker']}")
    if kind == "cron.fired":
        return None
    if kind == "chaos":
        return _at(event, f"⚡ {data['text']}")
    rest = " ".join(f"{name}={value}" for name, value in data.items())
    return _at(event, f"{kind} {_cut(rest)}")


def _at(event: Event, text: str) -> str:
    return f"  {iso(event.at_ms)[11:].rstrip('Z'):<12} {text}"


def _body(message: Any) -> str:
    body, kind = getattr(message, "body", b""), getattr(message, "content_type", "bytes")
    return body.decode("utf-8", "replace") if kind in ("json", "text") else f"{len(body)} bytes ({kind})"


def _cut(text: Any, length: int = 1000) -> str:
    whole = str(text).rstrip("\n").replace("\n", "\n" + " " * 15)
    return whole if len(whole) <= length else whole[:length] + "..."


def _table(wpy: Wpy) -> str | None:
    if not wpy.started:
        return None
    rows = []
    now_ms = wpy.clock.now_ms
    for record in tables.all_queues(wpy.emulator.store):
        handle = wpy.queues[record.name]
        states = [message.state for message in handle.messages()]
        counts = [str(states.count(state)) for state in ("ready", "delayed", "in_flight")]
        rows.append((record.name, *counts, str(handle.delivered), str(handle.acked)))
    if not rows:
        return None
    header = ("Queue", "Ready", "Delayed", "In flight", "Delivered", "Acked")
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]
    return "\n".join([f"Queues at {iso(now_ms)}:", *lines])
