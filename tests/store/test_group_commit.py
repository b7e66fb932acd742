"""One writer with group commit: what shares a transaction, and who fails when something fails."""

import asyncio
import sqlite3

import pytest

from wrangler_py.store import database
from wrangler_py.store.database import StateError, Store, open_store


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    store.write(lambda c: c.execute("CREATE TABLE t (n INTEGER NOT NULL UNIQUE)"))
    yield store
    store.close()


def insert(n):
    def operation(connection):
        connection.execute("INSERT INTO t VALUES (?)", (n,))
        return n * 10

    return operation


def spoil(n, error):
    """Writes first, and fails then."""

    def operation(connection):
        connection.execute("INSERT INTO t VALUES (?)", (n,))
        raise error

    return operation


def numbers(store: Store):
    """What another process sees."""
    with sqlite3.connect(store.path) as other:
        return [row[0] for row in other.execute("SELECT n FROM t ORDER BY rowid")]


def transactions(store: Store) -> list[str]:
    seen: list[str] = []
    store._connection.set_trace_callback(lambda sql: seen.append(sql) if sql == "COMMIT" else None)
    return seen


async def test_what_is_submitted_in_one_turn_is_committed_once(store: Store):
    commits = transactions(store)
    results = await asyncio.gather(*(store.submit(insert(n)) for n in range(500)))
    assert results == [n * 10 for n in range(500)]
    assert commits == ["COMMIT"]
    assert numbers(store) == list(range(500))


async def test_a_result_is_given_after_the_commit(store: Store):
    seen = []
    future = store.submit(insert(1))
    future.add_done_callback(lambda _: seen.append(numbers(store)))
    assert numbers(store) == []
    await future
    await asyncio.sleep(0)
    assert seen == [[1]]


async def test_an_operation_that_fails_takes_no_other_with_it(store: Store):
    results = await asyncio.gather(
        store.submit(insert(1)),
        store.submit(spoil(2, ValueError("no"))),
        store.submit(insert(3)),
        store.submit(insert(1)),  # not unique
        store.submit(insert(4)),
        return_exceptions=True,
    )
    assert results[0::2] == [10, 30, 40]
    assert isinstance(results[1], ValueError)
    assert isinstance(results[3], sqlite3.IntegrityError)
    assert numbers(store) == [1, 3, 4]


async def test_the_order_of_submission_is_kept_when_the_group_is_run_again(store: Store):
    await asyncio.gather(
        *(store.submit(insert(n)) for n in (5, 3, 9)), store.submit(spoil(0, KeyError())), return_exceptions=True
    )
    assert numbers(store) == [5, 3, 9]


async def test_what_a_commit_starts_belongs_to_the_next_one(store: Store):
    commits = transactions(store)
    second = asyncio.get_running_loop().create_future()
    store.submit(insert(1)).add_done_callback(lambda _: store.submit(insert(2)).add_done_callback(second.set_result))
    await second
    assert len(commits) == 2
    assert numbers(store) == [1, 2]


async def test_an_operation_that_nobody_waits_for_any_more_is_not_run(store: Store):
    gone = store.submit(insert(1))
    kept = store.submit(insert(2))
    gone.cancel()
    assert await kept == 20
    assert numbers(store) == [2]


async def test_who_is_told_at_once_and_fails_keeps_the_news_from_nobody(store: Store):
    told, broken = [], []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: broken.append(context["exception"]))
    store.enqueue(insert(1), lambda result, error: told.append((result, error)))
    store.enqueue(insert(2), lambda result, error: 1 / 0)
    store.enqueue(spoil(3, ValueError("no")), lambda result, error: told.append((result, str(error))))
    last = store.submit(insert(4))
    assert told == []
    store.commit_now()
    assert told == [(10, None), (None, "no")]
    assert last.result() == 40
    assert [type(error) for error in broken] == [ZeroDivisionError]
    assert numbers(store) == [1, 2, 4]


async def test_a_commit_now_leaves_nothing_for_later(store: Store):
    commits = transactions(store)
    store.submit(insert(1))
    store.commit_now()
    store.commit_now()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert commits == ["COMMIT"]
    assert await store.submit(insert(2)) == 20
    assert len(commits) == 2


async def test_the_caller_may_say_what_a_failure_means_to_him(store: Store):
    future = store.submit(spoil(1, ValueError("no")), lambda error: LookupError(f"explained: {error}"))
    with pytest.raises(LookupError, match="explained: no"):
        await future


async def test_closing_commits_what_is_pending_and_refuses_what_comes_then(store: Store):
    last = store.submit(insert(1))
    store.close()
    assert await last == 10
    with pytest.raises(StateError, match="closed"):
        await store.submit(insert(2))
    with pytest.raises(StateError, match="closed"):
        store.write(insert(2))
    with pytest.raises(StateError, match="closed"):
        store.query("SELECT 1")
    store.close()
    assert numbers(store) == [1]


def test_a_write_is_there_when_it_returns(store: Store):
    assert store.write(insert(7)) == 70
    assert numbers(store) == [7]
    with pytest.raises(sqlite3.IntegrityError):
        store.write(insert(7))
    assert store.write(insert(8)) == 80


async def test_space_is_given_back(store: Store):
    def fill(connection):
        connection.execute("CREATE TABLE big (b BLOB)")
        connection.executemany("INSERT INTO big VALUES (?)", [(b"x" * 4000,)] * 1000)

    store.write(fill)
    store.write(lambda c: c.execute("DELETE FROM big"))
    pages = store.query("PRAGMA page_count")[0][0]
    store.reclaim_space()
    assert store.query("PRAGMA page_count")[0][0] < pages / 10


async def test_space_is_given_back_in_small_pieces_once_it_is_quiet(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "_QUIET_S", 0.05)
    monkeypatch.setattr(database, "_NEXT_PAGES_S", 0.001)

    def fill(connection):
        connection.execute("CREATE TABLE big (b BLOB)")
        connection.executemany("INSERT INTO big VALUES (?)", [(b"x" * 4000,)] * 2000)

    await store.submit(fill)
    await store.submit(lambda c: c.execute("DELETE FROM big"))
    size = store.path.stat().st_size + store.path.with_name(f"{store.path.name}-wal").stat().st_size
    pieces: list[str] = []
    store._connection.set_trace_callback(lambda sql: pieces.append(sql) if "incremental_vacuum" in sql else None)
    async with asyncio.timeout(10):
        while store.path.stat().st_size > size / 4:
            await asyncio.sleep(0.01)
    assert len(pieces) > 10, "each of them short"
    assert store.query("PRAGMA freelist_count")[0][0] < database._FREE_PAGES
