"""Keys and the algorithms of `crypto.subtle` that the standard library has: HMAC, PBKDF2, HKDF. AES uses the package
`cryptography` of the Worker's own environment when it is there."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from typing import Any, NoReturn

from .arrays import make_array
from .buffers import bytes_of, make_buffer
from .convert import js_string, unwrap
from .core import JsProxy, js_error, make_object, option

HASHES = {"SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512", "MD5": "md5"}
_AES = ("AES-GCM", "AES-CBC", "AES-CTR")
_SYMMETRIC = ("HMAC", "PBKDF2", "HKDF", *_AES)
_ALL_USAGES = ("encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey")


class CryptoKey(JsProxy):
    """A key that was imported, generated or derived."""

    def __init__(self, data: bytes, algorithm: Any, extractable: bool, usages: list[str]) -> None:
        self.__dict__.update(
            _data=data, type="secret", algorithm=algorithm, extractable=extractable, usages=make_array(list(usages))
        )

    def _allow(self, usage: str) -> bytes:
        if usage not in self.__dict__["usages"]._items:
            raise js_error(
                "InvalidAccessError", f'Requested key usage "{usage}" does not match any usage listed in the CryptoKey.'
            )
        return self.__dict__["_data"]


def algorithm_name(algorithm: Any) -> str:
    """The name that an algorithm argument gives, a text or an object, in capitals."""
    given = algorithm if isinstance(algorithm, str) else option(algorithm, "name")
    return js_string(given).upper()


def hash_of(algorithm: Any) -> str:
    """hashlib's name of an algorithm's `hash`."""
    name = algorithm_name(option(algorithm, "hash"))
    if name not in HASHES:
        raise js_error("NotSupportedError", f"Unrecognized or unimplemented hash algorithm requested: {name}.")
    return HASHES[name]


def not_supported(name: str, what: str) -> NoReturn:
    raise js_error(
        "NotSupportedError", f"wpy does not emulate {name} in crypto.subtle.{what}; use a Python library instead."
    )


def raw(value: Any, what: str) -> bytes:
    """The bytes of a buffer argument."""
    data = bytes_of(unwrap(value))
    if data is None:
        raise js_error("TypeError", f"Failed to execute '{what}' on 'SubtleCrypto': an argument is not a buffer.")
    return data


def import_key(form: str, data: Any, algorithm: Any, extractable: bool, usages: Any) -> CryptoKey:
    name = algorithm_name(algorithm)
    if name not in _SYMMETRIC:
        not_supported(name, "importKey")
    if form == "raw":
        secret = raw(data, "importKey")
    elif form == "jwk":
        text = js_string(option(data, "k"))
        secret = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    else:
        raise js_error("NotSupportedError", f'Unrecognized key import format "{form}".')
    if name.startswith("AES") and len(secret) not in (16, 24, 32):
        raise js_error(
            "DataError", f"Imported AES key length must be 128, 192, or 256 bits but provided {len(secret) * 8}."
        )
    return CryptoKey.new(secret, _described(name, algorithm, secret), bool(extractable), _usages(usages))


def _usages(given: Any) -> list[str]:
    usages = [js_string(usage) for usage in given or ()]
    for usage in usages:
        if usage not in _ALL_USAGES:
            raise js_error("SyntaxError", f'Invalid key usage "{usage}".')
    return usages


def _described(name: str, algorithm: Any, secret: bytes) -> Any:
    fields: dict[str, Any] = {"name": name}
    if name == "HMAC":
        hash_of(algorithm)
        fields["hash"] = make_object({"name": algorithm_name(option(algorithm, "hash"))})
    if name == "HMAC" or name.startswith("AES"):
        fields["length"] = len(secret) * 8
    return make_object(fields)


def generate_key(algorithm: Any, extractable: bool, usages: Any) -> CryptoKey:
    name = algorithm_name(algorithm)
    if name == "HMAC":
        length = option(algorithm, "length") or hashlib.new(hash_of(algorithm)).block_size * 8
    elif name in _AES:
        length = option(algorithm, "length")
        if length not in (128, 192, 256):
            raise js_error(
                "OperationError", f"Generated AES key length must be 128, 192, or 256 bits but requested {length}."
            )
    else:
        not_supported(name, "generateKey")
    secret = os.urandom(int(length) // 8)
    return CryptoKey.new(secret, _described(name, algorithm, secret), bool(extractable), _usages(usages))


def export_key(form: str, key: CryptoKey) -> Any:
    if not key.extractable:
        raise js_error("InvalidAccessError", "Attempt to export non-extractable key.")
    secret = key.__dict__["_data"]
    if form == "raw":
        return make_buffer(secret)
    if form == "jwk":
        text = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        return make_object({"kty": "oct", "k": text, "ext": True, "key_ops": key.usages})
    raise js_error("NotSupportedError", f'Unrecognized key export format "{form}".')


def sign(algorithm: Any, key: CryptoKey, data: Any) -> bytes:
    if algorithm_name(algorithm) != "HMAC":
        not_supported(algorithm_name(algorithm), "sign")
    return hmac.digest(key._allow("sign"), raw(data, "sign"), hash_of(key.algorithm))


def verify(algorithm: Any, key: CryptoKey, signature: Any, data: Any) -> bool:
    if algorithm_name(algorithm) != "HMAC":
        not_supported(algorithm_name(algorithm), "verify")
    wanted = hmac.digest(key._allow("verify"), raw(data, "verify"), hash_of(key.algorithm))
    return hmac.compare_digest(wanted, raw(signature, "verify"))


def derive_bits(algorithm: Any, key: CryptoKey, length: Any, usage: str = "deriveBits") -> bytes:
    name = algorithm_name(algorithm)
    secret = key._allow(usage)
    if not isinstance(length, int) or length % 8:
        raise js_error("OperationError", "The length of derived bits has to be a multiple of 8.")
    salt = raw(option(algorithm, "salt"), "deriveBits")
    if name == "PBKDF2":
        iterations = int(option(algorithm, "iterations") or 0)
        if iterations <= 0:
            raise js_error("OperationError", "PBKDF2 requires a positive number of iterations")
        return hashlib.pbkdf2_hmac(hash_of(algorithm), secret, salt, iterations, length // 8)
    if name == "HKDF":
        kind = hash_of(algorithm)
        pseudo_random = hmac.digest(salt or bytes(hashlib.new(kind).digest_size), secret, kind)
        info, block, made = raw(option(algorithm, "info"), "deriveBits"), b"", b""
        for counter in range(1, length // 8 // hashlib.new(kind).digest_size + 2):
            block = hmac.digest(pseudo_random, block + info + bytes([counter]), kind)
            made += block
        return made[: length // 8]
    not_supported(name, "deriveBits")


def cipher(algorithm: Any, key: CryptoKey, data: Any, *, encrypt: bool) -> bytes:
    """AES through `cryptography`. Raises JavaScript's NotSupportedError without it."""
    what = "encrypt" if encrypt else "decrypt"
    name = algorithm_name(algorithm)
    if name not in _AES:
        not_supported(name, what)
    secret, given = key._allow(what), raw(data, what)
    try:
        from cryptography.exceptions import InvalidTag  # type: ignore[import-not-found, unused-ignore]
        from cryptography.hazmat.primitives import padding  # type: ignore[import-not-found, unused-ignore]
        from cryptography.hazmat.primitives.ciphers import (  # type: ignore[import-not-found, unused-ignore]
            Cipher,
            algorithms,
            modes,
        )
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise js_error(
            "NotSupportedError", f"crypto.subtle.{what}: AES needs the package `cryptography`; pip install cryptography"
        ) from None
    try:
        if name == "AES-GCM":
            extra = option(algorithm, "additionalData")
            aad = None if extra is None else raw(extra, what)
            box, nonce = AESGCM(secret), raw(option(algorithm, "iv"), what)
            return box.encrypt(nonce, given, aad) if encrypt else box.decrypt(nonce, given, aad)
        if name == "AES-CTR":
            mode: Any = modes.CTR(raw(option(algorithm, "counter"), what))
        else:
            mode = modes.CBC(raw(option(algorithm, "iv"), what))
        maker = Cipher(algorithms.AES(secret), mode)
        if encrypt:
            if name == "AES-CBC":
                padder = padding.PKCS7(128).padder()
                given = padder.update(given) + padder.finalize()
            worker = maker.encryptor()
            return worker.update(given) + worker.finalize()
        worker = maker.decryptor()
        made = worker.update(given) + worker.finalize()
        if name == "AES-CBC":
            unpadder = padding.PKCS7(128).unpadder()
            made = unpadder.update(made) + unpadder.finalize()
        return made
    except (InvalidTag, ValueError) as error:
        raise js_error("OperationError", f"{what.capitalize()}ion failed. {error}".rstrip()) from None
