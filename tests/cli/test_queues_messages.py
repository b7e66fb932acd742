"""`wpy queues peek`, `retry`, `pull` and `ack` without a session."""

import base64
import re

import pytest

from wrangler_py.queues import tables

NOBODY = "0" * 32


@pytest.fixture
def q1(project):
    project.queues("create", "q1")
    return project


def everything(project) -> list:
    """All that the state holds of messages and queues."""
    with project.store() as store:
        return [store.query(f"SELECT * FROM {table}") for table in ("message", "queue", "lease", "consumer")]


def change(project, sql: str) -> None:
    with project.store() as store:
        store.write(lambda c: c.execute(sql))


class TestPeek:
    def test_changes_nothing(self, q1):
        q1.queues("send", "q1", "1", "--count", "3")
        before = everything(q1)
        for arguments in ((), ("--json",), ("-n", "1"), ("--id", q1.peek("q1")[0]["id"])):
            assert q1.queues("peek", "q1", *arguments).code == 0
        assert everything(q1) == before

    def test_where_each_message_is(self, q1):
        """In flight, then ready, then delayed, as they will be delivered."""
        q1.queues("send", "q1", '"later"', "--delay", "700")
        q1.queues("send", "q1", '"soon"', "--delay", "60")
        q1.queues("send", "q1", '"leased"')
        q1.queues("consumer", "http", "add", "q1", "--visibility-timeout-secs", "300")
        q1.queues("pull", "q1")
        q1.queues("send", "q1", '"first"')
        q1.queues("send", "q1", '"second"')
        found = q1.peek("q1")
        assert [(m["body"], m["state"], m["attempts"]) for m in found] == [
            ("leased", "in_flight", 1),
            ("first", "ready", 0),
            ("second", "ready", 0),
            ("soon", "delayed", 0),
            ("later", "delayed", 0),
        ]
        leased, first, _, soon, _ = found
        assert 290_000 < leased["due_ms"] - leased["timestamp_ms"] < 360_000
        assert first["due_ms"] == first["timestamp_ms"]
        assert soon["due_ms"] - soon["timestamp_ms"] == 60_000
        lines = q1.queues("peek", "q1").lines
        assert re.fullmatch(r"[0-9a-f]{32}  leased for (5 min|4 min \d+ s) more  1 attempt  \d+ s old", lines[0])
        assert lines[1] == '  "leased"  (json, 8 bytes)'
        assert re.fullmatch(r"[0-9a-f]{32}  ready  0 attempts  \d+ s old", lines[2])
        assert re.fullmatch(r"[0-9a-f]{32}  delayed, ready in (1 min|\d+ s)  0 attempts  \d+ s old", lines[6])
        assert len(lines) == 10

    def test_bodies_of_every_kind(self, q1):
        q1.queues("send", "q1", '{"to":"zoë"}')
        q1.queues("send", "q1", "two\nlines\x1b[31m", "--content-type", "text")
        q1.queues("send", "q1", "-", "--content-type", "bytes", stdin=b"\x00\xff\x10")
        q1.queues("send", "q1", "[1,2]", "--content-type", "v8")
        change(q1, "UPDATE message SET body = x'ff0f4e' WHERE seq = 0")
        found = q1.peek("q1")
        assert [(m["content_type"], m["body"], m["size"]) for m in found] == [
            ("json", {"to": "zoë"}, 13),
            ("text", "two\nlines\x1b[31m", 14),
            ("bytes", "00ff10", 3),
            ("v8", [1, 2], len(b"\xff\x0fA\x02I\x02I\x04$\x00\x02")),
        ]
        shown = q1.queues("peek", "q1").lines[1::2]
        assert shown == [
            '  {"to":"zoë"}  (json, 13 bytes)',
            r"  two\nlines\x1b[31m  (text, 14 bytes)",
            "  00 ff 10  (bytes, 3 bytes)",
            "  [1,2]  (v8, 11 bytes)",
        ]

    @pytest.mark.parametrize(
        ("kind", "body", "value", "text"),
        [
            (0, b"{broken", "{broken", "{broken"),
            (1, b"\xff", "\ufffd", "\ufffd"),
            (
                3,
                b"\xff\x0fD\x00\x00\x00\x00\x00\x00\x00\x00",
                "ff0f440000000000000000",
                '"1970-01-01T00:00:00.000Z" (ff 0f',
            ),
            (3, b"\xff\x0f", "ff0f", "ff 0f"),
            (3, b"\xff\x0f;:", "ff0f3b3a", None),
            (3, b"", "", ""),
        ],
    )
    def test_bodies_that_json_cannot_hold(self, q1, kind, body, value, text):
        """Sent by a Worker, or damaged."""
        q1.queues("send", "q1", "1")
        change(q1, f"UPDATE message SET content_type = {kind}, body = x'{body.hex()}'")
        assert q1.peek("q1")[0]["body"] == value
        done = q1.queues("peek", "q1")
        assert done.code == 0
        assert text is None or done.lines[1].startswith(f"  {text}")

    def test_long_bodies_are_cut_unless_one_is_asked_for(self, q1):
        q1.queues("send", "q1", "-", "--content-type", "text", stdin="x" * 100_000)
        assert len(q1.queues("peek", "q1").lines[1]) < 300
        (message,) = q1.peek("q1")
        assert len(message["body"]) == 100_000
        assert len(q1.queues("peek", "q1", "--id", message["id"]).lines[1]) > 100_000

    def test_by_id(self, q1):
        q1.queues("send", "q1", "{{i}}", "--count", "3")
        ids = [message["id"] for message in q1.peek("q1")]
        asked = ("--id", ids[2].upper(), "--id", NOBODY, "--id", ids[0])
        done = q1.queues("peek", "q1", *asked)
        assert done.code == 1
        assert [line[:32] for line in done.lines[::2]] == [ids[2], ids[0]]
        assert f'Message {NOBODY} is not in queue "q1".' in done.err
        assert [message["body"] for message in q1.peek("q1", "--id", ids[1])] == [1]

    def test_a_malformed_id(self, q1):
        done = q1.queues("peek", "q1", "--id", "%")
        assert done.code == 1
        assert '"%" is not the id of a message' in done.err

    def test_how_many(self, q1):
        assert q1.queues("peek", "q1").lines == ['Queue "q1" is empty.']
        assert q1.peek("q1") == []
        q1.queues("send", "q1", "{{i}}", "--count", "12")
        done = q1.queues("peek", "q1")
        assert len(done.lines) == 20
        assert "2 more" in done.err
        assert [message["body"] for message in q1.peek("q1", "-n", "2")] == [0, 1]
        assert q1.queues("peek", "q1", "-n", "0").code == 2

    def test_a_queue_of_the_config_is_empty_and_stays_so(self, project):
        project.toml('[[queues.consumers]]\nqueue = "jobs"\n')
        before = project.files()
        assert project.queues("peek", "jobs").lines == ['Queue "jobs" is empty.']
        assert project.files() == before

    def test_what_has_outlived_the_retention(self, q1):
        q1.queues("send", "q1", "1")
        change(q1, "UPDATE message SET entered_ms = entered_ms - 345700000")
        assert q1.peek("q1")[0]["expired"] is True
        assert "past its retention" in q1.queues("peek", "q1").lines[0]

    def test_read_only(self, q1, modes_count):
        q1.queues("send", "q1", "1")
        q1.state.chmod(0o555)
        (q1.state / "wpy.sqlite").chmod(0o444)
        try:
            done = q1.queues("peek", "q1", "--json", before=modes_count)
        finally:
            q1.state.chmod(0o755)
        assert [message["body"] for message in done.json] == [1]


class TestRetry:
    def test_all(self, q1):
        q1.queues("send", "q1", "1", "--delay", "600", "--count", "3")
        q1.queues("send", "q1", "2")
        change(q1, "UPDATE message SET attempts = 2 WHERE seq = 1")
        done = q1.queues("retry", "q1", "--all")
        assert (done.code, done.out) == (0, '3 messages of queue "q1" made ready.\n')
        assert [(m["state"], m["attempts"]) for m in q1.peek("q1")].count(("ready", 0)) == 3
        assert [m["attempts"] for m in q1.peek("q1") if m["attempts"]] == [2]
        assert q1.queues("retry", "q1", "--all", "--json").json["made_ready"] == 0

    def test_more_than_one_transaction_takes(self, q1):
        q1.queues("send", "q1", "1", "--delay", "600", "--count", "12000")
        assert q1.queues("retry", "q1", "--all", "--json").json["made_ready"] == 12_000

    def test_by_id(self, q1):
        q1.queues("consumer", "http", "add", "q1")
        q1.queues("send", "q1", '"leased"')
        q1.queues("pull", "q1")
        q1.queues("send", "q1", '"ready"')
        q1.queues("send", "q1", '"one"', "--delay", "600")
        q1.queues("send", "q1", '"other"', "--delay", "600")
        ids = {message["body"]: message["id"] for message in q1.peek("q1")}
        done = q1.queues("retry", "q1", ids["one"], ids["leased"], ids["ready"], "--json")
        assert done.json == {
            "queue_name": "q1",
            "made_ready": 1,
            "ready_before": [ids["ready"]],
            "in_flight": [ids["leased"]],
            "unknown": [],
        }
        states = {message["body"]: message["state"] for message in q1.peek("q1")}
        assert states == {"leased": "in_flight", "ready": "ready", "one": "ready", "other": "delayed"}
        told = q1.queues("retry", "q1", ids["leased"], ids["ready"])
        assert told.code == 0
        assert "is being delivered" in told.err and "was ready before" in told.err

    def test_an_unknown_id(self, q1):
        done = q1.queues("retry", "q1", NOBODY)
        assert done.code == 1
        assert f"wpy queues history --message {NOBODY}" in done.err

    @pytest.mark.parametrize("arguments", [(), (NOBODY, "--all")])
    def test_says_what_it_needs(self, q1, arguments):
        assert q1.queues("retry", "q1", *arguments).code == 2


class TestPullAndAck:
    @pytest.fixture
    def pulled(self, q1):
        q1.queues("consumer", "http", "add", "q1", "--message-retries", "1")
        return q1

    def test_leases(self, pulled):
        pulled.queues("send", "q1", '{"n":{{i}}}', "--count", "3")
        got = pulled.queues("pull", "q1", "--batch-size", "2", "--json").json
        assert got["message_backlog_count"] == 3
        first, second = got["messages"]
        assert (first["attempts"], second["attempts"]) == (1, 1)
        assert base64.b64decode(first["body"]) == b'{"n":0}'
        assert first["metadata"] == {"CF-Content-Type": "json", "CF-sourceMessageSource": "api"}
        assert first["lease_id"] != second["lease_id"]
        rest = pulled.queues("pull", "q1", "--json").json["messages"]
        assert [base64.b64decode(m["body"]) for m in rest] == [b'{"n":2}']
        assert pulled.queues("pull", "q1").out == 'Queue "q1" has no message that is ready.\n'

    def test_acknowledge_and_retry(self, pulled):
        pulled.queues("send", "q1", '"{{i}}"', "--count", "3")
        leases = [m["lease_id"] for m in pulled.queues("pull", "q1", "--json").json["messages"]]
        done = pulled.queues("ack", "q1", leases[0], "--retry", leases[1], "--delay", "500", "--json")
        assert done.json == {"ackCount": 1, "retryCount": 1, "warnings": {}}
        left = {m["body"]: m for m in pulled.peek("q1")}
        assert set(left) == {"1", "2"}
        assert (left["1"]["state"], left["1"]["attempts"]) == ("delayed", 1)
        again = pulled.queues("ack", "q1", leases[0])
        assert again.code == 1
        assert f"{leases[0]}: lease is unknown" in again.err

    def test_acknowledged_as_printed(self, pulled):
        pulled.queues("send", "q1", '"{{i}}"', "--count", "2")
        done = pulled.queues("pull", "q1", "--ack")
        assert re.fullmatch(r"[0-9a-f]{32}  attempt 1  lease [0-9a-f]{32}", done.lines[0])
        assert done.lines[1] == '  "0"'
        assert "2 messages acknowledged" in done.err
        assert pulled.peek("q1") == []

    def test_a_lease_that_has_ended_counts_as_an_attempt(self, pulled):
        pulled.queues("send", "q1", "1")
        pulled.queues("pull", "q1", "--visibility-timeout-secs", "0")
        (again,) = pulled.queues("pull", "q1", "--visibility-timeout-secs", "0", "--json").json["messages"]
        assert again["attempts"] == 2
        assert pulled.queues("pull", "q1", "--json").json["messages"] == []  # one retry, and it is gone
        assert pulled.peek("q1") == []

    def test_without_a_pull_consumer(self, q1):
        done = q1.queues("pull", "q1")
        assert done.code == 1
        assert "messages cannot be pulled unless http_pull mode is enabled" in done.err
        assert "wpy queues consumer http add q1" in done.err

    def test_while_paused(self, pulled):
        pulled.queues("pause-delivery", "q1")
        done = pulled.queues("pull", "q1")
        assert done.code == 1
        assert "queue_delivery_paused" in done.err

    @pytest.mark.parametrize(
        "arguments",
        [
            ("pull", "q1", "-n", "0"),
            ("pull", "q1", "-n", "101"),
            ("pull", "q1", "--visibility-timeout-secs", "43201"),
            ("pull", "q1", "--visibility-timeout-secs", "nan"),
            ("ack", "q1", "--retry", "00", "--delay", "86401"),
        ],
    )
    def test_out_of_range(self, pulled, arguments):
        done = pulled.queues(*arguments)
        assert (done.code, done.out) == (1, "")

    def test_ack_of_nothing(self, pulled):
        assert pulled.queues("ack", "q1").code == 2


def test_the_backlog_stays_counted(q1):
    q1.queues("consumer", "http", "add", "q1")
    q1.queues("send", "q1", "12345", "--count", "4")
    q1.queues("pull", "q1", "-n", "2", "--ack")
    q1.queues("retry", "q1", "--all")
    with q1.store() as store:
        record = tables.find_queue(store, "q1")
        assert (record.backlog_count, record.backlog_bytes) == (2, 10)
