"""`env.<KV>`: a Workers KV namespace. Rules and texts: workerd, measured."""

from __future__ import annotations

from typing import Any

from ..shims.js.arrays import Array, make_array
from ..shims.js.buffers import JsBuffer, make_buffer
from ..shims.js.collections import Map
from ..shims.js.core import JsProxy, js_error, jsnull, make_object, option
from ..shims.js.jsjson import parse, stringify
from ..shims.js.numbers import to_int32
from ..shims.js.streams import ReadableStream, read_all, stream_of
from .common import Binding, Caller, check_unread, is_text, js_method, missing, not_of_type, plain_text

_NO_NAME = "Key name cannot be empty."
_BAD_NAME = '"{key}" is not allowed as a key name.'
_BAD_VALUE = "KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values."
_BAD_TYPE = 'Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".'
_BAD_BULK_TYPE = 'KV GET_BULK failed: 400 "{type}" is not a valid type. Use "json" or "text"'
_BAD_BULK_JSON = "KV GET_BULK failed: 400 At least one of the requested keys corresponds to a non-json value"

_TYPES = ("text", "json", "arrayBuffer", "stream")


def make(name: str, _spec: dict[str, Any], call: Caller) -> Any:
    """The object of a namespace."""
    return KvNamespace._make(name, call)


class KvNamespace(Binding):
    _js_name = "KvNamespace"

    @js_method
    async def get(self, key: Any = None, options: Any = None) -> Any:
        """The value of a key as text, or as `type` says; null when there is none. Of up to 100 keys: a Map."""
        value, _ = await self._get("get", key, options, False)
        return value

    @js_method
    async def getWithMetadata(self, key: Any = None, options: Any = None) -> Any:
        """{value, metadata, cacheStatus} of a key. Of up to 100 keys: a Map of {value, metadata}."""
        value, metadata = await self._get("getWithMetadata", key, options, True)
        if isinstance(key, Array):
            return value
        return make_object({"value": value, "metadata": metadata, "cacheStatus": jsnull})

    @js_method
    async def put(self, key: Any = None, value: Any = None, options: Any = None) -> None:
        """Write a value: text, a buffer or a stream. `expiration`, `expirationTtl` (seconds), `metadata` (of JSON)."""
        name = _key("put", key)
        data = await _value(value)
        expiration = option(options, "expiration")
        ttl = option(options, "expirationTtl")
        metadata = option(options, "metadata")
        await self._ask(
            "put",
            name,
            data,
            None if missing(expiration) else to_int32(expiration),
            None if missing(ttl) else to_int32(ttl),
            None if missing(metadata) else stringify(metadata),
        )

    @js_method
    async def delete(self, key: Any = None) -> None:
        """Delete a key, which need not be there."""
        await self._ask("delete", _key("delete", key))

    @js_method
    async def list(self, options: Any = None) -> Any:
        """{keys: [{name, expiration?, metadata?}], list_complete, cursor?, cacheStatus}, a page of up to 1,000."""
        prefix, cursor, limit = (option(options, name) for name in ("prefix", "cursor", "limit"))
        keys, next_cursor = await self._ask(
            "list",
            "" if missing(prefix) else plain_text(prefix),
            None if missing(cursor) else plain_text(cursor),
            None if missing(limit) else to_int32(limit),
        )
        made: dict[str, Any] = {
            "keys": make_array([_listed(*key) for key in keys]),
            "list_complete": next_cursor is None,
        }
        if next_cursor is not None:
            made["cursor"] = next_cursor
        made["cacheStatus"] = jsnull
        return make_object(made)

    async def _get(self, call: str, key: Any, options: Any, with_metadata: bool) -> tuple[Any, Any]:
        kind, cache_ttl = options if isinstance(options, str) else None, None
        if kind is None:
            kind, cache_ttl = option(options, "type"), option(options, "cacheTtl")
        kind = "text" if missing(kind) else plain_text(kind)
        if isinstance(key, Array):
            return await self._get_many(key, kind, with_metadata), jsnull
        name = _key(call, key)
        if kind not in _TYPES:
            raise js_error("TypeError", _BAD_TYPE)
        found = await self._ask("get", name, None if missing(cache_ttl) else to_int32(cache_ttl))
        if found is None:
            return jsnull, jsnull
        data, metadata = found
        return _convert(data, kind), _metadata(metadata)

    async def _get_many(self, keys: Any, kind: str, with_metadata: bool) -> Any:
        if kind not in ("text", "json"):
            raise js_error("Error", _BAD_BULK_TYPE.format(type=kind))
        made = Map.new()
        for name, found in await self._ask("get_many", [plain_text(key) for key in keys]):
            value: Any = jsnull
            if found is not None:
                try:
                    value = _convert(found[0], kind)
                except Exception:
                    raise js_error("Error", _BAD_BULK_JSON) from None
            if with_metadata:
                metadata = jsnull if found is None else _metadata(found[1])
                value = make_object({"value": value, "metadata": metadata})
            made.set(name, value)
        return made


def _key(call: str, key: Any) -> str:
    if not is_text(key):
        raise not_of_type(call, "KvNamespace", 1, "string or Array" if call.startswith("get") else "string")
    name = plain_text(key)
    if not name:
        raise js_error("TypeError", _NO_NAME)
    if name in (".", ".."):
        raise js_error("TypeError", _BAD_NAME.format(key=name))
    return name


async def _value(value: Any) -> bytes:
    if is_text(value):
        return plain_text(value).encode()
    if isinstance(value, JsBuffer):
        return value.to_bytes()
    if isinstance(value, ReadableStream):
        check_unread(value)
        return await read_all(value)
    if value is None:
        raise not_of_type("put", "KvNamespace", 2, "string or JsObject")
    raise js_error("TypeError", _BAD_VALUE)


def _convert(data: bytes, kind: str) -> Any:
    if kind == "arrayBuffer":
        return make_buffer(data)
    if kind == "stream":
        return stream_of(data)
    text = data.decode("utf-8", "replace")
    return parse(text) if kind == "json" else text


def _metadata(text: str | None) -> Any:
    return jsnull if text is None else parse(text)


def _listed(name: str, expiration: int | None, metadata: str | None) -> JsProxy:
    made: dict[str, Any] = {"name": name}
    if expiration is not None:
        made["expiration"] = expiration
    if metadata is not None:
        made["metadata"] = parse(metadata)
    return make_object(made)
