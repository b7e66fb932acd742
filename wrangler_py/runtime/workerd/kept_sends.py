"""Sends of JavaScript Workers that follow one another: a file keeps each, and they are stored together a moment later.

workerd waits for the answer to every `send()`. The first of a row is answered when it is stored; those that follow within a
moment are answered when the file has them (runtime/worker/outbox.py says why that is as safe), with the backlog as it was
told last and what came since. They are stored when the Worker's event ends, or somebody asks for the backlog, or a little
time has passed: whoever hears of a send by what the Worker answers finds it stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from wrangler_py.events.trace import Span, within
from wrangler_py.queues.intake import check_limits
from wrangler_py.queues.limits import QueueSendError
from wrangler_py.queues.message import OutgoingMessage, QueueMetrics
from wrangler_py.runtime.base import KeepingQueues
from wrangler_py.runtime.worker import frames
from wrangler_py.runtime.worker.sends_file import FULL, SendsFile

#: How long after the answer to a send the next one follows it (seconds).
_ROW_S = 0.02
#: How long sends are held (seconds), and how many messages.
_HOLD_S = 0.002
_HOLD_COUNT = 100


class _Backlog:
    """A queue's backlog as it was told last, and what is on its way to it."""

    __slots__ = ("at", "coming_bytes", "coming_count", "told")

    def __init__(self) -> None:
        self.told = QueueMetrics(0, 0, None)
        self.at = 0.0
        self.coming_count = self.coming_bytes = 0

    def metrics(self) -> QueueMetrics:
        count, size, oldest_ms = self.told
        return QueueMetrics(count + self.coming_count, size + self.coming_bytes, oldest_ms)


_Held = tuple[str, Sequence[OutgoingMessage], int | None, bool, int, Span | None]


class KeptSends:
    """The sends of a session's JavaScript Workers that are answered before they are stored."""

    def __init__(self, path: Path, queues: KeepingQueues) -> None:
        """`path`: of the file, as OutboxHome names it (runtime/outbox_home.py), which takes up what is left in it."""
        with contextlib.suppress(OSError):  # without its folder every send is stored before it is answered
            path.parent.mkdir(exist_ok=True)
        self._path = path
        self._file = SendsFile(str(path))
        self._queues = queues
        self._number = 0
        self._unstored = 0
        self._failing = False
        self._held: list[_Held] = []
        self._held_count = 0
        self._timer: asyncio.Handle | None = None
        self._backlogs: dict[str, _Backlog] = {}

    def told(self, queue: str, metrics: QueueMetrics) -> None:
        """A send to this queue was stored."""
        backlog = self._backlogs.get(queue)
        if backlog is None:
            backlog = self._backlogs[queue] = _Backlog()
        backlog.told = metrics
        backlog.at = asyncio.get_running_loop().time()

    def keep(
        self, queue: str, messages: Sequence[OutgoingMessage], delay: int | None, span: Span | None, *, batch: bool
    ) -> QueueMetrics | None:
        """Keep a send, and the backlog with it. None: it has to be stored first; so has what may break a limit, for whoever
        stores it to say so."""
        backlog = self._backlogs.get(queue)
        loop = asyncio.get_running_loop()
        now = loop.time()
        if backlog is None or now - backlog.at > _ROW_S or self._failing or self._file.size > FULL:
            return None
        try:
            check_limits(messages, delay, batch=batch)
        except QueueSendError:
            return None
        if not self._write(queue, messages, delay, batch):
            return None
        self._held.append((queue, messages, delay, batch, self._number, span))
        self._unstored += 1
        self._held_count += len(messages)
        backlog.at = now
        backlog.coming_count += len(messages)
        for message in messages:
            backlog.coming_bytes += len(message.body)
        if self._timer is None:
            self._timer = loop.call_later(_HOLD_S, self.store)
        if self._held_count >= _HOLD_COUNT:
            self._timer.cancel()
            self._timer = loop.call_soon(self.store)  # after the answer is on its way
        return backlog.metrics()

    def _write(self, queue: str, messages: Sequence[OutgoingMessage], delay: int | None, batch: bool) -> bool:
        number = self._number + 1
        sent = [(message.body, message.content_type, message.delay_seconds) for message in messages]
        data = frames.encode(frames.SENT, number, 0, queue, sent, delay, batch)
        try:
            self._file.append(data)
        except OSError:  # the disk is full, the folder is gone: what the database says counts
            return False
        self._number = number
        return True

    def store(self) -> None:
        """Store what is held, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._held:
            return
        held, self._held = self._held, []
        self._held_count = 0
        name = self._path.stem
        for queue, messages, delay, batch, number, span in held:
            size = sum(len(message.body) for message in messages)
            tell = partial(self._stored, queue, len(messages), size)
            with within(span):
                self._queues.enqueue(queue, messages, delay, batch=batch, tell=tell, kept=(name, number))
        self._queues.commit_now()

    def _stored(self, queue: str, count: int, size: int, metrics: QueueMetrics | None, error: Exception | None) -> None:
        if metrics is None:  # it is tried again (queues/intake.py)
            self._failing = True
            return
        backlog = self._backlogs[queue]
        backlog.told = metrics
        backlog.coming_count -= count
        backlog.coming_bytes -= size
        self._unstored -= 1
        if not self._unstored:
            self._failing = False
            self._file.all_stored()

    async def close(self) -> None:
        """Store what is held and remove the file. What cannot be stored now stays in it for the next session."""
        self.store()
        if self._file.close() and not self._unstored:
            self._path.unlink(missing_ok=True)
            await self._queues.forget_outbox(self._path.stem)
