"""What a JavaScript Worker's service bindings and static assets reach outside of its workerd: Python Workers, the asset
server, and Workers that the session does not have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from urllib.parse import unquote

from wrangler_py.runtime.base import FetchRequest, FetchResponse, SocketClosed, SocketLink, Target, WorkerError
from wrangler_py.runtime.workerd.loopback import RESOURCE, Call
from wrangler_py.runtime.workerd.rpc import RpcSession, ServiceCalls, error_json

_CONNECTION_HEADERS = frozenset({RESOURCE, "connection", "keep-alive", "transfer-encoding"})


_NO_UPGRADE = (
    'Worker tried to return WebSocket in a response to a request which did not contain the header "Upgrade: websocket".'
)

#: The answer of a Worker's static assets to (worker, method, URL, headers); None when it has none.
AssetFetch = Callable[[str, FetchRequest], FetchResponse | None]


class ServiceAdapter:
    """Requests of service bindings. The resource is "<service>/<entrypoint>/<props as JSON, percent-encoded>"."""

    def __init__(self, services: ServiceCalls) -> None:
        self._services = services

    async def __call__(self, call: Call) -> None:
        """Handler (loopback.py)."""
        service, target = service_target(call)
        try:
            response = await self._services.fetch(service, target, to_request(call))
        except WorkerError as error:
            call.answer(500, error_json(error), (("x-wpy-thrown", "1"),))  # shim/python.js throws it
            return
        if response.socket is None:
            await _respond(call, response)
        elif call.headers.get("upgrade", "").lower() == "websocket":
            await _connect(call.upgrade(), response.socket)
        else:
            response.socket.close(1006, "", clean=False)
            call.answer(500, error_json(WorkerError(_NO_UPGRADE)), (("x-wpy-thrown", "1"),))


class RpcAdapter:
    """RPC calls of service bindings, one WebSocket each (shim/python.js). The resource is ServiceAdapter's."""

    def __init__(self, services: ServiceCalls) -> None:
        self._services = services

    async def __call__(self, call: Call) -> None:
        """Handler (loopback.py)."""
        service, target = service_target(call)
        await RpcSession(self._services, call.upgrade(), partial(self._services.invoke, service, target)).run()


def service_target(call: Call) -> tuple[str, Target]:
    """The Worker and the entrypoint that a service binding leads to."""
    service, entrypoint, props = call.resource.split("/", 2)
    return service, ("entrypoint", entrypoint or None, json.loads(unquote(props)) if props else None)


async def _connect(outer: SocketLink, inner: SocketLink) -> None:
    """Carry messages between a Worker's WebSocket and whoever asked for it, until both are closed."""

    async def carry(source: SocketLink, goal: SocketLink) -> None:
        async for message in source.messages():
            if isinstance(message, SocketClosed):
                goal.close(message.code, message.reason, clean=message.code != 1006)
            else:
                goal.send(message)

    async with asyncio.TaskGroup() as both:
        both.create_task(carry(outer, inner))
        both.create_task(carry(inner, outer))


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
