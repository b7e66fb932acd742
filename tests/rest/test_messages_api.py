"""Pushing messages through the REST API. Numbers are cases of the conformance list."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from .api import Api

ROOM = 128_000


def test_push_93(own_api: Api) -> None:
    """93: a Worker consumer gets what is pushed, at once."""
    api = own_api
    jobs = api.existing("jobs")
    result = jobs.post("/messages", {"body": {"a": 1}}).result
    assert result["metadata"]["metrics"]["backlog_count"] == 1
    assert result["metadata"]["metrics"]["backlog_bytes"] == len(b'{"a":1}')
    (got,) = api.handled_after_all()
    assert (got["body"], got["attempts"]) == ({"a": 1}, 1)
    jobs.push("a text", [1, "two", None])
    assert [m["body"] for m in api.handled_after_all()[1:]] == ["a text", [1, "two", None]]
    assert jobs.backlog() == (0, 0)


def test_a_string_needs_content_type_text_94(api: Api) -> None:
    """94"""
    queue = api.queue()
    refused = queue.post("/messages", {"body": "x"})
    assert refused.status == 400
    assert refused.error["code"] == 10207
    assert 'Expected object, received string at "body"' in refused.error["message"]
    assert refused.error["source"] == {"pointer": "/body"}
    queue.push("x")
    assert queue.backlog() == (1, 1)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, 'Required at "body"'),
        ({"messages": [{"body": {}}]}, 'Required at "body"'),
        ({"body": 5}, 'Expected object, received number at "body"'),
        ({"body": True}, 'Expected object, received boolean at "body"'),
        ({"body": None}, 'Expected object, received null at "body"'),
        ({"body": {}, "content_type": "text"}, 'Expected string, received object at "body"'),
        ({"body": "x", "content_type": "bytes"}, "Invalid enum value. Expected 'json' | 'text', received \"bytes\""),
        ({"body": "x", "content_type": "v8"}, 'at "content_type"'),
        ({"body": "x", "content_type": None}, 'Expected string, received null at "content_type"'),
        ({"body": {}, "delay_seconds": "5"}, 'Expected number, received string at "delay_seconds"'),
        ({"body": {}, "delay_seconds": 1.5}, 'Expected integer, received float at "delay_seconds"'),
        ({"body": {}, "delay_seconds": None}, 'Expected number, received null at "delay_seconds"'),
        ([], "Expected object, received array"),
        ("x", "Expected object, received string"),
        (None, "Expected object, received null"),
    ],
)
def test_wrong_shapes(api: Api, body: Any, text: str) -> None:
    queue = api.queue()
    refused = queue.post("/messages", raw=json.dumps(body))
    assert (refused.status, refused.error["code"]) == (400, 10207)
    assert text in refused.error["message"]
    assert queue.backlog() == (0, 0)


def test_wrong_shapes_in_a_batch(api: Api) -> None:
    queue = api.queue()
    for body, text in [
        ({}, 'Required at "messages"'),
        ({"messages": {}}, 'Expected array, received object at "messages"'),
        ({"messages": [{"body": {}}, {}]}, 'Required at "messages[1].body"'),
        ({"messages": [{"body": {}}, "x"]}, 'Expected object, received string at "messages[1]"'),
        ({"messages": [{"body": {}}, {"body": "x"}]}, 'Expected object, received string at "messages[1].body"'),
        ({"messages": [{"body": {}, "delay_seconds": "1"}]}, '"messages[0].delay_seconds"'),
    ]:
        refused = queue.post("/messages/batch", body)
        assert (refused.status, refused.error["code"]) == (400, 10207)
        assert text in refused.error["message"]
    pointer = queue.post("/messages/batch", {"messages": [{"body": {}}, {"body": "x"}]}).error["source"]
    assert pointer == {"pointer": "/messages/1/body"}
    assert queue.backlog() == (0, 0)


def test_delays_95(api: Api) -> None:
    """95: message before batch before queue."""
    queue = api.queue(delivery_delay=30)
    batch = [{"body": {"n": 1}}, {"body": {"n": 2}, "delay_seconds": 20}, {"body": {"n": 3}, "delay_seconds": 0}]
    assert queue.post("/messages/batch", {"messages": batch, "delay_seconds": 10}).result
    queue.push({"n": 4})
    queue.push({"n": 5}, delay_seconds=5)
    seen = {}
    for second in range(0, 35, 5):
        for message in queue.peek():
            seen.setdefault(json.loads(base64.b64decode(message["body"]))["n"], second)
        api.advance(5)
    assert seen == {3: 0, 5: 5, 1: 10, 2: 20, 4: 30}


@pytest.mark.parametrize("delay", [-1, 86_401, 10**12, 1e300])
def test_delays_out_of_range_18(api: Api, delay: float) -> None:
    """18, over HTTP."""
    queue = api.queue()
    assert queue.post("/messages", {"body": {}, "delay_seconds": delay}).error["code"] == 10203
    batch = {"messages": [{"body": {}}], "delay_seconds": delay}
    assert queue.post("/messages/batch", batch).error["code"] == 10202
    batch = {"messages": [{"body": {}}, {"body": {}, "delay_seconds": delay}]}
    assert queue.post("/messages/batch", batch).error["code"] == 10203
    assert queue.backlog() == (0, 0)
    queue.push({}, delay_seconds=86_400)


def test_sizes_15_16_17(api: Api) -> None:
    """15, 16, 17, over HTTP: limits are inclusive, a batch goes in whole or not at all."""
    queue = api.queue()
    queue.push("x" * ROOM)
    queue.push({"a": "x" * (ROOM - 8)})
    assert queue.backlog() == (2, 2 * ROOM)
    for body in ("x" * (ROOM + 1), "ä" * (ROOM // 2 + 1)):
        assert queue.post("/messages", {"body": body, "content_type": "text"}).error["code"] == 10204
    text = {"content_type": "text"}
    assert queue.post("/messages/batch", {"messages": [{"body": "x" * (ROOM + 1), **text}]}).error["code"] == 10204
    assert queue.post("/messages/batch", {"messages": [{"body": {}}] * 101}).error["code"] == 10206
    assert queue.post("/messages/batch", {"messages": [{"body": {}}] * 100}).result
    whole = [{"body": "x" * ROOM, **text}] * 2
    assert queue.post("/messages/batch", {"messages": [*whole, {"body": "x", **text}]}).error["code"] == 10205
    assert queue.backlog() == (102, 2 * ROOM + 200)
    assert queue.post("/messages/batch", {"messages": whole}).result
    assert queue.backlog() == (104, 4 * ROOM + 200)


def test_every_byte_escaped_still_fits(api: Api) -> None:
    queue = api.queue()
    raw = '{"body":"' + "\\u0000" * ROOM + '","content_type":"text"}'
    assert queue.post("/messages", raw=raw).result
    assert queue.backlog() == (1, ROOM)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ('{"a": 1.0, "b": -0, "c": 1e2, "d": 0.1}', '{"a":1,"b":0,"c":100,"d":0.1}'),
        ('{"a":9007199254740993}', '{"a":9007199254740992.0}'),  # beyond what JavaScript's numbers hold
        ('{"a":"\\ud83e\\udd80 ä \\u0000"}', '{"a":"\U0001f980 ä \\u0000"}'),
        ('{"a":"\\ud83e"}', '{"a":"\\ud83e"}'),
        ('{"a":1,"a":2}', '{"a":2}'),
        ("[]", "[]"),
        ('{"__proto__":{}}', '{"__proto__":{}}'),
    ],
)
def test_json_is_stored_as_javascript_writes_it(api: Api, sent: str, stored: str) -> None:
    queue = api.queue()
    assert queue.post("/messages", raw='{"body":' + sent + "}").result
    (message,) = queue.peek()
    assert json.loads(base64.b64decode(message["body"])) == json.loads(stored)
    assert len(base64.b64decode(message["body"])) <= len(stored.encode())


def test_half_a_surrogate_pair_in_a_text(api: Api) -> None:
    """As in JavaScript, where UTF-8 encoding replaces it."""
    queue = api.queue()
    assert queue.post("/messages", raw='{"content_type":"text","body":"a\\ud83eb"}').result
    assert queue.peek()[0]["body"] == "a�b"


def test_metadata_of_a_message(own_api: Api) -> None:
    api = own_api
    queue = api.existing("jobs")
    queue.patch(delivery_paused=True)
    queue.push({"n": 1})
    queue.push("two", delay_seconds=0)
    assert api.server.post("/", json={"n": 3}).status == 200
    one, two, three = (m["metadata"] for m in queue.peek())
    assert one == {"CF-Content-Type": "json", "CF-sourceMessageSource": "api"}
    assert two == {"CF-Content-Type": "text", "CF-sourceMessageSource": "api", "CF-msg-delay-secs": "0"}
    assert three == {"CF-Content-Type": "json", "CF-sourceMessageSource": "worker"}


def test_unknown_queue(api: Api) -> None:
    for path in ("", "/batch", "/pull", "/ack", "/peek", "/purge", "/preview"):
        body = {"body": {}, "messages": [], "refs": []}
        unknown = api.post(f"/queues/{'0' * 32}/messages{path}", body)
        assert (unknown.status, unknown.error["code"]) == (404, 10104)
        assert "Queue does not exist" in unknown.error["message"]
        malformed = api.post(f"/queues/not-an-id/messages{path}", body)
        assert (malformed.status, malformed.error["code"]) == (400, 10107)
