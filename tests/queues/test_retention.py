"""Messages that outlive their queue's retention, and clocks that are set back. Numbers are those of the conformance
cases."""

import asyncio

import pytest

from wrangler_py.clock import VirtualClock
from wrangler_py.queues import broker as broker_module

from .harness import START_MS, Room, fails, in_turn, says


async def test_72_what_is_older_than_the_retention_is_neither_delivered_nor_dead_lettered(room: Room):
    handler = room.consume(max_batch_timeout=0, max_retries=0, dead_letter_queue="dead", opened=False)
    handler.script = fails
    room.setting("q", message_retention_period=60)
    await room.send("old")
    await room.advance(30)
    await room.send("new")
    await room.advance(30.001)
    room.consumers["q"].open()
    await room.quiet()
    assert handler.bodies == [["new"]]
    assert room.left("dead") == ["new"]
    assert [(e["queue"], e["count"]) for e in room.of("message.expired")] == [("q", 1)]
    assert room.backlog() == (0, 0)


async def test_72_a_message_is_delivered_up_to_the_last_moment(room: Room):
    handler = room.consume(max_batch_timeout=0)
    room.setting("q", message_retention_period=60)
    await room.send(("in time", 60), ("too late", 61))
    await room.advance(120)
    assert handler.bodies == [["in time"]]
    assert handler.times == [60]
    assert room.left() == []


async def test_expired_messages_in_front_do_not_keep_the_others_waiting(room: Room, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broker_module, "_CHUNK", 7)
    handler = room.consume(max_batch_size=10, max_batch_timeout=0, opened=False)
    room.setting("q", message_retention_period=60)
    for n in range(30):
        await room.send(f"old {n}")
    await room.advance(61)
    await room.send("new")
    room.consumers["q"].open()
    await room.quiet()
    assert handler.bodies == [["new"]]
    assert sum(e["count"] for e in room.of("message.expired")) == 30


async def test_a_queue_that_holds_nothing_but_expired_messages_comes_to_rest(room: Room):
    handler = room.consume(max_batch_timeout=0, opened=False)
    room.setting("q", message_retention_period=60)
    await room.send("a", "b")
    await room.advance(61)
    room.consumers["q"].open()
    await room.quiet()
    assert handler.calls == []
    assert room.backlog() == (0, 0)
    assert room.clock.next_due_ms() is None


async def test_the_retention_is_watched_where_nobody_consumes(room: Room):
    watch = asyncio.ensure_future(room.broker.watch_retention())
    await room.send("a", queue="unconsumed")
    room.setting("short", message_retention_period=60)
    await room.send("b", "c", queue="short")
    await room.advance(59)
    assert room.left("short") == ["b", "c"]
    await room.advance(62)
    assert room.left("short") == []
    assert room.left("unconsumed") == ["a"]
    await room.advance(345_600 + 60)
    assert room.left("unconsumed") == []
    watch.cancel()


async def test_a_message_in_flight_does_not_expire_but_is_not_delivered_again(room: Room):
    handler = room.consume(max_batch_timeout=0)
    room.setting("q", message_retention_period=60)
    handler.hold()
    await room.send("a", "b")
    await room.advance(61)
    assert await room.broker.expire("q") == 0
    handler.finish(says("ok", ack=["a"], retry=["b"])(handler.calls[0].batch))
    await room.advance(1)
    assert len(handler.calls) == 1
    assert room.left() == []
    assert [(e["queue"], e["count"]) for e in room.of("message.expired")] == [("q", 1)]


async def test_a_paused_queue_expires_too(room: Room):
    room.consume(max_batch_timeout=0)
    watch = asyncio.ensure_future(room.broker.watch_retention())
    room.setting("q", message_retention_period=60, delivery_paused=1)
    await room.send("a")
    await room.advance(180)
    assert room.left() == []
    watch.cancel()


async def test_a_dead_letters_retention_begins_when_it_dies(room: Room):
    """The message was sent 3 of 4 days before it was dead-lettered; its own queue would keep it for 4 days."""
    handler = room.consume(max_batch_timeout=0, max_retries=0, dead_letter_queue="dead", opened=False)
    handler.script = fails
    await room.send("m")
    await room.advance(3 * 86_400)
    room.consumers["q"].open()
    await room.quiet()
    assert room.left("dead") == ["m"]
    await room.advance(4 * 86_400)
    assert await room.broker.expire("dead") == 0
    await room.advance(0.001)
    assert await room.broker.expire("dead") == 1


async def test_a_shorter_retention_that_another_process_sets_holds_at_once(room: Room):
    handler = room.consume(max_batch_timeout=0)
    await room.send(("m", 3600))
    await room.advance(1800)
    room.setting("q", message_retention_period=60)
    await room.advance(3600)
    assert handler.calls == []
    assert room.left() == []


# A wall clock that is set back ----------------------------------------------------------------------------------------


async def set_back(room: Room, seconds: float) -> None:
    """The wall clock jumps; timers that were armed before wait for the moment they were armed for, as real ones do."""
    room.clock._now_ms -= round(seconds * 1000)


async def test_messages_from_the_future_are_brought_back(room: Room):
    handler = room.consume(max_batch_timeout=0)
    handler.script = in_turn(fails, says())
    room.consumers["q"].hold()
    await room.send("ready", ("delayed", 100))
    await set_back(room, 7200)
    await room.broker.mend_future()
    room.consumers["q"].open()
    await room.quiet()
    assert handler.bodies == [["ready"], ["ready"]]
    await room.advance(99.999)
    assert len(handler.calls) == 2
    await room.advance(0.001)
    assert handler.bodies[2:] == [["delayed"]]
    assert room.of("clock.set_back") == [{"queue": "q", "count": 2, "ms": 7_200_000}]


async def test_a_small_correction_of_the_clock_changes_nothing(room: Room):
    await room.send("m")
    before = room.rows(columns="visible_ms, entered_ms")
    await set_back(room, 4)
    assert await room.broker.mend_future() == {}
    assert room.rows(columns="visible_ms, entered_ms") == before


async def test_the_next_send_after_the_jump_sets_the_waiting_ones_free(room: Room):
    handler = room.consume(max_batch_timeout=1)
    watch = asyncio.ensure_future(room.broker.watch_retention())
    await room.send("before")
    await room.quiet()
    await set_back(room, 3600)
    await room.send("after")
    await room.advance(1)
    assert sorted(handler.flat) == ["after", "before"]
    watch.cancel()


async def test_the_next_session_finds_the_clock_set_back(tmp_path):
    room = Room(tmp_path)
    await room.send("m")
    await room.close()
    room = Room(tmp_path, VirtualClock(START_MS - 86_400_000))
    handler = room.consume(max_batch_timeout=0)
    await room.quiet()
    assert handler.calls == []
    watch = asyncio.ensure_future(room.broker.watch_retention())
    await room.quiet()
    assert handler.flat == ["m"]
    assert handler.calls[0].batch.messages[0].timestamp_ms == START_MS  # what was said of the sending stays said
    watch.cancel()
    await room.close()


async def test_a_chunk_at_a_time_everything_is_brought_back(room: Room, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broker_module, "_CHUNK", 4)
    for n in range(10):
        await room.send(str(n))
    await set_back(room, 100)
    assert await room.broker.mend_future() == {"q": 10}
    assert set(room.rows(columns="visible_ms")) == {START_MS - 100_000}
