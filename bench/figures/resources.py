"""Memory, idle CPU, disk."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bench.figures import Group, Line, Value
from bench.processes import cpu_seconds, memory
from bench.sides import Subject, next_run


def resident(subject: Subject) -> dict[str, Value]:
    """Of a session that has just started, and after 10,000 messages through it."""
    with subject.own_session() as session:
        time.sleep(2.0)  # caches are warm, wpy's spare process is there
        idle = memory(session.started.tree())
        run = next_run()
        count = 1_000 if subject.quick else 10_000
        session.http.get(f"/sequential?queue=BULK&run={run}&n={count}")
        session.wait_for(run, count)
        time.sleep(1.0)
        loaded = memory(session.started.tree())
    values: dict[str, Value] = {
        "memory_idle": idle.rss,
        "memory_loaded": loaded.rss,
        "memory_growth": loaded.rss - idle.rss,
        "processes": idle.processes,
    }
    if idle.pss is not None and loaded.pss is not None:
        values |= {"memory_idle_pss": idle.pss, "memory_loaded_pss": loaded.pss}
    return values


def idle_cpu(subject: Subject) -> dict[str, Value]:
    session = subject.session
    time.sleep(0.5 if subject.quick else 2.0)
    pids = session.started.tree()
    at, used = time.perf_counter(), cpu_seconds(pids)
    time.sleep(1.0 if subject.quick else 6.0)
    return {"idle_cpu": (cpu_seconds(pids) - used) / (time.perf_counter() - at) * 100}


def disk(subject: Subject) -> dict[str, Value]:
    """The state folder after a clean end, the record in it: with messages that wait because their queue is paused, with
    messages that wait because they are delayed (an entry in one index more), and after these were delivered."""
    count = 1_000 if subject.quick else 20_000
    paused, delayed = subject.project(), subject.project()
    for project in (paused, delayed):
        with subject.own_session(project) as session:
            session.interrupt()
    command = [*subject.side.command, "queues", "pause-delivery", "now"]
    environment = subject.side.run_environment(subject.home)
    subprocess.run(command, cwd=paused, env=environment, check=True, capture_output=True, timeout=60)
    empty = _size(paused)
    with subject.own_session(paused) as session:
        session.http.get(f"/batches?queue=NOW&run={next_run()}&n={count}")
        session.interrupt()
    waiting = (_size(paused) - empty) / count

    empty = _size(delayed)
    with subject.own_session(delayed) as session:
        run = next_run()
        # A delay that outlasts the sending and the end of the session.
        session.http.get(f"/batches?queue=NOW&run={run}&n={count}&delay=8")
        sent = time.perf_counter()
        session.interrupt()
    full = _size(delayed)
    with subject.own_session(delayed) as session:
        session.wait_for(run, count, timeout=60)
        waited = time.perf_counter() - sent
        if waited < 7:
            raise AssertionError("the messages were delivered before the size was taken")
        session.interrupt()
    body = len('{"run":1,"i":10000,"sent":1700000000000.123,"keep":false,"pad":""}') + 130
    return {
        "disk": waiting / body,
        "disk_bytes": waiting,
        "disk_delayed": (full - empty) / count / body,
        "disk_drained": (_size(delayed) - empty) / (full - empty),
    }


def _size(project: Path) -> int:
    return sum(file.stat().st_size for file in (project / ".wpy").rglob("*") if file.is_file())


GROUPS = (
    Group(
        "memory",
        (
            Line("memory_idle", "memory of the tree, idle (RSS)", "MiB", "times", 3, 6),
            Line("memory_loaded", "memory of the tree, after 10,000 (RSS)", "MiB", "times", 3, 6),
            Line("memory_growth", "  growth over 10,000", "MiB"),
            Line("memory_idle_pss", "  idle, shared pages once (PSS)", "MiB"),
            Line("memory_loaded_pss", "  after 10,000 (PSS)", "MiB"),
            Line("processes", "  processes", ""),
        ),
        resident,
    ),
    Group(
        "idle_cpu",
        (Line("idle_cpu", "idle CPU of the tree", "% of a core", "times", 2, 0.05, moonshot_rule="at most"),),
        idle_cpu,
    ),
    Group(
        "disk",
        (
            Line("disk", "disk per waiting message / its body", "x", "at most", 1.6),
            Line("disk_bytes", "  bytes", "B"),
            Line("disk_delayed", "  when it waits because of a delay", "x"),
            Line("disk_drained", "  part of it still taken after the drain", "x"),
        ),
        disk,
        wpy_alone=True,
    ),
)
