"""Messages: rates end to end, latency, timeouts and delays."""

from __future__ import annotations

import math
import time

from bench.figures import Group, Line, Value
from bench.raw import raw_rate
from bench.sides import BenchError, Subject, next_run

#: The consumer of BULK takes batches of this size; a run is a multiple of it, so that no batch waits for its timeout.
_BATCH = 100
_SOON = 10
_SOON_TIMEOUT_MS = 1_000
_DELAY_MS = 1_000


def _end_to_end(subject: Subject, how: str, count: int) -> dict[str, Value]:
    """Messages per second from before the first send to after the last handler, and of the sends alone; CPU time each."""
    session = subject.session
    run = next_run()
    cpu = session.cpu_seconds()
    made = session.http.json(f"/{how}?queue=BULK&run={run}&n={count}")
    stats = session.wait_for(run, count)
    sending = max(made["finished"] - made["started"], 1)
    return {
        f"{how}_e2e": count / (stats["last_handled"] - made["started"]) * 1000,
        f"{how}_sends": count / sending * 1000,
        f"{how}_cpu": (session.cpu_seconds() - cpu) / count * 1e6,
    }


def _count(subject: Subject) -> int:
    return 1_000 if subject.quick else 10_000


def sequential(subject: Subject) -> dict[str, Value]:
    return _beside_raw(subject, "sequential", per_commit=1)


def batches(subject: Subject) -> dict[str, Value]:
    return _beside_raw(subject, "batches", per_commit=_BATCH)


def concurrent(subject: Subject) -> dict[str, Value]:
    return _end_to_end(subject, "concurrent", _count(subject) // 2)


def _beside_raw(subject: Subject, how: str, per_commit: int) -> dict[str, Value]:
    count = _count(subject)
    values = _end_to_end(subject, how, count)
    rate = values[f"{how}_e2e"]
    if subject.side.name == "wpy" and not isinstance(rate, list):
        values[f"{how}_raw"] = rate / raw_rate(subject.home, count, per_commit)
    return values


def latency(subject: Subject) -> dict[str, Value]:
    """One message at a time into an idle queue whose max_batch_timeout is 0: before the send to the handler's start."""
    session = subject.session
    run = next_run()
    count = 20 if subject.quick else 200
    for number in range(count):
        session.http.get(f"/send?queue=NOW&run={run}&i={number}&keep=1")
        time.sleep(0.005)
    session.wait_for(run, count)
    # wrangler's worker has whole milliseconds only: wpy's are cut to the same.
    waits = [float(math.floor(started) - math.floor(sent)) for _, sent, _, started in _records(subject, run, count)]
    return {"latency_p50": waits, "latency_p99": waits}


def timeouts(subject: Subject) -> dict[str, Value]:
    """Single messages into idle queues (max_batch_timeout 1), and messages with a delay into one whose timeout is 0.

    Early is what comes before the broker's own timestamp plus the wait; late is counted from before the send.
    """
    session = subject.session
    early = 0
    values: dict[str, Value] = {}
    run = next_run()
    repeats = 1 if subject.quick else 3
    for repeat in range(repeats):
        for queue in range(_SOON):
            session.http.get(f"/send?queue=SOON_{queue}&run={run}&i={repeat * _SOON + queue}&keep=1")
            time.sleep(0.013)
        time.sleep(_SOON_TIMEOUT_MS / 1000 + 0.1)
    session.wait_for(run, repeats * _SOON)
    records = _records(subject, run, repeats * _SOON)
    early += sum(
        1 for _, _, stamped, started in records if math.floor(started) < math.floor(stamped) + _SOON_TIMEOUT_MS
    )
    values["timeout_late"] = [started - sent - _SOON_TIMEOUT_MS for _, sent, _, started in records]
    run = next_run()
    count = 10 if subject.quick else 60
    for number in range(count):
        session.http.get(f"/send?queue=NOW&run={run}&i={number}&delay={_DELAY_MS // 1000}&keep=1")
        time.sleep(0.013)
    session.wait_for(run, count)
    records = _records(subject, run, count)
    early += sum(1 for _, _, stamped, started in records if math.floor(started) < math.floor(stamped) + _DELAY_MS)
    values["delay_late"] = [started - sent - _DELAY_MS for _, sent, _, started in records]
    values["early"] = early
    return values


def _records(subject: Subject, run: int, count: int) -> list[list[float]]:
    """[number, sent, timestamp of the broker, start of the handler] of each message; times in epoch ms."""
    records: list[list[float]] = subject.session.http.json(f"/records?run={run}")
    if len(records) != count:
        raise BenchError(f"{len(records)} records of {count} messages")
    return records


GROUPS = (
    Group(
        "latency",
        (
            Line("latency_p50", "delivery latency at timeout 0, p50", "ms", quantile=0.5),
            Line(
                "latency_p99",
                "delivery latency at timeout 0, p99",
                "ms",
                "ratio",
                1,
                3,
                moonshot_rule="at most",
                quantile=0.99,
            ),
        ),
        latency,
    ),
    Group(
        "timeouts",
        (
            Line("early", "timeouts and delays: deliveries too early", "", "at most", 0, combine="sum"),
            Line("timeout_late", "  max_batch_timeout 1 s, p99 late", "ms", "at most", 10, quantile=0.99),
            Line("delay_late", "  delaySeconds 1, p99 late", "ms", "at most", 10, quantile=0.99),
        ),
        timeouts,
    ),
    Group(
        "sequential",
        (
            Line(
                "sequential_e2e", "10,000 sequential sends, end to end", "msg/s", "times", 1.5, 3, higher_is_better=True
            ),
            Line("sequential_sends", "  the sends alone", "msg/s", higher_is_better=True),
            Line("sequential_cpu", "  CPU of the tree per message", "us"),
            Line("sequential_raw", "  of a raw sqlite3+json loop", "x", higher_is_better=True),
        ),
        sequential,
    ),
    Group(
        "batches",
        (
            Line(
                "batches_e2e", "10,000 by sendBatch(100), end to end", "msg/s", "times", 1.5, 2.5, higher_is_better=True
            ),
            Line("batches_sends", "  the sends alone", "msg/s", higher_is_better=True),
            Line("batches_cpu", "  CPU of the tree per message", "us"),
            Line("batches_raw", "  of a raw sqlite3+json loop", "x", higher_is_better=True),
        ),
        batches,
    ),
    Group(
        "concurrent",
        (
            Line("concurrent_sends", "concurrent sends, 100 at once", "msg/s", "times", 3, 5, higher_is_better=True),
            Line("concurrent_e2e", "  end to end", "msg/s", higher_is_better=True),
            Line("concurrent_cpu", "  CPU of the tree per message", "us"),
        ),
        concurrent,
    ),
)
