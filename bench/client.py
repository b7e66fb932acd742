"""HTTP over kept-alive connections: one request at a time, or as many as the server takes.

The load generator is one loop over non-blocking sockets with prepared requests. It does as little as it can for a
request, because it shares the machine's cores with what it measures; `ceiling` says how much it could do.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class HttpError(Exception):
    """The server answered with another status than 200, or not at all."""


def _request(port: int, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()


def _answer(data: bytes) -> tuple[int, bytes] | None:
    """Status and body once the answer is complete."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    status = int(data[9:12])
    length = _LENGTH.search(data, 0, head_end)
    body = data[head_end + 4 :]
    if length is not None:
        return (status, body) if len(body) >= int(length[1]) else None
    if _CHUNKED.search(data, 0, head_end):
        if not body.endswith(b"0\r\n\r\n"):
            return None
        pieces: list[bytes] = []
        at = 0
        while True:
            line_end = body.index(b"\r\n", at)
            size = int(body[at:line_end].split(b";")[0], 16)
            if size == 0:
                return status, b"".join(pieces)
            pieces.append(body[line_end + 2 : line_end + 2 + size])
            at = line_end + 2 + size + 2
    raise HttpError(f"an answer of unknown length: {data[:head_end]!r}")


class Connection:
    """One kept-alive connection. With `strict`, a request on one that the server has closed fails; else it is repeated."""

    def __init__(self, port: int, timeout: float = 60, *, strict: bool = False) -> None:
        self._port = port
        self._strict = strict
        self._timeout = timeout
        self._socket: socket.socket | None = None

    def get(self, path: str) -> bytes:
        """The body of a 200. Raises HttpError for any other status, OSError when the connection fails."""
        reused = self._socket is not None
        try:
            answer = self._ask(path)
            if answer is None and reused and not self._strict:  # closed while it was idle (Node.js does that after 5 s)
                answer = self._ask(path)
        except BaseException:
            self.close()
            raise
        if answer is None:
            raise ConnectionResetError("the server closed the connection")
        status, body = answer
        if status != 200:
            raise HttpError(f"{path}: {status}: {body[:300].decode(errors='replace')}")
        return body

    def _ask(self, path: str) -> tuple[int, bytes] | None:
        """The answer, or None when the connection is closed before any of it came."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        try:
            self._socket.sendall(_request(self._port, path))
            while (answer := _answer(data)) is None:
                piece = self._socket.recv(1 << 20)
                if not piece:
                    raise ConnectionResetError("the server closed the connection within an answer")
                data += piece
        except (BrokenPipeError, ConnectionResetError):
            self.close()
            if data:
                raise
            return None
        return answer

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@dataclass(slots=True)
class Load:
    """What a run of the load generator saw."""

    completed: int = 0
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    #: The numbers of the requests that were answered with 200.
    acknowledged: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers with 200 per second."""
        return self.completed / self.seconds


def load(
    port: int,
    path: Callable[[int], str],
    *,
    connections: int = 16,
    seconds: float,
    first: int = 0,
    stop: Callable[[], bool] | None = None,
) -> Load:
    """Keep `connections` requests running for `seconds`. Request number n asks for `path(n)`, from `first` on.

    `stop` is asked after each answer; with it, a broken connection ends the run instead of counting as an error.
    """
    result = Load()
    selector = selectors.DefaultSelector()
    sockets: list[socket.socket] = []
    number = first
    clock = time.perf_counter
    try:
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", port), timeout=10)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sockets.append(sock)
        started = clock()
        end = started + seconds
        for sock in sockets:
            sock.sendall(_request(port, path(number)))
            selector.register(sock, selectors.EVENT_READ, [number, clock(), b""])
            number += 1
        open_connections = connections
        now = started
        while open_connections:
            events = selector.select(1.0)
            if not events and clock() > end + 10:
                result.errors.append(f"{open_connections} requests were not answered within 10 s")
                break
            for key, _ in events:
                assert isinstance(key.fileobj, socket.socket)
                sock, state = key.fileobj, key.data
                try:
                    piece = sock.recv(65536)
                except OSError as error:
                    result.errors.append(str(error))
                    piece = b""
                data = state[2] + piece if state[2] else piece
                answer = _answer(data) if piece else (0, b"the server closed the connection")
                if answer is None:
                    state[2] = data
                    continue
                now = clock()
                status, body = answer
                if status == 200:
                    result.completed += 1
                    result.latencies_ms.append((now - state[1]) * 1000)
                    result.acknowledged.append(state[0])
                elif stop is None:
                    result.errors.append(f"{status}: {body[:200].decode(errors='replace')}")
                if status == 0 or now >= end or (stop is not None and stop()):
                    selector.unregister(sock)
                    open_connections -= 1
                    continue
                state[0], state[1], state[2] = number, now, b""
                try:
                    sock.send(_request(port, path(number)))
                except OSError:
                    continue  # the read that follows will say so
                number += 1
        result.seconds = now - started
    finally:
        selector.close()
        for sock in sockets:
            sock.close()
    return result


def ceiling(seconds: float) -> float:
    """Requests per second of the generator against the cheapest server there is: the same loop, answering a constant.

    Both ends run in this one process and share its interpreter lock, so the generator by itself can do about twice that.
    """
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong"
    listener = socket.create_server(("127.0.0.1", 0))
    finished = threading.Event()

    def serve() -> None:
        selector = selectors.DefaultSelector()
        selector.register(listener, selectors.EVENT_READ)
        while not finished.is_set():
            for key, _ in selector.select(0.2):
                if key.fileobj is listener:
                    accepted, _ = listener.accept()
                    selector.register(accepted, selectors.EVENT_READ)
                    continue
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock.recv(65536):
                    sock.send(answer)
                else:
                    selector.unregister(sock)
                    sock.close()
        selector.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        return load(listener.getsockname()[1], lambda n: "/ping", seconds=seconds).rate
    finally:
        finished.set()
        thread.join()
        listener.close()
