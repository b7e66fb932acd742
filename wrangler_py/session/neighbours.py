"""The other sessions on the same state folder: a message that this session lets in may be theirs to deliver.

They are told with one small POST to their control API. Telling is only a nudge: the message is committed already, and a
session that is not there finds it when it starts.
"""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

from wrangler_py.events.log import EventLog
from wrangler_py.queues import tables
from wrangler_py.server.control import PREFIX
from wrangler_py.store.database import Store
from wrangler_py.store.sessions import SessionInfo, attachments, living_sessions

#: The shortest time between two nudges about one queue (seconds), so that a burst of sends costs a few of them.
_SPACING_S = 0.005
#: How long a neighbour may take to answer (seconds). One that is slower looks at its queue by itself later.
_TIMEOUT_S = 2.0


class Neighbours:
    """Tells other sessions of messages in queues that they consume."""

    def __init__(self, store: Store, own_id: int, events: EventLog) -> None:
        self._store = store
        self._own_id = own_id
        self._events = events
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._told_unconsumed: set[str] = set()

    def nudge(self, queue: str) -> None:
        """`queue` has a message, and no consumer in this session."""
        if queue in self._running:
            self._again.add(queue)
            return
        self._running[queue] = asyncio.get_running_loop().create_task(self._nudge(queue))

    async def _nudge(self, queue: str) -> None:
        try:
            await self._nudge_until_quiet(queue)
        finally:  # in the same step as the last look at `_again`: a nudge in between would be lost
            self._running.pop(queue, None)

    async def _nudge_until_quiet(self, queue: str) -> None:
        while True:
            self._again.discard(queue)
            consumer = self._consumer_of(queue)
            if consumer is None:
                self._say_unconsumed(queue)
            else:
                try:
                    async with asyncio.timeout(_TIMEOUT_S):
                        await _post(consumer, "queues/wake", {"queue": queue})
                except (OSError, TimeoutError, asyncio.IncompleteReadError):
                    pass  # it is ending or starting; whoever consumes the queue next looks at it first
            await asyncio.sleep(_SPACING_S)
            if queue not in self._again:
                return

    def _consumer_of(self, queue: str) -> SessionInfo | None:
        ids = {a.session_id for a in attachments(self._store) if a.role == "consumer" and a.queue == queue}
        for session in living_sessions(self._store):
            if session.id in ids and session.id != self._own_id and session.url is not None:
                return session
        return None

    def _say_unconsumed(self, queue: str) -> None:
        if queue not in self._told_unconsumed:
            record = tables.find_queue(self._store, queue)
            if record is None or not record.backlog_count or tables.is_pulled(self._store, record.id):
                return
            self._told_unconsumed.add(queue)
            self._events.emit("queue.unconsumed", queue=queue)

    async def close(self) -> None:
        """Tell what is still to be told, and stop."""
        while self._running:
            await asyncio.wait(list(self._running.values()), timeout=_TIMEOUT_S)


async def _post(session: SessionInfo, call: str, arguments: dict[str, str]) -> None:
    """One POST to a session's control API. Raises OSError or TimeoutError."""
    assert session.url is not None
    address = urlsplit(session.url)
    host = address.hostname or "localhost"
    reader, writer = await asyncio.open_connection("127.0.0.1" if host == "localhost" else host, address.port)
    try:
        body = json.dumps(arguments).encode()
        writer.write(
            f"POST {PREFIX}{call} HTTP/1.1\r\nHost: {address.netloc}\r\nX-Wpy-Token: {session.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        await reader.readline()
    finally:
        writer.close()
