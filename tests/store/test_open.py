"""Opening a state folder: made, brought up to date, or refused with the next step."""

import os
import sqlite3
import stat
import tempfile
from pathlib import Path

import pytest
from processes import as_nobody, children

from wrangler_py.store import schema
from wrangler_py.store.database import FILE_NAME, StateError, explain_error, open_store


def refusal(folder: Path) -> str:
    with pytest.raises(StateError) as caught:
        open_store(folder)
    return str(caught.value)


def test_a_fresh_folder_gets_a_database_of_this_version(tmp_path):
    store = open_store(tmp_path / "deep" / "state")
    assert store.path == tmp_path / "deep" / "state" / FILE_NAME
    assert store.query("PRAGMA user_version") == [(schema.VERSION,)]
    assert store.query("PRAGMA journal_mode") == [("wal",)]
    assert store.query("PRAGMA auto_vacuum") == [(2,)]
    tables = {row[0] for row in store.query("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert {"queue", "message", "session", "attachment"} <= tables
    store.close()
    assert [p.name for p in store.path.parent.iterdir()] == [FILE_NAME]  # no log is left behind


def test_state_under_dot_wpy_keeps_itself_out_of_git(tmp_path):
    open_store(tmp_path / ".wpy" / "state").close()
    assert (tmp_path / ".wpy" / ".gitignore").read_text() == "*\n"
    (tmp_path / ".wpy" / ".gitignore").write_text("mine\n")
    open_store(tmp_path / ".wpy" / "state").close()
    assert (tmp_path / ".wpy" / ".gitignore").read_text() == "mine\n"
    open_store(tmp_path / "elsewhere").close()
    assert not (tmp_path / ".gitignore").exists()


def test_opening_again_changes_nothing(tmp_path):
    store = open_store(tmp_path)
    store.write(lambda c: c.execute("INSERT INTO session (pid, started_ms) VALUES (1, 2)"))
    store.close()
    store = open_store(tmp_path)
    assert store.query("SELECT pid, started_ms FROM session") == [(1, 2)]
    store.close()


def test_every_migration_leads_on_from_the_one_before(tmp_path, monkeypatch):
    """A file of each older version is brought up to date with what it holds."""
    more = (*schema.MIGRATIONS, "ALTER TABLE queue ADD COLUMN colour TEXT; CREATE TABLE later (x)")
    for version in range(schema.VERSION + 1):
        folder = tmp_path / str(version)
        monkeypatch.setattr("wrangler_py.store.database.MIGRATIONS", schema.MIGRATIONS[:version])
        monkeypatch.setattr("wrangler_py.store.database.VERSION", version)
        store = open_store(folder)
        if version:
            store.write(
                lambda c: c.execute("INSERT INTO queue (name, uuid, created_ms, modified_ms) VALUES ('q', 'u', 1, 1)")
            )
        store.close()
        monkeypatch.setattr("wrangler_py.store.database.MIGRATIONS", more)
        monkeypatch.setattr("wrangler_py.store.database.VERSION", len(more))
        store = open_store(folder)
        assert store.query("PRAGMA user_version") == [(len(more),)]
        assert store.query("SELECT name, colour FROM queue") == ([("q", None)] if version else [])
        store.close()


def test_a_migration_that_fails_half_way_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    open_store(tmp_path).close()
    broken = (*schema.MIGRATIONS, "CREATE TABLE half (x); CREATE TABLE half (x)")
    monkeypatch.setattr("wrangler_py.store.database.MIGRATIONS", broken)
    monkeypatch.setattr("wrangler_py.store.database.VERSION", len(broken))
    assert "table half already exists" in refusal(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        assert not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'half'").fetchall()


def test_a_file_of_a_newer_version_is_refused_and_untouched(tmp_path):
    open_store(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 7}")
    text = refusal(tmp_path)
    assert f"newer wpy (format {schema.VERSION + 7}, this one knows {schema.VERSION})" in text
    assert "--persist-to" in text
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.VERSION + 7,)


def test_a_file_that_is_no_database_is_refused_and_untouched(tmp_path):
    path = tmp_path / FILE_NAME
    path.write_bytes(b"these are my notes\n" * 100)
    text = refusal(tmp_path)
    assert "is damaged (file is not a database)" in text
    assert f"mv {path} {path}.damaged" in text
    assert path.read_bytes() == b"these are my notes\n" * 100


def test_a_damaged_database_is_called_so(tmp_path):
    store = open_store(tmp_path)
    store.write(
        lambda c: c.executemany("INSERT INTO session (pid, started_ms) VALUES (?, 1)", [(n,) for n in range(5000)])
    )
    store.close()
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[200:] = b"\xa5" * (len(data) - 200)  # the header is whole
    path.write_bytes(data)
    text = refusal(tmp_path)
    assert "damaged" in text
    assert "malformed" in text


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "state").write_text("")
    text = refusal(tmp_path / "state")
    assert f"The state folder {tmp_path / 'state'} cannot be created: File exists" in text
    assert "--persist-to" in text
    assert "cannot be created: Not a directory" in refusal(tmp_path / "state" / "below")


@pytest.fixture
def public_folder():
    """A folder that everybody may look into (pytest's own are private)."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def opened_by_nobody(folder: Path) -> str:
    def work():
        try:
            open_store(folder).close()
        except StateError as error:
            return str(error)
        return "opened"

    return as_nobody(work)


def test_a_folder_that_cannot_be_written(public_folder):
    open_store(public_folder / "state").close()
    for path in (public_folder / "state", public_folder / "state" / FILE_NAME):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) | stat.S_IROTH | stat.S_IXOTH)
    text = opened_by_nobody(public_folder / "state")
    (public_folder / "state").chmod(0o755)
    assert "cannot be written" in text
    assert "Make it writable, or choose another folder with --persist-to FOLDER." in text


def test_an_empty_folder_that_cannot_be_written(public_folder):
    (public_folder / "state").mkdir(mode=0o555)
    text = opened_by_nobody(public_folder / "state")
    assert text.startswith(f"The state folder {public_folder / 'state'} cannot be written")
    text = opened_by_nobody(public_folder / "state" / "below")
    assert text.startswith(f"The state folder {public_folder / 'state' / 'below'} cannot be created: Permission denied")


def test_a_file_that_cannot_be_written(public_folder):
    open_store(public_folder).close()
    path = public_folder / FILE_NAME
    path.chmod(0o444)
    text = opened_by_nobody(public_folder)
    assert text.startswith(f"The state file {path} cannot be written")


def test_the_folder_that_can_be_written_is_opened_by_the_same_means(public_folder):
    """Proves that the three tests above fail for the reason they name."""
    assert opened_by_nobody(public_folder / "state") == "opened"
    assert os.path.exists(public_folder / "state" / FILE_NAME)  # noqa: PTH110


def test_processes_that_open_a_fresh_folder_at_once_all_succeed(tmp_path):
    """Each round is a new race: to create the file, to switch it to a write-ahead log, to create the tables."""
    with children(tmp_path, 3) as racers:
        for number in range(80):
            for racer in racers:
                racer.tell("open_and_close", str(number))
            assert [racer.answer() for racer in racers] == ["opened"] * 3
    store = open_store(tmp_path / "79")
    assert store.query("PRAGMA integrity_check") == [("ok",)]
    assert store.query("PRAGMA user_version") == [(schema.VERSION,)]
    store.close()


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("SQLITE_BUSY", "locked by another program"),
        ("SQLITE_LOCKED", "locked by another program"),
        ("SQLITE_FULL", "is full. Make room"),
        ("SQLITE_READONLY", "cannot be written"),
        ("SQLITE_READONLY_DIRECTORY", "cannot be written"),
        ("SQLITE_CANTOPEN", "cannot be written"),
        ("SQLITE_IOERR_WRITE", "Look whether the disk is full, removed or failing"),
        ("SQLITE_CORRUPT", "is damaged"),
        ("SQLITE_NOTADB", "is damaged"),
        ("SQLITE_ERROR", "no such table: x"),
        (None, "Incorrect number of bindings"),
    ],
)
def test_what_an_error_of_the_database_means(tmp_path, name, word):
    error = sqlite3.OperationalError("no such table: x" if name else "Incorrect number of bindings")
    if name:
        error.sqlite_errorcode = getattr(sqlite3, name)
    text = explain_error(error, tmp_path / FILE_NAME)
    assert word in text
    assert str(tmp_path) in text
    if word != "is damaged":
        assert "damaged" not in text
