"""When a batch starts and what is in it. Numbers are those of the conformance cases."""

import asyncio

import pytest

from wrangler_py.queues.message import OutgoingMessage

from .harness import START_MS, Room, fails, in_turn, says


async def test_29_a_full_batch_is_delivered_at_once(room: Room):
    handler = room.consume(max_batch_size=5, max_batch_timeout=30)
    await room.send("a", "b", "c", "d", "e")
    await room.quiet()
    assert handler.bodies == [["a", "b", "c", "d", "e"]]
    assert handler.times == [0]


async def test_30_the_rest_of_a_burst_waits_for_the_timeout(room: Room):
    handler = room.consume(max_batch_size=5, max_batch_timeout=1)
    await room.send(*"abcdefg")
    await room.quiet()
    assert handler.bodies == [list("abcde")]
    await room.advance(0.999)
    assert len(handler.calls) == 1
    await room.advance(0.001)
    assert handler.bodies == [list("abcde"), list("fg")]
    assert handler.times == [0, 1]


async def test_sends_of_one_commit_are_counted_once(room: Room):
    handler = room.consume(max_batch_size=3, max_batch_timeout=5)
    await asyncio.gather(room.send("1"), room.send("2"))
    await room.quiet()
    assert handler.calls == []
    await room.advance(5)
    assert handler.bodies == [["1", "2"]]


async def test_31_the_timeout_counts_from_the_first_message(room: Room):
    handler = room.consume(max_batch_size=10, max_batch_timeout=2)
    await room.send("first")
    await room.advance(1)
    await room.send("second")
    await room.advance(0.999)
    assert handler.calls == []
    await room.advance(0.001)
    assert handler.bodies == [["first", "second"]]
    assert handler.times == [2]


async def test_32_without_a_timeout_a_message_does_not_wait(room: Room):
    handler = room.consume(max_batch_timeout=0)
    await room.send("alone")
    await room.quiet()
    assert handler.bodies == [["alone"]]
    assert handler.times == [0]


async def test_33_by_default_ten_messages_and_five_seconds(room: Room):
    handler = room.consume()
    await room.send(*[str(n) for n in range(11)])
    await room.quiet()
    assert handler.bodies == [[str(n) for n in range(10)]]
    await room.advance(4.999)
    assert len(handler.calls) == 1
    await room.advance(0.001)
    assert handler.bodies[1] == ["10"]
    assert handler.times == [0, 5]


async def test_34_an_empty_queue_never_calls_the_handler(room: Room):
    handler = room.consume(max_batch_timeout=0)
    await room.advance(3600)
    assert handler.calls == []
    await room.send("one")
    await room.advance(3600)
    assert len(handler.calls) == 1
    assert room.clock.next_due_ms() is None  # nothing polls


async def test_35_a_batch_is_of_one_queue(room: Room):
    first, second = room.consume("first", max_batch_timeout=1), room.consume("second", max_batch_timeout=1)
    for n in range(3):
        await room.send(f"a{n}", queue="first")
        await room.send(f"b{n}", queue="second")
    await room.advance(1)
    assert [(call.batch.queue, call.bodies) for call in first.calls] == [("first", ["a0", "a1", "a2"])]
    assert [(call.batch.queue, call.bodies) for call in second.calls] == [("second", ["b0", "b1", "b2"])]


async def test_36_no_batch_is_larger_than_the_size(room: Room):
    handler = room.consume(max_batch_size=100, max_batch_timeout=1, opened=False)
    for start in range(0, 250, 50):
        await room.send(*[str(n) for n in range(start, start + 50)])
    room.consumers["q"].open()
    await room.advance(1)
    assert sorted(len(call.bodies) for call in handler.calls) == [50, 100, 100]
    assert handler.flat == [str(n) for n in range(250)]


@pytest.mark.parametrize("timeout", [0, 0.25, 1, 60])
async def test_a_lone_message_waits_exactly_the_timeout(room: Room, timeout: float):
    handler = room.consume(max_batch_timeout=timeout)
    await room.advance(7)
    await room.send("x")
    await room.advance(120)
    assert handler.times == [7 + timeout]


async def test_a_batch_of_one_never_waits(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=60)
    await room.send("a", "b", "c")
    await room.quiet()
    assert handler.bodies == [["a"], ["b"], ["c"]]
    assert handler.times == [0, 0, 0]


async def test_one_by_one_sends_fill_a_batch(room: Room):
    handler = room.consume(max_batch_size=100, max_batch_timeout=60)
    for n in range(250):
        await room.send(str(n))
        await room.advance(0.001)
    assert [len(call.bodies) for call in handler.calls] == [100, 100]
    assert handler.times == [0.099, 0.199]
    await room.advance(60)
    assert [len(call.bodies) for call in handler.calls] == [100, 100, 50]
    assert handler.times[2] == 60.2


async def test_messages_are_delivered_in_the_order_in_which_they_are_ready(room: Room):
    handler = room.consume(max_batch_size=10, max_batch_timeout=20)
    await room.send(("in 3", 3), ("at once", 0), ("in 1", 1), ("also at once", None))
    await room.advance(2)
    await room.send("late")
    await room.advance(18)
    assert handler.bodies == [["at once", "also at once", "in 1", "late", "in 3"]]


async def test_a_message_that_was_full_size_behind_delayed_ones_still_starts_the_batch(room: Room):
    """The first `max_batch_size` waiting messages are all delayed; those that come in after them are ready at once."""
    handler = room.consume(max_batch_size=3, max_batch_timeout=30)
    await room.send(("x", 3600), ("y", 3600), ("z", 3600))
    for body in "abc":
        assert handler.calls == []
        await room.send(body)
        await room.quiet()
    assert handler.bodies == [["a", "b", "c"]]
    assert handler.times == [0]
    await room.advance(3600)
    assert handler.bodies[1] == ["x", "y", "z"]
    assert handler.times[1] == 3600


async def test_a_message_that_is_ready_before_those_that_wait_brings_the_batch_forward(room: Room):
    handler = room.consume(max_batch_timeout=5)
    await room.send(("late", 60))
    await room.advance(1)
    await room.send("now")
    await room.advance(1)
    await room.send(("soon", 2))
    await room.advance(100)
    assert list(zip(handler.times, handler.bodies, strict=True)) == [(6, ["now", "soon"]), (65, ["late"])]


async def test_what_is_remembered_of_waiting_messages_does_not_grow_with_them(room: Room):
    room.consume(max_batch_size=10)
    for _ in range(5):
        await room.send(*[("m", 60)] * 100)
    assert len(room.consumers["q"]._window) <= 10


async def test_delayed_messages_do_not_fill_a_batch_before_they_are_ready(room: Room):
    handler = room.consume(max_batch_size=3, max_batch_timeout=30)
    await room.send(("x", 10), ("y", 10), "a")
    await room.advance(9.999)
    assert handler.calls == []
    await room.advance(0.001)
    assert handler.bodies == [["a", "x", "y"]]


async def test_the_next_batch_does_not_wait_for_a_timeout_that_has_passed_while_the_handler_ran(room: Room):
    handler = room.consume(max_batch_size=10, max_batch_timeout=5, max_concurrency=1)
    handler.hold()
    await room.send("a")
    await room.advance(5)
    await room.send("b")
    await room.advance(3)
    await room.send("c")
    await room.advance(4)
    assert handler.bodies == [["a"]]
    handler.finish()
    await room.quiet()
    assert handler.bodies == [["a"], ["b", "c"]]  # b has been ready for 7 s
    assert handler.times == [5, 12]


async def test_what_waited_while_nobody_consumed_is_delivered_at_once(room: Room):
    await room.send("a", "b")
    await room.advance(86_400)
    assert room.of("queue.unconsumed") == [{"queue": "q"}]
    handler = room.consume()
    await room.quiet()
    assert handler.bodies == [["a", "b"]]
    assert handler.times == [86_400]


async def test_the_message_carries_what_was_sent(room: Room):
    handler = room.consume(max_batch_timeout=0)
    contents = [
        (b'{"a":1}', "json"),
        (b"plain \xc3\xa4", "text"),
        (b"\x00\xff", "bytes"),
        (b"\xff\x0f", "v8"),
        (b"", "text"),
    ]
    await room.broker.send("q", [OutgoingMessage(body, kind) for body, kind in contents], batch=True)
    await room.quiet()
    messages = handler.calls[0].batch.messages
    assert [(m.body, m.content_type) for m in messages] == contents
    assert [m.attempts for m in messages] == [1] * 5
    assert {m.timestamp_ms for m in messages} == {START_MS}
    assert all(len(m.id) == 32 and m.id == m.id.lower() and int(m.id, 16) >= 0 for m in messages)
    assert len({m.id for m in messages}) == 5


async def test_the_room_comes_to_rest_after_a_storm(room: Room):
    """Retries without delay, failures and new messages mixed: everything is settled in the end, once."""
    handler = room.consume(max_batch_size=7, max_batch_timeout=0, max_retries=100)
    handler.script = in_turn(fails, says(retry_all=True), fails, says())
    for n in range(100):
        await room.send(f"{n}")
    await room.advance(1)
    assert room.left() == []
    assert set(handler.flat) == {str(n) for n in range(100)}
