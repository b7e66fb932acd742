"""`wpy queues list` and `wpy queues describe` (`info`): what they show, and that they leave no trace."""

import json
import re
import subprocess
import sys

import pytest
import warm_wpy

from wrangler_py.clock import SystemClock
from wrangler_py.queues import tables
from wrangler_py.queues.tables import NewMessage

CONFIG = """
[[queues.producers]]
binding = "EMAILS"
queue = "emails"

[[queues.producers]]
binding = "MAIL"
queue = "emails"

[[queues.producers]]
binding = "AUDIT"
queue = "audit"

[[queues.consumers]]
queue = "emails"
max_batch_size = 7
max_batch_timeout = 1.5
max_retries = 4
retry_delay = 30
max_concurrency = 2
dead_letter_queue = "emails-dead"
"""

LIST_HEADER = ["id", "name", "created_on", "modified_on", "producers", "consumers", "backlog"]
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def now_ms() -> int:
    return SystemClock().now_ms()


def fill(project, name: str, *, ready=0, delayed=0, in_flight=0, sent_ms=None, body=b"{}") -> None:
    """Put messages into a queue, as a session would."""
    sent_ms = now_ms() - 1_000 if sent_ms is None else sent_ms

    def message(visible_ms: int) -> NewMessage:
        return NewMessage(bytes(16), "json", body, visible_ms)

    def write(connection) -> None:
        queue, _ = tables.ensure_queue(connection, name, sent_ms)
        if in_flight:
            tables.append(connection, queue.id, sent_ms, [message(sent_ms)] * in_flight)
            connection.execute("UPDATE message SET owner = 1, attempts = 1 WHERE queue_id = ?", (queue.id,))
        if ready or delayed:
            messages = [message(sent_ms)] * ready + [message(now_ms() + 3_600_000)] * delayed
            tables.append(connection, queue.id, sent_ms, messages)

    with project.store() as store:
        store.write(write)


def change(project, sql: str) -> None:
    with project.store() as store:
        store.write(lambda connection: connection.execute(sql))


class TestList:
    def test_of_nothing_says_what_to_do_next(self, project):
        project.toml()
        before = project.files()
        done = project.queues("list")
        assert (done.code, done.err) == (0, "")
        assert f"There are no queues yet in {project.state}." in done.out
        assert "wpy queues create NAME" in done.out
        assert project.queues("list", "--json").json == []
        assert project.files() == before

    def test_shows_queues_by_name(self, project):
        project.toml(CONFIG)
        for name in ("emails", "emails-dead", "audit"):
            project.queues("create", name)
        fill(project, "emails", ready=2, delayed=1, in_flight=1)
        done = project.queues("list")
        assert (done.code, done.err) == (0, "")
        header, *rows = [re.split(r"\s{2,}", line) for line in done.lines]
        assert header == LIST_HEADER
        assert [row[1] for row in rows] == ["audit", "emails", "emails-dead"]
        assert [row[4:] for row in rows] == [["1", "0", "0"], ["1", "1", "4"], ["0", "0", "0"]]
        for row in rows:
            assert re.fullmatch(r"[0-9a-f]{32}", row[0])
            assert re.fullmatch(TIMESTAMP, row[2])
            assert re.fullmatch(TIMESTAMP, row[3])

    def test_a_queue_that_only_the_config_names_counts(self, project):
        """Its dead letter queue too: `wpy dev` creates both."""
        project.toml(CONFIG)
        before = project.files()
        done = project.queues("list")
        rows = [line.split() for line in done.lines[1:]]
        assert [row[:4] for row in rows] == [["-", name, "-", "-"] for name in ("audit", "emails", "emails-dead")]
        assert "the next `wpy dev` creates it" in done.err
        assert project.files() == before

    def test_says_which_queues_are_paused(self, project):
        project.queues("create", "jobs")
        change(project, "UPDATE queue SET delivery_paused = 1")
        assert project.queues("list").lines[1].endswith("  0 (paused)")

    def test_a_pipe_gets_no_colours_and_all_columns(self, project):
        project.queues("create", "jobs")
        done = project.queues("list", env={"COLUMNS": "40"})
        assert done.lines[0].split() == LIST_HEADER
        assert "\x1b" not in done.out + done.err

    def test_an_environment(self, project):
        project.toml(CONFIG + '\n[[env.staging.queues.consumers]]\nqueue = "staged"\n')
        staged = project.queues("list", "--env", "staging", "--json").json
        assert [queue["queue_name"] for queue in staged] == ["staged"]
        assert staged[0]["consumers"][0]["script"] == "app-staging"

    def test_several_configs(self, project):
        project.toml(CONFIG)
        project.write("b/src/entry.py", "")
        project.write(
            "b/wrangler.toml", (project.root / "wrangler.toml").read_text().split("[[")[0].replace("app", "b")
        )
        (project.root / "b" / "wrangler.toml").open("a").write('[[queues.consumers]]\nqueue = "audit"\n')
        both = project.queues("list", "--json", "-c", "wrangler.toml", "-c", "b/wrangler.toml").json
        assert [(queue["queue_name"], [c["script"] for c in queue["consumers"]]) for queue in both] == [
            ("audit", ["b"]),
            ("emails", ["app"]),
            ("emails-dead", []),
        ]

    def test_a_name_that_a_terminal_would_obey_is_escaped(self, project):
        fill(project, "red\x1b[31m\nqueue")
        done = project.queues("list")
        assert len(done.lines) == 2
        assert r"red\x1b[31m\nqueue" in done.lines[1]
        described = project.queues("describe", "red\x1b[31m\nqueue")
        assert described.lines[0] == r"Queue Name: red\x1b[31m\nqueue"


class TestListOnATerminal:
    def show(self, project, columns: int, env=()) -> str:
        pty = pytest.importorskip("pty")
        import fcntl
        import os
        import struct
        import termios

        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = warm_wpy.Popen(
            [sys.executable, "-m", "wrangler_py", "queues", "list"],
            cwd=project.root,
            env=project.environment({"TERM": "xterm", **dict(env)}),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        shown = b""
        with process:
            try:
                while piece := os.read(ours, 4096):
                    shown += piece
            except OSError:  # Linux says so when the other side is closed
                pass
        os.close(ours)
        assert process.returncode == 0
        return shown.decode().replace("\r\n", "\n")

    def test_wide(self, project):
        project.queues("create", "jobs")
        shown = self.show(project, 200)
        assert shown.startswith("\x1b[2mid  ")
        assert re.search(TIMESTAMP, shown)

    def test_narrow_leaves_columns_out_and_says_so(self, project):
        project.queues("create", "jobs")
        plain = re.sub(r"\x1b\[\d*m", "", self.show(project, 70)).splitlines()
        assert plain[0].split() == ["id", "name", "producers", "consumers", "backlog"]
        assert len(plain[1]) <= 70
        assert plain[2] == "(The terminal is too narrow for: created_on, modified_on. --json has everything.)"

    def test_no_color(self, project):
        project.queues("create", "jobs")
        assert "\x1b" not in self.show(project, 200, {"NO_COLOR": "1"}.items())


class TestDescribe:
    def test_everything(self, project):
        project.toml(CONFIG)
        project.queues("create", "emails", "--delivery-delay-secs", "90", "--message-retention-period-secs", "86400")
        fill(project, "emails", ready=3, delayed=2, in_flight=1, sent_ms=now_ms() - 3_725_000, body=b"12345")
        done = project.queues("describe", "emails")
        assert (done.code, done.err) == (0, "")
        stamp = TIMESTAMP
        expected = [
            "Queue Name: emails",
            r"Queue ID: [0-9a-f]{32}",
            f"Created On: {stamp}",
            f"Last Modified: {stamp}",
            "Number of Producers: 1",
            "Producers: worker:app",
            r"  worker:app  env\.EMAILS, env\.MAIL  \(not running\)",
            "Number of Consumers: 1",
            "Consumers: worker:app",
            r"  worker:app  max_batch_size 7, max_batch_timeout 1\.5 s, max_retries 4, retry_delay 30 s, "
            r"max_concurrency 2, dead_letter_queue emails-dead  \(not running\)",
            "Delivery: not paused",
            r"Delivery Delay: 90 s \(1 min 30 s\)",
            r"Message Retention Period: 86400 s \(1 d\)",
            r"Backlog: 6 messages \(30 bytes\): 3 ready, 2 delayed, 1 in flight",
            f"Oldest Message: 1 h 2 min old, sent {stamp}",
        ]
        assert len(done.lines) == len(expected)
        for line, pattern in zip(done.lines, expected, strict=True):
            assert re.fullmatch(pattern, line), line

    def test_info_is_the_same(self, project):
        project.toml(CONFIG)
        project.queues("create", "emails")
        assert project.queues("info", "emails") == project.queues("describe", "emails")
        assert project.queues("info", "emails", "--json") == project.queues("describe", "emails", "--json")

    def test_json(self, project):
        project.toml(CONFIG)
        project.queues("create", "emails", "--delivery-delay-secs", "90")
        sent_ms = now_ms() - 5_000
        fill(project, "emails", ready=3, delayed=2, in_flight=1, sent_ms=sent_ms, body=b"12345")
        queue = project.queues("describe", "emails", "--json").json
        assert re.fullmatch(r"[0-9a-f]{32}", queue.pop("queue_id"))
        assert re.fullmatch(TIMESTAMP, queue["created_on"])
        assert queue.pop("modified_on") == queue.pop("created_on")
        assert queue == {
            "queue_name": "emails",
            "producers_total_count": 1,
            "producers": [{"type": "worker", "script": "app", "bindings": ["EMAILS", "MAIL"], "sessions": []}],
            "consumers_total_count": 1,
            "consumers": [
                {
                    "consumer_id": None,
                    "created_on": None,
                    "type": "worker",
                    "script": "app",
                    "script_name": "app",
                    "queue_name": "emails",
                    "dead_letter_queue": "emails-dead",
                    "settings": {
                        "batch_size": 7,
                        "max_retries": 4,
                        "max_wait_time_ms": 1500,
                        "max_concurrency": 2,
                        "retry_delay": 30,
                    },
                    "sessions": [],
                }
            ],
            "settings": {"delivery_delay": 90, "delivery_paused": False, "message_retention_period": 345_600},
            "backlog": {
                "backlog_count": 6,
                "backlog_bytes": 30,
                "oldest_message_timestamp_ms": sent_ms,
                "ready": 3,
                "delayed": 2,
                "in_flight": 1,
            },
            "dead_letter_queue_of": [],
            "advice": [],
        }
        assert project.queues("list", "--json").json[1] == project.queues("describe", "emails", "--json").json

    def test_one_that_only_the_config_names(self, project):
        project.toml(CONFIG)
        before = project.files()
        done = project.queues("describe", "emails-dead")
        assert done.code == 0
        assert "Queue ID: none yet (the queue stands in the config only; the next `wpy dev` creates it)" in done.lines
        assert "Dead Letter Queue Of: emails" in done.lines
        assert "Backlog: 0 messages (0 bytes): 0 ready, 0 delayed, 0 in flight" in done.lines
        queue = project.queues("describe", "emails-dead", "--json").json
        assert [queue[key] for key in ("queue_id", "created_on", "modified_on")] == [None] * 3
        assert queue["settings"] == {
            "delivery_delay": 0,
            "delivery_paused": False,
            "message_retention_period": 345_600,
        }
        assert queue["dead_letter_queue_of"] == ["emails"]
        assert project.files() == before

    def test_paused(self, project):
        project.queues("create", "jobs")
        change(project, "UPDATE queue SET delivery_paused = 1")
        assert "Delivery: paused" in project.queues("describe", "jobs").lines
        assert project.queues("describe", "jobs", "--json").json["settings"]["delivery_paused"] is True

    def test_a_message_past_its_retention_is_said_to_be(self, project):
        fill(project, "jobs", ready=1, sent_ms=now_ms() - 345_601_000)
        done = project.queues("describe", "jobs")
        assert re.search(r"^Oldest Message: 4 d old, .* \(past its retention: .*\)$", done.out, re.M)


class TestNoSuchQueue:
    def test_names_the_nearest_and_all_there_are(self, project):
        project.toml(CONFIG)
        project.queues("create", "jobs")
        done = project.queues("describe", "emials")
        assert (done.code, done.out) == (1, "")
        assert done.err == (
            '✘ [ERROR] Queue "emials" does not exist. To create it, run: wpy queues create emials\n'
            '  Did you mean "emails"?\n'
            "  Existing queues: audit, emails, emails-dead, jobs\n"
        )

    @pytest.mark.parametrize("command", ["describe", "info"])
    def test_where_there_is_none(self, project, command):
        project.toml()
        before = project.files()
        done = project.queues(command, "jobs")
        assert done.code == 1
        assert f"  There are no queues yet in {project.state}.\n" in done.err
        assert project.files() == before

    def test_one_that_could_not_be_created_is_not_offered(self, project):
        project.toml()
        done = project.queues("describe", "My Queue")
        assert done.err.startswith('✘ [ERROR] Queue "My Queue" does not exist.\n')

    def test_of_very_many_some_are_named(self, project):
        with project.store() as store:
            store.write(lambda c: [tables.ensure_queue(c, f"q{i:03}", 1) for i in range(250)])
        done = project.queues("describe", "zzz")
        assert "q000, q001" in done.err
        assert done.err.endswith("q019 and 230 more\n")

    def test_json_prints_no_json(self, project):
        done = project.queues("describe", "jobs", "--json")
        assert (done.code, done.out) == (1, "")


class TestConfigs:
    def test_without_one_the_current_folder_counts(self, project):
        project.queues("create", "jobs")
        done = project.queues("list", "--json")
        assert [queue["queue_name"] for queue in done.json] == ["jobs"]
        assert done.err.startswith("▲ [WARNING] No config found in ")
        assert done.err.count("\n") == 1

    def test_with_persist_to_none_is_missed(self, project):
        done = project.queues("list", "--persist-to", "elsewhere")
        assert (done.code, done.err) == (0, "")
        assert project.files() == []

    def test_a_broken_one_is_told_and_the_state_shown(self, project):
        project.toml(CONFIG)
        project.queues("create", "emails")
        project.toml("[[queues.producers]]\nbinding = 'A'\nqueue = 22\n[[queues.consumers]]\nqueue = 3\n")
        for cwd in (project.root, project.root / "src"):
            done = project.queues("list", "--json", cwd=cwd)
            assert [queue["queue_name"] for queue in done.json] == ["emails"]
            assert done.json[0]["producers"] == []
            assert "▲ [WARNING] The config cannot be used" in done.err
            assert re.search(r"wrangler\.toml:\d+: .*queues\.producers\[0\]", done.err)
            assert "(and 1 more; `wpy dev` shows them all)" in done.err

    def test_half_written(self, project):
        project.queues("create", "jobs")
        project.write("wrangler.jsonc", '{"name": "app", ')
        done = project.queues("describe", "jobs")
        assert done.code == 0
        assert "The config cannot be used" in done.err

    def test_an_environment_that_does_not_exist_is_told(self, project):
        project.toml(CONFIG + "\n[env.staging]\n")
        done = project.queues("list", "--env", "stagin")
        assert done.code == 0
        assert 'No environment found in configuration with name "stagin".' in done.err

    def test_json_is_not_disturbed_by_warnings(self, project):
        project.toml("unknown = 1\n" + CONFIG)
        done = project.queues("list", "--json")
        assert len(json.loads(done.out)) == 3
