"""An outbox, as the server sees it: what was sent is stored, as it comes from the process or else from its file.

The process's side is runtime/worker/outbox.py. The file is there as long as something in it may not be stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from wrangler_py.queues import limits
from wrangler_py.queues.limits import QueueSendError
from wrangler_py.queues.message import OutgoingMessage, QueueMetrics
from wrangler_py.runtime.base import KeepingQueues
from wrangler_py.runtime.worker import frames


class Outbox:
    """The sends of one process."""

    def __init__(self, path: Path, queues: KeepingQueues, send: Callable[..., None], *, expose_codes: bool) -> None:
        self.path = path
        self.name = path.stem
        #: The number of the last send that has come from the process.
        self.received = 0
        #: Set when everything is stored and the file is gone.
        self.done = asyncio.Event()
        self._queues = queues
        self._send = send
        self._expose_codes = expose_codes
        self._open = 0
        self._closed = False
        self._damaged = False
        self._answers: list[tuple[int, int, int, int | None]] = []

    def spec(self) -> dict[str, Any]:
        """LOAD's "outbox"."""
        return {
            "path": str(self.path),
            "max_message": limits.MAX_MESSAGE_BYTES,
            "max_batch": limits.MAX_BATCH_BYTES,
            "max_count": limits.MAX_BATCH_COUNT,
            "max_delay": limits.MAX_DELAY_SECONDS,
        }

    def take(self, frame: tuple[Any, ...]) -> None:
        """A SENT frame."""
        _, number, _, queue, messages, delay_seconds, is_batch = frame
        self.received = number
        self._open += 1
        outgoing = [OutgoingMessage(*message) for message in messages]
        tell = partial(self._told, number, "sendBatch" if is_batch else "send")
        kept = (self.name, number)
        try:
            self._queues.enqueue(queue, outgoing, delay_seconds, batch=is_batch, tell=tell, kept=kept)
        except QueueSendError as error:  # the worker knows the limits; a file that somebody has changed may not
            self._open -= 1
            text = error.text("sendBatch" if is_batch else "send", expose_codes=self._expose_codes)
            self._send(frames.REFUSED, number, "Error", text, False)

    def take_rest(self) -> None:
        """The process is gone: store what has not come from it but is in its file."""
        self._closed = True
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:  # nothing was ever sent
            data = b""
        except OSError:  # it cannot be read now: it stays for the next start
            self.done.set()
            return
        sends, end = _sends(data)
        self._damaged = end < len(data)
        for frame in sends:
            if frame[1] > self.received:
                self.take(frame)
        self._look_whether_done()

    def answer(self) -> None:
        """Tell the process what is stored."""
        if self._answers:
            answers, self._answers = self._answers, []
            self._send(frames.STORED, answers)

    def _told(self, number: int, operation: str, metrics: QueueMetrics | None, error: Exception | None) -> None:
        if metrics is None:
            text = (
                error.text(operation, expose_codes=self._expose_codes)
                if isinstance(error, QueueSendError)
                else str(error)
            )
            self._send(frames.REFUSED, number, "Error", text, True)
            return
        self._open -= 1
        if not self._closed:
            if not self._answers:
                asyncio.get_running_loop().call_soon(self.answer)
            self._answers.append((number, *metrics))
        self._look_whether_done()

    def _look_whether_done(self) -> None:
        if self._closed and not self._open and not self.done.is_set():
            with contextlib.suppress(OSError):  # else the next start finds that everything is stored
                if self._damaged:  # nobody knows what the rest was: it is kept for who wants to look
                    self.path.replace(self.path.with_suffix(".damaged"))
                self.path.unlink(missing_ok=True)
                self._queues.forget_outbox(self.name)
            self.done.set()


def _sends(data: bytes) -> tuple[list[tuple[Any, ...]], int]:
    """The SENT frames at the head of a file, and where they end; what follows is rubbish."""
    found: list[tuple[Any, ...]] = []
    start = 0
    while start + 4 <= len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        try:
            frame = frames.Decoder().feed(data[start:end])[0]
        except (ValueError, EOFError, TypeError, IndexError):
            break
        if not isinstance(frame, tuple) or len(frame) != 7 or frame[0] != frames.SENT:
            break
        found.append(frame)
        start = end
    return found, start
