"""Batches and crons as the dispatcher (shim/dispatch.js) takes them, and its answers as outcomes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from wrangler_py.queues.message import Batch, BatchOutcome, Message, Retry
from wrangler_py.runtime.base import ScheduledOutcome
from wrangler_py.runtime.workerd.sourcemap import StackMapper


def batch_json(batch: Batch) -> bytes:
    """A batch. Bodies that are JSON go in as they are and are never parsed here."""
    metrics = batch.metrics
    head = {
        "queue": batch.queue,
        "metrics": {
            "backlogCount": metrics.backlog_count,
            "backlogBytes": metrics.backlog_bytes,
            "oldestMessageTimestamp": metrics.oldest_timestamp_ms or 0,
        },
    }
    messages = b",".join(_message(message) for message in batch.messages)
    return json.dumps(head).encode()[:-1] + b',"messages":[' + messages + b"]}"


def _message(message: Message) -> bytes:
    if message.content_type == "json":
        body = b'"j":' + message.body
    elif message.content_type == "text":
        body = b'"t":' + json.dumps(message.body.decode("utf-8", "replace")).encode()
    else:
        kind = b"b" if message.content_type == "bytes" else b"v"
        body = b'"%b":"%b"' % (kind, base64.b64encode(message.body))
    return b'{"id":"%b","ts":%d,"n":%d,%b}' % (message.id.encode(), message.timestamp_ms, message.attempts, body)


def batch_outcome(result: Mapping[str, Any], stacks: StackMapper) -> BatchOutcome:
    """workerd's `FetcherQueueResult`, and what the shim saw of the handler."""
    seen = result.get("seen") or {}
    retry_batch = result["retryBatch"]
    outcome = result["outcome"]
    error = seen.get("error")
    return BatchOutcome(
        outcome=outcome,
        ack_all=result["ackAll"],
        retry_all=Retry(retry_batch.get("delaySeconds")) if retry_batch["retry"] else None,
        explicit_acks=set(result["explicitAcks"]),
        retries={entry["msgId"]: Retry(entry.get("delaySeconds")) for entry in result["retryMessages"]},
        error=_error(outcome, error),
        calls={
            ("*" if key.startswith("*") else key): (method, stacks.where(stack))
            for key, (method, stack) in seen.get("calls", {}).items()
        },
    )


def scheduled_outcome(result: Mapping[str, Any]) -> ScheduledOutcome:
    outcome = result["outcome"]
    return ScheduledOutcome(outcome, result["noRetry"], _error(outcome, (result.get("seen") or {}).get("error")))


#: What workerd's outcomes mean when no exception came with them.
_MEANINGS = {
    "exceededCpu": "the handler waits for something that never comes (a promise that nothing resolves)",
    "exception": "the handler failed, or work that it gave to waitUntil() did",
}


def _error(outcome: str, thrown: str | None) -> str | None:
    """The exception's first line, or what the outcome means."""
    if outcome == "ok":
        return None
    if thrown:
        return thrown.split("\n", 1)[0]
    return _MEANINGS.get(outcome, outcome)
