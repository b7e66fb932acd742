"""The two that are compared, and a `dev` session of either."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.client import Connection, HttpError
from bench.processes import Started, cpu_seconds, exists

HERE = Path(__file__).resolve().parent
#: How long a session may take to answer for the first time, and an interrupted one to go (seconds).
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 15


class BenchError(Exception):
    """A figure could not be measured. The text says why."""


@dataclass(frozen=True)
class Side:
    """wpy or wrangler: how it is called, and which worker it serves."""

    name: str
    command: tuple[str, ...]
    worker: Path
    source: str  # the file whose save is timed
    version_line: str  # how it states VERSION
    environment: dict[str, str] = field(default_factory=dict)
    #: The most messages that may wait at once (wrangler 4.86 keeps a timer for each, and 10,000 timers at most).
    max_pending: int = 1_000_000
    durable: bool = False
    #: More options of `dev`.
    dev_options: tuple[str, ...] = ()

    def run_environment(self, home: Path) -> dict[str, str]:
        environment = {**os.environ, **self.environment}
        # Both start with their compiled files at hand, as after any first start.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for name in ("FORCE_COLOR", "CI", "PYTHONPATH"):
            environment.pop(name, None)
        environment["XDG_CONFIG_HOME"] = str(home)
        environment["WRANGLER_LOG_PATH"] = str(home / "logs")
        environment["WRANGLER_REGISTRY_PATH"] = str(home / "registry")
        environment["WRANGLER_CACHE_DIR"] = str(home / "cache")
        return environment

    def dev(self, port: int) -> list[str]:
        extra = ["--inspector-port", str(free_port())] if self.name == "wrangler" else []
        return [*self.command, "dev", "--port", str(port), "--ip", "127.0.0.1", *self.dev_options, *extra]


def wpy() -> Side:
    return Side(
        name="wpy",
        command=(sys.executable, "-m", "wrangler_py"),
        worker=HERE / "workers" / "python",
        source="src/entry.py",
        version_line='VERSION = "{}"\n',
        durable=True,
    )


def wpy_typescript() -> Side | str:
    """wpy with wrangler's own worker, or one line that says why it is left out."""
    other = wrangler()
    if isinstance(other, str):
        return other
    modules = Path(other.command[0]).parent.parent
    tools = {f"WPY_{name.upper()}": str(modules / name / "bin" / name) for name in ("workerd", "esbuild")}
    return replace(wpy(), worker=other.worker, source=other.source, version_line=other.version_line, environment=tools)


def wrangler() -> Side | str:
    """The real wrangler, or one line that says why it is left out."""
    if shutil.which("node") is None:
        return "wrangler is left out: Node.js is not installed, so there are no ratios."
    path = os.environ.get("WPY_BENCH_WRANGLER") or str(HERE / "node_modules" / ".bin" / "wrangler")
    if not Path(path).exists():
        return f"wrangler is left out: there is no {path}; run `npm install` in bench/, or set WPY_BENCH_WRANGLER."
    return Side(
        name="wrangler",
        command=(path,),
        worker=HERE / "workers" / "typescript",
        source="src/index.ts",
        version_line='const VERSION = "{}";\n',
        environment={
            "WRANGLER_SEND_METRICS": "false",
            "WRANGLER_SEND_ERROR_REPORTS": "false",
            "WRANGLER_HIDE_BANNER": "true",  # the banner asks the registry for updates
            "CLOUDFLARE_CF_FETCH_ENABLED": "false",
        },
        max_pending=9_000,
    )


def version_of(side: Side, home: Path) -> str:
    """The version that `--version` prints."""
    command = [*side.command, "--version"]
    result = subprocess.run(command, env=side.run_environment(home), capture_output=True, text=True, timeout=60)
    lines = (result.stdout or result.stderr).strip().splitlines()
    return lines[-1].split()[-1] if lines else "unknown"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


_runs = itertools.count(1)


def next_run() -> int:
    """A number for the messages of one measurement, never used before."""
    return next(_runs)


class Session:
    """One running `dev` session."""

    def __init__(self, side: Side, project: Path, home: Path, *, terminal: bool = False) -> None:
        self.side = side
        self.project = project
        self.port = free_port()
        log = project.with_name(f"{project.name}.log")
        self.started = Started(side.dev(self.port), project, side.run_environment(home), log, terminal=terminal)
        self.http = Connection(self.port)
        try:
            #: From the start of the command to the first answer (seconds).
            self.start_seconds = self._first_answer()
        except BaseException:
            self.started.kill()
            raise

    def _first_answer(self) -> float:
        refused: Exception | None = None
        while True:
            try:
                self.http.get("/ping")
                return time.perf_counter() - self.started.at
            except (OSError, HttpError) as error:
                refused = error
            waited = time.perf_counter() - self.started.at
            if not self.started.running:
                raise BenchError(f"{self.side.name} dev ended by itself:\n{self.started.tail()}")
            # A 500 is an answer: the worker does not run, and will not.
            if waited > START_TIMEOUT_S or (isinstance(refused, HttpError) and waited > START_TIMEOUT_S / 6):
                raise BenchError(f"{self.side.name} dev does not serve ({refused}):\n{self.started.tail()}")
            time.sleep(0.004)

    def cpu_seconds(self) -> float:
        """CPU time of all processes so far: what the machine's other work changes least."""
        return cpu_seconds(self.started.tree())

    def stats(self, run: int) -> dict[str, Any]:
        result: dict[str, Any] = self.http.json(f"/stats?run={run}")
        return result

    def wait_for(self, run: int, count: int, timeout: float = 60) -> dict[str, Any]:
        """The run's numbers once `count` messages were handled. Raises BenchError when they do not arrive, or twice."""
        deadline = time.perf_counter() + timeout
        while True:
            stats = self.stats(run)
            if stats["count"] >= count:
                break
            if time.perf_counter() > deadline:
                raise BenchError(f"only {stats['count']:,} of {count:,} messages were handled within {timeout:g} s")
            time.sleep(0.02)
        if stats["duplicates"]:
            raise BenchError(f"{stats['duplicates']} messages were handled twice")
        return stats

    def received(self, run: int) -> set[int]:
        return set(self.http.json(f"/received?run={run}"))

    def interrupt(self) -> float:
        """Ctrl-C. Returns the seconds until every process of the session is gone."""
        tree = self.started.tree()
        at = time.perf_counter()
        self.started.interrupt()
        while True:
            self.started.popen.poll()  # a dead child counts until it is waited for
            if not any(exists(pid) for pid in tree):
                break
            if time.perf_counter() - at > STOP_TIMEOUT_S:
                raise BenchError(f"still running {STOP_TIMEOUT_S} s after Ctrl-C")
            time.sleep(0.002)
        seconds = time.perf_counter() - at
        self.end()
        return seconds

    def end(self) -> None:
        """End it at once. May be called twice."""
        self.http.close()
        self.started.kill()


class Subject:
    """One side during one round: its folders, and the session that most figures share."""

    def __init__(self, side: Side, folder: Path, quick: bool) -> None:
        self.side = side
        self.quick = quick
        self._folder = folder
        self._names = itertools.count(1)
        self._session: Session | None = None
        self.home = folder / "home"
        self.home.mkdir(parents=True)

    def project(self) -> Path:
        """A fresh copy of the worker, without any state."""
        project = self._folder / f"project-{next(self._names)}"
        shutil.copytree(self.side.worker, project, ignore=shutil.ignore_patterns("__pycache__", ".wpy", ".wrangler"))
        return project

    @property
    def session(self) -> Session:
        """The shared session, started if it does not run."""
        if self._session is None or not self._session.started.running:
            self.end()
            self._session = Session(self.side, self.project(), self.home)
        return self._session

    @contextlib.contextmanager
    def own_session(self, project: Path | None = None, *, terminal: bool = False) -> Iterator[Session]:
        """A session for one figure alone."""
        session = Session(self.side, project or self.project(), self.home, terminal=terminal)
        try:
            yield session
        finally:
            session.end()

    def end(self) -> None:
        if self._session is not None:
            self._session.end()
            self._session = None
