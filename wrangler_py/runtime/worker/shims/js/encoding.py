"""TextEncoder, TextDecoder, atob and btoa. Error texts are workerd's."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from typing import Any

from .buffers import bytes_of, make_bytes
from .convert import js_string, unwrap
from .core import JsProxy, function, make_object, merged, option, raise_js

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}\Z")
_BAD_BASE64 = (
    "atob() called with invalid base64-encoded data. (Only whitespace, '+', '/', alphanumeric ASCII, and up to two "
    "terminal '=' signs when the input data length is divisible by 4 are allowed.)"
)
_NOT_LATIN1 = "btoa() can only operate on characters in the Latin1 (ISO/IEC 8859-1) range."

#: WHATWG's name of an encoding by Python's (https://encoding.spec.whatwg.org/#names-and-labels).
_NAMES = {"iso8859-1": "windows-1252", "cp1252": "windows-1252", "ascii": "windows-1252"}
_PYTHON = {"windows-1252": "cp1252", "utf-16": "utf-16-le"}


class TextEncoder(JsProxy):
    @property
    def encoding(self) -> str:
        return "utf-8"

    def encode(self, text: Any = None) -> Any:
        return make_bytes(_utf8(text))

    def encodeInto(self, text: Any, target: Any) -> Any:
        read = written = 0
        memory = target._writable()
        for character in js_string(text):
            data = _utf8(character)
            if written + len(data) > len(memory):
                break
            memory[written : written + len(data)] = data
            written += len(data)
            read += 2 if ord(character) > 0xFFFF else 1
        return make_object({"read": read, "written": written})


def _utf8(text: Any) -> bytes:
    return b"" if text is None else js_string(text).encode("utf-8", "replace")


class TextDecoder(JsProxy):
    def __init__(self, label: Any = None, options: Any = None, **keywords: Any) -> None:
        options = merged(options, keywords)
        label = "utf-8" if label is None else js_string(label).strip().lower()
        try:
            name = codecs.lookup(label).name
        except LookupError:
            raise_js("RangeError", f'"{label}" is not a valid encoding.')
        self.encoding = _NAMES.get(name, name)
        self.fatal = bool(option(options, "fatal"))
        self.ignoreBOM = bool(option(options, "ignoreBOM"))
        self._reset()

    def _reset(self) -> None:
        kind = codecs.getincrementaldecoder(_PYTHON.get(self.encoding, self.encoding))
        self._decoder = kind("strict" if self.fatal else "replace")
        self._begun = False

    def decode(self, data: Any = None, options: Any = None, **keywords: Any) -> str:
        stream = bool(option(merged(options, keywords), "stream"))
        raw = b"" if data is None else bytes_of(unwrap(data))
        if raw is None:
            raise_js(
                "TypeError", "Failed to execute 'decode' on 'TextDecoder': parameter 1 is not of type 'JsBufferSource'."
            )
        try:
            text = self._decoder.decode(raw, not stream)
        except UnicodeDecodeError:
            self._reset()
            raise_js("TypeError", "Failed to decode input.")
        if not self._begun and text:
            self._begun = True
            if not self.ignoreBOM:
                text = text.removeprefix("\ufeff")
        if not stream:
            self._reset()
        return text


@function
def atob(data: Any = None) -> str:
    text = re.sub(r"[\t\n\f\r ]", "", js_string(data))
    if len(text) % 4 == 0:
        text = re.sub(r"={1,2}\Z", "", text)
    if len(text) % 4 == 1 or "=" in text or not _BASE64.match(text):
        raise_js("InvalidCharacterError", _BAD_BASE64)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4)).decode("latin-1")
    except binascii.Error:
        raise_js("InvalidCharacterError", _BAD_BASE64)


@function
def btoa(text: Any = None) -> str:
    try:
        return base64.b64encode(js_string(text).encode("latin-1")).decode()
    except UnicodeEncodeError:
        raise_js("InvalidCharacterError", _NOT_LATIN1)
