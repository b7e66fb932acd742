"""`env.<R2>`: an R2 bucket. Rules and texts: workerd, measured."""

from __future__ import annotations

import contextlib
import weakref
from typing import Any

from ..shims.js.arrays import Array, make_array
from ..shims.js.core import js_error, jsnull, make_object, option
from ..shims.js.numbers import to_int32
from ..shims.js.streams import ReadableStream, chunk_bytes, read_all, stream_from
from .common import Binding, Caller, js_method, plain_text
from .r2_options import (
    body_of,
    checksums_of,
    condition_of,
    custom_of,
    http_of,
    key_of,
    list_options,
    options_of,
    range_of,
    storage_class_of,
)
from .r2_results import GetResult, HeadResult

#: A streamed body goes to the server in pieces of about this size (bytes).
_PIECE = 4 << 20
_MAX_PARTS = 10_000


def make(name: str, _spec: dict[str, Any], call: Caller) -> Any:
    """The object of a bucket."""
    return R2Bucket._make(name, call)


class _Bodies(Binding):
    async def _sent(self, body: bytes | ReadableStream, algorithms: tuple[str, ...] = ()) -> bytes | int:
        """What stands for a body in a call: itself, or the number of an upload that holds it."""
        if isinstance(body, bytes):
            return body
        if body._whole is not None:
            return await read_all(body)
        number = await self._ask("begin", algorithms)
        pieces, size = [], 0
        try:
            async for chunk in body._chunks():
                piece = chunk_bytes(chunk)
                pieces.append(piece)
                size += len(piece)
                if size >= _PIECE:
                    await self._ask("write", number, b"".join(pieces))
                    pieces, size = [], 0
            await self._ask("write", number, b"".join(pieces))
        except BaseException:
            self._ask("discard", number)
            raise
        return int(number)


class R2Bucket(_Bodies):
    _js_name = "R2Bucket"

    @js_method
    async def head(self, key: Any = None, options: Any = None) -> Any:
        """What is known of an object (HeadResult), or null."""
        name = key_of(key, "head")
        options_of(options, "head", 2, "HeadOptions")
        found = await self._ask("head", name)
        return jsnull if found is None else HeadResult.new(found)

    @js_method
    async def get(self, key: Any = None, options: Any = None) -> Any:
        """An object with its body (GetResult), or null. When `onlyIf` does not hold, a HeadResult without a body."""
        name = key_of(key, "get")
        options = options_of(options, "get", 2, "GetOptions")
        found = await self._ask("get", name, range_of(options), condition_of(options, "GetOptions"))
        if found is None:
            return jsnull
        wire, content, stream = found
        if content is None:
            return HeadResult.new(wire)
        return GetResult.new(wire, self._stream(stream, content, wire[9][1]) if stream else content)

    @js_method
    async def put(self, key: Any = None, value: Any = ..., options: Any = None) -> Any:
        """Store an object: text, a buffer, a Blob or a stream of known length; null when `onlyIf` does not hold."""
        name = key_of(key, "put")
        if value is None:
            value = jsnull
        body = body_of(None if value is ... else value, "put", "R2Bucket")
        options = options_of(options, "put", 3, "PutOptions")
        http, custom = http_of(options, "PutOptions"), custom_of(options, "PutOptions")
        condition, checksums = condition_of(options, "PutOptions"), checksums_of(options)
        sent = await self._sent(body, tuple(checksums))
        made = await self._ask("put", name, sent, http, custom, checksums, condition, storage_class_of(options))
        return jsnull if made is None else HeadResult.new(made)

    @js_method
    async def delete(self, keys: Any = None) -> None:
        """Delete an object or up to 1,000 of them, which need not be there."""
        if isinstance(keys, Array):
            await self._ask("delete", *[plain_text(key) for key in keys._items])
        else:
            await self._ask("delete", key_of(keys, "delete", kinds="string or Array"))

    @js_method
    async def list(self, options: Any = None) -> Any:
        """{objects, truncated, cursor?, delimitedPrefixes}, a page of up to 1,000."""
        options = options_of(options, "list", 1, "ListOptions")
        found, prefixes, cursor = await self._ask("list", *list_options(options))
        made: dict[str, Any] = {
            "objects": make_array([HeadResult.new(wire) for wire in found]),
            "truncated": cursor is not None,
        }
        if cursor is not None:
            made["cursor"] = cursor
        made["delimitedPrefixes"] = make_array(list(prefixes))
        return make_object(made)

    @js_method
    async def createMultipartUpload(self, key: Any = None, options: Any = None) -> Any:
        """Begin an upload in parts."""
        name = key_of(key, "createMultipartUpload")
        options = options_of(options, "createMultipartUpload", 2, "MultipartOptions")
        http, custom = http_of(options, "MultipartOptions"), custom_of(options, "MultipartOptions")
        upload = await self._ask("create_multipart", name, http, custom, storage_class_of(options))
        return R2MultipartUpload._make(self._name, self._send, name, upload)

    @js_method
    def resumeMultipartUpload(self, key: Any = None, upload: Any = None) -> Any:
        """Go on with an upload. Whether there is one shows when it is used."""
        name = key_of(key, "resumeMultipartUpload")
        return R2MultipartUpload._make(self._name, self._send, name, key_of(upload, "resumeMultipartUpload", 2))

    def _stream(self, number: int, first: bytes, length: int) -> ReadableStream:
        """A body that the server sends when it is asked to (session_calls.py, "read")."""
        send, begun, open_there = self._send, [first] if first else [], [number]

        async def pull() -> bytes:
            if begun:
                return begun.pop()
            data: bytes = await send("", "read", (number,))
            if not data:
                open_there.clear()
            return data

        async def cancel(_reason: Any = None) -> None:
            open_there.clear()
            await send("", "unread", (number,))

        def dropped() -> None:
            if open_there:  # code let go of an object whose body it did not read to its end
                with contextlib.suppress(RuntimeError):  # no loop runs any more
                    send("", "unread", (number,))

        stream = stream_from(pull, cancel)
        stream._length = length
        weakref.finalize(stream, dropped).atexit = False
        return stream


class R2MultipartUpload(_Bodies):
    _js_name = "R2MultipartUpload"

    def __init__(self, name: str, call: Caller, key: str, upload: str) -> None:
        super().__init__(name, call)
        self.key = key
        self.uploadId = upload

    @js_method
    async def uploadPart(self, number: Any = None, value: Any = ..., options: Any = None) -> Any:
        """Send a part; {partNumber, etag}, for `complete`."""
        part = _part_number(number)
        if value is None:
            value = jsnull
        body = body_of(None if value is ... else value, "uploadPart", "R2MultipartUpload")
        options_of(options, "uploadPart", 3, "UploadPartOptions", "R2MultipartUpload")
        sent = await self._sent(body)
        return make_object(
            {"partNumber": part, "etag": await self._ask("upload_part", self.key, self.uploadId, part, sent)}
        )

    @js_method
    async def complete(self, parts: Any = None) -> Any:
        """Make the object of these parts, in their order."""
        if not isinstance(parts, Array):
            raise js_error(
                "TypeError", "Failed to execute 'complete' on 'R2MultipartUpload': parameter 1 is not of type 'Array'."
            )
        named = []
        for part in parts._items:
            number, etag = _part_number(option(part, "partNumber")), option(part, "etag")
            named.append((number, "" if etag is None else plain_text(etag)))
        return HeadResult.new(await self._ask("complete_multipart", self.key, self.uploadId, named))

    @js_method
    async def abort(self) -> None:
        """Give the upload up."""
        await self._ask("abort_multipart", self.key, self.uploadId)

    def _own_entries(self) -> list[tuple[str, Any]]:
        return [("uploadId", self.uploadId), ("key", self.key)]


def _part_number(value: Any) -> int:
    number = 0 if value is None else to_int32(value)
    if not 1 <= number <= _MAX_PARTS:
        text = f"Part number must be between 1 and {_MAX_PARTS} (inclusive). Actual value was: {number}"
        raise js_error("TypeError", text)
    return number
