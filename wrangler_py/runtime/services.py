"""Who can be called in a session: its workers, by name, and the processes that keep stubs, by number.

Nothing here looks into what is passed: values stay as the worker that sent them wrote them (worker/rpc_values.py).
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from wrangler_py.runtime.base import FetchRequest, FetchResponse, RemoteError, Runtime, Target, WorkerError

#: Calls a stub that a process keeps: (number, path, args or None) -> wire value. Raises as Runtime.invoke does.
Keeper = Callable[[int, tuple[str, ...], Any], Awaitable[Any]]

#: miniflare's words for a service that does not run, for a method of its and for its fetch.
_NO_SESSION = 'Couldn\'t find a local dev session for the "{entrypoint}" entrypoint of service "{service}" to proxy to'
_NO_METHOD = 'Cannot access "{name}" as we couldn\'t find a local dev session for the "{entrypoint}" entrypoint of service "{service}" to proxy to.'
_STUB_GONE = "The RPC stub is gone: the Worker that made it was reloaded, or its process ended."


class Guard(Protocol):
    """Stands before the calls of one kind of target, to hold, refuse or redirect them."""

    async def invoke(self, runtime: Runtime, worker: str, target: Target, path: tuple[str, ...], args: Any) -> Any: ...

    async def fetch(self, runtime: Runtime, worker: str, target: Target, request: FetchRequest) -> FetchResponse: ...


class AssetAnswer(Protocol):
    """An answer from static assets."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> list[tuple[str, str]]: ...

    @property
    def body(self) -> bytes: ...


class AssetsOfWorker(Protocol):
    """The static assets of one worker (bindings/assets/serve.py)."""

    def goes_to_worker(self, method: str, url: str, headers: list[tuple[str, str]]) -> bool: ...

    def answer(self, method: str, url: str, headers: list[tuple[str, str]]) -> AssetAnswer: ...


def answer_of_assets(assets: AssetsOfWorker | None, request: FetchRequest) -> FetchResponse | None:
    """The answer to a request that never reaches the worker, because a file is there for it; else None."""
    if assets is None or assets.goes_to_worker(request.method, request.url, request.headers):
        return None
    # Of a HEAD the server sends the head alone, with the length that the body would have.
    method = "GET" if request.method == "HEAD" else request.method
    answer = assets.answer(method, request.url, request.headers)
    return FetchResponse(answer.status, answer.headers, answer.body)


class NoAnswer(Exception):
    """A session call that is not to be answered: whoever made it was given up."""


class Services:
    """Calls between the workers of a session."""

    def __init__(
        self,
        find: Callable[[str], Runtime | None],
        assets: Callable[[str], AssetsOfWorker | None] = lambda name: None,
    ) -> None:
        """`find` knows the session's workers by name, `assets` their static assets."""
        self._find = find
        self._assets = assets
        self._numbers = itertools.count(1)
        self._keepers: dict[int, Keeper] = {}
        #: By kind of target.
        self.guards: dict[str, Guard] = {}
        #: Further session calls of workers, by method (python/session_calls.py).
        self.calls: dict[str, Callable[..., Awaitable[Any]]] = {}

    def enter(self, keeper: Keeper) -> int:
        """A process begins: the origin that its stubs carry."""
        origin = next(self._numbers)
        self._keepers[origin] = keeper
        return origin

    def leave(self, origin: int) -> None:
        """A process has ended, and its stubs with it."""
        self._keepers.pop(origin, None)

    async def call_stub(self, origin: int, number: int, path: tuple[str, ...], args: Any) -> Any:
        """Call what a process keeps. Raises RemoteError and WorkerError."""
        keeper = self._keepers.get(origin)
        if keeper is None:
            raise WorkerError(_STUB_GONE)
        return await keeper(number, path, args)

    async def invoke(self, worker: str, target: Target, path: tuple[str, ...], args: Any) -> Any:
        """Runtime.invoke of a worker by name. Raises RemoteError and WorkerError."""
        runtime = self._find(worker)
        if runtime is None:
            raise RemoteError(_error(_NO_METHOD.format(name=".".join(path), **_names(worker, target))))
        guard = self.guards.get(target[0])
        if guard is not None:
            return await guard.invoke(runtime, worker, target, path, args)
        return await runtime.invoke(target, path, args)

    async def fetch(self, worker: str, target: Target, request: FetchRequest) -> FetchResponse:
        """Runtime.fetch of a worker by name. Raises WorkerError."""
        runtime = self._find(worker)
        if runtime is None:
            text = _NO_SESSION.format(**_names(worker, target))
            return FetchResponse(503, [("Content-Type", "text/plain;charset=UTF-8")], text.encode())
        guard = self.guards.get(target[0])
        if guard is not None:
            return await guard.fetch(runtime, worker, target, request)
        if target[0] == "entrypoint" and target[1] in (None, "default", "Default") and target[2] is None:
            return answer_of_assets(self._assets(worker), request) or await runtime.fetch(request)
        return await runtime.fetch(request, target)

    async def read(self, origin: int, number: int) -> AsyncIterator[bytes]:
        """The bytes of a stream that a process feeds."""
        ended = False
        try:
            while (piece := await self.call_stub(origin, number, ("read",), [])) is not None:
                yield piece[1]  # ("buf", bytes)
            ended = True
        finally:
            if not ended and origin in self._keepers:
                await self.call_stub(origin, number, ("cancel",), [])


def _names(worker: str, target: Target) -> dict[str, str]:
    name = target[1] if target[0] == "entrypoint" and target[1] else "default"
    return {"service": worker, "entrypoint": str(name)}


def _error(text: str) -> Any:
    """A wire value of JavaScript's Error."""
    return ("err", "Error", text, None, [])


def wire_error(error: Exception) -> Any:
    """The wire value of what a call raised here."""
    if isinstance(error, RemoteError):
        return error.thrown
    if isinstance(error, WorkerError) and error.thrown is not None:
        return error.thrown
    return _error(str(error))
