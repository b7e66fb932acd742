"""The other direction: an HTTP/1.1 server on one Unix socket, where workerd's bindings reach wpy.

Which resource is meant stands in the header `x-wpy` ("queue/jobs"), which workerd's config adds to every request of a
binding. A queue is answered without a task of its own; the others are coroutines. What a queue's request begins with is
the same again and again: it is parsed once, and compared from then on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import traceback
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import httptools

if TYPE_CHECKING:
    from wrangler_py.runtime.workerd.sockets import WorkerSocket

#: The header that names the resource.
RESOURCE = "x-wpy"
_HIGH_WATER = 1 << 18
#: How many beginnings of requests are kept: they differ by the length of the body, too.
_MAX_KNOWN = 1_000
_ANSWER_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"

Headers = Sequence[tuple[str, str]]


class Call:
    """One request of a binding. `resource` is what follows the kind in `x-wpy`."""

    __slots__ = ("_connection", "headers", "method", "resource", "target", "worker")

    def __init__(
        self, connection: _Connection, method: str, target: str, headers: dict[str, str], worker: str, resource: str
    ) -> None:
        self._connection = connection
        self.method = method
        self.target = target  # path and query, as they were written
        self.headers = headers  # names in lower case
        self.worker = worker
        self.resource = resource

    async def body(self) -> bytes:
        """The whole body. Raises ConnectionError when it breaks off."""
        return b"".join([chunk async for chunk in self._connection.body()])

    def stream(self) -> AsyncIterator[bytes]:
        """The body, piece by piece."""
        return self._connection.body()

    def answer(self, status: int, body: bytes = b"", headers: Headers = (), reason: str | None = None) -> None:
        """Answer as a whole."""
        self._connection.respond(status, body, headers, reason)

    def upgrade(self) -> WorkerSocket:
        """Accept the WebSocket that is asked for. Whoever gets it has to read its `messages()`."""
        return self._connection.upgrade(self.headers.get("sec-websocket-key", ""))

    async def answer_stream(self, status: int, body: AsyncIterator[bytes], headers: Headers = ()) -> None:
        """Answer piece by piece; with a content-length among the headers, exactly so many bytes."""
        await self._connection.respond_stream(status, body, headers)


class Head(NamedTuple):
    """What a request begins with."""

    method: str
    target: str
    headers: dict[str, str]
    worker: str
    resource: str


class Reply(Protocol):
    """Where an answer goes."""

    def respond(self, status: int, body: bytes, headers: Headers, reason: str | None) -> None: ...

    def respond_json(self, body: bytes) -> None:
        """`respond` with the status 200, for those who are many."""
        ...


#: Answers a request, whose body this is, at once or later.
Take = Callable[[Reply, bytes], None]
#: Who answers the requests that begin so.
Immediate = Callable[[Head], Take]
Handler = Callable[[Call], Awaitable[None]]


class Loopback:
    """The server. `immediate` and `handlers` are by kind of resource."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.immediate: dict[str, Immediate] = {}
        self.handlers: dict[str, Handler] = {}
        #: By a request's first bytes: who answers it, and how long its body is.
        self.known: dict[bytes, tuple[Take, int]] = {}
        #: Makes the handler of a kind when it is first asked for.
        self.make_handler: Callable[[str], Handler | None] = lambda kind: None
        self._server: asyncio.AbstractServer | None = None
        self._connections: set[_Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Connection(self), self.path)
        os.chmod(self.path, 0o600)  # noqa: PTH101 - bindings are for this user's workerd alone

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def opened(self, connection: _Connection) -> None:
        self._connections.add(connection)

    def closed(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def handler(self, kind: str) -> Handler | None:
        """Who answers a kind of resource."""
        if kind not in self.handlers:
            made = self.make_handler(kind)
            if made is None:
                return None
            self.handlers[kind] = made
        return self.handlers[kind]

    async def run(self, handler: Handler, call: Call, connection: _Connection) -> None:
        """Run a handler; whatever it raises becomes an answer, or cuts one that has begun."""
        try:
            await handler(call)
        except ConnectionError:
            connection.abort()
        except Exception as error:  # a fault of wpy's own must reach the developer, and must not hang the Worker
            traceback.print_exc()
            if connection.answered:
                connection.abort()
            else:
                connection.respond(500, f"wpy: {error!r}".encode(), (), None)


class _Connection(asyncio.Protocol):
    def __init__(self, server: Loopback) -> None:
        self._server = server
        self._transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[str, str] = {}
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._closed = False
        self._complete = self._keep = True  # between two requests
        self._begun = b""
        self._take: Take | None = None
        self._more = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.answered = False
        #: Takes the bytes of an upgraded connection; those that came before it was, wait.
        self._raw: Callable[[bytes], None] | None = None
        self._early: list[bytes] = []

    # asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw(data)
            return
        if self._begun:
            data, self._begun = self._begun + data, b""
        end = data.find(b"\r\n\r\n") if self._complete and self._keep else -1
        if end >= 0:
            known = self._server.known.get(data[:end])
            if known is not None:
                missing = end + 4 + known[1] - len(data)
                if missing == 0:
                    self.answered = False
                    known[0](self, data[end + 4 :])
                    return
                if missing > 0:  # workerd writes head and body one after the other
                    self._begun = data
                    return
        try:
            self._parser.feed_data(data)
            if end >= 0 and self._complete and self._keep and self._take is not None:
                self._remember(data[:end], len(data) - end - 4)
        except httptools.HttpParserUpgrade as upgrade:
            # Only a handler that calls Call.upgrade() accepts it; any other answer ends the connection.
            self._keep = False
            self._early = [rest] if (rest := data[upgrade.args[0] :]) else []
            self._raw = self._early.append
        except httptools.HttpParserError:
            self.abort()

    def _remember(self, head: bytes, length: int) -> None:
        if self._headers.get("content-length", "0") != str(length):
            return
        assert self._take is not None
        known = self._server.known
        if len(known) >= _MAX_KNOWN:
            known.clear()
        known[head] = (self._take, length)

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        self._server.closed(self)
        if self._raw is not None:
            self._raw(b"")
        self._more.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # httptools ----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = {}
        self._chunks.clear()
        self._size = 0
        self._complete = self.answered = False
        self._take = None

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # Non-ASCII arrives as UTF-8 bytes (KV's metadata); surrogates keep what is no UTF-8.
        self._headers[name.decode("latin-1").lower()] = value.decode("utf-8", "surrogateescape")

    def on_headers_complete(self) -> None:
        self._keep = self._parser.should_keep_alive()
        worker, _, resource = self._headers.get(RESOURCE, "").partition(" ")
        kind, _, name = resource.partition("/")
        method, target = self._parser.get_method().decode("latin-1"), self._target.decode("utf-8", "surrogateescape")
        immediate = self._server.immediate.get(kind)
        if immediate is not None:
            self._take = immediate(Head(method, target, self._headers, worker, name))
            return
        handler = self._server.handler(kind)
        if handler is None:
            self.respond(501, f"wpy serves no {kind!r}".encode(), (), None)
            return
        call = Call(self, method, target, self._headers, worker, name)
        task = asyncio.get_running_loop().create_task(self._server.run(handler, call, self))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._size += len(body)
        if self._take is None:
            self._more.set()
            if self._size > _HIGH_WATER:
                self._transport.pause_reading()

    def on_message_complete(self) -> None:
        self._complete = True
        if self._take is not None:
            self._take(self, self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks))
        else:
            self._more.set()

    # Bodies and answers -------------------------------------------------------------------------------------------

    async def body(self) -> AsyncIterator[bytes]:
        while True:
            self._more.clear()
            if self._chunks:
                data = b"".join(self._chunks)
                self._chunks.clear()
                self._size = 0
                if not self._closed:
                    self._transport.resume_reading()
                yield data
                continue
            if self._complete:
                return
            if self._closed:
                raise ConnectionError("the body broke off")
            await self._more.wait()

    def respond(self, status: int, body: bytes, headers: Headers, reason: str | None) -> None:
        if self._closed:
            return
        self.answered = True
        head = _head(status, headers, reason) + f"content-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode("utf-8", "surrogateescape") + body)
        if not self._keep or not self._complete:  # an answer before the end of the request: no more can follow
            self._transport.close()

    def upgrade(self, key: str) -> WorkerSocket:
        from websockets.protocol import Side

        from wrangler_py.runtime.workerd.sockets import WorkerSocket, accepted  # only what speaks WebSocket imports it

        self.answered = True
        self._transport.write(accepted(key))
        socket = WorkerSocket(self._transport, lambda: None, Side.SERVER)
        self._raw = socket.feed
        for data in self._early:
            socket.feed(data)
        return socket

    def respond_json(self, body: bytes) -> None:
        if self._closed:
            return
        self.answered = True
        self._transport.write(_ANSWER_JSON % (len(body), body))
        if not self._keep:
            self._transport.close()

    async def respond_stream(self, status: int, body: AsyncIterator[bytes], headers: Headers) -> None:
        self.answered = True
        sized = any(name.lower() == "content-length" for name, _ in headers)
        head = _head(status, headers, None) + ("\r\n" if sized else "transfer-encoding: chunked\r\n\r\n")
        self._transport.write(head.encode("utf-8", "surrogateescape"))
        async for chunk in body:
            if self._closed:
                raise ConnectionError("the Worker no longer reads")
            if chunk:
                self._transport.write(chunk if sized else b"%x\r\n%b\r\n" % (len(chunk), chunk))
            if not self._writable.is_set():
                await self._writable.wait()
        if not sized:
            self._transport.write(b"0\r\n\r\n")
        if not self._keep or not self._complete:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            with contextlib.suppress(RuntimeError):
                self._transport.abort()


def _head(status: int, headers: Headers, reason: str | None) -> str:
    if reason is None:
        try:
            reason = HTTPStatus(status).phrase
        except ValueError:
            reason = ""
    reason = reason.replace("\r", " ").replace("\n", " ")
    return f"HTTP/1.1 {status} {reason}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
