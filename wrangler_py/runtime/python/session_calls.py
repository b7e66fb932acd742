"""What a Python worker asks of its session (CALLs with the binding ""): calls of other workers, stubs and streams."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from wrangler_py.runtime.base import FetchRequest, RemoteError, Target, WorkerError
from wrangler_py.runtime.python.process import WorkerProcess
from wrangler_py.runtime.python.sockets import adopt
from wrangler_py.runtime.services import NoAnswer, Services, wire_error
from wrangler_py.runtime.worker import frames


class Streams:
    """Byte streams that a worker reads from the server, by the number that a REPLY gave it."""

    def __init__(self) -> None:
        self._open: dict[int, AsyncIterator[bytes]] = {}
        self._numbers = itertools.count(1)

    def add(self, source: AsyncIterator[bytes]) -> int:
        """A number for a stream; the worker reads it with rpc.Exports.server_stream."""
        number = next(self._numbers)
        self._open[number] = source
        return number

    async def read(self, number: int) -> bytes:
        """The next bytes, b"" at the end. Raises what the stream raises."""
        source = self._open.get(number)
        if source is None:
            return b""
        try:
            async for piece in source:
                if piece:
                    return piece
        except BaseException:
            self._open.pop(number, None)
            raise
        self._open.pop(number, None)
        return b""

    async def close(self, number: int) -> None:
        """Nobody reads it any more."""
        source = self._open.pop(number, None)
        if source is not None and hasattr(source, "aclose"):
            await source.aclose()


class SessionCalls:
    """Answers the session calls of one worker's process (frames.py lists them)."""

    def __init__(self, services: Services, worker: str, streams: Streams) -> None:
        self._services = services
        self._worker = worker
        self._streams = streams
        self._tasks: set[asyncio.Task[None]] = set()
        self._methods: dict[str, Callable[..., Awaitable[Any]]] = {
            "invoke": self._invoke,
            "rpc": self._stub,
            "retain": self._retain,
            "release": self._release,
            "read": streams.read,
            "unread": streams.close,
        }

    def call(self, process: WorkerProcess, call: int, method: str, args: tuple[Any, ...]) -> None:
        """Answer a call when its work is done."""
        handler = self._methods.get(method) or self._services.calls.get(method)
        if method == "fetch":
            handler = partial(self._fetch, process)
        if handler is None:
            process.send(frames.THROW, call, "TypeError", f"the session has no call {method!r}")
            return
        task = asyncio.get_running_loop().create_task(self._answer(process, call, handler, args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(
        self, process: WorkerProcess, call: int, handler: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None:
        try:
            value = await handler(*args)
        except NoAnswer:
            return
        except Exception as error:
            process.send(frames.THROW, call, "Error", str(error) or type(error).__name__)
        else:
            process.send(frames.REPLY, call, value)

    async def _invoke(self, worker: str | None, target: Target, path: tuple[str, ...], args: Any) -> Any:
        try:
            return True, await self._services.invoke(worker or self._worker, target, path, args)
        except (RemoteError, WorkerError) as error:
            return False, wire_error(error)

    async def _stub(self, origin: int, number: int, path: tuple[str, ...], args: Any) -> Any:
        try:
            return True, await self._services.call_stub(origin, number, path, args)
        except (RemoteError, WorkerError) as error:
            return False, wire_error(error)

    async def _retain(self, origin: int, number: int) -> None:
        await self._tell(origin, number, " retain")

    async def _release(self, origin: int, number: int) -> None:
        await self._tell(origin, number, " release")

    async def _tell(self, origin: int, number: int, what: str) -> None:
        try:
            await self._services.call_stub(origin, number, (what,), None)
        except (RemoteError, WorkerError):
            pass  # its process is gone, and what it kept with it

    async def _fetch(
        self,
        process: WorkerProcess,
        worker: str | None,
        target: Target,
        method: str,
        url: str,
        headers: list[tuple[str, str]],
        body: Any,
        cf: dict[str, Any] | None,
    ) -> Any:
        content = self._services.read(*body[1:]) if isinstance(body, tuple) else body
        request = FetchRequest(method, url, headers, content, cf or {})
        try:
            response = await self._services.fetch(worker or self._worker, target, request)
        except (RemoteError, WorkerError) as error:
            return False, wire_error(error)
        stream = 0 if response.stream is None else self._streams.add(response.stream)
        socket = 0 if response.socket is None else adopt(process, response.socket)
        return True, response.status, response.headers, response.body, stream, socket
