"""Requests that a worker makes: to a server on the loopback interface."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    released = threading.Event()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path
        if path == "/redirect":
            self.answer(302, location="/echo?from=redirect")
        elif path == "/away":
            self.answer(302, location=f"http://localhost:{self.server.server_address[1]}/echo")
        elif path == "/loop":
            self.answer(302, location="/loop")
        elif path == "/gzip":
            self.answer(200, gzip.compress(b"squeezed " * 1000), content_encoding="gzip")
        elif path == "/empty":
            self.answer(204)
        elif path == "/stream":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nfirst\r\n")
            self.wfile.flush()
            Handler.released.wait(10)
            self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")
        elif path == "/hang":
            time.sleep(5)
        elif path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"not all")
            self.close_connection = True
        else:
            size = int(self.headers.get("Content-Length") or 0)
            body = {
                "method": self.command,
                "path": path,
                "headers": [[name.lower(), value] for name, value in self.headers.items()],
                "body": self.rfile.read(size).decode("latin-1"),
            }
            self.answer(200, json.dumps(body).encode(), content_type="application/json", x_one="1")

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.released.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()


@pytest.fixture
def run(worker, server):
    w = worker("""
        import asyncio, js, json
        from js import AbortController, Object
        from pyodide.ffi import JsException, to_js
        from pyodide.http import AbortError, HttpStatusError, pyfetch
        from workers import FormData, Request, Response, WorkerEntrypoint, fetch
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                scope = dict(globals(), BASE=request.headers["x-base"])
                exec(await request.text(), scope)
                try:
                    result = await scope["main"]()
                except Exception as error:
                    return Response.json(f"{type(error).__name__}: {error}")
                return Response.json(result)
    """)

    def run(code: str) -> Any:
        source = "async def main():\n" + "\n".join("    " + line for line in code.strip().splitlines())
        answer = w.fetch(method="POST", body=source.encode(), headers=[("x-base", server)])
        assert answer.status == 200, answer.result["error"]
        return answer.json

    run.worker = w
    return run


def test_a_get(run):
    seen = run("""
r = await fetch(BASE + "/echo?a=b")
return [r.status, r.ok, r.headers["content-type"], r.headers["x-one"], r.url, r.redirected, await r.json()]
""")
    assert seen[:3] == [200, True, "application/json"]
    assert seen[3] == "1"
    assert seen[4].endswith("/echo?a=b") and seen[5] is False
    assert seen[6]["method"] == "GET" and seen[6]["path"] == "/echo?a=b"
    assert ["accept-encoding", "gzip"] in seen[6]["headers"]
    assert not [value for name, value in seen[6]["headers"] if name == "user-agent"]


def test_a_post_with_headers_and_a_body(run):
    seen = run("""
r = await fetch(BASE + "/echo", method="POST", body=json.dumps({"a": 1}), headers={"Content-Type": "application/json", "X-A": "é"})
return await r.json()
""")
    assert (seen["method"], seen["body"]) == ("POST", '{"a": 1}')
    assert ["content-type", "application/json"] in seen["headers"]
    seen = run("return await (await fetch(BASE + '/echo', method='PUT', body=b'\\x00\\xff')).json()")
    assert (seen["method"], seen["body"]) == ("PUT", "\x00\xff")
    seen = run("return await (await fetch(Request(BASE + '/echo', method='DELETE', headers={'a': 'b'}))).json()")
    assert seen["method"] == "DELETE" and ["a", "b"] in seen["headers"]


def test_javascripts_fetch(run):
    seen = run("""
r = await js.fetch(BASE + "/echo", method="POST", body="x")
text = await r.text()
return [r.status, json.loads(text)["body"], r.headers.get("x-one"), r.bodyUsed]
""")
    assert seen == [200, "x", "1", True]
    seen = run("""
r = await js.fetch(BASE + "/echo", to_js({"headers": {"a": "b"}}, dict_converter=Object.fromEntries))
return (await r.json()).headers.to_py()
""")
    assert ["a", "b"] in seen


def test_redirects(run):
    seen = run("""
r = await fetch(BASE + "/redirect", method="POST", body="x")
echo = await r.json()
m = await fetch(BASE + "/redirect", redirect="manual")
return [r.redirected, r.url.rpartition("/")[2], echo["method"], echo["body"], m.status, m.headers["location"]]
""")
    assert seen == [True, "echo?from=redirect", "GET", "", 302, "/echo?from=redirect"]
    assert run("return await fetch(BASE + '/loop')") == "AbortError: Too many redirects."


def test_credentials_stay_with_their_origin(run):
    code = "return (await (await fetch(BASE + '{}', headers={{'authorization': 'x'}})).json())['headers']"
    assert ["authorization", "x"] in run(code.format("/redirect"))
    assert ["authorization", "x"] not in run(code.format("/away"))


def test_gzip_and_empty_answers(run):
    assert run("return len(await (await fetch(BASE + '/gzip')).text())") == 9000
    assert run("r = await fetch(BASE + '/empty')\nreturn [r.status, await r.text(), r.body is None]") == [204, "", True]


def test_a_body_that_is_streamed(run):
    Handler.released.clear()
    code = """
r = await fetch(BASE + "/stream")
sizes = []
async for chunk in r.body:
    sizes.append(chunk.to_bytes().decode())
    if len(sizes) == 1:
        print("first is here")
return sizes
"""
    w = run.worker

    def release() -> None:
        while "first is here" not in w.lines():
            time.sleep(0.01)
        Handler.released.set()

    thread = threading.Thread(target=release)
    thread.start()
    assert run(code) == ["first", "second"]
    thread.join()


def test_what_fails(run):
    assert run("return await fetch('http://127.0.0.1:1/')").startswith(
        "AbortError: Network connection lost. (127.0.0.1:1: "
    )
    assert run("await js.fetch('http://127.0.0.1:1/')").startswith("JsException: Error: Network connection lost.")
    assert run("await js.fetch('ftp://x/')") == "JsException: TypeError: Fetch API cannot load: ftp://x/"
    assert run("await js.fetch('x')") == "JsException: TypeError: Invalid URL: x"
    assert "Network connection lost" in run("return await (await fetch(BASE + '/cut')).text()")
    assert run("(await pyfetch(BASE + '/missing')).raise_for_status()") is None


def test_a_request_that_is_aborted(run):
    seen = run("""
controller = AbortController.new()
asyncio.get_running_loop().call_later(0.05, controller.abort)
await js.fetch(BASE + "/hang", signal=controller.signal)
""")
    assert seen == "JsException: AbortError: The operation was aborted"
    seen = run("""
async with asyncio.timeout(0.05):
    await fetch(BASE + "/hang")
""")
    assert seen.startswith("TimeoutError")


def test_many_at_once_and_while_blocked(run):
    seen = run("""
from pyodide.ffi import run_sync
answers = await asyncio.gather(*[fetch(BASE + f"/echo?{n}") for n in range(20)])
paths = [(await a.json())["path"] for a in answers]
return [paths == [f"/echo?{n}" for n in range(20)], run_sync(fetch(BASE + "/echo")).status]
""")
    assert seen == [True, 200]
