"""What the event record costs: the same load with recording on and off, one after the other in the same round."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace
from http.client import HTTPConnection
from statistics import median

from bench.figures import Group, Line, Value
from bench.sides import Session, Subject, next_run

_HOW = ("sequential", "batches", "concurrent")
_PAIRS = 4


def record(subject: Subject) -> dict[str, Value]:
    """Ratios, with recording to without: messages per second from the first send to the last handler, CPU time a message."""
    off = replace(subject.side, dev_options=("--record", "0"))
    count = 500 if subject.quick else 5_000
    pairs = 1 if subject.quick else _PAIRS
    values: dict[str, Value] = {}
    with ExitStack() as stack:
        with_record, without = (
            stack.enter_context(Subject(side, subject.home.parent / name, subject.quick).own_session())
            for side, name in ((subject.side, "record-on"), (off, "record-off"))
        )
        for how in _HOW:
            for session in (with_record, without):
                _load(session, how, 500)
            rates, cpu = [], []
            for number in range(pairs):
                order = (with_record, without) if number % 2 else (without, with_record)
                measured = {session: _load(session, how, count) for session in order}
                rates.append(measured[with_record][0] / measured[without][0])
                cpu.append(measured[with_record][1] / measured[without][1])
            values[f"record_{how}_rate"] = median(rates)
            values[f"record_{how}_cpu"] = median(cpu)
        values["record_watched"] = median(_watched(with_record, count) for _ in range(pairs))
    return values


def _watched(session: Session, count: int) -> float:
    """The rate of sendBatch(100) while a dashboard is open, to that without one."""
    alone, _ = _load(session, "batches", count)
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(session.port, stop), daemon=True)
    watcher.start()
    try:
        watched, _ = _load(session, "batches", count)
    finally:
        stop.set()
        watcher.join(10)
    return watched / alone


def _watch(port: int, stop: threading.Event) -> None:
    """What an open page does: it follows the stream, and asks for the overview and the newest messages with each change."""
    api = "/cdn-cgi/wpy/api"
    stream, calls = HTTPConnection("127.0.0.1", port, timeout=2), HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        stream.request("GET", f"{api}/events", headers={"Accept": "text/event-stream"})
        lines = stream.getresponse()
        while not stop.is_set():
            if lines.readline().startswith(b"event: change"):
                for path in ("overview", "messages?limit=50"):
                    calls.request("GET", f"{api}/{path}")
                    calls.getresponse().read()
    except TimeoutError:
        pass  # nothing changes any more
    finally:
        stream.close()
        calls.close()


def _load(session: Session, how: str, count: int) -> tuple[float, float]:
    run = next_run()
    cpu = session.cpu_seconds()
    made = session.http.json(f"/{how}?queue=BULK&run={run}&n={count}")
    stats = session.wait_for(run, count)
    return count / (stats["last_handled"] - made["started"]), session.cpu_seconds() - cpu


_TITLES = {"sequential": "sequential sends", "batches": "sendBatch(100)", "concurrent": "concurrent sends"}

GROUPS = (
    Group(
        "record",
        (
            *(
                line
                for how in _HOW
                for line in (
                    Line(
                        f"record_{how}_rate",
                        f"{_TITLES[how]}, rate with the record to without",
                        "x",
                        higher_is_better=True,
                    ),
                    Line(f"record_{how}_cpu", "  CPU of the tree per message", "x", "at most", 1.1),
                )
            ),
            Line(
                "record_watched", "sendBatch(100), rate with an open dashboard to without", "x", higher_is_better=True
            ),
        ),
        record,
        wpy_alone=True,
    ),
)
