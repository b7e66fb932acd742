"""Broken, absurd and rude requests: a clear error with Cloudflare's code, nothing stored half, nothing stuck."""

from __future__ import annotations

import gzip
import json
import re
import socket
import sqlite3
import threading
import zlib
from contextlib import closing

import pytest

from .api import ACCOUNT, Api, Queue

DEEP = b'{"body":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"body":',
        b"{'body':1}",
        b'{"body":{}}}',
        b'{"body":NaN}',
        b'{"body":{"a":Infinity}}',
        b'{"body":{"a":1e999}}',
        b'{"body":{"a":' + b"9" * 400 + b"}}",
        b'{"body":{"a":' + b"9" * 10_000 + b"}}",
        b'{"body":{"a":"\xff"}}',
        b'\xff\xfe{\x00"\x00b\x00o\x00d\x00y\x00"\x00:\x001\x00}\x00',
        b'{"body":{"a":"\x00"}}',
        b"\x00" * 100,
        DEEP,
        b"not json at all",
    ],
    ids=range(16),
)
def test_malformed_json(api: Api, raw: bytes) -> None:
    queue = api.queue()
    refused = queue.post("/messages", raw=raw)
    assert (refused.status, refused.error["code"]) == (400, 10208)
    refused = queue.post("/messages/batch", raw=b'{"messages":[{"body":{}},' + raw + b"]}")
    assert refused.status == 400
    assert queue.backlog() == (0, 0)
    refused = api.post("/queues", raw=raw)
    assert (refused.status, refused.error["code"]) == (400, 10026)


def test_a_byte_order_mark_is_no_harm(api: Api) -> None:
    """As with JavaScript's `request.json()`."""
    queue = api.queue()
    assert queue.post("/messages", raw=b'\xef\xbb\xbf{"body":{}}').result


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "image/png", ""])
def test_the_content_type_does_not_matter(api: Api, kind: str) -> None:
    assert api.queue().post("/messages", {"body": {}}, headers={"Content-Type": kind}).result


def test_packed_bodies(api: Api) -> None:
    """gzip and deflate are unpacked, everything else is refused by its name."""
    queue = api.queue()
    plain = json.dumps({"body": {"a": "x" * 1000}}).encode()
    bare = zlib.compressobj(wbits=-15)
    for encoding, raw in {
        "gzip": gzip.compress(plain),
        "GZip, identity": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "Deflate": bare.compress(plain) + bare.flush(),
        "deflate, gzip": gzip.compress(zlib.compress(plain)),
    }.items():
        assert queue.post("/messages", raw=raw, headers={"Content-Encoding": encoding}).result, encoding
    assert queue.backlog() == (5, 5 * 1008)

    for encoding, raw, text in (
        ("br", plain, "Content-Encoding br is not supported"),
        ("gzip", plain, "the body is not gzip"),
        ("gzip", gzip.compress(plain)[:-9], "its end is missing"),
        ("deflate", b"\xff" * 10, "the body is not deflate"),
    ):
        refused = queue.post("/messages", raw=raw, headers={"Content-Encoding": encoding})
        assert (refused.status, refused.error["code"]) == (415, 10208)
        assert text in refused.error["message"]
        assert api.post("/queues", raw=raw, headers={"Content-Encoding": encoding}).error["code"] == 10026
    bomb = gzip.compress(b'{"body":"' + b" " * 100_000_000)
    refused = queue.post("/messages", raw=bomb, headers={"Content-Encoding": "gzip"})
    assert (refused.status, refused.error["code"]) == (413, 10204)
    assert queue.backlog()[0] == 5


@pytest.mark.parametrize("size", [3_000_000, 10_000_000])
def test_large_bodies(api: Api, size: int) -> None:
    queue = api.queue()
    raw = json.dumps({"body": "x" * size, "content_type": "text"})
    refused = queue.post("/messages", raw=raw)
    assert (refused.status, refused.error["code"]) == (413, 10204)
    refused = queue.post("/messages/batch", raw=raw)
    assert (refused.status, refused.error["code"]) == (413, 10205)
    refused = api.post("/queues", raw=raw)
    assert (refused.status, refused.error["code"]) == (413, 10026)
    assert queue.backlog() == (0, 0)


@pytest.mark.parametrize("path", ["/nix", "", "/queues/", "/queues//", "/queues/x/y/z", "/r2/buckets"])
def test_no_such_route(api: Api, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = api.call(method, f"/client/v4/accounts/{ACCOUNT}{path}" if path else "/client/v4")
        assert answer.status == 404
        assert [e["code"] for e in answer.envelope["errors"]] == [7003, 7000]
        assert answer.error["message"].startswith("Could not route to ")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "/queues"), ("POST", "/queues/x"), ("GET", "/queues/x/messages"), ("PUT", "/queues/x/purge")],
)
def test_no_such_method(api: Api, method: str, path: str) -> None:
    refused = api.call(method, path)
    assert (refused.status, refused.error["code"]) == (405, 7001)
    assert refused.error["message"] == f"Method {method} not available for that URI."


def test_head(api: Api) -> None:
    reply = api.server.request("HEAD", f"/client/v4/accounts/{ACCOUNT}/queues", headers=api.headers)
    assert (reply.status, reply.body) == (200, b"")


def half_a_request(api: Api, queue: Queue, sent: bytes, length: int) -> socket.socket:
    """A request whose body ends before its length says so."""
    client = socket.create_connection(("127.0.0.1", api.port), timeout=30)
    head = (
        f"POST /client/v4/accounts/{ACCOUNT}/queues/{queue.id}/messages HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer x\r\nContent-Length: {length}\r\n\r\n"
    )
    client.sendall(head.encode() + sent)
    return client


def test_a_client_that_hangs_up_half_way(api: Api) -> None:
    """What came is not taken for the whole, although it is valid by itself."""
    queue = api.queue()
    body = b'{"body":{"a":1}}'
    for _ in range(20):
        half_a_request(api, queue, body, len(body) + 1).close()
    reset = half_a_request(api, queue, body, len(body) + 1)
    reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    reset.close()
    waiting = half_a_request(api, queue, body, len(body) + 1)
    queue.push({"whole": True})
    assert queue.backlog() == (1, len(b'{"whole":true}'))
    waiting.sendall(b" ")
    assert waiting.recv(12) == b"HTTP/1.1 200"
    waiting.close()
    assert queue.backlog()[0] == 2
    assert "Traceback" not in api.server.output


def test_a_client_that_hangs_up_before_the_answer(api: Api) -> None:
    """It was asked for in whole, so it is done."""
    queue = api.queue()
    body = b'{"body":{"a":1}}'
    for _ in range(10):
        half_a_request(api, queue, body, len(body)).close()
    deadline = threading.Event()
    for _ in range(200):
        if queue.backlog()[0] == 10:
            break
        deadline.wait(0.02)
    assert queue.backlog() == (10, 70)


def test_a_thousand_open_connections(api: Api) -> None:
    queue = api.queue()
    body = b'{"body":{"a":1}}'
    clients = [half_a_request(api, queue, body, len(body) + 1) for _ in range(1_000)]
    try:
        queue.push({"a": 1})
        assert queue.backlog()[0] == 1
        for client in clients:
            client.sendall(b" ")
        for client in clients:
            assert client.recv(12) == b"HTTP/1.1 200"
        assert queue.backlog()[0] == 1_001
    finally:
        for client in clients:
            client.close()


def test_requests_in_one_breath(api: Api) -> None:
    """Pipelined on one connection: answered in order, each for itself."""
    queue = api.queue()
    head = f"POST /client/v4/accounts/{ACCOUNT}/queues/{queue.id}/messages HTTP/1.1\r\nHost: localhost\r\n"
    head += "Authorization: Bearer x\r\nContent-Length: "
    good, bad = '{"body":{}}', '{"body":"x"}'
    breath = "".join(f"{head}{len(body)}\r\n\r\n{body}" for body in [good, bad] * 5)
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as client:
        client.sendall(breath.encode())
        received = b""
        while received.count(b"HTTP/1.1") < 10:
            part = client.recv(65536)
            assert part
            received += part
    statuses = re.findall(rb"HTTP/1.1 (\d+)", received)
    assert statuses == [b"200", b"400"] * 5
    assert queue.backlog() == (5, 10)


def test_a_state_that_cannot_be_written(own_api: Api) -> None:
    """Said with the code and the next step; nothing is half done, and it goes on when the other program has ended."""
    queue = own_api.pull_queue()
    queue.push("a")
    with closing(sqlite3.connect(own_api.server.state / "wpy.sqlite", isolation_level=None)) as elsewhere:
        elsewhere.execute("BEGIN IMMEDIATE")
        refused = queue.post("/messages", {"body": {}})
        assert (refused.status, refused.error["code"]) == (500, 15000)
        assert "locked by another program" in refused.error["message"]
        refused = queue.post("/messages/pull", {})
        assert (refused.status, refused.error["code"]) == (500, 15000)
        assert queue.backlog() == (1, 1)
        elsewhere.execute("ROLLBACK")
    assert len(queue.pull()) == 1


def test_very_many_of_everything(api: Api) -> None:
    """As many as fit into a body: done, or refused; others are served meanwhile."""
    queue = api.pull_queue(max_retries=100)
    for _ in range(5):
        assert queue.post("/messages/batch", {"messages": [{"body": {}}] * 100}).result
    leases = [m["lease_id"] for _ in range(5) for m in queue.pull(batch_size=100)]
    strange = [{"lease_id": f"{n:032x}"} for n in range(30_000)]
    result = queue.post("/messages/ack", {"acks": [*strange, *({"lease_id": lease} for lease in leases)]}).result
    assert (result["ackCount"], len(result["warnings"])) == (500, 30_000)
    result = queue.post("/messages/ack", {"acks": [], "retries": strange}).result
    assert (result["retryCount"], len(result["warnings"])) == (0, 30_000)
    result = queue.post("/messages/purge", {"refs": [{"ref": f"x{n}"} for n in range(30_000)]}).result
    assert len(result["errors"]) == 30_000
    assert queue.backlog() == (0, 0)
    refused = api.get("/queues?" + "&".join(["name=x"] * 1_001))
    assert (refused.status, refused.error["code"]) == (400, 10026)
