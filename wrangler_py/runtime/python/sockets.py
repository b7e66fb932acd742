"""A WebSocket that a worker's answer handed to a client, on the server's side: frames become calls, and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from wrangler_py.runtime.base import SocketClosed, SocketLink

if TYPE_CHECKING:
    from wrangler_py.runtime.python.process import WorkerProcess

#: What a client is told whose worker was replaced or has died (RFC 6455, 7.4; the IANA registry: service restart).
RESTARTED = 1012


class WorkerSocket:
    """SocketLink (runtime/base.py). The worker's end belongs to `process`, under the number of the event."""

    def __init__(self, process: WorkerProcess, number: int) -> None:
        self._process = process
        self._number = number
        self._inbox: asyncio.Queue[str | bytes | SocketClosed] = asyncio.Queue()
        self._told_close = self._heard_close = False

    # the worker's side

    def received(self, kind: str, args: tuple[Any, ...]) -> None:
        """SOCKET from the worker."""
        if kind == "message":
            self._inbox.put_nowait(args[0])
        else:
            self._closed(SocketClosed(args[0], args[1]))

    def lost(self) -> None:
        """The worker's process is gone."""
        self._closed(SocketClosed(RESTARTED, ""))

    def _closed(self, end: SocketClosed) -> None:
        if not self._heard_close:
            self._heard_close = True
            self._inbox.put_nowait(end)
            self._done()

    # the client's side

    async def messages(self) -> AsyncIterator[str | bytes | SocketClosed]:
        """What the worker sends; a SocketClosed is the last."""
        while True:
            item = await self._inbox.get()
            yield item
            if isinstance(item, SocketClosed):
                return

    def send(self, data: str | bytes) -> None:
        """A message of the client's."""
        if not self._told_close:
            self._process.send_socket(self._number, "message", data)

    def close(self, code: int, reason: str, *, clean: bool) -> None:
        """The client has closed, or is gone."""
        if not self._told_close:
            self._told_close = True
            self._process.send_socket(self._number, "close", code, reason, clean)
            self._done()

    def _done(self) -> None:
        if self._told_close and self._heard_close:
            self._process.sockets.pop(self._number, None)


class AdoptedSocket:
    """A WebSocket of another Worker, in the hands of `process`, which called that one's `fetch()`."""

    def __init__(self, process: WorkerProcess, number: int, link: SocketLink) -> None:
        self._process = process
        self._number = number
        self._link = link
        self._pump = asyncio.get_running_loop().create_task(self._carry())

    async def _carry(self) -> None:
        async for message in self._link.messages():
            if isinstance(message, SocketClosed):
                self._process.send_socket(self._number, "close", message.code, message.reason, True)
            else:
                self._process.send_socket(self._number, "message", message)

    def received(self, kind: str, args: tuple[Any, ...]) -> None:
        """SOCKET from the process that holds it."""
        if kind == "message":
            self._link.send(args[0])
        else:
            self._link.close(args[0], args[1], clean=True)

    def lost(self) -> None:
        """That process is gone."""
        self._link.close(1006, "", clean=False)
        self._pump.cancel()


def adopt(process: WorkerProcess, link: SocketLink) -> int:
    """Hand another Worker's WebSocket to a process: the number that it has there, below 0 (those of events are above)."""
    number = -1 - len(process.adopted)
    socket = AdoptedSocket(process, number, link)
    process.adopted.append(socket)
    process.sockets[number] = socket
    return number
