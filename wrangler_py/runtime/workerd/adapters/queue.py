"""`env.<QUEUE>` of a JavaScript Worker: workerd's requests, and the broker.

Protocol: workerd's src/workerd/api/queue.c++, and what workerd 1.20260426.1 and 1.20261117.1 were seen to send.
"""

from __future__ import annotations

import base64
import binascii
import json
from contextlib import AbstractContextManager
from typing import Any, Protocol, get_args

from wrangler_py.queues.limits import BATCH_DELAY_INVALID, MESSAGE_METADATA_INVALID, QueueSendError
from wrangler_py.queues.message import ContentType, OutgoingMessage, QueueMetrics
from wrangler_py.runtime.base import QueueService
from wrangler_py.runtime.workerd.loopback import Call

_CONTENT_TYPES = frozenset(get_args(ContentType))
_JSON = (("content-type", "application/json"),)


class Sender(Protocol):
    """Whose event a Worker's call belongs to."""

    def within(self, worker: str) -> AbstractContextManager[object]: ...


class QueueAdapter:
    """Answers the requests of all queue bindings."""

    def __init__(self, queues: QueueService, sender: Sender) -> None:
        self._queues = queues
        self._sender = sender

    def __call__(self, call: Call, body: bytes) -> None:
        """Immediate (loopback.py)."""
        path = call.target.partition("?")[0].rstrip("/").rpartition("/")[2]
        try:
            if call.method == "GET" and path == "metrics":
                call.answer(200, _metrics(self._queues.metrics(call.resource)), _JSON)
            elif path == "message":
                self._send(call, [_message(call.headers, body)], None, batch=False)
            elif path == "batch":
                delay = _seconds(call.headers.get("x-msg-delay-secs"), BATCH_DELAY_INVALID)
                self._send(call, _batch(body), delay, batch=True)
            else:
                call.answer(404, f"wpy: a queue has no {call.method} {call.target}".encode())
        except QueueSendError as error:
            _refuse(call, error)

    def _send(self, call: Call, messages: list[OutgoingMessage], delay: int | None, *, batch: bool) -> None:
        def tell(metrics: QueueMetrics | None, error: Exception | None) -> None:
            if metrics is not None:
                call.answer(200, b'{"metadata":{"metrics":%b}}' % _metrics(metrics), _JSON)
            elif isinstance(error, QueueSendError):
                _refuse(call, error)
            else:
                call.answer(500, repr(error).encode())

        with self._sender.within(call.worker):
            self._queues.enqueue(call.resource, messages, delay, batch=batch, tell=tell)


def _message(headers: dict[str, str], body: bytes) -> OutgoingMessage:
    delay = _seconds(headers.get("x-msg-delay-secs"), MESSAGE_METADATA_INVALID)
    return OutgoingMessage(body, _content_type(headers.get("x-msg-fmt")), delay)


def _batch(body: bytes) -> list[OutgoingMessage]:
    try:
        messages = json.loads(body)["messages"]
        return [
            OutgoingMessage(
                base64.b64decode(message["body"], validate=True),
                _content_type(message.get("contentType")),
                _seconds(message.get("delaySecs"), MESSAGE_METADATA_INVALID),
            )
            for message in messages
        ]
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise QueueSendError(MESSAGE_METADATA_INVALID, f"the batch cannot be read: {error!r}") from None


def _content_type(named: str | None) -> ContentType:
    if named is None:
        return "v8"  # [workerd] what a compatibility date before 2024-03-18 sends
    if named not in _CONTENT_TYPES:
        raise QueueSendError(
            MESSAGE_METADATA_INVALID,
            f"message content type {named} is invalid; if specified, must be one of 'text', 'json', 'bytes', or 'v8'",
        )  # [miniflare]
    return named  # type: ignore[return-value]


def _seconds(value: Any, code: int) -> int | None:
    if value is None:
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise QueueSendError(code, f"delaySeconds of {value} is not a whole number") from None


def _metrics(metrics: QueueMetrics) -> bytes:
    return b'{"backlogCount":%d,"backlogBytes":%d,"oldestMessageTimestamp":%d}' % (
        metrics.backlog_count,
        metrics.backlog_bytes,
        metrics.oldest_timestamp_ms or 0,  # [workerd] 0: there is none
    )


def _refuse(call: Call, error: QueueSendError) -> None:
    cause = error.cause.encode("ascii", "replace").decode()
    headers = (("CF-Queues-Error-Code", str(error.code)), ("CF-Queues-Error-Cause", cause))
    # [workerd] without queue_expose_error_codes the Worker's error shows the reason phrase
    call.answer(400, error.cause.encode(), headers, reason=error.status_text)
