"""Projects in the shape of Cloudflare's Python examples: started as they are, asked over HTTP."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from dev_server import DevServer
from session_project import Project

from wrangler_py.config.bindings import KINDS

HERE = Path(__file__).parent


def needs(*modules: str) -> pytest.MarkDecorator:
    missing = [module for module in modules if find_spec(module) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def has_django_cf() -> bool:
    """Whether django-cf is here, in the shape it has from 0.2 on."""
    spec = find_spec("django_cf")
    return spec is not None and any((Path(folder) / "db").is_dir() for folder in spec.submodule_search_locations or ())


Start = Callable[..., DevServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(name, *arguments)`: a session in a copy of the project."""
    projects: list[Project] = []

    def begin(name: str, *arguments: str) -> DevServer:
        shutil.copytree(HERE / name, tmp_path / name)
        projects.append(Project(tmp_path / name))
        return projects[-1].start(*arguments)

    yield begin
    for project in projects:
        project.stop()


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """A server elsewhere on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            if self.path == "/json":
                answer = {"method": self.command, "body": body, "sent": self.headers.get("X-Sent", "")}
                self._answer("application/json", json.dumps(answer))
            else:
                page = (
                    '<html><head><title>Old</title><meta property="og:title" content="old"></head><body>x</body></html>'
                )
                self._answer("text/html; charset=utf-8", page)

        do_POST = do_GET

        def _answer(self, kind: str, text: str) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_hello(start: Start) -> None:
    assert start("hello").get("/").text == "Hello world!"


def test_binding(start: Start) -> None:
    assert start("binding").get("/").text == "baz"


@needs("fastapi", "jinja2")
def test_fastapi(start: Start) -> None:
    server = start("fastapi")
    assert server.get("/").json()["message"].startswith("This is an example of FastAPI")
    assert server.get("/hi/Ada").json() == {"message": "Hello, Ada!"}
    assert server.get("/env").json()["message"].endswith("My env var")
    item = {"name": "a", "description": None, "price": 1.5, "tax": None}
    assert server.post("/items/", json={"name": "a", "price": 1.5}).json() == item
    assert server.request("PUT", "/items/7?q=x", json={"name": "a", "price": 1.5}).json() == {
        "item_id": 7,
        **item,
        "q": "x",
    }
    assert server.get("/sync/3").json() == {"item_id": 3}
    assert server.post("/items/", json={"name": "a"}).status == 422
    assert server.get("/openapi.json").status == server.get("/docs").status == 200


def test_query_d1(start: Start, tmp_path: Path) -> None:
    shutil.copytree(HERE / "query-d1", tmp_path / "query-d1")
    project = Project(tmp_path / "query-d1")
    with project.server() as server:
        made = project.wpy("d1", "execute", "quotes", "--local", "--file", "schema.sql")
        assert made.code == 0, made.err
        assert server.get("/").json() == {"quote": "Now is better than never.", "author": "Tim Peters"}


def test_assets(start: Start) -> None:
    server = start("assets")
    page, icon = server.get("/"), server.get("/favicon.ico")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert icon.headers["content-type"] == "image/vnd.microsoft.icon"
    assert server.get("/script.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert server.get("/page").text == "<h1>From the Worker</h1>"
    assert server.get("/through/script.js").text == server.get("/script.js").text
    assert server.get("/nothing").status == 404


def test_durable_object(start: Start) -> None:
    server = start("durable-object")
    assert server.get("/").json() == []
    assert server.get("/add?message=one").text == "added"
    server.get("/add?message=two")
    assert server.get("/").json() == ["one", "two"]
    assert server.get("/hello").text == "Hello, World!"


def test_cron(start: Start) -> None:
    server = start("cron")
    assert server.get("/cdn-cgi/handler/scheduled?cron=*/3+*+*+*+*").status == 200
    server.wait_for(r"Cron triggered: \*/3 \* \* \* \* at 20")
    assert server.get("/").text == "Hello, World!"


@pytest.mark.skipif("python" not in KINDS["workflows"].served, reason="Workflows are not served yet")
def test_workflows(start: Start) -> None:
    server = start("workflows", "--clock", "virtual")
    instance = server.get("/create").json()["id"]
    for _ in range(50):
        server.wpy("clock", "advance", "2s")
        status = server.get(f"/status/{instance}").json()
        if status["status"] == "complete":
            break
    assert status == {"status": "complete", "output": {"total": 6, "given": {"who": "me"}}}


@needs("PIL")
def test_image_generation(start: Start) -> None:
    server = start("image-gen")
    image = server.get("/?text=Hi")
    assert image.headers["content-type"] == "image/png" and image.body.startswith(b"\x89PNG")
    assert server.get("/buffer?text=Hi").body == image.body


@needs("websockets")
def test_chatroom(start: Start) -> None:
    from websockets.sync.client import connect

    server = start("chatroom")
    assert server.get("/room/a").status == 426
    address = server.url.replace("http", "ws") + "/room/a"
    with connect(address) as ada, connect(address) as bob:
        assert json.loads(ada.recv(10)) == json.loads(bob.recv(10)) == {"history": []}
        ada.send(json.dumps({"who": "ada", "what": "hello"}))
        assert json.loads(bob.recv(10)) == json.loads(ada.recv(10)) == {"who": "ada", "what": "hello"}
    with connect(address) as late:
        assert json.loads(late.recv(10)) == {"history": [["ada", "hello"]]}


@needs("requests", "httpx", "urllib3", "aiohttp")
def test_http_clients(start: Start, origin: str) -> None:
    server = start("sync-http", "--var", f"ORIGIN:{origin}")
    got, sent = {"method": "GET", "body": "", "sent": ""}, {"method": "POST", "body": "body", "sent": ""}
    for how in ("requests", "urllib3", "urllib", "httpx", "aiohttp", "workers", "js"):
        assert server.get(f"/{how}").json() == got, how
    assert server.get("/pyfetch").json() == sent
    assert server.get("/httpx-async").json() == [got, sent]
    assert server.get("/requests-session").json() == {"method": "POST", "body": '{"a": 1}', "sent": "yes"}


def test_opengraph(start: Start, origin: str) -> None:
    server = start("opengraph", "--var", f"ORIGIN:{origin}")
    page = server.get("/blog/python-workers").text
    assert page == (
        "<html><head><title>Python Workers &amp; friends</title>"
        '<meta property="og:title" content="Python Workers &amp; friends">'
        '<meta property="og:description" content="Say &quot;hi&quot; in Python">'
        '<meta property="og:image" content="https://example.com/card.png"></head><body>x</body></html>'
    )
    assert "<title>Old</title>" in server.get("/other").text


@needs("flask")
def test_flask(start: Start) -> None:
    server = start("flask")
    home = server.request("GET", "/?a=1", headers={"User-Agent": "test"}).json()
    assert home == {"who": "flask", "agent": "test", "args": {"a": "1"}}
    form = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name="f"; filename="f.txt"\r\n\r\nfile\r\n--b--\r\n'
    answer = server.request("POST", "/form", body=form, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.json() == {"form": {"x": "1"}, "files": {"f": "file"}}
    assert server.get("/stream").text == "line 0\nline 1\nline 2\n"
    assert server.get("/wait").json() == {"waited": "yes"}
    assert server.get("/none").status == 404


@needs("django")
def test_django(start: Start) -> None:
    server = start("django")
    assert server.get("/").text == "Hello from Django"
    assert server.get("/page/Ada/").text == "<p>Ada</p>"
    assert server.get("/page/Ada").status in (200, 301)
    assert server.post("/echo/", json={"a": [1]}).json() == {"json": {"a": [1]}}
    form = server.request(
        "POST", "/echo/", body=b"x=1&y=2", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert (form.status, form.json()) == (201, {"post": {"x": "1", "y": "2"}, "method": "POST"})
    assert server.get("/stream/").text == "0,1,2,3,4,"
    broken = server.get("/broken/")
    assert broken.status == 500 and "broken view" in broken.text


@pytest.mark.skipif(not has_django_cf(), reason="not installed: django-cf>=0.2 (which needs Python 3.12)")
@needs("django")
def test_django_with_d1_and_a_durable_object(start: Start, tmp_path: Path) -> None:
    server = start("django-d1")
    first = {"title": "zebra", "owner": "ada", "more": {"x": [1, None]}, "cost": "1.50", "due": "2026-01-02T03:04:05Z"}
    zebra = {"id": 1, "done": False} | first | {"due": "2026-01-02T03:04:05+00:00"}
    second = {"title": "ant", "done": True, "owner": "ada"}
    ant = {"id": 2, "due": None, "cost": "0.00", "more": {}} | second
    for where in ("", "?in=object"):  # Django in the Worker on D1, Django in an object on its SQLite
        assert server.get(f"/{where}").status == 500  # no such table
        assert server.get(f"/__run_migrations__/{where}").json() == {"status": "success"}
        assert server.get(f"/{where}").json() == {"count": 0, "todos": []}
        made = server.post(f"/{where}", json=first)
        assert (made.status, made.json()) == (201, zebra)
        assert server.post(f"/{where}", json=second).json() == ant
        assert server.get(f"/{where}").json() == {"count": 2, "todos": [ant, zebra]}

    assert server.request("PUT", "/1/", json={"done": True}).json() == zebra | {"done": True}
    assert server.request("DELETE", "/2/").status == 204
    assert server.get("/2/").status == 404
    assert server.get("/?in=object").json()["count"] == 2
    assert [server.get("/__create_admin__/").json()["status"] for _ in range(2)] == ["success", "info"]
    assert server.get("/login/?password=wrong").status == 403
    signed_in = server.get("/login/?password=password")
    assert signed_in.text == "admin" and "sessionid=" in signed_in.headers["set-cookie"]
    assert "no such table: nowhere" in server.get("/broken/").text

    rows = server.wpy("d1", "execute", "django", "--local", "--json", "--command", "SELECT title FROM todos_todo")
    assert json.loads(rows)[0]["results"] == [{"title": "zebra"}]
