"""One process of a Python worker, connected to the event loop: spoken to in frames, ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol, cast

from wrangler_py.events.trace import Span, current_span, within
from wrangler_py.runtime.base import StreamBroken
from wrangler_py.runtime.outbox import Outbox
from wrangler_py.runtime.python.pending import LoadFailed, PendingEvent, ProcessEnded
from wrangler_py.runtime.python.process_tree import descendants, kill_all
from wrangler_py.runtime.python.sockets import AdoptedSocket, WorkerSocket
from wrangler_py.runtime.python.spawn import SpawnedProcess
from wrangler_py.runtime.python.time_limits import TimeLimits
from wrangler_py.runtime.worker import frames

#: How long a process may take to say HELLO (seconds). A cold start takes 0.1 to 0.2 s on an idle machine.
HELLO_TIMEOUT_S = 30.0
#: Pieces of a streamed answer that may wait for a slow client before the worker is no longer read (bytes).
_STREAM_HIGH_WATER = 4 << 20
_BROKEN = "the stream of the answer failed before its end"
#: How long a process that is ended for a batch may take to say what the batch has settled (seconds).
_LAST_WORD_S = 0.3
#: How long a process that closed its socket may take to be gone, in steps (seconds).
_REAP_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04)


class Calls(Protocol):
    """Who answers what a worker calls on its bindings."""

    def call(
        self, process: WorkerProcess, call: int, event: int, binding: str, method: str, args: tuple[Any, ...]
    ) -> None:
        """Answer with `process.send(frames.REPLY, call, value)` or `frames.THROW`, now or later."""
        ...

    def flush(self, process: WorkerProcess) -> None:
        """No further call is at hand: carry out those that wait for company."""
        ...


LogSink = Callable[[str, str, str], None]  # label of the event ("" outside of one), level, text
BlockedSink = Callable[[str, float, str], None]  # label of the event, seconds, where


class WorkerProcess(asyncio.Protocol):
    """A connected worker process."""

    _popen: subprocess.Popen[bytes]

    def __init__(self, spawned: SpawnedProcess | None, calls: Calls, log: LogSink, blocked: BlockedSink) -> None:
        """`spawned` None: there is no process of its own behind it (runtime/inprocess/)."""
        self._sock: socket.socket | None = None
        if spawned is not None:
            self._popen, self._sock, self._token = spawned.popen, spawned.sock, spawned.token
        self._calls = calls
        self._log = log
        self._blocked = blocked
        self._decoder = frames.Decoder()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._reading = False  # what is answered while a piece is read leaves with it
        self._numbers = itertools.count(1)
        self.events: dict[int, PendingEvent] = {}
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._hello: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._loaded: asyncio.Future[dict[str, Any]] = loop.create_future()
        #: Done when the process is gone; its result says how.
        self.ended: asyncio.Future[str] = loop.create_future()
        self._fatal: str | None = None
        #: The version of its interpreter, once it has said HELLO.
        self.python = ""
        #: Of real time, on what it does.
        self.limits = TimeLimits()
        #: Told of breakpoints: label of the event, whether one begins, where.
        self.on_debug: Callable[[str, bool, str], None] = lambda label, begins, where: None
        self._expected_end: str | None = None
        #: Called whenever an event is over.
        self.on_event_over: Callable[[], None] = _nothing
        #: Called when waitUntil work outlives its handler, and when it is over, with its outcome and error.
        self.on_tasks: Callable[[PendingEvent, tuple[str, str | None] | None], None] = _ignore
        self._returned: list[PendingEvent] = []
        #: Told what the process says of its Durable Objects (frames.OBJECTS_ARE).
        self.on_objects: Callable[[WorkerProcess, str, list[Any]], None] = _ignore_objects
        #: Takes its SENT frames; None until code is loaded, and for those that have none.
        self.outbox: Outbox | None = None
        #: Done when another process has taken its place.
        self.superseded: asyncio.Future[None] = loop.create_future()
        #: WebSockets that it has handed to clients, by the number of the event.
        self.sockets: dict[int, WorkerSocket | AdoptedSocket] = {}
        #: Those of other Workers that it was handed.
        self.adopted: list[AdoptedSocket] = []

    @property
    def pid(self) -> int:
        return self._popen.pid

    # Life ---------------------------------------------------------------------------------------------------------

    async def connect(self) -> dict[str, Any]:
        """Wait until the process can load code. Returns what its HELLO said. Raises ProcessEnded."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.setblocking(False)
            if self._token is not None:
                sock = await self._accept(sock, self._token)
                await self._loop.create_connection(lambda: self, sock=sock)
            else:
                await self._loop.create_unix_connection(lambda: self, sock=sock)
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                return await asyncio.shield(self._hello)
        except TimeoutError:
            self.kill(f"did not start within {HELLO_TIMEOUT_S:g} s")
            raise ProcessEnded(f"the worker process did not start within {HELLO_TIMEOUT_S:g} s") from None

    async def _accept(self, listener: socket.socket, token: str) -> socket.socket:
        with listener:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                while True:
                    sock, _ = await self._loop.sock_accept(listener)
                    sock.setblocking(False)
                    sent = b""
                    while not sent.endswith(b"\n") and len(sent) < 100:
                        sent += await self._loop.sock_recv(sock, 1) or b"\n"
                    if secrets.compare_digest(sent.strip(), token.encode()):
                        return sock
                    sock.close()

    async def load(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Import the user's code. Returns what LOADED says. Raises LoadFailed or ProcessEnded."""
        self.send(frames.LOAD, spec)
        return await self._loaded

    def kill(self, reason: str) -> None:
        """End the process now. `reason` in words: "reloaded", "over its time limit", ..."""
        if self._expected_end is None:
            self._expected_end = reason
        left_behind = descendants(self.pid) if self._loaded.done() else []
        with contextlib.suppress(OSError):
            self._popen.kill()
        kill_all(left_behind)
        if self._transport is not None:
            self._transport.abort()
        elif not self.ended.done():
            self._end()

    # Frames out ---------------------------------------------------------------------------------------------------

    def send(self, *frame: Any) -> None:
        """Send a frame; all frames of one turn of the loop leave in one write."""
        self._out.append(frames.encode(*frame))
        if len(self._out) == 1 and not self._reading:
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(out))

    def start_event(self, kind: str, label: str) -> tuple[int, PendingEvent]:
        """Register an event; the caller sends its frame."""
        if self.ended.done():
            raise ProcessEnded(self.ended.result())
        number = next(self._numbers)
        event = PendingEvent(kind, label, self._loop)
        self.events[number] = event
        return number, event

    def send_socket(self, number: int, kind: str, *args: Any) -> None:
        """Tell the worker what the client of a WebSocket does."""
        if not self.ended.done():
            self.send(frames.SOCKET, number, kind, *args)

    def drop_event(self, number: int) -> None:
        """Nobody waits for an event any more, and it need not end."""
        event = self.events.pop(number, None)
        if event is not None:
            event.fail(ProcessEnded("given up"))
            self.on_event_over()

    def busy(self, *kinds: str) -> bool:
        """Whether an event of one of these kinds runs now."""
        return any(event.kind in kinds for event in self.events.values())

    # Frames in ----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not subclasses of it

    def data_received(self, data: bytes) -> None:
        self._reading = True
        try:
            self.take(self._decoder.feed(data))
        except (ValueError, EOFError, TypeError) as error:
            self.kill(f"broke the protocol: {error}")
        finally:
            self._reading = False
            if self._out:
                self._write()

    def take(self, arrived: Sequence[tuple[Any, ...]]) -> None:
        """Frames that came together."""
        for frame in arrived:
            self._received(frame)
        if self._returned:
            self._look_at_tasks()
        # Answers to sends leave within this very turn: a worker that sends one by one waits for each of them.
        self._calls.flush(self)
        if self.outbox is not None:
            self.outbox.answer()

    def _received(self, frame: tuple[Any, ...]) -> None:
        kind = frame[0]
        if kind == frames.CALL:
            _, call, number, binding, method, args = frame
            event = self.events.get(number)
            # Not `within`, which costs more: every send of a worker passes here.
            token = current_span.set(None if event is None else event.span)
            try:
                self._calls.call(self, call, number, binding, method, args)
            finally:
                current_span.reset(token)
        elif kind == frames.SENT:
            event = self.events.get(frame[2])
            token = current_span.set(None if event is None else event.span)
            try:
                if self.outbox is not None:
                    self.outbox.take(frame)
            finally:
                current_span.reset(token)
        elif kind == frames.RESPONSE:
            _, number, status, headers, body, more = frame
            event = self.events.get(number)
            if event is not None and not event.response.done():
                if status == 101:
                    self.sockets[number] = WorkerSocket(self, number)
                if more:
                    event.chunks = asyncio.Queue()
                event.response.set_result((status, headers, body, more))
        elif kind == frames.CHUNK:
            _, number, chunk, more, *whole = frame
            event = self.events.get(number)
            if event is not None and event.chunks is not None:
                event.queued += len(chunk)
                event.chunks.put_nowait(chunk)
                if not more:
                    event.chunks.put_nowait(None if whole != [False] else StreamBroken(_BROKEN))
                elif event.queued > _STREAM_HIGH_WATER:
                    self._pause()
        elif kind == frames.RETURNED:
            event = self.events.get(frame[1])
            if event is not None and event.settled is not None:
                if not event.settled.done():
                    event.settled.set_result(frame[2])
            elif event is not None and not event.returned.done():
                event.returned.set_result(frame[2])
                self._returned.append(event)
        elif kind == frames.DONE:
            event = self.events.pop(frame[1], None)
            if event is not None:
                self._over(event, frame[2])
        elif kind == frames.LOG:
            _, number, level, text = frame
            with self._within(number):
                self._log(self._label(number), level, text)
        elif kind == frames.BLOCKED:
            _, number, seconds, where = frame
            with self._within(number):
                self._blocked(self._label(number), seconds, where)
        elif kind == frames.DEBUG:
            _, number, begins, where = frame
            self.limits.debug(begins)
            self.on_debug(self._label(number), begins, where)
        elif kind == frames.HELLO:
            self.python = frame[1].get("python", "")
            if not self._hello.done():
                self._hello.set_result(frame[1])
        elif kind == frames.LOADED:
            if not self._loaded.done():
                self._loaded.set_result(frame[1])
        elif kind == frames.LOAD_FAILED:
            if not self._loaded.done():
                self._loaded.set_exception(LoadFailed(frame[1], frame[2]))
        elif kind == frames.SOCKET:
            link = self.sockets.get(frame[1])
            if link is not None:
                link.received(frame[2], frame[3:])
        elif kind == frames.OBJECTS_ARE:
            self.on_objects(self, frame[1], frame[2])
        elif kind == frames.FATAL:
            self._fatal = frame[1]
        else:
            raise ValueError(f"unknown frame {kind!r}")

    # Events over -------------------------------------------------------------------------------------------------

    def _over(self, event: PendingEvent, result: dict[str, Any]) -> None:
        if not event.returned.done():
            event.returned.set_result(result)
        if not event.done.done():
            event.done.set_result(result)
        if not event.response.done():
            reason = result.get("error") or "the handler gave no response"
            event.response.set_exception(ProcessEnded(reason, result.get("thrown")))
            event.response.exception()
        if event.chunks is not None:
            event.chunks.put_nowait(None)
        if event.tasks is not None:
            self.on_tasks(event, (result["outcome"], result.get("error")))
        self.on_event_over()

    def _look_at_tasks(self) -> None:
        """Of handlers that have returned, some may have left waitUntil work behind."""
        returned, self._returned = self._returned, []
        for event in returned:
            if not event.done.done() and event.span is not None:
                span = event.span
                event.tasks = (Span("waitUntil", event.label, span.trace, span.id), self._loop.time())
                self.on_tasks(event, None)

    def _within(self, number: int) -> within:
        """What happens inside belongs to a running event."""
        event = self.events.get(number)
        return within(None if event is None else event.span)

    def _label(self, number: int) -> str:
        event = self.events.get(number)
        return event.label if event is not None else ""

    async def stream(self, number: int, event: PendingEvent) -> AsyncIterator[bytes]:
        """What follows the first piece of a streamed answer. Raises StreamBroken when the stream fails, or its
        process ends."""
        chunks = event.chunks
        assert chunks is not None
        finished = False
        try:
            while (chunk := await chunks.get()) is not None:
                if isinstance(chunk, ProcessEnded):
                    raise StreamBroken(chunk.reason)
                if isinstance(chunk, BaseException):
                    raise chunk
                event.queued -= len(chunk)
                self._resume()
                if chunk:
                    yield chunk
            finished = True
        finally:
            event.queued = 0
            event.chunks = None
            self._resume()
            if not finished:
                self.cancel(number)

    def cancel(self, number: int) -> None:
        """Tell the worker that nobody reads the answer to this fetch any more."""
        if number in self.events and not self.ended.done():
            self.send(frames.CANCEL, number)

    async def cut_off(self, event: PendingEvent, why: str) -> dict[str, Any]:
        """End the process, because an event has run for too long and nothing else stops user code. Returns what of the
        event counts all the same: what a batch has settled, if the process still says so."""
        settled: dict[str, Any] = {}
        number = next((number for number, running in self.events.items() if running is event), None)
        if event.kind == "queue" and number is not None:
            event.settled = asyncio.get_running_loop().create_future()
            self.cancel(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORD_S):
                    settled = await event.settled
        self.kill(why)
        return {**settled, "outcome": "exceededWallTime", "error": why}

    def _pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def _resume(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_reading() and not transport.is_closing():
            transport.resume_reading()

    # End ----------------------------------------------------------------------------------------------------------

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._reap(_REAP_S)

    def _reap(self, patience_s: tuple[float, ...]) -> None:
        """The other end of the socket is closed, so the process is gone or going. Its own exit code is worth a moment."""
        if self._popen.poll() is None and self._expected_end is None and patience_s:
            self._loop.call_later(patience_s[0], self._reap, patience_s[1:])
        else:
            self._end()

    def _end(self) -> None:
        if self.ended.done():
            return
        with contextlib.suppress(OSError):
            self._popen.kill()
        code = self._popen.wait()
        reason = self._expected_end or self._fatal or describe_exit(code)
        if self.outbox is not None:
            self.outbox.take_rest()
        self.ended.set_result(reason)
        error = ProcessEnded(reason)
        for future in (self._hello, self._loaded):
            if not future.done():
                future.set_exception(error)
                future.exception()
        events, self.events = list(self.events.values()), {}
        for event in events:
            event.fail(error)
            if event.tasks is not None:
                self.on_tasks(event, ("canceled", reason))
        for link in list(self.sockets.values()):
            link.lost()
        self.on_event_over()


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"the worker process was ended by {name}"
    return f"the worker process ended with exit code {code}"


def _nothing() -> None:
    return None


def _ignore(*_: object) -> None:
    return None


def _ignore_objects(_process: WorkerProcess, _state: str, _alarms: list[Any]) -> None:
    return None
