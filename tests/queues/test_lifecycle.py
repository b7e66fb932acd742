"""The gate, other settings, a pause, the end of a session. Numbers are those of the conformance cases."""

import asyncio

import pytest

from wrangler_py.config.model import Consumer as Settings
from wrangler_py.queues import consumer as consumer_module
from wrangler_py.queues.message import BatchOutcome, Retry

from .harness import Room, fails, in_turn, says

# The gate -------------------------------------------------------------------------------------------------------------


async def test_behind_a_shut_gate_messages_wait_without_an_attempt(room: Room):
    handler = room.consume(max_batch_timeout=0, opened=False)
    await room.send("a")
    await room.advance(60)
    assert handler.calls == []
    assert room.rows(columns="attempts, owner") == [(0, 0)]
    room.consumers["q"].open()
    await room.quiet()
    assert [call.attempts for call in handler.calls] == [[1]]


async def test_shutting_the_gate_lets_running_batches_end_and_starts_no_other(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=1)
    handler.hold()
    await room.send("a", "b")
    await room.quiet()
    room.consumers["q"].hold()
    handler.finish()
    await room.advance(60)
    assert handler.bodies == [["a"]]
    assert room.left() == ["b"]
    room.consumers["q"].open()
    await room.quiet()
    assert handler.bodies == [["a"], ["b"]]


async def test_70_a_gate_that_shuts_and_opens_moves_no_delayed_message(room: Room):
    handler = room.consume(max_batch_timeout=1)
    await room.send(("m", 10))
    await room.advance(5)
    room.consumers["q"].hold()
    await room.advance(1)
    room.consumers["q"].open()
    await room.advance(60)
    assert handler.times == [11]


async def test_a_gate_that_shuts_between_claim_and_call_gives_the_messages_back_uncounted(room: Room):
    handler = room.consume(max_batch_timeout=0)
    await room.broker.send("q", [])  # nothing is planned
    submitted = asyncio.ensure_future(room.send("a", "b"))
    while not room.consumers["q"].in_flight:  # the claim is on its way
        await asyncio.sleep(0)
    room.consumers["q"].hold()
    await room.quiet()
    await submitted
    assert handler.calls == []
    assert room.rows(columns="attempts, owner") == [(0, 0), (0, 0)]
    room.consumers["q"].open()
    await room.quiet()
    assert [call.attempts for call in handler.calls] == [[1, 1]]


async def test_opening_twice_starts_nothing_twice(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=1)
    handler.hold()
    await room.send("a", "b", "c")
    for _ in range(3):
        room.consumers["q"].open()
        room.consumers["q"].pump()
    await room.quiet()
    assert handler.bodies == [["a"]]


# Other settings -------------------------------------------------------------------------------------------------------


async def test_other_settings_hold_from_the_next_batch_on(room: Room):
    handler = room.consume(max_batch_size=10, max_batch_timeout=30)
    await room.send("a", "b", "c")
    await room.advance(1)
    room.consumers["q"].reconfigure(Settings("q", max_batch_size=2, max_batch_timeout=10))
    await room.quiet()
    assert handler.bodies == [["a", "b"]]
    await room.advance(60)
    assert handler.times == [1, 10]  # ready since 0, and a timeout of 10 s


async def test_the_running_batch_is_settled_by_the_settings_it_began_with(room: Room):
    handler = room.consume(max_batch_timeout=0, max_retries=0, dead_letter_queue="dead")
    handler.hold()
    await room.send("a")
    await room.quiet()
    room.consumers["q"].reconfigure(Settings("q", max_batch_timeout=0, max_retries=9))
    handler.finish(BatchOutcome("exception"))
    await room.quiet()
    assert room.left("dead") == ["a"]


async def test_a_smaller_max_concurrency_holds_at_once(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=4)
    handler.hold()
    await room.send(*[str(n) for n in range(30)])
    for _ in range(6):
        await room.quiet()
        handler.finish()
    await room.quiet()
    assert handler.running == 4
    room.consumers["q"].reconfigure(Settings("q", max_batch_size=1, max_batch_timeout=0, max_concurrency=1))
    for _ in range(3):
        handler.finish()
        await room.quiet()
        assert handler.running <= 3
    assert handler.running == 1
    handler.finish()
    await room.quiet()
    assert handler.running == 1


async def test_a_smaller_max_concurrency_holds_after_a_reload_too(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=4)
    handler.hold()
    await room.send(*[str(n) for n in range(30)])
    for _ in range(6):
        await room.quiet()
        handler.finish()
    await room.quiet()
    room.consumers["q"].hold()
    while handler.held:
        handler.finish()
    await room.quiet()
    room.consumers["q"].reconfigure(Settings("q", max_batch_size=1, max_batch_timeout=0, max_concurrency=1))
    room.consumers["q"].open()
    await room.quiet()
    assert handler.running == 1


# Another consumer -----------------------------------------------------------------------------------------------------


async def test_76_messages_wait_for_a_consumer_that_comes_later(room: Room):
    await room.send("a")
    await room.advance(1000)
    first = room.consume(max_batch_timeout=0)
    await room.quiet()
    assert first.flat == ["a"]
    await room.consumers.pop("q").close()
    await room.send("b")
    await room.advance(1000)
    assert first.flat == ["a"]
    second = room.consume(max_batch_timeout=0)
    await room.quiet()
    assert second.flat == ["b"]


async def test_a_closed_consumer_starts_nothing_whatever_is_done_to_it(room: Room):
    handler = room.consume(max_batch_timeout=0)
    consumer = room.consumers["q"]
    await consumer.close()
    await room.send("a")
    consumer.open()
    consumer.reconfigure(Settings("q", max_batch_timeout=0))
    consumer.pump()
    await room.advance(100)
    assert handler.calls == []
    assert room.rows(columns="attempts") == [0]


# Pause ----------------------------------------------------------------------------------------------------------------


async def test_71_a_paused_queue_accepts_and_delivers_nothing_until_it_is_resumed(room: Room):
    handler = room.consume(max_batch_size=2, max_batch_timeout=0)
    room.setting("q", delivery_paused=1)
    assert (await room.send("a", "b", "c")).backlog_count == 3
    await room.advance(3600)
    assert handler.calls == []
    assert room.rows(columns="attempts") == [0, 0, 0]
    room.setting("q", delivery_paused=0)
    room.consumers["q"].pump()
    await room.quiet()
    assert handler.bodies == [["a", "b"], ["c"]]


async def test_71_a_running_batch_ends_while_the_queue_is_paused(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0)
    handler.hold()
    await room.send("a", "b")
    await room.quiet()
    room.setting("q", delivery_paused=1)
    handler.finish()
    await room.advance(60)
    assert handler.bodies == [["a"]]
    assert room.left() == ["b"]


async def test_a_pause_that_comes_while_the_timer_runs_is_seen(room: Room):
    handler = room.consume(max_batch_timeout=5)
    await room.send("a")
    await room.advance(4)
    room.setting("q", delivery_paused=1)
    await room.advance(60)
    assert handler.calls == []


async def test_a_resumed_queue_is_noticed_within_a_minute_without_being_told(room: Room):
    handler = room.consume(max_batch_timeout=0)
    watch = asyncio.ensure_future(room.broker.watch_retention())
    room.setting("q", delivery_paused=1)
    await room.send("a")
    await room.advance(100)
    room.setting("q", delivery_paused=0)
    await room.advance(60)
    assert handler.flat == ["a"]
    watch.cancel()


# The end of a session -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_retries", [0, 1, 3])
@pytest.mark.parametrize("dead_letter_queue", [None, "dead"])
async def test_the_sessions_end_gives_running_messages_back(tmp_path, max_retries: int, dead_letter_queue: str | None):
    """Only what was acknowledged is gone; nothing is dropped or dead-lettered, and the attempt counts."""
    settings = {"max_batch_timeout": 0, "max_retries": max_retries, "dead_letter_queue": dead_letter_queue}
    room = Room(tmp_path)
    handler = room.consume(**settings)
    handler.hold()
    await room.send("acked", "b", "c")
    await room.quiet()
    closing = asyncio.ensure_future(room.consumers["q"].close())
    await room.quiet()
    handler.finish(says("canceled", ack=["acked"])(handler.calls[0].batch))
    await closing
    assert room.rows(columns="body, attempts, owner") == [(b"b", 1, 0), (b"c", 1, 0)]
    assert [e["reason"] for e in room.of("message.released")] == ["canceled", "canceled"]
    assert room.of("message.dropped") == room.of("message.dead_lettered") == room.of("queue.unconsumed") == []
    await room.close()

    room = Room(tmp_path)
    assert room.session.recovered == 0
    handler = room.consume(**settings)
    await room.quiet()
    assert [(call.bodies, call.attempts) for call in handler.calls] == [(["b", "c"], [2, 2])]
    assert room.backlog() == (0, 0)
    await room.close()


async def test_what_was_cut_off_keeps_its_place(room: Room):
    """It is ready when it was ready before, in front of what came later, and waits for no `retry_delay`."""
    handler = room.consume(max_batch_size=2, max_batch_timeout=0, retry_delay=60)
    handler.script = in_turn(says("canceled"), says())
    await room.send("a", "b", "c")
    await room.quiet()
    assert handler.bodies == [["a", "b"], ["a", "b"], ["c"]]
    assert handler.times == [0, 0, 0]


async def test_a_worker_that_takes_nothing_is_not_asked_over_and_over(room: Room, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(consumer_module, "_CUT_OFF_S", 0.05)
    handler = room.consume(max_batch_timeout=0, max_retries=0)
    handler.script = says("canceled")
    await room.send("a")
    await asyncio.sleep(0.2)  # real time: this is about the machine
    assert 1 <= len(handler.calls) <= 5
    assert room.left() == ["a"]


async def test_a_delay_that_was_asked_for_survives_the_sessions_end(room: Room):
    handler = room.consume(max_batch_timeout=0, max_retries=0)
    handler.script = in_turn(says("canceled", retry={"a": 30}), says("canceled", retry_all=Retry(7)), says())
    await room.send("a")
    await room.advance(100)
    assert handler.times == [0, 30, 37]


async def test_a_session_that_ends_within_a_claim_delivers_nothing(room: Room):
    handler = room.consume(max_batch_timeout=0)
    sending = asyncio.ensure_future(room.send("a"))
    while not room.consumers["q"].in_flight:
        await asyncio.sleep(0)
    await room.consumers["q"].close()
    await sending
    assert handler.calls == []
    assert room.rows(columns="attempts, owner") == [(0, 0)]


async def test_69_what_waits_survives_the_sessions_end_at_its_time(tmp_path):
    room = Room(tmp_path)
    room.consume(max_batch_timeout=0, opened=False)
    await room.send("now", ("later", 50))
    await room.advance(10)
    now = room.clock.now_ms()
    await room.close()
    room = Room(tmp_path)
    await room.clock.advance_to(now)
    handler = room.consume(max_batch_timeout=0)
    await room.advance(100)
    assert list(zip(handler.times, handler.bodies, strict=True)) == [(10, ["now"]), (50, ["later"])]
    await room.close()


# What must not happen, and does ---------------------------------------------------------------------------------------


async def test_a_delivery_that_breaks_inside_wpy_is_told_and_retried(room: Room):
    handler = room.consume(max_batch_timeout=0, max_retries=1)

    def broken(batch):
        raise RuntimeError("a defect")

    handler.script = in_turn(broken, says())
    await room.send("a")
    await room.quiet()
    assert handler.bodies == [["a"], ["a"]]
    assert room.of("consumer.failed") == [{"queue": "q", "error": "RuntimeError('a defect')"}]
    assert room.left() == []


async def test_a_consumer_whose_database_was_closed_stops(room: Room):
    handler = room.consume(max_batch_timeout=0)
    handler.script = fails
    room.store.close()
    room.consumers["q"].pump()
    room.consumers["q"].open()
    await room.quiet()
    assert [e["error"] for e in room.of("store.failed")] == ["the state database is closed"]
    await room.consumers.pop("q").close()
    await room.crash()
    room.__post_init__()  # for the fixture's last look
