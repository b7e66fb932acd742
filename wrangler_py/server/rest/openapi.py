"""The OpenAPI 3.1 document of what is served, made from the table of routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from wrangler_py import __version__
from wrangler_py.server.rest.call import Query, Route
from wrangler_py.server.rest.door import PREFIX
from wrangler_py.server.rest.schemas import NAMED

_ERROR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "code": {"type": "integer"},
        "message": {"type": "string"},
        "source": {"type": "object", "properties": {"pointer": {"type": "string"}}},
        "error_chain": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["code", "message"],
}
_NOTE = {
    "type": "object",
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    "required": ["code", "message"],
}
_PAGE_INFO = {
    "type": "object",
    "properties": {name: {"type": "integer"} for name in ("count", "page", "per_page", "total_count", "total_pages")},
    "required": ["count", "page", "per_page", "total_count", "total_pages"],
}
_FAILURE = {
    "type": "object",
    "properties": {
        "success": {"const": False},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Error"}, "minItems": 1},
        "messages": {"type": "array"},
        "result": {"type": "null"},
    },
    "required": ["success", "errors", "messages", "result"],
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The document, with every schema that has a name under `components`."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cloudflare REST API v4, Queues, as served by wpy",
            "version": __version__,
            "description": "Request bodies are read as JSON whatever their content type says.",
        },
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}, {"email": [], "key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "email": {"type": "apiKey", "in": "header", "name": "X-Auth-Email"},
                "key": {"type": "apiKey", "in": "header", "name": "X-Auth-Key"},
            },
            "schemas": {
                "Error": _ERROR,
                "Note": _NOTE,
                "PageInfo": _PAGE_INFO,
                "Failure": _FAILURE,
                **{name: _inner(schema) for name, schema in NAMED.items()},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": [*map(_path_parameter, re.findall(r"{(\w+)}", route.path)), *map(_parameter, route.query)],
        "responses": {
            "200": _content(_success(route), "Done"),
            "4XX": _content({"$ref": "#/components/schemas/Failure"}, "Refused; nothing was done"),
            "5XX": _content({"$ref": "#/components/schemas/Failure"}, "The state could not be read or written"),
        },
    }
    if route.body is not None:
        content = {"application/json": {"schema": _reference(route.body)}}
        operation["requestBody"] = {"required": not route.body_optional, "content": content}
    return operation


def _success(route: Route) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "success": {"const": True},
        "errors": {"type": "array", "maxItems": 0},
        "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Note"}},
        "result": _reference(route.result),
    }
    if route.paged:
        properties["result_info"] = {"$ref": "#/components/schemas/PageInfo"}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _content(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _parameter(query: Query) -> dict[str, Any]:
    schema = {"type": "array", "items": query.schema} if query.repeated else dict(query.schema)
    if query.default is not None:
        schema["default"] = query.default
    parameter = {"name": query.name, "in": "query", "required": False, "schema": schema}
    return {**parameter, "description": query.description} if query.description else parameter


def _reference(schema: Any) -> Any:
    """The schema, or a reference where it has a name."""
    for name, named in NAMED.items():
        if named is schema:
            return {"$ref": f"#/components/schemas/{name}"}
    return _inner(schema)


def _inner(schema: Any) -> Any:
    """The schema with references in place of the named ones inside it."""
    if isinstance(schema, dict):
        return {key: _reference(value) if isinstance(value, dict) else _inner(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_reference(value) for value in schema]
    return schema
