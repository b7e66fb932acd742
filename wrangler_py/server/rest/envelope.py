"""The envelope around everything the API says, and the errors that are about HTTP rather than about queues.

Codes and texts are those of Cloudflare's API gateway, as seen in its answers and listed in its API docs ("Troubleshooting").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field
from starlette.responses import Response

#: Code of the notes in a successful answer's `messages`.
_NOTE = 0


class ApiError(Exception):
    """A request that is refused. Says nothing of queues: their refusals are `queues.limits.Refusal`."""

    def __init__(
        self, status: int, code: int, message: str, *, pointer: str | None = None, chain: Sequence[dict[str, Any]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = [error_object(code, message, pointer=pointer, chain=chain)]


class Result(Struct, frozen=True):
    """What a call answers."""

    value: Any = None
    #: `result_info` of a list.
    info: dict[str, int] | None = None
    #: What the caller should know besides: `messages`.
    notes: Sequence[str] = field(default_factory=list)


def error_object(
    code: int, message: str, *, pointer: str | None = None, chain: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """One entry of `errors`."""
    error: dict[str, Any] = {"code": code, "message": message}
    if pointer is not None:
        error["source"] = {"pointer": pointer}
    if chain:
        error["error_chain"] = list(chain)
    return error


def page_info(count: int, page: int, per_page: int, total: int) -> dict[str, int]:
    """`result_info` of one page of a list."""
    pages = -(-total // per_page)
    return {"count": count, "page": page, "per_page": per_page, "total_count": total, "total_pages": pages}


def success(result: Result) -> Response:
    notes = [{"code": _NOTE, "message": note} for note in result.notes]
    body: dict[str, Any] = {"success": True, "errors": [], "messages": notes, "result": result.value}
    if result.info is not None:
        body["result_info"] = result.info
    return to_json(200, body)


def failure(status: int, errors: Sequence[dict[str, Any]], headers: dict[str, str] | None = None) -> Response:
    body = {"success": False, "errors": list(errors), "messages": [], "result": None}
    return to_json(status, body, headers)


def to_json(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    # Half of a surrogate pair, quoted from a request, can be written as an escape only.
    return Response(text.encode("utf-8", "backslashreplace"), status, headers, "application/json")


# What the gateway refuses ---------------------------------------------------------------------------------------------


def no_route(path: str) -> list[dict[str, Any]]:
    """404"""
    return [
        error_object(7003, f"Could not route to {path}, perhaps your object identifier is invalid?"),
        error_object(7000, "No route for that URI"),
    ]


def no_method(method: str) -> list[dict[str, Any]]:
    """405"""
    return [error_object(7001, f"Method {method} not available for that URI.")]


def not_authenticated(why: str = "") -> ApiError:
    return ApiError(403, 10000, "Authentication error" + why)


def no_credentials() -> ApiError:
    return ApiError(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")


def malformed_authorization() -> ApiError:
    chain = [error_object(6111, "Invalid format for Authorization header")]
    return ApiError(400, 6003, "Invalid request headers", chain=chain)


def foreign_page(why: str) -> ApiError:
    """A request for or from another host name (server/guard.py)."""
    return ApiError(403, 10000, f"Authentication error: {why}")
