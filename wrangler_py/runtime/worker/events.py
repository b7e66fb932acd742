"""What a queue or scheduled handler is given: MessageBatch, Message, ScheduledController.

Native Python without the SDK's wrappers, which is what makes a batch cheap: user code reads these objects directly. They
behave as the wrappers do on Cloudflare. `raw` ones, for module-level handlers and for SDKs before 1.4, are what such code
finds there: JavaScript values.
"""

from __future__ import annotations

import sys
from typing import Any

from . import logs, outcome, texts
from .shims.js.core import JsProxy, jsnull, make_object, option, raise_js
from .shims.js.jsjson import parse, parse_plain
from .shims.js.numbers import to_int32
from .values import check_names, js_dict, metrics_dict, naive_datetime, nulls


class Settlement:
    """What a handler said of its batch, in the terms of workerd's QueueEvent (src/workerd/api/queue.c++)."""

    __slots__ = ("ack_all", "acks", "calls", "closed", "ignored", "retries", "retry_all")

    def __init__(self) -> None:
        self.ack_all = False
        self.retry_all: tuple[int | None] | None = None
        self.acks: dict[str, None] = {}
        self.retries: dict[str, int | None] = {}
        #: id or "*" -> (call, file and line of the user's)
        self.calls: dict[str, tuple[str, str | None]] = {}
        #: Calls without effect: (message id or "*", call, the earlier call that stands, file and line of the user's).
        self.ignored: list[tuple[str, str, str, str | None]] = []
        #: The result was reported; later calls are lost.
        self.closed = False

    def ack(self, message: str) -> None:
        if self.closed or self.ack_all:
            return
        if self.retry_all is not None:
            self._ignore(message, "ack", "retryAll")
        elif message in self.retries:
            self._ignore(message, "ack", "retry")
        else:
            self.acks[message] = None
            self.calls[message] = outcome.called("ack")

    def retry(self, message: str, delay: int | None) -> None:
        if self.closed:
            return
        if self.ack_all:
            self._ignore(message, "retry", "ackAll")
        elif message in self.acks:
            self._ignore(message, "retry", "ack")
        else:
            self.retries[message] = delay
            self.calls[message] = outcome.called("retry")

    def ack_batch(self) -> None:
        if self.closed:
            return
        if self.retry_all is not None:
            self._ignore("*", "ackAll", "retryAll")
        else:
            self.ack_all = True
            self.calls["*"] = outcome.called("ackAll")

    def retry_batch(self, delay: int | None) -> None:
        if self.closed:
            return
        if self.ack_all:
            self._ignore("*", "retryAll", "ackAll")
            return
        if delay is None and self.retry_all is not None:
            delay = self.retry_all[0]  # a later call without a delay keeps the earlier one
        self.retry_all = (delay,)
        self.calls["*"] = outcome.called("retryAll")

    def _ignore(self, message: str, call: str, earlier: str) -> None:
        self.ignored.append((message, call, earlier, outcome.called(call)[1]))
        text = texts.IGNORED_ON_BATCH if message == "*" else texts.IGNORED_ON_MESSAGE
        logs.emit("warn", text.format(call=call, earlier=earlier, id=message))

    def result(self) -> dict[str, Any]:
        """RESULT's fields of a queue event."""
        return {
            "ack_all": self.ack_all,
            "retry_all": self.retry_all,
            "acks": list(self.acks),
            "retries": dict(self.retries),
            "calls": dict(self.calls),
            "ignored": list(self.ignored),
        }


def _retry_delay(args: tuple[Any, ...], keywords: dict[str, Any], call: str, on: str) -> int | None:
    """The delay that `retry(...)` or `retryAll(...)` was given, None without one."""
    if keywords:
        check_names(call, keywords)
        args = (*args, keywords)
    if not args:
        return None
    options = args[0]
    if options is None or options is jsnull:
        return None
    if isinstance(options, dict):
        options = nulls(options)
    elif isinstance(options, (str, int, float)):
        raise_js("TypeError", texts.BAD_RETRY_OPTIONS.format(call=call, on=on))
    delay = option(options, "delaySeconds")
    return None if delay is None else to_int32(delay)


class Message:
    """One message of a batch."""

    __slots__ = ("__dict__", "_body", "_raw", "_settlement", "_source", "attempts", "id")

    def __init__(self, settlement: Settlement, fields: tuple[Any, ...], raw: bool) -> None:
        self.id, timestamp, self.attempts, content_type, data = fields
        self._settlement = settlement
        self._source = (timestamp, content_type, data)
        self._raw = raw
        self._body: Any = _UNREAD

    @property
    def body(self) -> Any:
        """The decoded body. Raises JavaScript's SyntaxError or DataCloneError for one that is broken."""
        body = self._body
        if body is _UNREAD:
            _, content_type, data = self._source
            body = self._body = (_decode_raw if self._raw else _decode)(content_type, data)
        return body

    @property
    def timestamp(self) -> Any:
        """When the message was sent: a naive datetime in the process's zone (a JavaScript Date for raw messages)."""
        milliseconds = self._source[0]
        if not self._raw:
            return naive_datetime(milliseconds)
        from .shims.js.dates import Date

        return Date.new(milliseconds)

    def ack(self, *_ignored: Any) -> None:
        """Never deliver this message again."""
        self._settlement.ack(self.id)

    def retry(self, *args: Any, **keywords: Any) -> None:
        """`retry(delaySeconds=...)`: deliver this message again. Raises JavaScript's TypeError for bad options."""
        self._settlement.retry(self.id, _retry_delay(args, keywords, "retry", "QueueMessage"))

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def __repr__(self) -> str:
        return f"<Message {self.id} attempt {self.attempts}>"


_UNREAD = object()


def _decode(content_type: str, data: bytes) -> Any:
    """A body as the SDK gives it to Python."""
    if content_type == "json":
        return parse_plain(data.decode("utf-8", "replace"), js_dict())
    if content_type == "text":
        return data.decode("utf-8", "replace")
    if content_type == "bytes":
        return memoryview(data)
    from .v8 import deserialize

    try:
        return sys.modules["workers.rpc"].python_from_rpc(deserialize(data))
    except RecursionError as error:
        raise RecursionError(texts.CIRCULAR_HERE) from error


def _decode_raw(content_type: str, data: bytes) -> Any:
    """A body as JavaScript has it."""
    if content_type == "json":
        return parse(data.decode("utf-8", "replace"))
    if content_type == "text":
        return data.decode("utf-8", "replace")
    if content_type == "bytes":
        from .shims.js.buffers import make_bytes

        return make_bytes(data)
    from .v8 import deserialize

    return deserialize(data)


class _QueueController:
    """What JavaScript calls the class of a batch; the SDK names it in errors."""

    name = "QueueController"


class MessageBatch:
    """The messages of one call of a queue handler."""

    constructor = _QueueController

    def __init__(self, queue: str, messages: list[tuple[Any, ...]], metrics: tuple[Any, ...], raw: bool) -> None:
        self.queue = queue
        self._settlement = settlement = Settlement()
        self._metrics = metrics
        self._raw = raw
        listed = [Message(settlement, fields, raw) for fields in messages]
        if raw:
            from .shims.js.arrays import make_array

            self.messages: Any = make_array(listed)
        else:
            self.messages = listed

    @property
    def metadata(self) -> Any:
        """`{"metrics": ...}`: the queue's backlog without this batch."""
        if not self._raw:
            return js_dict()({"metrics": metrics_dict(self._metrics)})
        from .shims.js.dates import Date

        count, size, oldest = self._metrics
        metrics = {"backlogCount": count, "backlogBytes": size}
        if oldest:
            metrics["oldestMessageTimestamp"] = Date.new(oldest)
        return make_object({"metrics": make_object(metrics)})

    def ackAll(self, *_ignored: Any) -> None:
        """Never deliver these messages again, except those with an explicit `retry()`."""
        self._settlement.ack_batch()

    def retryAll(self, *args: Any, **keywords: Any) -> None:
        """`retryAll(delaySeconds=...)`: deliver these messages again, except those with an explicit `ack()`."""
        self._settlement.retry_batch(_retry_delay(args, keywords, "retryAll", "QueueController"))


class ScheduledController(JsProxy):
    """`controller` of a scheduled handler; a JavaScript object on Cloudflare too, which the SDK does not wrap."""

    def __init__(self, cron: str, time_ms: int) -> None:
        self.cron = cron
        #: The moment that this run was planned for, in milliseconds since the epoch.
        self.scheduledTime = time_ms
        self._no_retry = False

    def noRetry(self) -> None:
        """Do not run this again when it fails."""
        self._no_retry = True
