"""WebSockets that the Worker opens itself: `new WebSocket(url)`, and `fetch` with `Upgrade: websocket`."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import struct
from typing import Any
from urllib.parse import urlsplit

from .loop import current
from .shims.js.convert import js_string, unwrap
from .shims.js.core import js_error, jsnull, raise_js
from .shims.js.websocket import OPEN, WebSocket
from .websocket_codec import BINARY, CLOSE, PING, PONG, TEXT, Decoder, ProtocolError, encode

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_FAILED = "Failed to establish the WebSocket connection: expected server to reply with HTTP status code 101 (switching protocols), but received {status} instead."

_CONNECT_S = 30.0

_running: set[asyncio.Task[Any]] = set()


class Answer:
    """The answer to a handshake. `link` is None when the server did not switch protocols."""

    def __init__(self, status: int, reason: str, headers: list[tuple[str, str]], link: ClientLink | None) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.link = link


async def handshake(url: str, headers: list[tuple[str, str]]) -> Answer:
    """Ask a server for a WebSocket. Raises OSError and ProtocolError when there is no answer."""
    parts = urlsplit(url)
    secure = parts.scheme in ("wss", "https")
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.wait_for(
        asyncio.open_connection(parts.hostname, port, ssl=True if secure else None), _CONNECT_S
    )
    key = base64.b64encode(os.urandom(16)).decode()
    skipped = (
        "connection",
        "upgrade",
        "host",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-extensions",
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}", "Upgrade: websocket"]
    lines += ["Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    lines += [f"{name}: {value}" for name, value in headers if name.lower() not in skipped]
    writer.write("\r\n".join([*lines, "", ""]).encode("utf-8"))
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _CONNECT_S)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError) as error:
        writer.close()
        raise ProtocolError(1002, "the server gave no answer") from error
    first, *rest = head.decode("latin-1").split("\r\n")
    _, _, status_text = first.partition(" ")
    status, _, reason = status_text.partition(" ")
    answered = [(name, value.strip()) for line in rest if line for name, _, value in [line.partition(":")]]
    if status != "101":
        writer.close()
        return Answer(int(status) if status.isdigit() else 502, reason, answered, None)
    accept = next((value for name, value in answered if name.lower() == "sec-websocket-accept"), "")
    if accept != base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode():
        writer.close()
        raise ProtocolError(1002, "the server's Sec-WebSocket-Accept is wrong")
    return Answer(101, reason, answered, ClientLink(reader, writer))


class ClientLink:
    """The connection to a server: the other end of a socket (shims/js/websocket.py, End)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._socket: WebSocket | None = None
        self._sent_close = self._got_close = False

    def attach(self, socket: WebSocket) -> None:
        """Be the other end of `socket`, and read from now on."""
        self._socket = socket
        socket._end = self
        _start(self._read())

    def _receive(self, kind: str, *args: Any) -> None:
        """What the Worker's socket does."""
        hub = current()
        if hub is not None and hub.before_output is not None:
            hub.before_output()  # what was written before is stored before anybody hears of it
        if kind == "message":
            data = args[0]
            opcode = TEXT if isinstance(data, str) else BINARY
            self._writer.write(encode(opcode, data.encode("utf-8", "replace") if isinstance(data, str) else data))
        elif kind == "close" and not self._sent_close:
            self._sent_close = True
            code, reason = args[0], args[1]
            body = b"" if code == 1005 else struct.pack(">H", code if code != 1006 else 1001) + reason.encode()
            self._writer.write(encode(CLOSE, body))
            if self._got_close:
                self._writer.close()

    async def _read(self) -> None:
        decoder, end = Decoder(), (1006, "", False)
        try:
            while data := await self._reader.read(65536):
                for opcode, content in decoder.feed(data):
                    if opcode == CLOSE:
                        end = _close_of(content)
                        return
                    self._got(opcode, content)
            self._tell("error", "WebSocket disconnected without sending Close frame.")
        except (ProtocolError, UnicodeDecodeError) as error:
            self._tell("error", str(error))
            end = (getattr(error, "code", 1007), str(error), False)
        except OSError as error:
            self._tell("error", f"Network connection lost. ({error})")
        finally:
            self._got_close = True
            self._tell("close", *end)
            if self._sent_close:
                self._writer.close()

    def _got(self, opcode: int, content: bytes) -> None:
        if opcode == PING:
            self._writer.write(encode(PONG, content))
        elif opcode in (TEXT, BINARY):
            self._tell("message", content.decode("utf-8") if opcode == TEXT else content)

    def _tell(self, kind: str, *args: Any) -> None:
        if self._socket is not None:
            self._socket._receive(kind, *args)


def _close_of(content: bytes) -> tuple[int, str, bool]:
    if len(content) < 2:
        return 1005, "", True
    return struct.unpack(">H", content[:2])[0], content[2:].decode("utf-8", "replace"), True


def _start(work: Any) -> None:
    task = asyncio.get_running_loop().create_task(work)
    _running.add(task)  # the loop itself keeps only weak references
    task.add_done_callback(_running.discard)


def connect_constructed(socket: WebSocket, url: Any, protocols: Any) -> None:
    """`new WebSocket(url, protocols)`. Raises JavaScript's SyntaxError for a wrong url."""
    text = js_string(unwrap(url)) if url is not None else "undefined"
    scheme, netloc = urlsplit(text)[:2]
    if scheme not in ("ws", "wss", "http", "https") or not netloc:
        raise_js("SyntaxError", f"WebSocket Constructor: The url is invalid. ({text})")
    if "#" in text:
        raise_js("SyntaxError", "WebSocket Constructor: The url fragment must be empty.")
    given = unwrap(protocols)
    names = [] if given in (None, jsnull) else [given] if isinstance(given, str) else [js_string(p) for p in given]
    headers = [("Sec-WebSocket-Protocol", ", ".join(names))] if names else []
    socket._url = text
    _start(_connect(socket, text, headers))


async def _connect(socket: WebSocket, url: str, headers: list[tuple[str, str]]) -> None:
    try:
        answer = await handshake(url, headers)
    except (OSError, ProtocolError) as error:
        _fail(socket, f"Failed to establish the WebSocket connection: {error}")
        return
    if answer.link is None:
        _fail(socket, _FAILED.format(status=answer.status))
        return
    socket._protocol = next((value for name, value in answer.headers if name.lower() == "sec-websocket-protocol"), "")
    if socket._sent_close:  # closed while it connected
        answer.link._receive("close", 1000, "")
        return
    socket._state = OPEN
    socket._receive("open")
    answer.link.attach(socket)


def _fail(socket: WebSocket, text: str) -> None:
    socket._receive("error", text)
    socket._receive("close", 1006, text, False)


async def upgrade(url: str, headers: list[tuple[str, str]]) -> tuple[Answer, WebSocket | None]:
    """`fetch` with `Upgrade: websocket`: the answer, and the socket, which has to be accepted. Raises JavaScript's Error."""
    try:
        answer = await handshake(url, headers)
    except (OSError, ProtocolError) as error:
        raise js_error("Error", f"Network connection lost. ({urlsplit(url).netloc}: {error})") from None
    if answer.link is None:
        return answer, None
    socket = WebSocket._make()
    answer.link.attach(socket)
    return answer, socket
