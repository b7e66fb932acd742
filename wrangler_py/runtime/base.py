"""Runtime: where user code runs. `fetch`, `queue`, `scheduled`, and `invoke` for what other Workers call, each returning
an outcome; nothing else is asked of a runtime, so a Python process and workerd can stand behind the same calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, field

from wrangler_py.queues.message import Batch, BatchOutcome, ContentType, OutgoingMessage, QueueMetrics


class FetchRequest(Struct, frozen=True):
    """One HTTP request for a worker's `fetch()`."""

    method: str
    url: str  # absolute, as the client wrote it
    headers: list[tuple[str, str]]
    #: The whole body when it was already there, else an iterator over its pieces; None without a body.
    body: bytes | AsyncIterator[bytes] | None = None
    cf: Mapping[str, Any] = field(default_factory=dict)


class SocketClosed(Struct, frozen=True):
    """The end of what one side of a WebSocket sends."""

    code: int
    reason: str


class SocketLink(Protocol):
    """A WebSocket that `fetch()` answered with, as its client reaches it."""

    def messages(self) -> AsyncIterator[str | bytes | SocketClosed]:
        """What the worker sends; a SocketClosed is the last."""
        ...

    def send(self, data: str | bytes) -> None: ...

    def close(self, code: int, reason: str, *, clean: bool) -> None:
        """The client has closed; not `clean`: it is gone without a word."""
        ...


class FetchResponse(Struct):
    """What `fetch()` answered. `stream`, when present, yields what follows `body`."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    #: Raises StreamBroken when it fails on the way.
    stream: AsyncIterator[bytes] | None = None
    #: With the status 101: the WebSocket that is the answer.
    socket: SocketLink | None = None


class WorkerError(Exception):
    """User code failed, or its process did. `text` is what a client of `fetch` is shown."""

    def __init__(self, text: str, *, outcome: str = "exception", thrown: Any = None) -> None:
        """`thrown`: the wire value that a calling Worker gets (worker/rpc_values.py), when there is one."""
        super().__init__(text)
        self.text = text
        self.outcome = outcome
        self.thrown = thrown


class StreamBroken(Exception):
    """The stream of an answer failed on the way: what came until then is not all of it."""


class RemoteError(Exception):
    """A call between Workers raised. `thrown` is the wire value of the error (worker/rpc_values.py)."""

    def __init__(self, thrown: Any) -> None:
        super().__init__(": ".join(str(part) for part in thrown[1:3]))
        self.thrown = thrown


#: What a call between Workers is for; the first item says the kind: ("entrypoint", class name or None, props or None),
#: ("stub", number), and those of Durable Objects and Workflows.
Target = tuple[Any, ...]


class ScheduledOutcome(Struct):
    """What became of one cron run. `outcome` as workerd names it: "ok", "exception", "exceededWallTime", ..."""

    outcome: str = "ok"
    no_retry: bool = False
    error: str | None = None
    #: False when the worker has no `scheduled` handler at all.
    handler: bool = True


class LoadResult(Struct, frozen=True):
    """What became of a (re)load. `error` is the traceback, beginning at the user's frame, or None."""

    error: str | None
    handlers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Runtime(Protocol):
    """One worker's code, ready to be called. Calls wait while the code is being (re)loaded."""

    name: str

    async def fetch(self, request: FetchRequest, target: Target | None = None) -> FetchResponse:
        """Run `fetch()`, the default entrypoint's or that of `target`. Raises WorkerError when the handler raised or its
        process ended."""
        ...

    async def invoke(self, target: Target, path: tuple[str, ...], args: Any) -> Any:
        """Call the method `path` of `target` with wire values, or read the property when `args` is None; its wire value.

        Raises RemoteError for what user code raised, WorkerError when its process ended.
        """
        ...

    async def queue(self, batch: Batch) -> BatchOutcome:
        """Run `queue()` to the end of its waitUntil work. Never raises for what user code does."""
        ...

    async def scheduled(self, cron: str, time_ms: int, *, wait_until: bool = True) -> ScheduledOutcome:
        """Run `scheduled()`. With `wait_until` False, return when the handler itself has returned."""
        ...


class QueueService(Protocol):
    """What `env.<QUEUE>` reaches."""

    def enqueue(
        self,
        queue: str,
        messages: Sequence[OutgoingMessage],
        delay_seconds: int | None,
        *,
        batch: bool,
        tell: Callable[[QueueMetrics | None, Exception | None], None],
        kept: tuple[str, int] | None = None,
    ) -> None:
        """Store messages, all or none; `tell(backlog, error)` is called after COMMIT. `kept`: the outbox that keeps them
        until then, and their number there (queues/intake.py).

        Raises QueueSendError (queues/limits.py) when a limit is broken; the disk's refusal comes through `tell`.
        """
        ...

    def commit_now(self) -> None:
        """All calls that came together are enqueued: commit them."""
        ...

    def metrics(self, queue: str) -> QueueMetrics: ...


class KeepingQueues(QueueService, Protocol):
    """Queues that know how far an outbox is stored (queues/outbox_marks.py)."""

    def stored_of(self, outbox_name: str) -> int: ...

    def forget_outbox(self, name: str) -> asyncio.Future[None]: ...


__all__ = [
    "ContentType",
    "FetchRequest",
    "FetchResponse",
    "LoadResult",
    "QueueService",
    "RemoteError",
    "Runtime",
    "ScheduledOutcome",
    "StreamBroken",
    "Target",
    "WorkerError",
]
