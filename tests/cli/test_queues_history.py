"""`wpy queues history` and `wpy queues tail`, of what the broker's own statements record."""

import json
import signal
import time

import pytest

from wrangler_py.clock import SystemClock
from wrangler_py.queues import history, tables
from wrangler_py.queues.history import BatchRun
from wrangler_py.queues.message import Message
from wrangler_py.queues.settlement import Settlement

NOBODY = "0" * 32


def message(number: int, attempt: int = 1) -> Message:
    return Message(number, f"{number:032x}", 0, attempt, "json", b"1")


def record(
    project, queue: str, *settlements: Settlement, outcome="ok", error=None, started_ms=1_700_000_000_000
) -> None:
    run = BatchRun("app", started_ms, 12, outcome, error)

    def work(connection):
        tables.ensure_queue(connection, queue, SystemClock().now_ms())
        history.record(connection, queue, run, settlements)

    with project.store() as store:
        store.write(work)


def acked(number: int) -> Settlement:
    return Settlement(message(number), "ack", 0, "handler returned")


class TestHistory:
    def test_why_and_where(self, project):
        record(
            project,
            "jobs",
            Settlement(message(1), "ack", 0, "ack()", "src/entry.py:14"),
            Settlement(message(2, 3), "retry", 90, "retry()", "src/mail.py:7"),
            Settlement(message(3, 4), "dead_letter", 0, "exception"),
            Settlement(message(4, 4), "drop", 0, "exception"),
            outcome="exception",
            error="ValueError: kaputt\x1b[31m",
        )
        done = project.queues("history", "jobs")
        assert (done.code, done.lines) == (
            0,
            [
                "2023-11-14T22:13:20Z  jobs → app  1/4 acked  12 ms  exception",
                r"  ValueError: kaputt\x1b[31m",
                f"  {1:032x}  attempt 1: acked (ack() at src/entry.py:14)",
                f"  {2:032x}  attempt 3: retried (retry() at src/mail.py:7), ready in 1 min 30 s",
                f"  {3:032x}  attempt 4: dead-lettered (exception)",
                f"  {4:032x}  attempt 4: dropped (exception)",
            ],
        )
        assert project.queues("history", "jobs", "--json").json == [
            {
                "batch": 1,
                "queue": "jobs",
                "worker": "app",
                "started_ms": 1_700_000_000_000,
                "duration_ms": 12,
                "outcome": "exception",
                "error": "ValueError: kaputt\x1b[31m",
                "messages": [
                    dict(zip(("id", "attempt", "action", "reason", "where", "delay_seconds"), values, strict=True))
                    for values in (
                        (f"{1:032x}", 1, "ack", "ack()", "src/entry.py:14", 0),
                        (f"{2:032x}", 3, "retry", "retry()", "src/mail.py:7", 90),
                        (f"{3:032x}", 4, "dead_letter", "exception", None, 0),
                        (f"{4:032x}", 4, "drop", "exception", None, 0),
                    )
                ],
            }
        ]

    def test_of_one_queue_or_of_all_oldest_first(self, project):
        for number, queue in enumerate(("a", "b", "a", "a"), start=1):
            record(project, queue, acked(number))
        assert [batch["batch"] for batch in project.queues("history", "a", "--json").json] == [1, 3, 4]
        assert [batch["batch"] for batch in project.queues("history", "--json").json] == [1, 2, 3, 4]
        assert [batch["batch"] for batch in project.queues("history", "a", "-n", "2", "--json").json] == [3, 4]

    def test_many_that_went_alike_are_told_together(self, project):
        record(project, "jobs", *(acked(number) for number in range(1, 101)))
        lines = project.queues("history", "jobs").lines
        assert len(lines) == 7
        assert lines[-1] == "  ... and 95 more likewise"

    def test_none(self, project):
        project.queues("create", "jobs")
        assert project.queues("history", "jobs").lines == ['No batch of queue "jobs" has been delivered yet.']
        assert project.queues("history").lines == ["No batch has been delivered here yet."]
        assert project.queues("history", "jobs", "--json").json == []


class TestHistoryOfAMessage:
    def test_attempt_by_attempt(self, project):
        done = project.queues("create", "jobs") and project.queues("send", "jobs", '{"n":1}', "--json")
        (message_id,) = done.json["ids"]
        number = int(message_id, 16)
        record(
            project,
            "jobs",
            Settlement(message(number), "retry", 0, "exception"),
            acked(7),
            outcome="exception",
            error="KeyError: 'to'",
        )
        record(project, "jobs", Settlement(message(number, 2), "retry", 30, "retryAll()", "src/entry.py:9"))
        found = project.queues("history", "--message", message_id.upper())
        assert found.lines == [
            "2023-11-14T22:13:20Z  jobs → app  attempt 1: retried (exception)",
            "  KeyError: 'to'",
            "2023-11-14T22:13:20Z  jobs → app  attempt 2: retried (retryAll() at src/entry.py:9), ready in 30 s",
            "Now in queue jobs: ready.",
        ]
        told = project.queues("history", "--message", message_id, "--json").json
        assert [batch["messages"][0]["attempt"] for batch in told["batches"]] == [1, 2]
        assert [len(batch["messages"]) for batch in told["batches"]] == [1, 1]
        assert (told["id"], told["now"]["queue_name"], told["now"]["state"]) == (message_id, "jobs", "ready")

    def test_one_that_is_gone(self, project):
        record(project, "jobs", acked(5))
        found = project.queues("history", "--message", f"{5:032x}")
        assert (found.code, found.lines[-1]) == (0, "It is in no queue now.")
        assert project.queues("history", "--message", f"{5:032x}", "--json").json["now"] is None

    def test_one_that_nobody_knows(self, project):
        record(project, "jobs", acked(5))
        done = project.queues("history", "--message", NOBODY)
        assert done.code == 1
        assert f"Message {NOBODY} is in no queue, and in none of the last 20,000 batches." in done.err
        assert project.queues("history", "--message", "5%").code == 1
        assert project.queues("history", "jobs", "--message", NOBODY).code == 2


class Tail:
    """`wpy queues tail`, read line by line."""

    def __init__(self, project, *arguments: str) -> None:
        self.process = project.start("queues", "tail", *arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return line.decode().rstrip("\n")

    def end(self, sent=signal.SIGINT) -> int:
        self.process.send_signal(sent)
        return self.process.wait(20)


class TestTail:
    def test_follows_and_ends_with_ctrl_c(self, project):
        record(project, "jobs", acked(1))
        with Tail(project, "jobs", "-n", "1") as tail:
            assert tail.line() == "2023-11-14T22:13:20Z  jobs → app  1/1 acked  12 ms"
            assert tail.line() == f"  {1:032x}  attempt 1: acked (handler returned)"
            record(project, "other", acked(2))
            record(project, "jobs", Settlement(message(3), "retry", 0, "retry()", "src/entry.py:3"))
            assert tail.line() == "2023-11-14T22:13:20Z  jobs → app  0/1 acked  12 ms"
            assert tail.line() == f"  {3:032x}  attempt 1: retried (retry() at src/entry.py:3)"
            assert tail.end() == 0
            assert tail.process.stderr.read().count(b"\n") == 1  # that there is no config

    def test_several_readers(self, project):
        record(project, "jobs", acked(1))
        with Tail(project, "--json", "-n", "9") as one, Tail(project, "jobs", "--json", "-n", "9") as other:
            assert [json.loads(tail.line())["batch"] for tail in (one, other)] == [1, 1]
            for number in range(2, 6):
                record(project, "jobs", acked(number))
            for tail in (one, other):
                batches = [json.loads(tail.line()) for _ in range(4)]
                assert [batch["batch"] for batch in batches] == [2, 3, 4, 5]
                assert batches[0]["messages"][0]["id"] == f"{2:032x}"

    def test_before_there_is_a_state(self, project):
        project.toml('[[queues.consumers]]\nqueue = "jobs"\n')
        with Tail(project, "jobs", "--json", "-n", "9") as tail:
            time.sleep(0.5)  # it may look for the state in vain
            record(project, "jobs", acked(1))
            assert json.loads(tail.line())["batch"] == 1

    def test_a_state_that_is_replaced(self, project):
        import shutil

        record(project, "jobs", acked(1))
        record(project, "jobs", acked(2))
        with Tail(project, "--json", "-n", "1") as tail:
            assert json.loads(tail.line())["batch"] == 2
            shutil.rmtree(project.state)
            record(project, "jobs", acked(3))
            batch = json.loads(tail.line())
            assert (batch["batch"], batch["messages"][0]["id"]) == (1, f"{3:032x}")

    def test_more_than_one_page(self, project):
        record(project, "jobs", acked(1))
        with Tail(project, "--json", "-n", "1") as tail:
            tail.line()
            with project.store() as store:
                run = BatchRun("app", 0, 1, "ok", None)
                store.write(lambda c: [history.record(c, "jobs", run, [acked(n)]) for n in range(1_000)] and None)
            assert [json.loads(tail.line())["batch"] for _ in range(1_000)] == list(range(2, 1_002))

    def test_a_reader_that_leaves(self, project):
        record(project, "jobs", acked(1))
        with Tail(project, "-n", "1") as tail:
            tail.line()
            tail.process.stdout.close()
            record(project, "jobs", acked(2))
            assert tail.process.wait(20) == 1
            err = tail.process.stderr.read()
            assert b"Traceback" not in err and b"BrokenPipe" not in err
            tail.process.stdout = None

    def test_costs_next_to_nothing(self, project):
        record(project, "jobs", acked(1))
        with Tail(project, "-n", "1") as tail:
            tail.line()
            stat = f"/proc/{tail.process.pid}/stat"
            try:
                used = ticks(stat)
            except FileNotFoundError:
                pytest.skip("no /proc")
            time.sleep(2)  # what is measured is real time
            assert ticks(stat) - used <= 10  # hundredths of a second


def ticks(stat: str) -> int:
    with open(stat) as file:  # noqa: PTH123
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
