"""What a JavaScript Worker's service bindings and static assets reach outside of its workerd: Python Workers, the asset
server, and Workers that the session does not have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from wrangler_py.runtime.base import FetchRequest, FetchResponse, Target, WorkerError
from wrangler_py.runtime.workerd.loopback import RESOURCE, Call

_CONNECTION_HEADERS = frozenset({RESOURCE, "connection", "keep-alive", "transfer-encoding"})


class ServiceCalls(Protocol):
    """Calls between the Workers of a session (runtime/services.py)."""

    async def fetch(self, worker: str, target: Target, request: FetchRequest) -> FetchResponse: ...


#: The answer of a Worker's static assets to (worker, method, URL, headers); None when it has none.
AssetFetch = Callable[[str, FetchRequest], FetchResponse | None]


class ServiceAdapter:
    """Requests of service bindings. The resource is "<service>/<entrypoint>"."""

    def __init__(self, services: ServiceCalls) -> None:
        self._services = services

    async def __call__(self, call: Call) -> None:
        """Handler (loopback.py)."""
        service, _, entrypoint = call.resource.partition("/")
        target: Target = ("entrypoint", entrypoint or None, None)
        try:
            response = await self._services.fetch(service, target, to_request(call))
        except WorkerError as error:
            call.answer(500, error.text.encode(), (("content-type", "text/plain;charset=UTF-8"),))
            return
        await _respond(call, response)


class AssetsAdapter:
    """Requests of `env.ASSETS`."""

    def __init__(self, answer: AssetFetch) -> None:
        self._answer = answer

    async def __call__(self, call: Call) -> None:
        """Handler (loopback.py)."""
        response = self._answer(call.worker, to_request(call))
        if response is None:
            call.answer(404, b"the config gives no `directory` of assets")
        else:
            await _respond(call, response)


def to_request(call: Call) -> FetchRequest:
    """A binding's request as a Worker sees it. The URL stands whole in the request line (style = proxy)."""
    headers = [(name, value) for name, value in call.headers.items() if name not in _CONNECTION_HEADERS]
    url = call.target if "://" in call.target else f"http://{call.headers.get('host', 'localhost')}{call.target}"
    has_body = "content-length" in call.headers or "transfer-encoding" in call.headers
    body = call.stream() if has_body and call.headers.get("content-length") != "0" else None
    return FetchRequest(call.method, url, headers, b"" if has_body and body is None else body)


async def _respond(call: Call, response: FetchResponse) -> None:
    headers = [header for header in response.headers if header[0].lower() not in _CONNECTION_HEADERS]
    if response.stream is None:
        plain = [header for header in headers if header[0].lower() != "content-length"]
        empty = call.method == "HEAD" or response.status in (204, 304)
        call.answer(response.status, b"" if empty else response.body, plain)
        return
    await call.answer_stream(response.status, _pieces(response.body, response.stream), headers)


async def _pieces(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for piece in rest:
        yield piece
