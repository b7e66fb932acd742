"""`wpy queues` while sessions run: what a command changes is in force at once, by the session's clock."""

import json
import os
import signal
import statistics
import time

import pytest
from dev_server import DevServer

CONFIG = """
[[queues.producers]]
binding = "JOBS"
queue = "jobs"

[[queues.consumers]]
queue = "jobs"
max_batch_size = 10
max_batch_timeout = 0
max_retries = 1
dead_letter_queue = "jobs-dead"
"""
WORKER = """
import time
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        await self.env.JOBS.send("fetched")
        return Response("sent")

    async def queue(self, batch, env, ctx):
        late = time.time() - batch.messages[0].timestamp.timestamp()
        print("got", batch.queue, *[m.body for m in batch.messages], f"after {late * 1000:.0f} ms")
        for message in batch.messages:
            if message.body == "die":
                raise ValueError("this one dies")
            if message.body == "again":
                message.retry(delaySeconds=3600)
"""


@pytest.fixture
def session(project):
    project.toml(CONFIG)
    project.write("src/entry.py", WORKER)
    return DevServer("--no-reload", cwd=project.root, state=project.state)


def states(project, name: str) -> list[str]:
    return [message["state"] for message in project.peek(name)]


def until(condition, within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def recorded(server: DevServer, *beginnings: str) -> list[tuple[str, str, int | None]]:
    """What the session's record, which its dashboard shows, has of these kinds."""
    events = server.get("/cdn-cgi/wpy/api/events?after=0&limit=1000").json()["events"]
    return [(e["kind"], e["queue"], e["data"].get("count")) for e in events if e["kind"].startswith(beginnings)]


def test_a_message_starts_its_batch_within_100_ms(project, session):
    with session as server:
        late = []
        for number in range(7):
            done = project.queues("send", "jobs", f'"{number}"')
            assert (done.code, done.err) == (0, "")
            late.append(int(server.wait_for(rf"got jobs {number} after (\d+) ms")[1]))
        assert statistics.median(late) < 100, late


def test_many_messages_are_delivered_while_they_are_sent(project, session):
    with session as server:
        sender = project.start("queues", "send", "jobs", "{{i}}", "--count", "3000000")
        try:
            server.wait_for("got jobs 0 1 2", within=20)
            server.wait_for("got jobs", count=20)
            assert sender.poll() is None, "it was sent before anything was delivered"
            sender.send_signal(signal.SIGINT)
            assert sender.wait(30) == 130
        finally:
            sender.kill()
            sender.communicate()
        project.queues("purge", "jobs", "--force")
        project.queues("send", "jobs", '"last"')
        server.wait_for("got jobs last")


def test_pause_resume_and_settings(project, session):
    with session as server:
        project.queues("pause-delivery", "jobs")
        project.queues("send", "jobs", '"paused"')
        assert server.get("/").status == 200
        assert states(project, "jobs") == ["ready", "ready"]
        assert not server.find("got jobs")
        project.queues("resume-delivery", "jobs")
        server.wait_for("got jobs paused fetched")

        project.queues("update", "jobs", "--delivery-delay-secs", "3600")
        server.get("/")
        assert states(project, "jobs") == ["delayed"]
        project.queues("purge", "jobs", "--force")
        assert states(project, "jobs") == []
        # Whoever watches the session sees what the commands did.
        assert recorded(server, "queue.updated", "queue.purged") == [
            *[("queue.updated", "jobs", None)] * 3,
            ("queue.purged", "jobs", 1),
        ]


def test_delayed_and_retried_messages_are_made_ready(project, session):
    with session as server:
        project.queues("send", "jobs", '"later"', "--delay", "3600")
        project.queues("send", "jobs", '"again"')
        server.wait_for("got jobs again")
        until(lambda: states(project, "jobs") == ["delayed", "delayed"])
        (later,) = [m["id"] for m in project.peek("jobs") if m["body"] == "later"]
        assert project.queues("retry", "jobs", later).code == 0
        server.wait_for("got jobs later")
        assert project.queues("retry", "jobs", "--all").code == 0
        server.wait_for("got jobs again", count=2)
        until(lambda: [m["died_in"] for m in project.peek("jobs-dead")] == ["jobs"])
        assert recorded(server, "message.hastened") == [("message.hastened", "jobs", 1)] * 2


def test_dead_letters_go_back(project, session):
    with session as server:
        (dead,) = project.queues("send", "jobs", '"die"', "--json").json["ids"]
        server.wait_for("Moving message .* to dead letter queue")
        until(lambda: states(project, "jobs-dead") == ["ready"])
        done = project.queues("redrive", "jobs-dead", "--filter", ".=die")
        assert done.lines == ['1 message went from queue "jobs-dead" to queue "jobs".']
        server.wait_for("got jobs die", count=4)
        assert recorded(server, "message.redriven") == [("message.redriven", "jobs", 1)]
        until(lambda: states(project, "jobs-dead") == ["ready"])
        way = project.queues("history", "--message", dead, "--json").json
        assert [(b["messages"][0]["attempt"], b["messages"][0]["action"]) for b in way["batches"]] == [
            (1, "retry"),
            (2, "dead_letter"),
            (1, "retry"),
            (2, "dead_letter"),
        ]
        assert way["batches"][0]["error"] == "ValueError: this one dies"
        assert way["now"]["queue_name"] == "jobs-dead"


def test_a_queue_that_is_pulled_and_given_back(project, session):
    with session as server:
        refused = project.queues("consumer", "http", "add", "jobs")
        assert "[code: 11004]" in refused.err
        removed = project.queues("consumer", "remove", "jobs", "app")
        assert removed.code == 1
        assert "because the config of a running session says so" in removed.err

        project.queues("create", "pulled")
        project.queues("consumer", "http", "add", "pulled")
        project.queues("send", "pulled", '"leased"')
        assert project.queues("pull", "pulled", "--visibility-timeout-secs", "1").code == 0
        # The session ends the lease in time: a look at the queue ends none.
        until(lambda: states(project, "pulled") == ["ready"])
        shown = project.queues("describe", "pulled").out
        assert f'curl "{server.url}/client/v4/accounts/local/queues/' in shown
        history = project.queues("history", "pulled", "--json").json
        assert [m["reason"] for batch in history for m in batch["messages"]] == ["lease expired"]


def test_tail_says_why_and_where(project, session):
    with session as server:
        tail = project.start("queues", "tail", "jobs", "--json", "-n", "9")  # it may start after the batch
        try:
            project.queues("send", "jobs", '"again"')
            server.wait_for("got jobs again")
            batch = json.loads(tail.stdout.readline())
        finally:
            tail.kill()
            tail.communicate()
    (message,) = batch["messages"]
    assert (message["action"], message["reason"], message["delay_seconds"]) == ("retry", "retry()", 3600)
    line = next(n for n, text in enumerate(WORKER.splitlines(), start=1) if "message.retry" in text)
    assert message["where"] == f"src/entry.py:{line}"


def test_delete(project, session):
    with session as server:
        refused = project.queues("delete", "jobs")
        assert refused.code == 1
        assert "Unbind queue 'jobs' from the Workers 'app'; then try again. [code: 11005]" in refused.err
        assert "[code: 11005]" in project.queues("delete", "jobs-dead").err
        project.queues("send", "jobs", '"still"')
        server.wait_for("got jobs still")


def test_two_sessions(project, session):
    """Each is told of the queue that is its own."""
    project.write("other/src/entry.py", WORKER)
    other_config = (project.root / "wrangler.toml").read_text().replace('"app"', '"other"').replace("jobs", "mails")
    project.write("other/wrangler.toml", other_config)
    other = DevServer("--no-reload", cwd=project.root / "other", state=project.state)
    with session as one, other as two:
        project.queues("send", "jobs", '"a"')
        project.queues("send", "mails", '"b"')
        one.wait_for("got jobs a")
        two.wait_for("got mails b")
        project.queues("send", "mails", '"die"')
        two.wait_for("Moving message .* to dead letter queue")
        project.queues("redrive", "mails-dead", "--all")
        two.wait_for("got mails die", count=4)
    assert not one.find("got mails")


class TestTheSessionsClock:
    @pytest.fixture
    def frozen(self, project):
        project.toml(CONFIG)
        project.write("src/entry.py", WORKER)
        return DevServer(
            *("--no-reload", "--clock", "virtual", "--now", "2026-03-01T00:00:00Z"),
            cwd=project.root,
            state=project.state,
        )

    def test_a_message_of_now_is_of_the_sessions_now(self, project, frozen):
        now_ms = 1_772_323_200_000
        with frozen as server:
            project.queues("send", "jobs", '"now"')
            server.wait_for("got jobs now")
            project.queues("send", "jobs", '"later"', "--delay", "3600")
            (later,) = project.peek("jobs")
            assert (later["timestamp_ms"], later["due_ms"], later["state"]) == (now_ms, now_ms + 3_600_000, "delayed")
            assert "delayed, ready in 1 h  0 attempts  0 s old" in project.queues("peek", "jobs").out
            assert project.queues("describe", "jobs", "--json").json["backlog"]["delayed"] == 1
            assert project.wpy("clock", "advance", "1h").code == 0
            server.wait_for("got jobs later")

    def test_a_retry_of_twelve_hours_is_made_ready_now(self, project, frozen):
        with frozen as server:
            project.queues("send", "jobs", '"again"')
            server.wait_for("got jobs again")
            until(lambda: states(project, "jobs") == ["delayed"])
            assert project.queues("retry", "jobs", "--all", "--json").json["made_ready"] == 1
            server.wait_for("got jobs again", count=2)


def test_a_session_that_does_not_answer(project, session):
    """The message is stored, and that is told; nothing hangs."""
    server = session.start()
    try:
        os.kill(server.pid, signal.SIGSTOP)
        started = time.monotonic()
        done = project.queues("send", "jobs", '"kept"')
        took = time.monotonic() - started
        os.kill(server.pid, signal.SIGCONT)
        assert done.code == 0
        assert done.out.startswith("Sent message")
        assert "does not answer" in done.err and "by itself within a minute" in done.err
        assert took < 20
        project.queues("send", "jobs", '"next"')
        server.wait_for("got jobs kept next|got jobs kept")
    finally:
        server.destroy()


def test_a_session_that_was_killed(project, session):
    server = session.start()
    os.kill(server.pid, signal.SIGKILL)
    server.wait_exit()
    server.destroy()
    done = project.queues("send", "jobs", '"kept"')
    assert done.code == 0
    assert "No session runs that consumes the queue." in done.err


class TestAdvice:
    def test_at_the_start_once_each(self, project):
        project.toml(
            CONFIG.replace("max_batch_timeout = 0", "max_batch_timeout = 45")
            + '\n[[queues.producers]]\nbinding = "PARKED"\nqueue = "parked"\n'
        )
        project.write("src/entry.py", WORKER)
        project.queues("send", "parked", "1", "--count", "2")
        with DevServer("--no-reload", cwd=project.root, state=project.state) as server:
            server.wait_for(r'Nothing consumes "jobs-dead", the dead letter queue of "jobs"')
            server.wait_for(r'Queue "parked" holds 2 messages, and no Worker consumes it\.')
            found = server.wait_for(r'Queue "jobs": a lone message waits 45 s before it is delivered')
            assert "10 of them start a batch at once" in found.string
            for text in ("Nothing consumes", "holds 2 messages", "a lone message waits"):
                assert len(server.find(text)) == 1
        told = {
            name: [one["kind"] for one in project.queues("describe", name, "--json").json["advice"]]
            for name in ("jobs", "jobs-dead", "parked")
        }
        assert told == {
            "jobs": ["long_timeout"],
            "jobs-dead": ["dead_letters_unconsumed"],
            "parked": ["unconsumed"],
        }
        described = project.queues("describe", "parked")
        assert '▲ [WARNING] Queue "parked" holds 2 messages' in described.err

    def test_what_is_in_order_is_not_told_of(self, project):
        project.toml(CONFIG + '\n[[queues.consumers]]\nqueue = "jobs-dead"\nmax_batch_timeout = 29\n')
        project.write("src/entry.py", WORKER)
        with DevServer("--no-reload", cwd=project.root, state=project.state) as server:
            project.queues("send", "jobs", '"fine"', "--count", "3")
            server.wait_for("got jobs fine")
            assert not server.find(r'WARNING|wrangler:warn\] (?!Worker "app": Python \d)')  # another Python is told
        assert project.queues("describe", "jobs").err == ""

    def test_another_session_that_consumes_it_counts(self, project, session):
        project.write("other/src/entry.py", WORKER)
        config = (project.root / "wrangler.toml").read_text().split("[[queues")[0].replace('"app"', '"other"')
        project.write("other/wrangler.toml", config + '[[queues.consumers]]\nqueue = "jobs-dead"\n')
        other = DevServer("--no-reload", cwd=project.root / "other", state=project.state)
        with other, session as server:
            server.get("/")
            server.wait_for("got jobs fetched")
            assert not server.find("Nothing consumes")

    def test_a_consumer_that_always_retries_is_told_of_once(self, project, session):
        with session as server:
            for _ in range(6):
                project.queues("send", "jobs", '"die"')
            told = r'Queue "jobs": no message of its last 5 batches was acknowledged; the last one ended with exception: ValueError: this one dies'
            server.wait_for(told)
            server.wait_for("Moving message", count=6)
            assert len(server.find("no message of its last 5 batches")) == 1
            (advice,) = project.queues("describe", "jobs", "--json").json["advice"]
            assert advice["kind"] == "always_retries"
            assert "ValueError: this one dies" in advice["text"]
            project.queues("send", "jobs", '"fine"')
            server.wait_for("got jobs fine")
            until(lambda: project.queues("describe", "jobs", "--json").json["advice"] == [])

    def test_with_the_call_where_there_is_one(self, project):
        project.toml(CONFIG.replace("max_retries = 1", "max_retries = 9"))
        project.write("src/entry.py", WORKER.replace("delaySeconds=3600", "delaySeconds=0"))
        with DevServer("--no-reload", cwd=project.root, state=project.state) as server:
            project.queues("send", "jobs", '"again"')
            server.wait_for(r"the last one ended with retry\(\) at src/entry\.py:\d+")

    def test_a_delivery_delay_of_a_binding(self, project):
        project.toml('[[queues.producers]]\nbinding = "JOBS"\nqueue = "jobs"\ndelivery_delay = 5\n')
        (advice,) = project.queues("describe", "jobs", "--json").json["advice"]
        assert advice["kind"] == "delivery_delay"
        assert "wpy queues update jobs --delivery-delay-secs" in advice["text"]
