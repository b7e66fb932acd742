"""The plugin as pytest runs it in other people's projects: each run here is a pytest of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

SHOP = Path(__file__).parent / "shop"

#: Fails when the kit leaves something behind.
CONFTEST = """
import threading

def pytest_sessionfinish(session):
    left = [t.name for t in threading.enumerate() if t is not threading.main_thread() and not t.name.startswith("execnet")]
    print("\\nTHREADS LEFT:", left)
"""


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    outer = {name for name in os.environ if name.startswith(("PYTEST_", "COV_"))}
    return subprocess.run(
        # rerunfailures has a thread of its own.
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:rerunfailures", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in outer},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The shop's config and code, without its tests."""
    for file in ("wrangler.toml", "src/entry.py", "src/ledger.py", "migrations/0001_stock.sql"):
        target = tmp_path / file
        target.parent.mkdir(exist_ok=True)
        target.write_text((SHOP / file).read_text())
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


def test_it_runs_under_anyio_asyncio_and_neither_and_leaves_nothing_behind(shop: Path) -> None:
    (shop / "test_all.py").write_text(
        """
import anyio, asyncio, pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_anyio(wpy):
    wpy.http.on("POST", "*").respond(200)
    await wpy.queues["mail"].send({"to": "a"})
    async with anyio.create_task_group() as group:
        group.start_soon(wpy.clock.advance, "5s")
    assert wpy.queues["mail"].acked == 1

@pytest.mark.asyncio
async def test_asyncio(wpy, wpy_env):
    await wpy.state.apply_migrations("DB")
    row = await wpy_env.DB.prepare("SELECT count FROM stock").first()
    assert row["count"] == 10

@pytest.mark.parametrize("number", range(4))
async def test_neither(wpy, number):
    assert (await wpy.worker.fetch("/order", json={"item": "book"})).status == 202
    assert asyncio.get_running_loop().time() < 1e9, "the test's own loop is as it was"

def test_sync(wpy):
    wpy.run(wpy.env.CACHE.put("a", "b"))
    assert wpy.run(wpy.env.CACHE.get("a")) == "b"

async def test_a_browser_may_come_in(wpy):
    import urllib.request
    async with wpy.serve() as url:
        request = urllib.request.Request(url + "/order", data=b'{"item": "book"}', method="POST")
        answer = await asyncio.to_thread(urllib.request.urlopen, request)
        assert answer.status == 202
    wpy.queues["orders"].assert_enqueued(body__item="book")
"""
    )
    finished = pytest_in(shop)
    assert finished.returncode == 0 and "8 passed" in finished.stdout, finished.stdout + finished.stderr
    assert "THREADS LEFT: []" in finished.stdout, finished.stdout
    finished = pytest_in(shop, "-n", "2", "-k", "neither")
    assert finished.returncode == 0 and "4 passed" in finished.stdout, finished.stdout + finished.stderr


def test_a_failure_shows_what_happened_and_where_the_messages_are(shop: Path) -> None:
    (shop / "test_failing.py").write_text(
        """
import pytest

async def test_timeline(wpy):
    wpy.http.on("POST", "*").respond(503)
    await wpy.queues["mail"].send({"to": "ann"})
    await wpy.clock.advance("10s")
    assert wpy.queues["mail"].acked == 1

async def test_exception(wpy):
    await wpy.worker.fetch("/nowhere")

async def test_leftover(wpy):
    wpy.http.on("POST", "*").delay("1h").respond(200)
    await wpy.queues["mail"].send({"to": "ann"})
    await wpy.clock.advance("5s")

@pytest.mark.wpy_chaos(duplicate=True, runs=20)
async def test_double(wpy):
    wpy.http.on("POST", "*").respond(200)
    await wpy.queues["mail"].send({"to": "ann"})
    await wpy.clock.run_until_idle()
    wpy.http.assert_called("POST", "*", times=1)

@pytest.mark.wpy(colour="red")
async def test_marker(wpy): ...

@pytest.fixture
def early(wpy):
    return wpy

async def test_backwards(early):
    await early.clock.advance_to("2020-01-01")
"""
    )
    finished = pytest_in(shop, "--wpy-keep")
    out = finished.stdout
    assert finished.returncode == 1, out
    assert "mail: " in out and "comes again in 20 s (attempt 1: retry() at src/entry.py:" in out
    assert re.search(r"Queue +Ready +Delayed +In flight +Delivered +Acked", out)
    assert re.search(r"mail +0 +1 +0 +1 +0", out)
    kept = shop / ".wpy" / "failed" / "test_timeline"
    assert f"wpy dev --persist-to {kept} --clock virtual --now 2026-01-01T00:00:10Z" in out
    assert (kept / "wpy.sqlite").is_file()
    assert re.search(r"src/entry\.py:\d+: LookupError", out), "the user's frame is the one that fails"
    assert "wrangler_py/testing/worker.py" not in out, "frames of the kit are left out"
    assert "test_failing.py::test_leftover ended while this was still running: queue mail (at src/entry.py:" in out
    assert "leftovers=" in out and "run_until_idle()" in out
    assert (
        "takes config=, env=, vars=, queues=, clock=, crons=, network=, timeout=, seed=, leftovers=, not colour" in out
    )
    assert "cannot go back to 2020-01-01T00:00:00Z" in out and "test_failing.py::test_backwards" in out
    assert "(mail) was lost: it comes again" in out
    command = re.search(r"pytest 'test_failing.py::test_double' --wpy-seed (\d+)", out)
    assert command is not None
    again = pytest_in(shop, "test_failing.py::test_double", "--wpy-seed", command[1])
    assert f"wpy found this in run 1 (seed {command[1]})" in again.stdout
    assert "THREADS LEFT: []" in out


def test_a_project_without_a_config_is_told_and_one_that_does_not_use_it_pays_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_none.py").write_text(
        """
import sys

def test_costs_nothing():
    loaded = [name for name in sys.modules if name.startswith("wrangler_py") or name in ("js", "pyodide", "workers")]
    assert sorted(loaded) == ["wrangler_py", "wrangler_py.testing", "wrangler_py.testing.plugin"]

async def test_needs_a_config(wpy): ...
"""
    )
    finished = pytest_in(tmp_path, "-p", "no:asyncio")
    assert "1 passed, 1 error" in finished.stdout, finished.stdout
    assert "test_none.py::test_needs_a_config uses wpy, and there is no wrangler.toml" in finished.stdout
    assert "wpy init" in finished.stdout
    (tmp_path / "wrangler.toml").write_text(
        'name = "x"\nmain = "nowhere.py"\ncompatibility_flags = ["python_workers"]\n'
    )
    broken = pytest_in(tmp_path, "-p", "no:asyncio")
    assert "nowhere.py" in broken.stdout and broken.returncode == 1


def test_a_test_that_is_run_again_has_an_emulator_of_its_own(shop: Path) -> None:
    pytest.importorskip("pytest_rerunfailures")
    (shop / "test_again.py").write_text(
        """
import pathlib

def once():
    with pathlib.Path("runs").open("a") as file:
        file.write("x")
    return pathlib.Path("runs").read_text() in ("x", "xxx")

async def a_mail(wpy):
    wpy.http.on("POST", "*").respond(200)
    await wpy.queues["mail"].send({"to": "ann"})
    await wpy.clock.advance("10s")
    assert wpy.queues["mail"].acked == 1

async def test_async(wpy):
    await a_mail(wpy)
    assert not once()

def test_sync(wpy):
    wpy.run(a_mail(wpy))
    assert not once()
"""
    )
    outer = [name for name in os.environ if name.startswith(("PYTEST_", "COV_"))]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--reruns", "1"]
    env = {name: value for name, value in os.environ.items() if name not in outer}
    finished = subprocess.run(command, cwd=shop, env=env, capture_output=True, text=True, timeout=100)
    assert "2 passed, 2 rerun" in finished.stdout, finished.stdout + finished.stderr
