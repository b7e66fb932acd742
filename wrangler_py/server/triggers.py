"""The paths that run `scheduled()` by hand, with the bytes measured on wrangler 4.86 and 4.164.

`/__scheduled` (in wrangler with --test-scheduled; here always), and `/cdn-cgi/handler/scheduled` with its newer and older
names. The first waits for the handler only, the others for its waitUntil work too. None of them validates `cron`: what
production will not accept, `wpy cron check` tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol
from urllib.parse import parse_qs

from wrangler_py.clock import Clock
from wrangler_py.cron.limits import RAN_SCHEDULED_EVENT
from wrangler_py.cron.trigger_params import TriggerError, parse_test_scheduled, parse_trigger
from wrangler_py.runtime.base import ScheduledOutcome

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_TEXT = "text/plain;charset=UTF-8"
_JSON = "application/json"
_SCHEDULED_PATHS = frozenset({"/cdn-cgi/handler/scheduled", "/cdn-cgi/local/scheduled", "/cdn-cgi/mf/scheduled"})
_EXPLORER_PATH = "/cdn-cgi/local/explorer/api/local/scheduled"
#: Bodies of the explorer's POST larger than this are not read (bytes).
_MAX_BODY = 64 * 1024
_MAX_EXPLORER_TIME_MS = 9_223_372_036_854

Answer = tuple[int, str, str]  # status, body, content type


class RunScheduled(Protocol):
    """Runs one cron event. `worker` None: the session's first worker. Raises LookupError for an unknown one."""

    def __call__(
        self, worker: str | None, cron: str, time_ms: int, *, wait_until: bool
    ) -> Awaitable[ScheduledOutcome]: ...


class Triggers:
    """Answers the trigger paths."""

    def __init__(self, run: RunScheduled, clock: Clock) -> None:
        self._run = run
        self._clock = clock

    async def test_scheduled(self, scope: Scope) -> Answer:
        """`/__scheduled`: any method; `time` and `format` are ignored, as wrangler ignores them."""
        cron = parse_test_scheduled(scope["query_string"])
        outcome = await self._run(None, cron, self._clock.now_ms(), wait_until=False)
        if outcome.outcome != "ok" and outcome.handler:
            return 500, f"Error: {_message(outcome.error or outcome.outcome)}", _TEXT
        return 200, RAN_SCHEDULED_EVENT, _TEXT

    async def cdn_cgi(self, scope: Scope, receive: Receive) -> Answer | None:
        """The answer for a path under `/cdn-cgi/`, or None when the path is the worker's own."""
        path = scope["path"]
        if path in _SCHEDULED_PATHS:
            return await self._handler(scope)
        if path == _EXPLORER_PATH:
            return await self._explorer(scope, receive)
        return None

    async def _handler(self, scope: Scope) -> Answer:
        try:
            trigger = parse_trigger(scope["query_string"], self._clock.now_ms())
        except TriggerError as error:
            return 500, error.body, _TEXT
        outcome = await self._run(None, trigger.cron, trigger.time_ms, wait_until=True)
        status = 200 if outcome.outcome == "ok" else 500
        if trigger.want_json:
            body, content_type = _dump({"outcome": outcome.outcome, "noRetry": outcome.no_retry}), _JSON
        else:
            body, content_type = outcome.outcome, _TEXT
        return status, "" if scope["method"] == "HEAD" else body, content_type

    async def _explorer(self, scope: Scope, receive: Receive) -> Answer:
        """The Local Explorer's POST of wrangler 4.164: the one way to reach a worker that is not the first."""
        if scope["method"] != "POST":
            return 404, "404 Not Found", _TEXT
        try:
            body = json.loads(await _read(receive))
        except ValueError:
            return _explorer_error(400, 10001, "Malformed JSON in request body")
        if not isinstance(body, dict):
            return _explorer_error(400, 10001, f"Invalid input: expected object, received {_js_type(body)}")
        cron, time_ms = body.get("cron"), body.get("scheduled_time")
        if not isinstance(cron, str):
            kind = _js_type(cron) if "cron" in body else "undefined"
            return _explorer_error(400, 10001, f"cron: Invalid input: expected string, received {kind}")
        if not cron.strip():
            return _explorer_error(400, 10001, "cron: Invalid string: must match pattern /.*\\S.*/")
        if time_ms is None and "scheduled_time" not in body:
            time_ms = self._clock.now_ms()
        if isinstance(time_ms, bool) or not isinstance(time_ms, int):
            wanted = "int" if isinstance(time_ms, float) else "number"
            return _explorer_error(
                400, 10001, f"scheduled_time: Invalid input: expected {wanted}, received {_js_type(time_ms)}"
            )
        if abs(time_ms) > _MAX_EXPLORER_TIME_MS:
            side = "big: expected number to be <=" if time_ms > 0 else "small: expected number to be >=-"
            return _explorer_error(400, 10001, f"scheduled_time: Too {side}{_MAX_EXPLORER_TIME_MS}")
        worker = parse_qs(scope["query_string"].decode("latin-1")).get("worker", [""])[0]
        if not worker:
            return _explorer_error(400, 10001, "worker: Invalid input: expected string, received undefined")
        try:
            outcome = await self._run(worker, cron, time_ms, wait_until=True)
        except LookupError:
            return _explorer_error(404, 10000, f'Worker "{worker}" is not registered.')
        result = {"outcome": outcome.outcome, "noRetry": outcome.no_retry}
        return 200, _dump({"success": True, "errors": [], "messages": [], "result": result}), _JSON


#: The class that an exception's text begins with.
_CLASS = re.compile(r"[A-Za-z_][\w.]*: (?=.)", re.ASCII)


def _message(error: str) -> str:
    """What wrangler's page shows of an exception: its message, under the heading "Error", whatever its class."""
    return _CLASS.sub("", error, count=1) if _CLASS.match(error) else error


def _explorer_error(status: int, code: int, message: str) -> Answer:
    errors = [{"code": code, "message": message}]
    return status, _dump({"success": False, "errors": errors, "messages": [], "result": None}), _JSON


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)  # as JSON.stringify writes it


def _js_type(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names[type(value)]


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _MAX_BODY:
            raise ValueError("the body is too large")
        if message["type"] != "http.request" or not message.get("more_body"):
            return bytes(body)
