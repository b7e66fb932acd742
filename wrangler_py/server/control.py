"""The control API of a session, `/cdn-cgi/wpy/api/...`: how other commands reach a running `wpy dev`.

A call is POST (it changes something) or GET (it does not), with the session's token in `X-Wpy-Token` (the token stands in the
state database, which only this user can read) and a JSON object as body. It answers JSON: what was asked for, or
{"error": text} with 400 (the call is wrong), 401 (no token), 404 (no such call), 409 (not possible now).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

PREFIX = "/cdn-cgi/wpy/api/"
TOKEN_HEADER = b"x-wpy-token"
#: A larger body is refused unread (bytes).
MAX_BODY = 1 << 20

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Call = Callable[[dict[str, Any]], Awaitable[Any]]
Answer = tuple[int, str, str]


class CallError(Exception):
    """A call that cannot be carried out; the text says why and what to do. `status` is the HTTP status."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class ControlApi:
    """Answers the control API. `calls`: "GET clock" or "POST clock/advance" -> what does it."""

    def __init__(self, token: str, calls: Mapping[str, Call]) -> None:
        self._token = token.encode()
        self._calls = calls

    def knows(self, scope: Scope) -> bool:
        """Whether there is such a call."""
        return f"{scope['method']} {scope['path'].removeprefix(PREFIX)}" in self._calls

    def may(self, token: bytes) -> bool:
        """Whether that is the session's token."""
        return secrets.compare_digest(token, self._token)

    async def answer(self, scope: Scope, receive: Receive) -> Answer | None:
        """The answer to a request, or None when its path is not the control API's."""
        if not scope["path"].startswith(PREFIX):
            return None
        token = next((value for name, value in scope["headers"] if name == TOKEN_HEADER), b"")
        if not self.may(token):
            return _json(401, {"error": "This needs the session's token in the header X-Wpy-Token."})
        name = f"{scope['method']} {scope['path'].removeprefix(PREFIX)}"
        call = self._calls.get(name)
        if call is None:
            known = ", ".join(sorted(self._calls))
            return _json(404, {"error": f"There is no call {name}. There are: {known}."})
        try:
            return _json(200, await call(await read_arguments(receive)))
        except CallError as error:
            return _json(error.status, {"error": error.text})


async def read_arguments(receive: Receive) -> dict[str, Any]:
    """The JSON object that is a request's body; {} without one. Raises CallError."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise CallError(f"The body is larger than {MAX_BODY} bytes.")
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    if not body:
        return {}
    try:
        arguments = json.loads(bytes(body))
    except ValueError as error:
        raise CallError(f"The body is not JSON: {error}.") from error
    if not isinstance(arguments, dict):
        raise CallError("The body is not a JSON object.")
    return arguments


def _json(status: int, value: Any) -> Answer:
    return status, json.dumps(value, ensure_ascii=False), "application/json"
