"""One `wpy dev` session: builds the rooms from the config, watches files, swaps workers, ends cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import signal
import sqlite3
import sys
import webbrowser
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path

from wrangler_py.clock import SessionClock, SystemClock
from wrangler_py.config.load import load_session
from wrangler_py.config.model import ConfigError, Problem, SessionConfig, WorkerConfig
from wrangler_py.config.problems import format_problems
from wrangler_py.dev.advice import Adviser
from wrangler_py.dev.banner import print_banner, print_bindings, print_crons
from wrangler_py.dev.clockwork import Clockwork
from wrangler_py.dev.control import clock_calls, cron_calls, queue_calls
from wrangler_py.dev.crons import SessionCrons
from wrangler_py.dev.hosted_workers import HostedWorker, WorkerSet
from wrangler_py.dev.hotkeys import box, hotkeys
from wrangler_py.dev.neighbours import Neighbours
from wrangler_py.dev.options import DEFAULT_PORT, DevOptions, state_folder
from wrangler_py.dev.ports import PortError, bind
from wrangler_py.dev.terminal import Terminal
from wrangler_py.dev.times import iso
from wrangler_py.dev.watch import Seen, Watcher, look, source_folders
from wrangler_py.events.record import EventLog
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.limits import multiple_consumers
from wrangler_py.runtime.python.clocked import WorkerClocks
from wrangler_py.runtime.python.spawn import SpawnedProcess
from wrangler_py.server.control import ControlApi
from wrangler_py.server.front_door import FrontDoor
from wrangler_py.server.guard import LOCAL_HOSTS
from wrangler_py.server.http import HttpServer
from wrangler_py.server.rest.door import RestDoor, RestOptions
from wrangler_py.server.triggers import Triggers
from wrangler_py.store.database import StateError, Store, open_store
from wrangler_py.store.sessions import Attachment, Session, attachments, living_sessions, open_session

#: What running handlers get to finish in when the session ends (seconds). The whole end takes less than two.
END_GRACE_S = 1.0
#: Addresses that only this machine can reach.
_LOOPBACK = ("127.", "::1", "localhost")


class StartError(Exception):
    """The session cannot start. The text is for the terminal."""


def read_config(options: DevOptions) -> SessionConfig:
    """The session's config. Raises ConfigError."""
    return load_session(
        options.configs,
        cwd=options.cwd,
        script=options.script,
        env=options.env,
        var_overrides=options.vars,
        today=datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC).date(),
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
        self._worker_clocks = WorkerClocks(self._clock) if options.worker_clock else None
        self._events = EventLog(self._clock)
        self._events.subscribe(terminal.on_event)
        self._stop = asyncio.Event()
        self._watcher: Watcher | None = None
        self._config_refused = False
        self._moved_port: int | None = None
        self._url = ""
        section = config.workers[0].dev
        self._ip = options.ip or section.ip or "127.0.0.1"
        self._port = section.port if options.port is None else options.port
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve until Ctrl-C, SIGTERM or the hot key. Returns the exit code. Raises StartError, StateError, PortError."""
        self._check_languages(self._config)
        roots = [worker.root for worker in self._config.workers]
        folder = state_folder(self._options.persist_to, self._options.cwd, roots)
        store = open_store(folder)
        session: Session | None = None
        try:
            session = open_session(store, self._clock.now_ms())
            self._refuse_second_consumer(store, session)
            sock = bind(self._ip, self._port)
            port = sock.getsockname()[1]
            self._moved_port = port if self._port is None and port != DEFAULT_PORT else None
            self._url = f"http://{_public_host(self._ip)}:{port}"
            self._build(store, session)
            server = HttpServer(self._front_door, sock)
            with self._signals():
                await self._serve(server, store, session)
        finally:
            if self._first is not None:
                self._first.abandon()
            if session is not None:
                session.close()
            with contextlib.suppress(sqlite3.Error):  # another process writes: it will do it when it ends
                store.reclaim_space()
            store.close()
        return 0

    def _build(self, store: Store, session: Session) -> None:
        self._broker = Broker(store, self._clock, self._events, session.id)
        self._neighbours = Neighbours(store, session.id, self._events)
        self._broker.on_unheard = self._neighbours.nudge
        self._workers = WorkerSet(self._make_worker)
        self._crons = SessionCrons(
            self._workers,
            self._clock,
            self._events,
            store,
            on=self._options.crons,
            catch_up=self._options.cron_catch_up,
        )
        self._adviser = Adviser(store, self._terminal.warn)
        self._events.subscribe(self._adviser.on_event)
        self._clockwork = Clockwork(
            self._clock, store, self._broker, self._workers, self._crons, self._events, self._worker_clocks
        )
        triggers = Triggers(self._crons.run, self._clock)
        hosts = LOCAL_HOSTS | {self._ip, f"[{self._ip}]"}
        api_token = self._options.api_token
        self._rest = RestDoor(RestOptions(store, self._clock, self._events, self._broker, hosts, api_token))
        token = secrets.token_urlsafe(24)
        control = ControlApi(
            token,
            {
                **clock_calls(self._clock, self._clockwork),
                **cron_calls(self._crons),
                **queue_calls(self._workers, self._rest.look),
            },
        )
        session.announce(self._url, token)
        self._rest.start()
        self._front_door = FrontDoor(self._workers, triggers, control, self._events, hosts, self._rest)

    def _make_worker(self, config: WorkerConfig) -> HostedWorker:
        first, self._first = self._first, None
        return HostedWorker(config, self._broker, self._clock, self._events, first, self._worker_clocks)

    # Serving ------------------------------------------------------------------------------------------------------

    async def _serve(self, server: HttpServer, store: Store, session: Session) -> None:
        background: list[asyncio.Task[None]] = []
        seen = look(self._watched_folders(), self._is_relevant) if self._options.reload else {}
        loading = asyncio.create_task(self._workers.apply(self._config))
        await asyncio.sleep(0)  # let the workers begin; they load while the server starts
        self._attach(session, self._config)
        self._print_start(session)
        await server.start()
        with contextlib.ExitStack() as terminal_state:
            try:
                await _first_done(loading, self._stop)
                self._terminal.info(f"Ready on {self._url}")
                if self._wants_hotkeys():
                    self._print_hotkeys()
                    terminal_state.enter_context(hotkeys(self._key_actions()))
                self._terminal.flush()
                self._crons.start()
                await self._clockwork.start()
                background.append(asyncio.create_task(self._broker.watch_retention()))
                if self._options.reload:
                    background.append(asyncio.create_task(self._watch(session, seen)))
                self._adviser.look(self._config)
                await self._stop.wait()
            finally:
                self._terminal.line(self._terminal.style("⎔ Shutting down...", "dim"))
                self._terminal.flush()
                self._clockwork.close()
                self._rest.close()
                loading.cancel()
                for task in background:
                    task.cancel()
                closing = (self._crons.close(END_GRACE_S), self._workers.close(END_GRACE_S), server.stop())
                await asyncio.gather(*closing)
                await self._neighbours.close()
                await asyncio.gather(loading, *background, return_exceptions=True)
                self._terminal.flush()

    def _attach(self, session: Session, config: SessionConfig) -> None:
        session.attach(
            [
                *(("producer", p.queue, w.name, {"binding": p.binding}) for w in config.workers for p in w.producers),
                *(
                    (
                        "consumer",
                        c.queue,
                        w.name,
                        {
                            "max_batch_size": c.max_batch_size,
                            "max_batch_timeout": c.max_batch_timeout,
                            "max_retries": c.max_retries,
                            "max_concurrency": c.max_concurrency,
                            "retry_delay": c.retry_delay,
                            "dead_letter_queue": c.dead_letter_queue,
                        },
                    )
                    for w in config.workers
                    for c in w.consumers
                ),
            ]
        )

    def _refuse_second_consumer(self, store: Store, session: Session) -> None:
        taken = {a.queue: a for a in attachments(store) if a.role == "consumer" and a.session_id != session.id}
        for worker in self._config.workers:
            for consumer in worker.consumers:
                other = taken.get(consumer.queue)
                if other is not None and other.worker == worker.name:
                    raise StartError(
                        f'{_names(store, other)} already runs worker "{worker.name}" on this state. '
                        "Use that one, end it, or give this one its own state with --persist-to FOLDER."
                    )
                if other is not None:
                    raise StartError(
                        f"{multiple_consumers(consumer.queue, other.worker, worker.name)}. "
                        f'{_names(store, other)} already consumes it with worker "{other.worker}". '
                        "End that session, or give this one its own state with --persist-to FOLDER."
                    )

    @staticmethod
    def _check_languages(config: SessionConfig) -> None:
        for worker in config.workers:
            if worker.language != "python":
                raise StartError(
                    f'Worker "{worker.name}": {worker.main.name} is not Python, and this version of wpy runs Python '
                    "Workers only. Point `main` at a .py file, or run this worker with `wrangler dev`."
                )

    # Printing -----------------------------------------------------------------------------------------------------

    def _print_start(self, session: Session) -> None:
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
        self._crons.set_config(config)
        print_crons(terminal, self._crons.upcoming(), self._clock.now_ms(), on=self._options.crons)
        if self._clock.frozen:
            terminal.warn(
                f"The clock stands still at {iso(self._clock.now_ms())}: nothing fires until it is moved "
                "(wpy clock advance 1h, wpy clock next, wpy clock resume)"
            )
        if session.recovered:
            terminal.info(f"{session.recovered} message(s) were in flight when the last session ended; they come again")
        terminal.line(terminal.style("⎔ Starting local server...", "dim"))

    def _wants_hotkeys(self) -> bool:
        if self._options.interactive is None:
            return sys.stdin.isatty() and sys.stdout.isatty()
        return self._options.interactive and sys.stdin.isatty()

    def _print_hotkeys(self) -> None:
        labels = {
            "b": "open a browser",
            "s": "run crons",
            "q": "show queues",
            "r": "reload",
            "c": "clear",
            "x": "to exit",
        }
        width = shutil.get_terminal_size().columns
        for line in box(labels, width):
            self._terminal.line(line)

    def _key_actions(self) -> dict[str, Callable[[], object]]:
        return {
            "b": lambda: webbrowser.open(self._url),
            "s": self._crons.run_all,
            "q": self._show_queues,
            "r": lambda: self._spawn(self._reload_all()),
            "c": lambda: self._terminal.line("\x1b[2J\x1b[3J\x1b[H"),
            "x": self._stop.set,
        }

    def _show_queues(self) -> None:
        for name in self._broker.queue_names():
            backlog = self._broker.metrics(name)
            consumer = self._workers.consumer(name)
            running = f", {consumer.in_flight} batches running" if consumer is not None else ", no consumer here"
            self._terminal.info(f"{name}: {backlog.backlog_count} messages{running}")

    # Reload -------------------------------------------------------------------------------------------------------

    def _config_files(self) -> set[Path]:
        return {file for worker in self._config.workers for file in worker.files}

    def _watched_folders(self) -> set[Path]:
        folders = {file.parent for file in self._config_files()}
        for config in self._config.workers:
            folders |= source_folders(config.main.parent)
        for worker in self._workers.all():
            folders |= {Path(file).parent for file in worker.files}
        return folders

    def _is_relevant(self, path: Path) -> bool:
        return path.suffix == ".py" or path in self._config_files() or path.name.startswith((".dev.vars", ".env"))

    async def _watch(self, session: Session, seen: Seen) -> None:
        async def changed(paths: set[Path]) -> None:
            if any(path.suffix != ".py" for path in paths):
                await self._apply_config(session)
            sources = {path for path in paths if path.suffix == ".py"}
            for worker in self._workers.all():
                top = worker.config.main.parent
                if any(path.is_relative_to(top) or str(path) in worker.files for path in sources):
                    await worker.load()

        self._watcher = Watcher(self._watched_folders, self._is_relevant, changed, seen)
        await self._watcher.run()

    async def _reload_all(self) -> None:
        for worker in self._workers.all():
            await worker.load()

    async def _apply_config(self, session: Session) -> None:
        try:
            config = read_config(self._options)
            self._check_languages(config)
        except ConfigError as error:
            self._say_config_kept(error.problems)
            return
        except StartError as error:
            self._say_config_kept([Problem("error", str(error))])
            return
        if config == self._config:
            if self._config_refused:
                self._config_refused = False
                self._terminal.info("The config is in order again; nothing in it has changed")
            return
        self._config_refused = False
        if config.warnings and config.warnings != self._config.warnings:
            self._terminal.line(format_problems(list(config.warnings), color=self._terminal.style.color))
        self._config = config
        await self._workers.apply(config)
        self._attach(session, config)
        self._crons.set_config(config)
        self._adviser.look(config)
        if self._watcher is not None:
            self._watcher.restart()
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
                loop.add_signal_handler(number, self._stop.set)
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


async def _first_done(work: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Wait for `work`, but not past `stop`. Raises what the work raised."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        stopping.cancel()


def _names(store: Store, attachment: Attachment) -> str:
    """A session in words: where it serves, and which process it is."""
    for session in living_sessions(store):
        if session.id == attachment.session_id:
            return f"The `wpy dev` session {f'at {session.url} ' if session.url else ''}(process {session.pid})"
    return "Another `wpy dev` session"


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
