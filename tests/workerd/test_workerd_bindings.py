"""Every binding of a JavaScript Worker (all_bindings/), used by the Worker itself and compared with what real `wrangler dev`
4.86 answers to the same requests; where they differ on purpose, a comment says so."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import shutil
import urllib.request
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import websockets
from dev_server import DevServer
from js_project import JsProject

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    js = JsProject(tmp_path_factory.mktemp("bindings") / "project")
    shutil.copytree(HERE / "all_bindings", js.folder / "all")
    yield js.start(configs=("all/wrangler.jsonc",))
    js.stop()


def answer(server: DevServer, path: str) -> Any:
    reply = server.get(path)
    assert reply.status == 200, reply.text
    return reply.json()


def test_kv(server: DevServer) -> None:
    assert answer(server, "/kv") == {
        "meta": {"value": "välue", "metadata": {"x": "ü", "n": 1}, "cacheStatus": None},
        "json": {"a": 1},
        "none": None,
        "list": {
            "keys": [{"name": "a/b ü", "metadata": {"x": "ü", "n": 1}}, {"name": "j"}],
            "list_complete": True,
            "cacheStatus": None,
        },
        "bulk": [["j", '{"a":1}'], ["nope", None]],
        "bytes": [1, 2, 255],
        "stream": "streamed",
        "err": "Error: KV PUT failed: 400 Invalid expiration_ttl of 5. Expiration TTL must be at least 60.",
        "err2": "TypeError: Key name cannot be empty.",
        "err3": "Error: KV PUT failed: 414 UTF-8 encoded length of 600 exceeds key length limit of 512.",
        "deleted": None,
    }


def test_r2(server: DevServer) -> None:
    got = answer(server, "/r2")
    md5 = hashlib.md5(b"hello world").hexdigest()
    http = {"contentType": "text/plain", "cacheExpiry": "2001-09-09T01:46:40.000Z"}
    # wrangler's storage class is "": production has one.
    assert got["put"] == ["dir/a.txt", 11, md5, f'"{md5}"', http, {"a": "ü"}, {"md5": md5}, "Standard"]
    assert got["get"] == ["hello world", {"offset": 0, "length": 11}, http]
    assert (got["range"], got["suffix"], got["head"], got["none"], got["nohead"]) == ("wor", "world", 11, None, None)
    assert (got["cond"], got["putcond"]) == (["dir/a.txt", False], None)
    assert got["list"] == [["top"], ["dir/"], False]
    assert got["list2"] == [["dir/a.txt"], True, "string"]
    assert (got["big"], got["multi"], got["after"]) == (300000, [5 * 1024 * 1024 + 4, True], ["multi", "top"])
    assert got["err"] == (
        "Error: put: The MD5 checksum you specified did not match what we received.\nYou provided a MD5 checksum with "
        f"value: {'0' * 32}\nActual MD5 was: {hashlib.md5(b'x').hexdigest()} (10037)"
    )
    assert got["err2"] == "Error: get: The requested range is not satisfiable (10039)"


def test_d1_and_drizzle(server: DevServer) -> None:
    assert answer(server, "/d1") == {
        "exec": 1,
        "run": [True, 1, 1, True, []],
        "batch": [[], [{"name": "ann"}, {"name": "bob"}]],
        "first": "ann",
        "all": [{"id": 1, "name": "ann"}, {"id": 2, "name": "bob"}],
        "raw": [["id", "name"], [1, "ann"], [2, "bob"]],
        "blob": {"b": [1, 2]},
        "null": {"n": None},
        "unique": "Error: D1_ERROR: UNIQUE constraint failed: users.name: SQLITE_CONSTRAINT (extended: "
        "SQLITE_CONSTRAINT_UNIQUE)",
        "syntax": 'Error: D1_ERROR: near "SELEC": syntax error at offset 0: SQLITE_ERROR',
        "execerr": 'Error: D1_EXEC_ERROR: Error in line 1: INSERT nope: near "nope": syntax error at offset 7: SQLITE_ERROR',
        "undef": "Error: D1_TYPE_ERROR: Type 'undefined' not supported for value 'undefined'",
        "session": [{"one": 1}, "string"],
        "drizzle": [{"id": 3, "name": "driz"}],
        "dbatch": 2,
    }


def test_modules_services_and_the_small_bindings(server: DevServer) -> None:
    got = answer(server, "/misc")
    assert (got["hello"], got["sql"], got["notes"], got["bin"]) == ("hello text\n", "select 1\n", "# Notes\n", 7)
    assert (got["wasm"], got["aliased"], got["defined"]) == (5, "an alias", "by the config")
    assert (got["hash"], got["buf"], got["ua"]) == ("0cc175b9c0f1b6a831c399e269772661", "aGk=", "Cloudflare-Workers")
    assert got["object"] == {"a": [1, "ü"]}
    assert got["limit"] == [True, True, False]
    assert got["version"] == ["id", "tag", "timestamp"]
    assert (got["self"], got["named"], got["nobody"][0]) == (5, "named", 503)
    assert got["asset"] == [200, "text/html; charset=utf-8", "<h1>page</h1>\n"]
    assert got["missing"] == 404
    assert server.get("/page").text == "<h1>page</h1>\n"
    assert server.get("/").text == "hono"
    assert answer(server, "/proc") == ["hi", "string"]
    assert answer(server, "/cache") == ["cached", "HIT", True, True, True]
    assert answer(server, "/do") == {"inc": 1, "sql": 1, "alarms": 1}


def test_email_is_written_to_files_and_told(server: DevServer) -> None:
    no, refused = "From: header does not match mail from", "email to bob@example.com not allowed"
    assert answer(server, "/email") == ["string", no, "invalid message-id", "string", refused]
    server.wait_for(r"env\.MAIL: email to ann@example\.com kept, not sent: Built")
    files = [Path(server.wait_for(r"(/\S+\.eml)$", count=count)[1]) for count in (1, 2)]
    raw, built = (message_from_bytes(file.read_bytes(), policy=policy.default) for file in files)
    assert raw["subject"] == "Raw" and files[0].read_bytes().endswith("\r\n\r\nhello ü\r\n".encode())
    assert str(built["from"]) == "Me <me@example.com>"
    assert [part.get_content().strip() for part in built.iter_parts()] == ["plain", "<b>html</b>"]


def test_queue_bodies_limits_and_metrics(server: DevServer) -> None:
    sent = answer(server, "/send")
    # wrangler answers "Unknown Internal Error (15000)" to all of these; production names them.
    assert sent["errs"] == [
        "Error: message length of 200002 bytes exceeds limit of 128000 (10204)",
        "Error: delaySeconds of 90000 is not between 0 and 86400 (10203)",
        "TypeError: sendBatch() requires at least one message",
        "TypeError: Unsupported queue message content type: nope",
        "Error: batch message count of 101 exceeds limit of 100 (10206)",
        "Error: delaySeconds of -1 is not between 0 and 86400 (10203)",
    ]
    assert (sent["metrics"]["backlogCount"], sent["metrics"]["backlogBytes"] > 40) == (7, True)
    server.wait_for(r"QUEUE jobs (1/1|7/7)")  # the one with a delay comes by itself, on a slow machine with the others
    bodies = [body for body, attempts, _ in answer(server, "/got") if attempts == 1]
    expected = [{"a": 1}, "text", "ab3", ["map", [[1, "x"]], 0, "bigint"], "j", "set", "del"]
    assert sorted(map(repr, bodies)) == sorted(map(repr, expected))


def test_streams_and_websockets(server: DevServer) -> None:
    data = os.urandom(20_000_000)
    assert server.post("/upload", body=data).json() == [len(data), hashlib.md5(data).hexdigest()]
    assert hashlib.md5(server.get("/download").body).digest() == hashlib.md5(data).digest()

    with urllib.request.urlopen(f"{server.url}/sse") as events:
        assert events.readline() == b"data: 0\n"  # while the others are still to come
        assert events.read().split() == [b"data:", b"1", b"data:", b"2"]

    for query in ("", "?auto=1"):
        plain = server.get(f"/zipped{query}", headers={"accept-encoding": "identity"})
        assert (plain.body, plain.headers.get("content-encoding")) == (b"zipped " * 50, None)
        packed = server.get(f"/zipped{query}", headers={"accept-encoding": "br, gzip"})
        assert (gzip.decompress(packed.body), packed.headers["content-encoding"]) == (b"zipped " * 50, "gzip")
    assert server.request("HEAD", "/").headers.get("content-length") is None  # the Worker's body is not known

    async def talk() -> tuple[Any, Any, int | None]:
        async with websockets.connect(server.url.replace("http", "ws") + "/ws") as socket:
            await socket.send("hi")
            first = await socket.recv()
            await socket.send("x" * 100_000)
            second = await socket.recv()
        return first, len(second), socket.close_code

    assert asyncio.run(talk()) == ("echo hi", 100_005, 1000)
