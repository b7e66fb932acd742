"""`wpy.http`: the network as user code sees it. Nothing leaves the machine: what is not named here is blocked.

    wpy.http.on("POST", "https://api.example.com/charge").respond(201, json={"id": 1})
    wpy.http.on("GET", "https://api.example.com/*").fail(TimeoutError("slow"))

It answers `fetch` (of the SDK and of `js`), `pyodide.http`, `urllib` and what is built on `http.client` (`requests`,
`urllib3`), and `httpx`. Anything else that opens a socket is refused with the same words.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json as jsonlib
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

from wrangler_py.runtime.inprocess.hub import current_process
from wrangler_py.runtime.worker import fetch as worker_fetch
from wrangler_py.runtime.worker import logs
from wrangler_py.testing.errors import KitError, NetworkBlocked
from wrangler_py.testing.network import FakeSocket, LateImports, base_url, words
from wrangler_py.testing.values import Span, seconds

if TYPE_CHECKING:
    from wrangler_py.testing.kit import Wpy

__tracebackhide__ = True


@dataclass(slots=True)
class Request:
    """One request that user code made."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        return jsonlib.loads(self.body)

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(slots=True)
class Reply:
    """What a route answers."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    error: BaseException | None = None
    delay_s: float = 0.0


class Route:
    """Requests of a kind, and what they are answered. The one that was named last counts first."""

    def __init__(self, method: str, url: str) -> None:
        self.method = method.upper()
        self.url = url
        self._replies: list[tuple[Reply, int | None]] = []
        self._make: Callable[[Request], Any] | None = None
        self._delay_s = 0.0
        self.calls: list[Request] = []

    def matches(self, request: Request) -> bool:
        if self.method not in ("*", request.method):
            return False
        return fnmatch.fnmatchcase(request.url, self.url) or request.url.partition("?")[0] == self.url

    @property
    def exhausted(self) -> bool:
        return bool(self._replies) and all(times == 0 for _, times in self._replies)

    def respond(
        self,
        status: int = 200,
        *,
        json: Any = None,
        text: str | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Route:
        """Answer with this; several `respond` in a row answer one after another, the last one from then on."""
        given = dict(headers or {})
        if json is not None:
            body = jsonlib.dumps(json).encode()
            given.setdefault("content-type", "application/json")
        elif text is not None:
            body = text.encode()
            given.setdefault("content-type", "text/plain;charset=UTF-8")
        self._replies.append((Reply(status, list(given.items()), body), None))
        return self

    def respond_with(self, make: Callable[[Request], Any]) -> Route:
        """Answer with what `make(request)` returns: a status, a dict for JSON, a text, or (status, dict or text)."""
        self._make = make
        return self

    def fail(self, error: BaseException | type[BaseException] = ConnectionError) -> Route:
        """Do not answer: the connection is lost, or, with TimeoutError, it times out."""
        made = error() if isinstance(error, type) else error
        self._replies.append((Reply(error=made), None))
        return self

    def delay(self, span: Span) -> Route:
        """Answer after a span of the test's clock."""
        self._delay_s = seconds(span)
        return self

    def times(self, count: int) -> Route:
        """The answer before this is given so often; then the next one, or the request is not expected any more."""
        if not self._replies:
            raise KitError("times(n) follows respond(...) or fail(...).")
        reply, _ = self._replies[-1]
        self._replies[-1] = (reply, count)
        return self

    @property
    def called(self) -> bool:
        return bool(self.calls)

    def take(self, request: Request) -> Reply:
        """The answer to a request."""
        self.calls.append(request)
        if self._make is not None:
            return _reply_of(self._make(request), self._delay_s)
        reply = Reply()
        for place, (one, times) in enumerate(self._replies):
            last = place == len(self._replies) - 1
            if times is None:
                if not last:
                    self._replies[place] = (one, 0)
                reply = one
                break
            if times > 0:
                self._replies[place] = (one, times - 1)
                reply = one
                break
        return Reply(reply.status, reply.headers, reply.body, reply.error, self._delay_s)

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


def _reply_of(made: Any, delay_s: float) -> Reply:
    status, content = made if isinstance(made, tuple) else (200, made)
    if isinstance(content, int):
        return Reply(content, delay_s=delay_s)
    if isinstance(content, BaseException):
        return Reply(error=content, delay_s=delay_s)
    if isinstance(content, bytes):
        return Reply(status, body=content, delay_s=delay_s)
    if isinstance(content, str):
        return Reply(status, [("content-type", "text/plain;charset=UTF-8")], content.encode(), delay_s=delay_s)
    return Reply(status, [("content-type", "application/json")], jsonlib.dumps(content).encode(), delay_s=delay_s)


class OutboundHttp:
    """The routes of a test, and what was asked for."""

    def __init__(self, wpy: Wpy) -> None:
        self._wpy = wpy
        self._routes: list[Route] = []
        self._allowed: list[str] = []
        #: All requests of user code, in order.
        self.requests: list[Request] = []

    # What a test says -------------------------------------------------------------------------------------------------

    def on(self, method: str, url: str) -> Route:
        """A route: `*` stands for anything, in the method and in the URL. It answers 200 unless told otherwise."""
        route = Route(method, url)
        self._routes.insert(0, route)
        return route

    def allow(self, url: str = "*") -> None:
        """Let requests to matching URLs go to the network."""
        self._allowed.append(url)

    def forget(self) -> None:
        """The test begins anew."""
        self.reset()

    def reset(self) -> None:
        """Forget the routes and the requests."""
        self._routes.clear()
        self._allowed.clear()
        self.requests.clear()

    def calls(self, method: str = "*", url: str = "*") -> list[Request]:
        """The requests so far that match."""
        route = Route(method, url)
        return [request for request in self.requests if route.matches(request)]

    def assert_all_called(self) -> None:
        """Fail when a route was never asked for."""
        idle = [str(route) for route in self._routes if not route.called]
        if idle:
            raise AssertionError(f"Never requested: {', '.join(idle)}. Requested were: {self._list()}.")

    def assert_called(self, method: str, url: str, *, times: int | None = None) -> None:
        """Fail unless a request that matches was made, or exactly `times` of them."""
        count = len(self.calls(method, url))
        if (times is None and not count) or (times is not None and count != times):
            wanted = "at least once" if times is None else f"{times} times"
            raise AssertionError(f"{method} {url} should be requested {wanted}, and was {count} times. {self._list()}")

    def _list(self) -> str:
        return ", ".join(map(str, self.requests)) or "nothing"

    # Answering --------------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply | None:
        """What user code gets for a request. None: the network may answer. Raises NetworkBlocked."""
        event = logs.current_event.get()
        if event is not None:
            self._wpy.calls.fetched(event.id)
        self.requests.append(request)
        for route in self._routes:
            if route.matches(request) and not route.exhausted:
                return route.take(request)
        if self._passes(request.url):
            return None
        raise NetworkBlocked(self._blocked(request.method, request.url))

    def asked(self, method: str, url: str, headers: dict[str, str], body: bytes) -> Reply | None:
        """`answer`, for clients that write their requests themselves."""
        return self.answer(Request(method, url, headers, body))

    def _passes(self, url: str) -> bool:
        return self._wpy.settings.network == "allow" or any(fnmatch.fnmatchcase(url, one) for one in self._allowed)

    def _blocked(self, method: str, url: str) -> str:
        short = url.partition("?")[0]
        return (
            f"{self._wpy.name}: the worker asked for {method} {url}, and the network is blocked in tests. Answer it: "
            f'wpy.http.on("{method}", "{short}").respond(200), or let it through: wpy.http.allow("{short}").'
        )

    # Installing -------------------------------------------------------------------------------------------------------

    def install(self) -> Callable[[], None]:
        """Stand between user code and the network, until the function that this returns is called."""
        undo = [self._fetch(), self._http_client(), self._sockets(), *self._httpx(), *self._urllib3()]
        later = {name: patch for name, patch in self._patches().items() if name not in sys.modules}
        if later:
            finder = LateImports(later, undo)
            sys.meta_path.insert(0, finder)
            undo.append(lambda: sys.meta_path.remove(finder))

        def all_undone() -> None:
            for one in reversed(undo):
                one()

        return all_undone

    def _patches(self) -> dict[str, Callable[[], list[Callable[[], None]]]]:
        """Clients that are patched once they have been imported."""
        return {"httpx": self._httpx, "urllib3.connection": self._urllib3}

    def _fetch(self) -> Callable[[], None]:
        send = worker_fetch.send

        async def replaced(request: Any, on_call: Any = None) -> Any:
            if not _in_event():
                return await send(request, on_call)
            headers = {name.lower(): value for name, value in request.headers}
            asked = Request(request.method, request.url, headers, request.body or b"")
            redirects = 0
            while True:
                try:
                    reply = self.answer(asked)
                except NetworkBlocked as error:
                    raise worker_fetch.FetchError(str(error)) from error
                if reply is None:
                    return await send(request, on_call)
                await asyncio.sleep(reply.delay_s)  # if only for a turn: a request is never answered at once
                if reply.error is not None:
                    raise worker_fetch.FetchError(words(reply.error)) from reply.error
                location = next((value for name, value in reply.headers if name.lower() == "location"), None)
                if not request.follow or location is None or reply.status not in (301, 302, 303, 307, 308):
                    break
                redirects += 1
                if redirects > worker_fetch.MAX_REDIRECTS:
                    raise worker_fetch.FetchError("Too many redirects.")
                request = worker_fetch.redirected(request, reply.status, location)
                asked = Request(request.method, request.url, headers, request.body or b"")
            pieces = [reply.body] if reply.body else []

            async def read() -> bytes:
                return pieces.pop() if pieces else b""

            return worker_fetch.Answer(reply.status, "", reply.headers, asked.url, redirects > 0, read, lambda: None)

        worker_fetch.send = replaced

        def undo() -> None:
            worker_fetch.send = send

        return undo

    def _http_client(self) -> Callable[[], None]:
        return self._connections(HTTPConnection)

    def _urllib3(self) -> list[Callable[[], None]]:
        module = sys.modules.get("urllib3.connection")
        if module is None:
            return []
        return [self._connections(module.HTTPConnection), self._connections(module.HTTPSConnection)]

    def _connections(self, kind: Any) -> Callable[[], None]:
        """`connect` of http.client and of what is built on it: a socket that answers from the routes."""
        own = kind.__dict__.get("connect")
        connect = kind.connect

        def replaced(connection: Any) -> None:
            if _in_event() and not self._passes(base_url(connection)):
                connection.sock = FakeSocket(self, connection)
                connection.is_verified = connection.proxy_is_verified = True  # what urllib3 notes of a connection
            else:
                connect(connection)

        kind.connect = replaced

        def undo() -> None:
            if own is None:
                del kind.connect
            else:
                kind.connect = own

        undos = [undo]
        if kind is HTTPConnection:
            from http.client import HTTPSConnection

            undos.append(self._connections(HTTPSConnection))

        def all_undone() -> None:
            for one in reversed(undos):
                one()

        return all_undone

    def _httpx(self) -> list[Callable[[], None]]:
        httpx = sys.modules.get("httpx")
        if httpx is None:
            return []
        sync, concurrent = httpx.HTTPTransport, httpx.AsyncHTTPTransport
        handle, handle_async = sync.handle_request, concurrent.handle_async_request

        def asked(request: Any, content: bytes) -> Request:
            return Request(request.method, str(request.url), dict(request.headers), content)

        def made(request: Any, reply: Reply) -> Any:
            if isinstance(reply.error, TimeoutError):
                raise httpx.ReadTimeout(str(reply.error) or "timed out", request=request) from reply.error
            if reply.error is not None:
                raise httpx.ConnectError(words(reply.error), request=request) from reply.error
            return httpx.Response(reply.status, headers=reply.headers, content=reply.body, request=request)

        def replaced(transport: Any, request: Any) -> Any:
            reply = self.answer(asked(request, request.read())) if _in_event() else None
            return handle(transport, request) if reply is None else made(request, reply)

        async def replaced_async(transport: Any, request: Any) -> Any:
            reply = self.answer(asked(request, await request.aread())) if _in_event() else None
            if reply is None:
                return await handle_async(transport, request)
            await asyncio.sleep(reply.delay_s)
            return made(request, reply)

        sync.handle_request, concurrent.handle_async_request = replaced, replaced_async

        def undo() -> None:
            sync.handle_request, concurrent.handle_async_request = handle, handle_async

        return [undo]

    def _sockets(self) -> Callable[[], None]:
        """Whatever else opens a connection from inside of an event."""
        connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
        own = {name: socket.socket.__dict__.get(name) for name in ("connect", "connect_ex")}

        def check(address: Any) -> None:
            if (
                _in_event()
                and isinstance(address, tuple)
                and not self._allowed
                and self._wpy.settings.network != "allow"
            ):
                raise NetworkBlocked(
                    f"{self._wpy.name}: the worker opened a connection to {address[0]}:{address[1]}, and the network is "
                    "blocked in tests. Let it through: wpy.http.allow()."
                )

        def replaced(sock: Any, address: Any) -> None:
            check(address)
            connect(sock, address)

        def replaced_ex(sock: Any, address: Any) -> int:
            check(address)
            return connect_ex(sock, address)

        socket.socket.connect, socket.socket.connect_ex = replaced, replaced_ex  # type: ignore[method-assign]

        def undo() -> None:
            for name, before in own.items():
                if before is not None:
                    setattr(socket.socket, name, before)
                else:
                    delattr(socket.socket, name)  # what is inherited from _socket.socket is there again

        return undo


def _in_event() -> bool:
    return logs.current_event.get() is not None or current_process.get() is not None
