"""What the event record costs: the same load with recording on and off, one after the other in the same round."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from statistics import median

from bench.figures import Group, Line, Value
from bench.sides import Session, Subject, next_run

_HOW = ("sequential", "batches", "concurrent")
_PAIRS = 4
#: The busy queue on which a page is open: messages per second, and for how long (seconds).
_PACE = 5_000
_PACED_S = 6.0
#: How often the page asks at most (seconds), and how many times as long as the last answer cost it waits: GAP_MS and COST of
#: wrangler_py/dashboard/live.js.
_PAGE_GAP_S = 0.4
_PAGE_COST = 20
#: What the page's list of messages asks for, beside what stands in its strip.
_PAGE_CALLS = ("overview", "messages?limit=100&order=newest")
_API = "/cdn-cgi/wpy/api"


def record(subject: Subject) -> dict[str, Value]:
    """Ratios: messages per second from the first send to the last handler, without recording to with; CPU time a message, with
    it to without. What the record makes of the events after the load is in neither."""
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
                rates.append(measured[without][0] / measured[with_record][0])
                cpu.append(measured[with_record][1] / measured[without][1])
            values[f"record_{how}_rate"] = median(rates)
            values[f"record_{how}_cpu"] = median(cpu)
        values["record_watched"] = median(_watched(with_record, count * 4) for _ in range(pairs))
        seconds = 1.0 if subject.quick else _PACED_S
        _paced(with_record, 1.0)
        cpu, waits = [], []
        for _ in range(pairs):
            _caught_up(with_record)
            alone = _paced(with_record, seconds)
            _caught_up(with_record)
            with _page(with_record.port):
                _load(with_record, "batches", 100)  # the page is there, and has asked
                _caught_up(with_record)
                watched = _paced(with_record, seconds)
            cpu.append(watched[0] / alone[0])
            waits.append(watched[1] / alone[1])
        values |= {"record_paced_cpu": median(cpu), "record_paced_wait": median(waits)}
    return values


def _watched(session: Session, count: int) -> float:
    """The rate of sendBatch(100) while a dashboard is open, to that without one."""
    _caught_up(session)
    alone, _ = _load(session, "batches", count)
    _caught_up(session)
    with _page(session.port):
        watched, _ = _load(session, "batches", count)
    return watched / alone


def _paced(session: Session, seconds: float) -> tuple[float, float]:
    """`_PACE` messages a second by sendBatch(100), handled meanwhile. CPU time of the tree, and the median time that a request
    which sends a hundred takes; in seconds."""
    run, sent, took = next_run(), 0, []
    cpu, began = session.cpu_seconds(), time.perf_counter()
    while (now := time.perf_counter()) - began < seconds:
        due = began + sent / _PACE
        if now < due:
            time.sleep(due - now)
        at = time.perf_counter()
        session.http.get(f"/batches?queue=BULK&run={run}&from={sent}&n=100")
        took.append(time.perf_counter() - at)
        sent += 100
    session.wait_for(run, sent)
    return (session.cpu_seconds() - cpu) / sent, median(took)


def _caught_up(session: Session) -> None:
    """Wait until what was put aside has been made sense of: whoever measures next shall not pay for it."""
    while session.http.json(f"{_API}/overview")["record"]["behind"]:
        time.sleep(0.2)
    time.sleep(1.0)  # the record is cut to size


@contextmanager
def _page(port: int) -> Iterator[None]:
    """While an open page looks."""
    page = _Page(port)
    threads = [threading.Thread(target=work, daemon=True) for work in (page.listen, page.ask)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        page.close()
        for thread in threads:
            thread.join(10)


class _Page:
    """What an open page does: it follows the stream; when that tells of a change, it asks again for what it shows, as soon as it
    may: `keep` of wrangler_py/dashboard/live.js."""

    def __init__(self, port: int) -> None:
        self._closed = threading.Event()
        self._stream, self._calls = (HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(2))
        self._pace_s = 0.0
        self._wanted = dict.fromkeys(_PAGE_CALLS, True)

    def listen(self) -> None:
        """Follow the stream."""
        self._stream.request("GET", f"{_API}/events", headers={"Accept": "text/event-stream"})
        lines = self._stream.getresponse()
        while line := lines.readline():
            if line.startswith(b"event: change"):
                self._pace_s = json.loads(lines.readline().removeprefix(b"data: "))["paceMs"] / 1000
                self._wanted.update(dict.fromkeys(_PAGE_CALLS, True))

    def ask(self) -> None:
        """Ask for what has changed."""
        earliest = dict.fromkeys(_PAGE_CALLS, 0.0)
        while not self._closed.wait(0.01):
            for path, moment in earliest.items():
                if self._wanted[path] and time.perf_counter() >= moment:
                    self._wanted[path] = False
                    self._calls.request("GET", f"{_API}/{path}")
                    answer = self._calls.getresponse()
                    answer.read()
                    cost_s = float((answer.getheader("server-timing") or "").removeprefix("work;dur=")) / 1000
                    earliest[path] = time.perf_counter() + max(_PAGE_GAP_S, self._pace_s, _PAGE_COST * cost_s)

    def close(self) -> None:
        """Go away."""
        self._closed.set()
        if self._stream.sock is not None:
            self._stream.sock.shutdown(socket.SHUT_RDWR)  # who listens reads the end


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
                        f"{_TITLES[how]}, rate without the record to with",
                        "x",
                        "at most",
                        1.1,
                    ),
                    Line(f"record_{how}_cpu", "  CPU of the tree per message, with the record to without", "x"),
                )
            ),
            Line(
                "record_watched", "sendBatch(100), rate with an open dashboard to without", "x", higher_is_better=True
            ),
            Line(
                "record_paced_cpu",
                "5,000 messages a second, CPU with an open dashboard to without",
                "x",
                "at most",
                1.1,
            ),
            Line("record_paced_wait", "  time of a request that sends 100, p50", "x", "at most", 1.1),
        ),
        record,
        wpy_alone=True,
    ),
)
