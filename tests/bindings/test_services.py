"""Service bindings: one Worker calls another's fetch and methods, with values, functions, streams and errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dev_server import DevServer
from session_project import Project

CALLER = """
    import asyncio, datetime, json
    import js
    from pyodide.ffi import JsException, to_js
    from workers import Request, Response, WorkerEntrypoint, env, fetch, import_from_javascript
    from workers.rpc import _FetcherWrapper, _RpcStubWrapper

    class Named(WorkerEntrypoint):
        async def hello(self, name):
            return f"hello {name} {self.ctx.props.tone}"

    async def fails(call):
        try:
            await call
        except Exception as error:
            return f"{type(error).__name__}|{error}"
        return "no error"

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            other = self.env.OTHER
            path = request.url.rsplit("/", 1)[1]
            return await getattr(self, path)(other, request)

        async def values(self, other, request):
            assert isinstance(other, _FetcherWrapper)
            date = datetime.datetime(2026, 1, 2, 3, 4, 5)
            given = {"a": [1, 2.5, "x", None, True, {"b": "c"}], "big": 2**60, "bytes": b"\\x00\\xff", "date": date,
                     "set": {1, 2}}
            back = await other.echo(given)
            assert back["a"] == given["a"] and back["big"] == 2**60, back
            assert bytes(back["bytes"]) == b"\\x00\\xff" and back["date"] == date and back["set"] == {1, 2}
            assert await other.add(1, 2) == 3
            assert await other.nothing() is None
            shared = await other.shared()
            assert shared[0] == shared[1] == {"k": 1}
            return Response("fine")

        async def stubs(self, other, request):
            calls = []
            async def progress(done, total):
                calls.append((done, total))
                return done * 10
            assert await other.work(progress) == [10, 20, 30]
            assert calls == [(1, 3), (2, 3), (3, 3)]
            counter = await other.counter(5)
            assert isinstance(counter, _RpcStubWrapper), type(counter)
            assert [await counter(1), await counter(2)] == [6, 8]
            assert await other.call_back(counter) == 9
            return Response("fine")

        async def errors(self, other, request):
            return Response.json([
                await fails(other.broken()), await fails(other.js_broken()), await fails(other.no_such_method()),
                await fails(self.env.LOST.method()), (await self.env.LOST.fetch("http://x/")).status,
                await fails(other.fetch("http://x/broken")), await fails(self.env.NO_ENTRY.method()),
            ])

        async def http(self, other, request):
            answer = await other.fetch("http://other/path?q=1", method="POST", body="a body", headers={"X-A": "1"})
            first = [answer.status, answer.headers["X-B"], await answer.json()]
            via_request = await other.fetch(Request("http://other/request", method="PUT", body="b"))
            moved = await other.fetch("http://other/moved")
            kept = await other.fetch("http://other/moved", redirect="manual")
            return Response.json([first, await via_request.json(), moved.url, await moved.text(), kept.status])

        async def streams(self, other, request):
            got = await other.fetch("http://other/slow")
            reader = got.body.getReader()
            pieces = []
            while not (step := await reader.read()).done:
                pieces.append(step.value.to_string())
            assert "".join(pieces) == "piece 0;piece 1;piece 2;", pieces
            passed_on = await other.fetch("http://other/length", method="POST", body=request.body)
            response = await other.respond()
            return Response.json([await passed_on.text(), await response.text(), response.status])

        async def named(self, other, request):
            assert (await self.env.ADMIN.rename("x")) == "admin renamed x for sam"
            answer = await self.env.ADMIN.fetch("http://x/")
            module = import_from_javascript("cloudflare:workers")
            assert await module.exports.Named(
                to_js({"props": {"tone": "soft"}}, dict_converter=js.Object.fromEntries)).hello("all") == "hello all soft"
            assert js.Cloudflare.compatibilityFlags.enable_ctx_exports is True
            mine = self.ctx.exports.Named(to_js({"props": {"tone": "loud"}}, dict_converter=js.Object.fromEntries))
            return Response.json([await answer.text(), await mine.hello("you"), await env.OTHER.add(2, 3)])
"""

OTHER = """
    import asyncio
    import js
    from workers import Response, WorkerEntrypoint

    class Admin(WorkerEntrypoint):
        async def rename(self, name):
            return f"admin renamed {name} for {self.ctx.props.user}"
        async def fetch(self, request):
            return Response(f"admin fetch for {self.ctx.props.user}")

    class Default(WorkerEntrypoint):
        def echo(self, value):
            return value
        async def add(self, a, b):
            return a + b
        async def nothing(self):
            pass
        async def shared(self):
            one = {"k": 1}
            return [one, one]
        async def work(self, progress):
            return [await progress(number, 3) for number in (1, 2, 3)]
        async def counter(self, start):
            total = start
            async def add(by):
                nonlocal total
                total += by
                return total
            return add
        async def call_back(self, counter):
            return await counter(1)
        async def broken(self):
            raise ValueError("remote trouble")
        async def js_broken(self):
            raise js.RangeError.new("out of range")
        async def respond(self):
            return Response("made there", status=203)

        async def fetch(self, request):
            path = js.URL.new(request.url).pathname
            if path == "/moved":
                return Response(None, status=302, headers={"Location": "/there"})
            if path == "/broken":
                raise KeyError("lost key")
            if path == "/length":
                return Response(str(len(await request.text())))
            if path == "/slow":
                async def start(controller):
                    for number in range(3):
                        controller.enqueue(js.TextEncoder.new().encode(f"piece {number};"))
                        await asyncio.sleep(0.001)
                    controller.close()
                return Response(js.ReadableStream.new(start=start))
            return Response.json({"url": request.url, "method": request.method, "body": await request.text(),
                                  "header": request.headers.get("X-A")}, status=201, headers={"X-B": "2"})
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    folder: Path = tmp_path_factory.mktemp("services")
    caller = Project(folder / "caller")
    caller.config(
        """
        services = [
          { binding = "OTHER", service = "other" },
          { binding = "ADMIN", service = "other", entrypoint = "Admin", props = { user = "sam" } },
          { binding = "NO_ENTRY", service = "other", entrypoint = "Nobody" },
          { binding = "LOST", service = "lost" },
        ]
        """,
        name="caller",
    )
    caller.code(CALLER)
    other = Project(folder / "other")
    other.config(name="other")
    other.code(OTHER)
    server = caller.start("-c", "wrangler.toml", "-c", str(other.folder / "wrangler.toml"))
    yield server
    caller.stop()


@pytest.mark.parametrize("what", ["values", "stubs"])
def test_values_and_functions_cross(session: DevServer, what: str) -> None:
    answer = session.get(f"/{what}")
    assert answer.text == "fine"


def test_errors_are_carried(session: DevServer) -> None:
    broken, js_broken, missing, lost, lost_status, fetched, no_entry = session.get("/errors").json()
    assert broken.startswith("JsException|Error: PythonError: Traceback") and "ValueError: remote trouble" in broken
    assert js_broken == "JsException|RangeError: out of range"
    assert "Method no_such_method does not exist" in missing
    assert 'Cannot access "method" as we couldn\'t find a local dev session for the "default" entrypoint' in lost
    assert lost_status == 503
    assert "KeyError: 'lost key'" in fetched
    assert 'Worker "other" has no entrypoint named "Nobody". It exports: Admin, Default' in no_entry


def test_errors_keep_their_name_from_2026_04_21(tmp_path: Path) -> None:
    project = Project(tmp_path)
    path = project.config('services = [{ binding = "SELF", service = "app", entrypoint = "Broken" }]\n')
    path.write_text(path.read_text().replace("2026-03-01", "2026-04-21"))
    project.code(
        """
        from workers import Response, WorkerEntrypoint
        class Broken(WorkerEntrypoint):
            async def fails(self):
                raise ValueError("remote trouble")
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                try:
                    await self.env.SELF.fails()
                except Exception as error:
                    return Response.json([error.name, error.message.splitlines()[-1], error.remote])
        """
    )
    with project.server() as server:
        assert server.get("/").json() == ["PythonError", "ValueError: remote trouble", True]


def test_fetch_of_another_worker(session: DevServer) -> None:
    first, via_request, moved_url, moved, kept = session.get("/http").json()
    assert first == [
        201, "2", {"url": "http://other/path?q=1", "method": "POST", "body": "a body", "header": "1"}
    ]  # fmt: skip
    assert via_request["method"] == "PUT"
    assert moved_url == "http://other/there" and '"/there"' not in moved
    assert kept == 302


def test_bodies_stream_both_ways(session: DevServer) -> None:
    data = b"x" * 300_000
    assert session.request("POST", "/streams", body=data).json() == ["300000", "made there", 203]


def test_named_entrypoints_props_and_exports(session: DevServer) -> None:
    assert session.get("/named").json() == ["admin fetch for sam", "hello you loud", 5]
