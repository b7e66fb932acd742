"""`env.ASSETS` and `env.<mTLS certificate>`: things to fetch from."""

from __future__ import annotations

from typing import Any

from .. import logs
from ..queue_binding import Caller
from ..shims.js.convert import unwrap
from ..shims.js.core import JsProxy, jsnull, make_object, merged, raise_js
from ..shims.js.headers import make_headers
from ..shims.js.network import fetch as fetch_from_network
from ..shims.js.promise import js_async
from ..shims.js.request import Request
from ..shims.js.response import NULL_BODY, received_response


class Fetcher(JsProxy):
    """Has `fetch`, and nothing else."""

    __slots__ = ("_fetch",)

    def __init__(self, fetch: Any) -> None:
        self._fetch = fetch

    def fetch(self, resource: Any = None, init: Any = None, **keywords: Any) -> Any:
        init = merged(init, keywords)
        return self._fetch(Request.new(unwrap(resource), make_object({}) if init is None else init))

    def connect(self, *_args: Any) -> Any:
        raise_js("Error", "Fetcher.connect() is not supported for this binding.")


def make(name: str, spec: dict[str, Any], call: Caller) -> Fetcher:
    """Static assets: only the request's method, URL and headers count. Redirects are followed within the assets."""

    @js_async
    async def fetch(request: Any) -> Any:
        from ..fetch import MAX_REDIRECTS, Outgoing, redirect_of, redirected

        headers = [(key, value) for _, key, value in request._headers._list]
        outgoing = Outgoing(request.method, request.url, headers, None)
        for hop in range(MAX_REDIRECTS + 1):
            args = (outgoing.method, outgoing.url, outgoing.headers)
            status, answered, body = await call(name, "fetch", args)
            location = redirect_of(status, answered) if request.redirect == "follow" else None
            if location is None:
                content = None if status in NULL_BODY or outgoing.method == "HEAD" else body
                return received_response(status, "", make_headers(answered), content, outgoing.url, hop > 0)
            outgoing = redirected(outgoing, status, location)
        raise_js("TypeError", "Too many redirects.")

    return Fetcher.new(fetch)


def make_certificate(name: str, spec: dict[str, Any], call: Caller) -> Fetcher:
    """An mTLS certificate, which lies with Cloudflare: requests go out without it, and the log says so once."""
    said: list[bool] = []

    def fetch(request: Any) -> Any:
        if not said:
            said.append(True)
            logs.emit(
                "warn", f"env.{name}: the client certificate is Cloudflare's; here the request goes out without it"
            )
        return fetch_from_network(request, jsnull)

    return Fetcher.new(fetch)
