"""CompressionStream, DecompressionStream, TextEncoderStream and TextDecoderStream: transforms of byte streams."""

from __future__ import annotations

import zlib
from typing import Any

from .buffers import bytes_of, make_bytes
from .convert import js_string
from .core import js_error, make_object, merged, raise_js
from .encoding import TextDecoder
from .writable import TransformStream

#: `wbits` of zlib by the name of a format.
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS, "deflate-raw": -zlib.MAX_WBITS}
_BAD_FORMAT = "The compression format must be either 'deflate', 'deflate-raw' or 'gzip'."


def _window(kind: Any) -> int:
    window = _WINDOWS.get(js_string(kind))
    if window is None:
        raise_js("TypeError", _BAD_FORMAT)
    return window


def _bytes(chunk: Any) -> bytes:
    data = bytes_of(chunk)
    if data is None:
        raise_js(
            "TypeError",
            "This TransformStream is being used as a byte stream, but received an object of non-ArrayBuffer type.",
        )
    return data


class CompressionStream(TransformStream):
    __slots__ = ()

    def __init__(self, kind: Any = None) -> None:
        compressor = zlib.compressobj(wbits=_window(kind))

        def transform(chunk: Any, controller: Any) -> None:
            if data := compressor.compress(_bytes(chunk)):
                controller.enqueue(make_bytes(data))

        super().__init__(
            make_object({"transform": transform, "flush": lambda c: c.enqueue(make_bytes(compressor.flush()))})
        )


class DecompressionStream(TransformStream):
    __slots__ = ()

    def __init__(self, kind: Any = None) -> None:
        decompressor = zlib.decompressobj(_window(kind))

        def transform(chunk: Any, controller: Any) -> None:
            if decompressor.eof:
                raise js_error("TypeError", "Trailing bytes after end of compressed data")
            try:
                data = decompressor.decompress(_bytes(chunk))
            except zlib.error:
                raise js_error("TypeError", "Decompression failed.") from None
            if decompressor.unused_data:
                raise js_error("TypeError", "Trailing bytes after end of compressed data")
            if data:
                controller.enqueue(make_bytes(data))

        def flush(controller: Any) -> None:
            if not decompressor.eof:
                raise js_error("TypeError", "Called close() on a decompression stream with incomplete data")
            if data := decompressor.flush():
                controller.enqueue(make_bytes(data))

        super().__init__(make_object({"transform": transform, "flush": flush}))


class TextEncoderStream(TransformStream):
    __slots__ = ()

    def __init__(self) -> None:
        def transform(chunk: Any, controller: Any) -> None:
            controller.enqueue(make_bytes(js_string(chunk).encode("utf-8", "replace")))

        super().__init__(make_object({"transform": transform}))

    encoding = "utf-8"


class TextDecoderStream(TransformStream):
    __slots__ = ("_decoder",)

    def __init__(self, label: Any = None, options: Any = None, **keywords: Any) -> None:
        decoder = self._decoder = TextDecoder.new(label, merged(options, keywords))

        def transform(chunk: Any, controller: Any) -> None:
            if text := decoder.decode(chunk, make_object({"stream": True})):
                controller.enqueue(text)

        def flush(controller: Any) -> None:
            if text := decoder.decode():
                controller.enqueue(text)

        super().__init__(make_object({"transform": transform, "flush": flush}))

    @property
    def encoding(self) -> str:
        return self._decoder.encoding
