"""HTTP: trivial fetches, fetches that send, and fetches while a queue drains."""

from __future__ import annotations

import time

from bench.client import Connection, load
from bench.figures import Group, Line, Value
from bench.sides import BenchError, Subject, next_run


def fetch(subject: Subject) -> dict[str, Value]:
    session = subject.session
    seconds = 0.5 if subject.quick else 3.0
    load(session.port, lambda n: "/ping", seconds=0.3)
    cpu = session.cpu_seconds()
    result = load(session.port, lambda n: "/ping", seconds=seconds)
    if result.errors:
        raise BenchError(f"{len(result.errors)} of {result.completed} failed: {result.errors[0]}")
    cpu = (session.cpu_seconds() - cpu) / result.completed * 1e6
    return {"fetch": result.rate, "fetch_p99": result.latencies_ms, "fetch_cpu": cpu}


def fetch_send(subject: Subject) -> dict[str, Value]:
    """Each request sends one message and answers when it is stored; the queue's consumer runs meanwhile."""
    session = subject.session
    seconds = 0.5 if subject.quick else 3.0
    run = next_run()
    cpu = session.cpu_seconds()
    result = load(session.port, lambda n: f"/send?queue=BULK&run={run}&i={n}", seconds=seconds)
    if result.errors:
        raise BenchError(f"{len(result.errors)} of {result.completed} failed: {result.errors[0]}")
    session.wait_for(run, result.completed)
    return {"fetch_send": result.rate, "fetch_send_cpu": (session.cpu_seconds() - cpu) / result.completed * 1e6}


def drain(subject: Subject) -> dict[str, Value]:
    """A backlog is built up behind a handler that waits, and let go at one moment; then one request at a time."""
    session = subject.session
    run = next_run()
    count = min(2_000 if subject.quick else 50_000, subject.side.max_pending)
    session.http.get("/gate?open=0")
    # In parts, because wrangler keeps a timer for each message until the next turn of its broker.
    for start in range(0, count, 1000):
        session.http.get(f"/batches?queue=GATED&run={run}&n={min(1000, count - start)}&from={start}")
    if session.stats(run)["count"]:
        raise BenchError("the gate did not hold the messages back")
    probe = Connection(session.port)
    latencies = []
    session.http.get("/gate?open=1")
    opened = time.perf_counter()
    while True:
        at = time.perf_counter()
        stats = probe.json(f"/stats?run={run}")
        now = time.perf_counter()
        latencies.append((now - at) * 1000)
        if stats["count"] >= count:
            break
        if now - opened > 120:
            raise BenchError(f"only {stats['count']:,} of {count:,} messages were handled within 120 s")
    probe.close()
    return {"drain_p99": latencies, "drain_p50": latencies, "drain_rate": count / (now - opened)}


GROUPS = (
    Group(
        "fetch",
        (
            Line("fetch", "trivial fetch, 16 connections", "req/s", "times", 5, 10, higher_is_better=True),
            Line("fetch_p99", "  p99", "ms", quantile=0.99),
            Line("fetch_cpu", "  CPU of the tree per request", "us"),
        ),
        fetch,
    ),
    Group(
        "fetch_send",
        (
            Line("fetch_send", "fetch with one send, 16 connections", "req/s", "times", 4, 7, higher_is_better=True),
            Line("fetch_send_cpu", "  CPU of the tree per request", "us"),
        ),
        fetch_send,
    ),
    Group(
        "drain",
        (
            Line("drain_p99", "HTTP p99 while a queue drains", "ms", "at most", 25, 10, quantile=0.99),
            Line("drain_p50", "  p50", "ms", quantile=0.5),
            Line("drain_rate", "  messages drained meanwhile", "msg/s", higher_is_better=True),
        ),
        drain,
    ),
)
