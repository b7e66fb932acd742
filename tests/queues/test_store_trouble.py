"""A full disk, a failing one, a database that another process holds: nothing accepted is lost, nothing done twice."""

import asyncio
import time

import pytest
from processes import children, no_file_may_grow

from wrangler_py.queues import broker as broker_module
from wrangler_py.queues import consumer as consumer_module
from wrangler_py.queues.limits import QueueSendError
from wrangler_py.queues.message import BatchOutcome, OutgoingMessage
from wrangler_py.store import database

from .harness import Room, fails, in_turn, outgoing, says


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch):
    """What waits for the machine waits in real time; here only as long as it must."""
    monkeypatch.setattr(broker_module, "_SETTLE_AGAIN_S", 0.01)
    monkeypatch.setattr(consumer_module, "_READ_AGAIN_S", 0.01)


def fill_up(room: Room, spare_pages: int = 0) -> None:
    """From now on the database may not grow by more than these pages."""
    pages = room.store.query("PRAGMA page_count")[0][0]
    room.store.query(f"PRAGMA max_page_count = {pages + spare_pages}")


def make_room(room: Room) -> None:
    room.store.query("PRAGMA max_page_count = 1000000")


async def until(condition, what: str) -> None:
    """Wait for something that happens in real time."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.002)


def big(size: int = 100_000) -> OutgoingMessage:
    return OutgoingMessage(b"x" * size, "bytes")


# A full disk ----------------------------------------------------------------------------------------------------------


async def test_a_send_to_a_full_disk_is_refused_with_the_reason(room: Room):
    await room.send("kept")
    fill_up(room)
    with pytest.raises(QueueSendError) as caught:
        await room.broker.send("q", [big()])
    assert caught.value.code == 15000
    assert caught.value.cause == (
        f"The disk that holds {room.store.path} is full. Make room, or choose another folder with --persist-to FOLDER."
    )
    assert room.left() == ["kept"]
    assert [(e["doing"], e["error"]) for e in room.of("store.failed")] == [('send to queue "q"', caught.value.cause)]
    make_room(room)
    await room.broker.send("q", [big()])
    assert room.backlog() == (2, 100_004)


async def test_only_the_sends_that_do_not_fit_are_refused(room: Room):
    await room.send("kept")
    fill_up(room, spare_pages=3)
    results = await asyncio.gather(
        room.send("a"), room.broker.send("q", [big()]), room.send("b", "c"), room.send("d"), return_exceptions=True
    )
    assert [isinstance(result, QueueSendError) for result in results] == [False, True, False, False]
    assert room.left() == ["kept", "a", "b", "c", "d"]
    make_room(room)


async def test_a_batch_that_does_not_fit_is_refused_whole(room: Room):
    await room.send("kept")
    fill_up(room, spare_pages=30)
    with pytest.raises(QueueSendError, match="full"):
        await room.broker.send("q", [outgoing("a"), big(), big(), outgoing("b")], batch=True)
    assert room.left() == ["kept"]
    assert room.backlog() == (1, 4)
    make_room(room)


async def test_a_burst_that_fails_is_told_once(room: Room):
    await room.send("kept")
    fill_up(room)
    results = await asyncio.gather(*(room.broker.send("q", [big()]) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(result, QueueSendError) for result in results)
    assert len(room.of("store.failed")) == 1
    await room.advance(1)
    with pytest.raises(QueueSendError):
        await room.broker.send("q", [big()])
    assert len(room.of("store.failed")) == 2
    make_room(room)


async def test_delivery_goes_on_while_the_disk_is_full(room: Room):
    """Claiming and acknowledging need no new room, and make some."""
    handler = room.consume(max_batch_size=5, max_batch_timeout=0, opened=False)
    for n in range(20):
        await room.broker.send("q", [OutgoingMessage(b"%d " % n + b"x" * 3000, "text")])
    fill_up(room)
    room.consumers["q"].open()
    await room.quiet()
    assert len(handler.flat) == 20
    assert room.left() == []
    await room.broker.send("q", [OutgoingMessage(b"y" * 3000, "text")])  # there is room again


# A disk that fails ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "left", "dead"),
    [
        pytest.param(says(), [], [], id="acknowledged"),
        pytest.param(fails, [], ["a", "b"], id="dead-lettered"),
        pytest.param(says("exception", ack=["a"]), [], ["b"], id="both"),
    ],
)
async def test_a_settlement_is_tried_until_it_is_written_and_then_once(room: Room, script, left, dead):
    handler = room.consume(max_batch_size=2, max_batch_timeout=0, max_retries=0, dead_letter_queue="dead")
    handler.hold()
    await room.send("a", "b")
    await room.quiet()
    with no_file_may_grow():
        handler.finish(script(handler.calls[0].batch))
        await until(lambda: room.of("store.failed"), "the settlement was not refused")
        (failure,) = room.of("store.failed")
        assert failure["doing"] == 'settle a batch of queue "q"'
        assert room.rows(columns="attempts") == [1, 1]
        assert room.of("batch.finished") == []
        assert room.of("message.dead_lettered") == []
    await until(lambda: room.of("batch.finished"), "the settlement was not tried again")
    await room.quiet()
    assert (room.left(), room.left("dead")) == (left, dead)
    assert len(handler.calls) == 1
    assert len(room.of("batch.finished")) == 1
    assert len(room.of("message.dead_lettered")) == len(dead)
    room.backlog()
    room.backlog("dead")


async def test_a_retry_that_could_not_be_written_comes_once(room: Room):
    handler = room.consume(max_batch_size=2, max_batch_timeout=0)
    handler.hold()
    await room.send("a", "b")
    await room.quiet()
    with no_file_may_grow():
        handler.script = says()
        handler.finish(says("exception")(handler.calls[0].batch))
        await until(lambda: room.of("store.failed"), "the settlement was not refused")
        await asyncio.sleep(0.05)  # several tries
    await until(lambda: len(room.of("batch.finished")) == 2, "the messages did not come again")
    await room.quiet()
    assert [call.attempts for call in handler.calls] == [[1, 1], [2, 2]]
    assert room.left() == []


async def test_a_session_ends_although_the_settlement_cannot_be_written(tmp_path):
    room = Room(tmp_path)
    handler = room.consume(max_batch_size=2, max_batch_timeout=0)
    handler.hold()
    await room.send("a", "b")
    await room.quiet()
    with no_file_may_grow():
        handler.finish()
        await until(lambda: room.of("store.failed"), "the settlement was not refused")
        await asyncio.wait_for(room.consumers.pop("q").close(), 5)
        with pytest.raises(database.StateError, match="could not be read or written"):
            room.session.close()
        room.store._connection.close()
    room = Room(tmp_path)
    assert room.session.recovered == 2
    handler = room.consume(max_batch_size=2, max_batch_timeout=0)
    await room.quiet()
    assert [(call.bodies, call.attempts) for call in handler.calls] == [(["a", "b"], [2, 2])]
    await room.close()


async def test_a_claim_that_could_not_be_written_is_tried_again_and_counts_one_attempt(room: Room):
    handler = room.consume(max_batch_timeout=0, opened=False)
    await room.send("a")
    with no_file_may_grow():
        room.consumers["q"].open()
        await until(lambda: room.of("store.failed"), "the claim was not refused")
        assert room.of("store.failed")[0]["doing"] == 'read queue "q"'
        assert handler.calls == []
    await until(lambda: handler.calls, "the claim was not tried again")
    await room.quiet()
    assert [call.attempts for call in handler.calls] == [[1]]


async def test_a_gate_that_is_shut_while_the_disk_fails_stays_shut(room: Room):
    handler = room.consume(max_batch_timeout=0, opened=False)
    await room.send("a")
    with no_file_may_grow():
        room.consumers["q"].open()
        await until(lambda: room.of("store.failed"), "the claim was not refused")
        room.consumers["q"].hold()
    await asyncio.sleep(0.05)
    await room.quiet()
    assert handler.calls == []
    room.consumers["q"].open()
    await until(lambda: handler.calls, "an opened gate must deliver")


async def test_the_watch_over_retention_survives_a_failing_disk(room: Room):
    watch = asyncio.ensure_future(room.broker.watch_retention())
    room.setting("q", message_retention_period=60)
    await room.send("a")
    with no_file_may_grow():
        await room.advance(130)
        assert [e["doing"] for e in room.of("store.failed")] == ["look after the queues"]
        assert not watch.done()
    await room.advance(60)
    assert room.left() == []
    watch.cancel()


# Another process holds the database -----------------------------------------------------------------------------------


async def test_a_send_waits_for_another_process_and_is_then_stored(room: Room):
    room.broker.ensure_queue("q")
    with children(room.folder) as (other,):
        other.do("lock")
        sending = asyncio.ensure_future(room.send("a"))
        await asyncio.sleep(0.05)
        assert not sending.done()
        other.do("unlock")
        assert (await asyncio.wait_for(sending, 10)).backlog_count == 1
    assert room.of("store.failed") == []


async def test_a_send_that_waited_too_long_is_refused_and_not_stored_later(room: Room, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_STEPS", 3)
    room.broker.ensure_queue("q")
    with children(room.folder) as (other,):
        other.do("lock")
        with pytest.raises(QueueSendError, match=r"locked by another program.*\(15000\)"):
            await room.send("a")
        other.do("unlock")
    await room.send("b")
    assert room.left() == ["b"]


async def test_a_settlement_outlasts_a_lock_of_any_length(room: Room, monkeypatch):
    handler = room.consume(max_batch_timeout=0)
    handler.script = in_turn(fails, says())
    handler.hold()
    await room.send("a")
    await room.quiet()
    monkeypatch.setattr(database, "_BUSY_STEPS", 1)
    with children(room.folder) as (other,):
        other.do("lock")
        handler.script = says()
        handler.finish(BatchOutcome("exception"))
        await until(lambda: room.of("store.failed"), "the settlement was not refused")
        other.do("unlock")
        await until(lambda: len(handler.calls) == 2, "the message did not come again")
    await room.quiet()
    assert [call.attempts for call in handler.calls] == [[1], [2]]
    assert room.left() == []


async def test_two_sessions_never_lease_the_same_message(room: Room):
    """A second process claims at the same time, as fast as it can."""
    handler = room.consume(max_batch_size=3, max_batch_timeout=0, opened=False)
    for n in range(60):
        await room.send(f"m{n}")
    with children(room.folder) as (other,):
        other.do("start")
        other.tell("claim", "30")
        room.consumers["q"].open()
        await room.quiet()
        theirs = [message.split(":")[0] for message in other.answer().split()]
        assert len(theirs) + len(handler.flat) == 60
        assert sorted(theirs + handler.flat) == sorted(f"m{n}" for n in range(60))
        other.do("close")
