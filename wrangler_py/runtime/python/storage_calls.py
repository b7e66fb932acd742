"""KV, D1 and R2 for Python workers: CALLs of their bindings as calls of the engines (wrangler_py/bindings).

The worker's side of each is runtime/worker/bindings/kv.py, d1.py and r2.py.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from wrangler_py.bindings.storage import BindingStorage
from wrangler_py.runtime.python.bindings import BindingHandler, CallContext, CallError
from wrangler_py.runtime.python.process import WorkerProcess

if TYPE_CHECKING:
    from wrangler_py.bindings.r2_blobs import Reader, Upload
    from wrangler_py.bindings.r2_objects import Conditional, R2Object, Range

#: R2 bodies up to this size travel in the REPLY itself, larger ones as a stream (bytes).
_WHOLE_BYTES = 1 << 20


def storage_handlers(storage: BindingStorage) -> dict[str, BindingHandler]:
    """The handlers of the kinds that have their state in `storage`."""
    return {"kv": KvCalls(storage), "d1": D1Calls(storage), "r2": R2Calls(storage)}


class KvCalls:
    """get, get_many, put, delete, list."""

    def __init__(self, storage: BindingStorage) -> None:
        self._storage = storage

    async def call(self, method: str, args: tuple[Any, ...], context: CallContext) -> Any:
        from wrangler_py.bindings.kv import KvError, KvStore

        store = self._storage.kv(context.spec["id"])
        operation = "GET"
        try:
            if method == "get":
                found = await store(KvStore.get, *args)
                return None if found is None else (found.value, found.metadata)
            if method == "get_many":
                operation = "GET_BULK"
                values = await store(KvStore.get_many, *args)
                return [(key, None if v is None else (v.value, v.metadata)) for key, v in values.items()]
            if method == "list":
                prefix, cursor, limit = args
                page = await store(KvStore.list, prefix, cursor, limit or 0)
                return [(key.name, key.expiration, key.metadata) for key in page.keys], page.cursor
            operation = method.upper()
            if method == "put":
                key, value, expiration, ttl, metadata = args
                await store(KvStore.put, key, value, expiration=expiration, expiration_ttl=ttl, metadata=metadata)
                return None
            if method == "delete":
                return await store(KvStore.delete, *args)
        except KvError as error:
            raise CallError("Error", error.text(operation)) from None
        raise no_method(context, method)


class D1Calls:
    """query, dump."""

    def __init__(self, storage: BindingStorage) -> None:
        self._storage = storage

    async def call(self, method: str, args: tuple[Any, ...], context: CallContext) -> Any:
        from apsw import Error

        from wrangler_py.bindings.d1 import D1Database, D1Error

        database = self._storage.d1(context.spec["id"])
        try:
            if method == "query":
                statements, in_session = args
                results = await database(D1Database.query, statements)
                bookmark = await database(D1Database.bookmark) if in_session else None
                return [(result.columns, result.rows, result.meta) for result in results], bookmark
            if method == "dump":
                return await database(D1Database.dump)
        except D1Error as error:
            raise CallError("Error", str(error)) from None
        except Error as error:  # the file is no database, the disk is full, another process writes for too long
            raise CallError("Error", f"the database cannot be used: {error}") from None
        raise no_method(context, method)


class R2Calls:
    """head, get, put, delete, list, the four of multipart uploads, and begin, write, discard for streamed bodies."""

    def __init__(self, storage: BindingStorage) -> None:
        self._storage = storage
        self._numbers = itertools.count(1)
        #: Bodies that a process is sending.
        self._uploads: dict[tuple[WorkerProcess, int], Upload] = {}

    async def call(self, method: str, args: tuple[Any, ...], context: CallContext) -> Any:
        from wrangler_py.bindings.r2_objects import R2Error

        run = getattr(self, f"_{method}", None)
        if run is None:
            raise no_method(context, method)
        try:
            return await run(context, *args)
        except R2Error as error:
            raise CallError("Error", error.text(_OPERATIONS.get(method, method))) from None

    def _store(self, context: CallContext) -> Any:
        return self._storage.r2(context.spec["bucket"])

    async def _head(self, context: CallContext, key: str) -> Any:
        from wrangler_py.bindings.r2 import R2Store

        found = await self._store(context)(R2Store.head, key)
        return None if found is None else _wire(found)

    async def _get(self, context: CallContext, key: str, span: Any, condition: Any) -> Any:
        from wrangler_py.bindings.r2 import R2Store

        found = await self._store(context)(R2Store.get, key, _range(span), _condition(condition))
        if found is None:
            return None
        made, reader = found
        if reader is None:
            return _wire(made), None, 0
        length = made.range[1] if made.range else made.size
        if length <= _WHOLE_BYTES:
            try:
                return _wire(made), await asyncio.to_thread(reader.read_all), 0
            finally:
                reader.close()
        return _wire(made), b"", context.streams.add(_pieces(reader))

    async def _put(
        self,
        context: CallContext,
        key: str,
        body: bytes | int,
        http: dict[str, Any],
        custom: dict[str, str],
        checksums: dict[str, str],
        condition: Any,
        storage_class: str | None,
    ) -> Any:
        from wrangler_py.bindings.r2 import R2Store

        made = await self._store(context)(
            R2Store.put,
            key,
            self._sent(context, body),
            http=http,
            custom=custom,
            checksums=checksums,
            only_if=_condition(condition),
            storage_class=storage_class,
        )
        return None if made is None else _wire(made)

    async def _delete(self, context: CallContext, *keys: str) -> None:
        from wrangler_py.bindings.r2 import R2Store

        await self._store(context)(R2Store.delete, *keys)

    async def _list(
        self,
        context: CallContext,
        prefix: str,
        delimiter: str | None,
        cursor: str | None,
        start_after: str | None,
        limit: int | None,
        include: list[str],
    ) -> Any:
        from wrangler_py.bindings.limits import R2_MAX_LIST
        from wrangler_py.bindings.r2 import R2Store

        page = await self._store(context)(
            R2Store.list,
            prefix,
            delimiter=delimiter,
            cursor=cursor,
            start_after=start_after,
            limit=R2_MAX_LIST if limit is None else limit,
        )
        http, custom = "httpMetadata" in include, "customMetadata" in include
        return [_wire(made, http=http, custom=custom) for made in page.objects], page.prefixes, page.cursor

    async def _create_multipart(
        self, context: CallContext, key: str, http: dict[str, Any], custom: dict[str, str], storage_class: str | None
    ) -> Any:
        from wrangler_py.bindings.r2 import R2Store

        store = self._store(context)
        return await store(R2Store.create_multipart, key, http=http, custom=custom, storage_class=storage_class)

    async def _upload_part(self, context: CallContext, key: str, upload: str, number: int, body: bytes | int) -> Any:
        from wrangler_py.bindings.r2 import R2Store

        content = self._sent(context, body)
        return (await self._store(context)(R2Store.upload_part, key, upload, number, content)).etag

    async def _complete_multipart(
        self, context: CallContext, key: str, upload: str, parts: list[tuple[int, str]]
    ) -> Any:
        from wrangler_py.bindings.r2 import R2Store
        from wrangler_py.bindings.r2_objects import R2Part

        named = [R2Part(number, etag) for number, etag in parts]
        return _wire(await self._store(context)(R2Store.complete_multipart, key, upload, named))

    async def _abort_multipart(self, context: CallContext, key: str, upload: str) -> None:
        from wrangler_py.bindings.r2 import R2Store

        await self._store(context)(R2Store.abort_multipart, key, upload)

    # Bodies that come in pieces -----------------------------------------------------------------------------------

    async def _begin(self, context: CallContext, algorithms: tuple[str, ...]) -> int:
        from wrangler_py.bindings.r2 import R2Store

        number = next(self._numbers)
        process = context.process
        self._uploads[process, number] = await self._store(context)(R2Store.begin_upload, algorithms)
        process.ended.add_done_callback(lambda _: self._drop(process, number))
        return number

    async def _write(self, context: CallContext, number: int, piece: bytes) -> None:
        upload = self._uploads.get((context.process, number))
        if upload is not None:
            await asyncio.to_thread(upload.write, piece)

    async def _discard(self, context: CallContext, number: int) -> None:
        self._drop(context.process, number)

    def _drop(self, process: WorkerProcess, number: int) -> None:
        upload = self._uploads.pop((process, number), None)
        if upload is not None:
            upload.discard()

    def _sent(self, context: CallContext, body: bytes | int) -> bytes | Upload:
        return body if isinstance(body, bytes) else self._uploads.pop((context.process, body))


#: R2's names of what the calls do, for its texts.
_OPERATIONS = {
    "create_multipart": "createMultipartUpload",
    "upload_part": "uploadPart",
    "complete_multipart": "completeMultipartUpload",
    "abort_multipart": "abortMultipartUpload",
    "write": "put",
}


def no_method(context: CallContext, method: str) -> CallError:
    return CallError("TypeError", f"env.{context.binding}.{method} is not a function")


async def _pieces(reader: Reader) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(reader.read):
            yield piece
    finally:
        reader.close()


def _wire(made: R2Object, *, http: bool = True, custom: bool = True) -> tuple[Any, ...]:
    return (
        *(made.key, made.version, made.size, made.etag, made.uploaded_ms),
        *(made.http if http else {}, made.custom if custom else {}, made.checksums, made.storage_class, made.range),
    )


def _range(span: Any) -> Range | None:
    from wrangler_py.bindings.r2_objects import Range

    return None if span is None else Range(*span)


def _condition(given: Any) -> Conditional | None:
    from wrangler_py.bindings.r2_objects import Conditional, Etag

    if given is None:
        return None
    matches, differs, before, after, whole_seconds = given
    tags = [None if each is None else tuple(Etag(value, kind) for kind, value in each) for each in (matches, differs)]
    return Conditional(tags[0], tags[1], before, after, whole_seconds)
