"""RPC between JavaScript Workers and the session's Python Workers: wpy's side of shim/rpc.js, one WebSocket a call.

A message is a JSON list: ["origin", number], ["invoke" | "call", id, ...] and ["reply", id, good, wire value]. It travels in
pieces, "+" before each but the last, "." before that.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from wrangler_py.runtime.base import (
    FetchRequest,
    FetchResponse,
    RemoteError,
    SocketClosed,
    SocketLink,
    Target,
    WorkerError,
)
from wrangler_py.runtime.services import Keeper, NoAnswer, wire_error

#: The longest piece of a message (characters): a Worker made for a date before 2025 takes no WebSocket message above 1 MiB.
_PIECE = 200_000
_GONE = "the call was cut off: the JavaScript Worker was reloaded, or its process ended"


class ServiceCalls(Protocol):
    """Calls between the Workers of a session (runtime/services.py)."""

    @property
    def calls(self) -> Mapping[str, Callable[..., Awaitable[Any]]]: ...

    def enter(self, keeper: Keeper) -> int: ...

    def leave(self, origin: int) -> None: ...

    async def call_stub(self, origin: int, number: int, path: tuple[str, ...], args: Any) -> Any: ...

    async def invoke(self, worker: str, target: Target, path: tuple[str, ...], args: Any) -> Any: ...

    async def fetch(self, worker: str, target: Target, request: FetchRequest) -> FetchResponse: ...


class RpcSession:
    """One call, and what both sides gave each other in it."""

    def __init__(
        self,
        services: ServiceCalls,
        link: SocketLink,
        invoked: Callable[[tuple[str, ...], Any], Awaitable[Any]] | None = None,
    ) -> None:
        """`invoked`: answers a call of the JavaScript side, by path and arguments."""
        self._services = services
        self._link = link
        self._invoked = invoked
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = False
        self._origin = services.enter(self._call_kept)
        self._send(["origin", self._origin])

    async def run(self) -> None:
        """Serve until the JavaScript side has closed the connection."""
        parts: list[str] = []
        try:
            async for message in self._link.messages():
                if isinstance(message, SocketClosed):
                    break
                assert isinstance(message, str)
                parts.append(message[1:])
                if message[0] == ".":
                    whole, parts = "".join(parts), []
                    self._came(json.loads(whole, object_hook=unpacked))
        finally:
            self._ended = True
            self._services.leave(self._origin)
            for future in self._asked.values():
                if not future.done():
                    future.set_exception(WorkerError(_GONE))
            for task in self._tasks:
                task.cancel()

    async def ask(self, *question: Any) -> Any:
        """The wire value that answers. Raises RemoteError, and WorkerError when the connection ends."""
        if self._ended:
            raise WorkerError(_GONE)
        number = next(self._numbers)
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._send([question[0], number, *question[1:]])
            good, wire = await future
        finally:
            del self._asked[number]
        if not good:
            raise RemoteError(wire)
        return wire

    async def _call_kept(self, number: int, path: tuple[str, ...], args: Any) -> Any:
        return await self.ask("call", number, path, args)

    def _came(self, message: list[Any]) -> None:
        kind, number, *rest = message
        if kind == "reply":
            future = self._asked.get(number)
            if future is not None and not future.done():
                future.set_result(rest)
            return
        task = asyncio.get_running_loop().create_task(self._answer(kind, number, rest))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, kind: str, number: int, rest: list[Any]) -> None:
        try:
            if kind == "invoke" and self._invoked is not None:
                path, args = rest
                value = await self._invoked(tuple(path), args)
            else:
                origin, kept, path, args = rest
                value = await self._services.call_stub(origin, kept, tuple(path), args)
        except NoAnswer:
            return
        except (RemoteError, WorkerError) as error:
            self._send(["reply", number, False, wire_error(error)])
        else:
            self._send(["reply", number, True, value])

    def _send(self, message: list[Any]) -> None:
        text = json.dumps(packed(message))
        at = 0
        while len(text) - at > _PIECE:
            self._link.send("+" + text[at : at + _PIECE])
            at += _PIECE
        self._link.send("." + text[at:])


def error_json(error: WorkerError) -> bytes:
    """The wire value of what a `fetch` raised, for shim/python.js."""
    return json.dumps(packed(wire_error(error))).encode()


def packed(wire: Any) -> Any:
    """A wire value as JSON has it."""
    if isinstance(wire, (tuple, list)):
        return [packed(item) for item in wire]
    if isinstance(wire, (bytes, bytearray, memoryview)):
        return {"b": base64.b64encode(wire).decode()}
    if isinstance(wire, float) and not math.isfinite(wire):
        return {"f": "NaN" if math.isnan(wire) else "Infinity" if wire > 0 else "-Infinity"}
    return wire


def unpacked(found: dict[str, str]) -> Any:
    """`object_hook` for JSON that `packed` or the shim made: a wire value has no other objects."""
    if "b" in found:
        return base64.b64decode(found["b"])
    return float(found["f"].replace("Infinity", "inf"))
