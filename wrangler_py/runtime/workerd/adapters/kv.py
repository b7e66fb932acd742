"""`env.<KV>` of a JavaScript Worker: workerd's requests, and the namespaces of the session.

Protocol: workerd's src/workerd/api/kv.c++, and what workerd 1.20260426.1 was seen to send. A refusal's text stands in the
reason phrase of the answer, from where workerd takes it.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, unquote

from wrangler_py.bindings import limits
from wrangler_py.bindings.kv import KvError, KvStore, KvValue, check_named
from wrangler_py.bindings.storage import BindingStorage
from wrangler_py.runtime.workerd.loopback import Call

_METADATA = "cf-kv-metadata"
_JSON = (("content-type", "application/json"),)


class KvAdapter:
    """Answers the requests of all KV bindings."""

    def __init__(self, storage: BindingStorage) -> None:
        self._storage = storage

    async def __call__(self, call: Call) -> None:
        """Handler (loopback.py)."""
        path, _, query = call.target.partition("?")
        given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
        key = unquote(path.removeprefix("/")) if "urlencoded" in given or "%" in path else path.removeprefix("/")
        try:
            if call.method == "POST" and path == "/bulk/get":
                await self._get_many(call, json.loads(await call.body()))
            elif call.method == "GET" and path == "/":
                await self._list(call, given)
            elif call.method == "GET":
                await self._get(call, key, given)
            elif call.method == "PUT":
                await self._put(call, key, given)
            elif call.method == "DELETE":
                check_named(key)
                await self._storage.kv(call.resource)(KvStore.delete, key)
                call.answer(200)
            else:
                call.answer(405, f"wpy: KV has no {call.method} {path}".encode())
        except KvError as error:
            call.answer(error.status, error.reason.encode(), reason=error.reason)

    async def _get(self, call: Call, key: str, given: dict[str, str]) -> None:
        check_named(key)
        cache_ttl = _number(given.get("cache_ttl"), "cache_ttl", limits.KV_CACHE_TTL_RULE)
        found = await self._storage.kv(call.resource)(KvStore.get, key, cache_ttl)
        if found is None:
            call.answer(404, b"Not Found")
            return
        headers = []
        if found.expiration is not None:
            headers.append(("CF-Expiration", str(found.expiration)))
        if found.metadata is not None:
            headers.append(("CF-KV-Metadata", _one_line(found.metadata)))
        call.answer(200, found.value, headers)

    async def _get_many(self, call: Call, asked: dict[str, Any]) -> None:
        kind = asked.get("type") or "text"
        if kind not in ("text", "json"):
            raise KvError(400, f'"{kind}" is not a valid type. Use "json" or "text"')
        found = await self._storage.kv(call.resource)(KvStore.get_many, asked["keys"])
        values = {key: _bulk_value(value, kind, asked.get("withMetadata")) for key, value in found.items()}
        call.answer(200, json.dumps(values).encode(), _JSON)

    async def _put(self, call: Call, key: str, given: dict[str, str]) -> None:
        check_named(key)
        body = await call.body()
        await self._storage.kv(call.resource)(
            KvStore.put,
            key,
            body,
            expiration=_number(given.get("expiration"), "expiration", limits.KV_EXPIRATION_RULE),
            expiration_ttl=_number(given.get("expiration_ttl"), "expiration_ttl", limits.KV_TTL_RULE),
            metadata=call.headers.get(_METADATA),
        )
        call.answer(200)

    async def _list(self, call: Call, given: dict[str, str]) -> None:
        limit = _number(given.get("key_count_limit"), "key_count_limit", "Please specify an integer greater than 0.")
        page = await self._storage.kv(call.resource)(
            KvStore.list, given.get("prefix", ""), given.get("cursor"), *(() if limit is None else (limit,))
        )
        keys = []
        for key in page.keys:
            entry: dict[str, Any] = {"name": key.name}
            if key.expiration is not None:
                entry["expiration"] = key.expiration
            if key.metadata is not None:
                entry["metadata"] = key.metadata  # as JSON text: workerd parses it
            keys.append(entry)
        listing: dict[str, Any] = {"keys": keys, "list_complete": page.cursor is None, "cacheStatus": None}
        if page.cursor is not None:
            listing["cursor"] = page.cursor
        call.answer(200, json.dumps(listing).encode(), _JSON)


def _number(text: str | None, name: str, rule: str) -> int | None:
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise KvError(400, f"Invalid {name} of {text}. {rule}") from None


def _bulk_value(value: KvValue | None, kind: str, with_metadata: bool | None) -> Any:
    if value is None:
        return None
    shown: Any = value.value.decode("utf-8", "replace")
    if kind == "json":
        try:
            shown = json.loads(shown)
        except ValueError:
            raise KvError(400, "At least one of the requested keys corresponds to a non-json value") from None
    if not with_metadata:
        return shown
    return {"value": shown, "metadata": None if value.metadata is None else json.loads(value.metadata)}


def _one_line(text: str) -> str:
    """JSON that may stand in a header."""
    return text if "\n" not in text and "\r" not in text else json.dumps(json.loads(text), ensure_ascii=False)
