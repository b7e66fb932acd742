"""The socket to the server, on the worker's own loop: no thread reads or writes it.

What a turn of the loop produces goes out in one `send`, before the loop waits again. Printed lines of one event that
follow each other become one frame. Whoever produces faster than the server reads is held back: a stream waits in
`drained()`, a `print` blocks, as it would on a pipe.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from . import frames
from .loop import Hub

#: Bytes read from the socket at once.
_READ_SIZE = 256 * 1024
#: Bytes of a backlog that are offered to the kernel at once.
_WRITE_SIZE = 1024 * 1024
#: Bytes produced within one turn before they are sent without waiting for its end.
_EAGER = 64 * 1024
#: Frames that a file keeps wait for company for this long at most (seconds), while the loop has other work, and until there
#: are so many bytes of them.
_COMPANY_S = 0.001
_COMPANY = 32 * 1024
#: Unsent bytes above which producers are held back, and below which they go on.
HIGH_WATER = 1024 * 1024
_LOW_WATER = HIGH_WATER // 4
#: Characters of printed lines that one LOG frame carries at most, roughly.
_LOG_SIZE = 32 * 1024
#: A printed line that comes after this long without one is sent at once (seconds); the others of a burst go together.
_LOG_PAUSE_S = 0.002


_leave = os._exit  # boot.py puts one in its place that sends first, to a server that is gone here


class _LogLines:
    """Lines of one event and level that wait to be sent together."""

    __slots__ = ("event", "level", "size", "texts")

    def __init__(self, event: int, level: str) -> None:
        self.event = event
        self.level = level
        self.texts: list[str] = []
        self.size = 0

    def encode(self) -> bytes:
        text = "".join(self.texts)[:-1]
        # marshal cannot say what UTF-8 cannot: a lone surrogate becomes "?", as a terminal would show it.
        return frames.encode(frames.LOG, self.event, self.level, text.encode("utf-8", "replace").decode())


def connect(target: str) -> socket.socket:
    """The socket that argv names: `<fd>`, or `tcp:<port>:<token>`. Not inherited by processes that user code starts."""
    if target.startswith("tcp:"):
        _, port, token = target.split(":", 2)
        sock = socket.create_connection(("127.0.0.1", int(port)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(token.encode() + b"\n")
    else:
        sock = socket.socket(fileno=int(target))
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


class Connection:
    """Sends and receives frames. `on_frame` is called for each one, in order, on the loop's thread."""

    def __init__(self, sock: socket.socket, hub: Hub) -> None:
        self._sock = sock
        self._hub = hub
        self._decoder = frames.Decoder()
        #: Where the kernel puts what it has: a new `bytes` of this size for each read would cost five times the read.
        self._room = memoryview(bytearray(_READ_SIZE))
        self._lock = threading.RLock()
        self._outbox: list[bytes | _LogLines] = []
        self._pending = 0  # bytes (of log lines: characters) in the outbox
        self._patient = False  # whether the outbox holds nothing but frames that may wait for company
        self._sent_at = 0.0
        self._tail = bytearray()  # what the kernel did not take
        self._writing = False
        self._logged = 0.0
        self._drained: list[Any] = []
        self.on_frame: Callable[[tuple[Any, ...]], None] = lambda frame: None
        hub.flush = self._flush_outbox

    def start(self) -> None:
        """Begin to read."""
        self._hub.add_reader(self._sock, self._readable)

    def send(self, *frame: Any) -> None:
        """Queue one frame. Raises ValueError for a value that a frame cannot carry."""
        data = frames.encode(*frame)
        self._patient = False
        self._outbox.append(data)
        self._pending += len(data)
        if self._pending > _EAGER:
            self.flush()

    def send_kept(self, data: bytes) -> None:
        """Queue an encoded frame that nobody waits for: others of the next moments may go with it."""
        if not self._outbox:
            self._patient = True
        self._outbox.append(data)
        self._pending += len(data)
        if self._pending > _EAGER:
            self.flush()

    def send_now(self, *frame: Any) -> None:
        """Send one frame at once. May be called from any thread, also while the loop's own is busy."""
        with self._lock:
            self._patient = False
            self._outbox.append(frames.encode(*frame))
            self.flush()

    def log(self, event: int, level: str, text: str) -> None:
        """Queue whole lines, each ended by a newline. May be called from any thread."""
        with self._lock:
            self._patient = False
            outbox = self._outbox
            lines = outbox[-1] if outbox else None
            if type(lines) is not _LogLines or lines.event != event or lines.level != level or lines.size > _LOG_SIZE:
                lines = _LogLines(event, level)
                outbox.append(lines)
            lines.texts.append(text)
            lines.size += len(text)
            self._pending += len(text)
            now = time.monotonic()
            if self._pending > _EAGER:
                self._flush_lines()
                if len(self._tail) > HIGH_WATER:
                    self._wait_until_writable()
            elif now - self._logged > _LOG_PAUSE_S:  # a line that follows a pause may be the last word before a crash
                self._flush_lines()
            self._logged = now
        if threading.get_ident() != self._hub._thread_id:
            self._hub._write_to_self()

    def flush(self) -> None:
        """Send what is queued as far as the kernel takes it. May be called from any thread; never blocks."""
        hub = self._hub
        if hub.before_output is not None and self._outbox and threading.get_ident() == hub._thread_id:
            hub.before_output()
        self._send_out()

    def _flush_lines(self) -> None:
        """Send printed lines in the middle of a turn: nothing has to be stored for them, and nothing overtakes."""
        unsaved = self._hub.unsaved
        if unsaved is None or not unsaved() or all(type(item) is _LogLines for item in self._outbox):
            self._send_out()

    def _send_out(self) -> None:
        with self._lock:
            outbox, self._outbox, self._pending = self._outbox, [], 0
            data = b"".join([item if type(item) is bytes else item.encode() for item in outbox])  # type: ignore[union-attr]
            if self._tail:
                self._tail += data
                self._push()
            elif data:
                self._tail += data[self._try(data) :]
            if self._tail and not self._writing and threading.get_ident() == self._hub._thread_id:
                self._writing = True
                self._hub.add_writer(self._sock, self._writable)

    def _push(self) -> None:
        """Send from the head of what the kernel did not take before."""
        with memoryview(self._tail) as tail, tail[:_WRITE_SIZE] as head:
            sent = self._try(head)
        del self._tail[:sent]

    def _try(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            end_process()

    def server_is_gone(self) -> bool:
        """Whether the other end has closed the socket. May be called from any thread; reads nothing."""
        try:
            return self._sock.recv(1, socket.MSG_PEEK) == b""
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def flush_all(self) -> None:
        """Send everything, waiting for the server to take it."""
        with self._lock:
            self.flush()
            self._wait_until_writable(0)

    @property
    def congested(self) -> bool:
        """Whether a producer should wait in `drained()` before it produces more."""
        return len(self._tail) + self._pending > HIGH_WATER

    async def drained(self) -> None:
        """Wait until the server has taken most of what is queued."""
        self.flush()
        while self.congested:
            future = self._hub.create_future()
            self._drained.append(future)
            await future

    def _flush_outbox(self) -> None:
        if self._outbox or (self._tail and not self._writing):
            if self._patient and self._hub._ready:
                now = time.monotonic()
                if now - self._sent_at < _COMPANY_S and self._pending < _COMPANY:
                    return
                self._sent_at = now
            self.flush()

    def _writable(self) -> None:
        self.flush()
        if not self._tail:
            self._hub.remove_writer(self._sock)
            self._writing = False
        if len(self._tail) < _LOW_WATER and self._drained:
            waiting, self._drained = self._drained, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    def _wait_until_writable(self, enough: int = _LOW_WATER) -> None:
        while len(self._tail) > enough:
            select.select([], [self._sock], [])
            self.flush()

    def receive(self) -> None:
        """Send everything, wait until something comes, and take it. Nothing else runs meanwhile; what comes in is begun
        by the next turn of the loop."""
        self.flush()
        select.select([self._sock], [self._sock] if self._tail else [], [])
        self._readable()

    def _readable(self) -> None:
        try:
            size = self._sock.recv_into(self._room)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            end_process()
        if not size:
            end_process()
        for frame in self._decoder.feed(self._room[:size]):
            if frame[0] == frames.STOP:
                self.flush()
                end_process()
            self.on_frame(frame)


def end_process() -> NoReturn:
    """End at once: the server is gone or wants it so. Handlers may be blocked on the stack, so nothing is unwound."""
    _leave(0)
