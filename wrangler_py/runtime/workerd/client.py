"""A small HTTP/1.1 client for workerd's Unix sockets: connections are kept, bodies stream both ways.

Every request of a JavaScript Worker passes here, so it does no more than it must; httptools parses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httptools
from msgspec import Struct

#: A connection that has rested for longer is not used again (seconds): workerd closes them after five.
_REST_S = 4.0
#: Bytes of an answer that nobody has read yet, above which workerd has to wait.
_HIGH_WATER = 1 << 18

Headers = Sequence[tuple[str, str]]


class ConnectionLost(Exception):
    """workerd closed the connection before it had answered: it has ended, or the request ended it."""


class BadAnswer(ConnectionLost):
    """What came is no HTTP that others could read: a header's name or value that HTTP does not allow, most likely."""


class Answer(Struct):
    """An answer's head, and the body as far as it came with it. `stream`, when present, yields the rest."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    stream: AsyncIterator[bytes] | None = None
    #: With the status 101: takes whoever is to get the bytes of the upgraded connection (b"" is its end).
    upgraded: Callable[[Callable[[bytes], None]], None] | None = None
    transport: asyncio.Transport | None = None


class Client:
    """Requests to one socket."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._idle: deque[tuple[float, _Connection]] = deque()
        self._all: set[_Connection] = set()

    async def request(
        self,
        method: str,
        target: str,
        headers: Headers,
        body: bytes | AsyncIterator[bytes] | None = None,
        length: int | None = None,
    ) -> Answer:
        """Send one request and wait for the answer's head. `length`: of a body that streams, when it is known.

        Raises ConnectionLost.
        """
        connection = await self._connection()
        head = [f"{method} {target} HTTP/1.1\r\n"]
        head += [f"{name}: {value}\r\n" for name, value in headers]
        whole = body if isinstance(body, bytes) else None
        sending: asyncio.Task[None] | None = None
        if whole is not None:
            head.append(f"content-length: {len(whole)}\r\n\r\n")
        elif body is not None and length is not None:
            head.append(f"content-length: {length}\r\n\r\n")
        elif body is not None:
            head.append("transfer-encoding: chunked\r\n\r\n")
        else:
            head.append("\r\n")
        future = connection.begin("".join(head).encode("latin-1", "replace") + (whole or b""), method == "HEAD")
        if body is not None and whole is None:
            assert not isinstance(body, bytes)
            sending = asyncio.get_running_loop().create_task(connection.send_body(body, length is None))
        try:
            return await future
        except asyncio.CancelledError:
            connection.abort()
            raise
        finally:
            if sending is not None and not sending.done():
                # An answer before the end of the body: the rest is of no interest, and the connection not reusable.
                connection.body_running = sending

    async def _connection(self) -> _Connection:
        now = asyncio.get_running_loop().time()
        while self._idle:
            rested_at, connection = self._idle.pop()
            if now - rested_at < _REST_S and connection.usable:
                return connection
            connection.abort()
        try:
            _, connection = await asyncio.get_running_loop().create_unix_connection(
                lambda: _Connection(self), self._path
            )
        except OSError as error:
            raise ConnectionLost(f"workerd cannot be reached: {error.strerror or error}") from None
        self._all.add(connection)
        return connection

    def rested(self, connection: _Connection) -> None:
        """A connection is free again."""
        self._idle.append((asyncio.get_running_loop().time(), connection))

    def gone(self, connection: _Connection) -> None:
        self._all.discard(connection)

    def close(self) -> None:
        """Close all connections; requests that wait raise ConnectionLost."""
        for connection in list(self._all):
            connection.abort()


class _Connection(asyncio.Protocol):
    def __init__(self, client: Client) -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._head: asyncio.Future[Answer] | None = None
        self._headers: list[tuple[str, str]] = []
        self._status = 0
        self._headers_done = self._complete = self._closed = False
        self._keep = True
        self._is_head = False
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._more = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.body_running: asyncio.Task[None] | None = None
        self._streaming = False
        self._raw: Callable[[bytes], None] | None = None

    # asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw(data)
            return
        if self._parser is None:
            self.abort()  # nothing was asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._become_raw(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            if not (self._is_head and self._complete):
                if self._head is not None and not self._head.done():
                    self._head.set_exception(BadAnswer(f"the Worker's answer is no valid HTTP: {error}"))
                self.abort()
                return
        self._came()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._closed = True
        self._client.gone(self)
        if self._raw is not None:
            self._raw(b"")
        self._more.set()
        self._writable.set()
        if self.body_running is not None:
            self.body_running.cancel()
        if self._head is not None and not self._head.done():
            self._head.set_exception(ConnectionLost("workerd ended before it had answered"))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # httptools ----------------------------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._status == 100:
            self._headers = []
            return
        self._headers_done = True
        self._keep = self._parser.should_keep_alive()
        if self._is_head:
            self._complete = True

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        if self._headers_done:
            self._complete = True

    # One exchange -------------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        return not self._closed and self._transport is not None and not self._transport.is_closing()

    def begin(self, data: bytes, is_head: bool) -> asyncio.Future[Answer]:
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._head = asyncio.get_running_loop().create_future()
        self._headers = []
        self._headers_done = self._complete = self._streaming = False
        self._is_head = is_head
        self._chunks.clear()
        self._size = 0
        self._transport.write(data)
        return self._head

    async def send_body(self, body: AsyncIterator[bytes], chunked: bool) -> None:
        assert self._transport is not None
        try:
            async for chunk in body:
                if self._closed:
                    return
                if chunk:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if not self._writable.is_set():
                    await self._writable.wait()
            if chunked:
                self._transport.write(b"0\r\n\r\n")
        except ConnectionError:  # the client went away; its half request must not look like a whole one
            self.abort()

    def _came(self) -> None:
        if self._head is not None and not self._head.done() and self._headers_done:
            body = b"".join(self._chunks)
            self._chunks.clear()
            self._size = 0
            stream = None if self._complete else self._stream()
            self._streaming = stream is not None
            self._head.set_result(Answer(self._status, self._headers, body, stream))
            if self._complete:
                self._over()
            return
        if self._streaming:
            self._more.set()
            if self._size > _HIGH_WATER and self._transport is not None:
                self._transport.pause_reading()

    def _become_raw(self, first: bytes) -> None:
        waiting = [first] if first else []
        self._raw = waiting.append

        def take(receiver: Callable[[bytes], None]) -> None:
            self._raw = receiver
            for data in waiting:
                receiver(data)

        if self._head is not None and not self._head.done():
            answer = Answer(self._status, self._headers, b"", upgraded=take, transport=self._transport)
            self._head.set_result(answer)

    def _over(self) -> None:
        self._parser = None
        sending, self.body_running = self.body_running, None
        if self._keep and self.usable and (sending is None or sending.done()):
            self._client.rested(self)
        else:
            self.abort()

    async def _stream(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self._more.clear()
                if self._chunks:
                    data = b"".join(self._chunks)
                    self._chunks.clear()
                    self._size = 0
                    if self._transport is not None and not self._closed:
                        self._transport.resume_reading()
                    yield data
                    continue
                if self._complete:
                    break
                if self._closed:
                    raise ConnectionLost("the Worker's answer broke off")
                await self._more.wait()
        except GeneratorExit:
            self.abort()
            raise
        except asyncio.CancelledError:
            self.abort()
            raise
        self._streaming = False
        self._over()

    def abort(self) -> None:
        if self._transport is not None:
            with contextlib.suppress(RuntimeError):
                self._transport.abort()
