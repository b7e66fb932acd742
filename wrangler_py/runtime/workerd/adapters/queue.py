"""`env.<QUEUE>` of a JavaScript Worker: workerd's requests, and the broker.

Protocol: workerd's src/workerd/api/queue.c++, and what workerd 1.20260426.1 and 1.20261117.1 were seen to send.
"""

from __future__ import annotations

import json
from binascii import Error as BinasciiError
from binascii import a2b_base64
from typing import Any, Protocol, get_args

from wrangler_py.events.trace import Span, within
from wrangler_py.queues.limits import BATCH_DELAY_INVALID, MESSAGE_METADATA_INVALID, QueueSendError
from wrangler_py.queues.message import ContentType, OutgoingMessage, QueueMetrics
from wrangler_py.runtime.base import QueueService
from wrangler_py.runtime.workerd.kept_sends import KeptSends
from wrangler_py.runtime.workerd.loopback import Head, Reply, Take

_CONTENT_TYPES = frozenset(get_args(ContentType))


class Sender(Protocol):
    """Whose event a Worker's call belongs to."""

    def span_of(self, worker: str) -> Span | None: ...


class QueueAdapter:
    """Answers the requests of all queue bindings."""

    def __init__(self, queues: QueueService, sender: Sender, kept: KeptSends | None = None) -> None:
        """`kept`: who keeps sends that need not be stored before they are answered."""
        self._queues = queues
        self._sender = sender
        self._kept = kept

    def __call__(self, head: Head) -> Take:
        """Immediate (loopback.py)."""
        path = head.target.partition("?")[0].rstrip("/").rpartition("/")[2]
        if head.method == "GET" and path == "metrics":
            return lambda reply, _: reply.respond_json(self._metrics(head.resource))
        try:
            if path == "message":
                return self._message(head)
            if path == "batch":
                return self._batch(head)
        except QueueSendError as error:
            refusal = error
            return lambda reply, _: _refuse(reply, refusal)
        return lambda reply, _: reply.respond(
            404, f"wpy: a queue has no {head.method} {head.target}".encode(), (), None
        )

    def _metrics(self, queue: str) -> bytes:
        if self._kept is not None:
            self._kept.store()
        return _metrics(self._queues.metrics(queue))

    def _message(self, head: Head) -> Take:
        content_type = _content_type(head.headers.get("x-msg-fmt"))
        delay = _seconds(head.headers.get("x-msg-delay-secs"), MESSAGE_METADATA_INVALID)

        def take(reply: Reply, body: bytes) -> None:
            self._send(reply, head, [OutgoingMessage(body, content_type, delay)], None, batch=False)

        return take

    def _batch(self, head: Head) -> Take:
        delay = _seconds(head.headers.get("x-msg-delay-secs"), BATCH_DELAY_INVALID)

        def take(reply: Reply, body: bytes) -> None:
            try:
                messages = _messages(body)
            except QueueSendError as error:
                _refuse(reply, error)
                return
            self._send(reply, head, messages, delay, batch=True)

        return take

    def _send(
        self, reply: Reply, head: Head, messages: list[OutgoingMessage], delay: int | None, *, batch: bool
    ) -> None:
        def tell(metrics: QueueMetrics | None, error: Exception | None) -> None:
            if metrics is not None:
                reply.respond_json(_sent(metrics))
                if kept is not None:
                    kept.told(head.resource, metrics)
            elif isinstance(error, QueueSendError):
                _refuse(reply, error)
            else:
                reply.respond(500, repr(error).encode(), (), None)

        kept = self._kept
        span = self._sender.span_of(head.worker)
        try:
            if kept is not None:
                metrics = kept.keep(head.resource, messages, delay, span, batch=batch)
                if metrics is not None:
                    reply.respond_json(_sent(metrics))
                    return
                kept.store()  # the order of sends is theirs
            with within(span):
                self._queues.enqueue(head.resource, messages, delay, batch=batch, tell=tell)
        except QueueSendError as error:
            _refuse(reply, error)


def _messages(body: bytes) -> list[OutgoingMessage]:
    try:
        messages = json.loads(body)["messages"]
        return [
            OutgoingMessage(
                a2b_base64(message["body"], strict_mode=True),
                _content_type(message.get("contentType")),
                _seconds(message.get("delaySecs"), MESSAGE_METADATA_INVALID),
            )
            for message in messages
        ]
    except (ValueError, KeyError, TypeError, BinasciiError) as error:
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


def _sent(metrics: QueueMetrics) -> bytes:
    count, size, oldest_ms = metrics
    return b'{"metadata":{"metrics":{"backlogCount":%d,"backlogBytes":%d,"oldestMessageTimestamp":%d}}}' % (
        count,
        size,
        oldest_ms or 0,
    )


def _refuse(reply: Reply, error: QueueSendError) -> None:
    cause = error.cause.encode("ascii", "replace").decode()
    headers = (("CF-Queues-Error-Code", str(error.code)), ("CF-Queues-Error-Cause", cause))
    # [workerd] without queue_expose_error_codes the Worker's error shows the reason phrase
    reply.respond(400, error.cause.encode(), headers, error.status_text)
