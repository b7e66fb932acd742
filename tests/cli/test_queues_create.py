"""`wpy queues create`."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from wrangler_py.config.load import load_session
from wrangler_py.queues import tables

#: What wrangler 4.86 prints, with a TOML config.
PRINTED_WITH_TOML = """\
🌀 Creating queue '7email-jobs'
✅ Created queue '7email-jobs'

Configure your Worker to send messages to this queue:

[[queues.producers]]
queue = "7email-jobs"
binding = "_7email_jobs"

Configure your Worker to consume messages from this queue:

[[queues.consumers]]
queue = "7email-jobs"
"""
#: And with a JSON one, or without any; wrangler leaves out the empty line between the two.
PRINTED_WITH_JSON = """\
🌀 Creating queue '7email-jobs'
✅ Created queue '7email-jobs'

Configure your Worker to send messages to this queue:

{
  "queues": {
    "producers": [
      {
        "queue": "7email-jobs",
        "binding": "_7email_jobs"
      }
    ]
  }
}

Configure your Worker to consume messages from this queue:

{
  "queues": {
    "consumers": [
      {
        "queue": "7email-jobs"
      }
    ]
  }
}
"""


def snippets(out: str) -> tuple[str, str]:
    """The two pieces to paste."""
    _, producer, consumer = out.split("this queue:\n\n")
    return producer.split("\n\nConfigure")[0], consumer


def made(project, name: str) -> tables.QueueRecord:
    with project.store() as store:
        record = tables.find_queue(store, name)
    assert record is not None
    return record


class TestPrinted:
    def test_toml(self, project):
        project.toml()
        done = project.queues("create", "7email-jobs")
        assert (done.code, done.out, done.err) == (0, PRINTED_WITH_TOML, "")

    @pytest.mark.parametrize("name", ["wrangler.json", "wrangler.jsonc"])
    def test_json(self, project, name):
        project.json(name=name)
        done = project.queues("create", "7email-jobs")
        assert (done.code, done.out, done.err) == (0, PRINTED_WITH_JSON, "")

    def test_without_a_config_it_is_json_like_wranglers(self, project):
        done = project.queues("create", "7email-jobs")
        assert (done.code, done.out) == (0, PRINTED_WITH_JSON)
        assert str(project.state) in done.err

    def test_the_config_given_with_c_decides_the_syntax(self, project):
        project.json()
        project.toml(name="other/app.toml")
        (project.root / "src").rename(project.root / "other" / "src")
        done = project.queues("create", "7email-jobs", "-c", "other/app.toml")
        assert (done.out, done.err) == (PRINTED_WITH_TOML, "")
        assert "other/.wpy/state/wpy.sqlite" in project.files()

    def test_a_broken_config_still_decides_the_syntax(self, project):
        project.toml("[[queues.producers]]\nqueue = 3\n")
        done = project.queues("create", "7email-jobs")
        assert (done.code, done.out) == (0, PRINTED_WITH_TOML)

    @pytest.mark.parametrize(
        ("name", "binding"),
        [("jobs", "jobs"), ("a-b--c", "a_b_c"), ("1", "_1"), ("0-0", "_0_0"), ("x" * 63, "x" * 63)],
    )
    def test_the_binding_is_wranglers(self, project, name, binding):
        project.json()
        producer, _ = snippets(project.queues("create", name).out)
        assert json.loads(producer)["queues"]["producers"] == [{"queue": name, "binding": binding}]


class TestPasted:
    """The snippets do what they are for."""

    def loaded(self, project, **options):
        (worker,) = load_session((), cwd=project.root, environ={}, **options).workers
        return [(p.binding, p.queue) for p in worker.producers], [c.queue for c in worker.consumers]

    def test_toml_for_two_queues(self, project):
        config = project.toml()
        for name in ("email-jobs", "2nd"):
            pieces = snippets(project.queues("create", name).out)
            config.write_text(config.read_text() + "\n" + "\n".join(pieces))
        assert self.loaded(project) == ([("email_jobs", "email-jobs"), ("_2nd", "2nd")], ["email-jobs", "2nd"])

    def test_jsonc(self, project):
        project.json()
        producer, consumer = snippets(project.queues("create", "email-jobs").out)
        inner = producer[producer.index('"producers"') : producer.rindex("]") + 1]
        also = consumer[consumer.index('"consumers"') : consumer.rindex("]") + 1]
        head = json.dumps(json.loads((project.root / "wrangler.jsonc").read_text()))[:-1]
        project.write("wrangler.jsonc", f'{head}, // pasted\n"queues": {{ {inner}, {also}, }}, }}')
        assert self.loaded(project) == ([("email_jobs", "email-jobs")], ["email-jobs"])

    def test_an_environment_gets_its_own_section_as_it_inherits_none(self, project):
        config = project.toml("[env.staging]\n")
        pieces = snippets(project.queues("create", "jobs", "--env", "staging").out)
        config.write_text(config.read_text() + "\n".join(pieces))
        assert self.loaded(project, env="staging") == ([("jobs", "jobs")], ["jobs"])
        assert self.loaded(project) == ([], [])

    def test_an_environment_with_an_odd_name(self, project):
        config = project.toml('[env."eu west"]\n')
        pieces = snippets(project.queues("create", "jobs", env={"CLOUDFLARE_ENV": "eu west"}).out)
        config.write_text(config.read_text() + "\n".join(pieces))
        assert self.loaded(project, env="eu west") == ([("jobs", "jobs")], ["jobs"])

    def test_an_environment_in_json(self, project):
        project.json({"env": {"staging": {}}})
        producer, consumer = snippets(project.queues("create", "jobs", "-e", "staging").out)
        merged = json.loads(producer)
        merged["env"]["staging"]["queues"] |= json.loads(consumer)["env"]["staging"]["queues"]
        project.json(merged)
        assert self.loaded(project, env="staging") == ([("jobs", "jobs")], ["jobs"])


class TestSettings:
    def test_defaults_are_productions(self, project):
        project.queues("create", "jobs")
        record = made(project, "jobs")
        assert (record.delivery_delay, record.message_retention_period, record.delivery_paused) == (0, 345_600, 0)

    @pytest.mark.parametrize("delay", [0, 1, 86_400])
    def test_delay(self, project, delay):
        assert project.queues("create", "jobs", "--delivery-delay-secs", str(delay)).code == 0
        assert made(project, "jobs").delivery_delay == delay

    @pytest.mark.parametrize("period", [60, 1_209_600])
    def test_retention(self, project, period):
        assert project.queues("create", "jobs", "--message-retention-period-secs", str(period)).code == 0
        assert made(project, "jobs").message_retention_period == period

    @pytest.mark.parametrize(
        ("option", "value", "text"),
        [
            ("--delivery-delay-secs", "-1", "Must be between 0 and 86400"),
            ("--delivery-delay-secs", "86401", "Must be between 0 and 86400"),
            ("--message-retention-period-secs", "59", "Must be between 60 and 1209600"),
            ("--message-retention-period-secs", "1209601", "Must be between 60 and 1209600"),
        ],
    )
    def test_out_of_range_is_refused_with_wranglers_text(self, project, option, value, text):
        done = project.queues("create", "jobs", option, value)
        assert (done.code, done.out) == (1, "")
        assert done.err == f"✘ [ERROR] Invalid {option} value: {value}. {text}\n"
        assert project.files() == []


class TestNames:
    @pytest.mark.parametrize("name", ["a", "0", "a-b", "a" * 63, "9-9"])
    def test_allowed(self, project, name):
        assert project.queues("create", name).code == 0
        assert made(project, name).name == name

    @pytest.mark.parametrize(
        "name", ["", "Bad Name!!", "A", "-a", "a-", "a_b", "a.b", "a" * 64, "é", "a\n", "../a", "a;DROP TABLE queue"]
    )
    def test_refused(self, project, name):
        done = project.queues("create", "--", name)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith(f"✘ [ERROR] Queue name '{name}' is invalid: ".replace("\n", "\\n"))
        assert "[code: 11003]" in done.err
        assert project.files() == []

    def test_taken(self, project):
        project.queues("create", "jobs", "--delivery-delay-secs", "5")
        before = made(project, "jobs")
        done = project.queues("create", "jobs", "--delivery-delay-secs", "9")
        assert done.code == 1
        text = "Queue name 'jobs' is already taken. Please use a different name and try again. [code: 11009]"
        assert f"✘ [ERROR] {text}\n" in done.err
        assert "✅" not in done.out
        assert made(project, "jobs") == before

    def test_one_that_only_the_config_names_can_be_created_with_settings(self, project):
        project.toml('[[queues.producers]]\nbinding = "JOBS"\nqueue = "jobs"\n')
        assert project.queues("create", "jobs", "--delivery-delay-secs", "7").code == 0
        assert made(project, "jobs").delivery_delay == 7

    def test_of_many_at_once_one_creates_it(self, project):
        with ThreadPoolExecutor(4) as pool:
            codes = sorted(pool.map(lambda _: project.queues("create", "jobs").code, range(4)))
        assert codes == [0, 1, 1, 1]
        assert project.queues("list", "--json").json[0]["queue_name"] == "jobs"


class TestJson:
    def test_prints_the_object_alone(self, project):
        project.toml()
        done = project.queues("create", "jobs", "--delivery-delay-secs", "5", "--json")
        assert done.json == project.queues("describe", "jobs", "--json").json
        assert done.json["queue_id"] == made(project, "jobs").uuid
        assert done.json["settings"]["delivery_delay"] == 5
        assert done.err == ""

    def test_a_refusal_prints_no_json(self, project):
        project.queues("create", "jobs")
        done = project.queues("create", "jobs", "--json")
        assert (done.code, done.out) == (1, "")
        assert "[code: 11009]" in done.err


#: Takes the database's only write lock and keeps it until its input ends.
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


class TestState:
    def test_the_folder_ignores_itself_in_git(self, project):
        project.queues("create", "jobs")
        assert project.files() == [".wpy/.gitignore", ".wpy/state/wpy.sqlite"]
        assert (project.root / ".wpy" / ".gitignore").read_text() == "*\n"

    def test_persist_to_is_relative_to_the_current_folder(self, project):
        project.toml()
        sub = project.root / "sub"
        sub.mkdir()
        assert project.queues("create", "jobs", "--persist-to", "kept", cwd=sub).code == 0
        assert "sub/kept/wpy.sqlite" in project.files()
        listed = project.queues("list", "--json", "--persist-to", str(sub / "kept"))
        assert [queue["queue_name"] for queue in listed.json] == ["jobs"]

    def test_state_stands_beside_the_config_wherever_the_command_runs(self, project):
        project.toml()
        assert project.queues("create", "jobs", cwd=project.root / "src").code == 0
        assert ".wpy/state/wpy.sqlite" in project.files()

    def test_a_missing_config_given_with_c_is_an_error(self, project):
        done = project.queues("create", "jobs", "-c", "nowhere.toml")
        assert (done.code, done.out) == (1, "")
        assert done.err == "✘ [ERROR] The config file nowhere.toml does not exist.\n"
        assert project.files() == []

    def test_while_another_process_writes_it_waits_its_turn_or_says_who_to_close(self, project):
        with project.store():
            pass
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(project.state / "wpy.sqlite")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdin is not None and holder.stdout is not None
        with holder:
            assert holder.stdout.readline() == "held\n"
            started = time.monotonic()
            done = project.queues("create", "jobs")
            assert done.code == 1
            assert "is locked by another program" in done.err
            assert "✅" not in done.out
            assert time.monotonic() - started > 4
            # Looking needs no lock.
            assert project.queues("list").code == 0
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(project.queues, "create", "jobs")
                time.sleep(1)  # it is waiting for the lock by now
                holder.stdin.close()
                assert waiting.result().code == 0
        assert made(project, "jobs").name == "jobs"

    def test_a_folder_that_cannot_be_written(self, project, modes_count):
        project.toml()
        project.root.chmod(0o555)
        try:
            done = project.queues("create", "jobs", before=modes_count)
        finally:
            project.root.chmod(0o755)
        assert done.code == 1
        assert f"The state folder {project.state} cannot be created: Permission denied" in done.err
        assert "--persist-to" in done.err

    def test_a_state_that_cannot_be_written(self, project, modes_count):
        project.queues("create", "jobs")
        project.state.chmod(0o555)
        try:
            done = project.queues("create", "more", before=modes_count)
        finally:
            project.state.chmod(0o755)
        assert done.code == 1
        assert done.err.count("✘ [ERROR]") == 1
        assert "cannot be written" in done.err
        assert [queue["queue_name"] for queue in project.queues("list", "--json").json] == ["jobs"]
