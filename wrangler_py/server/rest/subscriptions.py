"""Calls about event subscriptions."""

from __future__ import annotations

from typing import Any

from wrangler_py.queues.subscriptions import ORDERS
from wrangler_py.server.rest import objects, schemas
from wrangler_py.server.rest.call import PAGING, Call, Query, Routes
from wrangler_py.server.rest.envelope import Result, page_info
from wrangler_py.server.rest.schemas import array

ROUTES = Routes("Event subscriptions")

_ALL = "/accounts/{account_id}/event_subscriptions/subscriptions"
_ONE = _ALL + "/{subscription_id}"
_QUEUE_ID = Query("queue_id", {"type": "string"}, "Only those whose destination is this queue")
_ORDER = Query("order", {"type": "string", "enum": list(ORDERS)}, default="created_at")
_DIRECTION = Query("direction", {"type": "string", "enum": ["asc", "desc"]}, default="asc")

_STORED_ONLY = "The subscription is stored. No events of other Cloudflare products occur on a local server."


@ROUTES.serve(
    "POST",
    _ALL,
    "subscriptions-create",
    "Subscribe a queue to the events of a source",
    body=schemas.SUBSCRIPTION_CREATE,
    result=schemas.SUBSCRIPTION,
)
async def create(call: Call) -> Result:
    body = call.body
    queue = call.rooms.admin.find(body["destination"]["queue_id"])
    made = await call.rooms.subscriptions.create(
        queue.uuid, body["name"], body["source"], body["events"], enabled=body.get("enabled", True)
    )
    return Result(objects.subscription(made), notes=[_STORED_ONLY])


@ROUTES.serve(
    "GET",
    _ALL,
    "subscriptions-list",
    "List event subscriptions",
    query=(*PAGING, _QUEUE_ID, _ORDER, _DIRECTION),
    result=array(schemas.SUBSCRIPTION),
    paged=True,
)
async def list_(call: Call) -> Result:
    query = call.query
    page, per_page = query["page"], query["per_page"]
    found, total = call.rooms.subscriptions.page(
        query["queue_id"], page, per_page, query["order"], descending=query["direction"] == "desc"
    )
    return Result([objects.subscription(s) for s in found], page_info(len(found), page, per_page, total))


@ROUTES.serve("GET", _ONE, "subscriptions-get", "Get an event subscription", result=schemas.SUBSCRIPTION)
async def get(call: Call) -> Result:
    return Result(objects.subscription(call.rooms.subscriptions.get(call.path["subscription_id"])))


@ROUTES.serve(
    "PATCH",
    _ONE,
    "subscriptions-edit",
    "Change an event subscription",
    body=schemas.SUBSCRIPTION_CHANGE,
    result=schemas.SUBSCRIPTION,
)
async def edit(call: Call) -> Result:
    body = call.body
    changes: dict[str, Any] = {name: body[name] for name in ("name", "enabled", "events") if name in body}
    if "destination" in body:
        changes["queue_id"] = call.rooms.admin.find(body["destination"]["queue_id"]).uuid
    changed = await call.rooms.subscriptions.change(call.path["subscription_id"], **changes)
    return Result(objects.subscription(changed))


@ROUTES.serve("DELETE", _ONE, "subscriptions-delete", "Delete an event subscription", result=schemas.SUBSCRIPTION)
async def delete(call: Call) -> Result:
    return Result(objects.subscription(await call.rooms.subscriptions.remove(call.path["subscription_id"])))
