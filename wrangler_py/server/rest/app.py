"""The Starlette application: authenticates, routes by the table, checks query and body, and answers in the envelope."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from wrangler_py.queues import limits
from wrangler_py.queues.admin import QueueAdmin
from wrangler_py.queues.consumers import Consumers
from wrangler_py.queues.peek import Peeks
from wrangler_py.queues.pull import Pulls
from wrangler_py.queues.purge import Purges
from wrangler_py.queues.subscriptions import Subscriptions
from wrangler_py.server.rest import auth, body, envelope
from wrangler_py.server.rest.call import (
    BODY_INVALID,
    MESSAGE_BODY_MALFORMED,
    Call,
    Plane,
    Query,
    Rooms,
    Route,
    body_issue,
    body_malformed,
)
from wrangler_py.server.rest.door import PREFIX, RestOptions
from wrangler_py.server.rest.envelope import ApiError
from wrangler_py.server.rest.openapi import document
from wrangler_py.server.rest.routes import ROUTES
from wrangler_py.server.rest.validate import validate
from wrangler_py.store.database import StateError

#: What a client is told that will not read it: it went away.
_CLIENT_WENT_AWAY = 499
#: How often a query parameter may be repeated.
_MOST_REPEATED = 1_000


def build_app(options: RestOptions, pulls: Pulls) -> Starlette:
    """The REST API of one session."""
    parts = (options.store, options.clock, options.events, options.broker)
    rooms = Rooms(
        store=options.store,
        broker=options.broker,
        admin=QueueAdmin(*parts),
        consumers=Consumers(*parts),
        pulls=pulls,
        peeks=Peeks(*parts),
        purges=Purges(*parts),
        subscriptions=Subscriptions(options.store, options.clock),
        started_ms=options.clock.now_ms(),
    )
    by_path: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, {})[route.method] = route
    endpoints = [StarletteRoute(PREFIX + path, _Endpoint(routes, rooms, options)) for path, routes in by_path.items()]
    openapi = StarletteRoute(PREFIX + "/openapi.json", _OpenApi(options))
    app = Starlette(routes=[openapi, *endpoints], exception_handlers={404: _no_route})
    app.router.redirect_slashes = False
    return app


async def _no_route(request: Request, _: Exception) -> Response:
    return envelope.failure(404, envelope.no_route(request.url.path.removeprefix(PREFIX)))


class _OpenApi:
    """Serves the OpenAPI document. It tells nothing of the session, so it asks for no token."""

    def __init__(self, options: RestOptions) -> None:
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            auth.check_page(request, self._options.allowed_hosts)
            if request.method not in ("GET", "HEAD"):
                response = _no_method(request.method, ("GET",))
            else:
                response = envelope.to_json(200, document(ROUTES))
        except ApiError as error:
            response = envelope.failure(error.status, error.errors)
        await response(scope, receive, send)


class _Endpoint:
    """All calls of one path."""

    def __init__(self, routes: Mapping[str, Route], rooms: Rooms, options: RestOptions) -> None:
        self._routes = routes
        self._rooms = rooms
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            response = Response(status_code=_CLIENT_WENT_AWAY)
        except ApiError as error:
            response = envelope.failure(error.status, error.errors)
        except limits.Refusal as error:
            response = envelope.failure(error.status, [envelope.error_object(error.code, error.text)])
        except limits.QueueSendError as error:
            status = 500 if error.code == limits.UNKNOWN_INTERNAL_ERROR else 400
            response = envelope.failure(status, [envelope.error_object(error.code, error.cause)])
        except (sqlite3.Error, StateError) as error:
            text = self._rooms.broker.explain(error)
            response = envelope.failure(500, [envelope.error_object(limits.UNKNOWN_INTERNAL_ERROR, text)])
        except Exception as error:
            text = f"wpy failed: {error!r}. Please report this."
            response = envelope.failure(500, [envelope.error_object(limits.UNKNOWN_INTERNAL_ERROR, text)])
            await response(scope, receive, send)
            raise  # the server prints the traceback
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        auth.check(request, self._options.allowed_hosts, self._options.api_token)
        method = "GET" if request.method == "HEAD" else request.method
        route = self._routes.get(method)
        if route is None:
            return _no_method(request.method, self._routes)
        given, unknown = await _body(request, route)
        query = _query(request, route)
        call = Call(self._rooms, request, route.plane, request.path_params, query, given)
        result = await route.handler(call)
        if unknown:
            ignored = f"Unknown and ignored: {', '.join(unknown[:20])}"
            result = envelope.Result(result.value, result.info, [*result.notes, ignored])
        return envelope.success(result)


def _no_method(method: str, allowed: Mapping[str, Any] | tuple[str, ...]) -> Response:
    return envelope.failure(405, envelope.no_method(method), {"allow": ", ".join(allowed)})


async def _body(request: Request, route: Route) -> tuple[Any, list[str]]:
    """The checked body, and the names in it that mean nothing."""
    if route.body is None:
        return None, []
    try:
        data = await body.read(request)
    except body.TooLarge:
        text = f"The request body is larger than {body.MAX_BODY} bytes"
        raise ApiError(413, route.too_large, text) from None
    except body.Packed as error:
        code = MESSAGE_BODY_MALFORMED if route.plane == "data" else BODY_INVALID
        raise ApiError(415, code, f"Could not read the request body: {error}") from None
    if not data and route.body_optional:
        return {}, []
    try:
        given = body.parse(data)
    except body.Malformed as error:
        raise body_malformed(route.plane, str(error)) from error
    findings = validate(given, route.body)
    if findings.issues:
        raise body_issue(route.plane, findings.text(), findings.pointer())
    if route.plane == "control" and not body.is_unicode(given):
        raise body_malformed(route.plane, "a text holds half of a surrogate pair")
    return given, findings.unknown


def _query(request: Request, route: Route) -> dict[str, Any]:
    """The checked parameters of the query string; those that mean nothing are passed over."""
    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True):
        given.setdefault(name, []).append(value)
    return {query.name: _parameter(query, given.get(query.name, []), route.plane) for query in route.query}


def _parameter(query: Query, values: list[str], plane: Plane) -> Any:
    if query.repeated:
        if len(values) > _MOST_REPEATED:
            raise body_issue(plane, f'Expected at most {_MOST_REPEATED} times query parameter "{query.name}"')
        return values
    if not values:
        return query.default
    value: Any = values[-1]
    if query.schema["type"] == "integer" and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20:
        value = int(value)
    findings = validate(value, query.schema)
    if findings.issues:
        raise body_issue(plane, f'{findings.text()} at query parameter "{query.name}"')
    return value
