"""The sockets that a worker's answers handed to clients: what the client does comes in as SOCKET frames, and goes out so."""

from __future__ import annotations

from typing import Any

from . import frames
from .connection import Connection
from .shims.js.core import js_error
from .shims.js.websocket import WebSocket

_NOT_ASKED = (
    "Worker tried to return a WebSocket in a response to a request which did not contain the header "
    '"Upgrade: websocket".'
)
_USED = "Can't return WebSocket in a Response after calling accept()."
_CONSTRUCTED = "Can't return WebSocket in a Response if it was created with `new WebSocket()`"


class SocketLinks:
    """By the number of the event that answered with the socket."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._links: dict[int, ServerLink | RemoteEnd] = {}

    def check(self, socket: WebSocket, headers: list[tuple[str, str]]) -> None:
        """Raises JavaScript's error for a socket that cannot be an answer to a request with these headers."""
        if not any(name.lower() == "upgrade" and value.lower() == "websocket" for name, value in headers):
            raise js_error("TypeError", _NOT_ASKED)
        if socket._constructed:
            raise js_error("TypeError", _CONSTRUCTED)
        if socket._accepted:
            raise js_error("TypeError", _USED)

    def add(self, number: int, socket: WebSocket) -> None:
        """The client is the other end of `socket` from now on."""
        link = self._links[number] = ServerLink(self, number, socket)
        socket._forwards = True
        socket._take(link.forward)

    def adopt(self, number: int) -> WebSocket:
        """A socket of another Worker, which a REPLY gave the number of: to be accepted, or returned to a client."""
        socket = WebSocket._make()
        self._links[number] = socket._end = RemoteEnd(self, number, socket)
        return socket

    def on_frame(self, frame: tuple[Any, ...]) -> None:
        """SOCKET from the server: the client has sent something, or is gone."""
        _, number, kind, *args = frame
        link = self._links.get(number)
        if link is not None:
            link.from_client(kind, args)

    def send(self, number: int, kind: str, *args: Any) -> None:
        self._connection.send(frames.SOCKET, number, kind, *args)

    def forget(self, number: int) -> None:
        self._links.pop(number, None)


class ServerLink:
    """Ties a socket, the one that was returned, to the client: whatever the pair's other socket sends arrives at it."""

    def __init__(self, links: SocketLinks, number: int, socket: WebSocket) -> None:
        self._links = links
        self._number = number
        self._socket = socket
        self._closed_here = self._closed_there = False

    def forward(self, _socket: WebSocket, kind: str, *args: Any) -> None:
        """Something for the client."""
        if kind == "message":
            data = args[0]
            self._links.send(self._number, "message", data if isinstance(data, str) else data.to_bytes())
        elif kind == "close":
            self._closed_here = True
            self._links.send(self._number, "close", args[0], args[1])
            self._done()

    def from_client(self, kind: str, args: list[Any]) -> None:
        if kind == "close":
            self._closed_there = True
            self._socket._sent_close = True
        self._socket._tell(kind, *args)
        self._done()

    def _done(self) -> None:
        if self._closed_here and self._closed_there:
            self._links.forget(self._number)


class RemoteEnd:
    """The other end of a socket that belongs to another Worker."""

    def __init__(self, links: SocketLinks, number: int, socket: WebSocket) -> None:
        self._links = links
        self._number = number
        self._socket = socket

    def from_client(self, kind: str, args: list[Any]) -> None:
        """What the other Worker does with its end."""
        self._socket._receive(kind, *args)
        if kind == "close":
            self._links.forget(self._number)

    def _receive(self, kind: str, *args: Any) -> None:
        """What is done here (shims/js/websocket.py, End)."""
        self._links.send(self._number, kind, *(args[:2] if kind == "close" else args))
