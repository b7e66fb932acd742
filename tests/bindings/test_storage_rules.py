"""The rules of the engines, held against naive models: listing, cursors, expiry, ranges, conditions, cutting SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wrangler_py.bindings.d1 import D1Database, D1Error
from wrangler_py.bindings.files import file_name
from wrangler_py.bindings.kv import KvStore
from wrangler_py.bindings.r2 import R2Store
from wrangler_py.bindings.r2_objects import Conditional, Etag, R2Error, Range
from wrangler_py.bindings.sql_statements import split_statements
from wrangler_py.clock import VirtualClock

NOW_S = 1_700_000_000
#: Few letters, so that prefixes and delimiters meet; with the ends of Unicode.
KEYS = st.text("ab/é\U0010ffff\ue000", min_size=1, max_size=5)

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def in_order(keys: set[str]) -> list[str]:
    return sorted(keys, key=lambda key: key.encode())


@pytest.fixture
def kv(tmp_path: Path) -> Iterator[KvStore]:
    store = KvStore(tmp_path / "kv.sqlite", VirtualClock(NOW_S * 1000))
    yield store
    store.close()


@pytest.fixture
def r2(tmp_path: Path) -> Iterator[R2Store]:
    store = R2Store(tmp_path / "r2", VirtualClock(NOW_S * 1000))
    yield store
    store.close()


@pytest.fixture
def d1(tmp_path: Path) -> Iterator[D1Database]:
    database = D1Database(tmp_path / "d1.sqlite")
    yield database
    database.close()


@quick
@given(keys=st.sets(KEYS, max_size=12), prefix=st.text("ab/é\U0010ffff", max_size=2), limit=st.integers(1, 4))
def test_kv_pages_are_the_whole_list(kv: KvStore, keys: set[str], prefix: str, limit: int):
    kv.delete_many([key.name for key in kv.list().keys])
    for key in keys:
        kv.put(key, key.encode(), metadata=f'"{len(key)}"')
    found, cursor = [], None
    while True:
        page = kv.list(prefix, cursor, limit)
        assert len(page.keys) <= limit
        found += [key.name for key in page.keys]
        cursor = page.cursor
        if cursor is None:
            break
        assert len(page.keys) == limit
    assert found == in_order({key for key in keys if key.startswith(prefix)})


async def test_kv_keys_expire_by_the_clock(tmp_path: Path):
    clock = VirtualClock(NOW_S * 1000)
    kv = KvStore(tmp_path / "kv.sqlite", clock)
    kv.put("ttl", b"1", expiration_ttl=60)
    kv.put("at", b"2", expiration=NOW_S + 120)
    kv.put("stays", b"3")
    for after_s, left in (
        (59, {"ttl", "at", "stays"}),
        (60, {"at", "stays"}),
        (119, {"at", "stays"}),
        (120, {"stays"}),
    ):
        await clock.advance(NOW_S + after_s - clock.now_ms() // 1000)
        assert {key.name for key in kv.list().keys} == left
        assert {key for key, value in kv.get_many(["ttl", "at", "stays"]).items() if value is not None} == left
        assert kv.count() == len(left)
    kv.put("ttl", b"again")
    assert kv.get("ttl").value == b"again"
    kv.close()


@quick
@given(
    keys=st.sets(KEYS, max_size=12),
    prefix=st.text("ab/", max_size=2),
    delimiter=st.sampled_from([None, "/", "b/", "é"]),
    limit=st.integers(1, 4),
    start_after=st.one_of(st.none(), KEYS),
)
def test_r2_pages_are_the_whole_list(r2: R2Store, keys, prefix, delimiter, limit, start_after):
    r2.delete(*[found.key for found in r2.list().objects])
    for key in keys:
        r2.put(key, b"x")
    objects, prefixes, cursor = [], [], None
    while True:
        page = r2.list(prefix, delimiter=delimiter, cursor=cursor, start_after=start_after, limit=limit)
        objects += [found.key for found in page.objects]
        prefixes += page.prefixes
        assert len(page.objects) + len(page.prefixes) <= limit
        cursor = page.cursor
        if cursor is None:
            break
    expected_objects, expected_prefixes = [], []
    for key in in_order({key for key in keys if key.startswith(prefix)}):
        if start_after is not None and key.encode() <= start_after.encode():
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if not found:
            expected_objects.append(key)
        elif (common := prefix + head + found) not in expected_prefixes:
            expected_prefixes.append(common)
    assert objects == expected_objects
    assert sorted(prefixes) == sorted(expected_prefixes)


@given(
    size=st.integers(0, 9),
    offset=st.one_of(st.none(), st.integers(0, 12)),
    length=st.one_of(st.none(), st.integers(0, 12)),
)
def test_ranges_are_slices(size: int, offset: int | None, length: int | None):
    try:
        start, count = Range(offset, length).within(size)
    except R2Error as error:
        assert error.code == 10039
        assert (offset or 0) >= size or length == 0
        return
    whole = bytes(range(size))
    assert whole[start : start + count] == whole[offset or 0 :][:length]
    assert count == min(size - start, count)


def test_a_put_is_refused_when_another_process_was_faster(r2: R2Store, tmp_path: Path):
    first = r2.put("k", b"one")
    assert first is not None
    other = R2Store(tmp_path / "r2", VirtualClock(NOW_S * 1000))
    other.put("k", b"two" * 100_000)
    only_if = Conditional(etag_matches=(Etag(first.etag),))
    assert r2.put("k", b"three" * 100_000, only_if=only_if) is None
    found = r2.get("k")
    assert found is not None and found[1] is not None
    assert found[1].read_all() == b"two" * 100_000
    found[1].close()
    other.close()
    blobs = list((tmp_path / "r2" / "blobs").iterdir())
    assert len(blobs) == 1, "a body that was refused leaves nothing behind"


def test_a_body_that_the_disk_refuses_leaves_nothing_behind(r2: R2Store, tmp_path: Path, monkeypatch):
    blobs = tmp_path / "r2" / "blobs"
    r2.put("k", b"before" * 20_000)
    blobs.rename(tmp_path / "aside")
    blobs.write_text("a file, so that no folder can be made")
    with pytest.raises(OSError, match=r"blobs"):
        r2.put("k", b"after" * 20_000)
    blobs.unlink()
    (tmp_path / "aside").rename(blobs)
    found = r2.get("k")
    assert found is not None and found[1] is not None
    assert found[1].read_all() == b"before" * 20_000
    found[1].close()
    assert len(list(blobs.iterdir())) == 1


def test_uploads_are_given_up_after_a_week(tmp_path: Path):
    for days, left in ((6, True), (8, False)):
        folder = tmp_path / str(days)
        first = R2Store(folder, VirtualClock(NOW_S * 1000))
        upload = first.create_multipart("k")
        part = first.upload_part("k", upload, 1, b"p" * 100_000)
        first.close()
        later = R2Store(folder, VirtualClock((NOW_S + days * 86_400) * 1000))
        try:
            later.complete_multipart("k", upload, [part])
            assert left
        except R2Error as error:
            assert error.code == 10024 and not left
            assert list((folder / "blobs").iterdir()) == []
        later.close()


def test_two_processes_write_one_database(d1: D1Database, tmp_path: Path):
    other = D1Database(tmp_path / "d1.sqlite")
    d1.query([("CREATE TABLE t (n INTEGER)", ())])
    for n in range(20):
        (d1 if n % 2 else other).query([("INSERT INTO t VALUES (?)", (n,)), ("SELECT count(*) FROM t", ())])
    assert other.query([("SELECT count(*) FROM t", ())])[0].rows == [(20,)]
    other.close()


def test_a_deferred_constraint_fails_the_whole_batch(d1: D1Database):
    d1.query([("CREATE TABLE p (id INTEGER PRIMARY KEY)", ()), ("CREATE TABLE c (p INTEGER REFERENCES p (id))", ())])
    with pytest.raises(D1Error, match="FOREIGN KEY constraint failed: SQLITE_CONSTRAINT"):
        d1.query([("INSERT INTO c VALUES (1)", ())])
    deferred = ("PRAGMA defer_foreign_keys = on", ())
    d1.query([deferred, ("INSERT INTO c VALUES (1)", ()), ("INSERT INTO p VALUES (1)", ())])
    with pytest.raises(D1Error, match="FOREIGN KEY constraint failed"):
        d1.query([deferred, ("INSERT INTO c VALUES (2)", ())])
    assert d1.query([("SELECT p FROM c", ())])[0].rows == [(1,)]


def test_bookmarks_never_go_back(d1: D1Database, tmp_path: Path):
    seen = [d1.bookmark()]
    for _ in range(3):
        d1.query([("CREATE TABLE IF NOT EXISTS t (n)", ()), ("INSERT INTO t VALUES (1)", ())])
        seen.append(d1.bookmark())
    d1.close()
    again = D1Database(tmp_path / "d1.sqlite")
    seen.append(again.bookmark())
    again.close()
    assert seen == sorted(seen) and len(set(seen)) == len(seen)


PIECES = st.sampled_from(
    [
        "SELECT 1",
        "SELECT ';'",
        "INSERT INTO t VALUES ('a;''b')",
        'SELECT ";" AS "a;b"',
        "SELECT `a;b` FROM t",
        "SELECT [a;b] FROM t",
        "-- one; two\nSELECT 2",
        "/* one; two */ SELECT 3",
        "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; SELECT CASE WHEN 1 THEN 2 END; END",
        "create temp trigger x after update on t begin select 'end;'; end",
    ]
)


@given(st.lists(PIECES, min_size=1, max_size=5), st.sampled_from([";", " ;\n", ";;\n"]))
def test_sql_is_cut_as_sqlite_cuts_it(pieces: list[str], between: str):
    found = list(split_statements(between.join(pieces) + between))
    assert found == pieces
    assert all(sqlite3.complete_statement(statement + ";") for statement in found)


@given(st.sets(st.text(min_size=1, max_size=12), min_size=2))
def test_names_of_files_are_safe_and_distinct(ids: set[str]):
    names = [file_name(each) for each in ids]
    assert len({name.lower() for name in names}) == len(ids)
    assert all(name.isascii() and not set(name) & set('/\\:*?"<>|. ') and len(name) <= 64 for name in names)
