"""The front door: every HTTP request of a session comes in here (ASGI), and is a worker's or one of wpy's own paths.

Plain ASGI instead of a framework, because every request of every worker passes through.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, MutableMapping
from http import HTTPStatus
from typing import Any, Protocol

from wrangler_py.events.log import EventLog
from wrangler_py.events.trace import Span, parse_traceparent, within
from wrangler_py.runtime.base import FetchRequest, FetchResponse, Runtime, StreamBroken, WorkerError
from wrangler_py.runtime.services import AssetsOfWorker, answer_of_assets
from wrangler_py.server import guard
from wrangler_py.server.cf import PLACEHOLDER
from wrangler_py.server.control import ControlApi
from wrangler_py.server.dashboard_api.door import DashboardDoor
from wrangler_py.server.encoding import unpacked
from wrangler_py.server.rest.door import RestDoor
from wrangler_py.server.triggers import Triggers
from wrangler_py.server.websockets import converse, refuse

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Workers(Protocol):
    """The workers of the session, by name; the first is the one that HTTP traffic reaches."""

    def primary(self) -> Runtime: ...

    def named(self, name: str) -> Runtime | None: ...


class FrontDoor:
    """The ASGI application of a session."""

    def __init__(
        self,
        workers: Workers,
        triggers: Triggers,
        control: ControlApi,
        events: EventLog,
        allowed_hosts: Collection[str],
        rest: RestDoor,
        assets: Callable[[str], AssetsOfWorker | None] = lambda name: None,
        dashboard: DashboardDoor | None = None,
    ) -> None:
        """`assets` gives the static assets of a worker, by its name. `dashboard` None: it is off."""
        self._workers = workers
        self._triggers = triggers
        self._control = control
        self._events = events
        self._allowed_hosts = allowed_hosts
        self._rest = rest
        self._assets = assets
        self._dashboard = dashboard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._upgrade(scope, receive, send)
            return
        # The path as it was written, not decoded: `/%63dn-cgi/` is the worker's own, as in wrangler.
        path = scope["path"] = _without_dot_segments(scope["raw_path"].decode("latin-1"))
        if path.startswith("/cdn-cgi/"):
            refused = guard.refusal(scope["headers"], self._allowed_hosts)
            if refused is not None:
                await respond(send, 403, refused)
                return
            if self._dashboard is not None and await self._dashboard.serve(scope, receive, send):
                return
            answer = await self._triggers.cdn_cgi(scope, receive) or await self._control.answer(scope, receive)
            if answer is not None:
                await respond(send, *answer)
                return
        with within(_span(scope)) as span:
            if self._rest.serves(path):
                await self._rest(scope, receive, send)
                return
            started = time.perf_counter()
            worker = error = broken = None
            if path == "/__scheduled":
                status, body, content_type = await self._triggers.test_scheduled(scope)
                await respond(send, status, body, content_type, head=scope["method"] == "HEAD")
            else:
                runtime = self._workers.primary()
                worker = runtime.name
                status, error, broken = await self._fetch(runtime, scope, receive, send)
            self._events.emit(
                "request.finished",
                method=scope["method"],
                path=path,
                status=status,
                ms=round((time.perf_counter() - started) * 1000),
                worker=worker,
                error=error,
                span=span,
            )
            if broken is not None:
                raise broken  # the server cuts the connection: the client must not take what it has for the whole

    async def _upgrade(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A client asks for a WebSocket. The worker's `fetch()` decides."""
        path = scope["path"] = _without_dot_segments(scope["raw_path"].decode("latin-1"))
        scope["method"], scope["scheme"] = "GET", "https" if scope["scheme"] == "wss" else "http"
        await receive()  # websocket.connect
        runtime = self._workers.primary()
        with within(_span(scope)) as span:
            started = time.perf_counter()
            text = None
            try:
                response = await runtime.fetch(await to_fetch_request(scope, receive))
            except WorkerError as error:
                text = error.text
                response = FetchResponse(500, [("content-type", "text/plain;charset=UTF-8")], text.encode())
            self._events.emit(
                "request.finished",
                method="GET",
                path=path,
                status=response.status,
                ms=round((time.perf_counter() - started) * 1000),
                worker=runtime.name,
                error=text,
                span=span,
            )
        if response.socket is None:
            await refuse(receive, send, response)
        else:
            await converse(response.socket, response, receive, send)

    async def _fetch(
        self, runtime: Runtime, scope: Scope, receive: Receive, send: Send
    ) -> tuple[int, str | None, StreamBroken | None]:
        """Answer with the worker. Returns the status, what the handler raised, and whether its stream broke."""
        try:
            request = await to_fetch_request(scope, receive)
            response = answer_of_assets(self._assets(runtime.name), request) or await runtime.fetch(request)
        except WorkerError as error:
            await respond(send, 500, error.text)
            return 500, error.text, None
        empty = scope["method"] == "HEAD" or response.status in (204, 304)
        if not empty and any(name.lower() == "content-encoding" for name, _ in response.headers):
            accepted = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
            response = unpacked(response, accepted.decode("latin-1"))
        headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in response.headers]
        names = {name.lower() for name, _ in headers}
        stream = response.stream
        # Of a HEAD it is only known when the Worker has made the body all the same.
        known = response.body or scope["method"] != "HEAD"
        if stream is None and known and b"content-length" not in names and response.status not in (204, 304):
            headers.append((b"content-length", str(len(response.body)).encode()))
        headers = [header for header in headers if header[0].lower() != b"transfer-encoding"]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        body = b"" if empty else response.body
        if stream is None or empty:
            await send({"type": "http.response.body", "body": body})
            return response.status, None, None
        await send({"type": "http.response.body", "body": body, "more_body": True})
        try:
            async for chunk in stream:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except StreamBroken as broken:
            return response.status, str(broken), broken
        finally:
            closing: Any = getattr(stream, "aclose", None)
            if closing is not None:
                await closing()
        await send({"type": "http.response.body", "body": b""})
        return response.status, None, None


def _span(scope: Scope) -> Span:
    """The span of a request; it goes on in the client's trace when a `traceparent` names one."""
    label = f"{scope['method']} {scope['path']}"
    for name, value in scope["headers"]:
        if name == b"traceparent":
            parent = parse_traceparent(value.decode("latin-1"))
            if parent is not None:
                return Span("request", label, *parent)
    return Span("request", label)


async def to_fetch_request(scope: Scope, receive: Receive) -> FetchRequest:
    """An ASGI request as a worker sees it: the absolute URL the client asked for, and the headers that the edge sets
    (`accept-encoding`, `cf-connecting-ip`; recorded from wrangler 4.86).
    """
    headers: list[tuple[str, str]] = [("accept-encoding", "br, gzip")]
    host: str | None = None
    has_body = has_client = False
    accepted_encoding = ""
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name == "accept-encoding":
            accepted_encoding = value
            continue
        if name == "host":
            host = value
        elif name in ("content-length", "transfer-encoding"):
            has_body = True
        elif name == "cf-connecting-ip":
            has_client = True
        headers.append((name, value))
    if host is None:
        server = scope.get("server") or ("localhost", 80)
        host = f"{server[0]}:{server[1]}"
    if not has_client and scope.get("client"):
        headers.append(("cf-connecting-ip", scope["client"][0]))
    target: str = scope["path"]
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    body: bytes | AsyncIterator[bytes] | None = None
    if has_body:
        first = await receive()
        body = first.get("body", b"")
        if first.get("more_body"):
            body = _rest(first.get("body", b""), receive)
    cf = PLACEHOLDER if not accepted_encoding else {**PLACEHOLDER, "clientAcceptEncoding": accepted_encoding}
    return FetchRequest(scope["method"], f"{scope['scheme']}://{host}{target}", headers, body, cf)


def _without_dot_segments(path: str) -> str:
    """A path as the URL standard writes it: `/a/../b` is `/b`."""
    if "/." not in path and "/%2e" not in path.lower():
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        plain = segment.lower().replace("%2e", ".")
        if plain == "..":
            del kept[-1:]
        elif plain != ".":
            kept.append(segment)
    if segments[-1].lower().replace("%2e", ".") in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


async def _rest(first: bytes, receive: Receive) -> AsyncIterator[bytes]:
    yield first
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client went away while it sent the body")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def respond(
    send: Send,
    status: int,
    body: str | bytes,
    content_type: str = "text/plain;charset=UTF-8",
    *,
    head: bool = False,
) -> None:
    """A whole answer at once."""
    data = body.encode() if isinstance(body, str) else body
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else data})


def reason(status: int) -> str:
    """The reason phrase of a status, or an empty text for one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
