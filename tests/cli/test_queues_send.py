"""`wpy queues send`: what is stored, where it may come from, what is refused, what is told."""

import os
import signal
import subprocess
import sys
import time

import pytest

from wrangler_py.queues import tables

SIZE_LIMIT = 128_000


@pytest.fixture
def q1(project):
    project.queues("create", "q1")
    return project


def stored(project, name: str = "q1") -> list[tuple[str, bytes]]:
    """Content type and body of each message, as they are in the state."""
    types = ("json", "text", "bytes", "v8")
    with project.store() as store:
        record = tables.find_queue(store, name)
        rows = store.query("SELECT content_type, body FROM message WHERE queue_id = ? ORDER BY seq", (record.id,))
        return [(types[number], body) for number, body in rows]


class TestBodies:
    def test_json_is_stored_as_a_worker_stores_it(self, q1):
        """As `send(JSON.parse(text))`: compact, numbers and keys as JavaScript writes them."""
        done = q1.queues("send", "q1", ' { "b": 1.0, "10": "\\u00e9😀", "2": [true, null, 1e21] } ')
        assert done.code == 0
        assert stored(q1) == [("json", '{"2":[true,null,1e+21],"10":"é😀","b":1}'.encode())]
        (message,) = q1.peek("q1")
        assert done.out == f'Sent message {message["id"]} to queue "q1" (43 bytes).\n'
        assert (message["state"], message["attempts"], message["source"]) == ("ready", 0, "api")

    @pytest.mark.parametrize("body", ["null", "0", '"text"', "[]", "true"])
    def test_any_json_value(self, q1, body):
        assert q1.queues("send", "q1", body).code == 0
        assert stored(q1) == [("json", body.encode())]

    def test_text_stays_as_it_is(self, q1):
        for text in ("hello", "", " {ü}\n"):
            assert q1.queues("send", "q1", text, "--content-type", "text").code == 0
        assert stored(q1) == [("text", b"hello"), ("text", b""), ("text", " {ü}\n".encode())]

    def test_bytes(self, q1):
        data = bytes(range(256))
        q1.write("data.bin", "").write_bytes(data)
        assert q1.queues("send", "q1", "--file", "data.bin", "--content-type", "bytes").code == 0
        assert q1.queues("send", "q1", "-", "--content-type", "bytes", stdin=data).code == 0
        assert q1.queues("send", "q1", "--file", "-", "--content-type", "bytes", stdin=b"").code == 0
        assert stored(q1) == [("bytes", data), ("bytes", data), ("bytes", b"")]

    def test_an_argument_that_is_not_utf8(self, q1):
        done = subprocess.run(
            [*q1.command("queues", "send", "q1"), b"\xff\x00"[:1], "--content-type", "bytes"],
            cwd=q1.root,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        assert stored(q1) == [("bytes", b"\xff")]
        refused = subprocess.run([*q1.command("queues", "send", "q1"), b'"\xff"'], cwd=q1.root, capture_output=True)
        assert refused.returncode == 1
        assert b"not UTF-8: invalid byte 0xff at position 1" in refused.stderr

    def test_v8_is_a_structured_clone(self, q1):
        assert q1.queues("send", "q1", '{"a":[1,"x"]}', "--content-type", "v8").code == 0
        ((kind, body),) = stored(q1)
        assert (kind, body) == ("v8", b'\xff\x0fo"\x01aA\x02I\x02"\x01x$\x00\x02{\x01')
        assert q1.peek("q1")[0]["body"] == {"a": [1, "x"]}

    def test_a_file_and_standard_input(self, q1):
        q1.write("body.json", '{\n  "a": 1\n}\n')
        assert q1.queues("send", "q1", "--file", "body.json").code == 0
        assert q1.queues("send", "q1", "-", stdin='\ufeff{"a": 2}\n').code == 0
        assert stored(q1) == [("json", b'{"a":1}'), ("json", b'{"a":2}')]

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            ("hello", "The body is not JSON: Unexpected token 'h', \"hello\" is not valid JSON."),
            ("", "The body is not JSON: Unexpected end of JSON input."),
            ('{"a":1,}', "Expected double-quoted property name in JSON at position 7."),
            ("[NaN]", "not JSON"),
            ("1e999", "a number is out of range"),
            ("[" * 60_000, "nested too deeply"),
        ],
    )
    def test_what_is_not_json(self, q1, body, text):
        done = q1.queues("send", "q1", "-", stdin=body)
        assert (done.code, done.out) == (1, "")
        assert text in done.err
        assert "--content-type text" in done.err
        assert stored(q1) == []

    def test_text_that_is_not_utf8(self, q1):
        done = q1.queues("send", "q1", "-", "--content-type", "text", stdin=b"ab\xff")
        assert done.code == 1
        assert "The body is not UTF-8: invalid byte 0xff at position 2." in done.err
        assert "--content-type bytes" in done.err

    def test_a_file_that_cannot_be_read(self, q1):
        assert (
            "nope.json cannot be read: No such file or directory." in q1.queues("send", "q1", "--file", "nope.json").err
        )
        assert "cannot be read: Is a directory." in q1.queues("send", "q1", "--file", ".").err


class TestLines:
    def test_each_is_a_message(self, q1):
        done = q1.queues("send", "q1", "--jsonl", "-", stdin='{"n": 1}\n\n  \n"zwei"\r\n[3]')
        assert (done.code, done.out) == (0, 'Sent 3 messages to queue "q1" (16 bytes).\n')
        assert stored(q1) == [("json", b'{"n":1}'), ("json", b'"zwei"'), ("json", b"[3]")]

    def test_of_text_even_an_empty_one_is_a_message(self, q1):
        q1.write("lines.txt", "a\n\n b \r\n")
        done = q1.queues("send", "q1", "--jsonl", "lines.txt", "--content-type", "text")
        assert done.code == 0
        assert stored(q1) == [("text", b"a"), ("text", b""), ("text", b" b ")]

    def test_none(self, q1):
        done = q1.queues("send", "q1", "--jsonl", "-", "--json", stdin="")
        assert done.json["count"] == 0
        assert done.json["metadata"]["metrics"]["backlog_count"] == 0

    @pytest.mark.parametrize("lines", [3, 700])
    def test_a_broken_one_is_named_and_what_comes_before_it_is_kept(self, q1, lines):
        text = "".join(f"{n}\n" for n in range(lines)) + '{"a\n99\n'
        done = q1.queues("send", "q1", "--jsonl", "-", stdin=text)
        assert (done.code, done.out) == (1, "")
        assert f"Line {lines + 1} is not JSON: Unterminated string in JSON at position 3." in done.err
        assert f"Sent and stored before it: {lines} messages. Nothing after it." in done.err
        assert [body for _, body in stored(q1)] == [str(n).encode() for n in range(lines)]

    def test_one_that_is_not_utf8(self, q1):
        done = q1.queues("send", "q1", "--jsonl", "-", stdin=b"1\n\xff\n3\n")
        assert done.code == 1
        assert "Line 2 is not UTF-8: invalid byte 0xff at position 0." in done.err
        assert len(stored(q1)) == 1

    def test_one_that_is_too_long(self, q1):
        done = q1.queues("send", "q1", "--jsonl", "-", stdin=b"1\n" + b'"' + b"x" * 128_000 + b'"\n')
        assert done.code == 1
        assert "Line 2: message length of 128002 bytes exceeds limit of 128000 (10204)" in done.err
        assert len(stored(q1)) == 1
        endless = q1.queues("send", "q1", "--jsonl", "-", stdin=b"x" * 3_000_000)
        assert endless.code == 1
        assert "Line 1: message length of" in endless.err
        assert "it was not read to its end" in endless.err

    def test_they_go_as_they_come(self, q1):
        """A pipe that stays open: each line is there at once."""
        process = q1.start("queues", "send", "q1", "--jsonl", "-", stdin=subprocess.PIPE)
        try:
            for n in range(3):
                process.stdin.write(b"%d\n" % n)
                process.stdin.flush()
                deadline = time.monotonic() + 20
                while len(stored(q1)) <= n:
                    assert time.monotonic() < deadline
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
        assert out.decode() == 'Sent 3 messages to queue "q1" (3 bytes).\n'


class TestCount:
    def test_templates_count_from_0(self, q1):
        done = q1.queues("send", "q1", '{"n":{{i}},"to":"user{{i}}@example.com"}', "--count", "3", "--json")
        assert done.json["count"] == 3
        assert q1.bodies("q1") == [{"n": n, "to": f"user{n}@example.com"} for n in range(3)]
        assert done.json["ids"] == [message["id"] for message in q1.peek("q1")]
        assert len(set(done.json["ids"])) == 3

    def test_without_count_a_template_is_text(self, q1):
        q1.queues("send", "q1", "Dear {{i}}", "--content-type", "text")
        assert q1.bodies("q1") == ["Dear {{i}}"]

    def test_a_template_that_makes_no_json(self, q1):
        done = q1.queues("send", "q1", '{"n":0{{i}}}', "--count", "3")
        assert done.code == 1
        assert "The body with {{i}} = 0 is not JSON" in done.err
        assert "Nothing was sent." in done.err

    def test_many(self, q1):
        """Thousands a second; the machine may be slow, not by a factor of ten."""
        started = time.monotonic()
        done = q1.queues("send", "q1", '{"n":{{i}}}', "--count", "20000", "--json")
        took = time.monotonic() - started
        assert done.json["count"] == 20_000
        assert done.json["metadata"]["metrics"]["backlog_count"] == 20_000
        assert len(done.json["ids"]) == 1_000
        assert took < 10
        bodies = [body for _, body in stored(q1)]
        assert bodies == [b'{"n":%d}' % n for n in range(20_000)]

    def test_no_bar_on_a_pipe_and_one_on_a_terminal(self, q1):
        done = q1.queues("send", "q1", "1", "--count", "100000")
        assert (done.code, done.out) == (0, 'Sent 100,000 messages to queue "q1" (100,000 bytes).\n')
        assert "\r" not in done.err and "━" not in done.err
        code, shown = q1.on_a_terminal("queues", "send", "q1", '{"n":{{i}}}', "--count", "200000")
        assert code == 0
        assert "Sending" in shown and "/200000" in shown
        assert 'Sent 200,000 messages to queue "q1"' in shown


class TestDelay:
    def test_of_the_messages(self, q1):
        q1.queues("send", "q1", "1", "--delay", "600")
        (message,) = q1.peek("q1")
        assert message["state"] == "delayed"
        assert message["due_ms"] - message["timestamp_ms"] == 600_000
        assert message["delay_seconds"] == 600

    def test_of_the_queue_and_0_beats_it(self, q1):
        q1.queues("update", "q1", "--delivery-delay-secs", "60")
        q1.queues("send", "q1", '"queue"')
        q1.queues("send", "q1", '"none"', "--delay", "0")
        waits = {m["body"]: m["due_ms"] - m["timestamp_ms"] for m in q1.peek("q1")}
        assert waits == {"queue": 60_000, "none": 0}

    @pytest.mark.parametrize("delay", ["-1", "86401"])
    def test_out_of_range(self, q1, delay):
        one = q1.queues("send", "q1", "1", "--delay", delay)
        assert one.code == 1
        assert f"delaySeconds of {delay} is not between 0 and 86400 (10203)" in one.err
        batch = q1.queues("send", "q1", "1", "--delay", delay, "--batch")
        assert "(10202)" in batch.err
        assert stored(q1) == []


class TestLimits:
    def test_of_a_message(self, q1):
        for size, code in ((SIZE_LIMIT, 0), (SIZE_LIMIT + 1, 1)):
            done = q1.queues("send", "q1", "-", "--content-type", "bytes", stdin=b"x" * size)
            assert done.code == code
        assert f"message length of {SIZE_LIMIT + 1} bytes exceeds limit of 128000 (10204)" in done.err
        assert [len(body) for _, body in stored(q1)] == [SIZE_LIMIT]

    def test_of_10_mb(self, q1):
        done = q1.queues("send", "q1", "-", stdin=b" " * 10_000_000)
        assert done.code == 1
        assert "(10204)" in done.err

    def test_a_json_string_counts_with_its_quotes(self, q1):
        fits, too_large = ('"' + "x" * size + '"' for size in (SIZE_LIMIT - 2, SIZE_LIMIT - 1))
        assert q1.queues("send", "q1", "-", stdin=fits).code == 0
        assert "(10204)" in q1.queues("send", "q1", "-", stdin=too_large).err

    def test_of_a_batch(self, q1):
        assert q1.queues("send", "q1", "1", "--count", "100", "--batch").code == 0
        many = q1.queues("send", "q1", "1", "--count", "101", "--batch")
        assert many.code == 1
        assert "batch message count of 101 exceeds limit of 100 (10206)" in many.err
        body = "x" * SIZE_LIMIT
        large = q1.queues("send", "q1", "-", "--count", "3", "--batch", "--content-type", "text", stdin=body)
        assert "batch size of 384000 bytes exceeds limit of 256000 (10205)" in large.err
        one = q1.queues("send", "q1", "-", "--batch", "--content-type", "text", stdin=body + "x")
        assert "message in batch has length 128001 bytes" in one.err and "(10204)" in one.err
        assert len(stored(q1)) == 100

    def test_of_a_batch_of_lines_all_or_none(self, q1):
        done = q1.queues("send", "q1", "--jsonl", "-", "--batch", stdin="1\n2\nx\n")
        assert done.code == 1
        assert "Line 3 is not JSON" in done.err
        assert stored(q1) == []
        assert q1.queues("send", "q1", "--jsonl", "-", "--batch", stdin="1\n" * 1_000).code == 1
        assert stored(q1) == []
        assert q1.queues("send", "q1", "--jsonl", "-", "--batch", stdin="1\n2\n").code == 0
        assert q1.bodies("q1") == [1, 2]


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ((), "give a BODY (- for standard input), --file or --jsonl"),
            (("1", "--file", "x"), "BODY and --file cannot be given together"),
            (("1", "--jsonl", "x"), "BODY and --jsonl cannot be given together"),
            (("--jsonl", "x", "--count", "2"), "--count repeats one body"),
            (("1", "--content-type", "xml"), '"xml" is not one of json, text, bytes, v8'),
            (("1", "--count", "0"), "--count"),
            (("1", "--delay", "soon"), "--delay"),
        ],
    )
    def test_ends_with_2(self, q1, arguments, text):
        done = q1.queues("send", "q1", *arguments)
        assert (done.code, done.out) == (2, "")
        assert text in " ".join(done.err.split())

    def test_a_body_that_begins_with_a_dash(self, q1):
        assert q1.queues("send", "q1", "--", "-5").code == 0
        assert q1.bodies("q1") == [-5]


class TestWhoGetsThem:
    def test_nobody(self, q1):
        assert 'Nothing consumes queue "q1". Its messages are kept for 4 d.' in q1.queues("send", "q1", "1").err

    def test_a_worker_that_does_not_run(self, project):
        project.toml('[[queues.consumers]]\nqueue = "jobs"\n')
        assert "No session runs that consumes the queue." in project.queues("send", "jobs", "1").err

    def test_a_puller(self, q1):
        q1.queues("consumer", "http", "add", "q1")
        assert q1.queues("send", "q1", "1").err.count("\n") == 1  # that there is no config, no more

    def test_json_says_no_more(self, q1):
        q1.toml()
        done = q1.queues("send", "q1", "1", "--json")
        assert done.err == ""
        assert done.json["queue_name"] == "q1"
        assert (done.json["count"], done.json["bytes"]) == (1, 1)
        metrics = done.json["metadata"]["metrics"]
        assert (metrics["backlog_count"], metrics["backlog_bytes"]) == (1, 1)
        assert metrics["oldest_message_timestamp_ms"] > 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
class TestInterrupted:
    def test_between_two_steps(self, q1):
        process = q1.start("queues", "send", "q1", '{"n":{{i}}}', "--count", "100000000")
        try:
            deadline = time.monotonic() + 30
            while not stored_count(q1):
                assert time.monotonic() < deadline
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
        assert (process.returncode, out) == (130, b"")
        count = stored_count(q1)
        assert f"Stopped: {count:,} messages of 100,000,000 sent and stored." in err.decode()

    def test_while_it_waits_for_input(self, q1):
        process = q1.start("queues", "send", "q1", "--jsonl", "-", stdin=subprocess.PIPE)
        try:
            process.stdin.write(b"1\n2\n")
            process.stdin.flush()
            deadline = time.monotonic() + 30
            while stored_count(q1) < 2:
                assert time.monotonic() < deadline
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
            assert b"Stopped: 2 messages sent and stored." in process.stderr.read()
        finally:
            process.kill()
            process.communicate()


def stored_count(project) -> int:
    with project.store() as store:
        return tables.find_queue(store, "q1").backlog_count


@pytest.mark.skipif(sys.platform == "win32", reason="file modes and limits of Windows are others")
class TestStateTrouble:
    def test_read_only(self, q1, modes_count):
        path = q1.state / "wpy.sqlite"
        path.chmod(0o444)
        try:
            done = q1.queues("send", "q1", "1", before=modes_count)
        finally:
            path.chmod(0o644)
        assert (done.code, done.out) == (1, "")
        assert "cannot be written" in done.err
        assert stored(q1) == []

    def test_a_disk_that_fills_up(self, q1):
        """What was stored before is kept, and counted."""

        def little_room() -> None:
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

        body = "x" * 1_000
        done = q1.queues("send", "q1", body, "--content-type", "text", "--count", "20000", before=little_room)
        assert (done.code, done.out) == (1, "")
        count = stored_count(q1)
        assert 0 < count < 20_000
        assert f"Sent and stored before it: {count:,} messages. Nothing after it." in done.err
        assert "disk" in done.err
        assert len(stored(q1)) == count

    def test_another_program_that_keeps_it_locked(self, q1):
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(q1.state / "wpy.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            done = q1.queues("send", "q1", "1")
        assert done.code == 1
        assert "is locked by another program" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
class TestStreams:
    def run(self, project, line: str) -> subprocess.CompletedProcess[str]:
        command = " ".join(f'"{word}"' for word in project.command("queues"))
        return subprocess.run(
            ["sh", "-c", line.replace("QUEUES", command)], cwd=project.root, capture_output=True, text=True
        )

    def test_standard_input_that_is_closed(self, q1):
        done = self.run(q1, "QUEUES send q1 - <&-")
        assert done.returncode == 1
        assert "Standard input cannot be read: it is closed." in done.stderr

    def test_standard_output_that_is_closed(self, q1):
        assert self.run(q1, "QUEUES send q1 1 >&-").returncode == 0
        assert len(stored(q1)) == 1

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110
    @pytest.mark.parametrize("command", ["peek q1", "peek q1 --json", "history", "list", "describe q1 --json"])
    def test_a_full_disk_for_the_output(self, q1, command):
        q1.queues("send", "q1", "1")
        done = self.run(q1, f"QUEUES {command} > /dev/full")
        assert done.returncode == 1
        assert "The output cannot be written: No space left on device." in done.stderr
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_a_reader_that_leaves_is_no_crash(q1):
    q1.queues("send", "q1", "1", "--count", "500")
    for command in (("peek", "q1", "-n", "500"), ("peek", "q1", "-n", "500", "--json"), ("send", "q1", "1")):
        read, write = os.pipe()
        os.close(read)
        try:
            done = subprocess.run(
                q1.command("queues", *command), cwd=q1.root, stdout=write, stderr=subprocess.PIPE, text=True
            )
        finally:
            os.close(write)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr
