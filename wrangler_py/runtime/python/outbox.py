"""Outboxes, as the server sees them: what a worker's process has sent is stored, from the socket or else from its file.

Each process has a file of its own, `<state>/outbox/<session>-<random>.sends` (the worker's side: runtime/worker/outbox.py).
It is there as long as something in it may not be stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from wrangler_py.queues import limits
from wrangler_py.queues.limits import QueueSendError
from wrangler_py.queues.message import OutgoingMessage, QueueMetrics
from wrangler_py.runtime.base import QueueService
from wrangler_py.runtime.worker import frames
from wrangler_py.store.database import StateError
from wrangler_py.store.sessions import lock_if_free

_FOLDER = "outbox"
_SUFFIX = ".sends"
#: How often the outboxes of neighbours that were killed are looked for (seconds; whoever consumes the queue here waits for
#: what is in them), and how soon again after one that was still being written.
_LOOK_EVERY_S = 2.0
_AGAIN_S = 1.0


class KeepingQueues(QueueService, Protocol):
    """Queues that know how far an outbox is stored (queues/outbox.py)."""

    def stored_of(self, outbox_name: str) -> int: ...

    def forget_outbox(self, name: str) -> asyncio.Future[None]: ...


class OutboxHome:
    """Where a session keeps the outboxes of its workers' processes."""

    def __init__(
        self, state_folder: Path, session: int, queues: KeepingQueues, living: Callable[[], Iterable[int]]
    ) -> None:
        """`living` gives the sessions that are alive."""
        self._folder = state_folder / _FOLDER
        self._session = session
        self._queues = queues
        self._living = living
        #: Set when `watch` has looked for the first time.
        self.looked = asyncio.Event()
        #: Empty until this session has made an outbox: a file under its number before is that of a dead session.
        self._made: set[str] = set()

    def make(self, send: Callable[..., None], *, expose_codes: bool) -> Outbox | None:
        """An outbox for a process that `send` speaks to; None when the folder cannot be made, and sends are asked for.
        `expose_codes`: as in BindingCalls."""
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError:
            return None
        return Outbox(self.new_path(), self._queues, send, expose_codes=expose_codes)

    def new_path(self) -> Path:
        """Where another outbox of this session may be."""
        self._made.add(str(self._session))
        return self._folder / f"{self._session}-{secrets.token_hex(8)}{_SUFFIX}"

    async def recover(self) -> bool:
        """Store what is left in the outboxes of sessions that are dead. Returns whether there are some that cannot be taken
        yet, because the process that writes them has not noticed that its session is dead.

        A message taken from such a file counts as sent now: it was kept, not yet in a queue.
        """
        left = [path for path in sorted(self._folder.glob(f"*{_SUFFIX}")) if path.name.split("-")[0] not in self._made]
        if left:  # who is alive is asked only then: with no neighbour it costs next to nothing to look often
            living = {str(session) for session in self._living() if session != self._session}
            left = [path for path in left if path.name.split("-")[0] not in living]
        for path in left:
            # It may be gone meanwhile, or another user's, which is his session's to take.
            with contextlib.suppress(OSError), path.open("r+b") as file:
                # Another session may be at it; and what it has finished is no more, though it is open here.
                if lock_if_free(file) and _is_there(path):
                    outbox = Outbox(path, self._queues, lambda *_: None, expose_codes=True)
                    outbox.received = self._queues.stored_of(outbox.name)
                    outbox.take_rest()
                    await outbox.done.wait()
        return any(map(_is_there, left))

    async def watch(self) -> None:
        """`recover`, now and then, for as long as the session lives: a neighbour may have been killed."""
        while True:
            try:
                again = await self.recover()
            except (sqlite3.Error, StateError):  # it cannot be read now; whoever sends is told why
                again = True
            self.looked.set()
            # Real time: this is about processes, not about the session's clock.
            await asyncio.sleep(_AGAIN_S if again else _LOOK_EVERY_S)


def _is_there(path: Path) -> bool:
    return path.exists()


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
