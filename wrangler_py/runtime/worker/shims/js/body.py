"""What Request and Response have in common: a body that can be read once. Error texts are workerd's."""

from __future__ import annotations

from typing import Any

from .blob import Blob, make_blob
from .buffers import bytes_of, make_buffer, make_bytes
from .convert import js_string, unwrap
from .core import JsProxy, js_error, jsnull
from .promise import _start, settled
from .streams import ReadableStream, read_all, stream_of

#: No body, the whole of it, or a stream.
Content = bytes | ReadableStream | None

BODY_USED = "Body has already been used. It can only be used once. Use tee() first if you need to read it twice."

_TEXT = "text/plain;charset=UTF-8"
_FORM = "application/x-www-form-urlencoded;charset=UTF-8"
_BOM = b"\xef\xbb\xbf"


def extract(value: Any) -> tuple[Content, str | None]:
    """A body as bytes or a stream, and the content type that it brings (https://fetch.spec.whatwg.org/#bodyinit)."""
    if type(value) is str:
        return value.encode("utf-8", "replace"), _TEXT
    if value is None or value is jsnull:
        return None, None
    value = unwrap(value)
    data = bytes_of(value)
    if data is not None:
        return data, None
    if isinstance(value, ReadableStream):
        return value, None
    if isinstance(value, Blob):
        return value._data, value._type or None
    name = value.constructor.name if isinstance(value, JsProxy) else ""
    if name == "FormData":
        from .formdata import encode_multipart, new_boundary

        boundary = new_boundary()
        return encode_multipart(value, boundary), f"multipart/form-data; boundary={boundary}"
    text = js_string(value).encode("utf-8", "replace")
    return text, _FORM if name == "URLSearchParams" else _TEXT


class Body(JsProxy):
    """Mixed into Request and Response; `_content` is None, bytes, or the stream of `.body`."""

    _content: Content
    _used: bool
    _headers: Any

    @property
    def headers(self) -> Any:
        return self._headers

    @property
    def body(self) -> Any:
        content = self._content
        if content is None:
            return jsnull
        if not isinstance(content, ReadableStream):
            used = self._used
            content = self._content = stream_of(content)
            if used:
                content._queue.clear()
                content._whole = None
                content._finish()
        return content

    @property
    def bodyUsed(self) -> bool:
        content = self._content
        if isinstance(content, ReadableStream):
            return self._used or content.locked or (content._whole is None and content._state == "closed")
        return self._used

    def _read(self, convert: Any) -> Any:
        """The whole body through `convert`, as a future."""
        content = self._content
        if self._used or (isinstance(content, ReadableStream) and content.locked):
            return settled(error=js_error("TypeError", BODY_USED))
        if isinstance(content, ReadableStream):
            self._used = True
            if content._whole is None or content._state == "errored":
                return _start(self._read_stream(content, convert))
            content = content._whole
        elif content is None:
            content = b""
        else:
            self._used = True
        try:
            return settled(convert(content))
        except Exception as error:
            return settled(error=error)

    @staticmethod
    async def _read_stream(stream: ReadableStream, convert: Any) -> Any:
        return convert(await read_all(stream))

    def text(self) -> Any:
        return self._read(_decode)

    def json(self) -> Any:
        return self._read(_parse)

    def arrayBuffer(self) -> Any:
        return self._read(make_buffer)

    def bytes(self) -> Any:
        return self._read(make_bytes)

    def blob(self) -> Any:
        content_type = self._headers.get("content-type")
        return self._read(lambda data: make_blob(data, "" if content_type is jsnull else content_type))

    def formData(self) -> Any:
        content_type = self._headers.get("content-type")

        def convert(data: Any) -> Any:
            from .formdata import parse_form

            return parse_form(data, "" if content_type is jsnull else js_string(content_type))

        return self._read(convert)

    def _fork(self) -> Content:
        """The content for a clone; what is left here stays readable."""
        if not isinstance(self._content, ReadableStream):
            return self._content
        left, right = self._content.tee()
        self._content = left
        return right

    async def _all_bytes(self) -> Any:
        """The body for the server."""
        content = self._content
        if isinstance(content, ReadableStream):
            return await read_all(content)
        return content or b""


def _decode(data: bytes) -> str:
    return data.removeprefix(_BOM).decode("utf-8", "replace")


def _parse(data: bytes) -> Any:
    from .jsjson import parse

    return parse(_decode(data))
