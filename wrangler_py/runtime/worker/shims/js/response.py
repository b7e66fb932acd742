"""Response. Error texts are workerd's."""

from __future__ import annotations

import re
from typing import Any

from .body import Body, extract
from .convert import js_string
from .core import js_error, jsnull, merged, option, raise_js
from .headers import Headers, headers_of
from .numbers import to_number
from .streams import ReadableStream
from .url import normal_url

_REDIRECTS = (301, 302, 303, 307, 308)
NULL_BODY = (101, 204, 205, 304)
_STATUS_TEXT = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")

_BAD_STATUS = "Responses may only be constructed with status codes in the range 200 to 599, inclusive."
_HAS_NO_BODY = "Response with null body status (101, 204, 205, or 304) cannot have a body."


class _JsonOfBoth:
    """`Response.json(data, init)` makes one, `response.json()` reads one."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        return _json_response if instance is None else Body.json.__get__(instance)


class Response(Body):
    json = _JsonOfBoth()

    def __init__(self, body: Any = None, init: Any = None, **keywords: Any) -> None:
        init = merged(init, keywords)
        content, content_type = extract(body)
        self._content = content
        self._used = False
        self._url = ""
        self._redirected = False
        self._status = 200
        self._status_text = ""
        self._web_socket: Any = jsnull
        self._encode_body = "automatic"
        self._cf: Any = None
        if init is None or init is jsnull:
            self._headers = Headers.new()
        else:
            self._apply(init)
        if content_type is not None and not self._headers.has("content-type"):
            self._headers._list.append(("content-type", "Content-Type", content_type))

    def _apply(self, init: Any) -> None:
        headers = option(init, "headers")
        self._headers = Headers.new() if headers is None else headers_of(headers)
        web_socket = option(init, "webSocket")
        if web_socket is not None:
            self._web_socket = web_socket
        status = option(init, "status")
        if status is not None:
            number = status if type(status) is int else int(to_number(status))
            upgraded = number == 101 and self._web_socket is not jsnull
            if not 200 <= number <= 599 and not upgraded:
                raise_js("RangeError", _BAD_STATUS)
            if self._content is not None and number in NULL_BODY:
                raise_js("TypeError", _HAS_NO_BODY)
            self._status = number
        text = option(init, "statusText")
        if text is not None:
            self._status_text = js_string(text)
            if not _STATUS_TEXT.match(self._status_text):
                raise_js("TypeError", "Invalid statusText")
        if (encode := option(init, "encodeBody")) is not None:
            if encode not in ("automatic", "manual"):
                raise_js("TypeError", f"encodeBody: unexpected value: {js_string(encode)}")
            self._encode_body = encode
        self._cf = option(init, "cf")

    @staticmethod
    def redirect(url: Any, status: Any = 302) -> Response:
        location = normal_url(js_string(url))
        if location is None:
            raise_js("TypeError", f"Unable to parse URL: {js_string(url)}")
        number = int(to_number(status))
        if number not in _REDIRECTS:
            raise_js(
                "RangeError",
                f"{number} is not a redirect status code. It must be one of: 301, 302, 303, 307, or 308.",
            )
        made = Response.new()
        made._status = number
        made._headers.set("Location", location)
        return made

    @staticmethod
    def error() -> Response:
        raise_js("Error", "Response.error() is not implemented.")

    @property
    def status(self) -> int:
        return self._status

    @property
    def statusText(self) -> str:
        return self._status_text

    @property
    def ok(self) -> bool:
        return 200 <= self._status <= 299

    @property
    def url(self) -> str:
        return self._url

    @property
    def redirected(self) -> bool:
        return self._redirected

    @property
    def type(self) -> str:
        return "default"

    @property
    def webSocket(self) -> Any:
        return self._web_socket

    @property
    def cf(self) -> Any:
        return self._cf

    @property
    def encodeBody(self) -> str:
        return self._encode_body

    def clone(self) -> Response:
        if self.bodyUsed:
            raise_js("TypeError", "This ReadableStream is currently locked to a reader,")
        made = Response.__new__(Response)
        made.__dict__.update(self.__dict__)
        made._content = self._fork()
        made._headers = Headers.new(self._headers)
        return made


def _json_response(data: Any = None, init: Any = None, **keywords: Any) -> Response:
    from .jsjson import stringify

    text = stringify(data)
    made = Response.new("undefined" if text is None else text, merged(init, keywords))
    headers = option(merged(init, keywords), "headers")
    if headers is None or not headers_of(headers).has("content-type"):
        made._headers.set("content-type", "application/json")
    return made


def received_response(
    status: int, status_text: str, headers: Headers, content: bytes | ReadableStream | None, url: str, redirected: bool
) -> Response:
    """The answer to an outgoing request."""
    made = Response.new()
    made._status, made._status_text, made._headers = status, status_text, headers
    made._content, made._url, made._redirected = content, url, redirected
    return made


def not_a_response() -> Exception:
    """What a fetch handler raises that returns something else."""
    return js_error("TypeError", "Incorrect type for Promise: the Promise did not resolve to 'Response'.")
