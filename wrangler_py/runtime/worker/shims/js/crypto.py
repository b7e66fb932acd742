"""`crypto`: random values and digests. Error texts are workerd's."""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import Any

from .buffers import BufferView, TypedArray, bytes_of, make_buffer
from .convert import js_string, unwrap
from .core import JsProxy, js_error, option, raise_js
from .promise import settled

#: crypto.getRandomValues fills at most this many bytes (https://w3c.github.io/webcrypto/#Crypto-method-getRandomValues).
_MAX_RANDOM = 65536
_DIGESTS = {"SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512", "MD5": "md5"}


class Crypto(JsProxy):
    @property
    def subtle(self) -> SubtleCrypto:
        return _subtle

    def randomUUID(self) -> str:
        return str(uuid.uuid4())

    def getRandomValues(self, target: Any) -> Any:
        target = unwrap(target)
        if not isinstance(target, BufferView):
            raise_js(
                "TypeError",
                "Failed to execute 'getRandomValues' on 'Crypto': parameter 1 is not of type 'JsArrayBufferView'.",
            )
        if not isinstance(target, TypedArray) or target._format in "efd":
            raise_js(
                "TypeMismatchError",
                "ArrayBufferView argument to getRandomValues() must be an integer-typed view.",
            )
        if target.byteLength > _MAX_RANDOM:
            raise_js(
                "QuotaExceededError",
                f"getRandomValues() only accepts buffers of size <= 64K but provided {target.byteLength} bytes.",
            )
        target._writable()[:] = os.urandom(target.byteLength)
        return target


class SubtleCrypto(JsProxy):
    def digest(self, algorithm: Any, data: Any) -> Any:
        name = option(algorithm, "name") if not isinstance(algorithm, str) else algorithm
        kind = _DIGESTS.get(js_string(name).upper())
        if kind is None:
            return settled(
                error=js_error("NotSupportedError", "Unrecognized or unimplemented digest algorithm requested.")
            )
        raw = bytes_of(unwrap(data))
        if raw is None:
            return settled(
                error=js_error(
                    "TypeError",
                    "Failed to execute 'digest' on 'SubtleCrypto': parameter 2 is not of type 'JsBufferSource'.",
                )
            )
        return settled(make_buffer(hashlib.new(kind, raw, usedforsecurity=False).digest()))

    def timingSafeEqual(self, left: Any, right: Any) -> bool:
        import hmac

        first, second = bytes_of(unwrap(left)) or b"", bytes_of(unwrap(right)) or b""
        if len(first) != len(second):
            raise_js("TypeError", "Input buffers must have the same byte length")
        return hmac.compare_digest(first, second)

    def __getattr__(self, name: str) -> Any:
        if name in ("encrypt", "decrypt", "sign", "verify", "generateKey", "importKey", "exportKey", "deriveBits"):
            raise_js("NotSupportedError", f"wpy does not emulate crypto.subtle.{name}; use a Python library instead.")
        raise AttributeError(name)


_subtle = SubtleCrypto.new()
crypto = Crypto.new()
