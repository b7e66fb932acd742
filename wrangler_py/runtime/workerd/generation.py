"""One workerd with one version of all JavaScript Workers of a session: started, asked, watched, ended.

A reload starts the next generation beside this one, which gets no new events and ends with its last.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct, field

from wrangler_py.events.trace import Span, current_span
from wrangler_py.queues.settlement import CANCELED
from wrangler_py.runtime.workerd.client import Client, ConnectionLost
from wrangler_py.runtime.workerd.locate import explain_libc
from wrangler_py.runtime.workerd.logs import Line, OutputReader
from wrangler_py.runtime.workerd.process import WorkerdProcess
from wrangler_py.runtime.workerd.sourcemap import SourceMap, StackMapper
from wrangler_py.runtime.workerd.workerd_config import DISPATCH_SOCKET, BuiltWorker, socket_name

#: While events run, workerd is asked for a sign of life so often (seconds of real time).
_PING_EVERY_S = 1.0
#: An endless loop is told of when no sign came for this long, and again and again at this distance (seconds).
_BLOCKED_TOLD_S = (2.0, 5.0, 10.0, 20.0)
#: How often the CPU time of one that starts is looked at (seconds).
_CPU_LOOK_S = 0.5
#: How long after its end the reason is waited for (seconds).
_REASON_S = 2.0

_numbers = itertools.count(1)


class Limits(Struct):
    """How long user code may take (seconds of real time)."""

    #: From the start of workerd until it listens, in which the modules' top levels run.
    start_s: float = 20.0
    #: The CPU time that workerd may take for it, where the system tells (Linux). Production allows one second for it.
    start_cpu_s: float = 2.0
    #: How long a Worker may keep workerd busy without a pause, when no config has `limits.cpu_ms`. Production's default for
    #: CPU time [https://developers.cloudflare.com/workers/platform/limits/#cpu-time]; all Workers share the thread here,
    #: so the largest limit counts.
    cpu_s: float = 30.0


class StartFailed(Exception):
    """workerd did not start. `errors`: by Worker, why its code is at fault; else the text says what is."""

    def __init__(self, text: str, errors: dict[str, str]) -> None:
        super().__init__(text)
        self.text = text
        self.errors = errors


class Listener(Protocol):
    """Who hears of what happens in a generation."""

    def printed(self, generation: Generation, line: Line) -> None: ...

    def own_words(self, generation: Generation, text: str) -> None: ...

    def lines_dropped(self, count: int) -> None: ...

    def blocked(self, generation: Generation, seconds: float) -> None: ...

    def ended(self, generation: Generation) -> None: ...


class RunningEvent(Struct, eq=False):
    """An event that user code handles."""

    kind: str
    worker: str
    label: str
    span: Span | None
    began: float
    #: Whether user code waits in it for something that wpy tells it.
    asleep: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Generation:
    """See the module."""

    def __init__(
        self, workers: Sequence[BuiltWorker], folder: Path, listener: Listener, limits: Limits, *, debugged: bool
    ) -> None:
        """`folder` holds its configuration and gets its sockets. `debugged`: a debugger may stop it for any time."""
        loop = asyncio.get_running_loop()
        self.number = next(_numbers)
        self.workers = {worker.config.name: worker for worker in workers}
        self.folder = folder
        self._listener = listener
        self._limits = limits
        self._debugged = debugged
        given = [worker.config.cpu_ms for worker in workers]
        self._cpu_s = max((ms / 1000 if ms is not None else limits.cpu_s for ms in given), default=limits.cpu_s)
        self._indexes = {name: index for index, name in enumerate(self.workers)}
        self._fronts = {name: Client(str(folder / socket_name(i))) for name, i in self._indexes.items()}
        self._dispatch = Client(str(folder / "dispatch.sock"))
        self.events: set[RunningEvent] = set()
        #: Done when another generation takes over, or is about to.
        self.superseded: asyncio.Future[None] = loop.create_future()
        self.handlers: dict[str, tuple[str, ...]] = {}
        #: What becomes of events that the end of the process cuts off.
        self.lost_outcome = CANCELED
        #: Called when an event is over.
        self.on_event_over: Callable[[], None] = lambda: None
        self.stacks = StackMapper()
        for name, worker in self.workers.items():
            if worker.bundle.source_map is not None:
                source_map = SourceMap(worker.bundle.source_map, worker.bundle.base, worker.config.root)
                self.stacks.maps[name] = (worker.bundle.modules[0].name, source_map)
        self.process: WorkerdProcess | None = None
        self._command: Sequence[str | Path] = ()
        self._listening: set[str] = set()
        self.ports: dict[str, int] = {}
        self._heard = asyncio.Event()
        self._said: list[str] = []
        self._output = OutputReader(self._line, self._own_words, listener.lines_dropped, loop.time)
        self._watchdog: asyncio.Task[None] | None = None

    # Start --------------------------------------------------------------------------------------------------------

    async def start(self, command: Sequence[str | Path]) -> None:
        """Start workerd and wait until it serves. Raises StartFailed; nothing of it is left then."""
        self._command = command
        expected = {DISPATCH_SOCKET, *(f"worker{index}" for index in self._indexes.values())}
        try:
            self.process = WorkerdProcess(command, self.folder, self._listen, self._output.feed)
        except OSError as error:
            raise StartFailed(f"workerd cannot be started: {error}", {}) from None
        self.process.ended.add_done_callback(lambda _: self._heard.set())
        try:
            async with asyncio.timeout(self._limits.start_s):
                while not expected <= self._listening and not self.process.ended.done():
                    self._heard.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_CPU_LOOK_S):
                            await self._heard.wait()
                            continue
                    if self.process.cpu_seconds() > self._limits.start_cpu_s:
                        raise TimeoutError
                if not self.process.ended.done():
                    for name in self.workers:
                        self.handlers[name] = tuple((await self._ask("about", name))["handlers"])
        except (TimeoutError, ConnectionLost) as error:
            if isinstance(error, TimeoutError) or not self.process.ended.done():
                await self.end("it did not start")
            if isinstance(error, TimeoutError):
                raise StartFailed(self._too_slow(), {}) from None
        except asyncio.CancelledError:
            self.process.kill("the session is ending")
            raise
        if self.process.ended.done():
            raise StartFailed(*self._why_not())
        self.process.ended.add_done_callback(self._ended)

    def _too_slow(self) -> str:
        return (
            f"its top level ran for more than {self._limits.start_cpu_s:g} s: is there an endless loop outside of the "
            "handlers? (Workers that load together are looked at together.)"
        )

    def _why_not(self) -> tuple[str, dict[str, str]]:
        """What workerd said when it ended at once."""
        errors: dict[str, list[str]] = {}
        rest: list[str] = []
        for text in self._said:
            found = re.match(r"(?:service )?user:([^\s:]+): (.*)", text, re.DOTALL)
            if found is not None and found.group(1) in self.workers:
                errors.setdefault(found.group(1), []).append(explained(self.stacks.mapped(found.group(2))))
            else:
                rest.append(self.stacks.mapped(text))
        assert self.process is not None
        general = "\n".join(rest) or self.process.describe_end()
        general = explain_libc("workerd", Path(str(self._command[0])), general) or general
        return general, {name: "\n".join(texts) for name, texts in errors.items()}

    def _listen(self, name: str, port: int) -> None:
        self._listening.add(name)
        self.ports[name] = port
        self._heard.set()

    # Asking -------------------------------------------------------------------------------------------------------

    def front(self, worker: str) -> Client:
        """Where a Worker's HTTP requests go."""
        return self._fronts[worker]

    async def _ask(self, what: str, worker: str, body: bytes | None = None) -> Any:
        target = f"/{what}/{self._indexes[worker]}"
        answer = await self._dispatch.request("POST" if body else "GET", target, [("host", "wpy")], body)
        data = answer.body + (b"".join([chunk async for chunk in answer.stream]) if answer.stream else b"")
        if answer.status != 200:
            text = data.decode("utf-8", "replace") or f"status {answer.status}"
            raise DispatchFailed(text)
        return json.loads(data)

    async def dispatch(self, kind: str, worker: str, body: bytes) -> Any:
        """Run a queue batch or a cron ("queue", "scheduled"); workerd's result. Raises ConnectionLost, DispatchFailed."""
        return await self._ask(kind, worker, body)

    # Events -------------------------------------------------------------------------------------------------------

    def begin(self, kind: str, worker: str, label: str) -> RunningEvent:
        """An event starts. `over` must follow."""
        now = asyncio.get_running_loop().time()
        event = RunningEvent(kind, worker, label, current_span.get(), now)
        self.events.add(event)
        if self._watchdog is None and not self._debugged:
            self._watchdog = asyncio.get_running_loop().create_task(self._watch())
        return event

    def over(self, event: RunningEvent) -> None:
        self.events.discard(event)
        event.done.set()
        self.on_event_over()

    def busy(self, worker: str, *kinds: str) -> bool:
        """Whether an event of one of these kinds runs in a Worker."""
        return any(event.worker == worker and event.kind in kinds for event in self.events)

    def span_of(self, worker: str) -> Span | None:
        """The span of a Worker's event, when only one runs: workerd does not say which of several it is."""
        running = [event for event in self.events if event.worker == worker and not event.asleep]
        return running[0].span if len(running) == 1 else None

    def span_labelled(self, worker: str, label: str) -> Span | None:
        """The span of a Worker's event that has this label, when there is one and no other like it."""
        running = [event for event in self.events if event.worker == worker and event.label == label]
        return running[0].span if len(running) == 1 else None

    # Watching -----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """While events run, see that workerd goes round: an endless loop stops all of its Workers."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(_PING_EVERY_S)  # real time: this is about the machine
                if all(event.asleep for event in self.events):
                    if self.events:
                        continue
                    break
                asked = loop.time()
                ping = asyncio.ensure_future(self._dispatch.request("GET", "/ping", [("host", "wpy")]))
                told = 0
                while not ping.done():
                    next_s = _BLOCKED_TOLD_S[told] if told < len(_BLOCKED_TOLD_S) else self._cpu_s
                    await asyncio.wait({ping}, timeout=asked + min(next_s, self._cpu_s) - loop.time())
                    if ping.done():
                        break
                    seconds = loop.time() - asked
                    if seconds >= self._cpu_s:
                        ping.cancel()
                        self.lost_outcome = "exceededCpu"
                        self.kill(self._spun(seconds))
                        return
                    self._listener.blocked(self, seconds)
                    told += 1
                with contextlib.suppress(ConnectionLost):
                    await ping
        finally:
            self._watchdog = None

    def _spun(self, seconds: float) -> str:
        doing = ", ".join(sorted({f"{event.label} of {event.worker}" for event in self.events})) or "a Worker"
        return f"{doing} has not paused for {seconds:.0f} s (an endless loop?)"

    # What it says -------------------------------------------------------------------------------------------------

    def _line(self, line: Line) -> None:
        self._listener.printed(self, line)

    def _own_words(self, text: str) -> None:
        if len(self._said) < 200:
            self._said.append(text)
        if self.handlers:  # it has started: what it said before is told by `start`
            self._listener.own_words(self, text)

    # End ----------------------------------------------------------------------------------------------------------

    def supersede(self) -> None:
        """Another generation takes over: workflows go on in that one, each when its steps that run are over."""
        if not self.superseded.done():
            self.superseded.set_result(None)

    def kill(self, reason: str) -> None:
        if self.process is not None:
            self.process.kill(reason)

    async def end(self, reason: str) -> None:
        """End it, and wait until it is gone."""
        self.kill(reason)
        if self.process is not None:
            await asyncio.shield(self.process.ended)

    def _ended(self, _: object) -> None:
        assert self.process is not None
        if self.process.crashed:
            self.lost_outcome = "exception"
        if self._watchdog is not None:
            self._watchdog.cancel()
        for client in (self._dispatch, *self._fronts.values()):
            client.close()
        self._output.tell_dropped()
        self._listener.ended(self)

    async def why_lost(self) -> str:
        """Why a connection was closed before the answer."""
        assert self.process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REASON_S):
                await asyncio.shield(self.process.ended)
            return self.process.describe_end()
        return "workerd closed the connection before it had answered"


class DispatchFailed(Exception):
    """The dispatcher in workerd failed, and not the Worker."""


_HINTS = (
    (
        re.compile(r"No such compatibility flag: (\S+)"),
        "Is it spelled right? https://developers.cloudflare.com/workers/configuration/compatibility-flags/ lists them; a new "
        "one may need a newer workerd: npm install --save-dev workerd@latest",
    ),
    (
        re.compile(r'No such module "node:'),
        'Add "nodejs_compat" to compatibility_flags to have Node.js\'s own modules.',
    ),
    (
        re.compile(r"Incorrect type for map entry '([^']+)'"),
        "A Worker's entry module may export handlers, classes and functions only.",
    ),
)


def explained(text: str) -> str:
    """workerd's words, and what to do next where that is known."""
    for pattern, hint in _HINTS:
        if pattern.search(text):
            return f"{text}\n{hint}"
    return text
