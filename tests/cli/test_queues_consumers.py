"""`wpy queues consumer ...`, with wrangler's options and texts."""

import re

import pytest

CONFIG = """
[[queues.consumers]]
queue = "jobs"
max_retries = 7
"""
WORKER_HEADER = [
    *("consumer_id", "script", "dead_letter_queue", "batch_size", "max_retries", "max_wait_time_ms"),
    *("max_concurrency", "retry_delay"),
]
PULL_HEADER = ["consumer_id", "dead_letter_queue", "batch_size", "max_retries", "visibility_timeout_ms", "retry_delay"]


def consumers(project, name: str) -> list[dict]:
    return project.queues("consumer", "list", name, "--json").json


class TestWorker:
    @pytest.mark.parametrize("group", [("consumer",), ("consumer", "worker")], ids=" ".join)
    def test_add_and_remove(self, project, group):
        project.queues("create", "q1")
        added = project.queues(*group, "add", "q1", "my-worker")
        assert (added.code, added.lines) == (0, ["Adding consumer to queue q1.", "Added consumer to queue q1."])
        assert "gets nothing from queue 'q1' yet" in added.err
        (consumer,) = consumers(project, "q1")
        assert (consumer["type"], consumer["script"], consumer["dead_letter_queue"]) == ("worker", "my-worker", "")
        assert consumer["settings"] == {
            "batch_size": 10,
            "max_retries": 3,
            "max_wait_time_ms": 5000,
            "max_concurrency": None,
            "retry_delay": 0,
        }
        again = project.queues(*group, "add", "q1", "my-worker")
        assert again.code == 1
        assert "Queue 'q1' already has a consumer. [code: 11004]" in again.err
        other = project.queues(*group, "remove", "q1", "other")
        assert (other.code, other.lines) == (1, ["Removing consumer from queue q1."])
        assert "No worker consumer 'other' exists for queue q1" in other.err
        removed = project.queues(*group, "remove", "q1", "my-worker")
        assert (removed.code, removed.lines) == (
            0,
            ["Removing consumer from queue q1.", "Removed consumer from queue q1."],
        )
        assert consumers(project, "q1") == []

    def test_every_option(self, project):
        """7.5, the line with all of them; 0 is a value."""
        project.queues("create", "q1")
        done = project.queues(
            *("consumer", "worker", "add", "q1", "my-worker", "--batch-size", "25", "--batch-timeout", "0"),
            *("--message-retries", "0", "--dead-letter-queue", "dlq", "--max-concurrency", "4"),
            *("--retry-delay-secs", "0", "--json"),
        )
        assert done.json == consumers(project, "q1")[0]
        assert done.json["settings"] == {
            "batch_size": 25,
            "max_retries": 0,
            "max_wait_time_ms": 0,
            "max_concurrency": 4,
            "retry_delay": 0,
        }
        assert done.json["dead_letter_queue"] == "dlq"
        assert [queue["queue_name"] for queue in project.queues("list", "--json").json] == ["dlq", "q1"]

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--batch-size", "0"),
            ("--batch-size", "101"),
            ("--batch-timeout", "61"),
            ("--batch-timeout", "nan"),
            ("--message-retries", "101"),
            ("--max-concurrency", "251"),
            ("--retry-delay-secs", "86401"),
            ("--dead-letter-queue", "q1"),
        ],
    )
    def test_invalid_settings(self, project, option, value):
        project.queues("create", "q1")
        done = project.queues("consumer", "add", "q1", "my-worker", option, value)
        assert done.code == 1
        assert "[code: 100127]" in done.err
        assert consumers(project, "q1") == []


class TestPull:
    def test_add_and_remove(self, project):
        project.queues("create", "q1")
        assert project.queues("consumer", "http", "add", "q1").lines == [
            "Adding consumer to queue q1.",
            "Added consumer to queue q1.",
        ]
        (consumer,) = consumers(project, "q1")
        assert consumer["type"] == "http_pull"
        assert "script" not in consumer
        assert consumer["settings"] == {
            "batch_size": 5,
            "max_retries": 3,
            "visibility_timeout_ms": 30_000,
            "retry_delay": 0,
        }
        shown = project.queues("describe", "q1").out
        assert "Consumers: http_pull\n" in shown
        assert "Pull messages using: wpy queues pull q1" in shown
        queue_id = project.queues("describe", "q1", "--json").json["queue_id"]
        assert f'curl "http://localhost:8787/client/v4/accounts/local/queues/{queue_id}/messages/pull"' in shown
        assert project.queues("consumer", "http", "remove", "q1").code == 0
        nothing = project.queues("consumer", "http", "remove", "q1")
        assert nothing.code == 1
        assert "No http_pull consumer exists for queue q1" in nothing.err

    def test_every_option(self, project):
        project.queues("create", "q1")
        done = project.queues(
            *("consumer", "http", "add", "q1", "--batch-size", "7", "--message-retries", "2"),
            *("--dead-letter-queue", "dlq", "--visibility-timeout-secs", "12", "--retry-delay-secs", "3", "--json"),
        )
        assert done.json["settings"] == {
            "batch_size": 7,
            "max_retries": 2,
            "visibility_timeout_ms": 12_000,
            "retry_delay": 3,
        }
        assert done.json["dead_letter_queue"] == "dlq"

    def test_a_visibility_timeout_of_0_is_left_out_as_by_wrangler(self, project):
        project.queues("create", "q1")
        done = project.queues("consumer", "http", "add", "q1", "--visibility-timeout-secs", "0", "--json")
        assert done.json["settings"]["visibility_timeout_ms"] == 30_000
        assert "0 is left out" in done.err

    def test_beside_a_worker_it_is_refused(self, project):
        project.queues("create", "q1")
        project.queues("consumer", "add", "q1", "my-worker")
        assert "[code: 11004]" in project.queues("consumer", "http", "add", "q1").err
        done = project.queues("consumer", "http", "remove", "q1")
        assert "No http_pull consumer exists for queue q1" in done.err


class TestList:
    def test_tables(self, project):
        project.queues("create", "q1")
        project.queues("create", "q2")
        project.queues("consumer", "add", "q1", "my-worker", "--dead-letter-queue", "q2")
        project.queues("consumer", "http", "add", "q2")
        heading, header, row = project.queues("consumer", "list", "q1").lines
        assert heading == "Worker consumers:"
        assert header.split() == WORKER_HEADER
        consumer_id, *cells = row.split()
        assert re.fullmatch(r"[0-9a-f]{32}", consumer_id)
        assert cells == ["my-worker", "q2", "10", "3", "5000", "-", "0"]
        heading, header, row = project.queues("consumer", "list", "q2").lines
        assert heading == "HTTP pull consumers:"
        assert header.split() == PULL_HEADER
        assert row.split()[1:] == ["-", "5", "3", "30000", "0"]
        assert project.queues("consumer", "http", "list", "q2").lines[0].split() == PULL_HEADER
        assert project.queues("consumer", "worker", "list", "q1").lines[0].split() == WORKER_HEADER

    @pytest.mark.parametrize(
        ("group", "text"),
        [
            (("consumer",), 'No consumers found for queue "q1".'),
            (("consumer", "worker"), 'No worker consumers found for queue "q1".'),
            (("consumer", "http"), 'No HTTP pull consumers found for queue "q1".'),
        ],
    )
    def test_none(self, project, group, text):
        project.queues("create", "q1")
        done = project.queues(*group, "list", "q1")
        assert (done.code, done.lines) == (0, [text])
        assert project.queues(*group, "list", "q1", "--json").json == []


class TestBesideTheConfig:
    def test_its_consumers_are_listed(self, project):
        project.toml(CONFIG)
        (consumer,) = consumers(project, "jobs")
        assert (consumer["script"], consumer["consumer_id"], consumer["settings"]["max_retries"]) == ("app", None, 7)
        done = project.queues("consumer", "list", "jobs")
        assert done.lines[2].split()[:2] == ["-", "app"]
        assert "stands in the config only" in done.err
        assert project.queues("consumer", "http", "list", "jobs", "--json").json == []

    def test_they_are_changed_in_the_config(self, project):
        project.toml(CONFIG)
        text = "The config has Worker 'app' in queues.consumers: change it there."
        for arguments in (("add", "jobs", "other"), ("http", "add", "jobs"), ("remove", "jobs", "app")):
            done = project.queues("consumer", *arguments)
            assert done.code == 1
            assert text in done.err
        assert [consumer["script"] for consumer in consumers(project, "jobs")] == ["app"]
