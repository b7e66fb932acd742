"""What a queue handler says of its batch: every call, in every order that matters, with workerd's warnings."""

from __future__ import annotations

import json

import pytest

RUN = """
    import json
    from pyodide.ffi import JsException, jsnull, to_js
    from js import Object
    from workers import WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def queue(self, batch, env, ctx):
            m, n = batch.messages
            exec(m.body)
"""


def settle(worker, code):
    w = worker(RUN)
    result = w.queue(code, {"b": 1})
    return w, result


def outcome_of(result):
    return {key: result[key] for key in ("outcome", "ack_all", "retry_all", "acks", "retries")}


def expected(outcome="ok", ack_all=False, retry_all=None, acks=(), retries=None):
    return {
        "outcome": outcome,
        "ack_all": ack_all,
        "retry_all": retry_all,
        "acks": list(acks),
        "retries": retries or {},
    }


# Each line was run in workerd as a JavaScript worker; the results are those of FetcherQueueResult.
@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("pass", expected()),
        ("m.ack()", expected(acks=["m0"])),
        ("m.ack(); m.ack()", expected(acks=["m0"])),
        ("m.retry()", expected(retries={"m0": None})),
        ("m.retry(None)", expected(retries={"m0": None})),
        ("m.retry(jsnull)", expected(retries={"m0": None})),
        ("m.retry(delaySeconds=5)", expected(retries={"m0": 5})),
        ("m.retry({'delaySeconds': 5})", expected(retries={"m0": 5})),
        ("m.retry(to_js({'delaySeconds': 5}, dict_converter=Object.fromEntries))", expected(retries={"m0": 5})),
        ("m.retry(delaySeconds=None)", expected(retries={"m0": 0})),
        ("m.retry(delaySeconds=1.9)", expected(retries={"m0": 1})),
        ("m.retry(delaySeconds='7')", expected(retries={"m0": 7})),
        ("m.retry(delaySeconds='abc')", expected(retries={"m0": 0})),
        ("m.retry(delaySeconds=True)", expected(retries={"m0": 1})),
        ("m.retry(delaySeconds=float('nan'))", expected(retries={"m0": 0})),
        ("m.retry(delaySeconds=-5)", expected(retries={"m0": -5})),
        ("m.retry({'other': 5})", expected(retries={"m0": None})),
        ("m.retry(to_js([]))", expected(retries={"m0": None})),
        ("m.retry(delaySeconds=2); m.retry()", expected(retries={"m0": None})),
        ("m.retry(delaySeconds=2); m.retry(delaySeconds=0)", expected(retries={"m0": 0})),
        ("batch.ackAll()", expected(ack_all=True)),
        ("batch.retryAll()", expected(retry_all=(None,))),
        ("batch.retryAll(delaySeconds=3)", expected(retry_all=(3,))),
        ("batch.retryAll({'delaySeconds': 3})", expected(retry_all=(3,))),
        ("batch.retryAll(delaySeconds=3); batch.retryAll()", expected(retry_all=(3,))),
        ("batch.retryAll(delaySeconds=3); batch.retryAll(delaySeconds=4)", expected(retry_all=(4,))),
        ("batch.retryAll(delaySeconds=3); m.retry()", expected(retry_all=(3,), retries={"m0": None})),
        ("batch.retryAll(delaySeconds=2); m.retry(delaySeconds=0)", expected(retry_all=(2,), retries={"m0": 0})),
        ("m.retry(); batch.ackAll()", expected(ack_all=True, retries={"m0": None})),
        ("m.ack(); batch.retryAll()", expected(acks=["m0"], retry_all=(None,))),
        ("batch.ackAll(); m.ack()", expected(ack_all=True)),
        ("m.ack(); raise ValueError('boom')", expected("exception", acks=["m0"])),
        ("batch.ackAll(); raise ValueError('boom')", expected("exception", ack_all=True)),
    ],
)
def test_calls(worker, code, result):
    w, got = settle(worker, code)
    assert outcome_of(got) == result
    assert w.lines(level="warn") == []


@pytest.mark.parametrize(
    ("code", "result", "warnings"),
    [
        (
            "m.ack(); m.retry()",
            expected(acks=["m0"]),
            [
                "Received a call to retry() on message m0 after ack() was already called. "
                "Calling retry() on a message after calling ack() has no effect."
            ],
        ),
        (
            "m.retry(); m.ack()",
            expected(retries={"m0": None}),
            [
                "Received a call to ack() on message m0 after retry() was already called. "
                "Calling ack() on a message after calling retry() has no effect."
            ],
        ),
        (
            "batch.ackAll(); m.retry(); batch.retryAll()",
            expected(ack_all=True),
            [
                "Received a call to retry() on message m0 after ackAll() was already called. "
                "Calling retry() on a message after calling ackAll() has no effect.",
                "Received a call to retryAll() after ackAll() was already called. "
                "Calling retryAll() after calling ackAll() has no effect.",
            ],
        ),
        (
            "batch.retryAll(); m.ack(); batch.ackAll()",
            expected(retry_all=(None,)),
            [
                "Received a call to ack() on message m0 after retryAll() was already called. "
                "Calling ack() on a message after calling retryAll() has no effect.",
                "Received a call to ackAll() after retryAll() was already called. "
                "Calling ackAll() after calling retryAll() has no effect.",
            ],
        ),
    ],
)
def test_ignored_calls_warn(worker, code, result, warnings):
    w, got = settle(worker, code)
    assert outcome_of(got) == result
    assert w.lines(level="warn") == warnings


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("m.retry(5)", "Failed to execute 'retry' on 'QueueMessage': parameter 1 is not of type 'QueueRetryOptions'."),
        (
            "m.retry('x')",
            "Failed to execute 'retry' on 'QueueMessage': parameter 1 is not of type 'QueueRetryOptions'.",
        ),
        (
            "batch.retryAll(5)",
            "Failed to execute 'retryAll' on 'QueueController': parameter 1 is not of type 'QueueRetryOptions'.",
        ),
        (
            "m.retry(delaySeconds=2**31)",
            "Value out of range. Must be between -2147483648 and 2147483647 (inclusive).",
        ),
        ("m.retry(delaySeconds=2**60)", "Cannot convert a BigInt value to a number"),
    ],
)
def test_options_that_are_refused(worker, call, text):
    w, result = settle(
        worker, f"try:\n  {call}\nexcept JsException as error:\n  print(error.name, error.message, sep='|')"
    )
    assert w.lines(1) == [f"TypeError|{text}"]
    assert outcome_of(result) == expected()


def test_a_misspelt_option_is_pointed_at_once(worker):
    w = worker(RUN)
    for _ in range(2):
        assert w.queue("m.retry(delay_seconds=5)", 0)["retries"] == {"m0": None}
    assert w.lines(level="warn") == [
        "retry(): the option delay_seconds is ignored, as on Cloudflare; its name is delaySeconds"
    ]


def test_each_call_is_placed(worker):
    w = worker("""
        from workers import WorkerEntrypoint

        def settle(message):
            message.retry(delaySeconds=1)

        class Default(WorkerEntrypoint):
            async def queue(self, batch, env, ctx):
                batch.messages[0].ack()
                settle(batch.messages[1])
                batch.retryAll()
                batch.messages[0].retry()  # ignored: not the call that settled it
    """)
    assert w.queue(1, 2)["calls"] == {
        "m0": ("ack", "src/entry.py:9"),
        "m1": ("retry", "src/entry.py:5"),
        "*": ("retryAll", "src/entry.py:11"),
    }


def test_names_in_snake_case_are_not_there(worker):
    w = worker(RUN)
    for name in ("ack_all", "retry_all"):
        assert w.queue(f"batch.{name}()", 0)["error"].startswith("AttributeError: ")


def test_what_a_batch_and_a_message_look_like(worker):
    w = worker("""
        from datetime import datetime
        from workers import WorkerEntrypoint
        from workers.rpc import JsDict

        class Default(WorkerEntrypoint):
            async def queue(self, batch, env, ctx):
                first = batch.messages[0]
                assert type(batch.messages) is list and batch.messages is batch.messages
                assert batch.messages[0] is first
                assert batch.queue == "jobs"
                assert first.id == "ab" and first.attempts == 3 and isinstance(first.attempts, int)
                assert first.timestamp == datetime(2023, 11, 14, 22, 13, 20, 5000)
                assert first.timestamp.tzinfo is None
                assert isinstance(first.body, JsDict) and first.body is first.body
                assert first["body"] is first.body
                assert first.body.a == 1 and first.body["a"] == 1 and first.body.n[0].x is None
                try:
                    first.body.zz
                except AttributeError as error:
                    assert str(error) == "zz"
                else:
                    raise AssertionError("no AttributeError")
                assert not hasattr(first.body, "to_py")
                metrics = batch.metadata.metrics
                assert isinstance(batch.metadata, JsDict)
                assert metrics.backlogCount == 7 and metrics.backlogBytes == 70
                assert metrics.oldestMessageTimestamp == datetime(2023, 11, 14, 22, 13, 20)
                try:
                    list(batch)
                except TypeError as error:
                    assert str(error) == "'QueueController' object is not iterable"
                else:
                    raise AssertionError("no TypeError")
                first.extra = 1  # objects are extensible, as on Cloudflare
    """)
    body = json.dumps({"a": 1, "n": [{"x": None}]}).encode()
    result = w.queue(("ab", 1_700_000_000_005, 3, "json", body), metrics=(7, 70, 1_700_000_000_000))
    assert result["outcome"] == "ok", w.log_text()


def test_metrics_without_an_oldest_message(worker):
    w = worker(RUN)
    w.queue("print(dict(batch.metadata.metrics))", 0)
    assert w.lines(1) == ["{'backlogCount': 0, 'backlogBytes': 0}"]


@pytest.mark.parametrize(
    ("content_type", "body", "seen"),
    [
        ("json", b"null", "None"),
        ("json", b"1.0", "1"),
        ("json", b"1.5", "1.5"),
        ("json", b"[1.0, 2e3, -0.0]", "[1, 2000, 0]"),
        ("json", b"9007199254740991", "9007199254740991"),
        ("json", b"9007199254740993", "9007199254740992.0"),
        ("json", b"1e20", "1e+20"),
        ("json", '"é\\ud83d\\ude00"'.encode(), "'é😀'"),
        ("json", b'{"a":{"b":[true,null]}}', "{'a': {'b': [True, None]}}"),
        ("text", "héllo".encode(), "'héllo'"),
        ("text", b"", "''"),
        ("bytes", b"\x00\xff", "<memory b'\\x00\\xff'>"),
        ("v8", bytes.fromhex("ff0f6f22016149027b01"), "{'a': 1}"),
    ],
)
def test_bodies_by_content_type(worker, content_type, body, seen):
    w = worker("""
        from workers import WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def queue(self, batch, env, ctx):
                body = batch.messages[0].body
                print(f"<memory {bytes(body)!r}>" if isinstance(body, memoryview) else repr(body))
    """)
    assert w.queue(("id", 0, 1, content_type, body))["outcome"] == "ok"
    assert w.lines(1) == [seen]


def test_a_broken_body_fails_where_it_is_read(worker):
    w = worker("""
        from workers import WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def queue(self, batch, env, ctx):
                batch.messages[0].ack()
                print(batch.messages[1].body)
    """)
    result = w.queue(("a", 0, 1, "json", b"1"), ("b", 0, 1, "json", b"{broken"))
    assert result["acks"] == ["a"]
    assert result["error"] == (
        "pyodide.ffi.JsException: SyntaxError: Expected property name or '}' in JSON at position 1 (line 1 column 2)"
    )


def test_an_empty_batch_is_fine(worker):
    w = worker(RUN.replace("m, n = batch.messages\n            exec(m.body)", "print(len(batch.messages))"))
    assert w.queue()["outcome"] == "ok"
    assert w.lines(1) == ["0"]
