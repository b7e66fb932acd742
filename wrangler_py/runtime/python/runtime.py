"""A Python worker as the session asks it: fetch, RPC, queue batches, crons and workflow runs, each in the process that serves."""

from __future__ import annotations

import asyncio
import marshal
from typing import Any
from urllib.parse import urlsplit

from wrangler_py.queues.message import Batch, BatchOutcome, Retry
from wrangler_py.queues.settlement import CANCELED
from wrangler_py.runtime.base import (
    FetchRequest,
    FetchResponse,
    RemoteError,
    ScheduledOutcome,
    Target,
    WorkerError,
)
from wrangler_py.runtime.crashes import FETCH_START_WAIT_S
from wrangler_py.runtime.python.pending import PendingEvent, ProcessEnded
from wrangler_py.runtime.python.process import WorkerProcess
from wrangler_py.runtime.python.processes import WorkerProcesses
from wrangler_py.runtime.python.runs import WorkflowRun
from wrangler_py.runtime.python.sockets import WorkerSocket
from wrangler_py.runtime.worker import frames

#: How long a fetch waits for the fetches of the version before (seconds).
FETCH_SWAP_WAIT_S = 1.0


class PythonRuntime(WorkerProcesses):
    """Runtime (runtime/base.py) of one Python worker."""

    def _alone(self, name: str) -> PythonRuntime | None:
        """Whom a worker outside of a session can call: itself."""
        return self if name == self.name else None

    async def fetch(self, request: FetchRequest, target: Target | None = None) -> FetchResponse:
        """See Runtime.fetch. A worker that could not be loaded answers with its traceback (WorkerError)."""
        process = await self._serving(FETCH_START_WAIT_S)
        if self._draining and any(old.busy("fetch") for old in self._draining):
            await self._wait_for_old_fetches()
        label = f"{request.method} {urlsplit(request.url).path}"  # without the query, which may hold secrets
        number, event = process.start_event("fetch", label)
        body, more = (request.body, False) if isinstance(request.body, bytes | None) else (None, True)
        head = (
            request.method,
            request.url,
            request.headers,
            body,
            more,
            marshal.dumps(dict(request.cf)) if request.cf else b"",
        )
        process.send(frames.FETCH, number, *head, *(() if target is None else (target,)))
        if more:
            self._background(self._send_body(process, number, request))
        try:
            status, headers, first, streamed = await event.response
        except ProcessEnded as error:
            raise WorkerError(error.reason, thrown=error.thrown) from None
        except asyncio.CancelledError:
            process.cancel(number)
            raise
        stream = process.stream(number, event) if streamed else None
        socket = process.sockets.get(number)
        return FetchResponse(status, headers, first, stream, socket if isinstance(socket, WorkerSocket) else None)

    async def invoke(self, target: Target, path: tuple[str, ...], args: Any) -> Any:
        """See Runtime.invoke."""
        process = await self._serving(FETCH_START_WAIT_S)
        return await self._invoke_in(process, f"rpc {_called(target, path)}", target, path, args)

    async def start_workflow(self, target: Target, args: list[Any]) -> WorkflowRun:
        """Begin the `run()` of a workflow's instance. Raises WorkerError when the worker cannot be started."""
        process = await self._serving(None)
        try:
            number, event = process.start_event("workflow", f"workflow {target[2]}/{target[3]}")
        except ProcessEnded as error:
            raise WorkerError(error.reason) from None
        process.send(frames.RPC, number, target, ("run",), args)
        return WorkflowRun(process, number, event)

    async def alarm(self, target: Target, time_ms: int, retry: int) -> Any:
        """Call the `alarm()` of a Durable Object for an alarm that was set for `time_ms`; {"outcome", "error"}.

        Raises WorkerError and RemoteError as `invoke`. `retry`: how often it has failed before.
        """
        process = await self._serving(None)
        label = f"alarm {target[1]} {target[3] or target[2][:8]}"
        fields = await self._invoke_in(process, label, target, (" alarm",), [time_ms, retry], "alarm")
        return dict(fields[1])

    async def drop_alarm(self, target: Target, time_ms: int) -> None:
        """Make a Durable Object forget its alarm, if it is still the one for `time_ms`."""
        await self.invoke(target, (" alarm-drop",), [time_ms])

    async def _call_stub(self, process: WorkerProcess, number: int, path: tuple[str, ...], args: Any) -> Any:
        return await self._invoke_in(process, "rpc", ("stub", number), path, args)

    async def _invoke_in(
        self, process: WorkerProcess, label: str, target: Target, path: tuple[str, ...], args: Any, kind: str = "rpc"
    ) -> Any:
        try:
            number, event = process.start_event(kind, label)
            process.send(frames.RPC, number, target, path, args)
            result = await event.returned
        except ProcessEnded as error:
            raise WorkerError(error.reason) from None
        if "thrown" in result:
            raise RemoteError(result["thrown"])
        return result["value"]

    async def queue(self, batch: Batch) -> BatchOutcome:
        """See Runtime.queue."""
        try:
            process = await self._serving(None)
            await self._until_drained("queue")
            number, event = process.start_event("queue", f"queue {batch.queue}")
        except (WorkerError, ProcessEnded) as error:
            return BatchOutcome(CANCELED, error=str(error))  # never delivered: the messages are given back
        metrics = batch.metrics
        messages = [(m.id, m.timestamp_ms, m.attempts, m.content_type, m.body) for m in batch.messages]
        process.send(
            frames.QUEUE,
            number,
            batch.queue,
            messages,
            (metrics.backlog_count, metrics.backlog_bytes, metrics.oldest_timestamp_ms),
        )
        result = await self._finish(process, event, event.returned if self._reports_early else event.done)
        return batch_outcome(result)

    async def scheduled(self, cron: str, time_ms: int, *, wait_until: bool = True) -> ScheduledOutcome:
        """See Runtime.scheduled."""
        try:
            process = await self._serving(None)
            await self._until_drained("scheduled")
            number, event = process.start_event("scheduled", f"cron {cron}")
        except (WorkerError, ProcessEnded) as error:
            return ScheduledOutcome("exception", error=str(error))
        process.send(frames.SCHEDULED, number, cron, time_ms)
        result = await self._finish(process, event, event.done if wait_until else event.returned)
        return ScheduledOutcome(
            result["outcome"],
            result.get("no_retry", False),
            result.get("error"),
            result.get("handler", True),
        )

    async def _finish(
        self, process: WorkerProcess, event: PendingEvent, future: asyncio.Future[dict[str, Any]]
    ) -> dict[str, Any]:
        """Wait for an event's end; past the wall limit its process is ended, because nothing else stops user code."""
        try:
            async with process.limits.within(self._wall_limit_s):
                return await future
        except TimeoutError:
            text = f"{event.label} ran for more than {self._wall_limit_s:g} s"
            return await process.cut_off(event, text)
        except ProcessEnded as error:
            return {"outcome": CANCELED if self._closed else "exception", "error": error.reason}

    async def _serving(self, wait_s: float | None) -> WorkerProcess:
        """The process that takes events. Waits while the worker restarts; raises WorkerError when its code is broken."""
        while self._current is None:
            if self._closed:
                raise WorkerError("the session is ending", outcome="canceled")
            if self.broken is not None:
                raise WorkerError(self.broken)
            try:
                async with asyncio.timeout(wait_s):
                    await self._ready.wait()  # for a moment also when a load has failed
            except TimeoutError:
                raise WorkerError(f'the worker "{self.name}" did not start within {wait_s:g} s') from None
        return self._current

    async def _until_drained(self, kind: str) -> None:
        self._held[kind] += 1
        try:
            await self._drained.wait()
        finally:
            self._held[kind] -= 1

    async def _wait_for_old_fetches(self) -> None:
        old = [e.done for p in self._draining for e in p.events.values() if e.kind == "fetch"]
        if old:
            await asyncio.wait(old, timeout=FETCH_SWAP_WAIT_S)

    async def _send_body(self, process: WorkerProcess, number: int, request: FetchRequest) -> None:
        assert request.body is not None and not isinstance(request.body, bytes)
        try:
            async for chunk in request.body:
                if number not in process.events:
                    return
                process.send(frames.BODY, number, chunk, True)
        except ConnectionError:
            process.cancel(number)
            return
        if number in process.events:
            process.send(frames.BODY, number, b"", False)


def _called(target: Target, path: tuple[str, ...]) -> str:
    """What an RPC calls, for people: "Admin.rename"."""
    return ".".join([str(target[1] or "default"), *path])


def batch_outcome(result: dict[str, Any]) -> BatchOutcome:
    """RESULT (worker/frames.py) of a queue event."""
    retry_all = result.get("retry_all")
    return BatchOutcome(
        outcome=result["outcome"],
        ack_all=result.get("ack_all", False),
        retry_all=None if retry_all is None else Retry(retry_all[0]),
        explicit_acks=set(result.get("acks", ())),
        retries={message_id: Retry(delay) for message_id, delay in result.get("retries", {}).items()},
        error=result.get("error"),
        calls=result.get("calls", {}),
        ignored=list(result.get("ignored", ())),
        busy=result.get("busy"),
    )
