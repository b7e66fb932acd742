"""The Cache API: `caches.default` and `caches.open(name)`. What is put is kept by the session; error texts are workerd's."""

from __future__ import annotations

import sys
from typing import Any

from .convert import js_string, unwrap
from .core import JsProxy, js_error, merged, option
from .headers import make_headers
from .promise import js_async
from .request import Request
from .response import NULL_BODY, Response, received_response
from .streams import stream_of


async def _call(operation: str, *args: Any) -> Any:
    """Ask the session, which keeps the caches of all its workers."""
    helper = sys.modules["_pyodide_entrypoint_helper"]
    return await helper.call("", "cache", (operation, *args))


class Cache(JsProxy):
    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    @js_async
    async def match(self, resource: Any = None, options: Any = None, **keywords: Any) -> Any:
        """The stored response, or undefined. Range and If-None-Match of the request are honoured."""
        request = Request.new(unwrap(resource))
        if request.method != "GET" and not option(merged(options, keywords), "ignoreMethod"):
            return None
        headers = [(name, value) for name, _, value in request._headers._list]
        found = await _call("match", self._name, request.url, headers)
        if found is None:
            return None
        status, answered, body = found
        content = None if status in NULL_BODY else stream_of(body)
        return received_response(status, "", make_headers(answered), content, request.url, False)

    @js_async
    async def put(self, resource: Any = None, response: Any = None) -> None:
        request, response = Request.new(unwrap(resource)), unwrap(response)
        if not isinstance(response, Response):
            raise js_error("TypeError", "Failed to execute 'put' on 'Cache': parameter 2 is not of type 'Response'.")
        if request.method != "GET":
            raise js_error("TypeError", "Cannot cache response to non-GET request.")
        if response.status == 206:
            raise js_error("TypeError", "Cannot cache response to a range request (206 Partial Content).")
        if "*" in js_string(response._headers.get("vary", "")):
            raise js_error("TypeError", "Cannot cache response with 'Vary: *' header.")
        if response.bodyUsed:
            raise js_error("TypeError", "Response body is already used.")
        body = await response._all_bytes()
        response._used = response._content is not None
        headers = [(name, value) for _, name, value in response._headers._list]
        await _call("put", self._name, request.url, response.status, headers, body)

    @js_async
    async def delete(self, resource: Any = None, options: Any = None, **keywords: Any) -> bool:
        request = Request.new(unwrap(resource))
        if request.method != "GET" and not option(merged(options, keywords), "ignoreMethod"):
            return False
        return await _call("delete", self._name, request.url)


class CacheStorage(JsProxy):
    @property
    def default(self) -> Cache:
        return _default

    @js_async
    async def open(self, name: Any = None) -> Cache:
        return Cache.new(f"named:{js_string(name)}")


_default = Cache.new("default")
caches = CacheStorage.new()
