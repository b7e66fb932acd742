"""A request as the user's `fetch` sees it, and its answer on the way back to the server."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any

from . import frames, logs
from .connection import Connection
from .context import Event
from .shims.js.core import JsProxy, jsnull
from .shims.js.request import incoming_request
from .shims.js.response import Response, not_a_response
from .shims.js.streams import ReadableStream, chunk_bytes, stream_from

_GZIP = zlib.MAX_WBITS | 16


class IncomingBody:
    """The body of a request that comes in pieces (BODY)."""

    def __init__(self, first: bytes | None) -> None:
        self._chunks: deque[bytes] = deque([first] if first else [])
        self._ended = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future | None = None

    def feed(self, chunk: bytes, more: bool) -> None:
        if chunk:
            self._chunks.append(chunk)
        self._ended = self._ended or not more
        self._wake()

    def fail(self, error: BaseException) -> None:
        if not self._ended:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def pull(self) -> bytes:
        """The next piece, b"" at the end."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._chunks.popleft()


def make_request(frame: tuple[Any, ...], incoming: IncomingBody | None) -> Any:
    """The JavaScript Request of a FETCH."""
    _, _, method, url, headers, body, _, cf = frame[:8]
    content: Any = body
    if incoming is not None:
        content = stream_from(incoming.pull)
        announced = next((value for name, value in headers if name.lower() == "content-length"), "")
        content._length = int(announced) if announced.isdecimal() else None
    return incoming_request(method, url, headers, content, cf)


class Sending:
    """An answer whose body is a stream: one CHUNK for each piece, as fast as the server takes them."""

    def __init__(self, event: Event, stream: ReadableStream, connection: Connection, gzip: bool) -> None:
        self._event = event
        self._stream = stream
        self._connection = connection
        self._compressor = zlib.compressobj(wbits=_GZIP) if gzip else None
        self._task: asyncio.Task | None = None

    async def run(self) -> None:
        """Send it all. Raises what the stream raises; the client then gets what was sent until then."""
        self._task = asyncio.get_running_loop().create_task(self._send())
        try:
            await self._task
        except asyncio.CancelledError:
            if not self._task.cancelled():
                raise

    async def _send(self) -> None:
        connection, number = self._connection, self._event.id
        whole = False
        try:
            async for chunk in self._stream._chunks():
                data = chunk_bytes(chunk)
                if self._compressor is not None:
                    data = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
                if data:
                    connection.send(frames.CHUNK, number, data, True)
                if connection.congested:
                    await connection.drained()
            whole = True
        finally:
            end = self._compressor.flush() if self._compressor is not None and whole else b""
            connection.send(frames.CHUNK, number, end, False, *(() if whole else (False,)))

    def cancel(self) -> None:
        """The client is gone: tell the source, and stop."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            logs.current_event.set(self._event)
            stopping = asyncio.ensure_future(self._stream._stop())
            stopping.add_done_callback(lambda done: done.cancelled() or done.exception())


def answer(
    event: Event, frame: tuple[Any, ...], returned: Any, connection: Connection, sockets: Callable[[], Any]
) -> Sending | None:
    """Send the RESPONSE for what the handler returned; what is left to send of its body, if anything.

    Raises JavaScript's TypeError when it is no Response, or one whose body is used up.
    """
    response = returned if isinstance(returned, JsProxy) else getattr(returned, "js_object", None)
    if not isinstance(response, Response):
        raise not_a_response()
    content = response._content
    if response._status == 101 and response._web_socket is not jsnull:
        links = sockets()
        links.check(response._web_socket, frame[4])
        headers = [(name, value) for _, name, value in response._headers._list]
        connection.send(frames.RESPONSE, event.id, 101, headers, b"", False)
        links.add(event.id, response._web_socket)
        return None
    if response.bodyUsed:
        from .shims.js.body import BODY_USED
        from .shims.js.core import js_error

        raise js_error("TypeError", BODY_USED)
    response._used = content is not None  # a Response that is kept and returned again fails, as on Cloudflare
    headers = [(name, value) for _, name, value in response._headers._list]
    gzip = response._encode_body == "automatic" and any(
        lower == "content-encoding" and value.lower() == "gzip" for lower, _, value in response._headers._list
    )
    if isinstance(content, ReadableStream) and content._whole is not None and content._state != "errored":
        content = content._whole
    if isinstance(content, ReadableStream):
        content._reader = _Locked()
        connection.send(frames.RESPONSE, event.id, response._status, headers, b"", True)
        return Sending(event, content, connection, gzip)
    data = content or b""
    if gzip and data:
        compressor = zlib.compressobj(wbits=_GZIP)
        data = compressor.compress(data) + compressor.flush()
    connection.send(frames.RESPONSE, event.id, response._status, headers, data, False)
    return None


class _Locked:
    """Stands for the reader that the runtime is."""

    def __init__(self) -> None:
        self._closed = asyncio.get_running_loop().create_future()
