"""Fixtures for the tests inside the samples: `python -m pytest samples`, or of one sample alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dev_server import DevServer, has_report
from js_project import node_modules

#: Starts `wpy dev` in the sample's folder with the given arguments, and returns when it is ready.
Start = Callable[..., DevServer]


@pytest.fixture
def wpy_dev(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start sessions in the folder of the sample under test; each is ended, and its end checked, after the test.

    Sessions of one test share their state, as two sessions one after the other in one folder do.
    """
    servers: list[DevServer] = []
    request.node.wpy_sessions = servers

    def start(*arguments: str) -> DevServer:
        server = DevServer(*arguments, cwd=request.path.parents[1], state=tmp_path / "state")
        servers.append(server)
        return server.start()

    yield start
    failures = []
    for server in servers:
        try:
            server.stop()
        except AssertionError as error:
            failures.append(error)
    if failures:
        raise failures[0]


@pytest.fixture
def javascript(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages of the TypeScript samples, without `npm install` in each; skipped where there are none."""
    modules = node_modules()
    monkeypatch.setenv("NODE_PATH", str(modules))
    for name in ("workerd", "esbuild"):
        monkeypatch.setenv(f"WPY_{name.upper()}", str(modules / name / "bin" / name))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.failed and not (call.excinfo and has_report(call.excinfo.value)):
        for server in getattr(item, "wpy_sessions", []):
            report.sections.append(("wpy dev", server.report()))
    return report
