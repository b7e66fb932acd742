"""The OpenAPI 3.1 document of the dashboard's API, made from the table of routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from wrangler_py import __version__
from wrangler_py.server.control import PREFIX
from wrangler_py.server.dashboard_api import schemas
from wrangler_py.server.dashboard_api.call import Parameter, Route

_FAILURE = {"$ref": "#/components/schemas/Failure"}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(f"/{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wpy: what happens in a local session, and what can be done about it",
            "version": __version__,
            "description": "Times are milliseconds since 1970 on the session's clock. Reading needs no token; see docs/dashboard-api.md.",
        },
        "servers": [{"url": PREFIX.rstrip("/")}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Wpy-Token"}},
            "schemas": {"Failure": schemas.record(error=schemas.TEXT)},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    name = re.sub(r"[^a-z]+", "-", f"{route.method.lower()} {route.path.lower()}").strip("-")
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [*map(_in_path, re.findall(r"{(\w+)}", route.path)), *map(_in_query, route.query)],
        "responses": {"200": _content("Done", route.result), "default": _content("Refused", _FAILURE)},
    }
    if route.method == "POST":
        operation["security"] = [{"token": []}]
        body = dict(route.body or schemas.record())
        body["properties"] = {**body["properties"], "preview": schemas.BOOLEAN}
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation


def _content(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schemas.TEXT}


def _in_query(parameter: Parameter) -> dict[str, Any]:
    found = {"name": parameter.name, "in": "query", "required": False, "schema": parameter.schema}
    return {**found, "description": parameter.description} if parameter.description else found
