"""How many invocations run at once. Numbers are those of the conformance cases."""

import pytest

from wrangler_py.queues.limits import AUTO_CONCURRENCY_CAP
from wrangler_py.queues.message import BatchOutcome, Retry

from .harness import Room


def most(handler):
    return max(call.running for call in handler.calls)


async def drain(room: Room, handler, finish=lambda n: None, rounds=200):
    """Finish the longest running invocation, again and again, each a second after the one before."""
    peaks = []
    for n in range(rounds):
        await room.advance(1)
        if not handler.held:
            break
        peaks.append(handler.running)
        handler.finish(finish(n))
        await room.quiet()
    return peaks


async def test_66_with_max_concurrency_1_invocations_never_overlap(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=1)
    handler.hold()
    await room.send(*"abcdefgh")
    await drain(room, handler)
    assert most(handler) == 1
    assert handler.flat == list("abcdefgh")


async def test_67_with_max_concurrency_2_at_most_two_overlap_and_eventually_two_do(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=2)
    handler.hold()
    await room.send(*[str(n) for n in range(40)])
    await drain(room, handler)
    assert most(handler) == 2
    assert sorted(handler.flat, key=int) == [str(n) for n in range(40)]
    assert room.left() == []


async def test_68_it_begins_with_one_and_grows_with_each_batch_while_a_full_one_waits(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0)
    handler.hold()
    await room.send(*[str(n) for n in range(100)])
    peaks = await drain(room, handler)
    assert peaks[:4] == [1, 2, 3, 4]
    assert max(peaks) == AUTO_CONCURRENCY_CAP
    assert len(handler.flat) == 100


async def test_68_retries_asked_for_do_not_scale_down(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=4, max_retries=100)
    handler.hold()
    await room.send(*[str(n) for n in range(20)])
    peaks = await drain(room, handler, lambda n: BatchOutcome(retry_all=Retry()), 60)
    assert peaks[10:] == [4] * 50


async def test_68_failures_scale_down(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=4, max_retries=100)
    handler.hold()
    await room.send(*[str(n) for n in range(60)])
    peaks = await drain(room, handler, lambda n: BatchOutcome("exception") if n >= 10 else None, 30)
    assert peaks[6:10] == [4] * 4
    assert peaks[-1] == 1
    assert most(handler) == 4


async def test_handlers_that_keep_the_core_busy_are_two_at_a_time(room: Room):
    """One that runs and one on its way; those that wait again get more."""
    handler = room.consume(max_batch_size=1, max_batch_timeout=0)
    handler.hold()
    await room.send(*[str(n) for n in range(60)])
    peaks = await drain(room, handler, lambda n: BatchOutcome(busy=0.95 if n < 20 else 0.3), 30)
    assert peaks[:21] == [1, *[2] * 20]
    assert peaks[21:26] == [3, 4, 5, 6, 7]


async def test_a_batch_is_settled_in_the_commit_that_claims_the_next_one(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=1)
    handler.hold()
    await room.send("a", "b")
    await room.quiet()
    statements: list[str] = []
    room.store._connection.set_trace_callback(statements.append)
    handler.finish()
    await room.quiet()
    room.store._connection.set_trace_callback(None)
    assert handler.flat == ["a", "b"]
    assert statements.count("COMMIT") == 1


async def test_an_empty_queue_scales_down(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=3)
    handler.hold()
    await room.send(*"abcdefgh")
    await drain(room, handler)
    assert most(handler) == 3
    handler.calls.clear()
    await room.send(*"xyz")
    await room.advance(1)
    assert most(handler) == 1  # it grew to 3 with the backlog, and shrank as that ran out


async def test_a_queue_whose_messages_are_all_delayed_scales_down(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=3)
    handler.hold()
    await room.send(*"abcdefgh")
    await room.send(("late", 86_400), ("later", 86_400))
    await drain(room, handler)
    assert most(handler) == 3
    handler.calls.clear()
    await room.send(*"xyz")
    await room.advance(1)
    assert most(handler) == 1
    await drain(room, handler)


@pytest.mark.parametrize("timeout", [0, 2])
async def test_a_partial_batch_may_run_beside_a_full_one(room: Room, timeout: int):
    handler = room.consume(max_batch_size=5, max_batch_timeout=timeout, max_concurrency=2)
    handler.hold()
    await room.send(*"abcdefghijklmno")
    await room.quiet()
    assert handler.running == 1
    handler.finish()
    await room.quiet()
    assert handler.running == 2
    await room.send("p")
    handler.finish()
    await room.advance(timeout)
    assert [len(call.bodies) for call in handler.calls] == [5, 5, 5, 1]
    assert handler.running == 2


async def test_no_message_is_in_two_invocations(room: Room):
    handler = room.consume(max_batch_size=3, max_batch_timeout=0, max_concurrency=10, max_retries=50)
    handler.hold()
    await room.send(*[str(n) for n in range(60)])
    n = 0
    while handler.held or room.left():
        await room.advance(0.01)
        in_flight = [m.id for call in handler.calls if call.outcome is None for m in call.batch.messages]
        assert len(in_flight) == len(set(in_flight))
        n += 1
        if handler.held:
            handler.finish(BatchOutcome("exception") if n % 3 == 0 else None, which=n % len(handler.held))
    assert {*handler.flat} == {str(n) for n in range(60)}
