"""Who may use the API.

From this machine any token will do, as a local server has no accounts: what a client must show it shows, so that the same
client works against Cloudflare. From elsewhere it takes the token that the session was given (WPY_API_TOKEN). A page in a
browser gets nowhere: it can set no such header without CORS, and the guard of `/cdn-cgi/*` stands here too.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection

from starlette.requests import Request

from wrangler_py.server import guard
from wrangler_py.server.rest import envelope

_NO_TOKEN = ": requests from other machines need the token that the session finds in WPY_API_TOKEN, and it has none"


def check_page(request: Request, allowed_hosts: Collection[str]) -> None:
    """Raise ApiError for a request under a foreign host name or from a foreign page."""
    refused = guard.refusal(request.headers.raw, allowed_hosts)
    if refused is not None:
        raise envelope.foreign_page(refused)


def check(request: Request, allowed_hosts: Collection[str], api_token: str | None) -> None:
    """Raise ApiError unless the request may use the API."""
    token = _token(request)
    if api_token is not None and secrets.compare_digest(token, api_token.encode()):
        return  # who knows the token may use any name of this machine
    if not guard.is_local(request.client.host if request.client else None):
        raise envelope.not_authenticated("" if api_token is not None else _NO_TOKEN)
    check_page(request, allowed_hosts)


def _token(request: Request) -> bytes:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise envelope.malformed_authorization()
        return token.strip().encode("latin-1")
    key = request.headers.get("x-auth-key")
    if not key or not request.headers.get("x-auth-email"):
        raise envelope.no_credentials()
    return key.encode("latin-1")
