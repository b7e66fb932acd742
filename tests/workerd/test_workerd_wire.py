"""The protocols of workerd's bindings, without workerd: requests as workerd 1.20260426.1 sent them, replayed byte by byte
against the adapters with the real broker and engines behind them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httptools
import pytest

from wrangler_py.bindings.cache import CacheStore
from wrangler_py.bindings.storage import BindingStorage
from wrangler_py.clock import VirtualClock
from wrangler_py.events.log import EventLog
from wrangler_py.queues.broker import Broker
from wrangler_py.runtime.workerd.adapters.cache import CacheAdapter
from wrangler_py.runtime.workerd.adapters.d1 import D1Adapter
from wrangler_py.runtime.workerd.adapters.kv import KvAdapter
from wrangler_py.runtime.workerd.adapters.queue import QueueAdapter
from wrangler_py.runtime.workerd.adapters.r2 import R2Adapter
from wrangler_py.runtime.workerd.loopback import Loopback
from wrangler_py.store.database import open_store
from wrangler_py.store.sessions import open_session


class Answer:
    """What came back."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        self.reason = ""
        self.complete = False

    def on_status(self, reason: bytes) -> None:
        self.reason += reason.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode("utf-8")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """The loopback server with everything behind it, and one connection of workerd's."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(1_772_000_000_000)
        self.store = open_store(folder / "state")
        session = open_session(self.store, self.clock.now_ms())
        self.broker = Broker(self.store, self.clock, EventLog(self.clock), session.id)
        self.storage = BindingStorage(folder / "state", self.clock)
        self.loopback = Loopback(str(folder / "wpy.sock"))
        self.loopback.immediate["queue"] = QueueAdapter(self.broker, self)
        self.loopback.handlers |= {
            "kv": KvAdapter(self.storage),
            "d1": D1Adapter(self.storage),
            "r2": R2Adapter(self.storage),
            "cache": CacheAdapter(CacheStore(self.clock)),
        }
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def span_of(self, worker: str) -> None:
        assert worker == "all"

    async def send(self, head: str, body: bytes = b"", *, pieces: int = 1) -> Answer:
        """One request on the kept connection. `head`: its lines; `pieces`: in so many writes the body comes; 0: in
        one with the head."""
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self.loopback.path)
        reader, writer = self._streams
        lines = [*head.strip().split("\n")]
        if body or lines[0].split()[0] in ("PUT", "POST", "PURGE", "DELETE"):
            lines.insert(1, f"Content-Length: {len(body)}")
        head_bytes = "\r\n".join((*lines, "", "")).encode()
        writer.write(head_bytes if pieces else head_bytes + body)
        step = max(1, -(-len(body) // pieces)) if pieces else 1
        body = body if pieces else b""
        for start in range(0, len(body), step):
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(body[start : start + step])
        answer = Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.complete:
            data = await reader.read(1 << 16)
            if not data:
                raise ConnectionError("closed before the end of the answer")
            parser.feed_data(data)
        answer.status = parser.get_status_code()  # type: ignore[attr-defined]
        if answer.headers.get("connection") == "close" or reader.at_eof():
            self._streams = None
        return answer


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[Wire]:
    made = Wire(tmp_path)
    await made.loopback.start()
    yield made
    await made.loopback.close()
    made.storage.close()
    made.store.close()


async def test_queue(wire: Wire) -> None:
    def message(more: str) -> str:
        return f"POST /message HTTP/1.1\nHost: fake-host\nContent-Type: application/octet-stream\nx-wpy: all queue/jobs\n{more}"

    sent = await wire.send(message("X-Msg-Fmt: json"), b'{"a":1}')
    metrics = {"backlogCount": 1, "backlogBytes": 7, "oldestMessageTimestamp": wire.clock.now_ms()}
    assert (sent.status, sent.json) == (200, {"metadata": {"metrics": metrics}})
    v8 = b'\xff\x0fo"\x01m;I\x02"\x01x:\x02{\x01'
    await wire.send(message("X-Msg-Fmt: v8"), v8)
    await wire.send(message("X-Msg-Fmt: bytes\nX-Msg-Delay-Secs: 60"), b"\1\2\3", pieces=3)
    await wire.send(message(""), v8)  # before 2024-03-18 no format means v8
    batch = {
        "messages": [
            {"body": "Imoi", "contentType": "json"},
            {"body": "/w8nSQIsAQ==", "contentType": "v8"},
            {"body": "ImRlbCI=", "contentType": "json", "delaySecs": 1},
        ]
    }
    head = "POST /batch HTTP/1.1\nHost: fake-host\nx-wpy: all queue/jobs\nX-Msg-Delay-Secs: 5\nCF-Queue-Batch-Count: 3"
    assert (await wire.send(head, json.dumps(batch).encode())).status == 200
    seen = await wire.send("GET /metrics HTTP/1.1\nHost: fake-host\nx-wpy: all queue/jobs")
    assert (seen.json["backlogCount"], seen.json["oldestMessageTimestamp"]) == (7, wire.clock.now_ms())

    claimed, _ = await wire.broker.claim("jobs", 10)
    bodies = [(m.content_type, m.body) for m in claimed]
    assert bodies == [("json", b'{"a":1}'), ("v8", v8), ("v8", v8)]  # the others are delayed
    assert wire.broker.first_waiting("jobs", 9) == [wire.clock.now_ms() + s * 1000 for s in (1, 5, 5, 60)]

    refusals = {
        "X-Msg-Fmt: text\nX-Msg-Delay-Secs: 90000": (10203, "delaySeconds of 90000 is not between 0 and 86400"),
        "X-Msg-Fmt: xml": (10203, "message content type xml is invalid"),
    }
    for more, (code, cause) in refusals.items():
        refused = await wire.send(message(more), b"x")
        assert (refused.status, refused.headers["cf-queues-error-code"]) == (400, str(code))
        assert refused.headers["cf-queues-error-cause"].startswith(cause)
        assert refused.reason.startswith(cause)  # older dates show the reason phrase
    broken = await wire.send(head, b'{"messages": [{"body": "no base64!"}]}')
    assert (broken.status, broken.headers["cf-queues-error-code"]) == (400, "10203")
    assert (await wire.send("GET /metrics HTTP/1.1\nHost: x\nx-wpy: all queue/jobs")).json["backlogCount"] == 7


async def test_requests_that_begin_alike(wire: Wire) -> None:
    def message(queue: str, more: str = "X-Msg-Fmt: text") -> str:
        return f"POST /message HTTP/1.1\nHost: fake-host\nx-wpy: all queue/{queue}\n{more}"

    for number, pieces in enumerate((0, 0, 1, 3, 0)):
        sent = await wire.send(message("a"), b"text%d" % number, pieces=pieces)
        assert sent.json["metadata"]["metrics"]["backlogCount"] == number + 1
        await wire.send(message("b", "X-Msg-Fmt: bytes"), b"byte%d" % number, pieces=pieces)
        assert (await wire.send(message("a", "X-Msg-Fmt: xml"), b"12345", pieces=pieces)).status == 400
        assert (await wire.send("GET /metrics HTTP/1.1\nHost: x\nx-wpy: all queue/b")).json[
            "backlogCount"
        ] == number + 1
    for queue, content_type, word in (("a", "text", b"text"), ("b", "bytes", b"byte")):
        claimed, _ = await wire.broker.claim(queue, 10)
        assert [(m.content_type, m.body) for m in claimed] == [(content_type, word + b"%d" % n) for n in range(5)]


async def test_kv(wire: Wire) -> None:
    key = "/a%2Fb%20%C3%BC?urlencoded=true"
    common = "Host: fake-host\nx-wpy: all kv/kv1"
    put = await wire.send(
        f'PUT {key}&expiration_ttl=3600 HTTP/1.1\n{common}\nCF-KV-Metadata: {{"x":"ü","n":1}}', b"v\xc3\xa4lue"
    )
    assert put.status == 200
    got = await wire.send(f"GET {key} HTTP/1.1\n{common}")
    assert (got.body, got.headers["cf-kv-metadata"]) == (b"v\xc3\xa4lue", '{"x":"ü","n":1}')
    assert got.headers["cf-expiration"] == str(wire.clock.now_ms() // 1000 + 3600)
    await wire.send(f"PUT /j?urlencoded=true HTTP/1.1\n{common}", b'{"a":1}')
    page = (await wire.send(f"GET /?prefix=&key_count_limit=1 HTTP/1.1\n{common}")).json
    assert ([entry["name"] for entry in page["keys"]], page["list_complete"]) == (["a/b ü"], False)
    assert page["keys"][0]["metadata"] == '{"x":"ü","n":1}'  # as text
    more = (await wire.send(f"GET /?prefix=&cursor={page['cursor']} HTTP/1.1\n{common}")).json
    assert (more["keys"], more["list_complete"]) == ([{"name": "j"}], True)
    bulk = await wire.send(
        f"POST /bulk/get HTTP/1.1\n{common}", b'{"keys":["j","nope"],"type":"json","withMetadata":true}'
    )
    assert bulk.json == {"j": {"value": {"a": 1}, "metadata": None}, "nope": None}
    refused = await wire.send(f"PUT /x?urlencoded=true&expiration_ttl=5 HTTP/1.1\n{common}", b"1")
    assert (refused.status, refused.reason) == (400, "Invalid expiration_ttl of 5. Expiration TTL must be at least 60.")
    assert (await wire.send(f"DELETE /j?urlencoded=true HTTP/1.1\n{common}")).status == 200
    assert (await wire.send(f"GET /j?urlencoded=true HTTP/1.1\n{common}")).status == 404
    await wire.clock.advance(3_600)
    assert (await wire.send(f"GET {key} HTTP/1.1\n{common}")).status == 404  # it has expired by the session's clock


async def test_d1(wire: Wire) -> None:
    common = "Host: d1\nContent-Type: application/json\nx-wpy: all d1/d1\nx-cf-d1-session-commit-token: first-primary"

    async def run(path: str, asked: Any) -> Answer:
        return await wire.send(f"POST {path} HTTP/1.1\n{common}", json.dumps(asked).encode(), pieces=2)

    none = "/execute?resultsFormat=NONE"
    made = await run(none, [{"sql": "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data BLOB);"}])
    assert (made.status, made.json[0]["success"], made.json[0]["results"]) == (200, True, [])
    await run(none, {"sql": "INSERT INTO users (name, data) VALUES (?, ?)", "params": ["ann", [1, 2, 255]]})
    rows = "/query?resultsFormat=ROWS_AND_COLUMNS"
    both = await run(
        rows,
        [
            {"sql": "INSERT INTO users (name) VALUES (?)", "params": ["bob"]},
            {"sql": "SELECT * FROM users", "params": []},
        ],
    )
    assert both.json[0]["meta"]["last_row_id"] == 2
    assert both.json[1]["results"] == {
        "columns": ["id", "name", "data"],
        "rows": [[1, "ann", [1, 2, 255]], [2, "bob", None]],
    }
    assert both.headers["x-cf-d1-session-commit-token"]
    objects = await run("/query", {"sql": "SELECT id FROM users WHERE name = ?", "params": ["bob"]})
    assert objects.json[0]["results"] == [{"id": 2}]
    failed = await run(rows, [{"sql": "DELETE FROM users"}, {"sql": "INSERT INTO users (id) VALUES (7), (7)"}])
    assert (failed.status, failed.json["success"]) == (500, False)
    assert "SQLITE_CONSTRAINT" in failed.json["error"]
    assert (await run(rows, {"params": []})).status == 400
    assert len((await run(rows, {"sql": "SELECT 1 FROM users"})).json[0]["results"]["rows"]) == 2  # one transaction


async def test_r2(wire: Wire) -> None:
    common = "Host: fake-host\nx-wpy: all r2/bucket"

    async def write(asked: Any, body: bytes = b"", pieces: int = 1) -> Answer:
        metadata = json.dumps({"version": 1, **asked}).encode()
        head = f"PUT / HTTP/1.1\n{common}\nCF-R2-Metadata-Size: {len(metadata)}"
        return await wire.send(head, metadata + body, pieces=pieces)

    async def read(asked: Any) -> tuple[Answer, Any, bytes]:
        answer = await wire.send(f"GET / HTTP/1.1\n{common}\nCF-R2-Request: {json.dumps({'version': 1, **asked})}")
        size = int(answer.headers.get("cf-r2-metadata-size", 0))
        return answer, json.loads(answer.body[:size] or "null"), answer.body[size:]

    fields = {"contentType": "text/plain", "cacheExpiry": "1000000000000"}
    custom = [{"k": "a", "v": "ü"}]
    put = await write(
        {"method": "put", "object": "dir/a", "customFields": custom, "httpFields": fields}, b"hello world", 9
    )
    assert (put.json["size"], put.json["customFields"]) == (11, custom)
    assert put.json["httpFields"] == {"contentType": "text/plain", "cacheExpiry": 1_000_000_000_000}
    for more, body, range_ in (
        ({}, b"hello world", {"offset": 0, "length": 11}),
        ({"range": {"offset": "6", "length": "3"}}, b"wor", {"offset": 6, "length": 3}),  # 64-bit numbers come as text
        ({"range": {"suffix": "5"}}, b"world", {"offset": 6, "length": 5}),
        ({"rangeHeader": "bytes=0-4"}, b"hello", {"offset": 0, "length": 5}),
    ):
        _, metadata, got = await read({"method": "get", "object": "dir/a", **more})
        assert (got, metadata["range"]) == (body, range_)
    missing, _, _ = await read({"method": "head", "object": "nope"})
    assert (missing.status, json.loads(missing.headers["cf-r2-error"])["v4code"]) == (404, 10007)
    condition = {"etagMatches": [{"value": "zzz", "type": "strong"}]}
    refused, metadata, _ = await read({"method": "get", "object": "dir/a", "onlyIf": condition})
    assert (refused.status, metadata["name"]) == (412, "dir/a")
    once = await write(
        {"method": "put", "object": "dir/a", "onlyIf": {"etagDoesNotMatch": [{"type": "wildcard"}]}}, b"x"
    )
    assert once.status == 412
    wrong = await write({"method": "put", "object": "x", "md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, b"x")
    assert json.loads(wrong.headers["cf-r2-error"])["v4code"] == 10037

    large = bytes(range(256)) * 8192  # 2 MiB, in pieces
    await write({"method": "put", "object": "large"}, large, 50)
    assert (await read({"method": "get", "object": "large"}))[2] == large
    _, page, _ = await read({"method": "list", "delimiter": "/", "include": [0], "newRuntime": True})
    assert (page["delimitedPrefixes"], [o["name"] for o in page["objects"]], page["truncated"]) == (
        ["dir/"],
        ["large"],
        False,
    )
    assert page["objects"][0]["customFields"] == []  # not asked for
    encrypted = await write({"method": "put", "object": "x", "ssec": {"key": "00"}}, b"x")
    assert "does not encrypt" in json.loads(encrypted.headers["cf-r2-error"])["message"]
    upload = (await write({"method": "createMultipartUpload", "object": "multi"})).json["uploadId"]
    part = {"method": "uploadPart", "object": "multi", "uploadId": upload}
    first = (await write({**part, "partNumber": 1}, b"x" * (5 << 20), 20)).json["etag"]
    last = (await write({**part, "partNumber": 2}, b"tail")).json["etag"]
    parts = [{"etag": first, "part": 1}, {"etag": last, "part": 2}]
    whole = await write({"method": "completeMultipartUpload", "object": "multi", "uploadId": upload, "parts": parts})
    assert whole.json["size"] == (5 << 20) + 4
    assert (await write({"method": "delete", "objects": ["dir/a", "large", "multi"]})).status == 200
    assert (await read({"method": "list", "newRuntime": True}))[1]["objects"] == []
    nonsense = await wire.send(f"PUT / HTTP/1.1\n{common}\nCF-R2-Metadata-Size: 999999999", b"{}")
    assert nonsense.status == 400


async def test_cache(wire: Wire) -> None:
    async def ask(method: str, body: bytes = b"", more: str = "Cache-Control: only-if-cached") -> Answer:
        return await wire.send(f"{method} http://x/a?b=1 HTTP/1.1\nx-wpy: all cache/all\n{more}", body)

    def response(cache_control: str, more: str = "") -> bytes:
        return f"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nCache-Control: {cache_control}\r\n{more}\r\ncached".encode()

    missed = await ask("GET")
    assert (missed.status, missed.headers["cf-cache-status"]) == (504, "MISS")
    assert (await ask("PUT", response("max-age=60", 'ETag: "1"\r\n'))).status == 204
    hit = await ask("GET")
    assert (hit.body, hit.headers["cf-cache-status"]) == (b"cached", "HIT")
    assert (await ask("GET", more="cf-cache-namespace: named")).status == 504
    assert (await ask("GET", more="Range: bytes=1-3")).body == b"ach"
    assert (await ask("GET", more='If-None-Match: "1"')).status == 304
    await wire.clock.advance(60)
    assert (await ask("GET")).status == 504
    assert (await ask("PUT", response("no-store"))).status == 413
    assert (await ask("PUT", response("max-age=60", "Set-Cookie: a=b\r\n"))).status == 413
    await ask("PUT", response("s-maxage=10"))
    assert [(await ask("PURGE")).status, (await ask("PURGE")).status] == [200, 404]


async def test_what_nobody_serves_is_told(wire: Wire) -> None:
    answer = await wire.send("GET / HTTP/1.1\nHost: x\nx-wpy: all telepathy/x")
    assert (answer.status, answer.body) == (501, b"wpy serves no 'telepathy'")
