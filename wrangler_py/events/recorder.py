"""Writes the record: hears every event, and has a thread put it into the record's file (tables.py), off the event loop.

What it costs the loop is an append to a list. Up to `_GATHER_S` seconds are gathered and written together; that much is lost by
`kill -9`. The record is there to be looked at, so nothing that befalls it may stand in the way of the session: when it cannot be
written (a full disk) the events are dropped and counted, and it is tried again; when its file is damaged it is set aside.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wrangler_py.events import packs, tables
from wrangler_py.events.digest import Digest
from wrangler_py.events.log import Event, EventLog
from wrangler_py.events.plain import Plain, plain

#: How long events are gathered before they are written (seconds).
_GATHER_S = 0.04
#: More events than this at once are put aside as they are, and so is what follows; they are made sense of once it has been
#: quiet for `_QUIET_S` seconds, or when somebody reads.
_MANY = 20
_QUIET_S = 0.3
#: Messages that count as many, too.
_MANY_MESSAGES = 200
#: Events that wait for the writer at most; later ones are lost, and counted.
_MOST_WAITING = 50_000
#: Bytes of bodies that wait for the writer at most.
_MOST_BYTES = 64 << 20
#: How long to wait before a file that refused is tried again (seconds).
_TRY_AGAIN_S = 1.0
#: The record is cut to size every so many writes.
_PRUNE_EVERY = 50


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """What the record keeps at most; the oldest goes first."""

    events: int = 200_000
    messages: int = 100_000
    max_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """Events that are in the file now, numbered from `first_seq` on."""

    first_seq: int
    events: list[Plain]


@dataclass(slots=True)
class RecordState:
    """How the record stands."""

    on: bool = True
    #: Rows are still packed.
    behind: bool = False
    #: Events that could not be kept since the session began.
    lost: int = 0
    error: str | None = None


#: Bytes of events that a command gathers before it writes them.
_NOTES_BYTES = 4 << 20
#: Told by `batch.finished` too, with more.
_TOLD_TWICE = frozenset({"message.retried", "message.dead_lettered", "message.dropped", "message.released"})
_STOP = object()
_PACKED = "SELECT 1 FROM pack LIMIT 1"


class Recorder:
    """Records what an EventLog announces. `start` it in the event loop, `close` it at the end."""

    def __init__(
        self,
        folder: Path,
        events: EventLog,
        limits: RecordLimits | None = None,
        roots: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`folder`: the state folder. `roots`: the folders of the projects, to which files are shown relative."""
        self.path = folder / tables.FILE_NAME
        self.limits = limits or RecordLimits()
        self.state = RecordState()
        self._events = events
        self._roots = roots
        self._pending: list[Event] = []
        self._bytes = 0
        self._planned = False
        self._writing = 0
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[Written], None]] = []
        self._connection: sqlite3.Connection | None = None
        self._digest: Digest | None = None
        self._writes = 0
        self._unpruned = 0  # bytes of bodies written since the record was cut to size
        self._unsubscribe: Callable[[], None] = lambda: None

    # In the event loop --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to record. Never raises for what is wrong with the file."""
        self._loop = asyncio.get_running_loop()
        self._unsubscribe = self._events.subscribe(self._seen)
        self._thread = threading.Thread(target=self._run, name="wpy-record", daemon=True)
        self._thread.start()

    def on_written(self, listener: Callable[[Written], None]) -> Callable[[], None]:
        """Tell `listener`, in the event loop, of events that were written. Returns the function that ends it."""
        self._listeners.append(listener)

        def leave() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return leave

    async def caught_up(self) -> None:
        """Wait until everything that happened so far is written and in its place."""
        if self._thread is None or not self._thread.is_alive():
            return
        self._hand_over(at_once=True)
        assert self._loop is not None
        done = self._loop.create_future()
        self._inbox.put(done)
        await done

    def close(self) -> None:
        """Write what is left, and end."""
        self._unsubscribe()
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._pending:
            self._inbox.put(self._pending)
            self._pending = []
        self._inbox.put(_STOP)
        thread.join(timeout=5.0)

    def _seen(self, event: Event) -> None:
        if event.kind in _TOLD_TWICE:
            return
        if len(self._pending) >= _MOST_WAITING or self._bytes > _MOST_BYTES:
            self.state.lost += 1
            return
        if event.kind == "message.sent":
            self._bytes += sum(len(m.body) for m in event.data["messages"])
        self._pending.append(event)
        if not self._planned:
            self._planned = True
            assert self._loop is not None
            self._loop.call_later(_GATHER_S, self._hand_over)

    def _hand_over(self, *, at_once: bool = False) -> None:
        self._planned = False
        if self._pending and (
            at_once or not self._writing
        ):  # else the writer is busy, and takes more at once next time
            self._writing += 1
            self._inbox.put(self._pending)
            self._pending = []
            self._bytes = 0

    def _written(self, written: Written | None) -> None:
        self._writing = max(0, self._writing - 1)
        if self._pending and not self._planned:
            self._planned = True
            assert self._loop is not None
            self._loop.call_later(_GATHER_S, self._hand_over)
        if written is not None:
            for listener in list(self._listeners):
                listener(written)

    # In the writer's thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        quiet_s = _QUIET_S
        while True:
            try:
                entry = self._inbox.get(timeout=quiet_s if self.state.behind else None)
            except queue.Empty:
                self._unpack(1)
                quiet_s = 0.0
                continue
            quiet_s = _QUIET_S
            if entry is _STOP:
                break
            if isinstance(entry, list):
                written = self._write(entry)
                self._tell(self._written, written)
            else:
                self._unpack(None)
                self._tell(_done, entry)
        self._disconnect()

    def _write(self, entries: list[Event]) -> Written | None:
        try:
            return self._commit(self._connect(), plain(entries))
        except (sqlite3.Error, tables.Unusable) as error:
            self._failed(error, len(entries))
        except Exception as error:  # a kind of event that is not as expected must not end the record
            self.state.lost += len(entries)
            self._say(f"{type(error).__name__}: {error}. Please report this.")
        return None

    def _commit(self, connection: sqlite3.Connection, events: list[Plain]) -> Written:
        connection.execute("BEGIN IMMEDIATE")
        try:
            first = tables.last_seq(connection) + 1
            if self.state.behind or _many(events) or connection.execute(_PACKED).fetchone() is not None:
                packs.put_aside(connection, events, first)
                self.state.behind = True
            else:
                assert self._digest is not None
                tables.apply(connection, self._digest.rows(events), first)
            self._writes += 1
            self._unpruned += sum(
                len(m[0]) for event in events if event[1] == "message.sent" for m in event[3]["messages"]
            )
            if self._writes % _PRUNE_EVERY == 0 or self._unpruned > self.limits.max_bytes // 20:
                self._unpruned = 0
                limits = self.limits
                tables.prune(connection, events=limits.events, messages=limits.messages, max_bytes=limits.max_bytes)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self.state.error = None
        return Written(first, events)

    def _unpack(self, count: int | None) -> None:
        """Put up to `count` packs (None: all) in their places."""
        try:
            connection = self._connect()  # another session or a command may have put something aside, too
            while count is None or count > 0:
                assert self._digest is not None
                if not packs.unpack_one(connection, self._digest):
                    self.state.behind = False
                    return
                count = None if count is None else count - 1
        except (sqlite3.Error, tables.Unusable, ValueError, EOFError, TypeError) as error:
            self._failed(error, 0)

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = tables.connect(self.path)
            self._connection = connection
            self._digest = Digest(connection, self._roots())
            self.state.behind = connection.execute(_PACKED).fetchone() is not None
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _failed(self, error: Exception, lost: int) -> None:
        self.state.lost += lost
        self._disconnect()
        if is_damaged(error):
            aside = set_aside(self.path)
            self._say(f"{self.path} is damaged ({error}). It was set aside as {aside.name}, and a new record is begun")
        else:
            self._say(f"{self.path} cannot be written ({error}). The queues go on; what happens now is not recorded")
            time.sleep(_TRY_AGAIN_S)  # the thread's own: this is about the machine, and no session's clock

    def _say(self, text: str) -> None:
        if self.state.error != text:
            self.state.error = text
            self._tell(self._emit_failed, text)

    def _emit_failed(self, text: str) -> None:
        self._events.emit("record.failed", error=text)

    def _tell(self, callback: Callable[..., object], value: object) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: the session has ended
            self._loop.call_soon_threadsafe(callback, value)


class Notebook:
    """What a command does beside the sessions, written down at once: for those who have no event loop to spare."""

    def __init__(self, folder: Path, events: EventLog) -> None:
        self._path = folder / tables.FILE_NAME
        self._events: list[Event] = []
        self._bytes = 0
        events.subscribe(self._seen)

    def _seen(self, event: Event) -> None:
        if event.kind not in _TOLD_TWICE:
            self._events.append(event)
            self._bytes += (
                sum(len(m.body) + 100 for m in event.data["messages"]) if event.kind == "message.sent" else 100
            )
            if self._bytes >= _NOTES_BYTES:
                self.write()

    def write(self) -> None:
        """Write what was seen. A record that cannot be written is left alone: the next session says what is wrong with it."""
        events, self._events, self._bytes = self._events, [], 0
        if not events:
            return
        with contextlib.suppress(sqlite3.Error, tables.Unusable):
            connection = tables.connect(self._path)
            try:
                connection.execute("BEGIN IMMEDIATE")
                found = plain(events)
                packs.put_aside(connection, found, tables.last_seq(connection) + 1)
                connection.execute("COMMIT")
            finally:
                connection.close()


def _many(events: list[Plain]) -> bool:
    if len(events) > _MANY:
        return True
    return sum(len(event[3]["ids"]) for event in events if event[1] == "message.sent") > _MANY_MESSAGES


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def is_damaged(error: Exception) -> bool:
    """Whether the file itself is at fault, and not the disk or another process."""
    if not isinstance(error, sqlite3.Error):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and (code & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return True
    return str(error).startswith(("no such table", "no such column"))


def set_aside(path: Path) -> Path:
    """Move a damaged record out of the way, its log files too. Returns where it is now."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    with contextlib.suppress(OSError):
        path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside
