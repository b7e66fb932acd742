"""`env.<R2>` of a JavaScript Worker: workerd's requests, and the session's buckets.

Protocol: workerd's src/workerd/api/r2-api.capnp and r2-bucket.c++, and what workerd 1.20260426.1 was seen to send: reads
ask in a header; writes begin their body with JSON of a stated length, and what follows is the object.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

from wrangler_py.bindings.r2 import R2Store
from wrangler_py.bindings.r2_blobs import Reader, Upload
from wrangler_py.bindings.r2_objects import CHECKSUMS, Conditional, Etag, R2Error, R2Object, R2Page, R2Part, Range
from wrangler_py.bindings.storage import BindingStorage
from wrangler_py.runtime.workerd.loopback import Call

_REQUEST = "cf-r2-request"
_SIZE = "cf-r2-metadata-size"
_ERROR = "cf-r2-error"
#: The most JSON that a write may begin with (bytes): 1,000 keys of 1,024 bytes fit.
_MAX_METADATA = 4 << 20
#: Pieces of this size and more are written off the event loop (bytes).
_PIECE = 1 << 20

_NO_SUCH_KEY = R2Error(404, 10007, "The specified key does not exist.")
_PRECONDITION = R2Error(412, 10031, "At least one of the pre-conditions you specified did not hold.")
_BAD_METADATA = R2Error(400, 10029, "Metadata missing or invalid")
_NO_ENCRYPTION = R2Error(400, 10001, "wpy does not encrypt objects: leave ssecKey out to use R2 locally")


class R2Adapter:
    """Answers the requests of all R2 bindings."""

    def __init__(self, storage: BindingStorage) -> None:
        self._storage = storage

    async def __call__(self, call: Call) -> None:
        """Handler (loopback.py)."""
        try:
            if call.method == "GET":
                await self._read(call, json.loads(call.headers.get(_REQUEST) or "null"))
            elif call.method == "PUT":
                await self._write(call)
            else:
                raise _BAD_METADATA
        except R2Error as error:
            _refuse(call, error)

    async def _read(self, call: Call, asked: dict[str, Any] | None) -> None:
        bucket = self._storage.r2(call.resource)
        method = (asked or {}).get("method")
        if asked is not None and asked.get("ssec"):
            raise _NO_ENCRYPTION
        if asked is None or method not in ("head", "get", "list"):
            raise _BAD_METADATA
        if method == "list":
            page = await bucket(
                R2Store.list,
                asked.get("prefix") or "",
                delimiter=asked.get("delimiter"),
                cursor=asked.get("cursor"),
                start_after=asked.get("startAfter"),
                **({} if asked.get("limit") is None else {"limit": int(asked["limit"])}),
            )
            _answer_json(call, _page(page, asked))
        elif method == "head":
            found = await bucket(R2Store.head, asked["object"])
            if found is None:
                raise _NO_SUCH_KEY
            _answer_json(call, _object(found))
        else:
            got = await bucket(R2Store.get, asked["object"], _range(asked), _conditional(asked.get("onlyIf")))
            if got is None:
                raise _NO_SUCH_KEY
            await self._answer_object(call, *got)

    async def _answer_object(self, call: Call, found: R2Object, reader: Reader | None) -> None:
        metadata = json.dumps(_object(found)).encode()
        if reader is None:  # the condition does not hold: what is known of the object goes with the refusal
            _refuse(call, _PRECONDITION, metadata)
            return
        length = found.range[1] if found.range is not None else found.size
        headers = (
            (_SIZE, str(len(metadata))),
            ("content-type", "application/json"),
            ("content-length", str(len(metadata) + length)),
        )
        try:
            await call.answer_stream(200, _pieces(metadata, reader, length), headers)
        finally:
            reader.close()

    async def _write(self, call: Call) -> None:
        asked, rest = await _prefix(call)
        if asked.get("ssec"):
            raise _NO_ENCRYPTION
        bucket = self._storage.r2(call.resource)
        method = asked.get("method")
        if method == "delete":
            keys = asked["objects"] if "objects" in asked else [asked["object"]]
            await bucket(R2Store.delete, *keys)
            call.answer(200)
        elif method == "put":
            await self._put(call, asked, rest)
        elif method == "uploadPart":
            upload = await self._received(call, rest, ())
            arguments = asked["object"], asked["uploadId"], int(asked["partNumber"]), upload
            part = await bucket(R2Store.upload_part, *arguments)
            _answer_json(call, {"etag": part.etag})
        elif method == "createMultipartUpload":
            upload_id = await bucket(
                R2Store.create_multipart,
                asked["object"],
                http=_http(asked),
                custom=_custom(asked),
                storage_class=asked.get("storageClass"),
            )
            _answer_json(call, {"uploadId": upload_id})
        elif method == "completeMultipartUpload":
            parts = [R2Part(int(part["part"]), part["etag"]) for part in asked.get("parts") or ()]
            made = await bucket(R2Store.complete_multipart, asked["object"], asked["uploadId"], parts)
            _answer_json(call, _object(made))
        elif method == "abortMultipartUpload":
            await bucket(R2Store.abort_multipart, asked["object"], asked["uploadId"])
            call.answer(200)
        else:
            raise _BAD_METADATA

    async def _put(self, call: Call, asked: dict[str, Any], rest: AsyncIterator[bytes]) -> None:
        checksums = {kind: asked[kind] for kind in CHECKSUMS if asked.get(kind)}
        if "md5" in checksums:  # the one that comes in base64
            checksums["md5"] = base64.b64decode(checksums["md5"]).hex()
        upload = await self._received(call, rest, tuple(checksums))
        made = await self._storage.r2(call.resource)(
            R2Store.put,
            asked["object"],
            upload,
            http=_http(asked),
            custom=_custom(asked),
            checksums=checksums,
            only_if=_conditional(asked.get("onlyIf")),
            storage_class=asked.get("storageClass"),
        )
        if made is None:
            raise _PRECONDITION
        _answer_json(call, _object(made))

    async def _received(self, call: Call, rest: AsyncIterator[bytes], algorithms: tuple[str, ...]) -> Upload:
        """The body of a write, on its way to the store."""
        upload = await self._storage.r2(call.resource)(R2Store.begin_upload, algorithms)
        try:
            waiting = bytearray()
            async for piece in rest:
                waiting += piece
                if len(waiting) >= _PIECE:
                    piece, waiting = bytes(waiting), bytearray()
                    await asyncio.to_thread(upload.write, piece)
            upload.write(bytes(waiting))
        except BaseException:
            upload.discard()
            raise
        return upload


async def _prefix(call: Call) -> tuple[dict[str, Any], AsyncIterator[bytes]]:
    """The JSON that a write begins with, and what follows it."""
    size = call.headers.get(_SIZE, "")
    if not size.isdigit() or int(size) > _MAX_METADATA:
        raise _BAD_METADATA
    wanted = int(size)
    stream = call.stream()
    head = b""
    while len(head) < wanted:
        try:
            head += await anext(stream)
        except StopAsyncIteration:
            raise _BAD_METADATA from None
    try:
        asked = json.loads(head[:wanted])
    except ValueError:
        raise _BAD_METADATA from None
    return asked, _rest(head[wanted:], stream)


async def _rest(first: bytes, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for piece in stream:
        yield piece


async def _pieces(metadata: bytes, reader: Reader, length: int) -> AsyncIterator[bytes]:
    if length <= _PIECE:
        yield metadata + reader.read_all()
        return
    yield metadata
    while piece := await asyncio.to_thread(reader.read):
        yield piece


def _answer_json(call: Call, value: Any) -> None:
    body = json.dumps(value).encode()
    call.answer(200, body, ((_SIZE, str(len(body))), ("content-type", "application/json")))


def _refuse(call: Call, error: R2Error, metadata: bytes = b"") -> None:
    told = json.dumps({"version": 1, "v4code": error.code, "message": error.message})
    headers = [(_ERROR, told)]
    if metadata:
        headers.append((_SIZE, str(len(metadata))))
    call.answer(error.status, metadata, headers)


# Names on the wire ----------------------------------------------------------------------------------------------------


def _object(found: R2Object) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": found.key,
        "version": found.version,
        "size": found.size,
        "etag": found.etag,
        "uploaded": found.uploaded_ms,
        "httpFields": found.http,
        "customFields": [{"k": name, "v": value} for name, value in found.custom.items()],
        "checksums": {str(n): found.checksums[kind] for n, kind in enumerate(CHECKSUMS) if kind in found.checksums},
        "storageClass": found.storage_class,
    }
    if found.range is not None:
        shown["range"] = {"offset": found.range[0], "length": found.range[1]}
    return shown


def _page(page: R2Page, asked: dict[str, Any]) -> dict[str, Any]:
    included = {{0: "httpFields", 1: "customFields"}.get(kind) for kind in asked.get("include") or ()}
    objects = [_object(found) for found in page.objects]
    for shown in objects:
        shown |= {name: empty for name, empty in (("httpFields", {}), ("customFields", [])) if name not in included}
    listing: dict[str, Any] = {
        "objects": objects,
        "truncated": page.cursor is not None,
        "delimitedPrefixes": page.prefixes,
    }
    if page.cursor is not None:
        listing["cursor"] = page.cursor
    return listing


def _http(asked: dict[str, Any]) -> dict[str, Any]:
    fields = dict(asked.get("httpFields") or {})
    if "cacheExpiry" in fields:
        fields["cacheExpiry"] = int(fields["cacheExpiry"])
    return fields


def _custom(asked: dict[str, Any]) -> dict[str, str]:
    return {entry["k"]: entry["v"] for entry in asked.get("customFields") or ()}


def _range(asked: dict[str, Any]) -> Range | None:
    if asked.get("rangeHeader") is not None:
        return Range(header=asked["rangeHeader"])
    given = asked.get("range")
    if given is None:
        return None
    # 64-bit numbers may come as text
    offset, length, suffix = (
        None if given.get(name) is None else int(given[name]) for name in ("offset", "length", "suffix")
    )
    return Range(offset, length, suffix)


def _conditional(given: dict[str, Any] | None) -> Conditional | None:
    if given is None:
        return None

    def tags(name: str) -> tuple[Etag, ...] | None:
        return (
            None if given.get(name) is None else tuple(Etag(tag.get("value", ""), tag["type"]) for tag in given[name])
        )

    def moment(name: str) -> int | None:
        return None if given.get(name) is None else int(given[name])

    return Conditional(
        tags("etagMatches"),
        tags("etagDoesNotMatch"),
        moment("uploadedBefore"),
        moment("uploadedAfter"),
        bool(given.get("secondsGranularity")),
    )
