"""Where the outboxes of a session are, and how those of dead sessions are taken up.

Each process has a file of its own, `<state>/outbox/<session>-<random>.sends`, and the JavaScript Workers have one together.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from wrangler_py.runtime.base import KeepingQueues
from wrangler_py.runtime.closed_files import ClosedFiles
from wrangler_py.runtime.outbox import Outbox
from wrangler_py.store.database import StateError
from wrangler_py.store.sessions import lock_if_free

_FOLDER = "outbox"
_SUFFIX = ".sends"
#: How soon one that was still being written is looked at again (seconds).
_AGAIN_S = 1.0


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
        """`recover`, and again whenever a process has ended that had an outbox, for as long as the session lives: a neighbour
        may have been killed, and whoever consumes the queue here waits for what is in its outboxes."""
        closed = ClosedFiles(self._folder)
        try:
            while True:
                try:
                    again = await self.recover()
                except (sqlite3.Error, StateError):  # it cannot be read now; whoever sends is told why
                    again = True
                self.looked.set()
                # Real time: this is about processes, not about the session's clock.
                await (asyncio.sleep(_AGAIN_S) if again else closed.wait())
        finally:
            closed.close()


def _is_there(path: Path) -> bool:
    return path.exists()
