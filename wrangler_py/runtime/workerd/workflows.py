"""The `run()` of a workflow's instance in workerd (shim/workflow.js): one WebSocket an instance, over which it asks the
engine for its steps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from wrangler_py.runtime.base import SocketLink, WorkerError
from wrangler_py.runtime.workerd.generation import Generation, RunningEvent
from wrangler_py.runtime.workerd.rpc import RpcSession, ServiceCalls, packed


class WorkflowRun:
    """One of them, from its start to its end, or until it is given up."""

    def __init__(
        self,
        generation: Generation,
        event: RunningEvent,
        link: SocketLink,
        services: ServiceCalls,
        given: Any,
        step: Callable[..., Awaitable[Any]],
    ) -> None:
        """`given`: the event of `run(event, step)`. `step` answers what the instance asks: (answers that it had, operation, arguments)."""
        self._generation = generation
        self._event = event
        self._link = link
        self._given = given
        self._step = step
        self._abandoned = False
        self._asked = 0
        self._executing: set[tuple[Any, ...]] = set()
        #: Done when another version of the code is to take over.
        self.superseded: asyncio.Future[None] = generation.superseded
        self._session = RpcSession(services, link, self._answer)

    async def serve(self) -> None:
        """Answer what it asks, until it has ended."""
        await self._session.run()

    async def result(self) -> Any:
        """Call `run(event, step)`: what it returns (a wire value). Raises RemoteError for what it raises, WorkerError when
        workerd ends."""
        try:
            return await self._session.ask("run", self._given)
        except WorkerError:
            raise WorkerError(await self._generation.why_lost()) from None
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Nobody waits for it any more: it gets no further answer."""
        if not self._abandoned:
            self._abandoned = True
            self._link.close(1000, "", clean=True)

    async def _answer(self, path: tuple[str, ...], args: list[Any]) -> Any:
        """An RPC answer whose value is the engine's, as text: its wire values are no part of the call's own."""
        seen, operation, *arguments = args
        step = tuple(arguments[:2])
        if operation == "done":
            self._executing.discard(step)
        self._asked += 1
        self._event.asleep = not self._executing
        try:
            answer = await self._step(seen, operation, *arguments)
        finally:
            self._asked -= 1
            self._event.asleep = False
        if answer[0] == "run":
            self._executing.add(step)
        elif operation == "rest":
            self._event.asleep = self._asked > 0 and not self._executing
        return json.dumps(packed(answer))
