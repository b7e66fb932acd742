"""RPC between Workers: service bindings, stubs of functions that another Worker holds, and streams that it feeds.

What a Worker may call from afar stays in its own process, under a number; `Exports` keeps it there. Everything travels
through the server, which knows the processes by their `origin` (frames.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from . import fetch as client
from . import texts
from .rpc_values import Remote, decode, encode
from .shims.js.body import BODY_USED
from .shims.js.convert import unwrap
from .shims.js.core import JsCallable, js_error, jsnull, make_object, merged, raise_js
from .shims.js.headers import make_headers
from .shims.js.jsjson import stringify
from .shims.js.promise import as_exception, js_async
from .shims.js.request import Request
from .shims.js.response import NULL_BODY, Response, received_response
from .shims.js.streams import ReadableStream, chunk_bytes, stream_from

#: Sends a CALL of (binding, method, args) and returns the future of its REPLY.
Caller = Callable[[str, str, tuple[Any, ...]], asyncio.Future]

#: The binding name of a CALL that is for the session itself.
SESSION = ""
#: What the server asks of a stub's process when its holders become more and fewer; no property has such a name.
RETAIN, RELEASE = (" retain",), (" release",)


class Exports:
    """What other Workers may call in this process, and what this process may call in theirs."""

    def __init__(self, call: Caller, origin: int) -> None:
        """`origin` is this process's own number."""
        self._call = call
        self.origin = origin
        self._next = 0
        #: WebSockets that travel through the server (socket_links.SocketLinks).
        self.sockets: Callable[[], Any] | None = None
        self._kept: dict[int, Any] = {}
        #: How many stubs others hold of each number.
        self._holders: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._loop = asyncio.get_event_loop()

    # --- what stays here ---------------------------------------------------------------------------------------

    def export(self, target: Any) -> tuple[int, int]:
        """Keep `target` until nobody holds a stub of it any more: (origin, number)."""
        number = self._numbers.get(id(target))
        if number is None:
            self._next = number = self._next + 1
            self._kept[number] = target
            self._numbers[id(target)] = number
        self._holders[number] = self._holders.get(number, 0) + 1
        return self.origin, number

    def find(self, number: int) -> Any:
        """What is kept under a number. Raises JavaScript's Error when nothing is."""
        target = self._kept.get(number)
        if target is None:
            raise_js("Error", texts.STUB_GONE)
        return target

    def keep(self, number: int) -> None:
        """One holder more."""
        if number in self._holders:
            self._holders[number] += 1

    def release(self, number: int) -> None:
        """One holder less."""
        left = self._holders.get(number, 0) - 1
        if left > 0:
            self._holders[number] = left
            return
        self._holders.pop(number, None)
        target = self._kept.pop(number, None)
        if target is not None:
            self._numbers.pop(id(target), None)

    async def call_here(self, number: int, path: tuple[str, ...], args: Any) -> Any:
        """A call from afar of what is kept under `number`; the result as it is in JavaScript."""
        if args is None and path in (RETAIN, RELEASE):
            return self.release(number) if path == RELEASE else self.keep(number)
        target = self.find(number)
        if isinstance(target, ReadableStream):
            return await self._read(number, target, path)
        for name in path:
            target = getattr(target, name, None)
            if target is None:
                raise_js("TypeError", texts.NO_RPC_METHOD.format(name=".".join(path)))
        if args is None:
            return target
        if not callable(target):
            raise_js("TypeError", texts.NO_RPC_METHOD.format(name=".".join(path)))
        result = target(*[decode(arg, self) for arg in args])
        return await result if hasattr(result, "__await__") else result

    async def _read(self, number: int, stream: ReadableStream, path: tuple[str, ...]) -> Any:
        if path == ("cancel",):
            self.release(number)
            await stream._stop()
            return None
        if stream._reader is None:
            stream._reader = _Reading()
        try:
            async for chunk in stream._chunks():
                if data := chunk_bytes(chunk):
                    return _buffer(data)
        except BaseException:
            self.release(number)
            raise
        self.release(number)
        return None

    # --- what is elsewhere -------------------------------------------------------------------------------------

    def stub(self, origin: int, number: int) -> Any:
        """Something to call what another process keeps; what this one keeps is that itself."""
        if origin == self.origin:
            target = self.find(number)
            self.release(number)
            return target
        return RemoteStub.new(self, origin, number)

    def stream(self, origin: int, number: int) -> ReadableStream:
        """A stream that a process feeds, piece by piece, as it is read."""
        if origin == self.origin:
            stream = self.find(number)
            self.release(number)
            return stream

        async def pull() -> bytes:
            piece = await self.call_remote(origin, number, ("read",), [])
            return b"" if piece is None else piece.to_bytes()

        async def cancel(_reason: Any = None) -> None:
            await self.call_remote(origin, number, ("cancel",), [])

        return stream_from(pull, cancel)

    def server_stream(self, number: int, first: bytes = b"") -> ReadableStream:
        """A stream of bytes that the server feeds, which a REPLY gave the number of; `first` comes before them."""
        begun = [first] if first else []

        async def pull() -> bytes:
            if begun:
                return begun.pop()
            return await self._call(SESSION, "read", (number,))

        async def cancel(_reason: Any = None) -> None:
            await self._call(SESSION, "unread", (number,))

        return stream_from(pull, cancel)

    async def call_remote(self, origin: int, number: int, path: tuple[str, ...], args: Any) -> Any:
        """Call a stub; what it gives. Raises what it raises."""
        return self.result(await self._call(SESSION, "rpc", (origin, number, path, args)))

    def result(self, reply: tuple[bool, Any]) -> Any:
        """The value of a call's REPLY. Raises the error that it carries."""
        good, wire = reply
        value = decode(wire, self)
        if good:
            return value
        raise as_exception(value)

    def forget(self, origin: int, number: int) -> None:
        """A stub was dropped here: tell its process."""

        def tell() -> None:
            self._call(SESSION, "release", (origin, number)).add_done_callback(_done_with)

        self._loop.call_soon_threadsafe(tell)

    def retain(self, origin: int, number: int) -> None:
        """A stub is passed on: its process has one holder more."""
        self._call(SESSION, "retain", (origin, number)).add_done_callback(_done_with)

    def wire_args(self, args: tuple[Any, ...]) -> list[Any]:
        return [encode(arg, self) for arg in args]


def _done_with(future: asyncio.Future) -> None:
    if not future.cancelled():
        future.exception()


def _buffer(data: bytes) -> Any:
    from .shims.js.buffers import make_buffer

    return make_buffer(data)


class _Reading:
    """Stands for the reader that another Worker is."""

    def __init__(self) -> None:
        self._closed = asyncio.get_running_loop().create_future()


class _RemoteCallable(Remote, JsCallable):
    """Something of which every property can be called, in another Worker."""

    __slots__ = ()

    @property
    def typeof(self) -> str:
        return "function"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "then":
            raise AttributeError(name)
        return RemoteProperty.new(self._invoke, (name,))

    def _invoke(self, path: tuple[str, ...], args: tuple[Any, ...] | None) -> Any:
        raise NotImplementedError


class RemoteProperty(JsCallable):
    """`stub.name`: may be called, awaited (for its value) or gone on from."""

    __slots__ = ("_path", "_remote")
    _js_name = "JsRpcProperty"

    def __init__(self, remote: Callable[[tuple[str, ...], Any], Any], path: tuple[str, ...]) -> None:
        self._remote = remote
        self._path = path

    @property
    def typeof(self) -> str:
        return "function"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "then":
            raise AttributeError(name)
        return RemoteProperty.new(self._remote, (*self._path, name))

    def __call__(self, *args: Any, **options: Any) -> Any:
        if options:
            args = (*args, make_object(options))
        return self._remote(self._path, args)

    def __await__(self) -> Any:
        return self._remote(self._path, None).__await__()


class RemoteStub(_RemoteCallable):
    """A function or an object that another Worker keeps."""

    __slots__ = ("__weakref__", "_exports", "_number", "_origin")
    _js_name = "RpcStub"

    def __init__(self, exports: Exports, origin: int, number: int) -> None:
        self._exports = exports
        self._origin = origin
        self._number = number

    def __call__(self, *args: Any, **options: Any) -> Any:
        if options:
            args = (*args, make_object(options))
        return self._invoke((), args)

    def _invoke(self, path: tuple[str, ...], args: tuple[Any, ...] | None) -> Any:
        wire = None if args is None else self._exports.wire_args(args)
        return _remote_call(self._exports, self._origin, self._number, path, wire)

    def dup(self) -> RemoteStub:
        """The stub itself: it lives as long as somebody holds it."""
        return self

    def _wire(self) -> Any:
        self._exports.retain(self._origin, self._number)  # for whoever gets it
        return ("stub", self._origin, self._number, "function")

    def __del__(self) -> None:
        self._exports.forget(self._origin, self._number)


@js_async
async def _remote_call(exports: Exports, origin: int, number: int, path: tuple[str, ...], wire: Any) -> Any:
    return await exports.call_remote(origin, number, path, wire)


class Fetcher(_RemoteCallable):
    """A service binding: `fetch`, and every method of the entrypoint that it leads to.

    `worker` None is this Worker itself (`ctx.exports`).
    """

    __slots__ = ("_exports", "_send", "_target", "_worker")
    _js_name = "Fetcher"

    def __init__(self, exports: Exports, worker: str | None, target: tuple[Any, ...]) -> None:
        self._exports = exports
        self._worker = worker
        self._target = target

    @property
    def constructor(self) -> Any:
        return Fetcher

    def __call__(self, options: Any = None, **keywords: Any) -> Any:
        """`ctx.exports.Name({props})`: the same entrypoint, given these props."""
        if self._worker is not None:
            raise_js("TypeError", "Fetcher is not a function")
        props = to_json(getattr(merged(options, keywords), "props", None) or make_object({}))
        return Fetcher.new(self._exports, None, (*self._target[:2], props))

    def fetch(self, resource: Any = None, init: Any = None, **keywords: Any) -> Any:
        """Call the entrypoint's `fetch`. Redirects are followed within it, unless the request says otherwise."""
        return remote_fetch(self._exports, self._worker, self._target, resource, merged(init, keywords))

    def connect(self, *_args: Any) -> Any:
        raise_js("Error", "wpy does not emulate Fetcher.connect(): sockets of another Worker.")

    def _invoke(self, path: tuple[str, ...], args: tuple[Any, ...] | None) -> Any:
        wire = None if args is None else self._exports.wire_args(args)
        return remote_invoke(self._exports, self._worker, self._target, path, wire)


@js_async
async def remote_invoke(
    exports: Exports, worker: str | None, target: tuple[Any, ...], path: tuple[str, ...], wire: Any
) -> Any:
    """Call a method of an entrypoint or object; what it gives. Raises what it raises."""
    return exports.result(await exports._call(SESSION, "invoke", (worker, target, path, wire)))


@js_async
async def remote_fetch(
    exports: Exports, worker: str | None, target: tuple[Any, ...], resource: Any, init: Any
) -> Response:
    """`fetch` of an entrypoint or object. Raises what it raises."""
    request = Request.new(unwrap(resource), make_object({}) if init is None else init)
    signal = request._signal
    if signal is not None:
        signal.throwIfAborted()
    outgoing = client.Outgoing(
        request.method, request.url, [(name, value) for _, name, value in request._headers._list], None
    )
    body = _request_body(request, exports)
    cf = None if request.cf in (None, jsnull) else to_json(request.cf)
    hops = 0
    while True:
        head = (worker, target, outgoing.method, outgoing.url, outgoing.headers, body, cf)
        reply = await exports._call(SESSION, "fetch", head)
        if not reply[0]:
            exports.result(reply)
        _, status, headers, first, stream = reply[:5]
        location = client.redirect_of(status, headers) if request.redirect == "follow" else None
        if location is None:
            break
        if stream:
            exports._call(SESSION, "unread", (stream,)).add_done_callback(_done_with)
        hops += 1
        if hops > client.MAX_REDIRECTS:
            raise js_error("TypeError", "Too many redirects.")
        method = outgoing.method
        outgoing = client.redirected(outgoing, status, location)
        if outgoing.method != method:
            body = None
        elif isinstance(body, tuple):
            raise js_error("TypeError", "A request with a one-time-use body encountered a redirect requiring it again.")
    content: Any = first if not stream else exports.server_stream(stream, first)
    if status in NULL_BODY or (not stream and not first and outgoing.method == "HEAD"):
        content = None
    made = received_response(status, "", make_headers(headers), content, outgoing.url, hops > 0)
    if len(reply) > 5 and reply[5] and exports.sockets is not None:
        made._web_socket = exports.sockets().adopt(reply[5])
    if signal is not None and isinstance(content, ReadableStream):
        signal._followers.append(content._set_error)
    return made


def _request_body(request: Request, exports: Exports) -> Any:
    content = request._content
    if content is None or isinstance(content, bytes):
        return content
    if content._whole is not None and content._state != "errored":
        return content._whole
    if content.locked:
        raise js_error("TypeError", BODY_USED)
    return ("stream", *exports.export(content))


def to_json(value: Any) -> Any:
    """A value of JavaScript as JSON has it, in Python."""
    text = stringify(value)
    return None if text is None else json.loads(text)
