"""The way to the dashboard: its page, its API, its figures, and who may use them.

Before a request comes here its Host and Origin were checked (server/guard.py). Beyond that: it comes from this machine, or shows
the token that other machines need (WPY_API_TOKEN); what a browser says of it is that it does not come from a foreign page; and
what changes something shows the token that the page has from its own HTML. The API's code is imported with the first request.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from wrangler_py.server.control import PREFIX, TOKEN_HEADER, CallError, ControlApi, read_arguments
from wrangler_py.server.guard import is_local

if TYPE_CHECKING:
    from wrangler_py.server.dashboard_api.app import App
    from wrangler_py.server.dashboard_api.session_view import SessionView

ROOT = "/cdn-cgi/wpy"
METRICS = f"{ROOT}/metrics"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = "application/json"
_FOREIGN = (b"cross-site", b"same-site")


class DashboardDoor:
    """Answers for `/cdn-cgi/wpy`; what it does not know is the control API's."""

    def __init__(self, session: Callable[[], SessionView], control: ControlApi, api_token: str | None) -> None:
        """`session` is asked once, with the first request. `control`: the API of the commands, with their token. `api_token`:
        what requests from other machines must show; None: they are refused."""
        self._view_session = session
        self._session: SessionView | None = None
        self._app: App | None = None
        self._control = control
        self._api_token = api_token
        self._building = asyncio.Lock()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a request, if it is one for here; returns whether it was."""
        path: str = scope["path"]
        if path != ROOT and not path.startswith(f"{ROOT}/"):
            return False
        if path.startswith(PREFIX) and self._is_command(scope) and self._control.knows(scope):
            return False
        refused = self._refusal(scope)
        if refused is not None:
            await _respond(send, *refused)
            return True
        app = self._app or await self._build()
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if path.startswith(PREFIX):
            return await self._api(app, method, path.removeprefix(PREFIX), scope, receive, send)
        if method != "GET":
            await _respond(send, 405, _error("Only GET is possible here."), headers=((b"allow", b"GET, HEAD"),))
        elif path == METRICS:
            from wrangler_py.server.dashboard_api.prometheus import CONTENT_TYPE

            await _respond(send, 200, await app.prometheus(), CONTENT_TYPE)
        elif path == ROOT:
            await _respond(send, 307, "", headers=((b"location", f"{ROOT}/".encode()),))
        else:
            await self._page(path.removeprefix(f"{ROOT}/"), scope, send)
        return True

    def close(self) -> None:
        """End what is open."""
        if self._app is not None:
            self._app.close()

    # Who may ------------------------------------------------------------------------------------------------------

    def _is_command(self, scope: Scope) -> bool:
        return self._control.may(_header(scope, TOKEN_HEADER))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if _header(scope, b"sec-fetch-site") in _FOREIGN and _header(scope, b"sec-fetch-mode") != b"navigate":
            return 403, _error("This is not for pages of other origins.")
        origin = _header(scope, b"origin")
        if origin and origin.partition(b"://")[2] != _header(scope, b"host"):
            return 403, _error("This is not for pages of other origins.")
        client = scope.get("client")
        if not is_local(client[0] if client else None):
            scheme, _, token = _header(scope, b"authorization").partition(b" ")
            known = (self._api_token or "").encode()
            if not known or scheme.lower() != b"bearer" or not secrets.compare_digest(token.strip(), known):
                text = "Other machines need `Authorization: Bearer TOKEN` with the token that the session has in WPY_API_TOKEN."
                return 401, _error(text)
        return None

    # API ----------------------------------------------------------------------------------------------------------

    async def _api(self, app: App, method: str, path: str, scope: Scope, receive: Receive, send: Send) -> bool:
        if method == "GET" and path == "openapi.json":
            await _respond(send, 200, app.openapi())
            return True
        if method == "GET" and path == "events" and b"text/event-stream" in _header(scope, b"accept"):
            await self._stream(app, scope, receive, send)
            return True
        found = app.find(method, path)
        if found is None:
            if method == "POST" and (control := app.session.controls.get(f"POST {path}")) is not None:
                await self._move(app, path, control, scope, receive, send)
                return True
            other = app.find("POST" if method == "GET" else "GET", path)
            status, text = (405, "another method") if other is not None else (404, "another path")
            await _respond(
                send, status, _error(f"There is no call {method} {path}; see {PREFIX}openapi.json for {text}.")
            )
            return True
        route, parts = found
        body: dict[str, Any] = {}
        if method == "POST":
            try:
                body = await read_arguments(receive)
            except CallError as error:
                await _respond(send, error.status, _error(error.text))
                return True
            refused = None if body.get("preview") is True else self._write_refusal(scope)
            if refused is not None:
                await _respond(send, *refused)
                return True
        status, answer, work_s = await app.answer(route, parts, scope["query_string"], body)
        timing = (b"server-timing", b"work;dur=%.1f" % (work_s * 1000))
        await _respond(send, status, json.dumps(answer, ensure_ascii=False), headers=(timing,))
        return True

    async def _move(self, app: App, path: str, control: Any, scope: Scope, receive: Receive, send: Send) -> None:
        """A call of the control API (the clock's, the workflows') from the page, with the lines to copy."""
        from wrangler_py.server.dashboard_api.control_lines import also_of

        try:
            body = await read_arguments(receive)
            preview = body.pop("preview", False) is True
            refused = None if preview else self._write_refusal(scope)
            if refused is not None:
                await _respond(send, *refused)
                return
            lines = also_of(app.call({}, b"", body), path, body)
            done = {} if preview else await control(body)
            await _respond(send, 200, json.dumps({"ok": True, "also": lines, **done}, ensure_ascii=False))
        except CallError as error:
            await _respond(send, error.status, _error(error.text))

    def _write_refusal(self, scope: Scope) -> tuple[int, str] | None:
        assert self._session is not None
        if self._session.readonly:
            return 403, _error(
                "This session is served with --readonly: it can be looked at, and nothing can be changed."
            )
        given = _header(scope, TOKEN_HEADER)
        if not secrets.compare_digest(given, self._session.page_token.encode()) and not self._control.may(given):
            return 401, _error(
                "What changes something needs the session's token in the header X-Wpy-Token; reload the page."
            )
        return None

    async def _stream(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        last = _header(scope, b"last-event-id").decode("latin-1") or app.call({}, scope["query_string"], {}).query.get(
            "after", ""
        )
        after = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), *_security()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.ensure_future(_gone(receive))
        frames = app.stream.frames(after)
        try:
            while True:
                coming = asyncio.ensure_future(anext(frames, None))
                await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    coming.cancel()
                    with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                        await coming
                    return
                frame = coming.result()
                if frame is None:
                    break
                await send({"type": "http.response.body", "body": frame.encode(), "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            closing: Any = getattr(frames, "aclose", None)
            if closing is not None:
                await closing()

    # Page ---------------------------------------------------------------------------------------------------------

    async def _page(self, path: str, scope: Scope, send: Send) -> None:
        from wrangler_py.server.dashboard_api.page import page_file

        assert self._session is not None
        file = page_file(path, self._session.page_token, readonly=self._session.readonly)
        if file is None:
            await _respond(send, 404, _error(f"The dashboard has no {path or 'page'}."))
            return
        if file.etag is None:
            await _respond(send, 200, file.body, file.content_type, headers=((b"cache-control", b"no-store"),))
            return
        headers = ((b"etag", file.etag.encode()), (b"cache-control", b"no-cache"))
        if _header(scope, b"if-none-match") == file.etag.encode():
            await _respond(send, 304, b"", file.content_type, headers=headers)
        else:
            await _respond(send, 200, file.body, file.content_type, headers=headers)

    async def _build(self) -> App:
        async with self._building:
            if self._app is None:
                # In a thread: the import takes a while, and a queue may be draining at this moment.
                make = await asyncio.to_thread(_import_app)
                self._session = self._view_session()
                self._app = make(self._session)
            return self._app


def _import_app() -> Callable[[SessionView], App]:
    from wrangler_py.server.dashboard_api.app import App

    return App


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for given, value in scope["headers"] if given == name), b"")


def _error(text: str) -> str:
    return json.dumps({"error": text}, ensure_ascii=False)


def _security() -> tuple[tuple[bytes, bytes], ...]:
    from wrangler_py.server.dashboard_api.page import SECURITY_HEADERS

    return SECURITY_HEADERS


async def _respond(
    send: Send,
    status: int,
    body: str | bytes,
    content_type: str = _JSON,
    *,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    data = body.encode("utf-8", "replace") if isinstance(body, str) else body
    given = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(data)).encode()),
        *headers,
        *_security(),
    ]
    if not any(name == b"cache-control" for name, _ in headers):
        given.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": status, "headers": given})
    await send({"type": "http.response.body", "body": data})
