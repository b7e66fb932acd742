"""The figures of a session in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from wrangler_py.server.dashboard_api.call import MAX_PAGE, Call
from wrangler_py.server.dashboard_api.queues import chosen, queue_objects

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BATCHES = """
    SELECT queue, outcome, count(*), sum(ms) FROM run WHERE kind = 'batch' AND ended_ms IS NOT NULL GROUP BY 1, 2
"""
_SETTLED = "SELECT queue, state, count(*) FROM item WHERE state IS NOT NULL GROUP BY 1, 2"
_CRONS = (
    "SELECT worker, label, outcome, count(*) FROM run WHERE kind = 'cron' AND ended_ms IS NOT NULL GROUP BY 1, 2, 3"
)

_Sample = tuple[dict[str, Any], float]


async def text(call: Call) -> str:
    """The text. What is counted from the record is of what the record holds, which is bounded: gauges, therefore."""
    queues = await queue_objects(call, (await chosen(call, MAX_PAGE))[0])

    def read(connection: sqlite3.Connection) -> tuple[list[Any], list[Any], list[Any]]:
        return tuple(connection.execute(sql).fetchall() for sql in (_BATCHES, _SETTLED, _CRONS))  # type: ignore[return-value]

    batches, settled, crons = await call.reader.ask(read)
    now_ms = call.session.clock.now_ms()
    blocks = [
        _block(
            "wpy_queue_messages",
            "Messages in a queue, by state",
            (
                ({"queue": queue["name"], "state": state}, count)
                for queue in queues
                for state, count in queue["counts"].items()
            ),
        ),
        _block(
            "wpy_queue_bytes", "Bytes of the bodies in a queue", (({"queue": q["name"]}, q["bytes"]) for q in queues)
        ),
        _block(
            "wpy_queue_oldest_age_seconds",
            "Age of the oldest message in a queue",
            (
                ({"queue": q["name"]}, 0 if q["oldestMs"] is None else max(0, now_ms - q["oldestMs"]) / 1000)
                for q in queues
            ),
        ),
        _block(
            "wpy_queue_paused", "Whether delivery is paused", (({"queue": q["name"]}, int(q["paused"])) for q in queues)
        ),
        _block(
            "wpy_consumer_batches_running",
            "Batches that run now",
            (({"queue": q["name"]}, q["running"]) for q in queues),
        ),
        _block(
            "wpy_recorded_messages",
            "Settled messages in the event record",
            (({"queue": queue, "state": state}, count) for queue, state, count in settled),
        ),
        _block(
            "wpy_recorded_batches",
            "Batches in the event record",
            (({"queue": queue, "outcome": outcome}, count) for queue, outcome, count, _ in batches),
        ),
        _block(
            "wpy_recorded_batch_seconds",
            "How long the batches in the event record took together",
            (({"queue": queue, "outcome": outcome}, (ms or 0) / 1000) for queue, outcome, _, ms in batches),
        ),
        _block(
            "wpy_recorded_cron_runs",
            "Runs of crons in the event record",
            (({"worker": worker, "cron": cron, "outcome": outcome}, count) for worker, cron, outcome, count in crons),
        ),
        _block(
            "wpy_worker_up",
            "Whether a worker's code is loaded",
            (({"worker": w.config.name}, int(w.runtime.broken is None)) for w in call.session.workers.all()),
        ),
    ]
    return "".join(blocks)


def _block(name: str, help_text: str, samples: Iterable[_Sample]) -> str:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        shown = ",".join(f'{key}="{_escaped(str(label))}"' for key, label in labels.items())
        lines.append(f"{name}{{{shown}}} {value:g}" if isinstance(value, float) else f"{name}{{{shown}}} {value}")
    return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
