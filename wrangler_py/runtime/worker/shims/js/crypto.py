"""`crypto`: random values and digests. Error texts are workerd's."""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import Any

from . import subtle_keys as keys
from .buffers import BufferView, TypedArray, bytes_of, make_buffer
from .convert import js_string, unwrap
from .core import JsProxy, js_error, option, raise_js
from .promise import js_async, settled
from .subtle_keys import CryptoKey

#: crypto.getRandomValues fills at most this many bytes (https://w3c.github.io/webcrypto/#Crypto-method-getRandomValues).
_MAX_RANDOM = 65536
_DIGESTS = keys.HASHES


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

    @js_async
    async def importKey(self, form: Any, data: Any, algorithm: Any, extractable: Any, usages: Any) -> Any:
        return keys.import_key(js_string(form), unwrap(data), unwrap(algorithm), extractable, usages)

    @js_async
    async def exportKey(self, form: Any, key: Any) -> Any:
        return keys.export_key(js_string(form), key)

    @js_async
    async def generateKey(self, algorithm: Any, extractable: Any, usages: Any) -> Any:
        return keys.generate_key(unwrap(algorithm), extractable, usages)

    @js_async
    async def sign(self, algorithm: Any, key: Any, data: Any) -> Any:
        return make_buffer(keys.sign(unwrap(algorithm), key, data))

    @js_async
    async def verify(self, algorithm: Any, key: Any, signature: Any, data: Any) -> bool:
        return keys.verify(unwrap(algorithm), key, signature, data)

    @js_async
    async def encrypt(self, algorithm: Any, key: Any, data: Any) -> Any:
        return make_buffer(keys.cipher(unwrap(algorithm), key, data, encrypt=True))

    @js_async
    async def decrypt(self, algorithm: Any, key: Any, data: Any) -> Any:
        return make_buffer(keys.cipher(unwrap(algorithm), key, data, encrypt=False))

    @js_async
    async def deriveBits(self, algorithm: Any, key: Any, length: Any) -> Any:
        return make_buffer(keys.derive_bits(unwrap(algorithm), key, length))

    @js_async
    async def deriveKey(self, algorithm: Any, key: Any, kind: Any, extractable: Any, usages: Any) -> Any:
        bits = option(unwrap(kind), "length") or 256
        secret = keys.derive_bits(unwrap(algorithm), key, bits, "deriveKey")
        return keys.import_key("raw", make_buffer(secret), unwrap(kind), extractable, usages)


_subtle = SubtleCrypto.new()
crypto = Crypto.new()

__all__ = ["Crypto", "CryptoKey", "SubtleCrypto", "crypto"]
