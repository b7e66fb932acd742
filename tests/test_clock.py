"""Real and virtual time: never early, in due order, cancellable, and work that timers start is waited for."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrangler_py.clock import SystemClock, VirtualClock, sleep_until
from wrangler_py.clock import base as clock_module

# SystemClock ----------------------------------------------------------------------------------------------------------


def wall_ms():
    return time.time_ns() // 1_000_000


async def sleep(clock, seconds):
    done = asyncio.Event()
    timer = clock.call_later(seconds, done.set)
    try:
        await done.wait()
    finally:
        timer.cancel()


def test_the_system_clock_is_the_wall_clock_in_whole_milliseconds():
    before = wall_ms()
    now = SystemClock().now_ms()
    assert isinstance(now, int)
    assert before <= now <= wall_ms()


@pytest.mark.parametrize("in_ms", [0, 1, 7, 20, 33])
async def test_a_system_timer_is_never_early_and_hardly_late(in_ms):
    clock = SystemClock()
    fired = asyncio.get_running_loop().create_future()
    due = clock.now_ms() + in_ms
    clock.call_at(due, lambda: fired.set_result(clock.now_ms()))
    at = await asyncio.wait_for(fired, 10)
    assert at >= due
    assert at - due < 2_000  # far more than a busy machine needs; a timer that waits for its 30 s look fails


async def test_a_system_timer_for_a_moment_that_has_passed_runs_in_the_next_turn():
    clock = SystemClock()
    fired = []
    clock.call_at(clock.now_ms() - 5_000, lambda: fired.append(1))
    assert fired == []  # not inside call_at: the caller's own state is not ready yet
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert fired == [1]


async def test_a_cancelled_system_timer_never_runs_and_may_be_cancelled_again():
    clock = SystemClock()
    fired = []
    first = clock.call_at(clock.now_ms() + 5, lambda: fired.append("cancelled"))
    ran = clock.call_at(clock.now_ms(), lambda: fired.append("ran"))
    first.cancel()
    await sleep_until(clock, clock.now_ms() + 20)
    first.cancel()
    ran.cancel()
    assert fired == ["ran"]


async def test_a_system_timer_waits_on_when_the_wall_clock_is_set_back(monkeypatch):
    clock = SystemClock()
    shift = {"ms": 0}
    real_ns = time.time_ns
    monkeypatch.setattr(clock_module.time, "time_ns", lambda: real_ns() + shift["ms"] * 1_000_000)
    monkeypatch.setattr(clock_module.time, "time", lambda: (real_ns() + shift["ms"] * 1_000_000) / 1e9)
    fired = []
    due = clock.now_ms() + 20
    clock.call_at(due, lambda: fired.append(clock.now_ms()))
    shift["ms"] = -40
    await asyncio.wait_for(sleep(clock, 0.03), 10)  # 30 ms have gone by; the wall clock says that 10 are missing
    assert fired == []
    await asyncio.wait_for(sleep_until(clock, due), 10)
    await asyncio.sleep(0.005)
    assert len(fired) == 1
    assert fired[0] >= due


async def test_a_system_timer_notices_a_wall_clock_that_was_set_forward(monkeypatch):
    monkeypatch.setattr(clock_module, "MAX_SLEEP_S", 0.02)
    clock = SystemClock()
    real_ns = time.time_ns
    fired = asyncio.Event()
    clock.call_at(clock.now_ms() + 3_600_000, fired.set)
    monkeypatch.setattr(clock_module.time, "time_ns", lambda: real_ns() + 3_600_000_000_000)
    await asyncio.wait_for(fired.wait(), 10)


async def test_call_later_counts_what_has_gone_by_whatever_the_wall_clock_says(monkeypatch):
    clock = SystemClock()
    real_ns = time.time_ns
    monkeypatch.setattr(clock_module.time, "time_ns", lambda: real_ns() - 3_600_000_000_000)
    monkeypatch.setattr(clock_module.time, "time", lambda: real_ns() / 1e9 - 3600)
    begun = time.monotonic()
    await asyncio.wait_for(sleep(clock, 0.01), 10)
    assert time.monotonic() - begun >= 0.009


# VirtualClock ---------------------------------------------------------------------------------------------------------


async def test_virtual_time_stands_still_until_it_is_moved():
    clock = VirtualClock(5)
    fired = []
    clock.call_at(6, lambda: fired.append(clock.now_ms()))
    await asyncio.sleep(0.002)
    assert clock.now_ms() == 5
    assert fired == []
    await clock.advance(0.001)
    assert fired == [6]


async def test_virtual_timers_fire_in_due_order_each_at_its_own_moment():
    clock = VirtualClock(0)
    fired = []
    for when in (300, 100, 200, 100):
        clock.call_at(when, lambda when=when: fired.append((when, clock.now_ms())))
    await clock.advance(1)
    assert fired == [(100, 100), (100, 100), (200, 200), (300, 300)]
    assert clock.now_ms() == 1_000


async def test_what_a_timer_plans_on_the_way_fires_in_the_same_move():
    clock = VirtualClock(0)
    fired = []

    def again():
        fired.append(clock.now_ms())
        if len(fired) < 5:
            clock.call_at(clock.now_ms() + 100, again)

    clock.call_at(100, again)
    await clock.advance(0.35)
    assert fired == [100, 200, 300]
    await clock.advance(10)
    assert fired == [100, 200, 300, 400, 500]


async def test_a_move_waits_for_the_work_that_a_timer_started():
    """Work begun at 00:05 which takes a while and plans something for 00:06 comes before a timer of 00:07."""
    work: set[asyncio.Task] = set()

    async def settled():
        while work:
            await asyncio.wait(work)

    clock = VirtualClock(0, settled)
    seen = []

    async def slow():
        for _ in range(50):
            await asyncio.sleep(0)
        seen.append(("work", clock.now_ms()))
        clock.call_at(6_000, lambda: seen.append(("planned", clock.now_ms())))

    def start():
        task = asyncio.get_running_loop().create_task(slow())
        work.add(task)
        task.add_done_callback(work.discard)

    clock.call_at(5_000, start)
    clock.call_at(7_000, lambda: seen.append(("later", clock.now_ms())))
    await clock.advance(10)
    assert seen == [("work", 5_000), ("planned", 6_000), ("later", 7_000)]


async def test_a_virtual_timer_for_a_moment_that_has_passed_runs_without_a_move():
    clock = VirtualClock(1_000)
    fired = []
    clock.call_at(900, lambda: fired.append("past"))
    clock.call_at(1_000, lambda: fired.append("now"))
    cancelled = clock.call_at(1_000, lambda: fired.append("cancelled"))
    clock.call_at(1_001, lambda: fired.append("future"))
    cancelled.cancel()
    assert fired == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert fired == ["past", "now"]
    await asyncio.wait_for(sleep_until(clock, 500), 10)


async def test_a_cancelled_virtual_timer_never_runs():
    clock = VirtualClock(0)
    fired = []
    timers = [clock.call_at(10, lambda: fired.append(1)) for _ in range(3)]
    timers[1].cancel()
    await clock.advance(1)
    timers[0].cancel()
    assert fired == [1, 1]
    assert clock.next_due_ms() is None


async def test_next_moves_to_the_next_plan_and_no_further():
    clock = VirtualClock(0)
    fired = []
    clock.call_at(86_400_000, lambda: fired.append("tomorrow"))
    clock.call_at(60_000, lambda: fired.append("soon"))
    clock.call_at(30_000, lambda: fired.append("never")).cancel()
    assert await clock.next() == 60_000
    assert (clock.now_ms(), fired) == (60_000, ["soon"])
    assert await clock.next() == 86_400_000
    assert await clock.next() is None
    assert clock.now_ms() == 86_400_000


async def test_time_does_not_go_back():
    clock = VirtualClock(10_000)
    with pytest.raises(ValueError, match="cannot go back from 10000 to 9999"):
        await clock.advance_to(9_999)


async def test_sleeping_on_a_virtual_clock():
    clock = VirtualClock(0)
    woken = []

    async def sleeper(seconds):
        await sleep(clock, seconds)
        woken.append((seconds, clock.now_ms()))

    tasks = [asyncio.ensure_future(sleeper(s)) for s in (2, 0.5, 1)]
    await asyncio.sleep(0)
    await clock.advance(1.5)
    assert woken == [(0.5, 500), (1, 1_000)]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert clock.next_due_ms() is None  # a cancelled sleep leaves no timer behind


@given(plans=st.lists(st.integers(0, 50), max_size=30), moves=st.lists(st.integers(0, 20), min_size=1, max_size=10))
def test_in_any_order_of_plans_and_moves_timers_fire_on_time_and_sorted(plans, moves):
    async def run():
        clock = VirtualClock(0)
        fired = []
        for plan in plans:
            clock.call_at(plan, lambda plan=plan: fired.append((plan, clock.now_ms())))
        for move in moves:
            await clock.advance_to(clock.now_ms() + move)
        assert [plan for plan, _ in fired] == sorted(plan for plan in plans if plan <= clock.now_ms())
        assert all(plan == at for plan, at in fired)

    asyncio.run(run())
