"""`wpy dev`: an emulator (session/) with a port, a terminal, hot keys, signals and an eye on the files."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
import signal
import sqlite3
import sys
import webbrowser
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

from wrangler_py.clock import SessionClock, SystemClock
from wrangler_py.config.limits_and_texts import JAVASCRIPT_SUFFIXES, PYTHON_SUFFIXES
from wrangler_py.config.model import ConfigError, Problem, SessionConfig
from wrangler_py.config.problems import format_problems
from wrangler_py.dev.advice import Adviser
from wrangler_py.dev.banner import print_banner, print_bindings, print_crons
from wrangler_py.dev.custom_build import CustomBuilds
from wrangler_py.dev.hotkeys import HotKeys, box, hotkeys
from wrangler_py.dev.inspect import on_attach
from wrangler_py.dev.options import DEFAULT_PORT, DevOptions, state_folder
from wrangler_py.dev.ports import PortError, bind
from wrangler_py.dev.terminal import Terminal
from wrangler_py.dev.watch import Seen, Watcher, look, source_folders
from wrangler_py.events.log import Event, EventLog
from wrangler_py.events.recorder import RecordLimits
from wrangler_py.queues.limits import WALL_LIMIT_SECONDS
from wrangler_py.runtime.python.spawn import SpawnedProcess
from wrangler_py.server.dashboard_api.door import ROOT as DASHBOARD
from wrangler_py.server.guard import LOCAL_HOSTS
from wrangler_py.server.http import HttpServer
from wrangler_py.session.config import read_session
from wrangler_py.session.emulator import Emulator, EmulatorOptions
from wrangler_py.session.errors import StartError
from wrangler_py.session.hosted_workers import HostedWorker
from wrangler_py.session.times import iso
from wrangler_py.store.database import StateError, Store, open_store

#: What running handlers get to finish in when the session ends (seconds). The whole end takes less than two.
END_GRACE_S = 1.0
#: New objects after which garbage is looked for: a batch of 100 alone makes a thousand, and nearly all of them are gone by then.
_COLLECT_AFTER = 10_000
#: Addresses that only this machine can reach.
_LOOPBACK = ("127.", "::1", "localhost")


def read_config(options: DevOptions) -> SessionConfig:
    """The session's config. Raises ConfigError."""
    return read_session(
        options.configs,
        cwd=options.cwd,
        script=options.script,
        env=options.env,
        var_overrides=options.vars,
        miniflare=options.compat_miniflare,
    )


class DevSession:
    """A running session. `run` returns when it has ended."""

    def __init__(
        self,
        options: DevOptions,
        config: SessionConfig,
        terminal: Terminal,
        first: SpawnedProcess | None = None,
    ) -> None:
        self._options = options
        self._config = config
        self._terminal = terminal
        self._first = first
        self._clock = SessionClock(options.start_ms, frozen=options.virtual_clock)
        self._events = EventLog(self._clock)
        self._events.subscribe(terminal.on_event, terminal.kinds)
        self._stop = asyncio.Event()
        self._watcher: Watcher | None = None
        self._builds = CustomBuilds(terminal)
        self._config_refused = False
        self._moved_port: int | None = None
        self._url = ""
        section = config.workers[0].dev
        self._ip = options.ip or section.ip or "127.0.0.1"
        self._port = section.port if options.port is None else options.port
        self._tasks: set[asyncio.Task[None]] = set()
        self._hotkeys: HotKeys | None = None
        #: Workers that stand at a breakpoint: Ctrl-C is the debugger's meanwhile.
        self._at_breakpoint: Counter[str] = Counter()
        self._events.subscribe(self._on_breakpoint)

    def _on_breakpoint(self, event: Event) -> None:
        """A debugger's prompt appears on the terminal, or is gone."""
        if event.kind == "worker.breakpoint":
            self._at_breakpoint[event.data["worker"]] += 1
            if self._hotkeys is not None:
                self._hotkeys.lend()
        elif event.kind == "worker.continued":
            self._at_breakpoint[event.data["worker"]] -= 1
            if self._hotkeys is not None:
                self._hotkeys.give_back()
        elif event.kind == "worker.crashed":
            stood = self._at_breakpoint.pop(event.data["worker"], 0) > 0
            if stood and self._hotkeys is not None:
                self._hotkeys.give_back()

    def _interrupt(self) -> None:
        """Ctrl-C: the end of the session, unless a debugger's prompt has the terminal."""
        if self._at_breakpoint.total() > 0:
            self._terminal.info("Ctrl-C: a debugger has the terminal; q there ends the handler, SIGTERM the session")
        else:
            self._stop.set()

    async def run(self) -> int:
        """Serve until Ctrl-C, SIGTERM or the hot key. Returns the exit code. Raises StartError, StateError, PortError."""
        roots = [worker.root for worker in self._config.workers]
        store = open_store(state_folder(self._options.persist_to, self._options.cwd, roots))
        emulator: Emulator | None = None
        try:
            emulator = self._emulator = self._make_emulator(store)
            sock = bind(self._ip, self._port)
            port = sock.getsockname()[1]
            self._moved_port = port if self._port is None and port != DEFAULT_PORT else None
            self._url = f"http://{_public_host(self._ip)}:{port}"
            self._adviser = Adviser(store, self._terminal.warn)
            self._events.subscribe(self._adviser.on_event, self._adviser.kinds)
            server = HttpServer(emulator.front_door(self._url), sock)
            with self._signals():
                await self._serve(server, emulator)
        finally:
            if self._first is not None:
                self._first.abandon()
            if emulator is not None:
                emulator.close()
            with contextlib.suppress(sqlite3.Error):  # another process writes: it will do it when it ends
                store.reclaim_space()
            store.close()
        return 0

    def _make_emulator(self, store: Store) -> Emulator:
        options = EmulatorOptions(
            crons=self._options.crons,
            cron_catch_up=self._options.cron_catch_up,
            worker_clock=self._options.worker_clock,
            compat_miniflare=self._options.compat_miniflare,
            wall_limit_s=self._options.wall_limit_s or WALL_LIMIT_SECONDS,
            allowed_hosts=LOCAL_HOSTS | {self._ip, f"[{self._ip}]"},
            api_token=self._options.api_token,
            inspector_port=self._options.inspector_port,
            record=RecordLimits(max_bytes=self._options.record_mb << 20) if self._options.record_mb else None,
            dashboard=self._options.dashboard,
            readonly=self._options.readonly,
            debugger=self._options.inspect_port is not None,
        )
        emulator = Emulator(self._config, store, self._clock, self._events, options, first=self._first)
        self._first = None  # the emulator ends it from now on
        return emulator

    # Serving ------------------------------------------------------------------------------------------------------

    async def _serve(self, server: HttpServer, emulator: Emulator) -> None:
        watching: list[asyncio.Task[None]] = []
        looked_ms = SystemClock().now_ms()
        seen = look(self._watched_folders(), self._is_relevant) if self._options.reload else {}
        printed = asyncio.Event()
        loading = asyncio.create_task(self._load(emulator, printed))
        await asyncio.sleep(0)  # the workers begin; they load while the server starts
        self._print_start(emulator)
        printed.set()
        await server.start()
        with contextlib.ExitStack() as terminal_state:
            try:
                await _first_done(loading, self._stop)
                if not loading.done():
                    return
                self._terminal.info(f"Ready on {self._url}")
                if self._options.dashboard:
                    self._terminal.info(f"Dashboard on {self._url}{DASHBOARD}/")
                if self._wants_hotkeys():
                    self._print_hotkeys()
                    self._hotkeys = terminal_state.enter_context(hotkeys(self._key_actions(emulator)))
                self._terminal.flush()
                gc.freeze()  # what was imported stays: no collection looks at it again, which would hold everything up
                gc.set_threshold(_COLLECT_AFTER, 10, 10)
                if self._options.inspect_port is not None:
                    self._terminal.info(f"A debugger can attach to 127.0.0.1:{self._options.inspect_port}")
                    self._spawn(on_attach(lambda: self._reload_all(emulator)))
                await emulator.start()
                if self._options.reload:
                    watching.append(asyncio.create_task(self._watch(seen, looked_ms)))
                    watching.append(
                        asyncio.create_task(self._builds.watch(lambda: self._config.workers, self._look_again))
                    )
                self._adviser.look(self._config)
                await self._stop.wait()
            finally:
                self._terminal.line(self._terminal.style("⎔ Shutting down...", "dim"))
                self._terminal.flush()
                loading.cancel()
                for task in watching:
                    task.cancel()
                await emulator.stop(END_GRACE_S, server.stop())
                await asyncio.gather(loading, *watching, return_exceptions=True)
                self._terminal.flush()

    async def _load(self, emulator: Emulator, printed: asyncio.Event) -> None:
        if any(worker.build for worker in self._config.workers):
            await printed.wait()
            await self._builds.run(self._config.workers)
        await emulator.load()

    # Printing -----------------------------------------------------------------------------------------------------

    def _print_start(self, emulator: Emulator) -> None:
        terminal, config = self._terminal, self._config
        print_banner(terminal)
        if config.warnings:
            terminal.line(format_problems(list(config.warnings), color=terminal.style.color))
        if not self._ip.startswith(_LOOPBACK):
            terminal.warn(
                f"--ip {self._ip}: other machines can reach this session, and so send messages and run crons. "
                "Leave --ip out to serve this machine only. "
                + ("The REST API takes" if self._options.api_token else "To let them use the REST API, start with")
                + " a token in WPY_API_TOKEN."
            )
        if self._moved_port is not None:
            terminal.info(f"Port {DEFAULT_PORT} is in use, so this session takes {self._moved_port}")
        print_bindings(terminal, config)
        print_crons(terminal, emulator.crons.upcoming(), self._clock.now_ms(), on=self._options.crons)
        if self._clock.frozen:
            terminal.warn(
                f"The clock stands still at {iso(self._clock.now_ms())}: nothing fires until it is moved "
                "(wpy clock advance 1h, wpy clock next, wpy clock resume)"
            )
        if emulator.session.recovered:
            terminal.info(
                f"{emulator.session.recovered} message(s) were in flight when the last session ended; they come again"
            )
        terminal.line(terminal.style("⎔ Starting local server...", "dim"))

    def _wants_hotkeys(self) -> bool:
        if self._options.interactive is None:
            return sys.stdin.isatty() and sys.stdout.isatty()
        return self._options.interactive and sys.stdin.isatty()

    def _print_hotkeys(self) -> None:
        labels = {
            "b": "open a browser",
            **({"d": "open the dashboard"} if self._options.dashboard else {}),
            "s": "run crons",
            "q": "show queues",
            "r": "reload",
            "c": "clear",
            "x": "to exit",
        }
        width = shutil.get_terminal_size().columns
        for line in box(labels, width):
            self._terminal.line(line)

    def _key_actions(self, emulator: Emulator) -> dict[str, Callable[[], object]]:
        return {
            "b": lambda: webbrowser.open(self._url),
            "d": lambda: self._options.dashboard and webbrowser.open(f"{self._url}{DASHBOARD}/"),
            "s": emulator.crons.run_all,
            "q": lambda: self._show_queues(emulator),
            "r": lambda: self._spawn(self._reload_all(emulator)),
            "c": lambda: self._terminal.line("\x1b[2J\x1b[3J\x1b[H"),
            "x": self._stop.set,
        }

    def _show_queues(self, emulator: Emulator) -> None:
        for name in emulator.broker.queue_names():
            backlog = emulator.broker.metrics(name)
            consumer = emulator.workers.consumer(name)
            running = f", {consumer.in_flight} batches running" if consumer is not None else ", no consumer here"
            self._terminal.info(f"{name}: {backlog.backlog_count} messages{running}")

    # Reload -------------------------------------------------------------------------------------------------------

    def _config_files(self) -> set[Path]:
        return {file for worker in self._config.workers for file in worker.files}

    def _watched_folders(self) -> set[Path]:
        folders = {file.parent for file in self._config_files()}
        for config in self._config.workers:
            folders |= source_folders(config.main.parent)
        for worker in self._emulator.workers.all():
            folders |= {Path(file).parent for file in worker.files}
        return folders

    def _is_relevant(self, path: Path) -> bool:
        return self._is_config(path) or self._is_source(path)

    def _is_config(self, path: Path) -> bool:
        return path in self._config_files() or path.name.startswith((".dev.vars", ".env"))

    def _is_source(self, path: Path) -> bool:
        if path.suffix in PYTHON_SUFFIXES or path.suffix in JAVASCRIPT_SUFFIXES:
            return True
        return any(str(path) in worker.files for worker in self._emulator.workers.all())

    async def _watch(self, seen: Seen, looked_ms: int) -> None:
        async def changed(paths: set[Path]) -> None:
            if any(self._is_config(path) for path in paths):
                await self._apply_config()
            sources = {path for path in paths if self._is_source(path)}
            for worker in self._emulator.workers.all():
                top = worker.config.main.parent
                if any(_may_belong(worker, path, top) for path in sources):
                    await worker.load()

        self._watcher = Watcher(self._watched_folders, self._is_relevant, changed, seen, looked_ms)
        await self._watcher.run()

    def _look_again(self) -> None:
        """A folder may have been made."""
        if self._watcher is not None:
            self._watcher.restart()

    async def _reload_all(self, emulator: Emulator) -> None:
        for worker in emulator.workers.all():
            await worker.load()

    async def _apply_config(self) -> None:
        try:
            config = read_config(self._options)
        except ConfigError as error:
            self._say_config_kept(error.problems)
            return
        if config == self._config:
            if self._config_refused:
                self._config_refused = False
                self._terminal.info("The config is in order again; nothing in it has changed")
            return
        self._config_refused = False
        if config.warnings and config.warnings != self._config.warnings:
            self._terminal.line(format_problems(list(config.warnings), color=self._terminal.style.color))
        builds = {worker.build for worker in self._config.workers}
        await self._builds.run(worker for worker in config.workers if worker.build not in builds)
        self._config = config
        await self._emulator.apply(config)
        self._adviser.look(config)
        self._look_again()
        self._builds.restart()
        self._terminal.line(self._terminal.style("⎔ Config changed and applied", "dim"))

    def _say_config_kept(self, problems: list[Problem]) -> None:
        self._config_refused = True
        self._terminal.line(format_problems(problems, color=self._terminal.style.color))
        self._terminal.error("The changed config was not applied; the one before it stays in force.")

    # Ending -------------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handled = [signal.SIGINT, signal.SIGTERM]
        if sys.platform != "win32":
            handled.append(signal.SIGHUP)
            for number in handled:
                loop.add_signal_handler(number, self._interrupt if number == signal.SIGINT else self._stop.set)
            try:
                yield
            finally:
                for number in handled:
                    loop.remove_signal_handler(number)
        else:
            saved = {n: signal.signal(n, lambda *_: loop.call_soon_threadsafe(self._stop.set)) for n in handled}
            try:
                yield
            finally:
                for number, handler in saved.items():
                    signal.signal(number, handler)


def _may_belong(worker: HostedWorker, path: Path, top: Path) -> bool:
    """Whether a source file may be one of a Worker's: it was imported, or might be next time."""
    if str(path) in worker.files:
        return True
    of_language = PYTHON_SUFFIXES if worker.config.language == "python" else JAVASCRIPT_SUFFIXES
    return path.suffix in of_language and path.is_relative_to(top)


async def _first_done(work: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Wait for `work`, but not past `stop`. Raises what the work raised."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        stopping.cancel()


def _public_host(ip: str) -> str:
    """The host name to print: what a browser on this machine can open."""
    if ip in ("127.0.0.1", "0.0.0.0", "::", "::1", "localhost"):
        return "localhost"
    return f"[{ip}]" if ":" in ip else ip


async def run_session(options: DevOptions, terminal: Terminal, first: SpawnedProcess | None) -> int:
    """Read the config and serve. Prints what keeps it from starting; returns the exit code."""
    try:
        try:
            config = read_config(options)
        except ConfigError as error:
            print_banner(terminal)
            terminal.line(format_problems(error.problems, color=terminal.style.color))
            return 1
        if first is not None and not any(worker.language == "python" for worker in config.workers):
            first.abandon()  # it was started before the config was read
            first = None
        session, first = DevSession(options, config, terminal, first), None
        return await session.run()
    except (StartError, StateError, PortError) as error:
        terminal.error(str(error))
        return 1
    except sqlite3.Error as error:
        terminal.error(f"The state database cannot be used: {error}. Choose another folder with --persist-to FOLDER.")
        return 1
    finally:
        terminal.flush()
        if first is not None:
            first.abandon()
