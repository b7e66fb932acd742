"""What R2 stores and answers: objects, conditions, ranges, errors. Rules and texts: workerd with miniflare, measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct, field

from wrangler_py.bindings import limits

#: The checksums that a put may bring, in the order in which R2 looks at them, with the names in its texts.
CHECKSUMS = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}


class R2Error(Exception):
    """R2 refuses. `code` is R2's own, `status` that of the HTTP answer."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def text(self, operation: str) -> str:
        """What a Worker is told. `operation`: get, head, put, delete, list, createMultipartUpload, ..."""
        return f"{operation}: {self.message} ({self.code})"


def internal_error() -> R2Error:
    return R2Error(500, 10001, "We encountered an internal error. Please try again.")


def too_small() -> R2Error:
    return R2Error(400, 10011, "Your proposed upload is smaller than the minimum allowed object size.")


def metadata_too_large() -> R2Error:
    return R2Error(400, 10012, "Your metadata headers exceed the maximum allowed metadata size.")


def bad_name() -> R2Error:
    return R2Error(400, 10020, "The specified object name is not valid.")


def bad_max_keys() -> R2Error:
    return R2Error(400, 10022, f"MaxKeys params must be positive integer <= {limits.R2_MAX_LIST}.")


def no_upload() -> R2Error:
    return R2Error(400, 10024, "The specified multipart upload does not exist.")


def bad_part() -> R2Error:
    return R2Error(400, 10025, "One or more of the specified parts could not be found.")


def bad_digest(kind: str, given: str, actual: str) -> R2Error:
    name = CHECKSUMS[kind]
    return R2Error(
        400,
        10037,
        f"The {name} checksum you specified did not match what we received.\n"
        f"You provided a {name} checksum with value: {given}\nActual {name} was: {actual}",
    )


def bad_range() -> R2Error:
    return R2Error(416, 10039, "The requested range is not satisfiable")


def bad_upload() -> R2Error:
    return R2Error(400, 10048, "There was a problem with the multipart upload.")


def too_large() -> R2Error:
    return R2Error(400, 10100, "Your proposed upload exceeds the maximum allowed object size.")


def too_many_keys() -> R2Error:
    """(wpy) the words; 10001 stands for any request that R2 does not take."""
    return R2Error(400, 10001, f"A call deletes at most {limits.R2_MAX_DELETE} objects.")


class R2Object(Struct, frozen=True):
    """An object without its body."""

    key: str
    version: str
    size: int
    etag: str
    uploaded_ms: int
    http: dict[str, Any] = field(default_factory=dict)
    custom: dict[str, str] = field(default_factory=dict)
    #: Hexadecimal, by kind.
    checksums: dict[str, str] = field(default_factory=dict)
    storage_class: str = "Standard"
    #: (offset, length) of what is read; set by get and head.
    range: tuple[int, int] | None = None


class R2Page(Struct, frozen=True):
    """A part of a listing. `cursor` None: it is complete."""

    objects: list[R2Object]
    prefixes: list[str]
    cursor: str | None


class R2Part(Struct, frozen=True):
    """A part of a multipart upload."""

    number: int
    etag: str


class Etag(Struct, frozen=True):
    """An entity tag of a condition, without quotes. "wildcard" is `*`."""

    value: str
    kind: Literal["strong", "weak", "wildcard"] = "strong"


class Conditional(Struct, frozen=True):
    """`onlyIf`. Times in ms since the epoch; with `seconds_granularity` they are compared in whole seconds."""

    etag_matches: tuple[Etag, ...] | None = None
    etag_does_not_match: tuple[Etag, ...] | None = None
    uploaded_before_ms: int | None = None
    uploaded_after_ms: int | None = None
    seconds_granularity: bool = False

    def holds(self, found: R2Object | None) -> bool:
        """RFC 9110's preconditions, as R2 applies them to what stands under the key (None: nothing)."""
        if found is None:
            return self.etag_matches is None and self.uploaded_after_ms is None
        matches = self.etag_matches is None or _includes(self.etag_matches, found.etag, weak=False)
        differs = self.etag_does_not_match is None or not _includes(self.etag_does_not_match, found.etag, weak=True)
        after = (
            self.uploaded_after_ms is None
            or self._time(self.uploaded_after_ms) < self._time(found.uploaded_ms)
            or (self.etag_does_not_match is not None and differs)
        )
        before = (
            self.uploaded_before_ms is None
            or self._time(found.uploaded_ms) < self._time(self.uploaded_before_ms)
            or (self.etag_matches is not None and matches)
        )
        return matches and differs and after and before

    def _time(self, ms: int) -> int:
        return ms // 1000 if self.seconds_granularity else ms


def _includes(tags: Sequence[Etag], etag: str, *, weak: bool) -> bool:
    return any(tag.kind == "wildcard" or (tag.value == etag and (weak or tag.kind == "strong")) for tag in tags)


class Range(Struct, frozen=True):
    """Which part of an object is asked for: by numbers, or by a Range header."""

    offset: int | None = None
    length: int | None = None
    suffix: int | None = None
    header: str | None = None

    def within(self, size: int) -> tuple[int, int]:
        """(offset, length) in an object of `size` bytes. Raises R2Error. A header that asks for something else than one
        satisfiable range asks for everything."""
        if self.header is not None:
            return _header_range(self.header, size) or (0, size)
        if self.suffix is not None:
            if self.suffix <= 0 or size == 0:
                raise bad_range()
            length = min(self.suffix, size)
            return size - length, length
        if self.offset is None and self.length is None:
            return 0, size
        offset = self.offset or 0
        if offset >= size or self.length == 0:
            raise bad_range()
        return offset, size - offset if self.length is None else min(self.length, size - offset)


_RANGE_HEADER = re.compile(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.IGNORECASE)


def _header_range(header: str, size: int) -> tuple[int, int] | None:
    found = _RANGE_HEADER.fullmatch(header)
    if found is None or size == 0:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        length = min(int(last), size)
        return (size - length, length) if length else None
    offset = int(first)
    end = min(int(last), size - 1) if last else size - 1
    return (offset, end - offset + 1) if offset <= end else None


def check_key(key: str) -> None:
    """Raises R2Error for a name that is too long."""
    if len(key.encode("utf-8", "surrogatepass")) > limits.R2_MAX_KEY_BYTES:
        raise bad_name()


def check_metadata(custom: dict[str, str]) -> None:
    """Raises R2Error when the custom metadata is too large."""
    size = sum(len(text.encode("utf-8", "surrogatepass")) for pair in custom.items() for text in pair)
    if size > limits.R2_MAX_METADATA_BYTES:
        raise metadata_too_large()
