"""The recorder by itself: what it writes, how it stays within bounds, and that nothing that befalls it reaches the session."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from wrangler_py.clock import VirtualClock
from wrangler_py.events import reading, tables
from wrangler_py.events.log import Event, EventLog
from wrangler_py.events.recorder import Recorder, RecordLimits
from wrangler_py.events.trace import Span, parse_traceparent, within
from wrangler_py.queues import search
from wrangler_py.queues.message import Message, OutgoingMessage
from wrangler_py.queues.query import Query, QueryError, parse
from wrangler_py.queues.settlement import Settlement
from wrangler_py.store.database import open_store


class Room:
    def __init__(self, folder: Path, limits: RecordLimits | None = None) -> None:
        self.log = EventLog(VirtualClock(1_000))
        self.folder = folder
        self.recorder = Recorder(folder, self.log, limits)
        self.told: list[str] = []
        self.log.subscribe(lambda event: self.told.append(event.data["error"]), ("record.failed",))
        self.recorder.start()

    def send(self, *bodies: bytes, queue: str = "q") -> list[bytes]:
        ids = [os.urandom(16) for _ in bodies]
        self.log.emit(
            "message.sent",
            queue=queue,
            ids=ids,
            messages=[OutgoingMessage(b) for b in bodies],
            ready=[1_000] * len(ids),
        )
        return ids

    def settle(self, ids: list[bytes], action: Any = "ack", span: Span | None = None) -> None:
        span = span or Span("batch", "queue q")
        messages = [Message(n, key.hex(), 1_000, 1, "json", b"") for n, key in enumerate(ids)]
        self.log.emit("batch.started", queue="q", worker="w", messages=messages, span=span)
        settlements = [Settlement(m, action, 0, "handler returned") for m in messages]
        given = {"outcome": "ok", "error": None, "ms": 1, "dead_letter_queue": "dead", "acked": 0, "total": len(ids)}
        self.log.emit("batch.finished", queue="q", worker="w", settlements=settlements, span=span, **given)

    def query(self, sql: str) -> list[Any]:
        with reading.open_record(self.folder) as connection:
            assert connection is not None
            return connection.execute(sql).fetchall()


async def test_thousands_of_messages_at_once_are_all_there_and_in_order(tmp_path: Path):
    room = Room(tmp_path)
    sent = []
    for _ in range(40):
        with within(Span("request", "POST /")):
            ids = room.send(*[b'{"n":1}'] * 100)
        room.settle(ids)
        sent += ids
        await asyncio.sleep(0)
    await room.recorder.caught_up()
    assert [row[0] for row in room.query("SELECT id FROM item ORDER BY n")] == sent
    assert room.query("SELECT count(*) FROM item WHERE state = 'acked' AND attempts = 1") == [(4_000,)]
    assert room.query("SELECT count(*), count(DISTINCT trace) FROM run") == [(40, 40)], "a batch of one trace is in it"
    kinds = [row[0] for row in room.query("SELECT kind FROM event ORDER BY seq")]
    assert kinds == ["message.sent", "batch.started", "batch.finished"] * 40
    room.recorder.close()


async def test_the_record_keeps_within_its_bounds(tmp_path: Path):
    room = Room(tmp_path, RecordLimits(events=300, messages=200, max_bytes=64 << 20))
    for number in range(60):
        room.settle(room.send(*[str(number).encode()] * 20))
        await room.recorder.caught_up()
    room.recorder.close()
    assert 200 <= room.query("SELECT count(*) FROM item")[0][0] <= 200 + 50 * 20, "cut every fifty writes"
    assert room.query("SELECT max(body) FROM item WHERE n = (SELECT max(n) FROM item)") == [(b"59",)]
    (tmp_path / "small").mkdir()
    small = Room(tmp_path / "small", RecordLimits(max_bytes=1 << 20))
    for _ in range(60):
        small.send(b"x" * 100_000)
        await small.recorder.caught_up()
    small.recorder.close()
    assert (tmp_path / "small" / tables.FILE_NAME).stat().st_size < 2 << 20, "six million bytes went through it"
    assert small.query("SELECT count(*) FROM item")[0][0] > 0


@pytest.mark.parametrize("damage", ["not a database", "another format", "a broken page"])
async def test_a_damaged_record_is_set_aside_and_a_new_one_begun(tmp_path: Path, damage: str):
    path = tmp_path / tables.FILE_NAME
    if damage == "not a database":
        path.write_bytes(b"this is no database at all" * 1_000)
    elif damage == "another format":
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        first = Room(tmp_path)
        first.send(*[b"x" * 500] * 300)
        await first.recorder.caught_up()
        first.recorder.close()
        data = bytearray(path.read_bytes())
        data[4096:-4096] = os.urandom(len(data) - 8192)
        path.write_bytes(data)
    room = Room(tmp_path)
    for _ in range(100):
        room.send(b"{}")
        await room.recorder.caught_up()
        if room.told:
            break
    assert "set aside as events.sqlite.damaged-1" in room.told[0]
    room.send(b'"after"')
    await room.recorder.caught_up()
    room.recorder.close()
    assert (b'"after"',) in room.query("SELECT body FROM item")


async def test_a_record_that_cannot_be_written_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "gone"
    room = Room(folder)  # the folder does not exist: no file can be made in it
    room.send(b"1")
    end = asyncio.get_running_loop().time() + 10
    while not room.told:
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.01)
    assert "cannot be written" in room.told[0] and room.recorder.state.lost == 1
    folder.mkdir()
    room.send(b"2")
    await room.recorder.caught_up()
    room.recorder.close()
    assert (b"2",) in room.query("SELECT body FROM item") and len(room.told) == 1


async def test_a_full_disk_is_told_once_and_the_record_goes_on_when_there_is_room(tmp_path: Path):
    room = Room(tmp_path)
    room.send(b'"before"')
    await room.recorder.caught_up()
    full = room.recorder._connection
    assert full is not None
    full.execute(
        f"PRAGMA max_page_count = {full.execute('PRAGMA page_count').fetchone()[0]}"
    )  # as a full disk: SQLITE_FULL
    for _ in range(200):
        room.send(os.urandom(5_000))
    await room.recorder.caught_up()
    await asyncio.sleep(0)
    assert len(room.told) == 1 and "full" in room.told[0] and room.recorder.state.lost == 200
    room.send(b'"after"')
    await room.recorder.caught_up()
    assert room.recorder.state.error is None and len(room.told) == 1
    room.recorder.close()
    assert {(b'"before"',), (b'"after"',)} == set(room.query("SELECT body FROM item"))


def test_events_come_out_of_a_pack_as_they_went_in():
    from wrangler_py.events import plain

    span, key = Span("request", "GET /"), os.urandom(16)
    sent = {"queue": "q", "ids": [key], "messages": [OutgoingMessage(b"\x00" * 300, "bytes", 3)], "ready": [4_000]}
    batch = [Message(1, key.hex(), 1_000, 2, "bytes", b"abc"), Message(2, "f" * 32, 1_001, 1, "json", b"1")]
    settled = [Settlement(batch[0], "ack", 0, "ack()", "a.py:1"), Settlement(batch[1], "retry", 5, "retry()")]
    events = [
        Event(1_000, "message.sent", sent, span),
        Event(1_050, "message.sent", sent, span),
        Event(1_060, "batch.started", {"queue": "q", "worker": "w", "messages": batch}, span),
        Event(1_070, "batch.finished", {"queue": "q", "settlements": settled}, span),
        Event(1_080, "batch.finished", {"queue": "q", "settlements": []}, None),
        Event(1_090, "worker.printed", {"text": "x", "path": Path("/tmp")}, None),
    ]
    for joined_ms, count in ((0, 6), (100, 5)):
        found = plain.plain(events, joined_ms)
        data = plain.pack(found)
        again = plain.unpack(data)
        assert len(again) == count
        for before, after in zip(found[:-1], again[:-1], strict=True):
            assert (after[0], after[1], after[2]) == (before[0], before[1], before[2])
            for name, value in before[3].items():
                assert after[3][name] == value, name
        with pytest.raises((ValueError, EOFError, TypeError)):
            plain.unpack(data[:-20])
    assert again[0][3]["at"] == [1_000, 1_050]


def test_fifty_thousand_messages_are_searched_on_the_record_and_the_queues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(search, "_COUNT_S", 60.0)
    store = open_store(tmp_path)
    record = tables.connect(tmp_path / tables.FILE_NAME)
    body = b'{"n":%d,"user":{"id":%d},"text":"some words"}'
    rows = [
        (os.urandom(16), "q", 1, 1, 1, "json", 50, "worker", None, "a" * 32, None, None, body % (n, n % 100))
        for n in range(50_000)
    ]
    record.execute("BEGIN")
    tables.apply(record, tables.Rows(items=rows), 1)
    record.execute("UPDATE item SET state = 'acked'")
    record.execute("COMMIT")
    record.close()
    connection = search.connect(store.path)
    page = search.search(connection, parse("body.user.id:42 words"), 1_000, limit=100)
    assert page.total == 500 and len(page.rows) == 100 and {row.state for row in page.rows} == {"acked"}
    assert search.search(connection, parse("n:49999"), 1_000, limit=10).total == 0, "those are words"
    assert [r.id for r in search.search(connection, parse("body.n:49999"), 1_000, limit=10).rows] == [rows[-1][0].hex()]
    connection.close()
    store.close()


@pytest.mark.parametrize("text", ["state:lost", 'a "b', "attempts:x", "id:xyz", "-queue:q", "body.:1", 'body.a"b:1'])
def test_queries_that_cannot_be_understood(text: str):
    with pytest.raises(QueryError):
        parse(text)


def test_queries_that_are_just_words():
    for text in ("", "x:y", "a:b:c", "-", "%_\\", "'; DROP TABLE item; --", "body"):
        assert isinstance(parse(text), Query)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", ("a" * 32, "b" * 16)),
        (f"cc-{'a' * 32}-{'b' * 16}-01-more", ("a" * 32, "b" * 16)),
        (f"00-{'a' * 32}-{'b' * 16}-01-more", None),
        (f"ff-{'a' * 32}-{'b' * 16}-01", None),
        (f"00-{'0' * 32}-{'b' * 16}-01", None),
        (f"00-{'A' * 32}-{'b' * 16}-01", None),
        ("nonsense", None),
    ],
)
def test_traceparent(header: str, expected: Any):
    assert parse_traceparent(header) == expected
