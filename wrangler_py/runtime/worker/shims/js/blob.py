"""Blob and File. Error texts are workerd's."""

from __future__ import annotations

import time
from typing import Any

from .arrays import Array
from .buffers import bytes_of, make_buffer, make_bytes
from .convert import js_string, unwrap
from .core import JsProxy, merged, option, raise_js
from .numbers import to_number
from .promise import settled


def _bytes(part: Any) -> bytes:
    part = unwrap(part)
    if isinstance(part, Blob):
        return part._data
    data = bytes_of(part)
    return js_string(part).encode("utf-8", "replace") if data is None else data


class Blob(JsProxy):
    __slots__ = ("__dict__", "_data", "_type")

    def __init__(self, parts: Any = None, options: Any = None, **keywords: Any) -> None:
        options = merged(options, keywords)
        if parts is not None and not isinstance(parts, (Array, list, tuple)):
            raise_js(
                "TypeError", f"Failed to construct '{type(self).name}': constructor parameter 1 is not of type 'Array'."
            )
        if option(options, "endings") is not None:
            raise_js("Error", "The 'endings' field on 'Options' is not implemented.")
        self._data = b"".join([_bytes(part) for part in parts or ()])
        self._type = _mime(option(options, "type"))

    @property
    def size(self) -> int:
        return len(self._data)

    @property
    def type(self) -> str:
        return self._type

    def slice(self, start: Any = None, end: Any = None, content_type: Any = None) -> Blob:
        first = None if start is None else int(to_number(start))
        last = None if end is None else int(to_number(end))
        return make_blob(self._data[first:last], "" if content_type is None else _mime(content_type))

    def text(self) -> Any:
        return settled(self._data.decode("utf-8", "replace"))

    def arrayBuffer(self) -> Any:
        return settled(make_buffer(self._data))

    def bytes(self) -> Any:
        return settled(make_bytes(self._data))

    def stream(self) -> Any:
        from .streams import stream_of

        return stream_of(self._data)


class File(Blob):
    __slots__ = ("_name", "_time")

    def __init__(self, parts: Any = None, name: Any = None, options: Any = None, **keywords: Any) -> None:
        options = merged(options, keywords)
        if name is None:
            raise_js("TypeError", "Failed to construct 'File': constructor parameter 2 is not of type 'string'.")
        super().__init__(parts, options)
        self._name = js_string(name)
        modified = option(options, "lastModified")
        self._time = time.time_ns() // 1_000_000 if modified is None else int(to_number(modified))

    @property
    def name(self) -> str:
        return self._name

    @property
    def lastModified(self) -> int:
        return self._time


def _mime(value: Any) -> str:
    return "" if value is None else js_string(value).lower()


def make_blob(data: bytes, content_type: str) -> Blob:
    """A Blob over `data`, not copied."""
    made = Blob.__new__(Blob)
    made._data = data
    made._type = content_type
    return made


def make_file(data: bytes, name: str, content_type: str) -> File:
    """A File over `data`, last modified now."""
    made = File.__new__(File)
    made._data = data
    made._type = content_type
    made._name = name
    made._time = time.time_ns() // 1_000_000
    return made
