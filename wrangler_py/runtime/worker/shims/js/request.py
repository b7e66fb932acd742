"""Request. Error texts are workerd's."""

from __future__ import annotations

import marshal
import re
from typing import Any

from .body import Body, extract
from .convert import js_string, unwrap
from .core import jsnull, merged, option, raise_js
from .headers import Headers, headers_of, make_headers
from .jsjson import to_js_value
from .streams import ReadableStream
from .url import normal_url

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
#: Methods that are written in upper case whatever their case was (https://fetch.spec.whatwg.org/#concept-method-normalize).
_NORMALIZED = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"))
_REFUSED = frozenset(("CONNECT",))

_BAD_REDIRECT = (
    'Invalid redirect value, must be one of "follow" or "manual" ("error" won\'t be implemented since it does not make '
    'sense at the edge; use "manual" and check the response status code).'
)


class PackedCf(bytes):
    """`request.cf` before anybody has looked at it."""


class Request(Body):
    def __init__(self, resource: Any = None, init: Any = None, **keywords: Any) -> None:
        init = merged(init, keywords)
        source = unwrap(resource)
        self._used = False
        self._content = None
        if isinstance(source, Request):
            if source.bodyUsed and option(init, "body") is None:
                raise_js("TypeError", "Cannot reconstruct a Request with a used body.")
            self._copy(source)
        else:
            url = normal_url(js_string(source))
            if url is None:
                raise_js("TypeError", f"Invalid URL: {js_string(source)}")
            self._url = url
            self._method = "GET"
            self._headers = Headers.new()
            self._redirect = "follow"
            self._signal: Any = None
            self._cf: Any = jsnull
        if init is not None and init is not jsnull:
            self._apply(init)

    def _copy(self, source: Request) -> None:
        self._url, self._method, self._redirect = source._url, source._method, source._redirect
        self._headers = Headers.new(source._headers)
        self._signal, self._cf = source._signal, source.cf
        self._content = source._content
        if source._content is not None:
            source._used = True

    def _apply(self, init: Any) -> None:
        if (method := option(init, "method")) is not None:
            self._method = _method(js_string(method))
        if (headers := option(init, "headers")) is not None:
            self._headers = headers_of(headers)
        if (redirect := option(init, "redirect")) is not None:
            if redirect not in ("follow", "manual"):
                raise_js("TypeError", _BAD_REDIRECT)
            self._redirect = redirect
        if (signal := option(init, "signal")) is not None:
            self._signal = None if signal is jsnull else signal
        if (cf := option(init, "cf")) is not None:
            self._cf = cf
        body = option(init, "body")
        if body is not None:
            content, content_type = extract(body)
            if content is not None and self._method in ("GET", "HEAD"):
                raise_js("TypeError", "Request with a GET or HEAD method cannot have a body.")
            self._content = content
            if content_type is not None and not self._headers.has("content-type"):
                self._headers.set("content-type", content_type)

    @property
    def method(self) -> str:
        return self._method

    @property
    def url(self) -> str:
        return self._url

    @property
    def redirect(self) -> str:
        return self._redirect

    @property
    def signal(self) -> Any:
        if self._signal is None:
            from .abort import AbortSignal

            self._signal = AbortSignal._make()
        return self._signal

    @property
    def cf(self) -> Any:
        if type(self._cf) is PackedCf:
            self._cf = to_js_value(marshal.loads(self._cf))
        return self._cf

    @property
    def cache(self) -> Any:
        return jsnull

    @property
    def integrity(self) -> str:
        return ""

    @property
    def keepalive(self) -> bool:
        return False

    def clone(self) -> Request:
        if self.bodyUsed:
            raise_js("TypeError", "This ReadableStream is currently locked to a reader,")
        made = Request.__new__(Request)
        made._used = False
        content = self._fork()
        made._copy(self)
        self._used = False
        made._content = content
        return made


def _method(method: str) -> str:
    upper = method.upper()
    if upper in _NORMALIZED:
        return upper
    if not _TOKEN.match(method) or upper in _REFUSED or upper != method:
        raise_js("TypeError", f"Invalid HTTP method string: {method}")
    return method


def incoming_request(
    method: str, url: str, headers: list[tuple[str, str]], content: bytes | ReadableStream | None, cf: bytes
) -> Request:
    """The request of a fetch event, as it came over HTTP. `cf`: as a FETCH frame has it."""
    made = Request.__new__(Request)
    made._method = method
    made._url = url if "#" not in url else url.partition("#")[0]
    made._headers = make_headers(headers)
    made._content = content
    made._used = False
    made._redirect = "manual"
    made._signal = None
    made._cf = PackedCf(cf) if cf else jsnull
    return made
