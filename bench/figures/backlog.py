"""What a million waiting messages cost those that come after them. Minutes; only with --full."""

from __future__ import annotations

import shutil
import time

from bench.figures import Group, Line, Value
from bench.preload import preload
from bench.processes import memory
from bench.sides import BenchError, Session, Subject, next_run

_MILLION = 1_000_000
_HOUR_MS = 3_600_000


def backlog(subject: Subject) -> dict[str, Value]:
    """10,000 messages end to end with nothing waiting, and with a million delayed ones in the same queue."""
    count = 1_000 if subject.quick else 10_000
    size = 10_000 if subject.quick else _MILLION
    full = subject.project()
    preload(full, "bulk", size, run=next_run(), delay_ms=_HOUR_MS)
    with subject.own_session() as empty, subject.own_session(full) as laden:
        values: dict[str, Value] = {
            "backlog_start": laden.start_seconds / empty.start_seconds,
            "backlog_sequential": _seconds(laden, "sequential", count) / _seconds(empty, "sequential", count),
            "backlog_batches": _seconds(laden, "batches", count) / _seconds(empty, "batches", count),
            "backlog_memory": memory(laden.started.tree()).rss - memory(empty.started.tree()).rss,
        }
    shutil.rmtree(full)
    return values


def _seconds(session: Session, how: str, count: int) -> float:
    run = next_run()
    made = session.http.json(f"/{how}?queue=BULK&run={run}&n={count}")
    return float(session.wait_for(run, count)["last_handled"] - made["started"]) / 1000


def drain_million(subject: Subject) -> dict[str, Value]:
    """A million ready messages delivered flat out: the first tenth against the last."""
    size = 20_000 if subject.quick else _MILLION
    step = size // 10
    project = subject.project()
    run = next_run()
    preload(project, "bulk", size, run)
    seen: list[tuple[float, int]] = []
    with subject.own_session(project) as session:
        while not seen or seen[-1][1] < size:
            seen.append((time.perf_counter(), session.stats(run)["count"]))
            if seen[-1][0] - seen[0][0] > 300:
                raise BenchError(f"only {seen[-1][1]:,} of {size:,} messages were handled within 300 s")
            time.sleep(0.05)
    shutil.rmtree(project)
    first = _reached(seen, 2 * step) - _reached(seen, step)
    last = _reached(seen, 9 * step) - _reached(seen, 8 * step)
    return {"drain_million": first / last, "drain_million_rate": size / (_reached(seen, size) - seen[0][0])}


def _reached(seen: list[tuple[float, int]], count: int) -> float:
    """When the count was reached, between two looks in proportion."""
    before = seen[0]
    for look in seen:
        if look[1] >= count:
            if look[1] == before[1]:
                return look[0]
            return before[0] + (look[0] - before[0]) * (count - before[1]) / (look[1] - before[1])
        before = look
    raise BenchError(f"{count:,} messages were never reached")


GROUPS = (
    Group(
        "backlog",
        (
            Line(
                "backlog_sequential", "cost per message, 1,000,000 waiting / none: sequential", "x", "at most", 1.5, 1.2
            ),
            Line("backlog_batches", "cost per message, 1,000,000 waiting / none: sendBatch", "x", "at most", 1.5, 1.2),
            Line("backlog_start", "  start with 1,000,000 / none", "x", "at most", 1.3),
            Line("backlog_memory", "  memory more than with none (RSS)", "MiB", "at most", 20),
        ),
        backlog,
        wpy_alone=True,
        full_only=True,
    ),
    Group(
        "drain_million",
        (
            Line("drain_million", "cost per message, 850,000 ready / 150,000 ready", "x", "at most", 1.5, 1.2),
            Line("drain_million_rate", "  1,000,000 drained at", "msg/s", higher_is_better=True),
        ),
        drain_million,
        wpy_alone=True,
        full_only=True,
    ),
)
