"""What R2 gives: HeadResult, GetResult, Checksums."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

from ..shims.js.body import Body
from ..shims.js.buffers import make_buffer
from ..shims.js.core import JsProxy, js_error, make_object
from ..shims.js.dates import Date
from ..shims.js.headers import Headers, make_headers
from ..shims.js.streams import ReadableStream
from .common import js_method
from .r2_options import HTTP_TEXTS

#: An object as the server tells of it: key, version, size, etag, uploaded (ms), http, custom, checksums, storage class,
#: (offset, length) of what was read or None.
Wire = tuple[str, str, int, str, int, dict[str, Any], dict[str, str], dict[str, str], str, tuple[int, int] | None]

#: In the order in which workerd lists them.
_PROPERTIES = (
    *("ssecKeyMd5", "storageClass", "range", "customMetadata", "httpMetadata", "uploaded", "checksums", "httpEtag"),
    *("etag", "size", "version", "key"),
)
_KINDS = ("md5", "sha1", "sha256", "sha384", "sha512")


class Checksums(JsProxy):
    def __init__(self, found: dict[str, str]) -> None:
        self._found = found

    def __getattr__(self, name: str) -> Any:
        if name not in _KINDS:
            raise AttributeError(name)
        text = self._found.get(name)
        return None if text is None else make_buffer(bytes.fromhex(text))

    @js_method
    def toJSON(self) -> Any:
        return make_object({kind: self._found.get(kind) for kind in _KINDS})

    def _own_entries(self) -> list[tuple[str, Any]]:
        return [(kind, getattr(self, kind)) for kind in _KINDS]


class HeadResult(JsProxy):
    """An object without its body."""

    def __init__(self, wire: Wire) -> None:
        self.key, self.version, self.size, self.etag, uploaded, http, custom, checksums, self.storageClass, span = wire
        self.httpEtag = f'"{self.etag}"'
        self.uploaded = Date.new(uploaded)
        fields: dict[str, Any] = {field: http.get(field) for field in HTTP_TEXTS}
        expiry = http.get("cacheExpiry")
        fields["cacheExpiry"] = None if expiry is None else Date.new(expiry)
        self.httpMetadata = make_object(fields)
        self.customMetadata = make_object(dict(custom))
        self.checksums = Checksums.new(checksums)
        self.range = None if span is None else make_object({"offset": span[0], "length": span[1], "suffix": None})
        self.ssecKeyMd5 = None

    @js_method
    def writeHttpMetadata(self, headers: Any = None) -> None:
        """Set the headers that `httpMetadata` stands for."""
        if not isinstance(headers, Headers):
            kind = type(self)._js_name
            raise js_error(
                "TypeError", f"Failed to execute 'writeHttpMetadata' on '{kind}': parameter 1 is not of type 'Headers'."
            )
        for field, header in HTTP_TEXTS.items():
            text = getattr(self.httpMetadata, field)
            if text is not None:
                headers.set(header, text)
        expiry = self.httpMetadata.cacheExpiry
        if expiry is not None:
            headers.set("expires", formatdate(expiry._time / 1000, usegmt=True))

    def _own_entries(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in _PROPERTIES]


class _ObjectBody(Body):
    def __init__(self, content: bytes | ReadableStream, content_type: str | None) -> None:
        self._content = content
        self._used = False
        self._headers = make_headers([("content-type", content_type)] if content_type is not None else [])


class GetResult(HeadResult):
    """An object with its body, which can be read once."""

    def __init__(self, wire: Wire, content: bytes | ReadableStream) -> None:
        super().__init__(wire)
        self._read = _ObjectBody.new(content, self.httpMetadata.contentType)

    @property
    def body(self) -> Any:
        return self._read.body

    @property
    def bodyUsed(self) -> bool:
        return self._read.bodyUsed

    def text(self) -> Any:
        return self._read.text()

    def json(self) -> Any:
        return self._read.json()

    def arrayBuffer(self) -> Any:
        return self._read.arrayBuffer()

    def bytes(self) -> Any:
        return self._read.bytes()

    def blob(self) -> Any:
        return self._read.blob()
