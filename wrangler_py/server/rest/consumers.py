"""Calls about the consumers of a queue."""

from __future__ import annotations

from wrangler_py.queues.consumers import ConsumerSpec
from wrangler_py.server.rest import objects, schemas
from wrangler_py.server.rest.call import Call, Routes, body_issue
from wrangler_py.server.rest.envelope import Result
from wrangler_py.server.rest.schemas import array

ROUTES = Routes("Consumers")

_ALL = "/accounts/{account_id}/queues/{queue_id}/consumers"
_ONE = _ALL + "/{consumer_id}"


@ROUTES.serve("GET", _ALL, "consumers-list", "List a queue's consumers", result=array(schemas.CONSUMER))
async def list_(call: Call) -> Result:
    return Result([objects.consumer(c) for c in call.rooms.consumers.of(call.queue())])


@ROUTES.serve(
    "POST",
    _ALL,
    "consumers-create",
    "Give a queue a consumer",
    body=schemas.CONSUMER_SPEC,
    result=schemas.CONSUMER,
)
async def create(call: Call) -> Result:
    consumer, notes = await call.rooms.consumers.create(call.queue(), _spec(call))
    return Result(objects.consumer(consumer), notes=notes)


@ROUTES.serve("GET", _ONE, "consumers-get", "Get a consumer", result=schemas.CONSUMER)
async def get(call: Call) -> Result:
    return Result(objects.consumer(call.rooms.consumers.get(call.queue(), call.path["consumer_id"])))


@ROUTES.serve(
    "PUT",
    _ONE,
    "consumers-update",
    "Replace a consumer's settings: what is left out goes back to its default",
    body=schemas.CONSUMER_SPEC,
    result=schemas.CONSUMER,
)
async def replace(call: Call) -> Result:
    consumer, notes = await call.rooms.consumers.replace(call.queue(), call.path["consumer_id"], _spec(call))
    return Result(objects.consumer(consumer), notes=notes)


@ROUTES.serve("DELETE", _ONE, "consumers-delete", "Remove a consumer", result=schemas.NULL)
async def delete(call: Call) -> Result:
    await call.rooms.consumers.remove(call.queue(), call.path["consumer_id"])
    return Result(None)


def _spec(call: Call) -> ConsumerSpec:
    body = call.body
    script = ""
    if body["type"] == "worker":
        script = body.get("script_name", "")
        if not script:
            raise body_issue("control", 'Required at "script_name"', "/script_name")
    return ConsumerSpec(
        body["type"],
        script,
        body.get("environment_name") or "",
        body.get("dead_letter_queue") or None,
        body.get("settings") or {},
    )
