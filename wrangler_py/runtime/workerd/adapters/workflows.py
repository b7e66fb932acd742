"""`env.<WORKFLOW>`: calls of the shim's `shim/workflow_binding.js`. Values are wire values (runtime/worker/rpc_values.py)."""

from __future__ import annotations

import json

from wrangler_py.runtime.workerd.adapters.small import SmallCall, SmallCallRefused
from wrangler_py.runtime.workerd.loopback import Call
from wrangler_py.runtime.workerd.rpc import packed, unpacked


class WorkflowAdapter:
    """The resource is the binding's name."""

    def __init__(self, answer: SmallCall) -> None:
        self._answer = answer

    async def __call__(self, call: Call) -> None:
        """Handler (loopback.py)."""
        method, *args = json.loads(await call.body(), object_hook=unpacked)
        try:
            value = await self._answer(call.worker, call.resource, method, tuple(args))
        except SmallCallRefused as error:
            call.answer(400, str(error).encode())
            return
        if method == "createBatch":
            value = ("list", value)
        call.answer(200, json.dumps(packed(value)).encode(), (("content-type", "application/json"),))
