"""WebSockets at the front door: an upgrade is a request for the worker's `fetch()`, and so is whether it becomes one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from wrangler_py.runtime.base import FetchResponse, SocketClosed, SocketLink

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Headers of a 101 that the server writes itself.
_OWN = frozenset(
    (
        "connection",
        "upgrade",
        "sec-websocket-accept",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "content-length",
    )
)
#: How long a client may take to answer a close (seconds); uvicorn cuts it after 10.
_CLOSE_S = 12.0
#: What cannot stand in a close frame (RFC 6455, 7.4.1), and what is said instead: normal closure, internal error.
_INSTEAD = {1005: 1000, 1006: 1011, 1015: 1011}


async def refuse(receive: Receive, send: Send, response: FetchResponse) -> None:
    """The worker answered the upgrade like any other request."""
    headers = [(name.encode("latin-1").lower(), value.encode("latin-1", "replace")) for name, value in response.headers]
    headers = [header for header in headers if header[0] not in (b"transfer-encoding", b"connection", b"upgrade")]
    body = response.body
    if response.stream is not None:
        body += b"".join([chunk async for chunk in response.stream])
    if not any(name == b"content-length" for name, _ in headers) and response.status not in (204, 304):
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "websocket.http.response.start", "status": response.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
    for _ in range(2):  # the end of the answer, and of the connection: uvicorn complains of who returns sooner
        await receive()


async def converse(link: SocketLink, response: FetchResponse, receive: Receive, send: Send) -> None:
    """Carry messages between client and worker until both have closed."""
    lower = {name.lower(): value for name, value in response.headers}
    headers = [
        (name.encode("latin-1").lower(), value.encode("latin-1", "replace"))
        for name, value in response.headers
        if name.lower() not in _OWN
    ]
    await send({"type": "websocket.accept", "subprotocol": lower.get("sec-websocket-protocol"), "headers": headers})
    incoming = asyncio.ensure_future(_from_client(link, receive))
    try:
        await _to_client(link, send)
        await asyncio.wait({incoming}, timeout=_CLOSE_S)  # the client's side of the closing handshake
    finally:
        incoming.cancel()
        link.close(1006, "", clean=False)


async def _from_client(link: SocketLink, receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.receive":
            text = message.get("text")
            link.send(message["bytes"] if text is None else text)
        elif message["type"] == "websocket.disconnect":
            code = message.get("code", 1005)
            link.close(code, message.get("reason") or "", clean=code != 1006)
            return


async def _to_client(link: SocketLink, send: Send) -> None:
    async for message in link.messages():
        if isinstance(message, SocketClosed):
            code = _INSTEAD.get(message.code, message.code)
            await _try(send, {"type": "websocket.close", "code": code, "reason": message.reason})
        elif isinstance(message, str):
            await _try(send, {"type": "websocket.send", "text": message})
        else:
            await _try(send, {"type": "websocket.send", "bytes": message})


async def _try(send: Send, message: MutableMapping[str, Any]) -> None:
    try:
        await send(message)
    except Exception as error:  # uvicorn's: the client is gone, which `receive` tells in its own way
        if type(error).__name__ not in ("ClientDisconnected", "RuntimeError", "InvalidState"):
            raise
