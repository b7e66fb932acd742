"""ASGI and WSGI applications through the SDK's adapters."""

from __future__ import annotations

import json
import os

import pytest

from wrangler_py.runtime.worker import frames as f

pytestmark = pytest.mark.skipif("WPY_TEST_PYTHON" in os.environ, reason="Starlette is in this environment alone")

ASGI = """
    import asyncio, contextlib, threading
    from pyodide.ffi import run_sync
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Route
    from workers import WorkerEntrypoint, asgi

    @contextlib.asynccontextmanager
    async def lifespan(app):
        print("up")
        yield {"state": 5}
        print("down")

    async def home(request):
        env = request.scope["env"]
        return JSONResponse({"path": request.url.path, "query": dict(request.query_params), "who": env.WHO,
                             "state": request.state.state, "body": (await request.body()).decode()})

    async def stream(request):
        async def pieces():
            for number in range(3):
                yield f"piece {number};"
                await asyncio.sleep(0.001)
        return StreamingResponse(pieces(), status_code=201, headers={"x-a": "1"})

    async def background(request):
        async def later():
            await asyncio.sleep(0.01)
            print("background")
        return PlainTextResponse("ok", background=BackgroundTask(later))

    def sync(request):
        return PlainTextResponse(f"{threading.current_thread() is threading.main_thread()} {run_sync(asyncio.sleep(0, 5))}")

    async def broken(request):
        raise ValueError("in the app")

    app = Starlette(lifespan=lifespan, routes=[Route("/", home, methods=["GET", "POST"]), Route("/stream", stream),
        Route("/background", background), Route("/sync", sync), Route("/broken", broken)])
    Default = asgi.entrypoint(app)
"""


@pytest.fixture
def app(worker):
    return worker(ASGI, vars={"WHO": "me"})


def test_an_asgi_app(app):
    answer = app.fetch("http://localhost/?a=b%20c", "POST", b"hello")
    assert answer.status == 200, answer.result["error"]
    assert answer.json == {"path": "/", "query": {"a": "b c"}, "who": "me", "state": 5, "body": "hello"}
    assert app.lines(1) == ["up", "down"]
    assert app.fetch("http://localhost/nowhere").status == 404


def test_plain_route_functions_run_in_place_as_on_cloudflare(app):
    assert app.fetch("http://localhost/sync").text == "True 5"


def test_an_asgi_request_in_pieces(app):
    event = app.start_fetch("http://localhost/", "POST", b"he", more=True)
    app.send(f.BODY, event, b"llo", False)
    assert app.finish_fetch(event).json["body"] == "hello"


def test_an_asgi_stream(app):
    answer = app.fetch("http://localhost/stream")
    assert (answer.status, answer.header("x-a"), answer.text) == (201, "1", "piece 0;piece 1;piece 2;")
    assert len(answer.chunks) == 3
    assert app.lines(1) == ["up", "down"]


def test_an_asgi_background_task(app):
    answer = app.fetch("http://localhost/background")
    assert answer.text == "ok"
    assert app.lines(1) == ["up", "background", "down"]


def test_an_asgi_app_that_fails(app):
    answer = app.fetch("http://localhost/broken")
    assert answer.status == 500 or "ValueError: in the app" in answer.result["error"]
    assert "ValueError: in the app" in app.log_text(1)


def test_frameworks_are_named_for_the_next_spare(app):
    assert "starlette.applications" in app.info["modules"]
    assert app.info["files"] == [str(app.root / "src/entry.py")]


def test_a_spare_has_them_already(app, bare):
    spare = bare(ASGI, env={"WPY_PRELOAD": json.dumps(app.info["modules"])})
    info = spare.load(vars={"WHO": "me"})
    assert set(info["modules"]) >= set(app.info["modules"])  # or the spare after it would lack them
    assert spare.fetch("http://localhost/").json["who"] == "me"


def test_a_wsgi_app(worker):
    w = worker(
        """
        from workers import wsgi

        def app(environ, start_response):
            path = environ["PATH_INFO"]
            if path == "/broken":
                raise ValueError("in the app")
            body = environ["wsgi.input"].read()
            start_response("201 Created", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
            yield f"{environ['REQUEST_METHOD']} {path} {environ['QUERY_STRING']} {environ['HTTP_X_A']} ".encode()
            yield body
            yield environ["workers.env"].WHO.encode()

        Default = wsgi.entrypoint(app)
        """,
        vars={"WHO": "me"},
    )
    event = w.start_fetch("http://localhost/p%20q?a=b", "POST", b"he", headers=[("x-a", "1")], more=True)
    w.send(f.BODY, event, b"llo", True)
    w.send(f.BODY, event, b"", False)
    answer = w.finish_fetch(event)
    assert (answer.status, answer.text) == (201, "POST /p q a=b 1 hellome")
    assert [value for name, value in answer.headers if name.lower() == "set-cookie"] == ["a=1", "b=2"]
    assert "ValueError: in the app" in w.fetch("http://localhost/broken", headers=[("x-a", "1")]).result["error"]
