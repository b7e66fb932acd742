"""`wpy queues` beside living sessions, and on state folders in every condition."""

import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest

from wrangler_py.queues import tables
from wrangler_py.store.schema import MIGRATIONS, VERSION

#: Another process that has the state open as a session has it, and sends without a pause until its input ends.
WRITER = """
import select, sys
from pathlib import Path
from wrangler_py.clock import SystemClock
from wrangler_py.queues import tables
from wrangler_py.store.schema import MIGRATIONS, VERSION
from wrangler_py.queues.tables import NewMessage
from wrangler_py.store.database import open_store
from wrangler_py.store.sessions import open_session

now = SystemClock().now_ms
store = open_store(Path(sys.argv[1]))
session = open_session(store, now())
queue, _ = store.write(lambda c: tables.ensure_queue(c, "jobs", now()))
session.attach([
    ("producer", "jobs", "maker", {"binding": "JOBS"}),
    ("producer", "jobs", "maker", {"binding": "WORK"}),
    ("consumer", "jobs", "taker", {"max_batch_size": 3, "max_batch_timeout": 0, "max_retries": 1,
                                   "max_concurrency": None, "retry_delay": 9, "dead_letter_queue": None}),
])

def send(connection):
    later = now() + 3_600_000
    messages = [NewMessage(bytes(16), "json", b"12345", at) for at in (now() - 1, now() - 1, later)]
    tables.append(connection, queue.id, now(), messages)
    first = "SELECT min(seq) FROM message WHERE queue_id = ? AND owner = 0 AND visible_ms <= created_ms"
    connection.execute(f"UPDATE message SET owner = ? WHERE seq = ({first})", (session.id, queue.id))

store.write(send)
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    store.write(send)
session.close()
store.close()
"""


@contextmanager
def writer(project, script=WRITER):
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(project.state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()
        assert process.wait(30) == (0 if process.returncode is None else process.returncode)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="select on a pipe")
class TestBesideASession:
    def test_every_look_is_one_moment(self, project):
        counts = []
        with writer(project):
            for _ in range(5):
                queue = project.queues("describe", "jobs", "--json").json
                backlog = queue["backlog"]
                assert backlog["backlog_count"] == backlog["ready"] + backlog["delayed"] + backlog["in_flight"]
                assert backlog["backlog_bytes"] == 5 * backlog["backlog_count"]
                assert backlog["delayed"] * 3 == backlog["backlog_count"]
                counts.append(backlog["backlog_count"])
        assert counts == sorted(counts) and counts[0] < counts[-1], "the session went on while it was looked at"

    def test_a_queue_can_be_created(self, project):
        with writer(project):
            assert project.queues("create", "more").code == 0
            assert [queue["queue_name"] for queue in project.queues("list", "--json").json] == ["jobs", "more"]

    def test_its_workers_are_shown_while_it_lives(self, project):
        project.toml('[[queues.producers]]\nbinding = "J"\nqueue = "jobs"\n')
        with writer(project) as process:
            queue = project.queues("describe", "jobs", "--json").json
            sessions = [{"pid": process.pid, "url": None}]
            assert queue["producers"] == [
                {"type": "worker", "script": "app", "bindings": ["J"], "sessions": []},
                {"type": "worker", "script": "maker", "bindings": ["JOBS", "WORK"], "sessions": sessions},
            ]
            (consumer,) = queue["consumers"]
            assert re.fullmatch(r"[0-9a-f]{32}", consumer.pop("consumer_id"))
            assert consumer.pop("created_on").endswith("Z")
            assert queue["consumers"] == [
                {
                    "type": "worker",
                    "script": "taker",
                    "script_name": "taker",
                    "queue_name": "jobs",
                    "dead_letter_queue": "",
                    "settings": {
                        "batch_size": 3,
                        "max_retries": 1,
                        "max_wait_time_ms": 0,
                        "max_concurrency": None,
                        "retry_delay": 9,
                    },
                    "sessions": sessions,
                }
            ]
            shown = project.queues("describe", "jobs").out
            assert f"  worker:maker  env.JOBS, env.WORK  (running: starting, pid {process.pid})\n" in shown
            assert "Producers: worker:app, worker:maker\n" in shown
        after = project.queues("describe", "jobs", "--json").json
        assert [producer["script"] for producer in after["producers"]] == ["app"]
        assert after["consumers"] == []

    def test_the_settings_in_force_are_those_of_the_running_session(self, project):
        project.toml('[[queues.consumers]]\nqueue = "jobs"\nmax_batch_size = 99\n'.replace("app", "taker"))
        config = project.root / "wrangler.toml"
        config.write_text(config.read_text().replace('name = "app"', 'name = "taker"'))
        with writer(project):
            (consumer,) = project.queues("describe", "jobs", "--json").json["consumers"]
            assert consumer["settings"]["batch_size"] == 3
        (consumer,) = project.queues("describe", "jobs", "--json").json["consumers"]
        assert (consumer["settings"]["batch_size"], consumer["sessions"]) == (99, [])

    def test_a_pull_consumer_made_through_the_api(self, project):
        project.queues("create", "pulled")
        with project.store() as store:
            (record,) = tables.all_queues(store)
            values = ("c" * 32, record.id, "http_pull", "dead", 1_700_000_000_000, '{"batch_size": 7}')
            columns = "id, queue_id, type, dead_letter_queue, created_ms, settings"
            store.write(lambda c: c.execute(f"INSERT INTO consumer ({columns}) VALUES (?, ?, ?, ?, ?, ?)", values))
        assert project.queues("describe", "pulled", "--json").json["consumers"] == [
            {
                "consumer_id": "c" * 32,
                "created_on": "2023-11-14T22:13:20.000000Z",
                "type": "http_pull",
                "queue_name": "pulled",
                "dead_letter_queue": "dead",
                "settings": {
                    "batch_size": 7,
                    "max_retries": 3,
                    "visibility_timeout_ms": 30_000,
                    "retry_delay": 0,
                },
                "sessions": [],
            }
        ]
        shown = project.queues("describe", "pulled").lines
        assert "Consumers: http_pull" in shown
        settings = "batch_size 7, max_retries 3, retry_delay 0 s, visibility_timeout 30 s, dead_letter_queue dead"
        assert f"  http_pull  {settings}" in shown

    def test_a_killed_one_is_not_shown_and_its_messages_are(self, project):
        with writer(project) as process:
            process.send_signal(signal.SIGKILL)
            process.wait()
            queue = project.queues("describe", "jobs", "--json").json
        assert (queue["producers"], queue["consumers"]) == ([], [])
        assert queue["backlog"]["in_flight"] > 0
        assert queue["backlog"]["ready"] > 0


class TestFolders:
    @pytest.fixture(autouse=True)
    def jobs(self, project):
        project.toml()
        project.queues("create", "jobs")
        self.file = project.state / "wpy.sqlite"

    def names(self, done) -> list[str]:
        return [queue["queue_name"] for queue in done.json]

    def refusal(self, done) -> str:
        """The one message of a command that could not do what it was asked."""
        assert (done.code, done.out) == (1, "")
        assert done.err.count("✘ [ERROR]") == 1
        return done.err

    def test_looking_leaves_no_trace(self, project):
        before, content = project.files(), self.file.read_bytes()
        for arguments in (["list"], ["list", "--json"], ["describe", "jobs"], ["info", "jobs"], ["describe", "nope"]):
            project.queues(*arguments)
        assert project.files() == before
        assert self.file.read_bytes() == content

    def test_read_only_folder(self, project, modes_count):
        self.file.chmod(0o444)
        project.state.chmod(0o555)
        try:
            assert self.names(project.queues("list", "--json", before=modes_count)) == ["jobs"]
            assert project.queues("describe", "jobs", before=modes_count).code == 0
        finally:
            project.state.chmod(0o755)

    @pytest.mark.skipif(sys.platform == "win32", reason="the writer")
    def test_read_only_folder_that_a_killed_session_left(self, project, modes_count):
        with writer(project) as process:
            process.send_signal(signal.SIGKILL)
            process.wait()
        (project.state / "sessions").chmod(0o555)
        for file in (*project.state.glob("*.sqlite*"), *project.state.glob("sessions/*")):
            file.chmod(0o444)
        project.state.chmod(0o555)
        try:
            done = project.queues("describe", "jobs", "--json", before=modes_count)
        finally:
            project.state.chmod(0o755)
            (project.state / "sessions").chmod(0o755)
        assert done.json["backlog"]["backlog_count"] > 0
        assert done.err == ""

    def test_unreadable_file(self, project, modes_count):
        self.file.chmod(0)
        message = self.refusal(project.queues("list", before=modes_count))
        assert f"{self.file} cannot be read: Permission denied" in message

    @pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["describe", "jobs"]])
    def test_not_a_database(self, project, command):
        self.file.write_bytes(b"This is no database.\n" * 500)
        message = self.refusal(project.queues(*command))
        assert f"{self.file} is damaged" in message
        assert f"mv {self.file} {self.file}.damaged" in message
        assert self.file.read_bytes().startswith(b"This is no database.")

    def test_creating_in_what_is_not_a_database(self, project):
        self.file.write_bytes(b"This is no database.\n" * 500)
        done = project.queues("create", "more")
        assert done.code == 1
        assert "is damaged" in done.err
        assert "✅" not in done.out

    def test_damaged_pages(self, project):
        with project.store() as store:
            store.write(lambda c: [tables.ensure_queue(c, f"q{i:04}" * 5, 1) for i in range(500)])
        content = bytearray(self.file.read_bytes())
        content[4096:] = bytes(0xA5 for _ in content[4096:])
        self.file.write_bytes(content)
        assert "is damaged" in self.refusal(project.queues("list"))

    def test_cut_off(self, project):
        self.file.write_bytes(self.file.read_bytes()[:5000])
        assert "is damaged" in self.refusal(project.queues("list"))

    @pytest.mark.parametrize("command", [["list"], ["describe", "jobs"], ["create", "more"]])
    def test_newer_format(self, project, command):
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("PRAGMA user_version = 999")
            before = list(connection.iterdump())
        done = project.queues(*command)
        assert done.code == 1
        assert "was written by a newer wpy (format 999," in done.err
        assert done.err.count("✘ [ERROR]") == 1
        with closing(sqlite3.connect(self.file)) as connection:
            assert list(connection.iterdump()) == before
            assert connection.execute("PRAGMA user_version").fetchone() == (999,)

    @pytest.mark.skipif(VERSION == 1, reason="there is no older format yet")
    @pytest.mark.parametrize("command", [["list"], ["describe", "jobs"], ["create", "more"]])
    def test_older_format_is_brought_up_to_date(self, project, command):
        self.file.unlink()
        with closing(sqlite3.connect(self.file)) as connection:
            connection.executescript(MIGRATIONS[0])
            values = "INSERT INTO queue (name, uuid, created_ms, modified_ms) VALUES ('jobs', 'abc', 1, 1)"
            connection.execute(values)
            connection.execute("PRAGMA user_version = 1")
            connection.commit()
        assert project.queues(*command).code == 0
        assert "jobs" in self.names(project.queues("list", "--json"))

    def test_file_that_another_process_is_about_to_fill(self, project):
        self.file.write_bytes(b"")
        assert project.queues("list", "--json").json == []
        assert self.file.read_bytes() == b""

    @pytest.mark.parametrize("command", [["list"], ["describe", "jobs"], ["create", "more"]])
    def test_a_file_in_place_of_the_folder(self, project, command):
        shutil.rmtree(project.state)
        project.state.write_text("")
        done = project.queues(*command)
        assert done.code == 1
        assert done.err.count("✘ [ERROR]") == 1
        assert "--persist-to FOLDER" in done.err

    def test_a_folder_in_place_of_the_file(self, project):
        self.file.unlink()
        self.file.mkdir()
        message = self.refusal(project.queues("list"))
        assert f"{self.file} cannot be read: Is a directory" in message
