"""The pytest plugin. It comes with wpy and does nothing in a project without a wrangler config.

Everything that takes time to import is imported when a test asks for a fixture.
"""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wrangler_py.testing.kit import Wpy
    from wrangler_py.testing.project import Project

__tracebackhide__ = True

_WPY = pytest.StashKey["Wpy"]()
_REPORT = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("wpy", "workers on Cloudflare, run by wpy's test kit")
    group.addoption("--wpy-seed", type=int, default=None, metavar="N", help="repeat what a test chose at random")
    group.addoption(
        "--wpy-schedule", default=None, metavar="S", help="repeat the order in which concurrent events went on"
    )
    group.addoption(
        "--wpy-keep", action="store_true", help="keep the state of a failing test in .wpy/failed, to look at it"
    )
    parser.addini("wpy_config", "config files of the workers under test, relative to pytest's root", "args", [])
    parser.addini("wpy_env", "the environment of the config", default="")
    parser.addini("wpy_clock", "what the clock shows when a test begins (ISO 8601)", default="")
    parser.addini("wpy_timeout", "how long a handler may stand still (seconds of real time)", default="10")
    parser.addini(
        "wpy_network", "block or allow: what happens to requests that a test has no answer for", default="block"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "wpy(config=, env=, vars=, queues=, clock=, crons=, network=, timeout=, seed=, leftovers=): how this test wants wpy's emulator",
    )
    config.addinivalue_line(
        "markers",
        "wpy_chaos(duplicate=, reorder=, interleave=, crash=, runs=, seed=): run this test many times, each with other faults",
    )


def _project(config: pytest.Config, folder: Path, item: pytest.Item | None = None) -> Project | None:
    from wrangler_py.testing import project

    marker = None if item is None else item.get_closest_marker("wpy")
    named = marker.kwargs.get("config") if marker is not None else None
    if named:
        names = [named] if isinstance(named, str) else named
        return project.project_of(folder, folder, [str(name) for name in names])
    return project.project_of(folder, config.rootpath, config.getini("wpy_config"))


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> None:
    """Before a test module is imported: let it find the workers' modules, and `workers`."""
    if parent.config.getini("wpy_config") or _has_config(module_path.parent, parent.config.rootpath):
        project = _project(parent.config, module_path.parent)
        if project is not None:
            from wrangler_py.config.model import ConfigError
            from wrangler_py.testing.project import watch_imports

            watch_imports()
            try:
                project.enter()
            except ConfigError:
                pass  # told by the first test that needs the config


@functools.lru_cache(None)
def _has_config(folder: Path, top: Path) -> bool:
    for place in (folder, *folder.parents):
        if any((place / name).is_file() for name in ("wrangler.json", "wrangler.jsonc", "wrangler.toml")):
            return True
        if place == top:
            break
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The workers' modules are imported before fixtures change something in them."""
    if "wpy" in getattr(item, "fixturenames", ()):
        project = _project(item.config, item.path.parent, item)
        if project is not None:
            _prepare(project, item)


def _prepare(project: Project, item: pytest.Item) -> None:
    from wrangler_py.config.model import ConfigError
    from wrangler_py.config.problems import format_problems, headline

    try:
        project.prepare()
    except ConfigError as error:
        # The first line is all that pytest's summary shows.
        text = f"{headline(error.problems)}\n\n{format_problems(error.problems, color=False)}"
        pytest.fail(text, pytrace=False)


# Fixtures ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def wpy(request: pytest.FixtureRequest) -> Iterator[Wpy]:
    """The emulator of this test: the project's workers, queues, crons and bindings, on a clock that the test moves."""
    from wrangler_py.testing.errors import KitError
    from wrangler_py.testing.kit import Wpy

    project = _project(request.config, request.path.parent, request.node)
    if project is None:
        pytest.fail(
            f"{request.node.nodeid} uses wpy, and there is no wrangler.toml, wrangler.json or wrangler.jsonc in "
            f"{request.path.parent} or above it, up to {request.config.rootpath}. Create one (`wpy init`), or name it: "
            f'wpy_config = ["path/to/wrangler.toml"] in [tool.pytest.ini_options].',
            pytrace=False,
        )
    item = request.node
    kit = item.stash[_WPY] = Wpy(project, _settings(request))
    function = getattr(item, "obj", None)
    is_async = inspect.iscoroutinefunction(inspect.unwrap(function)) if function is not None else False
    item._wpy_failed = False
    if is_async:
        item.obj = _enclosed(item, kit)
    else:
        kit.begin_sync()
    yield kit
    if is_async:
        item.obj = function  # what is run again (pytest-rerunfailures) gets an emulator of its own
        if not kit.closed:
            kit.abandon()
    else:
        try:
            kit.end_sync(check=not _failed(item))
        except KitError as error:
            pytest.fail(str(error), pytrace=False)


def _settings(request: pytest.FixtureRequest) -> Any:
    from wrangler_py.testing.settings import START, Settings

    config, marker = request.config, request.node.get_closest_marker("wpy")
    given: dict[str, Any] = dict(marker.kwargs) if marker is not None else {}
    chaos = request.node.get_closest_marker("wpy_chaos")
    seed = config.getoption("--wpy-seed")
    known = ("config", "env", "vars", "queues", "clock", "crons", "network", "timeout", "seed", "leftovers")
    unknown = [name for name in given if name not in known]
    if unknown or (marker is not None and marker.args):
        pytest.fail(
            f"@pytest.mark.wpy of {request.node.nodeid} takes {', '.join(f'{name}=' for name in known)}, not "
            f"{', '.join(unknown) or 'positional arguments'}.",
            pytrace=False,
        )
    return Settings(
        name=request.node.nodeid,
        env=given.get("env") or config.getini("wpy_env") or None,
        vars=given.get("vars", {}),
        queues=given.get("queues", {}),
        clock=given.get("clock") or config.getini("wpy_clock") or START,
        crons=given.get("crons", True),
        network=given.get("network") or config.getini("wpy_network"),
        timeout_s=float(given.get("timeout") or config.getini("wpy_timeout")),
        seed=seed if seed is not None else given.get("seed", chaos.kwargs.get("seed", 0) if chaos else 0),
        leftovers=given.get("leftovers", "fail"),
    )


def _enclosed(item: Any, kit: Wpy) -> Any:
    """An async test between the start and the end of its emulator, on its own loop."""
    from wrangler_py.testing.errors import KitError

    function = item.obj
    chaos = item.get_closest_marker("wpy_chaos")

    @functools.wraps(function)
    async def test(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        try:
            if chaos is not None:
                from wrangler_py.testing.chaos import run_many

                return await run_many(
                    kit, functools.partial(function, *args, **kwargs), chaos.kwargs, item.config.option
                )
            await kit.start()
            result = await function(*args, **kwargs)
        except BaseException:
            item.stash[_REPORT] = kit.report()
            _keep(item, kit)
            await kit.close(check=False)
            raise
        try:
            await kit.close()
        except KitError as error:
            pytest.fail(str(error), pytrace=False)
        return result

    return test


def _keep(item: pytest.Item, kit: Wpy) -> None:
    """With --wpy-keep: write the state of a failing test where `wpy dev` can open it."""
    if not item.config.getoption("--wpy-keep") or not kit.started:
        return
    folder = kit.config.workers[0].root / ".wpy" / "failed" / _file_name(item.name)
    kit.state.write(folder)
    item.stash[_REPORT] += f"\n\nThe state is in {folder}. Open it:\n  {_open_command(kit, folder)}"


def _open_command(kit: Wpy, folder: Path) -> str:
    return f"wpy dev --persist-to {folder} --clock virtual --now {kit.clock}"


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)


def _failed(item: pytest.Item) -> bool:
    return getattr(item, "_wpy_failed", False)


@pytest.fixture
def wpy_worker(wpy: Wpy) -> Any:
    """The first worker: `await wpy_worker.fetch("/")`, `.queue(...)`, `.scheduled(...)`."""
    return wpy.worker


@pytest.fixture
def wpy_clock(wpy: Wpy) -> Any:
    """The clock of the test."""
    return wpy.clock


@pytest.fixture
def wpy_queues(wpy: Wpy) -> Any:
    """The queues: `wpy_queues["mail"]`."""
    return wpy.queues


@pytest.fixture
def wpy_crons(wpy: Wpy) -> Any:
    """The crons."""
    return wpy.crons


@pytest.fixture
def wpy_http(wpy: Wpy) -> Any:
    """The network as user code sees it."""
    return wpy.http


@pytest.fixture
def wpy_state(wpy: Wpy) -> Any:
    """Everything that is stored."""
    return wpy.state


@pytest.fixture
def wpy_ctx(wpy: Wpy) -> Any:
    """An ExecutionContext for handlers that the test calls itself."""
    return wpy.ctx


@pytest.fixture
def wpy_env(wpy: Wpy) -> Any:
    """What the first worker finds in `env`."""
    from wrangler_py.testing.env import LiveEnv

    return LiveEnv(wpy)


# Running and reporting -------------------------------------------------------------------------------------------------


@pytest.hookimpl(trylast=False)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """An async test that uses wpy's fixtures and that no other plugin runs."""
    if _WPY not in pyfuncitem.stash or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    if pyfuncitem.get_closest_marker("anyio") or pyfuncitem.get_closest_marker("asyncio"):
        return None
    import asyncio

    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(pyfuncitem.obj(**arguments))
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    if _WPY not in item.stash:
        return
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        item._wpy_failed = True  # type: ignore[attr-defined]
    if report.failed and report.when in ("call", "teardown"):
        text = item.stash.get(_REPORT, None) or item.stash[_WPY].last_report or item.stash[_WPY].report()
        if text:
            keep = "" if item.config.getoption("--wpy-keep") else "\n\nTo look at its state in wpy: pytest --wpy-keep"
            report.sections.append(("wpy", text + keep))
