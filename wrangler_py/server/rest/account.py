"""Calls by which clients find out who and where they are. A local server has one user with one account; every other account
id reaches the same queues.
"""

from __future__ import annotations

import hashlib
from typing import Any

from wrangler_py.queues.consumers import Attached
from wrangler_py.server.rest import objects, schemas
from wrangler_py.server.rest.call import PAGING, Call, Routes
from wrangler_py.server.rest.envelope import ApiError, Result, page_info
from wrangler_py.server.rest.schemas import array

ROUTES = Routes("Account")

ACCOUNT_ID = "10ca1000000000000000000000000000"
_USER_ID = "10ca1000000000000000000000000001"
_MEMBERSHIP_ID = "10ca1000000000000000000000000002"
_EMAIL = "local@localhost"
_TOKEN_IS_ACTIVE = "This API Token is valid and active"  # Cloudflare's words
_SUBDOMAIN = "wpy-local"
_SCRIPT_SUBDOMAIN = "/accounts/{account_id}/workers/scripts/{script_name}/subdomain"
_NO_WORKER = 10090  # Cloudflare: "This Worker does not exist on your account."


@ROUTES.serve(
    "GET", "/accounts", "accounts-list", "The one account", query=PAGING, result=array(schemas.ACCOUNT), paged=True
)
async def accounts(call: Call) -> Result:
    return _one_page(call, _account(call, ACCOUNT_ID))


@ROUTES.serve("GET", "/accounts/{account_id}", "accounts-get", "An account", result=schemas.ACCOUNT)
async def account(call: Call) -> Result:
    return Result(_account(call, call.path["account_id"]))


@ROUTES.serve(
    "GET",
    "/memberships",
    "memberships-list",
    "The one membership",
    query=PAGING,
    result=array(schemas.MEMBERSHIP),
    paged=True,
)
async def memberships(call: Call) -> Result:
    membership = {"id": _MEMBERSHIP_ID, "status": "accepted", "account": _account(call, ACCOUNT_ID), "roles": []}
    return _one_page(call, membership)


@ROUTES.serve("GET", "/user", "user-get", "The one user", result=schemas.USER)
async def user(call: Call) -> Result:
    return Result({"id": _USER_ID, "email": call.request.headers.get("x-auth-email") or _EMAIL})


@ROUTES.serve(
    "GET",
    "/accounts/{account_id}/tokens/verify",
    "account-tokens-verify",
    "Whether the token is active",
    result=schemas.TOKEN,
)
@ROUTES.serve("GET", "/user/tokens/verify", "user-tokens-verify", "Whether the token is active", result=schemas.TOKEN)
async def verify_token(call: Call) -> Result:
    shown = call.request.headers.get("authorization") or call.request.headers.get("x-auth-key") or ""
    token_id = hashlib.sha256(shown.encode()).hexdigest()[:32]
    return Result({"id": token_id, "status": "active"}, notes=[_TOKEN_IS_ACTIVE])


@ROUTES.serve(
    "GET",
    "/accounts/{account_id}/workers/services/{script_name}",
    "workers-services-get",
    "A Worker of a running session",
    result=schemas.SERVICE,
)
async def service(call: Call) -> Result:
    """A Worker by name: wrangler asks for its default environment when it removes a consumer."""
    name = call.path["script_name"]
    attached = Attached(call.rooms.store)
    if name not in attached.workers:
        raise ApiError(404, _NO_WORKER, "This Worker does not exist on your account.")
    environment = {"environment": "production", "script": {"id": name}}
    return Result({"id": name, "default_environment": environment, "environments": [{"environment": "production"}]})


# `wrangler triggers deploy` looks these up before it comes to the consumers of queues.


@ROUTES.serve(
    "GET",
    "/accounts/{account_id}/workers/subdomain",
    "workers-subdomain-get",
    "The account's name on workers.dev",
    result=schemas.SUBDOMAIN,
)
async def subdomain(call: Call) -> Result:
    return Result({"subdomain": _SUBDOMAIN})


@ROUTES.serve(
    "GET",
    _SCRIPT_SUBDOMAIN,
    "workers-scripts-subdomain-get",
    "Whether a Worker is served on workers.dev: never by a local server",
    result=schemas.SCRIPT_SUBDOMAIN,
)
async def script_subdomain(call: Call) -> Result:
    return Result({"enabled": False, "previews_enabled": False})


@ROUTES.serve(
    "GET",
    "/accounts/{account_id}/workers/workers/{script_name}",
    "workers-get",
    "The same, as newer versions of wrangler ask for it",
    result=schemas.WORKER,
)
async def worker(call: Call) -> Result:
    name = call.path["script_name"]
    return Result({"id": name, "name": name, "subdomain": {"enabled": False, "previews_enabled": False}})


@ROUTES.serve(
    "POST",
    _SCRIPT_SUBDOMAIN,
    "workers-scripts-subdomain-create",
    "Serve a Worker on workers.dev: a local server answers that it is not",
    body=schemas.SCRIPT_SUBDOMAIN_CHANGE,
    result=schemas.SCRIPT_SUBDOMAIN,
)
async def change_script_subdomain(call: Call) -> Result:
    notes = ["A local server serves nothing on workers.dev."] if call.body["enabled"] else []
    return Result({"enabled": False, "previews_enabled": False}, notes=notes)


def _one_page(call: Call, item: dict[str, Any]) -> Result:
    page, per_page = call.query["page"], call.query["per_page"]
    found = [item] if page == 1 else []
    return Result(found, page_info(len(found), page, per_page, 1))


def _account(call: Call, account_id: str) -> dict[str, Any]:
    created = objects.moment(call.rooms.started_ms)
    return {"id": account_id, "name": "wpy", "type": "standard", "created_on": created, "settings": {}}
