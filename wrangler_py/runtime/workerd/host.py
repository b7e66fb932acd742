"""The workerd of a session: it runs all its JavaScript Workers, because bindings between them work inside one only.

Whatever changes, the next generation is started beside the one that serves, and takes over when it listens: a save, a
changed config, a Worker more or less, a crash. With Durable Objects on disk the one before must end first, so the new
code is tried in memory before.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from msgspec import Struct, field

from wrangler_py.clock import utc_today
from wrangler_py.config.model import WorkerConfig
from wrangler_py.events.log import EventLog
from wrangler_py.events.trace import Span, within
from wrangler_py.runtime.crashes import CrashBackoff
from wrangler_py.runtime.workerd import adapters, locate
from wrangler_py.runtime.workerd.adapters import Backends
from wrangler_py.runtime.workerd.adapters.queue import QueueAdapter
from wrangler_py.runtime.workerd.bundle import build
from wrangler_py.runtime.workerd.folders import FolderInUse, lock_folder, temporary_folder
from wrangler_py.runtime.workerd.generation import Generation, Limits, StartFailed
from wrangler_py.runtime.workerd.kept_sends import KeptSends
from wrangler_py.runtime.workerd.locate import Binary
from wrangler_py.runtime.workerd.logs import Line
from wrangler_py.runtime.workerd.loopback import Call, Loopback
from wrangler_py.runtime.workerd.workerd_config import BuiltWorker, Place, durable_classes, write_config

if TYPE_CHECKING:
    from wrangler_py.runtime.workerd.runtime import WorkerdRuntime

#: How long the others of a session may take to leave after the first (seconds).
_LEAVE_S = 1.0
#: The folder of Durable Objects in the state folder.
DURABLE_FOLDER = "do-workerd"


class HostOptions(Struct, frozen=True):
    """How the JavaScript Workers of a session are run."""

    #: Where a debugger (Chrome DevTools) may connect; None: nowhere. 0: any free port.
    inspector_port: int | None = None
    limits: Limits = field(default_factory=Limits)


class WorkerdHost:
    """See the module. Listener (generation.py)."""

    def __init__(self, backends: Backends, events: EventLog, state: Path, options: HostOptions | None = None) -> None:
        """`state`: the session's state folder."""
        self.events = events
        self.options = options or HostOptions()
        self.runtimes: dict[str, WorkerdRuntime] = {}
        self.current: Generation | None = None
        self.draining: set[Generation] = set()
        self.closed = False
        self._state = state
        self._root: Path | None = None
        self._folders = itertools.count(1)
        self._loopback: Loopback | None = None
        self._backends = backends
        self.services = backends.services
        self.kept: KeptSends | None = None
        self._workerd: Binary | None = None
        self._esbuild: Binary | None = None
        self._setup = asyncio.Lock()
        self._swap_lock = asyncio.Lock()
        #: What each Worker shall be, and what it is in `current`.
        self._wanted: dict[str, BuiltWorker] = {}
        self._serving: dict[str, BuiltWorker] = {}
        self._asked = self._done = 0
        self._building = 0
        self._built = asyncio.Event()
        self._errors: dict[str, str] = {}
        self._crashes = CrashBackoff()
        self._tasks: set[asyncio.Task[Any]] = set()
        #: Held while the Durable Objects on disk are ours.
        self._lock: IO[str] | None = None

    # Loading ------------------------------------------------------------------------------------------------------

    async def load(self, runtime: WorkerdRuntime, config: WorkerConfig) -> BuiltWorker:
        """Build a Worker and swap it in. Raises BuildError, BinaryMissing, LoadFailed; then what served goes on serving."""
        self._building += 1
        try:
            await self._set_up(config)
            built = await self._build(config)
        finally:
            self._building -= 1
            self._built.set()
        self.runtimes[config.name] = runtime
        self._wanted[config.name] = built
        self._errors.pop(config.name, None)
        await self.renew()
        error = self._errors.pop(config.name, None)
        if error is not None:
            raise LoadFailed(error)
        return built

    async def _set_up(self, config: WorkerConfig) -> None:
        async with self._setup:
            no_bundle = bool(config.bundling.no_bundle)
            looked: list[Any] = []
            if self._workerd is None:
                looked.append(asyncio.to_thread(locate.find_workerd, config.root))
            if self._esbuild is None and not no_bundle:
                looked.append(asyncio.to_thread(locate.find_esbuild, config.root))
            for found in await asyncio.gather(*looked):
                if found.path.name.startswith("esbuild") or "esbuild" in str(found.path):
                    self._esbuild = found
                else:
                    self._workerd = found
            if self._root is None:
                self._root = temporary_folder()
                self._loopback = self._serve_bindings(str(self._root / "wpy.sock"))
                await self._loopback.start()

    async def _build(self, config: WorkerConfig) -> BuiltWorker:
        assert self._root is not None and self._workerd is not None
        out = self._root / f"b{next(self._folders)}"
        out.mkdir()
        bundle = await build(config, out, self._esbuild, inline_map=self.options.inspector_port is not None)
        accepted, warning = locate.accepted_date(config.compatibility_date, self._workerd, utc_today())
        return BuiltWorker(config, bundle, accepted, out, () if warning is None else (warning,))

    # Swapping -----------------------------------------------------------------------------------------------------

    async def renew(self) -> None:
        """Bring what is wanted into service. Those who ask at the same time are served by one swap."""
        self._asked += 1
        mine = self._asked
        async with self._swap_lock:
            if self._done >= mine or self.closed:
                return
            while self._building:  # Workers that load together start together
                self._built.clear()
                await self._built.wait()
            self._done = self._asked
            await self._swap()

    async def _swap(self) -> None:
        wanted = dict(self._wanted)
        while wanted:
            try:
                await self._start(wanted)
                break
            except StartFailed as failure:
                if not self._without_faults(wanted, failure):
                    break
        if not wanted:
            await self._drop_all()
        self._wanted = {name: built for name, built in self._wanted.items() if name in self.runtimes}
        self._sweep()

    def _without_faults(self, wanted: dict[str, BuiltWorker], failure: StartFailed) -> bool:
        """Take back what does not start: to the version that serves, else out. Returns whether anything is left to try."""
        errors = failure.errors
        if not errors:  # workerd does not say whose fault it is: whoever is new
            changed = [name for name, built in wanted.items() if self._serving.get(name) is not built]
            errors = dict.fromkeys(changed or wanted, failure.text)
        for name, text in errors.items():
            self._errors[name] = text
            before = self._serving.get(name)
            if before is not None and before is not wanted[name]:
                self._wanted[name] = wanted[name] = before
            else:
                self._wanted.pop(name, None)
                del wanted[name]
        # When what is left is what serves, there is nothing to start.
        return bool(wanted) and not (self.current is not None and wanted == self._serving)

    async def _start(self, wanted: dict[str, BuiltWorker]) -> None:
        """Raises StartFailed."""
        workers = list(wanted.values())
        durable = any(durable_classes(worker.config) for worker in workers)
        alone = durable or self.options.inspector_port not in (None, 0)
        if alone and self.current is not None:
            await self._try_out(workers)
            await self._until_quiet(self.current)
        try:
            generation = self._generation(workers, in_memory=False)
        except FolderInUse as error:
            users = [worker.config.name for worker in workers if durable_classes(worker.config)]
            raise StartFailed(str(error), dict.fromkeys(users, str(error))) from None
        await generation.start(self._command(inspected=True))
        port = generation.ports.get("inspector")
        if port is not None:
            self.events.emit("inspector.listening", address=f"127.0.0.1:{port}")
        old, self.current = self.current, generation
        if old is not None:
            old.supersede()
        changed = {name for name, built in wanted.items() if self._serving.get(name) is not built}
        self._serving = wanted
        if old is not None and old.process is not None and not old.process.ended.done():
            self.draining.add(old)
            old.on_event_over = self._look_at_draining
        for name in changed:
            self.runtimes[name].swapped(generation)
        self._look_at_draining()
        for name in wanted:
            self.runtimes[name].look_at_gate()

    async def _try_out(self, workers: Sequence[BuiltWorker]) -> None:
        """Start code in memory and end it: what cannot start must not cost what serves. Raises StartFailed."""
        trial = self._generation(workers, in_memory=True)
        try:
            await trial.start(self._command(inspected=False))
        finally:
            await trial.end("tried out")

    async def _until_quiet(self, generation: Generation) -> None:
        """Let the batches and crons of the serving generation finish, then end it: two must not share its files."""
        for runtime in self.runtimes.values():
            runtime.hold()
        generation.supersede()
        for event in list(generation.events):
            if event.kind in ("queue", "scheduled", "workflow"):
                await event.done.wait()
        self.current = None
        await generation.end("replaced")

    async def _drop_all(self) -> None:
        """No Worker is left."""
        old, self.current = self.current, None
        self._serving = {}
        if old is not None:
            await old.end("no Worker is left")

    def _generation(self, workers: Sequence[BuiltWorker], *, in_memory: bool) -> Generation:
        assert self._root is not None
        folder = self._root / f"g{next(self._folders)}"
        folder.mkdir()
        durable = None
        if not in_memory and any(durable_classes(worker.config) for worker in workers):
            durable = self._state.resolve() / DURABLE_FOLDER
            durable.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                self._lock = lock_folder(durable)
        extra = os.environ.get("NODE_EXTRA_CA_CERTS")  # as in wrangler
        certificates = [Path(extra)] if extra and Path(extra).is_file() else []
        tagged = self.options.inspector_port is None
        write_config(workers, Place(folder, "../wpy.sock", durable, tuple(certificates), tagged))
        return Generation(workers, folder, self, self.options.limits, debugged=not tagged)

    def _command(self, *, inspected: bool) -> list[str | Path]:
        assert self._workerd is not None
        port = self.options.inspector_port
        inspector = [f"--inspector-addr=127.0.0.1:{port}"] if inspected and port is not None else []
        return [self._workerd.path, "serve", "config.capnp", "--experimental", *inspector]

    def _look_at_draining(self) -> None:
        """End old generations whose last event is over, and let Workers begin whose old batches are done."""
        for generation in list(self.draining):
            # Open WebSockets are closed, as wrangler does it: they would keep the old code for as long as a page is open.
            if all(event.kind == "socket" for event in generation.events):
                self.draining.discard(generation)
                generation.kill("replaced")
        for runtime in self.runtimes.values():
            runtime.look_at_gate()

    def _sweep(self) -> None:
        """Remove the folders of bundles and generations that nobody runs any more."""
        if self._root is None:
            return
        living = {generation.folder.name for generation in (self.current, *self.draining) if generation is not None}
        for generation in (self.current, *self.draining):
            if generation is not None:
                living |= {worker.folder.name for worker in generation.workers.values()}
        living |= {built.folder.name for built in self._wanted.values()}
        if self._building:
            return
        for folder in self._root.iterdir():
            if folder.is_dir() and folder.name not in living:
                shutil.rmtree(folder, ignore_errors=True)

    # Bindings -----------------------------------------------------------------------------------------------------

    def _serve_bindings(self, path: str) -> Loopback:
        loopback = Loopback(path)
        if self._backends.outbox is not None:
            self.kept = KeptSends(self._backends.outbox, self._backends.queues)
        loopback.immediate["queue"] = QueueAdapter(self._backends.queues, self, self.kept)
        loopback.handlers["control"] = self._control
        loopback.make_handler = lambda kind: adapters.make(kind, self._backends)
        return loopback

    def span_of(self, worker: str) -> Span | None:
        """Sender (adapters/queue.py)."""
        return self.current.span_of(worker) if self.current is not None else None

    def store_sends(self) -> None:
        """Store the sends that are kept: an event ends, and whoever sees what it did may look for them."""
        if self.kept is not None:
            self.kept.store()

    async def _control(self, call: Call) -> None:
        """What the Workers threw where nobody of wpy looked (shim/tail.js)."""
        told = json.loads(await call.body())
        call.answer(200)
        runtime = self.runtimes.get(told["worker"])
        generation = self.current
        if runtime is None or generation is None:
            return
        for event in told["events"]:
            for exception in event["exceptions"]:
                runtime.uncaught(generation, event, exception)

    # Listener (generation.py) -------------------------------------------------------------------------------------

    def printed(self, generation: Generation, line: Line) -> None:
        worker = line.worker or (next(iter(generation.workers)) if len(generation.workers) == 1 else "")
        text = generation.stacks.mapped(line.text) if line.level == "error" else line.text
        self._print(generation, worker or "workerd", line.event, line.level, text)

    def _print(self, generation: Generation, worker: str, event: str, level: str, text: str) -> None:
        span = generation.span_labelled(worker, event) if event else None
        with within(span) if span is not None else nullcontext():
            self.events.emit("worker.printed", worker=worker, event=event, level=level, text=text)

    def own_words(self, generation: Generation, text: str) -> None:
        if not generation.process or generation.process.reason is None:
            self._print(generation, "workerd", "", "warn", generation.stacks.mapped(text))

    def lines_dropped(self, count: int) -> None:
        text = f"{count:,} lines came faster than they can be shown, and were left out"
        self.events.emit("worker.printed", worker="workerd", event="", level="warn", text=text)

    def blocked(self, generation: Generation, seconds: float) -> None:
        running = sorted(generation.events, key=lambda event: event.began)
        latest = running[-1] if running else None
        worker = latest.worker if latest else next(iter(generation.workers))
        label = ", ".join(sorted({event.label for event in running}))
        where = f"{generation.workers[worker].config.main.name} (workerd cannot say at which line)"
        self.events.emit("worker.blocked", worker=worker, event=label, seconds=seconds, where=where)

    def ended(self, generation: Generation) -> None:
        self.draining.discard(generation)
        if generation is self.current and not self.closed:
            self.current = None
            assert generation.process is not None
            reason = generation.process.describe_end()
            for name in generation.workers:
                if name in self.runtimes:
                    self.runtimes[name].hold()
                    self.events.emit("worker.crashed", worker=name, reason=reason)
            self.background(self._recover())
        self._look_at_draining()

    async def _recover(self) -> None:
        delay = self._crashes.crashed(asyncio.get_running_loop().time())
        if delay:
            await asyncio.sleep(delay)  # real time: this is about the machine, not about the session's clock
        async with self._swap_lock:
            if self.current is not None or self.closed:
                return
            self._serving = {}
            await self._swap()
            for name, text in self._errors.items():
                if name in self.runtimes:
                    self.runtimes[name].failed(text)
                    self.events.emit("worker.load_failed", worker=name, error=text)
            self._errors.clear()

    def background(self, work: Any) -> None:
        """Run a coroutine until it is done, or the session ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # End ----------------------------------------------------------------------------------------------------------

    async def leave(self, runtime: WorkerdRuntime) -> None:
        """A Worker ends. With the last one workerd does."""
        if self.runtimes.get(runtime.name) is not runtime:
            return
        del self.runtimes[runtime.name]
        self._wanted.pop(runtime.name, None)
        if not self.runtimes:
            await self.close()
        else:
            self.background(self._renew_later())

    async def _renew_later(self) -> None:
        """End what runs of a Worker that has left, unless the others leave as well."""
        await asyncio.sleep(_LEAVE_S)  # real time: this is about the end of the session
        await self.renew()

    async def close(self) -> None:
        """End workerd and everything around it."""
        self.closed = True
        for task in self._tasks:
            task.cancel()
        generations = [g for g in (self.current, *self.draining) if g is not None]
        self.current = None
        for generation in generations:
            with contextlib.suppress(ProcessLookupError):
                await generation.end("the session is ending")
        if self._lock is not None:
            self._lock.close()
        if self._loopback is not None:
            await self._loopback.close()
        if self.kept is not None:
            await self.kept.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._root is not None:
            await asyncio.to_thread(shutil.rmtree, self._root, True)


class LoadFailed(Exception):
    """A Worker's code was built and does not start. The text says why, with the user's own lines."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
