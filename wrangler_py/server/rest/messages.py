"""Calls about messages: push, pull, ack, peek, preview, purge by ref."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from wrangler_py.queues import limits
from wrangler_py.queues.message import OutgoingMessage, QueueMetrics
from wrangler_py.queues.values import whole_number
from wrangler_py.server.rest import body as json_body
from wrangler_py.server.rest import objects, schemas
from wrangler_py.server.rest.call import Call, Routes, body_issue
from wrangler_py.server.rest.envelope import Result
from wrangler_py.server.rest.validate import js_type

ROUTES = Routes("Messages", "data")

_MESSAGES = "/accounts/{account_id}/queues/{queue_id}/messages"


@ROUTES.serve(
    "POST",
    _MESSAGES,
    "messages-push",
    "Push a message",
    body=schemas.PUSH,
    result=schemas.PUSH_RESULT,
    too_large=limits.MESSAGE_SIZE_OUT_OF_BOUNDS,
)
async def push(call: Call) -> Result:
    record = call.queue()
    message = _outgoing(call.body, "")
    return _pushed(await call.rooms.broker.send(record.name, [message]))


@ROUTES.serve(
    "POST",
    _MESSAGES + "/batch",
    "messages-push-batch",
    "Push up to 100 messages, all or none",
    body=schemas.PUSH_BATCH,
    result=schemas.PUSH_RESULT,
    too_large=limits.BATCH_SIZE_OUT_OF_BOUNDS,
)
async def push_batch(call: Call) -> Result:
    record = call.queue()
    messages = [_outgoing(m, f"messages[{number}].") for number, m in enumerate(call.body["messages"])]
    delay = whole_number(call.body.get("delay_seconds"))
    return _pushed(await call.rooms.broker.send(record.name, messages, delay, batch=True))


def _pushed(metrics: QueueMetrics) -> Result:
    return Result({"metadata": {"metrics": objects.metrics(metrics)}})


def _outgoing(given: Mapping[str, Any], path: str) -> OutgoingMessage:
    body = given["body"]
    content_type = cast(Literal["json", "text"], given.get("content_type", "json"))
    received = js_type(body)
    if content_type == "text":
        if received != "string":
            raise _wrong_body("string", received, path)
        data = body.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    else:
        if received not in ("object", "array"):
            raise _wrong_body("object", received, path)
        data = json_body.stringify(body)
    return OutgoingMessage(data, content_type, whole_number(given.get("delay_seconds")), "api")


def _wrong_body(expected: str, received: str, path: str) -> Exception:
    where = f"{path}body"
    pointer = "/" + where.replace("[", "/").replace("].", "/")
    return body_issue("data", f'Expected {expected}, received {received} at "{where}"', pointer)


@ROUTES.serve(
    "POST",
    _MESSAGES + "/pull",
    "messages-pull",
    "Lease messages of a queue with an http_pull consumer",
    body=schemas.PULL,
    body_optional=True,
    result=schemas.PULL_RESULT,
)
async def pull(call: Call) -> Result:
    body = call.body
    timeout = body.get("visibility_timeout_ms", body.get("visibility_timeout"))
    pulled = await call.rooms.pulls.pull(call.queue(), whole_number(body.get("batch_size")), whole_number(timeout))
    return Result(
        {
            "message_backlog_count": pulled.metrics.backlog_count,
            "messages": [objects.pulled(p) for p in pulled.messages],
            "metadata": {"metrics": objects.metrics(pulled.metrics)},
        }
    )


@ROUTES.serve(
    "POST",
    _MESSAGES + "/ack",
    "messages-ack",
    "Acknowledge and retry leased messages",
    body=schemas.ACK,
    result=schemas.ACK_RESULT,
)
async def ack(call: Call) -> Result:
    acks = [entry["lease_id"] for entry in call.body.get("acks", [])]
    retries = [(r["lease_id"], whole_number(r.get("delay_seconds"))) for r in call.body.get("retries", [])]
    acked = await call.rooms.pulls.settle(call.queue(), acks, retries)
    return Result({"ackCount": acked.acks, "retryCount": acked.retries, "warnings": acked.warnings})


@ROUTES.serve(
    "POST",
    _MESSAGES + "/peek",
    "messages-peek",
    "Look at ready messages without taking them",
    body=schemas.PEEK,
    body_optional=True,
    result=schemas.PEEK_RESULT,
)
async def peek(call: Call) -> Result:
    return Result({"messages": [objects.peeked(p) for p in call.rooms.peeks.peek(call.queue(), _batch_size(call))]})


@ROUTES.serve(
    "POST",
    _MESSAGES + "/preview",
    "messages-preview",
    "Look at ready messages, with leases to settle them by",
    body=schemas.PEEK,
    body_optional=True,
    result=schemas.PREVIEW_RESULT,
)
async def preview(call: Call) -> Result:
    """What the dashboard's list of messages uses: a peek whose messages can be settled."""
    record = call.queue()
    peeked = call.rooms.peeks.peek(record, _batch_size(call))
    leases = await call.rooms.pulls.preview(record, [p.message for p in peeked])
    return Result({"messages": objects.previewed(peeked, leases)})


@ROUTES.serve(
    "POST",
    _MESSAGES + "/purge",
    "messages-purge",
    "Delete messages that were peeked at",
    body=schemas.PURGE_REFS,
    result=schemas.PURGE_REFS_RESULT,
)
async def purge(call: Call) -> Result:
    purged = await call.rooms.peeks.purge(call.queue(), [entry["ref"] for entry in call.body["refs"]])
    return Result({"errors": [{"message": text} for text in purged.errors], "warnings": purged.warnings})


def _batch_size(call: Call) -> int:
    return whole_number(call.body.get("batch_size")) or limits.DEFAULT_PULL_BATCH_SIZE
