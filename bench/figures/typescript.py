"""`--typescript`: the same TypeScript worker under wpy and wrangler. Its bars are lower than those of Python workers, because
both sides run the same workerd; wpy's queue commits every message to disk, wrangler's keeps them in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench.figures import Group, Line, Value
from bench.figures.http import GROUPS as HTTP
from bench.figures.lifecycle import GROUPS as LIFECYCLE
from bench.figures.queues import GROUPS as QUEUES
from bench.figures.resources import GROUPS as RESOURCES
from bench.sides import Subject

#: By line: wpy has to be so many times better. Lines that are in none of the two keep their bar, if it is one of
#: wpy's own figures; the others are for the reader's information.
_TIMES = {
    "start": 2.0,
    "reload": 2.0,
    "sequential_sends": 1.0,
    "concurrent_sends": 1.0,
    "batches_e2e": 1.0,
    "kv": 1.0,
    "d1": 1.0,
}


def _with_bars(group: Group) -> Group:
    return replace(group, lines=tuple(_with_bar(line) for line in group.lines))


def _with_bar(line: Line) -> Line:
    if line.key in _TIMES:
        return replace(line, rule="times", bar=_TIMES[line.key], moonshot=None)
    if line.rule in ("times", "ratio"):
        return replace(line, rule="none", bar=None, moonshot=None)
    return line


def _store(name: str) -> Callable[[Subject], dict[str, Value]]:
    def measure(subject: Subject) -> dict[str, Value]:
        session = subject.session
        session.http.get(f"/{name}?n=50")  # the first use opens the store
        n = 200 if subject.quick else 1_000
        cpu = session.cpu_seconds()
        answer = session.http.json(f"/{name}?n={n}")
        used = session.cpu_seconds() - cpu
        seconds = (answer["finished"] - answer["started"]) / 1000
        return {name: 2 * n / seconds, f"{name}_cpu": used / (2 * n) * 1e6}

    return measure


_STORES = tuple(
    Group(
        name,
        (
            Line(name, title, "op/s", higher_is_better=True),
            Line(f"{name}_cpu", "  CPU of the tree per operation", "us"),
        ),
        _store(name),
    )
    for name, title in (("kv", "KV put and get, one after the other"), ("d1", "D1 insert and select"))
)

_BY_NAME = {group.name: group for group in (*LIFECYCLE, *RESOURCES, *QUEUES, *HTTP, *_STORES)}
GROUPS = tuple(
    _with_bars(_BY_NAME[name])
    for name in ("start", "latency", "fetch", "fetch_send", "sequential", "batches", "concurrent", "kv", "d1")
) + tuple(_with_bars(_BY_NAME[name]) for name in ("memory", "reload", "kill"))
