"""What a command does beside the sessions, written into the record."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection
from pathlib import Path

from wrangler_py.events import packs, tables
from wrangler_py.events.log import Event, EventLog
from wrangler_py.events.plain import plain

#: Kinds of events that a command beside the session may have recorded: what people do to queues and messages.
NOTED_KINDS = frozenset(
    (
        *("queue.created", "queue.updated", "queue.deleted", "queue.purged"),
        *("message.redriven", "message.hastened", "message.discarded"),
    )
)
#: Bytes of events that a command gathers before it writes them.
_NOTES_BYTES = 4 << 20
#: Told by `batch.finished` too, with more.
TOLD_TWICE = frozenset({"message.retried", "message.dead_lettered", "message.dropped", "message.released"})


class Notebook:
    """What a command does beside the sessions, written down at once: for those who have no event loop to spare."""

    def __init__(self, folder: Path, events: EventLog, kinds: Collection[str] | None = None) -> None:
        """`kinds`: only events of these are noted by themselves; None: all."""
        self._path = folder / tables.FILE_NAME
        self._events: list[Event] = []
        self._bytes = 0
        events.subscribe(self.note, kinds)

    def note(self, event: Event) -> None:
        """Keep an event, to be written."""
        if event.kind not in TOLD_TWICE:
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
                packs.put_aside(connection, [packs.packed(found)], tables.last_seq(connection) + 1)
                connection.execute("COMMIT")
            finally:
                connection.close()
