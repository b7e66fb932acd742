"""Calls about queues: create, list, get, change, delete, metrics, purge."""

from __future__ import annotations

from typing import Any

from wrangler_py.queues.purge import PurgeStatus
from wrangler_py.server.rest import objects, schemas
from wrangler_py.server.rest.call import PAGING, Call, Query, Routes, body_issue
from wrangler_py.server.rest.envelope import Result, page_info
from wrangler_py.server.rest.schemas import array

ROUTES = Routes("Queues")

_ALL = "/accounts/{account_id}/queues"
_ONE = _ALL + "/{queue_id}"
_NAMES = Query("name", {"type": "string"}, "Only the queues with exactly this name; may be repeated", repeated=True)


@ROUTES.serve("POST", _ALL, "queues-create", "Create a queue", body=schemas.QUEUE_CREATE, result=schemas.QUEUE)
async def create(call: Call) -> Result:
    body = call.body
    queue = await call.rooms.admin.create(body["queue_name"], body.get("settings") or {}, body.get("jurisdiction"))
    return Result(objects.queue(queue))


@ROUTES.serve(
    "GET", _ALL, "queues-list", "List queues", query=(*PAGING, _NAMES), result=array(schemas.QUEUE), paged=True
)
async def list_(call: Call) -> Result:
    page, per_page = call.query["page"], call.query["per_page"]
    queues, total = call.rooms.admin.page(call.query["name"], page, per_page)
    return Result([objects.queue(q) for q in queues], page_info(len(queues), page, per_page, total))


@ROUTES.serve("GET", _ONE, "queues-get", "Get a queue", result=schemas.QUEUE)
async def get(call: Call) -> Result:
    return Result(objects.queue(call.rooms.admin.details(call.queue())))


@ROUTES.serve(
    "PUT",
    _ONE,
    "queues-update",
    "Replace a queue's settings: what is left out goes back to its default",
    body=schemas.QUEUE_CHANGE,
    result=schemas.QUEUE,
)
async def replace(call: Call) -> Result:
    return await _change(call, reset=True)


@ROUTES.serve(
    "PATCH",
    _ONE,
    "queues-edit",
    "Change some of a queue's settings",
    body=schemas.QUEUE_CHANGE,
    result=schemas.QUEUE,
)
async def edit(call: Call) -> Result:
    return await _change(call, reset=False)


async def _change(call: Call, *, reset: bool) -> Result:
    body = call.body
    queue = await call.rooms.admin.change(
        call.queue(),
        body.get("settings") or {},
        reset=reset,
        name=body.get("queue_name"),
        jurisdiction=body.get("jurisdiction"),
    )
    return Result(objects.queue(queue))


@ROUTES.serve("DELETE", _ONE, "queues-delete", "Delete a queue", result=schemas.NULL)
async def delete(call: Call) -> Result:
    await call.rooms.admin.delete(call.queue())
    return Result(None)


@ROUTES.serve("GET", _ONE + "/metrics", "queues-get-metrics", "A queue's backlog", result=schemas.METRICS)
async def metrics(call: Call) -> Result:
    return Result(objects.metrics(call.rooms.broker.metrics(call.queue().name)))


@ROUTES.serve(
    "POST",
    _ONE + "/purge",
    "queues-purge-start",
    "Delete all messages that wait in a queue",
    body=schemas.PURGE,
    result=schemas.PURGE_RESULT,
)
async def purge(call: Call) -> Result:
    record = call.queue()
    if call.body["delete_messages_permanently"] is not True:
        raise body_issue("control", "delete_messages_permanently must be true", "/delete_messages_permanently")
    status = await call.rooms.purges.purge(record)
    queue = objects.queue(call.rooms.admin.details(record))
    return Result({**queue, "started_at": _started(status), "complete": status.complete})


@ROUTES.serve("GET", _ONE + "/purge", "queues-purge-status", "The last purge of a queue", result=schemas.PURGE_STATUS)
async def purge_status(call: Call) -> Result:
    status = call.rooms.purges.status(call.queue())
    found: dict[str, Any] = {"started_at": _started(status), "completed": "true" if status.complete else "false"}
    return Result(found)


def _started(status: PurgeStatus) -> str:
    return "" if status.started_ms is None else objects.moment(status.started_ms)
