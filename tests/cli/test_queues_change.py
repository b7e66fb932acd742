"""`wpy queues update`, `delete`, `pause-delivery`, `resume-delivery` and `purge` without a session."""

import sys

import pytest
import warm_wpy

CONFIG = """
[[queues.producers]]
binding = "EMAILS"
queue = "emails"

[[queues.consumers]]
queue = "emails"
dead_letter_queue = "emails-dead"
"""


def settings(project, name: str) -> dict:
    return project.queues("describe", name, "--json").json["settings"]


class TestUpdate:
    def test_changes_what_is_given_and_keeps_the_rest(self, project):
        """7.5: both settings are sent, the one that is not given as it is."""
        project.queues("create", "q1", "--message-retention-period-secs", "3600")
        before = project.queues("describe", "q1", "--json").json
        done = project.queues("update", "q1", "--delivery-delay-secs", "5")
        assert (done.code, done.lines) == (0, ["Updating queue q1.", "Updated queue q1."])
        after = project.queues("describe", "q1", "--json").json
        assert after["settings"] == {
            "delivery_delay": 5,
            "delivery_paused": False,
            "message_retention_period": 3600,
        }
        assert after["modified_on"] > before["modified_on"]
        assert (after["queue_id"], after["created_on"]) == (before["queue_id"], before["created_on"])
        project.queues("update", "q1", "--message-retention-period-secs", "1209600", "--delivery-delay-secs", "0")
        assert settings(project, "q1") == {
            "delivery_delay": 0,
            "delivery_paused": False,
            "message_retention_period": 1_209_600,
        }

    def test_a_retention_that_is_shortened_counts_for_what_is_there(self, project):
        project.queues("create", "q1")
        project.queues("send", "q1", "1")
        with project.store() as store:
            store.write(lambda c: c.execute("UPDATE message SET entered_ms = entered_ms - 120000"))
        assert project.peek("q1")[0]["expired"] is False
        project.queues("update", "q1", "--message-retention-period-secs", "60")
        assert project.peek("q1")[0]["expired"] is True

    def test_json_is_the_queue(self, project):
        project.queues("create", "q1")
        updated = project.queues("update", "q1", "--delivery-delay-secs", "7", "--json").json
        assert updated == project.queues("describe", "q1", "--json").json
        assert updated["settings"]["delivery_delay"] == 7

    @pytest.mark.parametrize(
        ("option", "value", "text"),
        [
            ("--delivery-delay-secs", "-1", "Must be between 0 and 86400"),
            ("--delivery-delay-secs", "86401", "Must be between 0 and 86400"),
            ("--message-retention-period-secs", "59", "Must be between 60 and 1209600"),
            ("--message-retention-period-secs", "1209601", "Must be between 60 and 1209600"),
        ],
    )
    def test_out_of_range(self, project, option, value, text):
        project.queues("create", "q1")
        before = settings(project, "q1")
        done = project.queues("update", "q1", option, value)
        assert (done.code, done.out) == (1, "")
        assert f"Invalid {option} value: {value}. {text}" in done.err
        assert settings(project, "q1") == before

    def test_a_queue_of_the_config_is_created_for_it(self, project):
        project.toml(CONFIG)
        assert project.queues("update", "emails-dead", "--delivery-delay-secs", "9").code == 0
        assert settings(project, "emails-dead")["delivery_delay"] == 9


class TestPause:
    def test_pause_and_resume(self, project):
        project.queues("create", "q1", "--delivery-delay-secs", "3")
        paused = project.queues("pause-delivery", "q1")
        assert (paused.code, paused.lines) == (
            0,
            ["Pausing message delivery for queue q1.", "Paused message delivery for queue q1."],
        )
        assert settings(project, "q1") == {
            "delivery_delay": 3,
            "delivery_paused": True,
            "message_retention_period": 345_600,
        }
        sent = project.queues("send", "q1", "1")
        assert sent.code == 0
        assert "wpy queues resume-delivery q1" in sent.err
        resumed = project.queues("resume-delivery", "q1", "--json").json
        assert resumed["settings"]["delivery_paused"] is False
        assert project.queues("resume-delivery", "q1").lines == [
            "Resuming message delivery for queue q1.",
            "Resumed message delivery for queue q1.",
        ]


class TestDelete:
    def test_with_its_messages_and_consumers(self, project):
        project.queues("create", "q1")
        project.queues("consumer", "http", "add", "q1")
        project.queues("send", "q1", "1", "--count", "3")
        done = project.queues("delete", "q1")
        assert (done.code, done.lines) == (0, ["Deleting queue q1.", "Deleted queue q1."])
        assert "3 messages went with it" in done.err
        project.queues("create", "q1")
        assert project.peek("q1") == []
        assert project.queues("consumer", "list", "q1", "--json").json == []

    def test_json(self, project):
        queue_id = project.queues("create", "q1", "--json").json["queue_id"]
        gone = project.queues("delete", "q1", "--json").json
        assert gone == {"queue_name": "q1", "queue_id": queue_id, "messages_deleted": 0}
        assert project.queues("list", "--json").json == []

    def test_one_that_takes_dead_letters_of_a_consumer_is_refused(self, project):
        project.queues("create", "q1")
        project.queues("consumer", "http", "add", "q1", "--dead-letter-queue", "dead")
        done = project.queues("delete", "dead")
        assert done.code == 1
        assert "Cannot delete queue 'dead' that serves as dead letter queue for consumers [code: 11005]" in done.err
        assert [queue["queue_name"] for queue in project.queues("list", "--json").json] == ["dead", "q1"]

    def test_one_of_the_config_comes_back(self, project):
        project.toml(CONFIG)
        nothing = project.queues("delete", "emails")
        assert nothing.code == 1
        assert "stands in the config only; there is nothing to delete" in nothing.err
        project.queues("send", "emails", "1")
        done = project.queues("delete", "emails")
        assert done.code == 0
        assert "the next `wpy dev` creates it again" in done.err


class TestPurge:
    def test_force(self, project):
        project.queues("create", "q1")
        project.queues("send", "q1", "1")
        project.queues("send", "q1", "1", "--delay", "600", "--count", "2")
        done = project.queues("purge", "q1", "--force")
        assert (done.code, done.lines) == (0, ["Purged Queue 'q1'"])
        assert "3 messages deleted" in done.err
        assert project.peek("q1") == []
        backlog = project.queues("describe", "q1", "--json").json["backlog"]
        assert (backlog["backlog_count"], backlog["backlog_bytes"]) == (0, 0)

    def test_json(self, project):
        project.queues("create", "q1")
        project.queues("send", "q1", "1", "--count", "2")
        assert project.queues("purge", "q1", "--force", "--json").json == {"queue_name": "q1", "messages_deleted": 2}

    def test_what_is_in_flight_stays(self, project):
        project.queues("create", "q1")
        project.queues("consumer", "http", "add", "q1")
        project.queues("send", "q1", "1", "--count", "2")
        project.queues("pull", "q1", "-n", "1")
        assert project.queues("purge", "q1", "--force", "--json").json["messages_deleted"] == 1
        assert [message["state"] for message in project.peek("q1")] == ["in_flight"]

    def test_a_script_needs_force(self, project):
        project.queues("create", "q1")
        project.queues("send", "q1", "1")
        done = project.queues("purge", "q1", stdin="q1\n")
        assert (done.code, done.out) == (1, "")
        assert "The --force flag is required to purge a Queue in non-interactive mode" in done.err
        assert len(project.peek("q1")) == 1

    def test_asks_for_the_name(self, project):
        project.queues("create", "q1")
        project.queues("send", "q1", "1")
        code, shown = project.on_a_terminal("queues", "purge", "q1", typed="q2\n")
        assert code == 1
        assert "permanently delete all the messages in Queue q1. Type q1 to proceed." in shown
        assert "Incorrect queue name provided. Skipping purge operation" in shown
        assert len(project.peek("q1")) == 1
        code, shown = project.on_a_terminal("queues", "purge", "q1", typed="q1\n")
        assert code == 0
        assert "Purged Queue 'q1'" in shown
        assert project.peek("q1") == []

    def test_on_a_terminal_of_ci_nobody_is_asked(self, project):
        project.queues("create", "q1")
        code, shown = project.on_a_terminal("queues", "purge", "q1", env={"CI": "true"})
        assert code == 1
        assert "The --force flag is required" in shown


#: Every command that takes the name of a queue that exists, and what it needs besides.
NAMING = {
    "update": (),
    "delete": (),
    "pause-delivery": (),
    "resume-delivery": (),
    "purge": ("--force",),
    "send": ("1",),
    "peek": (),
    "retry": ("--all",),
    "discard": ("0" * 32,),
    "redrive": ("--all",),
    "history": (),
    "tail": (),
    "pull": (),
    "ack": ("00",),
    "describe": (),
}


class TestAQueueThatDoesNotExist:
    @pytest.mark.parametrize("command", NAMING)
    def test_names_the_nearest_and_creates_nothing(self, project, command):
        project.toml(CONFIG)
        before = project.files()
        done = project.queues(command, "email", *NAMING[command])
        assert (done.code, done.out) == (1, "")
        assert 'Queue "email" does not exist. To create it, run: wpy queues create email' in done.err
        assert 'Did you mean "emails"?' in done.err
        assert "Existing queues: emails, emails-dead" in done.err
        assert project.files() == before

    @pytest.mark.parametrize("group", [("consumer",), ("consumer", "worker"), ("consumer", "http")], ids=" ".join)
    @pytest.mark.parametrize("action", ["add", "remove", "list"])
    def test_of_a_consumer(self, project, group, action):
        script = () if action == "list" or group[-1] == "http" else ("app",)
        done = project.queues(*group, action, "email", *script)
        assert done.code == 1
        assert 'Queue "email" does not exist.' in done.err
        assert project.files() == []


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="arguments are Unicode there")
class TestANameThatIsNoText:
    def run(self, project, *arguments: str | bytes) -> tuple[int, str]:
        done = warm_wpy.run([*project.command("queues"), *arguments], cwd=project.root, capture_output=True)
        return done.returncode, done.stderr.decode()

    @pytest.mark.parametrize("command", NAMING)
    def test_of_a_queue(self, project, command):
        code, err = self.run(project, command, b"a\xff", *NAMING[command])
        assert code == 2
        assert "is not UTF-8" in err and "Traceback" not in err
        assert project.files() == []

    def test_in_other_places(self, project):
        project.queues("create", "q1")
        for arguments in (
            ("consumer", "add", "q1", b"\xff"),
            ("consumer", "http", "add", "q1", "--dead-letter-queue", b"\xff"),
            ("redrive", "q1", "--all", "--to", b"\xff"),
            ("tail", b"\xff"),
        ):
            code, err = self.run(project, *arguments)
            assert code == 2, arguments
            assert "is not UTF-8" in err
        assert self.run(project, "history", "--message", b"\xff")[0] == 1
        assert self.run(project, "create", b"\xff")[0] == 1

    def test_one_of_other_letters_is_a_name_like_any(self, project):
        """In a config names may be anything."""
        project.toml('[[queues.consumers]]\nqueue = "größe 🚀"\n')
        assert project.queues("send", "größe 🚀", "1").code == 0
        assert project.queues("pause-delivery", "größe 🚀").lines[0] == ("Pausing message delivery for queue größe 🚀.")
        assert project.bodies("größe 🚀") == [1]
