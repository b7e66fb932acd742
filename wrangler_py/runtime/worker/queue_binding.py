"""`env.<QUEUE>`: send, sendBatch and metrics.

A native object without `.constructor`, so that workers-runtime-sdk hands it to user code as it is. What the SDK's
wrapper does on Cloudflare happens here: Python's TypeErrors are raised by the call itself, JavaScript's when the result
is awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from . import logs, texts
from .jsonbody import encode_js, encode_plain, to_js_value, utf8
from .shims.js.core import JsException, JsProxy, js_error, jsnull, option
from .shims.js.numbers import to_int32
from .values import check_names, js_dict, metrics_dict, nulls

CONTENT_TYPES = ("json", "text", "bytes", "v8")

#: Sends a CALL of (binding, method, args) and returns the future of its REPLY.
Caller = Callable[[str, str, tuple[Any, ...]], asyncio.Future]
#: Given messages, delay and whether it is a batch: what `send()` answers, or None (outbox.py).
Keeper = Callable[[tuple[Any, ...], "int | None", bool], "Awaitable[Any] | None"]


class QueueBinding:
    """A queue that the worker produces to."""

    def __init__(self, name: str, call: Caller, default_type: str, keep: Keeper | None = None) -> None:
        """`keep`: a way to send that need not wait for the server, and that leaves to `call` what it cannot take."""
        self._name = name
        self._call = call
        self._keep = keep
        #: "json", or "v8" before the compatibility flag `queues_json_messages`.
        self._default = default_type

    def send(self, *args: Any, **keywords: Any) -> Awaitable[Any]:
        """`send(body, contentType=..., delaySeconds=...)`: resolves when the message is stored.

        Raises TypeError at once for a body that RPC cannot carry; when awaited, JsException for what the binding or
        the queue refuses.
        """
        if not keywords and len(args) == 1 and self._default == "json":
            body = encode_plain(args[0])
            if body is not None:
                return self._sent(((body, "json", None),), None, False)
        if keywords:
            check_names("send", keywords)
            args = (*args, keywords)
        if not args:
            return _rejected(js_error("TypeError", texts.NO_BODY_ARGUMENT))
        options = _options(args[1] if len(args) > 1 else None)
        given = option(options, "contentType")
        kind = given.lower() if type(given) is str and given.lower() in CONTENT_TYPES else given
        prepared = self._prepare(args[0], self._default if kind is None else kind)
        try:
            if not _is_object(options):
                raise js_error("TypeError", texts.BAD_SEND_OPTIONS)
            delay = _delay(options)
            data, content_type = self._encode(prepared, kind, "send")
            if content_type == "bytes" and not isinstance(args[0], (bytes, memoryview)):
                args[0].buffer._detach()  # send() takes the buffer away from JavaScript, sendBatch() does not
        except JsException as error:
            return _rejected(error)
        return self._sent(((data, content_type, delay),), None, False)

    def sendBatch(self, *args: Any, **keywords: Any) -> Awaitable[Any]:
        """`sendBatch([{"body": ..., "contentType": ..., "delaySeconds": ...}, ...], delaySeconds=...)`, all or nothing."""
        if keywords:
            check_names("sendBatch", keywords)
            args = (*args, keywords)
        batch = args[0] if args else None
        if type(batch) is not list or not all(isinstance(item, dict) for item in batch):
            batch = to_js_value(batch) if args else None
        options = _options(args[1] if len(args) > 1 else None)
        try:
            if isinstance(batch, (str, int, float)) or batch is None or not hasattr(batch, "__iter__"):
                raise js_error("TypeError", texts.BAD_BATCH)
            items = [self._item(item) for item in batch]
            if not _is_object(options):
                raise js_error("TypeError", texts.BAD_BATCH_OPTIONS)
            delay = _delay(options)
            if not items:
                raise js_error("TypeError", texts.EMPTY_BATCH)
            messages = tuple((*self._encode(prepared, kind, "sendBatch"), own) for prepared, kind, own in items)
        except JsException as error:
            return _rejected(error)
        return self._sent(messages, delay, True)

    def metrics(self) -> Awaitable[Any]:
        """The queue's backlog: `backlogCount`, `backlogBytes`, `oldestMessageTimestamp` when there is a message."""
        return self._metrics(self._call(self._name, "metrics", ()))

    def _item(self, item: Any) -> tuple[Any, Any, int | None]:
        if not isinstance(item, (dict, JsProxy)):
            raise js_error("TypeError", texts.BAD_BATCH_ITEM)
        given = option(item, "body") if not isinstance(item, dict) or "body" in item else _MISSING
        if given is _MISSING or (given is None and not isinstance(item, dict)):
            raise js_error("TypeError", texts.BODY_UNDEFINED)
        kind = option(item, "contentType")
        if kind is None and isinstance(item, dict) and "contentType" in item:
            kind = jsnull
        prepared = self._prepare(given, self._default if kind is None else kind)
        delay = _delay(nulls(item) if isinstance(item, dict) else item)
        return prepared, kind, delay

    def _prepare(self, body: Any, kind: Any) -> Any:
        """What a body has become on its way to JavaScript: (bytes, None) when it is encoded already, else (None, value)."""
        if kind == "json" and (data := encode_plain(body)) is not None:
            return data, None
        if (kind == "text" and type(body) is str) or (kind == "bytes" and type(body) is bytes):
            return None, body
        return None, to_js_value(body)

    def _encode(self, prepared: Any, kind: Any, call: str) -> tuple[bytes, str]:
        data, value = prepared
        if data is None and value is None:
            raise js_error("TypeError", texts.BODY_UNDEFINED)
        if kind is None:
            kind = self._default
        if kind not in CONTENT_TYPES:
            from .shims.js.convert import js_string

            raise js_error("TypeError", texts.BAD_CONTENT_TYPE.format(given=js_string(kind)))
        if data is not None:
            return data, kind
        if kind == "json":
            return encode_js(value, lambda lost: self._say_lost(lost, call)), kind
        if kind == "text":
            if not isinstance(value, str):
                raise js_error("TypeError", texts.NOT_TEXT.format(typeof=_typeof(value)))
            return utf8(value), kind
        if kind == "bytes":
            return _view_bytes(value), kind
        from .v8 import serialize

        return serialize(value), kind

    def _say_lost(self, kind: str, call: str) -> None:
        logs.emit("warn", texts.LOST_TYPE.format(name=self._name, call=call, type=kind))

    def _sent(self, messages: tuple[Any, ...], delay: int | None, batch: bool) -> Awaitable[Any]:
        if self._keep is not None and (answer := self._keep(messages, delay, batch)) is not None:
            return answer
        return self._response(self._call(self._name, "send", (messages, delay, batch)))

    async def _response(self, future: asyncio.Future) -> Any:
        dicts = js_dict()
        return dicts({"metadata": dicts({"metrics": metrics_dict(await future)})})

    async def _metrics(self, future: asyncio.Future) -> Any:
        return metrics_dict(await future)


_MISSING = object()


async def _rejected(error: BaseException) -> Any:
    raise error


def _options(given: Any) -> Any:
    """An options argument as it reaches JavaScript: None is null, in a dict as well."""
    if isinstance(given, dict):
        return nulls(given)
    return jsnull if given is None else given


def _is_object(options: Any) -> bool:
    return options is jsnull or not isinstance(options, (str, int, float))


def _delay(options: Any) -> int | None:
    delay = option(options, "delaySeconds")
    if delay is None or (type(delay) is int and -(2**31) <= delay < 2**31):
        return delay
    return to_int32(delay)


def _typeof(value: Any) -> str:
    from .shims.js.convert import js_typeof

    return js_typeof(value)


def _view_bytes(value: Any) -> bytes:
    from .shims.js.buffers import BufferView

    if type(value) is bytes:
        return value
    if not isinstance(value, BufferView):
        raise js_error("TypeError", texts.NOT_BYTES.format(typeof=_typeof(value)))
    return value.to_bytes()
