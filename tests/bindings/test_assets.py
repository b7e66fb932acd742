"""Static assets: as wrangler 4.86 answered for the same folder (wrangler.jsonl), and in a session."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dev_server import DevServer
from session_project import Project

from wrangler_py.bindings.assets.rules import parse_headers, parse_redirects
from wrangler_py.bindings.assets.serve import AssetServer

HERE = Path(__file__).parent / "assets"


def _recorded() -> list[tuple[dict[str, Any], list[Any]]]:
    """(settings, answers) of each configuration that was asked."""
    recorded: list[tuple[dict[str, Any], list[Any]]] = []
    for line in (HERE / "wrangler.jsonl").read_text().splitlines():
        value = json.loads(line)
        if isinstance(value, dict):
            recorded.append((value, []))
        else:
            recorded[-1][1].append(value)
    return recorded


RECORDED = _recorded()


def _ids(given: Any) -> str | None:
    return "-".join(map(str, given.values())) if isinstance(given, dict) else None


@pytest.mark.parametrize(("settings", "answers"), RECORDED, ids=lambda given: _ids(given) or "")
def test_every_answer_is_wranglers(settings: dict[str, Any], answers: list[Any]) -> None:
    server = AssetServer(HERE / "public", compatibility_date="2026-03-01", **settings)
    assert len(answers) == 70
    for method, path, given, status, headers, body in answers:
        path = path.removeprefix("/..")  # the front door has taken dot segments out
        url = f"http://localhost{path}"
        named = list(given.items())
        if not server.goes_to_worker(method, url, named):
            answer = server.answer(method, url, named)
        elif path.startswith("/env"):  # the Worker asked its binding
            answer = server.answer(method, f"http://x{path.removeprefix('/env')}", named)
        else:
            text = "" if method == "HEAD" else f"worker {method} {path.partition('?')[0]}"
            assert (status, body) == (200, text), (method, path)
            continue
        got = {name: value for name, value in answer.headers if name != "etag"}
        assert (answer.status, got, answer.body.decode()) == (status, headers, body), (method, path)


def test_rules_that_mean_nothing_are_named() -> None:
    redirects = parse_redirects("/a /b 301\n/a /c\n/one\nx /y\n/loop /loop\n/s /t 418\n/p https://x/ 200\n/q ftp://x\n")
    assert [rule.to for rule in redirects.static.values()] == ["/b"]
    assert [(fault.line, fault.text.split(",")[0]) for fault in redirects.faults] == [
        (2, "/a has a rule already"),
        (3, "expected a path"),
        (4, "the path has to begin with /"),
        (5, "it would redirect to itself for ever"),
        (6, "valid statuses are 200"),
        (7, "a proxied (200) redirect can only lead to a path"),
        (8, "the destination has to begin with / or http(s)://"),
    ]
    headers = parse_headers("X: 1\n/a\n  X-One: 1\n  x-one: 2\n  bad\n/b*c*\n/none\n")
    assert [(rule.pattern.text, rule.set) for rule in headers.rules] == [("/a", [("X-One", "1, 2")])]
    assert [fault.line for fault in headers.faults] == [1, 5, 6]


WORKER = """
    from workers import Request, Response, WorkerEntrypoint
    from workers.rpc import _FetcherWrapper

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            if "/through/" in request.url:
                assert isinstance(self.env.ASSETS, _FetcherWrapper)
                return await self.env.ASSETS.fetch(request.url.replace("/through", ""))
            if request.url.endswith("/moved"):
                answer = await self.env.ASSETS.fetch("http://any/a.html")
                return Response.json([answer.status, answer.url, await answer.text()])
            return Response("the worker")
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    project = Project(tmp_path_factory.mktemp("assets"))
    project.config('[assets]\ndirectory = "public"\nbinding = "ASSETS"\n')
    project.code(WORKER)
    shutil.copytree(HERE / "public", project.folder / "public")
    (project.folder / "public/_redirects").open("a").write("/broken\n")
    yield project.start()
    project.stop()


def test_files_come_before_the_worker(session: DevServer) -> None:
    answer = session.get("/favicon.ico")
    assert (answer.text, answer.headers["content-type"]) == ("icon", "image/vnd.microsoft.icon")
    again = session.request("GET", "/favicon.ico", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    assert session.get("/").headers["content-type"] == "text/html; charset=utf-8"
    head = session.request("HEAD", "/favicon.ico")
    assert (head.body, head.headers["content-length"]) == (b"", "4")
    assert session.get("/nothing/here").text == "the worker"
    assert session.get("/x.secret").text == "the worker", ".assetsignore leaves it out"
    session.wait_for(r"_redirects:\d+: expected a path, a destination")


def test_the_binding_and_changed_files(session: DevServer) -> None:
    through = session.get("/through/a")
    assert (through.text, through.headers["cache-control"]) == ("<p>a\n", "public, max-age=0, must-revalidate")
    assert session.get("/through/nothing").status == 404
    assert session.get("/moved").json() == [200, "http://any/a", "<p>a\n"]
    (Path(session.cwd) / "public/a.html").write_text("changed")
    assert session.get("/a").text == "changed"
