"""`fetch` to the network."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from ... import fetch as client
from ...loop import current
from .convert import unwrap
from .core import Function, js_error, make_object, merged
from .headers import make_headers
from .promise import as_exception, js_async
from .request import Request
from .response import NULL_BODY, Response, received_response
from .streams import stream_from


@js_async
async def _fetch(resource: Any = None, init: Any = None) -> Response:
    request = Request.new(unwrap(resource), make_object({}) if init is None else init)
    if urlsplit(request.url).scheme not in ("http", "https"):
        raise js_error("TypeError", f"Fetch API cannot load: {request.url}")
    if (request._headers.get("upgrade") or "").lower() == "websocket":
        return await _upgrade(request)
    body = None if request._content is None else await request._all_bytes()
    hub = current()
    if hub is not None and hub.before_output is not None:
        hub.before_output()  # what was written before is stored before anybody hears of it
    calls: list[Any] = []
    signal = request._signal
    if signal is not None:
        signal.throwIfAborted()
        signal._followers.append(lambda reason: [call.abort() for call in calls])
    outgoing = client.Outgoing(
        request.method,
        request.url,
        [(name, value) for _, name, value in request._headers._list],
        body,
        request.redirect == "follow",
    )
    try:
        answer = await client.send(outgoing, calls.append)
    except client.FetchError as error:
        raise _failure(signal, error) from None

    async def pull() -> bytes:
        try:
            return await answer.read()
        except client.FetchError as error:
            raise _failure(signal, error) from None

    content = None
    if request.method != "HEAD" and answer.status not in NULL_BODY:
        content = stream_from(pull, lambda reason=None: answer.close())
    else:
        answer.close()
    headers = make_headers(answer.headers)
    return received_response(answer.status, answer.reason, headers, content, answer.url, answer.redirected)


async def _upgrade(request: Request) -> Response:
    """A WebSocket to a server; `response.webSocket` is this Worker's end, to be accepted."""
    from ... import socket_client

    headers = [(name, value) for _, name, value in request._headers._list]
    answer, socket = await socket_client.upgrade(request.url, headers)
    made = received_response(answer.status, answer.reason, make_headers(answer.headers), None, request.url, False)
    if socket is not None:
        made._web_socket = socket
    return made


def _failure(signal: Any, error: Exception) -> BaseException:
    if signal is not None and signal.aborted:
        return as_exception(signal.reason)
    return js_error("Error", str(error))


def _call(resource: Any = None, init: Any = None, **options: Any) -> Any:
    return _fetch(resource, merged(init, options))


fetch = Function.new(_call, "fetch", takes_options=True)
