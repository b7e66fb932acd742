"""Bindings with one method or none: rate limits, Analytics Engine, Secrets Store, version metadata, Hyperdrive, email."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from ..queue_binding import Caller
from ..shims.js.blob import Blob
from ..shims.js.buffers import bytes_of
from ..shims.js.convert import js_string, unwrap
from ..shims.js.core import JsObject, JsProxy, js_error, jsnull, make_object, merged, option, own_entries, raise_js
from ..shims.js.promise import js_async
from ..shims.js.streams import ReadableStream, read_all

# --- rate limiting (miniflare's ratelimit.worker, which production's binding agrees with) ---------------------------------

_RATE_OPTIONS = ("key", "limit", "period")
_RATE_PERIODS = (10, 60)


class Ratelimit(JsProxy):
    """`env.<RATE LIMIT>`."""

    def __init__(self, name: str, spec: dict[str, Any], call: Caller) -> None:
        self._binding, self._spec, self._send = name, spec, call

    def limit(self, options: Any = None, **keywords: Any) -> Any:
        """Count one call of `key`; `success` says whether it was within the limit."""
        return self._limit(unwrap(merged(options, keywords)))

    @js_async
    async def _limit(self, options: Any) -> Any:
        if not isinstance(options, (JsProxy, dict)):
            raise js_error("Error", "invalid rate limit options")
        unknown = [key for key, _ in own_entries(options) if key not in _RATE_OPTIONS]
        if unknown:
            raise js_error("Error", f"bad rate limit options: [{','.join(unknown)}]")
        key, limit, period = (option(options, name) for name in _RATE_OPTIONS)
        key = "" if key is None else key
        limit = self._spec["limit"] if limit is None else limit
        period = self._spec["period"] if period is None else period
        if not isinstance(key, str):
            raise js_error("Error", f"invalid key: {js_string(key)}")
        if not _is_number(limit):
            raise js_error("Error", f"limit must be a number: {js_string(limit)}")
        if not _is_number(period):
            raise js_error("Error", f"period must be a number: {js_string(period)}")
        if period not in _RATE_PERIODS:
            raise js_error("Error", f"unsupported period: {js_string(period)}")
        return make_object({"success": await self._send(self._binding, "limit", (key, limit, period))})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# --- Analytics Engine (workerd, src/workerd/api/analytics-engine.c++; limits: Cloudflare docs, Analytics Engine > Limits) ---

_MAX_MEMBERS = 20
_MAX_INDEXES = 1
_MAX_INDEX_BYTES = 96
_MAX_BLOB_BYTES = 16 * 1024


class AnalyticsEngineDataset(JsProxy):
    """`env.<DATASET>`: what is written is recorded in the state folder (`wpy analytics-engine list`)."""

    def __init__(self, name: str, spec: dict[str, Any], call: Caller) -> None:
        self._binding, self._send = name, call

    def writeDataPoint(self, event: Any = None, **keywords: Any) -> None:
        """Record a point. It is written in the background; raises JavaScript's TypeError for what is over a limit."""
        given = unwrap(merged(event, keywords))
        indexes, blobs, doubles = (_members(given, name) for name in ("indexes", "blobs", "doubles"))
        if len(indexes) > _MAX_INDEXES:
            raise_js("TypeError", f"writeDataPoint(): Maximum of {_MAX_INDEXES} indexes supported.")
        if len(blobs) > _MAX_MEMBERS:
            raise_js("TypeError", f"writeDataPoint(): Maximum of {_MAX_MEMBERS} blobs supported.")
        if len(doubles) > _MAX_MEMBERS:
            raise_js("TypeError", f"writeDataPoint(): Maximum of {_MAX_MEMBERS} doubles supported.")
        index = _text(indexes[0]) if indexes else None
        if index is not None and len(index.encode("utf-8", "replace")) > _MAX_INDEX_BYTES:
            raise_js("TypeError", f"writeDataPoint(): Size of indexes[0] exceeds {_MAX_INDEX_BYTES} bytes).")
        texts = [_text(blob) for blob in blobs]
        if sum(len(text.encode("utf-8", "replace")) for text in texts if text) > _MAX_BLOB_BYTES:
            raise_js("TypeError", f"writeDataPoint(): Cumulative size of blobs exceeds {_MAX_BLOB_BYTES} bytes).")
        numbers = [_double(number) for number in doubles]
        self._send(self._binding, "write", (index, texts, numbers)).add_done_callback(_report)


def _report(future: Any) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        from .. import logs

        logs.emit("error", f"Analytics Engine: the data point was not recorded: {error}")


def _members(event: Any, name: str) -> list[Any]:
    given = option(event, name)
    if given is None or given is jsnull:
        return []
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise_js(
            "TypeError", f"Incorrect type for the '{name}' field on 'AnalyticsEngineEvent': it is not of type 'Array'."
        )
    return list(given)


def _text(value: Any) -> str | None:
    value = unwrap(value)
    if value is None or value is jsnull:
        return None
    data = bytes_of(value)
    return js_string(value) if data is None else data.decode("utf-8", "replace")


def _double(value: Any) -> float:
    from ..shims.js.numbers import to_number

    return float(to_number(unwrap(value)))


# --- Secrets Store --------------------------------------------------------------------------------------------------------


class SecretsStoreSecret(JsProxy):
    """`env.<SECRET>`: a secret of a store, read when it is asked for."""

    def __init__(self, name: str, spec: dict[str, Any], call: Caller) -> None:
        self._binding, self._send = name, call

    @js_async
    async def get(self) -> str:
        """The secret. Raises JavaScript's Error when the store has none of that name."""
        return await self._send(self._binding, "get", ())


# --- values that are fixed when the Worker is loaded ------------------------------------------------------------------------


def make_version_metadata(name: str, spec: dict[str, Any], call: Caller) -> JsObject:
    """`id`, `tag` and `timestamp` of the version that was loaded."""
    return make_object({key: spec[key] for key in ("id", "tag", "timestamp")})


class Hyperdrive(JsProxy):
    """`env.<HYPERDRIVE>`: the local connection string, whole and in parts."""

    def __init__(self, name: str, spec: dict[str, Any], call: Caller) -> None:
        self._binding, self._given = name, spec.get("connection_string")

    @property
    def connectionString(self) -> str:
        if not self._given:
            raise_js(
                "Error",
                f"env.{self._binding}: there is no Hyperdrive on this machine. Set `localConnectionString` in the config or "
                f"CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_{self._binding} in the environment to a database that "
                "can be reached from here.",
            )
        return self._given

    @property
    def host(self) -> str:
        return urlsplit(self.connectionString).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.connectionString)
        return parts.port or (3306 if parts.scheme.startswith("mysql") else 5432)

    @property
    def user(self) -> str:
        return unquote(urlsplit(self.connectionString).username or "")

    @property
    def password(self) -> str:
        return unquote(urlsplit(self.connectionString).password or "")

    @property
    def database(self) -> str:
        return unquote(urlsplit(self.connectionString).path.lstrip("/"))


# --- email ----------------------------------------------------------------------------------------------------------------


class SendEmail(JsProxy):
    """`env.<EMAIL>`: what is sent is kept in the state folder, and told in the terminal."""

    def __init__(self, name: str, spec: dict[str, Any], call: Caller) -> None:
        self._binding, self._send = name, call

    def send(self, message: Any = None, **keywords: Any) -> Any:
        """Keep an EmailMessage (from, to, raw), or what the builder's fields say (from, to, subject, html, text)."""
        return self._keep(unwrap(merged(message, keywords)))

    @js_async
    async def _keep(self, message: Any) -> Any:
        fields = {
            name: await _plain(option(message, name)) for name in ("from", "to", "subject", "html", "text", "raw")
        }
        for required in ("from", "to"):
            if not fields[required]:
                raise js_error("TypeError", f"send(): the message has no `{required}`")
        return make_object({"messageId": await self._send(self._binding, "send", (fields,))})


async def _plain(value: Any) -> Any:
    value = unwrap(value)
    if value is None or value is jsnull:
        return None
    if isinstance(value, ReadableStream):
        return (await read_all(value)).decode("utf-8", "replace")
    if isinstance(value, Blob):
        return value._data.decode("utf-8", "replace")
    data = bytes_of(value)
    if data is not None:
        return data.decode("utf-8", "replace")
    if isinstance(value, (list, tuple)) or (hasattr(value, "__iter__") and not isinstance(value, str)):
        return [js_string(item) for item in value]
    return js_string(value)


def make_ratelimit(name: str, spec: dict[str, Any], call: Caller) -> Ratelimit:
    return Ratelimit.new(name, spec, call)


def make_analytics(name: str, spec: dict[str, Any], call: Caller) -> AnalyticsEngineDataset:
    return AnalyticsEngineDataset.new(name, spec, call)


def make_secret(name: str, spec: dict[str, Any], call: Caller) -> SecretsStoreSecret:
    return SecretsStoreSecret.new(name, spec, call)


def make_hyperdrive(name: str, spec: dict[str, Any], call: Caller) -> Hyperdrive:
    return Hyperdrive.new(name, spec, call)


def make_email(name: str, spec: dict[str, Any], call: Caller) -> SendEmail:
    return SendEmail.new(name, spec, call)
