"""Figures over time, from the record: throughput, latency, failures, depth, the age of the oldest message."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Mapping

from msgspec import Struct, field

#: Messages and batches that are looked at, newest first; the figures of earlier buckets are of those only.
_LOOKED_AT = 100_000

_SENT = """
    SELECT (sent_ms - :from) / :bucket, count(*) FROM item
    WHERE sent_ms >= :from AND sent_ms < :to AND (:queue IS NULL OR queue = :queue OR died_in = :queue) GROUP BY 1
"""
_BATCHES = """
    SELECT started_ms, coalesce(ended_ms, started_ms), ms, outcome, messages FROM run
    WHERE n > (SELECT coalesce(max(n), 0) - :most FROM run) AND kind = 'batch' AND ended_ms >= :from AND ended_ms < :to
        AND (:queue IS NULL OR queue = :queue)
"""
_LIVES = """
    SELECT sent_ms, coalesce(ended_ms, 9223372036854775807), due_ms FROM item
    WHERE n > (SELECT coalesce(max(n), 0) - :most FROM item) AND sent_ms < :to AND (ended_ms IS NULL OR ended_ms >= :from)
        AND (:queue IS NULL OR queue = :queue) ORDER BY sent_ms
"""
_LATENCIES = """
    SELECT (ended_ms - :from) / :bucket, max(0, ended_ms - sent_ms - coalesce(delay, 0) * 1000) FROM item
    WHERE n > (SELECT coalesce(max(n), 0) - :most FROM item) AND state = 'acked' AND ended_ms >= :from AND ended_ms < :to
        AND (:queue IS NULL OR queue = :queue)
"""
_SPARK = """
    SELECT queue, (ended_ms - :from) / :bucket, sum(acked), sum(retried), sum(given_up) FROM run
    WHERE n > (SELECT coalesce(max(n), 0) - :most FROM run) AND kind = 'batch' AND ended_ms >= :from AND ended_ms < :to
    GROUP BY 1, 2
"""
_ACTIONS = {"ack": "acked", "retry": "retried", "dead_letter": "dead", "drop": "dead"}


class Series(Struct):
    """Figures by bucket of time; None where there is nothing to count."""

    from_ms: int
    bucket_ms: int
    counts: dict[str, list[int]] = field(default_factory=dict)
    figures: dict[str, list[float | None]] = field(default_factory=dict)


def series(connection: sqlite3.Connection, queue: str | None, from_ms: int, bucket_ms: int, buckets: int) -> Series:
    """The figures of one queue, or of all (None)."""
    to_ms = from_ms + bucket_ms * buckets
    found = Series(from_ms, bucket_ms)
    counts = found.counts = {name: [0] * buckets for name in ("sent", "acked", "retried", "failed", "dead")}
    parameters = {"from": from_ms, "to": to_ms, "bucket": bucket_ms, "queue": queue, "most": _LOOKED_AT}
    for bucket, count in connection.execute(_SENT, parameters):
        counts["sent"][bucket] = count
    work: list[list[int]] = [[] for _ in range(buckets)]
    for _, ended_ms, ms, outcome, messages in connection.execute(_BATCHES, parameters):
        bucket = (ended_ms - from_ms) // bucket_ms
        work[bucket].append(ms or 0)
        if outcome != "ok":
            counts["failed"][bucket] += 1
        for entry in json.loads(messages or "[]"):
            name = _ACTIONS.get(entry[2]) if len(entry) > 2 else None
            if name is not None:
                counts[name][bucket] += 1
    latencies: list[list[int]] = [[] for _ in range(buckets)]
    for bucket, ms in connection.execute(_LATENCIES, parameters):
        latencies[bucket].append(ms)
    depth, oldest = _depth(connection, parameters, from_ms, bucket_ms, buckets)
    found.figures = {
        "depth": depth,
        "oldestAgeMs": oldest,
        "p50Ms": [quantile(values, 0.5) for values in latencies],
        "p95Ms": [quantile(values, 0.95) for values in latencies],
        "workMs": [quantile(values, 0.5) for values in work],
    }
    return found


def _depth(
    connection: sqlite3.Connection, parameters: Mapping[str, object], from_ms: int, bucket_ms: int, buckets: int
) -> tuple[list[float | None], list[float | None]]:
    """How many messages there were at the end of each bucket, and how old the oldest was."""
    lives = connection.execute(_LIVES, parameters).fetchall()
    begins = [life[0] for life in lives]
    ends = sorted(life[1] for life in lives)
    depth: list[float | None] = []
    oldest: list[float | None] = []
    first = 0  # messages before it had all ended by the last bucket's end
    for bucket in range(buckets):
        end = from_ms + (bucket + 1) * bucket_ms - 1
        depth.append(bisect_right(begins, end) - bisect_right(ends, end))
        while first < len(lives) and lives[first][1] <= end:
            first += 1
        at = next((lives[i][0] for i in range(first, len(lives)) if lives[i][1] > end), None)
        oldest.append(end - at if at is not None and at <= end else None)
    return depth, oldest


def quantile(values: list[int], q: float) -> float | None:
    """The value that a share `q` of all does not exceed (nearest rank); None without values."""
    if not values:
        return None
    values.sort()
    return values[min(len(values) - 1, max(0, round(q * len(values) + 0.5) - 1))]


def spark(connection: sqlite3.Connection, now_ms: int, bucket_ms: int, buckets: int) -> dict[str, dict[str, list[int]]]:
    """For the overview: by queue, how many messages were acknowledged, retried, given up in each bucket up to now."""
    from_ms = now_ms - bucket_ms * buckets
    parameters = {"from": from_ms, "to": now_ms + 1, "bucket": bucket_ms, "most": 20_000}
    found: dict[str, dict[str, list[int]]] = {}
    for queue, bucket, *counted in connection.execute(_SPARK, parameters):
        rows = found.setdefault(queue, {name: [0] * buckets for name in ("acked", "retried", "failed")})
        for name, count in zip(("acked", "retried", "failed"), counted, strict=True):
            rows[name][min(buckets - 1, bucket)] += count or 0
    return found
