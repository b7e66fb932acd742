"""A recorded run as the text of a test (`wpy runs to-test`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from wrangler_py.cli.output import CommandError
from wrangler_py.session.times import iso

if TYPE_CHECKING:
    from wrangler_py.events.reading import Item, Run


class RecordedBody(Struct, frozen=True):
    """A message of a batch, as far as a test needs it."""

    sent_ms: int
    content_type: str
    body: bytes | None

    @classmethod
    def of(cls, item: Item) -> RecordedBody:
        return cls(item.sent_ms, item.content_type, item.body)


def test_of(run: Run, items: Mapping[str, RecordedBody], state: str | None) -> str:
    """The test of a batch, a cron run or a request. Raises CommandError for another kind."""
    lines = [
        f'"""{_one_line(run.label)}: {run.outcome or "did not end"}'
        + (f" ({_one_line(run.error)})" if run.error else "")
        + ".",
        "",
        f"Recorded {iso(run.started_ms)}"
        + (f" at {run.site}" if run.site else "")
        + ". It fails until that is mended.",
        '"""',
        "",
        "import pytest",
    ]
    body = _body_of(run, items)
    if any("msg(" in line for line in body):
        lines += ["", "from wrangler_py.testing import msg"]
    lines += ["", "", f'@pytest.mark.wpy(clock="{iso(run.started_ms)}")', f"async def test_{_name(run)}(wpy):"]
    if state is not None:
        lines.append(f"    await wpy.state.load({state!r})")
    lines.append('    wpy.http.on("*", "*").respond(200)  # what the network answered is not recorded')
    lines += [f"    {line}" for line in body]
    return "\n".join(lines)


test_of.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test where it is imported


def _body_of(run: Run, items: Mapping[str, RecordedBody]) -> list[str]:
    worker = f'wpy.workers["{run.worker}"]' if run.worker else "wpy.worker"
    if run.kind == "batch":
        return _batch(run, items, worker)
    if run.kind == "cron":
        cron, at_ms = run.detail.get("cron"), run.detail.get("scheduledMs", run.detail.get("scheduled_ms"))
        cron = cron or run.label.removeprefix("cron ").strip()
        at = f', "{iso(int(at_ms))}"' if at_ms is not None else ""
        by_hand = ", any_cron=True" if run.detail.get("trigger") == "manual" else ""  # which takes any expression
        return [
            f"result = await {worker}.scheduled({cron!r}{at}{by_hand})",
            "result.raise_for_exception()",
            'assert result.outcome == "ok"',
        ]
    if run.kind == "request":
        method, _, path = run.label.partition(" ")
        return [
            "# The body and the headers of a request are not recorded: add what matters (json=, body=, headers=).",
            f"response = await {worker}.fetch({path or '/'!r}, {method!r})",
            "assert response.status < 500",
        ]
    raise CommandError(f"There is no test of a run of the kind {run.kind}: only of batches, crons and requests.")


def _batch(run: Run, items: Mapping[str, RecordedBody], worker: str) -> list[str]:
    lines = ["batch = wpy.batch(", f"    {run.queue!r},", "    ["]
    for entry in run.messages:
        message_id, attempt = entry[0], entry[1]
        item = items.get(message_id)
        if item is None or item.body is None:
            raise CommandError(
                f"The body of message {message_id} is neither in the record nor in a queue any more, so the batch cannot be made again."
            )
        body = _literal(item.content_type, item.body)
        lines.append(
            f"        msg({body}, id={message_id!r}, attempts={attempt}, timestamp={iso(item.sent_ms)!r}, "
            f"content_type={item.content_type!r}),"
        )
    lines += [
        "    ],",
        ")",
        f"result = await {worker}.queue(batch)",
        "result.raise_for_exception()",
        'assert result.outcome == "ok"',
    ]
    retried = [entry[0] for entry in run.messages if len(entry) > 2 and entry[2] in ("retry", "dead_letter", "drop")]
    if retried and run.outcome == "ok":  # it is the retry that was not meant
        lines.append("assert result.acked == [message.id for message in result]")
    return lines


def _literal(content_type: str, body: bytes) -> str:
    """A body as Python writes it."""
    if content_type == "json":
        return repr(json.loads(body))
    if content_type == "text":
        return repr(body.decode("utf-8", "replace"))
    if content_type == "bytes":
        return repr(body)
    from wrangler_py.cli.queues_bodies import as_value

    value: Any = as_value("v8", body)
    if isinstance(value, str) and value == body.hex():
        raise CommandError(
            "A body of the type v8 holds what Python cannot write down (a cycle, a Date): no test of it."
        )
    return repr(value)


def _name(run: Run) -> str:
    return re.sub(r"[^a-z0-9]+", "_", f"{run.label} run {run.n}".lower()).strip("_")


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace('"""', "'''").replace("\\", "/")[:200]
