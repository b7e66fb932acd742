"""The history of runs, on the session's real database."""

import asyncio
from dataclasses import dataclass
from unittest.mock import ANY

import pytest

from wrangler_py.clock import VirtualClock
from wrangler_py.cron.limits import HISTORY_LOG_CHARS
from wrangler_py.cron.runs import RunHistory, RunRecord, RunTable
from wrangler_py.cron.scheduler import CronScheduler
from wrangler_py.events.log import EventLog
from wrangler_py.store.database import open_store

MINUTE = 60_000


@dataclass
class Result:
    outcome: str = "ok"
    no_retry: bool = False
    error: str | None = None


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def session():
    clock = VirtualClock(0)
    events = EventLog(clock)

    async def run(worker, cron, scheduled_ms):
        events.emit("worker.printed", worker=worker, event=f"cron {cron}", level="log", text=f"at {scheduled_ms}")
        events.emit("worker.printed", worker=worker, event="cron other", level="log", text="not of this run")
        await asyncio.sleep(0)
        if cron.startswith("3"):
            return Result("exception", True, "boom")
        return Result()

    return clock, events, CronScheduler(clock, run, events)


async def test_a_run_is_noted_with_its_particulars_and_what_it_printed(session, store):
    clock, events, scheduler = session
    table = RunTable(store)
    table.prepare()
    history = RunHistory(events, table)
    scheduler.set_crons("w", ["2 * * * *", "3 * * * *"])
    scheduler.start()
    await clock.advance(4 * 60)
    await scheduler.fire("w", "by hand", 5)
    store.flush()
    expected = [
        RunRecord("w", "by hand", 5, 4 * MINUTE, ANY, "ok", False, None, "manual", (("log", "at 5"),)),
        RunRecord(
            "w",
            "3 * * * *",
            3 * MINUTE,
            3 * MINUTE,
            ANY,
            "exception",
            True,
            "boom",
            "clock",
            (("log", f"at {3 * MINUTE}"),),
        ),
        RunRecord(
            "w", "2 * * * *", 2 * MINUTE, 2 * MINUTE, ANY, "ok", False, None, "clock", (("log", f"at {2 * MINUTE}"),)
        ),
    ]
    assert history.latest() == expected
    assert table.latest() == expected
    assert table.last_of("w", "2 * * * *") == expected[2]
    assert table.last_of("w", "9 * * * *") is None


async def test_the_last_hundred_of_each_worker_are_kept(session, store):
    _, events, scheduler = session
    table = RunTable(store)
    table.prepare()
    history = RunHistory(events, table)
    await scheduler.fire("quiet", "x", 0)
    for number in range(120):
        await scheduler.fire("busy", "x", number)
    store.flush()
    assert [run.scheduled_ms for run in history.latest()] == list(range(119, 19, -1))
    kept = table.latest(1000)
    assert [run.scheduled_ms for run in kept if run.worker == "busy"] == list(range(119, 19, -1))
    assert [run.worker for run in kept].count("quiet") == 1


async def test_overlapping_runs_keep_their_logs_apart_by_expression(store):
    clock = VirtualClock(0)
    events = EventLog(clock)
    history = RunHistory(events)
    gates = {"a": asyncio.Event(), "b": asyncio.Event()}

    async def run(worker, cron, scheduled_ms):
        await gates[cron].wait()
        return Result()

    scheduler = CronScheduler(clock, run, events)
    runs = [asyncio.ensure_future(scheduler.fire("w", cron, 0)) for cron in "ab"]
    await asyncio.sleep(0)
    for cron in "bab":
        events.emit("worker.printed", worker="w", event=f"cron {cron}", level="log", text=cron)
    for gate in gates.values():
        gate.set()
    await asyncio.gather(*runs)
    assert {run.cron: [text for _, text in run.logs] for run in history.latest()} == {"a": ["a"], "b": ["b", "b"]}


async def test_two_runs_of_one_expression_and_time_are_two():
    clock = VirtualClock(0)
    events = EventLog(clock)
    history = RunHistory(events)
    gates = [asyncio.Event(), asyncio.Event()]
    results = [Result(), Result("exception", error="second")]

    async def run(worker, cron, scheduled_ms):
        mine = next(numbers)
        await gates[mine].wait()
        return results[mine]

    numbers = iter(range(2))
    scheduler = CronScheduler(clock, run, events)
    first, second = scheduler.new_run(), scheduler.new_run()
    runs = [asyncio.ensure_future(scheduler.fire("w", "x", 0, number=number)) for number in (first, second)]
    await asyncio.sleep(0)
    gates[1].set()
    await runs[1]
    assert (history.run(first), history.run(second).error) == (None, "second")
    gates[0].set()
    await runs[0]
    assert history.run(first).outcome == "ok"


async def test_what_one_run_may_print_is_bounded():
    clock = VirtualClock(0)
    events = EventLog(clock)
    history = RunHistory(events)

    async def run(worker, cron, scheduled_ms):
        for _ in range(3):
            events.emit("worker.printed", worker="w", event="cron x", level="log", text="x" * (HISTORY_LOG_CHARS - 10))
        return Result()

    await CronScheduler(clock, run, events).fire("w", "x", 0)
    (kept,) = history.latest()
    assert sum(len(text) for _, text in kept.logs) <= HISTORY_LOG_CHARS + 1
    assert kept.logs[1] == ("log", "x" * 10 + "…")


async def test_reading_a_state_folder_that_never_ran_a_cron(store):
    assert RunTable(store).latest() == []
    assert RunTable(store).last_of("w", "x") is None


async def test_a_write_that_fails_is_said_and_the_run_is_kept_in_memory(session, store):
    _, events, scheduler = session
    seen = []
    events.subscribe(seen.append)
    history = RunHistory(events, RunTable(store))  # no table was prepared
    await scheduler.fire("w", "x", 0)
    store.flush()
    await asyncio.sleep(0)
    failed = [event.data for event in seen if event.kind == "store.failed"]
    assert failed == [{"doing": "note a cron run", "error": "no such table: cron_run"}]
    assert len(history.latest()) == 1


async def test_closed_history_listens_no_more(session):
    _, events, scheduler = session
    history = RunHistory(events)
    history.close()
    await scheduler.fire("w", "x", 0)
    assert history.latest() == []


def test_json_has_cloudflares_names():
    run = RunRecord("w", "x", 1, 2, 3, "ok", True, None, "clock", (("error", "no"),))
    assert run.as_json() == {
        "worker": "w",
        "cron": "x",
        "scheduledTime": 1,
        "start": 2,
        "durationMs": 3,
        "outcome": "ok",
        "noRetry": True,
        "error": None,
        "trigger": "clock",
        "logs": [{"level": "error", "text": "no"}],
    }
