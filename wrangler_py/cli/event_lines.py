"""An event of the record as lines for a terminal, and whether it is wanted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from wrangler_py.cli.output import printable
from wrangler_py.dev.style import Style
from wrangler_py.events import reading
from wrangler_py.events.reading import Recorded
from wrangler_py.session.times import iso

#: What becomes of a message, in words; they are what `--outcome` takes, too.
ACTIONS = {
    "ack": "acked",
    "retry": "retried",
    "dead_letter": "dead-lettered",
    "drop": "dropped",
    "release": "given-back",
    "unclaim": "given-back",
}
_COLORS = {"acked": "green", "ok": "green", "retried": "yellow", "dead-lettered": "red", "dropped": "red"}
#: Messages of a batch that are shown one by one.
_SHOWN = 5


class Wanted(Struct, frozen=True):
    """Which events are wanted; None or empty: all."""

    queue: str | None = None
    worker: str | None = None
    outcomes: tuple[str, ...] = ()
    text: str | None = None
    kinds: tuple[str, ...] = ()

    def takes(self, event: Recorded, messages: list[list[Any]], bodies: list[str]) -> bool:
        """`messages`: those of a batch that is over. `bodies`: those of the messages that the event names."""
        if self.queue is not None and self.queue != event.queue and f"queue {self.queue}" != event.data.get("event"):
            return False
        if self.worker is not None and self.worker != event.worker:
            return False
        if self.kinds and not any(event.kind == kind or event.kind.startswith(f"{kind}.") for kind in self.kinds):
            return False
        if self.outcomes and not set(self.outcomes) & set(_outcomes(event, messages)):
            return False
        if self.text is None:
            return True
        return any(self.text.lower() in text.lower() for text in (event.data_json, *bodies))


def _outcomes(event: Recorded, messages: list[list[Any]]) -> Iterator[str]:
    data = event.data
    if "outcome" in data:
        yield data["outcome"]
    if "status" in data:
        yield str(data["status"])
        yield "ok" if data["status"] < 400 else "error"
    for entry in messages:
        if len(entry) > 2:
            yield ACTIONS.get(entry[2], entry[2])


def details(connection: sqlite3.Connection, event: Recorded, *, bodies: bool) -> tuple[list[list[Any]], list[str]]:
    """The messages of a batch that is over, and the bodies of the messages that the event names, where they are asked for."""
    run = reading.run(connection, event.span) if event.kind == "batch.finished" and event.span else None
    messages = [] if run is None else run.messages
    if not bodies:
        return messages, []
    ids = [bytes.fromhex(one) for one in event.data.get("ids", ())] or [bytes.fromhex(entry[0]) for entry in messages]
    found = reading.items(connection, ids[:500]) if ids else []
    return messages, [(item.body or b"").decode("utf-8", "replace") for item in found]


def as_json(event: Recorded, messages: list[list[Any]]) -> dict[str, Any]:
    """The event for `--json`, with what became of a batch's messages."""
    shown = event.as_json()
    if event.kind == "batch.finished":
        names = ("id", "attempt", "action", "reason", "where", "delaySeconds")
        shown["messages"] = [dict(zip(names, entry, strict=False)) for entry in messages]
    return shown


def lines(event: Recorded, messages: list[list[Any]], style: Style) -> list[str]:
    """The event for people; none for one that only begins what another tells to the end."""
    if event.kind in ("batch.started", "cron.fired", "pull.settled"):
        return []
    at = style(iso(event.at_ms), "dim")
    texts = _LINES.get(event.kind, _other)(event, event.data, messages, style)
    return [f"{at}  {texts[0]}", *(f"  {text}" for text in texts[1:])]


def _request(event: Recorded, data: dict[str, Any], _: Any, style: Style) -> list[str]:
    color = {2: "green", 3: "blue", 4: "yellow"}.get(data["status"] // 100, "red")
    name = f"{style(data['method'], 'bold')} {printable(data['path'])}"
    return [f"{name} {style(str(data['status']), color)} {style(_ms(data), 'dim')}"]


def _sent(event: Recorded, data: dict[str, Any], _: Any, style: Style) -> list[str]:
    one = f" {style(data['ids'][0], 'dim')}" if data["count"] == 1 else ""
    noun = "message" if data["count"] == 1 else "messages"
    return [f"{style(printable(event.queue or ''), 'bold')} ← {data['count']} {noun} ({data['bytes']:,} bytes){one}"]


def _batch(event: Recorded, data: dict[str, Any], messages: list[list[Any]], style: Style) -> list[str]:
    color = "green" if data["acked"] == data["total"] else "yellow" if data["acked"] else "red"
    outcome = "" if data["outcome"] == "ok" else f" {style(data['outcome'], 'red')}"
    head = f"{style(printable(event.queue or ''), 'bold')} → {printable(event.worker or '')}"
    counts = style(f"{data['acked']}/{data['total']} acked", color)
    found = [f"{head} {counts} {style(_ms(data), 'dim')}{outcome}"]
    if data["error"]:
        found.append(style(printable(data["error"]), "red"))
    for message_id, attempt, action, reason, where, delay in (
        entry[:6] for entry in messages[:_SHOWN] if len(entry) > 5
    ):
        word = ACTIONS.get(action, action)
        why = f"{printable(reason)}{f' at {printable(where)}' if where else ''}"
        later = f" in {delay} s" if action == "retry" and delay else ""
        found.append(
            f"{style(message_id, 'dim')} attempt {attempt}: {style(word, _COLORS.get(word, 'blue'))}{later} ({why})"
        )
    if len(messages) > _SHOWN:
        found.append(f"... and {len(messages) - _SHOWN:,} more")
    return found


def _cron(event: Recorded, data: dict[str, Any], _: Any, style: Style) -> list[str]:
    color = "green" if data["outcome"] == "ok" else "red"
    found = [
        f"{style('CRON', 'bold')} {printable(data['cron'])} {style(data['outcome'], color)} {style(_ms(data), 'dim')}"
    ]
    if data["error"]:
        found.append(style(printable(data["error"]), "red"))
    return found


def _printed(event: Recorded, data: dict[str, Any], _: Any, style: Style) -> list[str]:
    label = f"[{event.worker}]" + (f" {printable(data['event'])} |" if data["event"] else "")
    color = {"error": "red", "warn": "yellow", "debug": "dim"}.get(data["level"])
    first, *more = data["text"].rstrip("\n").split("\n")
    shown = [style(printable(text), color) if color else printable(text) for text in (first, *more)]
    return [f"{style(label, 'dim')} {shown[0]}", *shown[1:]]


def _other(event: Recorded, data: dict[str, Any], _: Any, style: Style) -> list[str]:
    owner = " ".join(printable(name) for name in (event.worker, event.queue) if name)
    parts = ", ".join(f"{key} {_value(value)}" for key, value in data.items() if value is not None and value != "")
    return [" ".join(part for part in (style(event.kind, "bold"), owner, style(parts, "dim")) if part)]


def _value(value: Any) -> str:
    text = printable(value if isinstance(value, str) else str(value))
    return text if len(text) <= 200 else text[:200] + "…"


def _ms(data: dict[str, Any]) -> str:
    return f"({data['ms']}ms)"


_LINES: dict[str, Callable[[Recorded, dict[str, Any], Any, Style], list[str]]] = {
    "request.finished": _request,
    "api.finished": _request,
    "message.sent": _sent,
    "batch.finished": _batch,
    "cron.finished": _cron,
    "worker.printed": _printed,
}
