"""Acknowledgement, retries and dead letters on the real table. Numbers are those of the conformance cases.

The handler's calls are given as the outcome that a runtime reports, in which calls that workerd ignores (an `ack()`
after `retryAll()`, say) no longer appear.
"""

import pytest

from wrangler_py.queues.limits import dropped_message, moving_to_dead_letter_queue
from wrangler_py.queues.message import Retry

from .harness import START_MS, Room, fails, in_turn, says

THREE = ("m0", "m1", "m2")


async def deliver(room: Room, *scripts, settings=None):
    """Send three messages, let the scripts handle them one after the other (the last one acknowledges what is left),
    and give the bodies and times of each batch."""
    handler = room.consume(max_batch_size=3, max_batch_timeout=0, **(settings or {}))
    handler.script = in_turn(*scripts, says())
    await room.send(*THREE)
    await room.advance(10)
    assert room.left() == []
    return list(zip(handler.times, handler.bodies, strict=True))


async def test_37_what_a_handler_returns_from_is_acknowledged(room: Room):
    assert await deliver(room, says()) == [(0, list(THREE))]


async def test_38_what_a_handler_fails_on_comes_again_with_attempts_2(room: Room):
    handler = room.consume(max_batch_size=3, max_batch_timeout=0)
    handler.script = in_turn(fails, says())
    await room.send(*THREE)
    await room.advance(1)
    assert [call.attempts for call in handler.calls] == [[1, 1, 1], [2, 2, 2]]
    assert handler.bodies == [list(THREE), list(THREE)]


@pytest.mark.parametrize(
    ("script", "again"),
    [
        pytest.param(says("exception", ack=["m0"]), ["m1", "m2"], id="39 ack, then throw"),
        pytest.param(says("exception", ack_all=True), None, id="40 ackAll, then throw"),
        pytest.param(says(ack=["m0"], retry_all=True), ["m1", "m2"], id="41 ack, then retryAll"),
        pytest.param(says(retry_all=True), THREE, id="42 retryAll, then an ignored ack"),
        pytest.param(says(retry=["m0"]), ["m0"], id="43 retry, then an ignored ack"),
        pytest.param(says(ack=["m0"]), None, id="43 ack, then an ignored retry"),
        pytest.param(says(retry=["m0"], ack_all=True), ["m0"], id="44 retry, then ackAll"),
        pytest.param(says(ack_all=True), None, id="45 ackAll, then ignored retries"),
        pytest.param(says(retry_all=True), THREE, id="46 retryAll, then an ignored ackAll"),
    ],
)
async def test_39_to_46_what_comes_again(room: Room, script, again):
    batches = await deliver(room, script)
    assert [body for _, bodies in batches[1:] for body in bodies] == list(again or [])


@pytest.mark.parametrize(
    ("script", "again"),
    [
        pytest.param(says(retry={"m0": None}), [(3, ["m0"])], id="47 the consumer's delay applies"),
        pytest.param(says(retry_all=Retry(2)), [(2, list(THREE))], id="48 the batch's delay stays"),
        pytest.param(
            says(retry={"m0": 0}, retry_all=Retry(2)),
            [(0, ["m0"]), (2, ["m1", "m2"])],
            id="49 the message's delay wins",
        ),
        pytest.param(says(retry={"m0": 0}), [(0, ["m0"])], id="63 an explicit 0 beats retry_delay"),
        pytest.param(
            says("exception", retry={"m0": 2}), [(2, ["m0"]), (3, ["m1", "m2"])], id="64 retry with a delay, then throw"
        ),
        pytest.param(fails, [(3, list(THREE))], id="62 retry_delay after a throw"),
    ],
)
async def test_47_to_49_and_62_to_64_when_it_comes_again(room: Room, script, again):
    assert (await deliver(room, script, settings={"retry_delay": 3}))[1:] == again


async def test_a_delay_past_a_day_is_cut_to_a_day_and_told(room: Room):
    handler = room.consume(max_batch_timeout=0)
    handler.script = in_turn(says(retry={"a": 90_000, "b": -1}), says())
    await room.send("a", "b")
    await room.advance(1)
    assert handler.bodies == [["a", "b"], ["b"]]
    told = {e["id"]: (e["asked_seconds"], e["delay_seconds"]) for e in room.of("message.retried")}
    assert sorted(told.values()) == [(-1, 0), (90_000, 86_400)]
    await room.advance(86_398)
    assert len(handler.calls) == 2
    await room.advance(1)
    assert handler.bodies[2:] == [["a"]]


# Retries and dead letters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "max_retries"), [("54", 3), ("55", 0), ("", 1), ("", 100)])
async def test_54_55_deliveries_are_one_more_than_max_retries(room: Room, case: str, max_retries: int):
    handler = room.consume(max_batch_timeout=0, max_retries=max_retries)
    handler.script = fails
    await room.send("m")
    await room.advance(1)
    assert [call.attempts for call in handler.calls] == [[n] for n in range(1, max_retries + 2)]
    assert room.left() == []


async def test_56_without_a_dead_letter_queue_it_is_dropped_and_said(room: Room):
    handler = room.consume(max_batch_timeout=0, max_retries=1)
    handler.script = fails
    await room.send("m")
    await room.advance(1)
    (event,) = room.of("message.dropped")
    message_id = handler.calls[0].batch.messages[0].id
    assert (event["id"], event["queue"], event["attempts"], event["reason"]) == (message_id, "q", 2, "exception")
    assert (
        dropped_message(message_id, "q", 2) == f'Dropped message "{message_id}" on queue "q" after 2 failed attempts!'
    )
    assert room.backlog() == (0, 0)


async def test_57_the_dead_letter_queues_consumer_gets_the_same_message(room: Room):
    handler = room.consume(max_batch_timeout=0, max_retries=1, retry_delay=4, dead_letter_queue="dead")
    handler.script = fails
    dead = room.consume("dead", max_batch_timeout=0)
    await room.send("m")
    await room.advance(10)
    first, last = handler.calls[0].batch.messages[0], dead.calls[0].batch.messages[0]
    assert (last.id, last.body, last.content_type, last.timestamp_ms, last.attempts) == (
        first.id,
        b"m",
        "text",
        START_MS,
        1,
    )
    assert dead.times == [4]
    assert room.of("message.dead_lettered")[0]["dead_letter_queue"] == "dead"
    assert moving_to_dead_letter_queue("i", "q", "dead", 1).endswith(
        'dead letter queue "dead" after 1 failed attempt...'
    )
    assert room.left("q") == room.left("dead") == []


async def test_58_a_dead_letter_queue_without_consumer_keeps_its_messages(room: Room):
    room.consume(max_batch_timeout=0, max_retries=0, dead_letter_queue="dead").script = fails
    await room.send("a", "bc")
    await room.advance(300_000)
    assert room.left("dead") == ["a", "bc"]
    assert room.backlog("dead") == (2, 3)
    assert room.backlog("q") == (0, 0)
    assert {"queue": "dead"} in room.of("queue.unconsumed")


async def test_59_a_missing_dead_letter_queue_is_created(room: Room):
    room.consume(max_batch_timeout=0, max_retries=0, dead_letter_queue="dead").script = fails
    assert room.store.query("SELECT name FROM queue") == [("q",)]
    await room.send("m")
    await room.advance(1)
    record = room.broker.record("dead")
    assert (record.delivery_delay, record.message_retention_period, record.delivery_paused) == (0, 345_600, False)
    assert len(record.uuid) == 32
    assert room.of("queue.created") == [{"queue": "q"}, {"queue": "dead"}]
    assert room.left("dead") == ["m"]


async def test_59_messages_that_died_before_their_consumer_came_are_delivered_to_it(room: Room):
    room.consume(max_batch_timeout=0, max_retries=0, dead_letter_queue="dead").script = fails
    await room.send("m")
    await room.advance(1)
    dead = room.consume("dead", max_batch_timeout=0)
    await room.quiet()
    assert dead.bodies == [["m"]]


async def test_a_dead_letter_queues_delivery_delay_holds_for_dead_letters(room: Room):
    room.consume(max_batch_timeout=0, max_retries=0, dead_letter_queue="dead").script = fails
    room.setting("dead", delivery_delay=30)
    dead = room.consume("dead", max_batch_timeout=0)
    await room.send("m")
    await room.advance(100)
    assert dead.times == [30]


async def test_61_two_queues_may_be_each_others_dead_letter_queue(room: Room):
    ping = room.consume("ping", max_batch_timeout=0, max_retries=0, retry_delay=1, dead_letter_queue="pong")
    pong = room.consume("pong", max_batch_timeout=0, max_retries=1, retry_delay=1, dead_letter_queue="ping")
    ping.script = in_turn(fails, fails, fails, says())
    pong.script = fails
    await room.send("m", queue="ping")
    await room.advance(60)
    assert [call.attempts for call in ping.calls] == [[1]] * 4
    assert [call.attempts for call in pong.calls] == [[1], [2]] * 3
    assert len({m.id for call in ping.calls + pong.calls for m in call.batch.messages}) == 1
    assert room.left("ping") == room.left("pong") == []


@pytest.mark.parametrize("how", ["throw", "retry", "retryAll"])
async def test_65_a_retried_message_keeps_its_id_and_timestamp(room: Room, how: str):
    script = {"throw": fails, "retry": says(retry=["m"]), "retryAll": says(retry_all=True)}[how]
    handler = room.consume(max_batch_timeout=0, retry_delay=9)
    handler.script = in_turn(script, script, says())
    await room.advance(3)
    await room.send("m")
    await room.advance(60)
    messages = [call.batch.messages[0] for call in handler.calls]
    assert [m.attempts for m in messages] == [1, 2, 3]
    assert len({(m.id, m.timestamp_ms) for m in messages}) == 1
    assert messages[0].timestamp_ms == START_MS + 3_000
    assert handler.times == [3, 12, 21]


async def test_one_batch_may_end_in_four_ways(room: Room):
    handler = room.consume(
        max_batch_size=4, max_batch_timeout=0, max_retries=1, retry_delay=5, dead_letter_queue="dead"
    )
    handler.script = in_turn(fails, says("exception", ack=["a"], retry={"b": 1, "old": 9}), says())
    await room.send("old")
    await room.quiet()
    room.consumers["q"].hold()
    await room.advance(5)
    await room.send("a", "b", "c")
    room.consumers["q"].open()
    await room.advance(60)
    assert list(zip(handler.times, handler.bodies, strict=True)) == [
        (0, ["old"]),
        (5, ["old", "a", "b", "c"]),
        (6, ["b"]),
        (10, ["c"]),
    ]
    assert (room.left(), room.left("dead")) == ([], ["old"])


async def test_the_events_of_a_batch_are_told_after_the_commit_with_their_reasons(room: Room):
    handler = room.consume(max_batch_size=2, max_batch_timeout=0, max_retries=0, retry_delay=5)
    handler.script = says("exception", ack=["a"])
    seen = []
    room.log.subscribe(lambda e: seen.append((e.kind, len(room.rows()))) if e.kind.startswith(("b", "m")) else None)
    await room.send("a", "b")
    await room.quiet()
    assert seen == [("message.sent", 2), ("batch.started", 2), ("message.dropped", 0), ("batch.finished", 0)]
    (finished,) = room.of("batch.finished")
    expected = {
        "queue": "q",
        "worker": "worker",
        "acked": 1,
        "total": 2,
        "outcome": "exception",
        "error": None,
        "ms": 0,
    }
    assert {key: finished[key] for key in expected} == expected
