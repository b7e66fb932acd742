"""A JavaScript Worker: its part of the session's workerd (host.py)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wrangler_py.config.model import WorkerConfig
from wrangler_py.queues.limits import WALL_LIMIT_SECONDS
from wrangler_py.queues.message import Batch, BatchOutcome
from wrangler_py.queues.settlement import CANCELED
from wrangler_py.runtime.base import (
    FetchRequest,
    FetchResponse,
    LoadResult,
    ScheduledOutcome,
    StreamBroken,
    Target,
    WorkerError,
)
from wrangler_py.runtime.crashes import FETCH_START_WAIT_S
from wrangler_py.runtime.workerd.bundle import BuildError
from wrangler_py.runtime.workerd.client import Answer, BadAnswer, ConnectionLost
from wrangler_py.runtime.workerd.dispatch import batch_json, batch_outcome, scheduled_outcome
from wrangler_py.runtime.workerd.generation import DispatchFailed, Generation, RunningEvent
from wrangler_py.runtime.workerd.host import LoadFailed, WorkerdHost
from wrangler_py.runtime.workerd.locate import BinaryMissing

if TYPE_CHECKING:
    from wrangler_py.runtime.workerd.sockets import WorkerSocket
    from wrangler_py.runtime.workerd.workflows import WorkflowRun

#: Headers that describe the connection and not the request.
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "expect"})


class WorkerdRuntime:
    """Runtime (runtime/base.py) of one JavaScript or TypeScript Worker."""

    def __init__(
        self,
        config: WorkerConfig,
        host: WorkerdHost,
        *,
        gate: Callable[[bool], None],
        wall_limit_s: float = WALL_LIMIT_SECONDS,
    ) -> None:
        """`gate` is told when queue batches and crons may start (True) and when they must wait (False)."""
        self.name = config.name
        self.broken: str | None = None
        self.handlers: tuple[str, ...] = ()
        self._config = config
        self._host = host
        self._gate = gate
        self._gate_open = False
        self._wall_limit_s = wall_limit_s
        self._loaded = False
        self._closed = False
        self._held = True
        self._news = asyncio.Event()

    # Loading ------------------------------------------------------------------------------------------------------

    async def load(self, config: WorkerConfig | None = None) -> LoadResult:
        """Build the code (again) and swap it in. When that fails, what served before goes on serving."""
        if config is not None:
            self._config = config
        try:
            built = await self._host.load(self, self._config)
        except (BuildError, BinaryMissing) as error:
            return self.failed(str(error))
        except LoadFailed as error:
            return self.failed(error.text)
        if self._closed:
            return LoadResult("the session is ending")
        self._loaded = True
        warnings = (*built.warnings, *built.bundle.warnings, *self._foreign_objects())
        return LoadResult(None, self.handlers, warnings, built.bundle.files)

    def _foreign_objects(self) -> list[str]:
        """Durable Objects of Workers that run elsewhere, which `env` does not have."""
        return [
            f'env.{binding.name} is missing: this session runs no JavaScript Worker "{binding.script_name}" that has '
            f"its class {binding.class_name} (start it in the same session with another -c)"
            for binding in self._config.durable_objects
            if binding.script_name not in (None, self.name, *self._host.runtimes)
        ]

    def failed(self, text: str) -> LoadResult:
        """The code does not load. While nothing else serves, that is what requests are told."""
        if self._generation is None:
            self.broken = text
            self._wake()
        return LoadResult(text)

    def swapped(self, generation: Generation) -> None:
        """The code of this Worker serves in a new generation."""
        self.broken = None
        self.handlers = generation.handlers[self.name]
        self._wake()

    # Whether batches may start ------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Start no batch: workerd is about to be replaced, or gone."""
        self._set_gate(False)

    def look_at_gate(self) -> None:
        """Two versions of a Worker never handle batches or crons at once. A version that did not change may."""
        self._wake()
        self._set_gate(self._generation is not None and not self._old_busy() and not self._closed)

    def _set_gate(self, is_open: bool) -> None:
        if is_open != self._gate_open:
            self._gate_open = is_open
            self._gate(is_open)

    def _old_busy(self) -> bool:
        current = self._generation
        return any(
            old.workers.get(self.name) is not (current.workers.get(self.name) if current else None)
            and old.busy(self.name, "queue", "scheduled")
            for old in self._host.draining
        )

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    @property
    def _generation(self) -> Generation | None:
        """The generation that serves this Worker."""
        current = self._host.current
        return current if current is not None and self.name in current.workers else None

    async def _serving(self, wait_s: float | None, *, events: bool) -> Generation:
        """The generation that takes events; of queue and cron events not before old ones are over. Raises WorkerError."""
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    if self._closed or self._host.closed:
                        raise WorkerError("the session is ending", outcome=CANCELED)
                    generation = self._generation
                    if generation is not None and not (events and self._old_busy()):
                        return generation
                    if generation is None and self.broken is not None:
                        raise WorkerError(self.broken)
                    await self._news.wait()
        except TimeoutError:
            raise WorkerError(f'the worker "{self.name}" did not start within {wait_s:g} s') from None

    # Events -------------------------------------------------------------------------------------------------------

    async def invoke(self, target: Target, path: tuple[str, ...], args: Any) -> Any:
        """See Runtime.invoke."""
        # The first call imports it.
        from wrangler_py.runtime.workerd.rpc import RpcSession

        if target[0] != "entrypoint":
            raise WorkerError(
                f'"{self.name}" is a JavaScript Worker: its Durable Objects and Workflows can be reached by the JavaScript '
                "Workers of this session only. Call a method of its entrypoint that uses them"
            )
        generation = await self._serving(FETCH_START_WAIT_S, events=False)
        event = generation.begin("rpc", self.name, f"{'.'.join(path)}()")
        session = RpcSession(self._host.services, await self._socket(generation, event, ("wpy-rpc", "1")))
        self._host.background(session.run())
        return await session.ask("invoke", *target[1:3], path, args)

    async def _socket(self, generation: Generation, event: RunningEvent, header: tuple[str, str]) -> WorkerSocket:
        """A WebSocket to the shim's front, whose end is the event's. Raises WorkerError."""
        from wrangler_py.runtime.workerd.sockets import WorkerSocket, upgrade_headers

        connected = False
        try:
            headers = upgrade_headers([("host", "wpy"), header])
            answer = await generation.front(self.name).request("GET", "/", headers)
            if answer.upgraded is None or answer.transport is None:
                raise WorkerError(answer.body.decode("utf-8", "replace"))
            connected = True
            link = WorkerSocket(answer.transport, lambda: generation.over(event))
            answer.upgraded(link.feed)
            return link
        except ConnectionLost:
            raise WorkerError(await generation.why_lost(), outcome=generation.lost_outcome) from None
        finally:
            if not connected:
                generation.over(event)

    async def start_workflow(self, target: Target, args: list[Any]) -> WorkflowRun:
        """Begin the `run()` of a workflow's instance. Raises WorkerError when the Worker cannot be started."""
        from wrangler_py.runtime.workerd.workflows import WorkflowRun  # the first instance imports it

        while (generation := await self._serving(None, events=False)).superseded.done():
            await self._news.wait()
        _, class_name, workflow, instance, token = target
        event = generation.begin("workflow", self.name, f"workflow {workflow}/{instance}")
        header = ("wpy-workflow", json.dumps([class_name, event.label]))
        step = partial(self._host.services.calls["step"], workflow, instance, token)
        link = await self._socket(generation, event, header)
        run = WorkflowRun(generation, event, link, self._host.services, args[0], step)
        self._host.background(run.serve())
        return run

    async def fetch(self, request: FetchRequest, target: Target | None = None) -> FetchResponse:
        """See Runtime.fetch. Code that could not be loaded answers with what is wrong with it (WorkerError)."""
        generation = await self._serving(FETCH_START_WAIT_S, events=False)
        url = urlsplit(request.url)
        event = generation.begin("fetch", self.name, f"{request.method} {url.path}")
        streams = False
        try:
            answer = await self._request(generation, request, url.netloc, url.scheme, target)
            self._host.store_sends()
            uncaught = any(name.lower() == "x-wpy-uncaught" for name, _ in answer.headers)
            if uncaught:
                raise WorkerError(self._thrown(generation, event, (await _whole(answer)).decode("utf-8", "replace")))
            if answer.upgraded is not None:
                from wrangler_py.runtime.workerd.sockets import WorkerSocket  # the first WebSocket imports its protocol

                assert answer.transport is not None
                streams = True
                event.kind = "socket"
                link = WorkerSocket(answer.transport, lambda: generation.over(event))
                answer.upgraded(link.feed)
                return FetchResponse(answer.status, answer.headers, b"", socket=link)
            if answer.stream is None:
                return FetchResponse(answer.status, answer.headers, answer.body)
            streams = True
            stream = self._streamed(generation, event, answer.stream)
            return FetchResponse(answer.status, answer.headers, answer.body, stream)
        except BadAnswer as error:
            raise WorkerError(str(error)) from None
        except ConnectionLost:
            raise WorkerError(await generation.why_lost(), outcome=generation.lost_outcome) from None
        finally:
            if not streams:
                generation.over(event)

    async def _request(
        self, generation: Generation, request: FetchRequest, host: str, scheme: str, target: Target | None
    ) -> Answer:
        if any(name.lower() == "upgrade" and value.lower() == "websocket" for name, value in request.headers):
            from wrangler_py.runtime.workerd.sockets import upgrade_headers

            headers = upgrade_headers(request.headers)
        else:
            headers = [header for header in request.headers if header[0].lower() not in _HOP_BY_HOP]
        if not any(name.lower() == "host" for name, _ in headers):
            headers.insert(0, ("host", host))
        if request.cf:
            headers.append(("wpy-cf-blob", json.dumps(dict(request.cf))))
        if scheme == "https":
            headers.append(("wpy-forwarded-proto", scheme))
        if target is not None:
            headers.append(("wpy-target", json.dumps(target[1:])))
        length = next((int(v) for n, v in request.headers if n.lower() == "content-length" and v.isdigit()), None)
        url = request.url.partition("#")[0]
        path = "/" + url.split("/", 3)[3] if url.count("/") >= 3 else "/"
        return await generation.front(self.name).request(request.method, path, headers, request.body, length)

    async def _streamed(
        self, generation: Generation, event: RunningEvent, stream: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        try:
            async for chunk in stream:
                yield chunk
        except ConnectionLost as error:
            raise StreamBroken(str(error)) from None
        finally:
            generation.over(event)
            closing: Any = getattr(stream, "aclose", None)
            if closing is not None:
                await closing()

    async def queue(self, batch: Batch) -> BatchOutcome:
        """See Runtime.queue."""
        try:
            generation = await self._serving(None, events=True)
        except WorkerError as error:
            return BatchOutcome(CANCELED, error=str(error))  # never delivered: the messages are given back
        event = generation.begin("queue", self.name, f"queue {batch.queue}")
        outcome, why, result = await self._dispatch(generation, event, batch_json(batch))
        if result is None:
            return BatchOutcome(outcome, error=why)
        return batch_outcome(result, generation.stacks)

    async def scheduled(self, cron: str, time_ms: int, *, wait_until: bool = True) -> ScheduledOutcome:
        """See Runtime.scheduled. workerd returns after the waitUntil work, so `wait_until` makes no difference."""
        try:
            generation = await self._serving(None, events=True)
        except WorkerError as error:
            return ScheduledOutcome("exception", error=str(error))
        event = generation.begin("scheduled", self.name, f"cron {cron}")
        handler = "scheduled" in generation.handlers[self.name]
        body = json.dumps({"cron": cron, "time": time_ms}).encode()
        outcome, why, result = await self._dispatch(generation, event, body)
        if result is None:
            return ScheduledOutcome(outcome, error=why, handler=handler)
        done = scheduled_outcome(result)
        done.handler = handler
        return done

    async def _dispatch(
        self, generation: Generation, event: RunningEvent, body: bytes
    ) -> tuple[str, str | None, Any | None]:
        """(outcome, error, None), or ("", None, workerd's result)."""
        try:
            async with asyncio.timeout(self._wall_limit_s):
                result = await generation.dispatch(event.kind, self.name, body)
                self._host.store_sends()
                return "", None, result
        except TimeoutError:
            # Nothing else stops user code; the other events of this workerd are cut off, not failed.
            text = f"{event.label} ran for more than {self._wall_limit_s:g} s"
            generation.kill(text)
            await generation.why_lost()  # until it is known to be gone: the next batch must not go there
            return "exceededWallTime", text, None
        except ConnectionLost:
            reason = await generation.why_lost()
            return CANCELED if self._closed else generation.lost_outcome, reason, None
        except DispatchFailed as error:
            return "internalError", f"workerd's dispatcher failed: {error}", None
        finally:
            generation.over(event)

    # What went wrong ----------------------------------------------------------------------------------------------

    def _thrown(self, generation: Generation, event: RunningEvent, stack: str) -> str:
        text = generation.stacks.mapped(stack)
        self._host.events.emit(
            "worker.printed", worker=self.name, event=event.label, level="error", text=f"Uncaught {text}"
        )
        return text

    def uncaught(self, generation: Generation, event: Mapping[str, Any], exception: Mapping[str, Any]) -> None:
        """An exception that the tail has seen (shim/tail.js)."""
        text = f"{exception['name']}: {exception['message']}"
        stack = exception.get("stack")
        if stack:
            text += f"\n{generation.stacks.mapped(stack)}"
        label = _label(event.get("event") or {})
        if event.get("entrypoint") not in (None, "WpyFront"):
            label = f"{event['entrypoint']} {label}".strip()
        self._host.events.emit("worker.printed", worker=self.name, event=label, level="error", text=f"Uncaught {text}")

    # The worker's own clock: workerd's is the machine's ---------------------------------------------------------------

    @property
    def resting(self) -> bool:
        return True

    @property
    def drains_asleep(self) -> bool:
        return False

    def sleeping(self, kind: str) -> int:
        return 0

    def tell_time(self, *, on_the_way: bool) -> None:
        pass

    # End ----------------------------------------------------------------------------------------------------------

    async def close(self, grace_s: float = 1.0) -> None:
        """Start nothing more, give what runs `grace_s` seconds, and leave workerd."""
        self._closed = True
        self._set_gate(False)
        generations = [g for g in (self._host.current, *self._host.draining) if g is not None]
        running = [event.done.wait() for g in generations for event in g.events if event.worker == self.name]
        if running and grace_s > 0:
            await asyncio.wait([asyncio.ensure_future(wait) for wait in running], timeout=grace_s)
        self._wake()
        await self._host.leave(self)


async def _whole(answer: Answer) -> bytes:
    return answer.body + (b"".join([chunk async for chunk in answer.stream]) if answer.stream else b"")


def _label(event: Mapping[str, Any]) -> str:
    """An event as the tail describes it, as wpy calls it."""
    if "queue" in event:
        return f"queue {event['queue']}"
    if "cron" in event:
        return f"cron {event['cron']}"
    if "request" in event:
        return f"{event['request']['method']} {urlsplit(event['request']['url']).path}"
    if "rpcMethod" in event:
        return str(event["rpcMethod"])
    if "scheduledTime" in event:
        return "alarm"
    return ""
