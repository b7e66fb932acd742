"""Round by round, group by group, one side after the other: what was measured, and what went wrong."""

from __future__ import annotations

import compileall
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import wrangler_py
from bench.client import HttpError
from bench.figures import Group, Value
from bench.figures.backlog import GROUPS as BACKLOG
from bench.figures.http import GROUPS as HTTP
from bench.figures.lifecycle import GROUPS as LIFECYCLE
from bench.figures.page import GROUPS as PAGE
from bench.figures.queues import GROUPS as QUEUES
from bench.figures.record import GROUPS as RECORD
from bench.figures.resources import GROUPS as RESOURCES
from bench.figures.typescript import GROUPS as TYPESCRIPT
from bench.sides import BenchError, Side, Subject

_ALL = {group.name: group for group in (*LIFECYCLE, *RESOURCES, *QUEUES, *HTTP, *BACKLOG, *RECORD, *PAGE)}
#: The order within a round. A shared session begins at "start" and is used until "drain".
_ORDER = (
    "start help idle_cpu latency timeouts fetch fetch_send sequential batches concurrent drain "
    "record page memory reload ctrl_c kill disk backlog drain_million"
)
GROUPS = tuple(_ALL[name] for name in _ORDER.split())
assert len(GROUPS) == len(_ALL)


@dataclass(slots=True)
class Results:
    """What the rounds gave: for each line and side one value a round, None where there is none."""

    rounds: int
    values: dict[str, dict[str, list[Value | None]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def put(self, line: str, side: str, round_: int, value: Value) -> None:
        of_line = self.values.setdefault(line, {})
        of_line.setdefault(side, [None] * self.rounds)[round_] = value


def select(only: Sequence[str], *, full: bool, typescript: bool = False) -> list[Group]:
    """The groups to measure. Raises BenchError for a name that none has."""
    groups = TYPESCRIPT if typescript else GROUPS
    names = [group.name for group in groups]
    for name in only:
        if name not in names:
            raise BenchError(f'there is no figure "{name}"; there are {", ".join(names)}')
    if only:
        return [group for group in groups if group.name in only]
    return [group for group in groups if full or not group.full_only]


def run(sides: Sequence[Side], groups: Sequence[Group], rounds: int, *, quick: bool) -> Results:
    """Measure. Whatever goes wrong in one figure of one round is noted, and the next figure goes on."""
    results = Results(rounds)
    folder = Path(tempfile.mkdtemp(prefix="wpy-bench-"))
    try:
        if not quick and any(group.name != "help" for group in groups):
            _warm_up(sides, folder)
        for round_ in range(rounds):
            at = time.perf_counter()
            # Who goes first alternates, so that neither always finds the machine as the other left it.
            order = list(sides) if round_ % 2 == 0 else list(reversed(sides))
            subjects = [Subject(side, folder / f"{round_}-{side.name}", quick) for side in order]
            try:
                for group in groups:
                    for subject in subjects:
                        if subject.side.durable or not group.wpy_alone:
                            _measure(group, subject, round_, results)
            finally:
                for subject in subjects:
                    subject.end()
            for subject in subjects:
                shutil.rmtree(subject.home.parent, ignore_errors=True)
            _progress(f"round {round_ + 1} of {rounds}: {time.perf_counter() - at:.0f} s\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return results


def _progress(text: str) -> None:
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(f"{clear}{text}", end="", file=sys.stderr, flush=True)


def _measure(group: Group, subject: Subject, round_: int, results: Results) -> None:
    side = subject.side.name
    if sys.stderr.isatty():
        _progress(f"round {round_ + 1}: {group.name}, {side}")
    try:
        values = group.measure(subject)
    except (BenchError, HttpError, OSError) as error:
        results.failures.append(f"round {round_ + 1}, {group.name}, {side}: {error}")
        subject.end()  # the next figure begins with a session of its own
        return
    for line, value in values.items():
        results.put(line, side, round_, value)


def _warm_up(sides: Sequence[Side], folder: Path) -> None:
    """One start of each, so that no round is the one that reads the disk. wpy's files are compiled, as pip leaves them."""
    compileall.compile_dir(str(Path(wrangler_py.__file__).parent), quiet=2)
    for side in sides:
        subject = Subject(side, folder / f"warm-up-{side.name}", quick=True)
        try:
            _ = subject.session
        finally:
            subject.end()
