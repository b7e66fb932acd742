"""Start, help, reload, Ctrl-C, kill -9; and that none of them loses a message."""

from __future__ import annotations

import subprocess
import time

from bench.client import Connection, HttpError, load
from bench.figures import Group, Line, Value
from bench.sides import BenchError, Session, Subject, next_run

#: How long messages are held back so that they are pending at the save, the Ctrl-C, the kill (seconds).
_HOLD_S = 4
_PENDING = 200


def start(subject: Subject) -> dict[str, Value]:
    subject.end()
    session = subject.session
    return {"start": session.start_seconds * 1000, "start_cpu": session.cpu_seconds() * 1000}


def help_text(subject: Subject) -> dict[str, Value]:
    at = time.perf_counter()
    command = [*subject.side.command, "--help"]
    environment = subject.side.run_environment(subject.home)
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    if result.returncode != 0 or "dev" not in result.stdout:
        raise BenchError(f"--help ended with {result.returncode}: {result.stderr[-500:]}")
    return {"help": (time.perf_counter() - at) * 1000}


def reload(subject: Subject) -> dict[str, Value]:
    """Saves in a session of its own; before the first one, messages are sent that are due after it."""
    with subject.own_session() as session:
        time.sleep(1.5)  # a person reads before the first edit; wpy's spare process and wrangler's caches are there
        run = _send_held(session, _PENDING)
        times, refused = [], 0
        for number in range(1, 2 if subject.quick else 5):
            seconds, failed = _save(session, f"v{number}")
            times.append(seconds * 1000)
            refused += failed
            time.sleep(1.0)
        return {
            "reload": sorted(times)[len(times) // 2],
            "reload_refused": refused,
            "reload_lost": _lost(session, run, set(range(_PENDING))),
        }


def _save(session: Session, version: str) -> tuple[float, int]:
    """Save the source with another VERSION. Seconds until it answers, and how many requests failed meanwhile."""
    path = session.project / session.side.source
    lines = path.read_text().splitlines(keepends=True)
    start_of_line = session.side.version_line.split("{")[0]
    (place,) = [index for index, line in enumerate(lines) if line.startswith(start_of_line)]
    lines[place] = session.side.version_line.format(version)
    text = "".join(lines)
    failed = 0
    http = Connection(session.port, strict=True)
    http.get("/version")
    at = time.perf_counter()
    path.write_text(text)
    while time.perf_counter() - at < 30:
        try:
            if http.get("/version") == version.encode():
                http.close()
                return time.perf_counter() - at, failed
        except (HttpError, OSError):
            failed += 1
        time.sleep(0.001)
    raise BenchError(f"30 s after the save the old code still answers:\n{session.started.tail()}")


def ctrl_c(subject: Subject) -> dict[str, Value]:
    """The key on a terminal, where both read single keys themselves."""
    project = subject.project()
    with subject.own_session(project, terminal=True) as session:
        time.sleep(0.5)
        run = _send_held(session, _PENDING)
        seconds = session.interrupt()
    with subject.own_session(project) as session:
        return {"ctrl_c": seconds * 1000, "ctrl_c_lost": _lost(session, run, set(range(_PENDING)))}


def kill(subject: Subject) -> dict[str, Value]:
    """`kill -9` of the server while 16 connections send; what was acknowledged must be there after the next start."""
    project = subject.project()
    with subject.own_session(project) as session:
        run = next_run()
        deadline = time.perf_counter() + 1.0
        killed = False

        def stop() -> bool:
            nonlocal killed
            if not killed and time.perf_counter() >= deadline:
                killed = True
                session.started.kill_first()
            return killed

        sent = load(session.port, lambda n: f"/send?queue=NOW&run={run}&i={n}&delay={_HOLD_S}", seconds=30, stop=stop)
        time.sleep(1.0)
        survivors = len(session.started.survivors())
    acknowledged = set(sent.acknowledged)
    if len(acknowledged) < 20:
        raise BenchError(f"only {len(acknowledged)} sends were acknowledged before the kill")
    with subject.own_session(project) as session:
        return {
            "kill_lost": _lost(session, run, acknowledged),
            "kill_acknowledged": len(acknowledged),
            "kill_survivors": survivors,
        }


def _send_held(session: Session, count: int) -> int:
    run = next_run()
    session.http.get(f"/batches?queue=NOW&run={run}&n={count}&delay={_HOLD_S}")
    return run


def _lost(session: Session, run: int, wanted: set[int]) -> int:
    """How many of the messages do not arrive, long after they were due."""
    deadline = time.perf_counter() + _HOLD_S + 2
    connection = Connection(session.port)
    while True:
        lost = len(wanted - set(connection.json(f"/received?run={run}")))
        if lost == 0 or time.perf_counter() > deadline:
            connection.close()
            return lost
        time.sleep(0.1)


GROUPS = (
    Group(
        "start",
        (
            Line("start", "start to first answer", "ms", "times", 5, 8),
            Line("start_cpu", "  CPU of the tree until then", "ms"),
        ),
        start,
    ),
    Group("help", (Line("help", "--help", "ms", "times", 4, 10),), help_text),
    Group(
        "reload",
        (
            Line("reload", "save to new code answering", "ms", "times", 8, 15),
            Line("reload_refused", "  requests failed meanwhile", "", "at most", 0, combine="sum"),
            Line("reload_lost", f"  of {_PENDING} pending messages lost", "", "at most", 0, combine="sum"),
        ),
        reload,
    ),
    Group(
        "ctrl_c",
        (
            Line("ctrl_c", "Ctrl-C to all processes gone", "ms"),
            Line("ctrl_c_lost", f"  of {_PENDING} pending messages lost", "", "at most", 0, combine="sum"),
        ),
        ctrl_c,
    ),
    Group(
        "kill",
        (
            Line("kill_lost", "kill -9: acknowledged messages lost", "", "at most", 0, combine="sum"),
            Line("kill_acknowledged", "  of so many acknowledged", "", combine="sum"),
            Line("kill_survivors", "  processes left behind", "", "at most", 0, combine="sum"),
        ),
        kill,
    ),
)
