"""Another process is writing: a real one that holds the lock. The event loop goes on meanwhile."""

import asyncio
import sqlite3
import time

import pytest
from processes import children

from wrangler_py.store import database
from wrangler_py.store.database import StateError, open_store


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


def add(connection):
    return connection.execute("INSERT INTO session (pid, started_ms) VALUES (1, 1)").lastrowid


async def test_a_write_waits_for_the_other_and_the_loop_does_not(store, tmp_path):
    with children(tmp_path) as (other,):
        other.do("lock")
        writes = [store.submit(add) for _ in range(5)]
        turns = 0
        begun = time.monotonic()
        while time.monotonic() - begun < 0.2:
            assert not any(write.done() for write in writes)
            await asyncio.sleep(0)
            turns += 1
        assert turns > 50  # one look at the lock takes 5 ms; a loop that is blocked has no turns
        late = store.submit(add)
        other.do("unlock")
        assert await asyncio.wait_for(asyncio.gather(*writes, late), 10) == [1, 2, 3, 4, 5, 6]


async def test_reading_does_not_wait(store, tmp_path):
    with children(tmp_path) as (other,):
        other.do("lock")
        assert store.query("SELECT count(*) FROM session") == [(0,)]


async def test_a_write_gives_up_in_the_end_and_the_whole_group_with_it_at_once(store, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_STEPS", 10)
    with children(tmp_path) as (other,):
        other.do("lock")
        begun = time.monotonic()
        results = await asyncio.gather(*(store.submit(add) for _ in range(50)), return_exceptions=True)
        took = time.monotonic() - begun
        assert {type(result) for result in results} == {sqlite3.OperationalError}
        assert all("locked" in str(result) for result in results)
        assert took < 3  # about 0.15 s; one after the other would take 50 times as long
        other.do("unlock")
        assert await store.submit(add) == 1


async def test_the_patience_begins_anew_with_each_write(store, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_STEPS", 10)
    with children(tmp_path) as (other,):
        for _ in range(3):
            other.do("lock")
            write, before = store.submit(add), store._waits
            while store._waits < before + 6 and not write.done():
                await asyncio.sleep(0.001)
            other.do("unlock")
            await write


async def test_closing_waits_for_the_other_process(store, tmp_path):
    with children(tmp_path) as (other,):
        other.do("lock")
        write = store.submit(add)
        asyncio.get_running_loop().call_later(0, lambda: None)
        other.tell("unlock")
        store.close()
        assert await write == 1


def test_a_command_that_finds_the_file_locked_says_so(tmp_path, monkeypatch):
    open_store(tmp_path).close()
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    with children(tmp_path) as (other,):
        other.do("lock")
        with pytest.raises(StateError, match="locked by another program"):
            open_store(tmp_path)


def test_a_file_that_another_program_holds_for_itself_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    other = sqlite3.connect(tmp_path / database.FILE_NAME, isolation_level=None)
    other.execute("CREATE TABLE theirs (x)")
    other.execute("BEGIN EXCLUSIVE")
    begun = time.monotonic()
    with pytest.raises(StateError, match="locked by another program"):
        open_store(tmp_path)
    assert time.monotonic() - begun < 3
    other.close()


def test_a_write_at_once_waits_too(store, tmp_path, monkeypatch):
    with children(tmp_path) as (other,):
        other.do("lock")
        monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.write(add)
        monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 10_000)
        other.tell("unlock")
        assert store.write(add) == 1
