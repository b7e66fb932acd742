"""Outgoing HTTP requests, over http.client in threads of their own: the loop never waits for the network."""

from __future__ import annotations

import asyncio
import http.client
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

#: Redirects that are followed at most (https://fetch.spec.whatwg.org/#http-redirect-fetch).
MAX_REDIRECTS = 20
#: Requests on the way at once, in the whole process. Cloudflare allows six for each event.
_MAX_THREADS = 64
#: Bytes of an answer that one step reads at most.
_CHUNK = 64 * 1024

_REDIRECTS = (301, 302, 303, 307, 308)
#: Headers that describe a body which a redirect drops.
_BODY_HEADERS = ("content-encoding", "content-language", "content-length", "content-location", "content-type")

_executor: ThreadPoolExecutor | None = None
_tls: Any = None


class FetchError(Exception):
    """No answer came."""


@dataclass
class Outgoing:
    """One request. Headers are pairs; a body is whole."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes | None
    follow: bool = True


@dataclass
class Answer:
    """An answer whose body is read with `read`, until it gives b""."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    url: str
    redirected: bool
    read: Callable[[], Any]
    close: Callable[[], None]


class _Call:
    """A request on the way: `abort` may be called at any time, from the loop's thread."""

    def __init__(self) -> None:
        self.connection: http.client.HTTPConnection | None = None
        self.aborted = False
        self.decoder: Any = None
        self.response: Any = None
        self.ended = False

    def abort(self) -> None:
        self.aborted = True
        sock = self.connection.sock if self.connection is not None else None
        if sock is not None:
            try:
                sock.shutdown(2)  # wakes a thread that is blocked in recv
            except OSError:
                pass

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


def _in_thread(call: Callable[..., Any], *args: Any) -> Any:
    global _executor
    if _executor is None:
        _executor = ThreadPoolExecutor(_MAX_THREADS, "wpy-fetch")
    return asyncio.get_running_loop().run_in_executor(_executor, call, *args)


async def send(request: Outgoing, on_call: Callable[[_Call], None] | None = None) -> Answer:
    """Send a request and wait for the head of its answer, redirects followed unless it says otherwise.

    `on_call` is given an object with `abort()` for each hop. Raises FetchError.
    """
    redirects = 0
    while True:
        call = _Call()
        if on_call is not None:
            on_call(call)
        answer = await _in_thread(_exchange, call, request, redirects > 0)
        location = redirect_of(answer.status, answer.headers)
        if not request.follow or location is None:
            return answer
        answer.close()
        redirects += 1
        if redirects > MAX_REDIRECTS:
            raise FetchError("Too many redirects.")
        request = redirected(request, answer.status, location)


def redirect_of(status: int, headers: list[tuple[str, str]]) -> str | None:
    """Where an answer leads on to, or None when it is no redirect."""
    if status not in _REDIRECTS:
        return None
    return next((value for name, value in headers if name.lower() == "location"), None)


def redirected(request: Outgoing, status: int, location: str) -> Outgoing:
    """The request that follows a redirect (https://fetch.spec.whatwg.org/#http-redirect-fetch). Raises FetchError."""
    url = urljoin(request.url, location)
    if urlsplit(url).scheme not in ("http", "https"):
        raise FetchError(f"Fetch API cannot load: {url}")
    headers = request.headers
    method, body = request.method, request.body
    if (status == 303 and method not in ("GET", "HEAD")) or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers = [item for item in headers if item[0].lower() not in _BODY_HEADERS]
    if urlsplit(url)[:2] != urlsplit(request.url)[:2]:
        headers = [item for item in headers if item[0].lower() not in ("authorization", "cookie")]
    return Outgoing(method, url, headers, body)


def _connection(url: Any) -> http.client.HTTPConnection:
    global _tls
    if url.scheme == "http":
        return http.client.HTTPConnection(url.hostname, url.port)
    if _tls is None:
        import ssl

        _tls = ssl.create_default_context()
    return http.client.HTTPSConnection(url.hostname, url.port, context=_tls)


def _exchange(call: _Call, request: Outgoing, redirected: bool) -> Answer:
    url = urlsplit(request.url)
    connection = call.connection = _connection(url)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    names = {name.lower() for name, _ in request.headers}
    try:
        connection.connect()
        if call.aborted:
            raise FetchError("The operation was aborted")
        connection.putrequest(request.method, target, skip_host="host" in names, skip_accept_encoding=True)
        if "accept-encoding" not in names:
            connection.putheader("Accept-Encoding", "gzip")
        if request.body is not None and "content-length" not in names:
            connection.putheader("Content-Length", str(len(request.body)))
        for name, value in request.headers:
            connection.putheader(name, value.encode("utf-8"))
        connection.putheader("Connection", "close")
        connection.endheaders(request.body)
        response = call.response = connection.getresponse()
    except FetchError:
        connection.close()
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        raise FetchError(f"Network connection lost. ({url.netloc}: {error or type(error).__name__})") from error
    encoding = (response.getheader("content-encoding") or "").lower()
    if encoding in ("gzip", "x-gzip", "deflate"):
        call.decoder = zlib.decompressobj(zlib.MAX_WBITS | 32)
    return Answer(
        response.status,
        response.reason,
        response.getheaders(),
        request.url,
        redirected,
        lambda: _in_thread(_read, call),
        call.close,
    )


def _read(call: _Call) -> bytes:
    """The next piece of a body, decompressed; b"" at its end."""
    try:
        while not call.ended:
            data = call.response.read1(_CHUNK)
            if not data:
                call.ended = True
                if call.response.length:  # what Content-Length still promises
                    call.close()
                    raise FetchError("Network connection lost. (the answer ended too soon)")
            if call.decoder is not None:
                data = call.decoder.decompress(data) if data else call.decoder.flush()
            if data:
                return data
        call.close()
        return b""
    except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
        call.close()
        raise FetchError(f"Network connection lost. ({error or type(error).__name__})") from error
