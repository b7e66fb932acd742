"""An event that runs in a Python worker's process: what its caller waits for, and how it ends when the process does."""

from __future__ import annotations

import asyncio
from typing import Any

from wrangler_py.events.trace import Span, current_span


class ProcessEnded(Exception):
    """The process is gone; `reason` says how in words. `thrown`: the wire error of a handler that raised (frames.RESULT)."""

    def __init__(self, reason: str, thrown: Any = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.thrown = thrown


class LoadFailed(Exception):
    """The user's code could not be imported. `text` is the traceback, beginning at the user's frame."""

    def __init__(self, text: str, info: dict[str, Any]) -> None:
        super().__init__(text)
        self.text = text
        self.info = info


class PendingEvent:
    """One fetch, queue or scheduled event that runs in a process."""

    __slots__ = ("chunks", "done", "kind", "label", "queued", "response", "returned", "settled", "span", "tasks")

    def __init__(self, kind: str, label: str, loop: asyncio.AbstractEventLoop) -> None:
        self.kind = kind
        self.label = label
        #: The work that this is; what the handler sends and prints is its doing.
        self.span = current_span.get()
        #: Its waitUntil work that goes on after the handler has returned, and since when (the loop's time).
        self.tasks: tuple[Span, float] | None = None
        self.response: asyncio.Future[tuple[int, list[tuple[str, str]], bytes, bool]] = loop.create_future()
        self.returned: asyncio.Future[dict[str, Any]] = loop.create_future()
        self.done: asyncio.Future[dict[str, Any]] = loop.create_future()
        #: What a batch that is cut off has settled until then; None: it is not.
        self.settled: asyncio.Future[dict[str, Any]] | None = None
        self.chunks: asyncio.Queue[bytes | BaseException | None] | None = None
        self.queued = 0

    def fail(self, error: ProcessEnded) -> None:
        for future in (self.response, self.returned, self.done):
            if not future.done():
                future.set_exception(error)
                future.exception()  # not everybody waits for all three
        if self.chunks is not None:
            self.chunks.put_nowait(error)
