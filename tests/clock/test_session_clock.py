"""The clock of a session: runs, stands still, is moved by several hands, is stopped and set."""

import asyncio
import time

import pytest

from wrangler_py.clock import ClockStopped, SessionClock
from wrangler_py.clock import session as clock_module

START = 1_772_323_200_000  # 2026-03-01T00:00:00Z
HOUR = 3_600_000


def wall_ms():
    return time.time_ns() // 1_000_000


class Watched(SessionClock):
    """Notes what it announces and when it was set."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.said = []
        self.sets = []
        self.announce = lambda kind, **data: self.said.append((kind, data))
        self.on_set = self.sets.append

    @property
    def kinds(self):
        return [kind for kind, _ in self.said]


@pytest.fixture
def wall(monkeypatch):
    """The wall clock of this machine, which a test may set; the loop's own clock stays as it is."""

    class Wall:
        by_ms = 0

    real_ns = time.time_ns
    monkeypatch.setattr(clock_module.time, "time_ns", lambda: real_ns() + Wall.by_ms * 1_000_000)
    return Wall


# Running and standing still -------------------------------------------------------------------------------------------


async def test_it_runs_with_the_wall_clock():
    clock = Watched()
    assert abs(clock.now_ms() - wall_ms()) < 100
    assert (clock.frozen, clock.moving) == (False, False)
    fired = asyncio.Event()
    clock.call_at(clock.now_ms() + 5, fired.set)
    await asyncio.wait_for(fired.wait(), 5)


async def test_it_may_start_at_any_time_and_runs_from_there():
    clock = Watched(START)
    await asyncio.sleep(0.01)
    assert START + 5 < clock.now_ms() < START + 5_000
    assert abs(clock.offset_ms - (START - wall_ms())) < 5_000


async def test_frozen_it_stands_and_fires_nothing():
    clock = Watched(START, frozen=True)
    fired = []
    clock.call_at(START + 1, lambda: fired.append(1))
    await asyncio.sleep(0.02)
    assert (clock.now_ms(), fired, clock.said) == (START, [], [])


async def test_freezing_takes_a_timer_back_that_was_about_to_fire():
    clock = Watched()
    fired = []
    clock.call_at(clock.now_ms() + 10, lambda: fired.append(clock.now_ms()))
    clock.freeze()
    stands = clock.now_ms()
    await asyncio.sleep(0.03)
    assert (fired, clock.now_ms(), clock.kinds) == ([], stands, ["clock.frozen"])
    clock.resume()
    assert clock.now_ms() - stands < 10, "it runs on from where it stood"
    await asyncio.sleep(0.03)
    assert len(fired) == 1
    assert clock.said[1][0] == "clock.resumed"
    assert -1_000 < clock.said[1][1]["ahead_ms"] <= 0


async def test_freezing_and_resuming_twice_is_said_once():
    clock = Watched()
    clock.freeze()
    clock.freeze()
    clock.resume()
    clock.resume()
    assert clock.kinds == ["clock.frozen", "clock.resumed"]


# Moving ---------------------------------------------------------------------------------------------------------------


async def test_a_move_of_a_running_clock_lets_it_run_on():
    clock = Watched(START)
    fired = []
    clock.call_at(START + HOUR, lambda: fired.append(clock.now_ms()))
    clock.call_at(START + 3 * HOUR, lambda: fired.append("too early"))
    await clock.advance(2 * 3600)
    assert fired == [START + HOUR]
    assert START + 2 * HOUR <= clock.now_ms() < START + 2 * HOUR + 5_000
    assert not clock.frozen
    assert clock.kinds == ["clock.moved"]
    before = clock.now_ms()
    await asyncio.sleep(0.01)
    assert clock.now_ms() > before


async def test_moves_wait_for_one_another():
    clock = Watched(START, frozen=True)

    async def settle():
        await asyncio.sleep(0.001)

    clock.settle = settle
    await asyncio.gather(clock.advance(10), clock.advance(10), clock.next(), clock.advance_to(START + 60_000))
    assert clock.now_ms() == START + 60_000
    assert [data["to_ms"] - data["from_ms"] for _, data in clock.said] == [10_000, 10_000, 40_000]


async def test_one_that_would_go_back_is_refused_and_nothing_is_said():
    clock = Watched(START, frozen=True)
    with pytest.raises(ValueError, match="cannot go back"):
        await clock.advance_to(START - 1)
    assert (clock.now_ms(), clock.said) == (START, [])


async def test_freezing_ends_a_move_and_those_that_wait():
    clock = Watched(START)
    fired = []

    def hour(number):
        fired.append(number)
        if number == 2:
            clock.freeze()

    for number in range(1, 6):
        clock.call_at(START + number * HOUR, lambda number=number: hour(number))
    moves = await asyncio.gather(clock.advance(5 * 3600), clock.advance(24 * 3600), return_exceptions=True)
    assert [type(move) for move in moves] == [ClockStopped, ClockStopped]
    assert (fired, clock.now_ms(), clock.frozen) == ([1, 2], START + 2 * HOUR, True)
    assert clock.kinds == ["clock.moved", "clock.frozen"]
    await clock.advance(3600)
    assert fired == [1, 2, 3], "the next move is not stopped"


async def test_resuming_ends_a_move_and_runs_on_from_there():
    clock = Watched(START, frozen=True)
    clock.call_at(START + HOUR, clock.resume)
    with pytest.raises(ClockStopped):
        await clock.advance(5 * 3600)
    assert START + HOUR <= clock.now_ms() < START + HOUR + 5_000
    assert not clock.frozen
    assert clock.kinds == ["clock.moved", "clock.resumed"]


@pytest.mark.parametrize("frozen", [True, False])
async def test_stopping_ends_a_move_and_leaves_the_clock_as_it_was(frozen):
    clock = Watched(START, frozen=frozen)
    clock.call_at(START + HOUR, clock.stop)
    with pytest.raises(ClockStopped):
        await clock.run_until_idle(48 * HOUR)
    with pytest.raises(ClockStopped):
        clock.call_at(clock.now_ms() + HOUR, clock.stop)
        await clock.next()
    assert clock.frozen is frozen
    assert clock.kinds == ["clock.moved", "clock.moved"]


async def test_a_move_that_waits_for_a_handler_which_never_ends_can_be_stopped():
    clock = Watched(START, frozen=True)
    handler = asyncio.Event()

    async def settle():
        if clock.now_ms() == START + HOUR:
            await clock.unless_stopped(handler.wait())

    clock.settle = settle
    clock.call_at(START + HOUR, lambda: None)
    move = asyncio.ensure_future(clock.advance(7200))
    await asyncio.sleep(0.01)
    assert clock.moving
    clock.stop()
    await clock.still()
    assert (clock.moving, clock.now_ms()) == (False, START + HOUR)
    with pytest.raises(ClockStopped):
        await move


async def test_a_cancelled_move_leaves_the_clock_where_it_is_and_running():
    clock = Watched(START)

    async def settle():
        await asyncio.sleep(0.005)

    clock.settle = settle
    for minute in range(1, 1000):
        clock.call_at(START + minute * 60_000, lambda: None)
    move = asyncio.ensure_future(clock.advance(1000 * 60))
    await asyncio.sleep(0.05)
    move.cancel()
    with pytest.raises(asyncio.CancelledError):
        await move
    reached = clock.now_ms()
    assert START + 60_000 <= reached < START + 500 * 60_000
    assert not clock.frozen
    clock.freeze()
    await clock.advance(60)  # and it can be moved again


async def test_after_its_end_it_is_not_moved():
    clock = Watched(START, frozen=True)
    clock.call_at(START + HOUR, clock.end)
    with pytest.raises(ClockStopped):
        await clock.advance(7200)
    with pytest.raises(ClockStopped):
        await clock.advance(7200)
    assert clock.now_ms() == START + HOUR


# Events and upkeep ----------------------------------------------------------------------------------------------------


async def test_next_goes_to_an_event_and_passes_upkeep_by():
    clock = Watched(START, frozen=True)
    seen = []

    def upkeep():
        seen.append("upkeep")
        clock.call_later(60, upkeep, recurring=True)

    def cron():
        seen.append("cron")
        clock.call_at(clock.now_ms() + HOUR, cron, recurring=True, event=True)

    clock.call_later(60, upkeep, recurring=True)
    clock.call_at(START + HOUR, cron, recurring=True, event=True)
    clock.call_at(START + 90_000, lambda: seen.append("batch"))
    assert clock.next_event_ms() == START + 90_000
    assert await clock.next() == START + 90_000
    assert seen == ["upkeep", "batch"]
    assert await clock.next() == START + HOUR
    assert seen == ["upkeep", "batch"] + 58 * ["upkeep"] + ["cron", "upkeep"]


async def test_next_does_nothing_when_only_upkeep_is_planned():
    clock = Watched(START, frozen=True)
    clock.call_at(START + 60_000, lambda: None, recurring=True)
    assert clock.next_event_ms() is None
    assert await clock.next() is None
    assert (clock.now_ms(), clock.said) == (START, [])


async def test_until_idle_crons_fire_but_are_not_waited_for():
    clock = Watched(START, frozen=True)
    seen = []

    def cron():
        seen.append(("cron", clock.now_ms() - START))
        clock.call_at(clock.now_ms() + HOUR, cron, recurring=True, event=True)

    def retry(left):
        seen.append(("retry", clock.now_ms() - START))
        if left:
            clock.call_at(clock.now_ms() + 90 * 60_000, lambda: retry(left - 1))

    clock.call_at(START + HOUR, cron, recurring=True, event=True)
    clock.call_at(START + 90 * 60_000, lambda: retry(1))
    assert await clock.run_until_idle(24 * HOUR) is True
    assert seen == [
        ("cron", HOUR),
        ("retry", 1.5 * HOUR),
        ("cron", 2 * HOUR),
        ("retry", 3 * HOUR),
        ("cron", 3 * HOUR),
    ]
    clock.call_at(clock.now_ms() + 48 * HOUR, lambda: seen.append("beyond"))
    assert await clock.run_until_idle(24 * HOUR) is False
    assert "beyond" not in seen
    assert clock.now_ms() == START + 27 * HOUR


async def test_timers_that_were_cancelled_do_not_pile_up():
    """A queue with a delayed message plans its next batch anew with every send."""
    clock = Watched(START, frozen=True)
    fired = []
    for number in range(50):
        clock.call_at(START + HOUR + number, lambda number=number: fired.append(number))
    for _ in range(20_000):
        timer = clock.call_at(START + 12 * HOUR, lambda: fired.append("cancelled"))
        timer.cancel()
        timer.cancel()
    assert len(clock._timers) < 250
    await clock.advance(24 * 3600)
    assert fired == list(range(50))
    assert clock.next_due_ms() is None


# Set ------------------------------------------------------------------------------------------------------------------


async def test_back_to_wall_time_spans_go_along_and_moments_stay():
    clock = Watched()
    begun = wall_ms()
    await clock.advance(12 * 3600)
    fired = []
    clock.call_later(0.02, lambda: fired.append("span"))
    clock.call_at(clock.now_ms() + 1_000, lambda: fired.append("moment"))
    clock.resume(at_wall_time=True)
    assert abs(clock.offset_ms) < 100
    (by_ms,) = clock.sets
    assert abs(by_ms + 12 * HOUR) < 5_000
    assert clock.kinds == ["clock.moved", "clock.resumed"]
    await asyncio.sleep(0.05)
    assert fired == ["span"]
    assert clock.next_due_ms() > begun + 12 * HOUR


async def test_forward_to_wall_time_too():
    clock = Watched(START - 365 * 24 * HOUR, frozen=True)
    fired = []
    clock.call_at(START, lambda: fired.append("moment"))
    clock.call_later(3600, lambda: fired.append("span"))
    clock.resume(at_wall_time=True)
    assert clock.sets[0] > 365 * 24 * HOUR
    await asyncio.sleep(0.01)
    assert fired == ["moment"]


async def test_a_wall_clock_that_is_set_back_is_noticed(wall, monkeypatch):
    monkeypatch.setattr(clock_module, "MAX_SLEEP_S", 0.01)
    clock = Watched()
    fired = []
    clock.call_later(0.05, lambda: fired.append("span"))
    clock.call_at(clock.now_ms() + 50, lambda: fired.append("moment"))
    await asyncio.sleep(0)
    wall.by_ms = -HOUR
    await asyncio.sleep(0.1)
    assert fired == ["span"], "the moment is an hour away again"
    assert clock.kinds == ["clock.jumped"]
    assert [round(by_ms / HOUR, 2) for by_ms in clock.sets] == [-1]


async def test_small_corrections_of_the_wall_clock_are_none(wall, monkeypatch):
    monkeypatch.setattr(clock_module, "MAX_SLEEP_S", 0.005)
    clock = Watched()
    clock.call_later(10, lambda: None)
    for step in range(5):
        wall.by_ms = -1_000 * step
        await asyncio.sleep(0.01)
    assert (clock.sets, clock.said) == ([], [])


async def test_a_frozen_clock_does_not_follow_the_wall(wall):
    clock = Watched(START, frozen=True)
    clock.call_at(START + HOUR, lambda: None)
    wall.by_ms = -24 * HOUR
    await clock.advance(3600)
    clock.resume()
    assert START + HOUR <= clock.now_ms() < START + HOUR + 5_000
    assert (clock.sets, clock.kinds) == ([], ["clock.moved", "clock.resumed"])
