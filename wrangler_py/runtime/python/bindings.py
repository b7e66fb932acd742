"""What a Python worker's `env.<BINDING>` reaches: turns CALL frames into calls of the simulators, and back.

A new kind of binding has one place on each side: its spec in binding_specs.py and its handler in the table that the
session gives (`PythonRuntime(handlers=...)`); in the worker's process its maker in runtime/worker/env.py.
"""

from __future__ import annotations

import asyncio
import sqlite3
import traceback
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from msgspec import Struct

from wrangler_py.queues.limits import UNKNOWN_INTERNAL_ERROR, QueueSendError
from wrangler_py.queues.message import OutgoingMessage, QueueMetrics
from wrangler_py.runtime.base import QueueService
from wrangler_py.runtime.python.process import WorkerProcess
from wrangler_py.runtime.python.session_calls import SessionCalls, Streams
from wrangler_py.runtime.services import Services
from wrangler_py.runtime.worker import frames


class CallContext(Struct, frozen=True):
    """Whose call it is."""

    worker: str
    binding: str
    #: The binding's spec (binding_specs.py).
    spec: Mapping[str, Any]
    #: The number of the event that it was made in; 0 outside of one.
    event: int
    process: WorkerProcess
    #: `add(iterator)` gives a number that a REPLY may name, for the worker to read (rpc.Exports.server_stream).
    streams: Streams


class CallError(Exception):
    """A call failed: user code gets a JsException of this JavaScript error name ("Error", "TypeError") and message."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


class BindingHandler(Protocol):
    """Answers the calls of all bindings of one kind."""

    async def call(self, method: str, args: tuple[Any, ...], context: CallContext) -> Any:
        """What the call gives: a value that `marshal` carries. Raises CallError for what the binding refuses."""
        ...


class BindingCalls:
    """Answers the calls of one worker's bindings."""

    def __init__(
        self,
        queues: QueueService,
        bindings: Mapping[str, Mapping[str, Any]],
        handlers: Mapping[str, BindingHandler],
        *,
        worker: str,
        expose_codes: bool,
        services: Services,
    ) -> None:
        """`bindings`: the specs, by name. `handlers`: by kind, for all kinds but queues. `services`: whom it may call."""
        self._queues = queues
        self._bindings = bindings
        self._handlers = handlers
        self._worker = worker
        self._expose_codes = expose_codes
        self._running: set[asyncio.Task[None]] = set()
        #: Streams that a REPLY may name, for the worker to read.
        self.streams = Streams()
        self._session = SessionCalls(services, worker, self.streams)

    def call(
        self, process: WorkerProcess, call: int, event: int, binding: str, method: str, args: tuple[Any, ...]
    ) -> None:
        """Answer a call with REPLY or THROW, now or when its work is done."""
        if not binding and method not in self._handlers:
            self._session.call(process, call, method, args)
            return
        # What every worker has without a binding (the Cache API) has a handler under the method's own name.
        spec = self._bindings.get(binding) if binding else {"kind": method}
        kind = "" if spec is None else spec["kind"]
        handler = self._handlers.get(kind)
        if spec is None or (kind != "queue" and handler is None):
            process.send(frames.THROW, call, "Error", f"env.{binding} is not a binding that wpy serves")
        elif handler is not None:
            context = CallContext(self._worker, binding, spec, event, process, self.streams)
            answer = self._answer(process, call, handler.call(method, args, context))
            task = asyncio.get_running_loop().create_task(answer)
            self._running.add(task)  # the loop itself keeps only weak references
            task.add_done_callback(self._running.discard)
        elif method == "send":
            self._send(process, call, spec["queue"], *args)
        elif method == "metrics":
            process.send(frames.REPLY, call, _metrics(self._queues.metrics(spec["queue"])))
        else:
            process.send(frames.THROW, call, "TypeError", f"env.{binding}.{method} is not a function")

    async def _answer(self, process: WorkerProcess, call: int, work: Coroutine[Any, Any, Any]) -> None:
        try:
            process.send(frames.REPLY, call, await work)
        except CallError as error:
            process.send(frames.THROW, call, error.name, error.message)
        except (OSError, sqlite3.Error) as error:  # the disk is full, the state folder is gone, ...
            process.send(frames.THROW, call, "Error", f"the state folder refused: {error}")
        except Exception as error:  # a bug of wpy's: the worker's call must not hang, and we want to hear of it
            traceback.print_exc()
            process.send(frames.THROW, call, "Error", f"wpy failed: {type(error).__name__}: {error}")

    def _send(
        self,
        process: WorkerProcess,
        call: int,
        queue: str,
        messages: list[tuple[bytes, Any, int | None]],
        delay_seconds: int | None,
        is_batch: bool,
    ) -> None:
        operation = "sendBatch" if is_batch else "send"
        outgoing = [OutgoingMessage(*message) for message in messages]

        def tell(metrics: QueueMetrics | None, error: Exception | None) -> None:
            if metrics is not None:
                process.send(frames.REPLY, call, _metrics(metrics))
            else:
                assert error is not None
                self._throw(process, call, operation, error)

        try:
            self._queues.enqueue(queue, outgoing, delay_seconds, batch=is_batch, tell=tell)
        except QueueSendError as error:
            self._throw(process, call, operation, error)

    def flush(self) -> None:
        """All calls that the process has made for now are in: carry them out."""
        self._queues.commit_now()

    def _throw(self, process: WorkerProcess, call: int, operation: str, error: Exception) -> None:
        if isinstance(error, QueueSendError):
            refusal = error
        elif isinstance(error, sqlite3.Error):
            refusal = QueueSendError(UNKNOWN_INTERNAL_ERROR, f"the message could not be stored: {error}")
        else:
            raise error
        process.send(frames.THROW, call, "Error", refusal.text(operation, expose_codes=self._expose_codes))


def _metrics(metrics: QueueMetrics) -> tuple[int, int, int | None]:
    return metrics.backlog_count, metrics.backlog_bytes, metrics.oldest_timestamp_ms
