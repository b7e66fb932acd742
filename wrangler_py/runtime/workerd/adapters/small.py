"""Bindings with one method (rate limits, Analytics Engine, secrets): calls of the shim's `shim/small.js`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from wrangler_py.runtime.workerd.loopback import Call

#: Answers a call of (worker, binding, method, arguments). Raises SmallCallRefused.
SmallCall = Callable[[str, str, str, tuple[Any, ...]], Awaitable[Any]]


class SmallCallRefused(Exception):
    """The binding refuses. The text is the Error's message in the Worker."""


class SmallAdapter:
    """The resource is the binding's name."""

    def __init__(self, answer: SmallCall) -> None:
        self._answer = answer

    async def __call__(self, call: Call) -> None:
        """Handler (loopback.py)."""
        asked = json.loads(await call.body())
        try:
            value = await self._answer(call.worker, call.resource, asked["method"], tuple(asked["args"]))
        except SmallCallRefused as error:
            call.answer(400, str(error).encode())
            return
        call.answer(200, json.dumps(value).encode(), (("content-type", "application/json"),))
