"""Writes the record: hears every event, and has a thread put it into the record's file (tables.py), off the event loop.

What it costs the loop is an append to a list, and what it costs beyond that is the thread: whenever it runs Python, the loop
waits for the interpreter's lock. So the thread is woken seldom. What comes singly is written within `_GATHER_S`. In a burst
events are only gathered; they are handed over together when it stops, twice a second while it goes on, or every `_TICK_S`
while somebody looks (a stream of changes until it has become a flood, or a command that touches the file look.py tells of), and
put aside as they are (packs.py). That much is lost by `kill -9`. They are made sense of when it has been quiet, or when
somebody reads.

The record is there to be looked at, so nothing that befalls it may stand in the way of the session: when it cannot be
written (a full disk) the events are dropped and counted, and it is tried again; when its file is damaged it is set aside.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from wrangler_py.events import look, packs, tables
from wrangler_py.events.damage import is_damaged, set_aside
from wrangler_py.events.digest import Digest
from wrangler_py.events.log import Event, EventLog
from wrangler_py.events.notebook import TOLD_TWICE
from wrangler_py.events.plain import Plain, plain

#: How long what comes singly is gathered before it is written (seconds).
_GATHER_S = 0.04
#: More events than this by then are a burst, and so are more messages.
_MANY = 20
_MANY_MESSAGES = 200
#: In a burst, how often the loop looks whether it is over, or whether somebody looks (seconds).
_TICK_S = 0.1
#: In a burst, how long events are gathered at most (seconds), and how many of them, and how many bytes of bodies.
_GATHER_MOST_S = 0.5
_GATHER_MOST = 20_000
_GATHER_BYTES = 16 << 20
#: How many messages the thread packs in one go, and how long it stands back then (seconds).
_PART = 1_000
_STAND_BACK_S = 0.005
#: When nobody reads, making sense of events rests this many times as long as a part of it took.
_REST = 2.0
#: For so long after somebody looked events are written at once (seconds).
_LOOKED_S = 3.0
#: In a burst, sends of one piece of work into one queue within so long are one event (ms).
_JOINED_MS = 100
#: A burst that lasts longer (seconds) is a flood: at most this share of the time is then spent on making sense of events, also
#: when somebody reads; what he is shown is older, and `RecordState.behind` says so.
_FLOOD_S = 0.3
_SENSE_SHARE = 0.005
#: How long it must have been quiet before what was put aside is made sense of, if nobody reads (seconds).
_QUIET_S = 0.3
#: Events that wait for the writer at most; later ones are lost, and counted.
_MOST_WAITING = 50_000
#: Bytes of bodies that wait for the writer at most.
_MOST_BYTES = 64 << 20
#: How long to wait before a file that refused is tried again (seconds).
_TRY_AGAIN_S = 1.0
#: The record is cut to size every so many writes.
_PRUNE_EVERY = 50
#: Pages that are given back to the file system in one go, when nothing else is to be done.
_PAGES_AT_ONCE = 256


class RecordLimits(Struct, frozen=True):
    """What the record keeps at most; the oldest goes first."""

    events: int = 200_000
    messages: int = 100_000
    max_bytes: int = 256 << 20


class Written(Struct, frozen=True):
    """Events that are in the file now, numbered from `first_seq` on."""

    first_seq: int
    events: list[Plain]


class RecordState(Struct):
    """How the record stands."""

    on: bool = True
    #: Rows are still packed.
    behind: bool = False
    #: Events that could not be kept since the session began.
    lost: int = 0
    error: str | None = None


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
        #: How many of them were there at the last look, and the bytes of their bodies.
        self._counted = 0
        self._bytes = 0
        self._full = False
        #: How many events and messages have come since the last tick.
        self._came = 0
        self._messages = 0
        self._planned = False
        #: When the oldest of them came, when the burst began that goes on (0: there is none), and until when it does if no more
        #: comes; the loop's time.
        self._since = 0.0
        self._burst_since = self._burst_until = 0.0
        self._look = look.Look(folder)
        self._looked_until = 0.0
        self._sense_after = 0.0  # in a flood: when events may be made sense of again
        self._writing = 0
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: list[Callable[[Written], None]] = []
        self._placed_listeners: list[Callable[[], None]] = []
        self._connection: sqlite3.Connection | None = None
        self._digest: Digest | None = None
        self._writes = 0
        self._unpruned = 0  # bytes of bodies written since the record was cut to size
        self._prune_later = False  # rows are to be counted and cut when it is quiet
        self._unsubscribe: Callable[[], None] = lambda: None

    # In the event loop --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to record. Never raises for what is wrong with the file."""
        self._loop = asyncio.get_running_loop()
        self._unsubscribe = self._events.subscribe(self._seen)
        self._thread = threading.Thread(target=self._run, name="wpy-record", daemon=True)
        self._thread.start()

    def on_written(self, listener: Callable[[Written], None], placed: Callable[[], None]) -> Callable[[], None]:
        """Tell `listener`, in the event loop, of events that were written, and `placed` when all that had been put aside is in
        its place. Returns the function that ends it."""
        self._listeners.append(listener)
        self._placed_listeners.append(placed)

        def leave() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)
                self._placed_listeners.remove(placed)

        return leave

    async def caught_up(self) -> None:
        """Wait until everything that happened so far is written and in its place; in a flood, for what was handed over."""
        if self._thread is None or not self._thread.is_alive():
            return
        if not self.flooded():
            self._hand_over()
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
        if event.kind in TOLD_TWICE:
            return
        if self._full:
            self.state.lost += 1
            return
        self._pending.append(event)
        if not self._planned:
            self._plan()

    def _plan(self) -> None:
        assert self._loop is not None
        self._planned = True
        now = self._loop.time()
        self._since = self._since or now
        if now > self._burst_until:
            self._burst_since = 0.0
        self._loop.call_later(_TICK_S if self._burst_since else _GATHER_S, self._tick)

    def _tick(self) -> None:
        """Hand over what was gathered, or go on gathering."""
        assert self._loop is not None
        self._planned = False
        now = self._loop.time()
        self._count()
        came, messages = self._came, self._messages
        self._came = self._messages = 0
        burst = came > _MANY or messages > _MANY_MESSAGES
        if burst:
            self._burst_since = self._burst_since or now
            self._burst_until = now + _QUIET_S
        if self._writing:  # the writer is busy, and takes more at once when it is done
            self._plan()
            return
        if burst:
            gathered = now - self._since >= _GATHER_MOST_S or self._bytes > _GATHER_BYTES
            if not gathered and len(self._pending) < _GATHER_MOST and not self._watched(now):
                self._plan()
                return
        self._hand_over()

    def _count(self) -> None:
        """Take note of what came since the last time."""
        for event in self._pending[self._counted :]:
            if event.kind == "message.sent":
                sent = event.data["messages"]
                self._messages += len(sent)
                for message in sent:
                    self._bytes += len(message.body)
        self._came += len(self._pending) - self._counted
        self._counted = len(self._pending)
        self._full = self._counted >= _MOST_WAITING or self._bytes > _MOST_BYTES

    def _watched(self, now: float) -> bool:
        if self._look.again():
            self._looked_until = now + _LOOKED_S
        return (bool(self._listeners) and not self.flooded()) or now < self._looked_until

    def flooded(self) -> bool:
        """Whether more comes, and has for a while, than is made sense of at once."""
        assert self._loop is not None
        now = self._loop.time()
        goes_on = now < self._burst_until or bool(self._pending)  # the loop may be late
        return self._burst_since > 0 and now - self._burst_since > _FLOOD_S and goes_on

    def _hand_over(self) -> None:
        if self._pending:
            self._count()
            self._writing += 1
            self._inbox.put(self._pending)
            self._pending = []
            self._counted = self._bytes = 0
            self._since = 0.0
            self._full = False

    def _written(self, written: Written | None) -> None:
        self._writing = max(0, self._writing - 1)
        if self._pending and not self._planned:
            self._plan()
        if written is not None:
            for listener in list(self._listeners):
                listener(written)

    def _placed(self, _: None) -> None:
        for listener in list(self._placed_listeners):
            listener()

    # In the writer's thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        wait_s: float | None = _QUIET_S
        while True:
            try:
                entry = self._inbox.get(timeout=wait_s)
            except queue.Empty:
                wait_s = _QUIET_S if self._pending else self._tidy()
                continue
            wait_s = _QUIET_S
            if entry is _STOP:
                break
            if isinstance(entry, list):
                written = self._write(entry)
                self._tell(self._written, written)
            else:
                self._make_sense()
                self._tell(_done, entry)
        self._disconnect()

    def _tidy(self) -> float | None:
        """A piece of what can wait until nothing else is to be done. Returns when to go on (seconds; None: nothing is left)."""
        if self.state.behind:
            began = time.monotonic()
            self._unpack(1)
            return _STAND_BACK_S + _REST * (time.monotonic() - began)
        try:
            if self._connection is not None and self._prune_later:
                self._prune_later = False
                self._prune(self._connection)
                return 0.0
            if self._connection is not None and tables.give_back(self._connection, _PAGES_AT_ONCE):
                return 0.0
        except sqlite3.Error as error:
            self._failed(error, 0)
        return None

    def _make_sense(self) -> None:
        if not self.flooded():
            self._unpack(None)
            return
        began = time.monotonic()
        if began >= self._sense_after:
            self._unpack(1)
            ended = time.monotonic()
            self._sense_after = ended + (ended - began) / _SENSE_SHARE

    def _write(self, entries: list[Event]) -> Written | None:
        try:
            connection = self._connect()
            if self.state.behind or _many(entries) or self.flooded():
                return self._commit(connection, *self._pack(entries))
            return self._commit(connection, plain(entries))
        except (sqlite3.Error, tables.Unusable) as error:
            self._failed(error, len(entries))
        except Exception as error:  # a kind of event that is not as expected must not end the record
            self.state.lost += len(entries)
            self._say(f"{type(error).__name__}: {error}. Please report this.")
        return None

    def _pack(self, entries: list[Event]) -> tuple[list[Plain], list[packs.Pack]]:
        """Pack them a few at a time, and stand back after each: whenever the loop gives the interpreter's lock away, be it for
        one statement, it gets it back only when this thread lets go of it."""
        events: list[Plain] = []
        made: list[packs.Pack] = []
        for few in _parts(entries):
            if made and self._thread is not None:  # None: the session ends
                time.sleep(_STAND_BACK_S)  # the thread's own: this is about the machine, and no session's clock
            part = plain(few, _JOINED_MS)
            events += part
            made.append(packs.packed(part))
        return events, made

    def _commit(
        self, connection: sqlite3.Connection, events: list[Plain], made: list[packs.Pack] | None = None
    ) -> Written:
        """Write `events`; `made`: as these packs."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            first = tables.last_seq(connection) + 1
            if made is not None or connection.execute(_PACKED).fetchone() is not None:
                packs.put_aside(connection, [packs.packed(events)] if made is None else made, first)
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
                self._prune(connection, rows=made is None)
                self._prune_later = made is not None
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self.state.error = None
        return Written(first, events)

    def _prune(self, connection: sqlite3.Connection, *, rows: bool = True) -> None:
        limits = self.limits
        tables.prune(connection, events=limits.events, messages=limits.messages, max_bytes=limits.max_bytes, rows=rows)

    def _unpack(self, count: int | None) -> None:
        """Put up to `count` packs (None: all) in their places."""
        try:
            connection = self._connect()  # another session or a command may have put something aside, too
            while count is None or count > 0:
                assert self._digest is not None
                if not packs.unpack_one(connection, self._digest):
                    if self.state.behind:
                        self.state.behind = False
                        self._tell(self._placed, None)
                    return
                if count is not None:
                    count -= 1
                elif self.flooded():  # it began meanwhile
                    return
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


def _many(events: list[Event]) -> bool:
    if len(events) > _MANY:
        return True
    return sum(len(event.data["ids"]) for event in events if event.kind == "message.sent") > _MANY_MESSAGES


def _parts(entries: list[Event]) -> Iterator[list[Event]]:
    """The entries, some `_PART` messages at a time."""
    begin = messages = 0
    for number, event in enumerate(entries, 1):
        told = event.data.get("messages") or event.data.get("settlements")
        messages += len(told) if isinstance(told, list | tuple) else 1
        if messages >= _PART or number == len(entries):
            yield entries[begin:number]
            begin, messages = number, 0


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
