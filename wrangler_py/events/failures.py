"""Failures, grouped by exception and line: of handlers that raised, and of messages that a handler gave back."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from typing import Any

from msgspec import Struct, field

#: Failed runs that are looked at, newest first.
_LOOKED_AT = 5_000
#: Messages that a group names.
_SAMPLES = 20
_TYPE = re.compile(r"^([A-Za-z_][\w.]*)(?::\s?(.*))?$", re.DOTALL)
#: What differs from one message to the next in the text of the same failure.
_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{8,}\b|\d+|\S+@\S+")


class Failure(Struct):
    """One group."""

    key: str
    type: str
    message: str
    where: str | None
    kind: str
    worker: str | None
    traceback: str | None
    count: int = 0
    since_reload: int = 0
    first_ms: int = 0
    last_ms: int = 0
    queues: list[str] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)
    span: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The group as the API shows it."""
        return {
            "key": self.key,
            "type": self.type,
            "message": self.message,
            "where": self.where,
            "kind": self.kind,
            "worker": self.worker,
            "count": self.count,
            "sinceReload": self.since_reload,
            "firstMs": self.first_ms,
            "lastMs": self.last_ms,
            "queues": self.queues,
            "messageIds": self.message_ids,
            "spanId": self.span,
            "traceback": self.traceback,
        }


_FAILED = """
    SELECT span, kind, worker, queue, started_ms, outcome, error, traceback, site, messages FROM run
    WHERE n > (SELECT coalesce(max(n), 0) - ? FROM run)
        AND (error IS NOT NULL OR outcome NOT IN ('ok', 'canceled') OR retried > 0 OR given_up > 0)
    ORDER BY n DESC
"""
_RELOADS = "SELECT worker, max(at_ms) FROM event WHERE kind = 'worker.reloaded' GROUP BY worker"
_GIVEN_BACK = frozenset({"retry", "dead_letter", "drop"})


def failures(connection: sqlite3.Connection) -> list[Failure]:
    """The groups, the one that failed last first."""
    groups: dict[str, Failure] = {}
    reloads = dict(connection.execute(_RELOADS).fetchall())
    for span, kind, worker, queue, at_ms, outcome, error, traceback, site, messages in connection.execute(
        _FAILED, (_LOOKED_AT,)
    ):
        listed = [m for m in json.loads(messages or "[]") if len(m) > 2 and m[2] in _GIVEN_BACK]
        if error is not None or outcome not in (None, "ok"):
            struck = [m[0] for m in listed if m[3] == outcome]
            name, text = _split(error or outcome)
            group = _group(groups, name, text, site, kind, worker, traceback)
            _count(group, 1, span, queue, at_ms, struck, reloads)
        by_call: dict[tuple[str, str | None], list[str]] = {}
        for m in listed:
            if m[3] in ("retry()", "retryAll()"):
                by_call.setdefault((m[3], m[4]), []).append(m[0])
        for (call, where), ids in by_call.items():
            group = _group(groups, call, "the handler asked for a retry", where, kind, worker, None)
            _count(group, len(ids), span, queue, at_ms, ids, reloads)
    return sorted(groups.values(), key=lambda group: -group.last_ms)


def _group(
    groups: dict[str, Failure],
    name: str,
    text: str,
    where: str | None,
    kind: str,
    worker: str | None,
    traceback: str | None,
) -> Failure:
    same = where or _VARIES.sub("*", text)  # without a line, the text without what varies stands for it
    key = hashlib.sha1(f"{worker}\0{name}\0{same}".encode(), usedforsecurity=False).hexdigest()[:16]
    return groups.setdefault(key, Failure(key, name, text, where, kind, worker, traceback))


def _count(
    group: Failure, count: int, span: str, queue: str | None, at_ms: int, ids: list[str], reloads: dict[str | None, int]
) -> None:
    group.count += count
    group.since_reload += count if at_ms >= reloads.get(group.worker, 0) else 0
    group.last_ms = max(group.last_ms, at_ms)
    group.first_ms = at_ms if not group.first_ms else min(group.first_ms, at_ms)
    group.span = group.span or span
    if queue is not None and queue not in group.queues:
        group.queues.append(queue)
    for one in ids:
        if len(group.message_ids) < _SAMPLES and one not in group.message_ids:
            group.message_ids.append(one)


def _split(error: str) -> tuple[str, str]:
    """Type and message of an exception's last line."""
    found = _TYPE.match(error.strip())
    return (found[1], found[2] or "") if found else ("Error", error.strip())
