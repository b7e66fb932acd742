"""The scheduler on a virtual clock, and once on the real one."""

import asyncio
import datetime as dt
from dataclasses import dataclass

import pytest

from wrangler_py.clock import SystemClock, VirtualClock
from wrangler_py.cron.scheduler import CronScheduler, Upcoming
from wrangler_py.events.log import EventLog


def ms(text):
    return round(dt.datetime.fromisoformat(text).timestamp() * 1000)


def clock_text(time_ms):
    return f"{dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC):%d %H:%M:%S}"


class AtLeast(int):
    """Equals every number that is not smaller."""

    __hash__ = int.__hash__

    def __eq__(self, other):
        return other >= int(self)


@dataclass
class Ok:
    outcome: str = "ok"
    no_retry: bool = False
    error: str | None = None


class Machine(VirtualClock):
    """A virtual clock that can also be set, as a machine's is after sleep: no timer runs on the way."""

    def jump(self, time_ms):
        self._now_ms = time_ms

    async def sleep_until(self, time_ms):
        self.jump(time_ms)
        await self.advance_to(time_ms)


class Session:
    """A scheduler with a worker that notes what it was asked to run, and when."""

    def __init__(self, start="2026-01-01T00:00:30Z", **options):
        self.clock = Machine(ms(start))
        self.events = []
        log = EventLog(self.clock)
        log.subscribe(self.events.append)
        self.runs = []
        self.scheduler = CronScheduler(self.clock, lambda *run: self.run(*run), log, **options)

    async def run(self, worker, cron, scheduled_ms):
        self.runs.append((clock_text(self.clock.now_ms()), worker, cron, clock_text(scheduled_ms)))
        return Ok()

    def kinds(self, *kinds):
        return [event for event in self.events if event.kind in kinds]

    @property
    def planned(self):
        return [run[3] for run in self.runs]


async def test_fires_every_planned_minute_once_in_order_and_on_time():
    session = Session()
    session.scheduler.set_crons("w", ["*/5 * * * *", "2-4 * * * *"])
    session.scheduler.start()
    await session.clock.advance(10 * 60)
    assert session.runs == [
        (f"01 00:{minute:02}:00", "w", cron, f"01 00:{minute:02}:00")
        for minute, cron in [
            (2, "2-4 * * * *"),
            (3, "2-4 * * * *"),
            (4, "2-4 * * * *"),
            (5, "*/5 * * * *"),
            (10, "*/5 * * * *"),
        ]
    ]


async def test_one_invocation_per_matching_expression_and_worker_in_the_order_of_the_config():
    session = Session()
    session.scheduler.set_crons("a", ["0 1 * * *", "0 * * * *"])
    session.scheduler.set_crons("b", ["0 1 * * *"])
    session.scheduler.start()
    await session.clock.advance(3600)
    assert [(run[1], run[2]) for run in session.runs] == [("a", "0 1 * * *"), ("a", "0 * * * *"), ("b", "0 1 * * *")]


async def test_one_timer_at_the_earliest_fire():
    session = Session()
    session.scheduler.set_crons("w", ["0 5 * * *", "0 3 * * *", "0 0 31 2 *"])
    assert session.clock.next_due_ms() is None, "nothing is planned before start"
    session.scheduler.start()
    assert session.clock.next_due_ms() == ms("2026-01-01T03:00:00Z")
    await session.clock.next()
    assert session.clock.next_due_ms() == ms("2026-01-01T05:00:00Z")


async def test_the_cron_text_is_passed_on_character_for_character():
    session = Session()
    session.scheduler.set_crons("w", ["05\t0  * * thu"])
    session.scheduler.start()
    await session.clock.advance(600)
    assert session.runs[0][2] == "05\t0  * * thu"


async def test_month_ends_and_leap_days():
    session = Session("2028-01-30T12:00:00Z")
    session.scheduler.set_crons("w", ["59 23 L * *", "0 0 29 2 *", "0 12 LW * *"])
    session.scheduler.start()
    await session.clock.advance_to(ms("2028-03-01T00:00:00Z"))
    assert session.planned == ["31 12:00:00", "31 23:59:00", "29 00:00:00", "29 12:00:00", "29 23:59:00"]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
async def test_local_clock_changes_are_of_no_concern(zone, monkeypatch):
    """Crons are UTC: the hour that a zone skips (2026-03-29, 2026-03-08) or has twice exists once."""
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        session = Session("2026-03-01T00:00:00Z")
        session.scheduler.set_crons("w", ["0 * * * *"])
        session.scheduler.start()
        await session.clock.advance_to(ms("2026-04-01T00:00:00Z"))
        assert len(session.runs) == 31 * 24
        assert len(set(session.planned)) == 31 * 24
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_overlapping_runs_are_started_all_the_same():
    session = Session()
    release = asyncio.Event()
    begun = []

    async def slow(worker, cron, scheduled_ms):
        begun.append(clock_text(scheduled_ms))
        await release.wait()
        return Ok()

    session.run = slow
    session.scheduler.set_crons("w", ["* * * * *"])
    session.scheduler.start()
    await session.clock.advance(180)
    assert begun == ["01 00:01:00", "01 00:02:00", "01 00:03:00"]
    assert session.scheduler.active == 3
    assert session.kinds("cron.finished") == []
    release.set()
    await session.scheduler.idle()
    assert session.scheduler.active == 0
    assert len(session.kinds("cron.finished")) == 3


async def test_events_of_a_run():
    session = Session()

    async def run(worker, cron, scheduled_ms):
        await asyncio.sleep(0.02)
        return Ok("exception", True, "boom")

    session.run = run
    session.scheduler.set_crons("w", ["1 * * * *"])
    session.scheduler.start()
    await session.clock.advance(30)
    await session.scheduler.idle()
    planned = ms("2026-01-01T00:01:00Z")
    particulars = {"run": 1, "worker": "w", "cron": "1 * * * *", "scheduled_ms": planned, "trigger": "clock"}
    assert [(event.kind, event.at_ms, event.data) for event in session.events] == [
        ("cron.fired", planned, particulars),
        (
            "cron.finished",
            planned,
            {
                **particulars,
                "started_ms": planned,
                "ms": AtLeast(19),  # real time, although the clock stood still
                "outcome": "exception",
                "no_retry": True,
                "error": "boom",
            },
        ),
    ]


async def test_a_failure_of_run_itself_stops_no_other_cron():
    session = Session()

    async def broken(worker, cron, scheduled_ms):
        raise OSError("no process")

    session.run = broken
    session.scheduler.set_crons("w", ["* * * * *"])
    session.scheduler.start()
    await session.clock.advance(90)
    finished = [event.data for event in session.kinds("cron.finished")]
    assert [data["outcome"] for data in finished] == ["internalError", "internalError"]
    assert finished[0]["error"] == "OSError: no process"


async def test_a_failed_run_is_not_tried_again():
    session = Session()

    async def failing(worker, cron, scheduled_ms):
        session.runs.append((0, worker, cron, clock_text(scheduled_ms)))
        return Ok("exception", False, "boom")

    session.run = failing
    session.scheduler.set_crons("w", ["0 1 * * *"])
    session.scheduler.start()
    await session.clock.advance(20 * 3600)
    assert session.planned == ["01 01:00:00"]


class TestBadExpressions:
    async def test_reported_and_not_fired_while_the_others_are(self):
        session = Session()
        problems = session.scheduler.set_crons("w", ["* * * * 0", "1 * * * *", "@daily"])
        assert [str(problem) for problem in problems] == [
            "invalid cron string: * * * * 0 [code: 10100]",
            "invalid cron string: @daily [code: 10100]",
        ]
        assert problems[0].error.field == "day of week"
        assert [event.data["cron"] for event in session.kinds("cron.rejected")] == ["* * * * 0", "@daily"]
        session.scheduler.start()
        await session.clock.advance(60)
        assert [run[2] for run in session.runs] == ["1 * * * *"]

    async def test_two_of_one_meaning_are_reported_and_fired_once(self):
        session = Session()
        problems = session.scheduler.set_crons("w", ["0 1 * * MON-SUN", "0 1 * * 1-7", "0 1 * * *"])
        assert [str(problem) for problem in problems] == ["duplicate cron found: 0 1 * * 1-7 [code: 10100]"]
        assert [entry.cron for entry in session.scheduler.upcoming()] == ["0 1 * * MON-SUN", "0 1 * * *"]

    async def test_two_workers_may_have_the_same_one(self):
        session = Session()
        assert session.scheduler.set_crons("a", ["* * * * *"]) == []
        assert session.scheduler.set_crons("b", ["* * * * *"]) == []


def sleeping(crons, **options):
    session = Session(**options)
    session.scheduler.set_crons("w", crons)
    session.scheduler.start()
    return session


class TestAfterSleep:
    async def test_missed_ticks_are_announced_and_skipped(self):
        session = sleeping(["0 * * * *", "30 2 * * *"])
        await session.clock.sleep_until(ms("2026-01-01T03:20:00Z"))
        assert session.runs == []
        missed = [event.data for event in session.kinds("cron.missed")]
        assert missed == [
            {
                "worker": "w",
                "cron": "0 * * * *",
                "count": 3,
                "first_ms": ms("2026-01-01T01:00:00Z"),
                "last_ms": ms("2026-01-01T03:00:00Z"),
                "skipped": 3,
            },
            {
                "worker": "w",
                "cron": "30 2 * * *",
                "count": 1,
                "first_ms": ms("2026-01-01T02:30:00Z"),
                "last_ms": ms("2026-01-01T02:30:00Z"),
                "skipped": 1,
            },
        ]
        await session.clock.advance_to(ms("2026-01-01T04:00:00Z"))
        assert session.planned == ["01 04:00:00"]

    async def test_a_tick_up_to_a_minute_late_is_fired(self):
        session = sleeping(["0 * * * *"])
        await session.clock.sleep_until(ms("2026-01-01T02:01:00Z"))
        assert session.runs == [("01 02:01:00", "w", "0 * * * *", "01 02:00:00")]
        assert session.kinds("cron.missed")[0].data["count"] == 1

    async def test_a_tick_later_than_that_is_missed(self):
        session = sleeping(["0 1 * * *"])
        await session.clock.sleep_until(ms("2026-01-01T01:01:00.001Z"))
        assert session.runs == []
        assert len(session.kinds("cron.missed")) == 1

    async def test_catch_up_makes_up_in_planned_order_each_with_its_own_time(self):
        session = sleeping(["0 * * * *", "30 * * * *"], catch_up=True)
        await session.clock.sleep_until(ms("2026-01-01T03:00:10Z"))
        await session.scheduler.idle()
        assert session.planned == [
            "01 00:30:00",
            "01 01:00:00",
            "01 01:30:00",
            "01 02:00:00",
            "01 02:30:00",
            "01 03:00:00",
        ]
        triggers = [event.data["trigger"] for event in session.kinds("cron.fired")]
        assert triggers == ["catch-up"] * 5 + ["clock"]
        assert [event.data["skipped"] for event in session.kinds("cron.missed")] == [0, 0]

    async def test_catch_up_runs_one_after_another_and_holds_no_later_tick_up(self):
        session = sleeping(["0 * * * *"], catch_up=True)
        release = asyncio.Event()

        async def slow(worker, cron, scheduled_ms):
            session.runs.append((0, worker, cron, clock_text(scheduled_ms)))
            if scheduled_ms < ms("2026-01-01T05:00:00Z"):
                await release.wait()
            return Ok()

        session.run = slow
        await session.clock.sleep_until(ms("2026-01-01T03:30:00Z"))
        assert session.planned == ["01 01:00:00"]
        await session.clock.advance_to(ms("2026-01-01T05:00:00Z"))
        assert session.planned == ["01 01:00:00", "01 04:00:00", "01 05:00:00"]
        release.set()
        await session.scheduler.idle()
        assert session.planned[3:] == ["01 02:00:00", "01 03:00:00"]

    async def test_catch_up_has_a_limit_and_takes_the_latest(self):
        session = sleeping(["* * * * *"], catch_up=True)
        await session.clock.sleep_until(ms("2026-01-03T00:00:00Z"))
        await session.scheduler.idle()
        assert len(session.runs) == 1000 + 2  # the minute itself and the one before it are on time
        assert session.planned[-1] == "03 00:00:00"
        data = session.kinds("cron.missed")[0].data
        assert data["count"] - data["skipped"] == 1000

    @pytest.mark.no_cover
    async def test_a_year_asleep_is_worked_out_at_once(self):
        session = sleeping(["* * * * *"])
        await session.clock.sleep_until(ms("2027-01-01T00:00:30Z"))
        assert session.kinds("cron.missed")[0].data["count"] == 365 * 1440 - 1


class TestReload:
    async def test_an_unchanged_expression_fires_once_in_the_minute_of_the_reload(self):
        session = Session()
        session.scheduler.set_crons("w", ["* * * * *"])
        session.scheduler.start()
        await session.clock.advance(30)
        session.scheduler.set_crons("w", ["* * * * *", "5 * * * *"])
        await session.clock.advance(60)
        assert session.planned == ["01 00:01:00", "01 00:02:00"]

    async def test_a_tick_that_is_due_at_the_very_moment_of_the_reload_is_not_lost(self):
        session = Session()
        session.scheduler.set_crons("w", ["1 * * * *"])
        session.scheduler.start()
        session.clock.jump(ms("2026-01-01T00:01:00.020Z"))  # due, and its timer has not run yet
        session.scheduler.set_crons("w", ["1,2 * * * *"])
        await session.clock.advance(60)
        assert session.runs[0][2:] == ("1 * * * *", "01 00:01:00")
        assert [run[2:] for run in session.runs[1:]] == [("1,2 * * * *", "01 00:02:00")]

    async def test_removed_expressions_and_workers_fire_no_more(self):
        session = Session()
        session.scheduler.set_crons("a", ["* * * * *", "0 * * * *"])
        session.scheduler.set_crons("b", ["* * * * *"])
        session.scheduler.start()
        session.scheduler.set_crons("a", ["0 * * * *"])
        session.scheduler.set_crons("b", [])
        await session.clock.advance(3600)
        assert [(run[1], run[3]) for run in session.runs] == [("a", "01 01:00:00")]
        session.scheduler.set_crons("a", [])
        assert session.clock.next_due_ms() is None


class TestPause:
    async def test_ticks_pass_by_and_do_not_come_back(self):
        session = Session()
        session.scheduler.set_crons("w", ["* * * * *"])
        session.scheduler.start()
        session.scheduler.pause()
        assert session.scheduler.paused
        await session.clock.advance(120)
        session.scheduler.resume()
        await session.clock.advance(60)
        assert session.planned == ["01 00:03:00"]
        skipped = [event.data for event in session.kinds("cron.skipped")]
        assert [clock_text(data["scheduled_ms"]) for data in skipped] == ["01 00:01:00", "01 00:02:00"]
        assert skipped[0]["reason"] == "paused"


class TestUpcoming:
    async def test_before_and_after_start(self):
        session = Session()
        session.scheduler.set_crons("w", ["0 3 * * *", "0 0 31 2 *"])
        expected = [
            Upcoming("w", "0 3 * * *", ms("2026-01-01T03:00:00Z")),
            Upcoming("w", "0 0 31 2 *", None),
        ]
        assert session.scheduler.upcoming() == expected
        session.scheduler.start()
        assert session.scheduler.upcoming() == expected

    async def test_dialect(self):
        for dialect, day in (("intended", "2026-01-03"), ("published", "2026-01-02")):
            session = Session(dialect=dialect)
            session.scheduler.set_crons("w", ["0 0 * * SAT-SUN"])
            assert session.scheduler.upcoming()[0].next_ms == ms(f"{day}T00:00:00Z")


class TestClose:
    async def test_cancels_the_timer_and_what_runs(self):
        session = Session()

        async def forever(worker, cron, scheduled_ms):
            await asyncio.Event().wait()

        session.run = forever
        session.scheduler.set_crons("w", ["* * * * *"])
        session.scheduler.start()
        await session.clock.advance(60)
        await session.scheduler.close()
        assert session.clock.next_due_ms() is None
        assert session.scheduler.active == 0
        assert [event.data["outcome"] for event in session.kinds("cron.finished")] == ["canceled"]

    async def test_lets_a_run_end_within_the_grace(self):
        session = Session()

        async def brief(worker, cron, scheduled_ms):
            await asyncio.sleep(0.02)
            return Ok()

        session.run = brief
        session.scheduler.set_crons("w", ["* * * * *"])
        session.scheduler.start()
        await session.clock.advance(60)
        await session.scheduler.close(grace_s=5)
        assert [event.data["outcome"] for event in session.kinds("cron.finished")] == ["ok"]

    async def test_abandons_what_was_still_to_be_made_up(self):
        session = sleeping(["0 * * * *"], catch_up=True)

        async def forever(worker, cron, scheduled_ms):
            session.runs.append((0, worker, cron, clock_text(scheduled_ms)))
            await asyncio.Event().wait()

        session.run = forever
        await session.clock.sleep_until(ms("2026-01-01T05:30:00Z"))
        await session.scheduler.close()
        assert session.planned == ["01 01:00:00"]

    async def test_grace_is_for_what_runs_and_not_for_what_was_still_to_come(self):
        session = sleeping(["0 * * * *"], catch_up=True)

        async def brief(worker, cron, scheduled_ms):
            session.runs.append((0, worker, cron, clock_text(scheduled_ms)))
            await asyncio.sleep(0.02)
            return Ok()

        session.run = brief
        await session.clock.sleep_until(ms("2026-01-01T05:30:00Z"))
        await session.scheduler.close(grace_s=5)
        assert session.planned == ["01 01:00:00"]
        assert [event.data["outcome"] for event in session.kinds("cron.finished")] == ["ok"]


async def test_a_run_by_hand_takes_any_text_and_is_announced():
    session = Session()
    outcome = await session.scheduler.fire("w", "zzz", 5)
    assert outcome.outcome == "ok"
    assert session.runs[0][2:] == ("zzz", "01 00:00:00")
    assert [event.data["trigger"] for event in session.events] == ["manual", "manual"]


async def test_a_clock_that_was_set_back_is_followed_on_request():
    session = Session("2026-01-01T12:00:30Z")
    session.scheduler.set_crons("w", ["0 * * * *"])
    session.scheduler.start()
    session.clock.jump(ms("2026-01-01T09:59:30Z"))
    session.scheduler.reschedule()
    await session.clock.advance(60)
    assert session.planned == ["01 10:00:00"]


async def test_on_the_real_clock():
    """One tick of the wall clock, moved so that a minute begins in a moment."""

    class NearMinute:
        """The wall clock, set so that 300 ms are left of its minute."""

        def __init__(self):
            self.real = SystemClock()
            self.offset_ms = 59_700 - self.real.now_ms() % 60_000

        def now_ms(self):
            return self.real.now_ms() + self.offset_ms

        def call_at(self, when_ms, callback, *, recurring=False, event=False):
            return self.real.call_at(when_ms - self.offset_ms, callback)

    clock = NearMinute()
    log = EventLog(clock)
    fired = asyncio.get_running_loop().create_future()

    async def run(worker, cron, scheduled_ms):
        fired.set_result((scheduled_ms, clock.now_ms()))
        return Ok()

    scheduler = CronScheduler(clock, run, log)
    scheduler.set_crons("w", ["* * * * *"])
    scheduler.start()
    scheduled_ms, seen_ms = await asyncio.wait_for(fired, 5)
    await scheduler.close()
    assert scheduled_ms % 60_000 == 0
    assert 0 <= seen_ms - scheduled_ms < 1000
