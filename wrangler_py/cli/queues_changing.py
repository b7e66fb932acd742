"""How the commands of `wpy queues` change the queues of a state folder, with word to the sessions.

A command writes the state itself, whether a session runs or not. Where one runs, the times that the command writes are
those of the session's clock, and the session is told of what was changed, so that it takes effect at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar

from wrangler_py.cli.output import CommandError, warning
from wrangler_py.cli.queues_access import ANSWER_S, check_exists, session_clock
from wrangler_py.cli.session_client import SessionClient
from wrangler_py.cli.state import Project, writing
from wrangler_py.events.log import Event, EventLog
from wrangler_py.events.notebook import NOTED_KINDS, Notebook
from wrangler_py.queues import tables
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.store.database import Store
from wrangler_py.store.sessions import SessionInfo, living_sessions

T = TypeVar("T")

#: The shortest time between two words to the sessions while a command goes on (seconds). The first and the last are
#: said at once.
_SPACING_S = 0.2
#: Events that are handed to a session in one call: each may name hundreds of messages.
_AT_ONCE = 20
#: What a command has in place of a session's number: it takes no message out by a lease of its own.
_NO_SESSION = 0


class Queues:
    """The queues of a state folder, open to be changed. Use `changing`."""

    def __init__(self, project: Project, store: Store, queue: str) -> None:
        self.project = project
        self.store = store
        self.clock = session_clock(store, queue)
        self.events = EventLog(self.clock)
        self.events.subscribe(self._happened)
        self._notebook = Notebook(store.path.parent, self.events, ("message.sent",))
        #: What a session is to record, or the notebook when there is none.
        self._untold: list[Event] = []
        #: What the rooms announced, in order.
        self.announced: list[Event] = []
        self.broker = Broker(store, self.clock, self.events, _NO_SESSION)
        self.broker.on_unheard = self.touch
        self._touched: set[str] = set()
        self._clients: dict[int, SessionClient] = {}
        self._silent: set[int] = set()
        self._told_s = 0.0

    def _happened(self, event: Event) -> None:
        if event.kind != "message.sent":  # of which there may be a hundred thousand
            self.announced.append(event)
            self._untold.append(event)

    def record(self, name: str) -> QueueRecord:
        """A queue that exists; one that only the config names is created. Raises sqlite3.Error, StateError."""
        now_ms = self.clock.now_ms()
        return tables.find_queue(self.store, name) or self.store.write(
            lambda c: tables.ensure_queue(c, name, now_ms)[0]
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do what the rooms do on an event loop. Raises what they raise."""
        return self._runner.run(work)

    @cached_property
    def _runner(self) -> asyncio.Runner:
        return asyncio.Runner()

    # Word to the sessions -----------------------------------------------------------------------------------------

    def touch(self, queue: str) -> None:
        """`queue` is not what it was: the sessions are to look at it, at the end or with `tell`."""
        self._touched.add(queue)

    def tell(self, *, now: bool = False) -> None:
        """Tell the sessions of the queues that were touched. Between, not more often than they can make use of; `now`:
        in any case."""
        if not (self._touched or self._untold) or (not now and time.monotonic() - self._told_s < _SPACING_S):
            return
        self._hand_over()
        self._notebook.write()  # first: what a session does with these messages is recorded at once
        touched, self._touched = sorted(self._touched), set()
        # Looked up every time: one that has started meanwhile may have looked at the queue before the commit.
        for session in living_sessions(self.store):
            if session.url is not None and session.id not in self._silent:
                self._tell(session, touched)
        self._told_s = time.monotonic()

    def _hand_over(self) -> None:
        """Have a session record what was done, so that whoever watches it sees it; without one it is written down here."""
        events, self._untold = self._untold, []
        told = [{"kind": event.kind, "data": event.data} for event in events if event.kind in NOTED_KINDS]
        for session in living_sessions(self.store) if told else ():
            if session.url is None or session.id in self._silent:
                continue
            try:
                for at in range(0, len(told), _AT_ONCE):
                    part = {"events": told[at : at + _AT_ONCE]}
                    self._client(session).call("POST events/note", part, timeout_s=ANSWER_S)
            except CommandError:  # it ends, or does not get to it; `_tell` says so if it is more than that
                continue
            events = [event for event in events if event.kind not in NOTED_KINDS]
            break
        for event in events:
            self._notebook.note(event)

    def _client(self, session: SessionInfo) -> SessionClient:
        client = self._clients.get(session.id)
        if client is None:
            client = self._clients[session.id] = SessionClient(session)
        return client

    def _tell(self, session: SessionInfo, queues: Sequence[str]) -> None:
        client = self._client(session)
        try:
            for queue in queues:
                client.call("POST queues/wake", {"queue": queue}, timeout_s=ANSWER_S)
        except CommandError as problem:
            self._silent.add(session.id)
            if session.id in {s.id for s in living_sessions(self.store)}:  # one that has ended meanwhile is no news
                warning(f"{problem} It finds what was changed by itself within a minute.")

    def close(self) -> None:
        """Tell the sessions what they have not been told, and let go."""
        try:
            self.tell(now=True)
        finally:
            self._notebook.write()
            for client in self._clients.values():
                client.close()
            if "_runner" in self.__dict__:
                self._runner.close()


@contextlib.contextmanager
def changing(project: Project, name: str, *others: str) -> Iterator[Queues]:
    """The queues, to change `name` (and `others`), which exist or are named by the config. At the end the sessions are told.
    Raises CommandError for a queue that does not exist, and creates nothing then; StateError."""
    check_exists(project, name, *others)
    with writing(project.folder) as store:
        queues = Queues(project, store, name)
        try:
            yield queues
        finally:
            queues.close()
