"""Sends that a worker's process keeps until they are stored: they are tried until they are, in their order, each once."""

import asyncio
import os
import sys
import time

import pytest

from wrangler_py.queues import intake
from wrangler_py.queues.message import OutgoingMessage
from wrangler_py.runtime import closed_files
from wrangler_py.runtime.outbox_home import OutboxHome
from wrangler_py.runtime.worker import frames

from .harness import Room


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(intake, "_AGAIN_S", 0.01)


class Outbox:
    """Hands sends of one outbox to the broker and hears what becomes of them."""

    def __init__(self, room: Room) -> None:
        self.broker = room.broker
        self.told: list[tuple[int, int | None]] = []

    def send(self, number: int, body: bytes) -> None:
        def tell(metrics, error):
            self.told.append((number, None if metrics is None else metrics.backlog_count))

        message = OutgoingMessage(body, "text")
        self.broker.enqueue("q", [message], None, batch=False, tell=tell, kept=("box", number))

    @property
    def stored(self) -> list[tuple[int, int | None]]:
        return [told for told in self.told if told[1] is not None]


def fill_up(room: Room) -> None:
    room.store.query(f"PRAGMA max_page_count = {room.store.query('PRAGMA page_count')[0][0]}")


async def until(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


async def test_the_mark_moves_with_what_is_stored(room: Room):
    outbox = Outbox(room)
    outbox.send(3, b"a")
    outbox.send(7, b"b")
    await until(lambda: len(outbox.told) == 2)
    assert outbox.told == [(3, 1), (7, 2)]
    assert room.broker.stored_of("box") == 7 and room.broker.stored_of("other") == 0
    await room.broker.forget_outbox("box")
    assert room.broker.stored_of("box") == 0


async def test_what_does_not_fit_is_held_and_what_comes_after_it_waits(room: Room):
    await room.send("first")
    outbox = Outbox(room)
    fill_up(room)
    outbox.send(1, b"x" * 100_000)
    outbox.send(2, b"small")
    await until(lambda: outbox.told.count((1, None)) > 2)
    outbox.send(3, b"later")
    await until(lambda: outbox.told.count((1, None)) > 5)
    assert outbox.stored == [] and room.broker.stored_of("box") == 0
    assert "full" in room.of("store.failed")[0]["error"]

    room.store.query("PRAGMA max_page_count = 1000000")
    await until(lambda: len(outbox.stored) == 3)
    assert outbox.stored == [(1, 2), (2, 3), (3, 4)] and room.broker.stored_of("box") == 3
    assert [body if len(body) < 10 else "x..." for body in room.left()] == ["first", "x...", "small", "later"]


async def test_who_waits_for_an_answer_is_refused_while_kept_sends_are_held(room: Room):
    await room.send("first")
    outbox = Outbox(room)
    fill_up(room)
    outbox.send(1, b"x" * 100_000)
    refused = room.broker.submit("q", [OutgoingMessage(b"y" * 100_000, "text")])
    with pytest.raises(Exception, match="full"):
        await refused
    room.store.query("PRAGMA max_page_count = 1000000")
    await until(lambda: len(outbox.stored) == 1)
    assert len(room.left()) == 2


@pytest.mark.parametrize("rubbish", [b"", b"\0" * 40, b"\x05\0\0\0zzzzz", b"\xff\xff\0\0cut off"])
async def test_what_stands_before_rubbish_is_stored_and_the_rubbish_kept(room: Room, rubbish: bytes):
    home = OutboxHome(room.folder, 1, room.broker, list)
    folder = room.folder / "outbox"
    folder.mkdir()
    sent = [frames.encode(frames.SENT, n, 0, "q", ((b"m%d" % n, "text", None),), None, False) for n in (1, 2)]
    (folder / "7-dead.sends").write_bytes(b"".join(sent) + rubbish)
    await home.recover()
    assert room.left() == ["m1", "m2"]
    assert [path.name for path in folder.iterdir()] == (["7-dead.damaged"] if rubbish else [])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell who has closed a file")
async def test_an_outbox_is_taken_up_when_its_writer_ends_and_nobody_looks_before(
    room: Room, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(closed_files, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(closed_files, "_LOOK_ANYWAY_S", 1e6)
    home = OutboxHome(room.folder, 1, room.broker, list)
    (room.folder / "outbox").mkdir()
    looks = 0
    recover = home.recover

    async def noted() -> bool:
        nonlocal looks
        looks += 1
        return await recover()

    monkeypatch.setattr(home, "recover", noted)
    watching = asyncio.create_task(home.watch())
    try:
        await until(lambda: looks == 2)  # at once, and when the watch stands
        file = os.open(room.folder / "outbox" / "7-killed.sends", os.O_WRONLY | os.O_CREAT)
        os.write(file, frames.encode(frames.SENT, 1, 0, "q", ((b"kept", "text", None),), None, False))
        await asyncio.sleep(0.1)
        assert looks == 2 and room.left() == []
        os.close(file)
        await until(lambda: room.left() == ["kept"])
    finally:
        watching.cancel()
