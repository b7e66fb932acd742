"""Delays, limits and metrics of a send. Numbers are those of the conformance cases."""

import asyncio

import pytest

from wrangler_py.queues.limits import QueueSendError
from wrangler_py.queues.message import OutgoingMessage, QueueMetrics

from .harness import START_MS, Room, in_turn, outgoing, says

# Delays ---------------------------------------------------------------------------------------------------------------


async def test_24_the_queues_delivery_delay_holds_for_a_send_without_one(room: Room):
    handler = room.consume(max_batch_timeout=0)
    room.setting("q", delivery_delay=2)
    await room.send("m")
    await room.advance(1.999)
    assert handler.calls == []
    await room.advance(0.001)
    assert handler.times == [2]


async def test_25_an_explicit_0_beats_the_queues_delay(room: Room):
    handler = room.consume(max_batch_timeout=5)
    room.setting("q", delivery_delay=60)
    await room.send(("message", 0))
    await room.send("a", "b", delay=0)
    await room.advance(5)
    assert handler.bodies == [["message", "a", "b"]]


async def test_26_a_messages_delay_beats_the_batchs(room: Room):
    handler = room.consume(max_batch_timeout=0)
    room.setting("q", delivery_delay=60)
    await room.send(("item", 2), "sibling", ("item 0", 0), "sibling 2", delay=1)
    await room.advance(100)
    assert list(zip(handler.times, handler.bodies, strict=True)) == [
        (0, ["item 0"]),
        (1, ["sibling", "sibling 2"]),
        (2, ["item"]),
    ]


async def test_a_longer_explicit_delay_than_the_queues_is_honoured(room: Room):
    handler = room.consume(max_batch_timeout=0)
    room.setting("q", delivery_delay=2)
    await room.send(("m", 86_400))
    await room.advance(86_399.999)
    assert handler.calls == []
    await room.advance(0.001)
    assert handler.times == [86_400]


async def test_28_the_timestamp_is_when_it_was_sent(room: Room):
    handler = room.consume(max_batch_timeout=0)
    await room.advance(5)
    await room.send(("m", 40))
    await room.advance(100)
    assert handler.times == [45]
    assert handler.calls[0].batch.messages[0].timestamp_ms == START_MS + 5_000


async def test_a_delivery_delay_that_another_process_sets_holds_for_the_next_send(room: Room):
    handler = room.consume(max_batch_timeout=0)
    await room.send("before")
    room.setting("q", delivery_delay=10)
    await room.send("after")
    await room.advance(100)
    assert handler.times == [0, 10]


# Limits ---------------------------------------------------------------------------------------------------------------


async def refused(room: Room, *messages: OutgoingMessage, delay=None, batch=False) -> QueueSendError:
    before = room.rows(columns="count(*)") if room.store.query("SELECT 1 FROM queue") else [0]
    with pytest.raises(QueueSendError) as caught:
        await room.broker.send("q", messages, delay, batch=batch)
    await room.quiet()
    room.broker.ensure_queue("q")
    assert room.rows(columns="count(*)") == before  # nothing of it was stored
    return caught.value


def sized(size: int) -> OutgoingMessage:
    return OutgoingMessage(b"x" * size, "text")


async def test_15_a_message_may_have_128_000_bytes(room: Room):
    await room.broker.send("q", [sized(128_000)])
    assert room.backlog() == (1, 128_000)
    error = await refused(room, sized(128_001))
    assert error.code == 10204
    assert str(error) == "message length of 128001 bytes exceeds limit of 128000 (10204)"
    error = await refused(room, sized(1), sized(128_001), batch=True)
    assert error.code == 10204
    assert error.cause == "message in batch has length 128001 bytes which exceeds single message size limit of 128000"


async def test_16_a_batch_may_have_100_messages(room: Room):
    await room.send(*"m" * 100)
    assert room.backlog() == (100, 100)
    error = await refused(room, *[sized(1)] * 101, batch=True)
    assert (error.code, error.cause) == (10206, "batch message count of 101 exceeds limit of 100")


async def test_17_a_batch_may_have_256_000_bytes(room: Room):
    await room.broker.send("q", [sized(128_000), sized(128_000)], batch=True)
    assert room.backlog() == (2, 256_000)
    error = await refused(room, sized(128_000), sized(128_000), sized(1), batch=True)
    assert (error.code, error.cause) == (10205, "batch size of 256001 bytes exceeds limit of 256000")


@pytest.mark.parametrize("delay", [86_401, -1, 2**31 - 1, -(2**31)])
async def test_18_a_delay_outside_a_day_is_refused(room: Room, delay: int):
    assert (await refused(room, outgoing(("m", delay)))).code == 10203
    assert (await refused(room, outgoing("m"), delay=delay)).code == 10203
    assert (await refused(room, outgoing("m"), outgoing("n"), delay=delay, batch=True)).code == 10202
    assert (await refused(room, outgoing("m"), outgoing(("n", delay)), batch=True)).code == 10203


@pytest.mark.parametrize("delay", [0, 1, 86_400])
async def test_18_a_delay_within_a_day_is_accepted(room: Room, delay: int):
    await room.send(("m", delay))
    await room.send("m", "n", delay=delay)
    assert room.rows(columns="visible_ms") == [START_MS + delay * 1000] * 3


def test_23_the_errors_text_follows_the_compatibility_date():
    error = QueueSendError(10204, "message length of 128001 bytes exceeds limit of 128000")
    text = "message length of 128001 bytes exceeds limit of 128000"
    assert error.text("send", expose_codes=True) == f"{text} (10204)"
    assert error.text("send", expose_codes=False) == f"Queue send failed: {text}"
    assert error.text("sendBatch", expose_codes=False) == f"Queue sendBatch failed: {text}"
    assert error.text("metrics", expose_codes=False) == f"{text} (10204)"


async def test_a_refused_message_refuses_the_whole_batch_and_no_other(room: Room):
    """Sends of one moment share a commit; a refused one takes none of them with it."""
    results = await asyncio.gather(
        room.send("a"),
        room.broker.send("q", [outgoing("b"), sized(128_001)], batch=True),
        room.send("c", "d"),
        return_exceptions=True,
    )
    assert isinstance(results[1], QueueSendError)
    assert room.left() == ["a", "c", "d"]


async def test_an_empty_batch_stores_nothing(room: Room):
    assert await room.broker.send("q", [], batch=True) == QueueMetrics(0, 0, None)
    assert room.left() == []
    assert room.of("queue.unconsumed") == []


async def test_a_cancelled_send_is_stored_wholly_or_not_at_all(room: Room):
    pending = room.broker.submit("q", [outgoing("a"), outgoing("b")], batch=True)
    pending.cancel()
    await room.send("kept")
    assert room.left() in (["kept"], ["a", "b", "kept"])


# Metrics --------------------------------------------------------------------------------------------------------------


async def test_20_a_send_answers_with_the_backlog_it_belongs_to(room: Room):
    assert await room.send("four") == QueueMetrics(1, 4, START_MS)
    await room.advance(1)
    assert await room.send("12345", "6") == QueueMetrics(3, 10, START_MS)
    together = await asyncio.gather(*(room.send(str(n)) for n in range(3)))
    assert [m.backlog_count for m in together] == [4, 5, 6]


def test_21_an_empty_or_unknown_queue_has_no_backlog(room: Room):
    room.broker.ensure_queue("q")
    for queue in ("q", "unknown"):
        assert room.broker.metrics(queue) == QueueMetrics(0, 0, None)


async def test_22_undelivered_messages_are_counted_with_their_bytes(room: Room):
    for body in ("abcd", "efgh", "ijkl"):
        await room.send(body)
    assert room.broker.metrics("q") == QueueMetrics(3, 12, START_MS)


async def test_the_backlog_counts_ready_delayed_and_in_flight(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=1)
    handler.hold()
    await room.send("in flight", "ready", ("delayed", 60))
    await room.advance(1)
    assert room.backlog() == (3, 21)
    handler.finish()
    await room.quiet()
    assert room.backlog() == (2, 12)
    handler.finish()
    await room.quiet()
    assert room.backlog() == (1, 7)


async def test_a_batchs_metrics_leave_the_batch_out(room: Room):
    handler = room.consume(max_batch_size=2, max_batch_timeout=0, max_concurrency=1, opened=False)
    await room.send("aaaa", "bb")
    await room.advance(7)
    await room.send("c")
    await room.send(("later", 60))
    room.consumers["q"].open()
    await room.quiet()
    assert [call.batch.metrics for call in handler.calls] == [
        QueueMetrics(2, 6, START_MS + 7_000),
        QueueMetrics(1, 5, START_MS + 7_000),
    ]
    await room.advance(60)
    assert handler.calls[2].batch.metrics == QueueMetrics(0, 0, None)


async def test_the_oldest_message_may_be_one_that_is_retried(room: Room):
    handler = room.consume(max_batch_size=1, max_batch_timeout=0, max_concurrency=1)
    handler.script = in_turn(says(retry={"old": 30}), says())
    await room.send("old")
    await room.advance(10)
    await room.send("new")
    await room.quiet()
    assert handler.calls[1].batch.metrics == QueueMetrics(1, 3, START_MS)


# A burst --------------------------------------------------------------------------------------------------------------


async def test_77_twenty_thousand_messages_in_one_burst(room: Room):
    handler = room.consume(max_batch_size=100, max_batch_timeout=1)
    singles = [room.send(f"s{n}") for n in range(10_000)]
    batches = [room.send(*[f"b{n}-{m}" for m in range(100)]) for n in range(100)]
    await asyncio.gather(*singles, *batches)
    await room.advance(60)
    assert len(handler.flat) == 20_000
    assert set(handler.flat) == {f"s{n}" for n in range(10_000)} | {f"b{n}-{m}" for n in range(100) for m in range(100)}
    assert room.left() == []
