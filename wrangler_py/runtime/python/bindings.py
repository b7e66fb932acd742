"""What a Python worker's `env.<BINDING>` reaches: turns CALL frames into calls of the simulators, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from wrangler_py.queues.limits import UNKNOWN_INTERNAL_ERROR, QueueSendError
from wrangler_py.queues.message import OutgoingMessage, QueueMetrics
from wrangler_py.runtime.base import QueueService
from wrangler_py.runtime.python.process import WorkerProcess
from wrangler_py.runtime.worker import frames


class BindingCalls:
    """Answers the calls of one worker's bindings."""

    def __init__(self, queues: QueueService, bindings: Mapping[str, Mapping[str, Any]], *, expose_codes: bool) -> None:
        self._queues = queues
        self._bindings = bindings
        self._expose_codes = expose_codes

    def call(self, process: WorkerProcess, call: int, binding: str, method: str, args: tuple[Any, ...]) -> None:
        """Answer a call with REPLY or THROW, now or when its work is done."""
        spec = self._bindings.get(binding)
        if spec is None or spec["kind"] != "queue":
            process.send(frames.THROW, call, "Error", f"env.{binding} is not a binding that wpy serves")
        elif method == "send":
            self._send(process, call, spec["queue"], *args)
        elif method == "metrics":
            process.send(frames.REPLY, call, _metrics(self._queues.metrics(spec["queue"])))
        else:
            process.send(frames.THROW, call, "TypeError", f"env.{binding}.{method} is not a function")

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
