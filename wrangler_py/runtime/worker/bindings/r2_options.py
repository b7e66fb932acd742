"""The options of R2's methods: checked as workerd checks them, and as the server is told of them."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Any

from ..shims.js.arrays import Array
from ..shims.js.blob import Blob
from ..shims.js.buffers import JsBuffer
from ..shims.js.convert import js_string
from ..shims.js.core import JsException, JsProxy, js_error, jsnull, option, own_entries
from ..shims.js.dates import Date
from ..shims.js.headers import Headers
from ..shims.js.numbers import to_int32, to_number
from ..shims.js.streams import ReadableStream
from .common import check_unread, missing, plain_text

BODY_KINDS = "ReadableStream or ArrayBuffer or ArrayBufferView or string or Blob"
NOT_ENCRYPTED = (
    "wpy does not encrypt objects with keys of yours: leave ssecKey out for local runs. (The object would be stored "
    "readable, and read without the key.)"
)
UNKNOWN_LENGTH = (
    "Provided readable stream must have a known length (request/response body or readable half of FixedLengthStream)"
)

#: Fields of httpMetadata that are text, and their headers.
HTTP_TEXTS = {
    "contentType": "content-type",
    "contentLanguage": "content-language",
    "contentDisposition": "content-disposition",
    "contentEncoding": "content-encoding",
    "cacheControl": "cache-control",
}
#: Checksums: workerd's name, size in bytes.
_HASHES = {"md5": ("MD5", 16), "sha1": ("SHA-1", 20), "sha256": ("SHA-256", 32), "sha384": ("SHA-384", 48)}
_HASHES["sha512"] = ("SHA-512", 64)
_ETAG = re.compile(r'\s*(?:(\*)|(W/)?"([^"]*)")\s*(?:,|$)')


def options_of(options: Any, call: str, parameter: int, kind: str, on: str = "R2Bucket") -> Any:
    """An options argument. Raises workerd's TypeError for one that is no object."""
    if not (isinstance(options, (JsProxy, dict)) or missing(options)):
        raise js_error(
            "TypeError", f"Failed to execute '{call}' on '{on}': parameter {parameter} is not of type '{kind}'."
        )
    if option(options, "ssecKey") is not None:
        raise js_error("Error", NOT_ENCRYPTED)
    return options


def key_of(key: Any, call: str, parameter: int = 1, kinds: str = "string", on: str = "R2Bucket") -> str:
    """A key or an upload's id. Raises workerd's TypeError for what is no text."""
    if key is None:
        raise js_error(
            "TypeError", f"Failed to execute '{call}' on '{on}': parameter {parameter} is not of type '{kinds}'."
        )
    return plain_text(key)


def _wrong(field: str, on: str, kinds: str) -> JsException:
    return js_error(
        "TypeError", f"Incorrect type for the '{field}' field on '{on}': the provided value is not of type '{kinds}'."
    )


def _text(options: Any, field: str, on: str) -> str | None:
    value = option(options, field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong(field, on, "string")
    return plain_text(value)


def _date(options: Any, field: str, on: str) -> int | None:
    value = option(options, field)
    if value is None:
        return None
    if isinstance(value, Date):
        return int(value._time)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(to_number(value))
    raise _wrong(field, on, "date")


def range_of(options: Any) -> Any:
    """`range`: (offset, length, suffix, header) or None."""
    given = option(options, "range")
    if missing(given):
        return None
    if isinstance(given, Headers):
        header = given.get("range")
        return None if header is jsnull else (None, None, None, header)
    if not isinstance(given, (JsProxy, dict)):
        raise _wrong("range", "GetOptions", "Range or Headers")
    numbers = [option(given, name) for name in ("offset", "length", "suffix")]
    offset, length, suffix = (None if missing(number) else int(to_number(number)) for number in numbers)
    if offset is not None and offset < 0:
        raise js_error("RangeError", f"Invalid range. Starting offset ({offset}) must be greater than or equal to 0.")
    if length is not None and length < 0:
        raise js_error("RangeError", f"Invalid range. Length ({length}) must be greater than or equal to 0.")
    if suffix is not None:
        if offset is not None:
            raise js_error("TypeError", "Suffix is incompatible with offset.")
        if length is not None:
            raise js_error("TypeError", "Suffix is incompatible with length.")
        if suffix < 0:
            raise js_error("RangeError", f"Invalid suffix. Suffix ({suffix}) must be greater than or equal to 0.")
    return offset, length, suffix, None


def condition_of(options: Any, on: str) -> Any:
    """`onlyIf`: (matches, does not match, before ms, after ms, whole seconds) or None. Tags: lists of (kind, value)."""
    given = option(options, "onlyIf")
    if missing(given):
        return None
    if isinstance(given, Headers):
        return (
            _header_tags(given, "if-match"),
            _header_tags(given, "if-none-match"),
            _header_date(given, "if-unmodified-since"),
            _header_date(given, "if-modified-since"),
            True,
        )
    if not isinstance(given, (JsProxy, dict)):
        raise _wrong("onlyIf", on, "Conditional or Headers")
    return (
        _tag(given, "etagMatches"),
        _tag(given, "etagDoesNotMatch"),
        _date(given, "uploadedBefore", "Conditional"),
        _date(given, "uploadedAfter", "Conditional"),
        option(given, "secondsGranularity") is True,
    )


def _tag(given: Any, field: str) -> list[tuple[str, str]] | None:
    tag = _text(given, field, "Conditional")
    if tag is None:
        return None
    if len(tag) >= 2 and tag[0] == tag[-1] == '"':
        raise js_error("TypeError", f"Conditional ETag should not be wrapped in quotes ({tag}).")
    return [("wildcard", "*") if tag == "*" else ("strong", tag)]


def _header_tags(headers: Any, name: str) -> list[tuple[str, str]] | None:
    text = headers.get(name)
    if text is jsnull:
        return None
    tags: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = _ETAG.match(text, at)
        if found is None or found.end() == at:
            raise js_error("Error", f"Invalid ETag in {name} header")
        tags.append(("wildcard", "*") if found[1] else ("weak" if found[2] else "strong", found[3]))
        at = found.end()
    return tags


def _header_date(headers: Any, name: str) -> int | None:
    text = headers.get(name)
    if text is jsnull:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp() * 1000)
    except (TypeError, ValueError):
        return 0


def http_of(options: Any, on: str) -> dict[str, Any]:
    """`httpMetadata`, from an object or from headers."""
    given = option(options, "httpMetadata")
    if missing(given):
        return {}
    made: dict[str, Any] = {}
    if isinstance(given, Headers):
        for field, header in HTTP_TEXTS.items():
            if (text := given.get(header)) is not jsnull:
                made[field] = text
        if (expires := _header_date(given, "expires")) is not None:
            made["cacheExpiry"] = expires
        return made
    if not isinstance(given, (JsProxy, dict)):
        raise _wrong("httpMetadata", on, "HttpMetadata or Headers")
    for field in HTTP_TEXTS:
        if (value := option(given, field)) is not None:
            made[field] = plain_text(value)
    if (expiry := _date(given, "cacheExpiry", "HttpMetadata")) is not None:
        made["cacheExpiry"] = expiry
    return made


def custom_of(options: Any, on: str) -> dict[str, str]:
    """`customMetadata`."""
    given = option(options, "customMetadata")
    if given is None:
        return {}
    if not isinstance(given, (JsProxy, dict)):
        raise _wrong("customMetadata", on, "object")
    return {plain_text(name): plain_text(value) for name, value in own_entries(given)}


def checksums_of(options: Any) -> dict[str, str]:
    """The one checksum that may be given, in hexadecimal."""
    made: dict[str, str] = {}
    for field, (name, size) in _HASHES.items():
        given = option(options, field)
        if given is None:
            continue
        if isinstance(given, JsBuffer):
            data = given.to_bytes()
            if len(data) != size:
                raise js_error("TypeError", f"{name} is {size} bytes, not {len(data)}")
            made[field] = data.hex()
        elif isinstance(given, str):
            if len(given) != size * 2:
                raise js_error("TypeError", f"{name} is {size * 2} hex characters, not {len(given)}")
            if not re.fullmatch("[0-9a-fA-F]*", given):
                raise js_error("TypeError", f"Provided {name} wasn't a valid hex string")
            made[field] = given.lower()
        else:
            raise _wrong(field, "PutOptions", "JsBufferSource or string")
    if len(made) > 1:
        raise js_error("TypeError", "You cannot specify multiple hashing algorithms.")
    return made


def storage_class_of(options: Any) -> str | None:
    """`storageClass`."""
    given = option(options, "storageClass")
    return None if missing(given) else plain_text(given)


def list_options(options: Any) -> tuple[Any, ...]:
    """(prefix, delimiter, cursor, start after, limit, include)."""
    prefix, delimiter, cursor, after = (
        _text(options, field, "ListOptions") for field in ("prefix", "delimiter", "cursor", "startAfter")
    )
    limit = option(options, "limit")
    number = None if limit is None else to_int32(limit)
    include = option(options, "include")
    if include is not None and not isinstance(include, Array):
        raise _wrong("include", "ListOptions", "Array")
    named = [js_string(item) for item in include._items] if include is not None else []
    for name in named:
        if name not in ("httpMetadata", "customMetadata"):
            raise js_error("RangeError", f"Unsupported include value {name}")
    # A negative limit is as good as none.
    return prefix or "", delimiter or None, cursor, after, None if number is None or number < 0 else number, named


def body_of(value: Any, call: str, on: str, parameter: int = 2) -> bytes | ReadableStream:
    """The body of a put or of a part. Raises workerd's TypeError for what is none."""
    if isinstance(value, str):
        return plain_text(value).encode()
    if value is jsnull:
        return b""
    if isinstance(value, JsBuffer):
        return value.to_bytes()
    if isinstance(value, Blob):
        return bytes(value._data)
    if isinstance(value, ReadableStream):
        check_unread(value)
        if value._whole is None and value._length is None:
            raise js_error("TypeError", UNKNOWN_LENGTH)
        return value
    raise js_error(
        "TypeError", f"Failed to execute '{call}' on '{on}': parameter {parameter} is not of type '{BODY_KINDS}'."
    )
