"""WebSockets that a JavaScript Worker accepts: the connection to workerd, as the front door's SocketLink."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator, Callable

from websockets.exceptions import InvalidState, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side
from websockets.utils import accept_key

from wrangler_py.runtime.base import SocketClosed
from wrangler_py.runtime.workerd.client import Headers

#: The largest message that a Worker may send [https://developers.cloudflare.com/workers/platform/limits/#websockets].
_MAX_MESSAGE = 32 << 20
#: What is said to whoever is left when workerd goes away.
_GONE = SocketClosed(1012, "the Worker was reloaded or has ended")
#: Codes that stand for a frame without one, or for none at all (RFC 6455, 7.4.1).
_NO_CODE = (1005, 1006)


def upgrade_headers(headers: Headers) -> list[tuple[str, str]]:
    """The headers of an upgrade, as they go to workerd: the handshake with the client is the front door's."""
    kept = [
        (name, value)
        for name, value in headers
        if name.lower()
        not in ("sec-websocket-key", "sec-websocket-extensions", "sec-websocket-version", "upgrade", "connection")
    ]
    key = base64.b64encode(os.urandom(16)).decode()
    return [
        *kept,
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", key),
    ]


def accepted(key: str) -> bytes:
    """The answer to an upgrade that workerd asks for with this `sec-websocket-key`."""
    head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    return f"{head}sec-websocket-accept: {accept_key(key)}\r\n\r\n".encode()


class WorkerSocket:
    """SocketLink (runtime/base.py) over an upgraded connection."""

    def __init__(self, transport: asyncio.Transport, over: Callable[[], None], side: Side = Side.CLIENT) -> None:
        """`over` is called once, when the connection has ended."""
        self._transport = transport
        self._over = over
        self._protocol = Protocol(side, state=OPEN, max_size=_MAX_MESSAGE)
        self._parts: list[bytes] = []
        self._text = False
        self._messages: asyncio.Queue[str | bytes | SocketClosed] = asyncio.Queue()
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Bytes from workerd; none: it has closed the connection."""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._frame(event)
        self._flush()
        if not data:
            self._end(_GONE)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._text = frame.opcode is Opcode.TEXT
            self._parts = []
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                whole = b"".join(self._parts)
                self._messages.put_nowait(whole.decode("utf-8", "replace") if self._text else whole)
        elif frame.opcode is Opcode.CLOSE:
            close = self._protocol.close_rcvd
            self._end(SocketClosed(close.code, close.reason) if close is not None else SocketClosed(1005, ""))

    def _end(self, how: SocketClosed) -> None:
        if not self._ended:
            self._ended = True
            self._messages.put_nowait(how)
            self._over()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    async def messages(self) -> AsyncIterator[str | bytes | SocketClosed]:
        while True:
            message = await self._messages.get()
            yield message
            if isinstance(message, SocketClosed):
                return

    def send(self, data: str | bytes) -> None:
        with contextlib.suppress(ProtocolError, InvalidState):  # it is closing: the client does not know yet
            if isinstance(data, str):
                self._protocol.send_text(data.encode())
            else:
                self._protocol.send_binary(data)
        self._flush()

    def close(self, code: int, reason: str, *, clean: bool) -> None:
        if clean:
            with contextlib.suppress(ProtocolError, InvalidState):  # the Worker has closed it
                self._protocol.send_close(*(() if code in _NO_CODE else (code, reason)))
            self._flush()
        elif not self._transport.is_closing():
            self._transport.abort()  # gone without a word: the Worker hears 1006
        if not clean:
            self._end(SocketClosed(1006, ""))
