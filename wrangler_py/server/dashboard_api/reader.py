"""Reads queues and record for the API, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, TypeVar

from wrangler_py.queues import search
from wrangler_py.server.dashboard_api.session_view import SessionView

T = TypeVar("T")
#: How long the answer that this task makes has waited for the record (seconds); it is no work.
waited_s: ContextVar[float] = ContextVar("waited_s", default=0.0)

#: The living messages are counted anew at most this often (seconds), and at most this share of the time is spent on it, or that
#: while messages pour in.
_COUNT_EVERY_S = 0.2
_COUNT_SHARE = 0.05
_FLOOD_SHARE = 0.01
#: A count that takes less (seconds) is made anew each time.
_QUICK_S = 0.005
#: While messages pour in, what summarises the record is read anew this often (seconds).
_SUMMARY_S = 3.0
#: Of so many searches the total is remembered.
_MOST_TOTALS = 20
#: How long an answer waits for what was recorded in a burst to be made sense of (seconds).
_PATIENCE_S = 2.0


class Reader:
    """Reads queues and record in a thread of its own, one question at a time, so that a long one delays no message."""

    def __init__(self, session: SessionView) -> None:
        self._session = session
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="wpy-reader")
        self._connection: sqlite3.Connection | None = None
        self._record_there = False
        #: Whether somebody was answered while the record was behind.
        self.was_behind = False
        self._counts: dict[str, dict[str, int]] = {}
        #: When they were counted, and how long it took.
        self._counted_at = -1e9
        self._counts_took = 0.0
        #: Whether something has happened since.
        self.counts_old = True
        #: By what was searched for: how many there are, when they were counted, and how long it took.
        self._totals: dict[tuple[str, ...], tuple[int | None, float, float]] = {}
        #: By the question: its last answer, and when it was given.
        self._summaries: dict[Callable[..., Any], tuple[Any, float]] = {}
        self._counting: asyncio.Future[dict[str, dict[str, int]]] | None = None

    async def ask(self, question: Callable[..., T], *arguments: Any, fresh: bool = True, **named: Any) -> T:
        """`question(connection, *arguments)` in the reader's thread. `fresh`: after what happened so far was recorded.
        Raises what the question raises."""
        recorder = self._session.recorder
        if fresh and recorder is not None:
            began = time.perf_counter()
            with contextlib.suppress(TimeoutError):  # then the answer is a little old, and `record.behind` says so
                async with asyncio.timeout(_PATIENCE_S):
                    await recorder.caught_up()
            waited_s.set(waited_s.get() + time.perf_counter() - began)
            self.was_behind = self.was_behind or recorder.state.behind

        def work() -> T:
            connection = self._connect()
            try:
                return question(connection, *arguments, **named)
            except sqlite3.DatabaseError:
                self._disconnect()  # the record may have been replaced; the next question finds the new one
                raise

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def summary(self, question: Callable[..., T], *arguments: Any) -> T:
        """As `ask`, for what summarises the record (a function of a module): a little old while messages pour in, whatever the
        arguments."""
        recorder = self._session.recorder
        known = self._summaries.get(question)
        if (
            known is not None
            and recorder is not None
            and recorder.flooded()
            and time.monotonic() < known[1] + _SUMMARY_S
        ):
            found: T = known[0]
            return found
        found = await self.ask(question, *arguments)
        self._summaries[question] = found, time.monotonic()
        return found

    async def counts(self) -> dict[str, dict[str, int]]:
        """By queue, how many living messages are in which state; a moment old at most."""
        if self.counts_in_s() > 0 or (not self.counts_old and self._counted_at > time.monotonic() - _COUNT_EVERY_S):
            return self._counts
        if self._counting is None:  # everybody who asks meanwhile gets the same answer
            self._counting = asyncio.ensure_future(self._count())
            self._counting.add_done_callback(self._counted)
        return await asyncio.shield(self._counting)

    def counts_in_s(self) -> float:
        """How long it is until something that has happened shows in the counts (seconds); 0: it does when they are asked for."""
        if not self.counts_old:
            return 0.0
        return max(0.0, self._counted_at + self._counts_took / self._share() - time.monotonic())

    def _share(self) -> float:
        recorder = self._session.recorder
        return _FLOOD_SHARE if recorder is not None and recorder.flooded() else _COUNT_SHARE

    async def _count(self) -> dict[str, dict[str, int]]:
        def work(connection: sqlite3.Connection, now_ms: int) -> tuple[dict[str, dict[str, int]], float]:
            started = time.perf_counter()
            return search.counts(connection, now_ms), time.perf_counter() - started

        self.counts_old = False
        self._counts, self._counts_took = await self.ask(work, self._session.clock.now_ms(), fresh=False)
        self._counted_at = time.monotonic()
        return self._counts

    def _counted(self, _: object) -> None:
        self._counting = None

    def total(self, wanted: tuple[str, ...]) -> tuple[int | None, bool]:
        """How many messages fitted a search the last time, and whether that may be told again: counting them takes at most a
        share of the time, however often a page asks."""
        total, at, took = self._totals.get(wanted, (None, 0.0, 0.0))
        return total, time.monotonic() < at + took / self._share()

    def counted_total(self, wanted: tuple[str, ...], total: int | None, took_s: float) -> None:
        """Remember it."""
        self._totals.pop(wanted, None)
        if took_s < _QUICK_S:
            return
        self._totals[wanted] = (total, time.monotonic(), took_s)
        if len(self._totals) > _MOST_TOTALS:
            del self._totals[next(iter(self._totals))]

    def news(self) -> None:
        """Something has happened: count anew, if that is not too much."""
        self.counts_old = True

    def changed(self) -> None:
        """Somebody changed messages and wants to see it at once."""
        self.counts_old, self._counts_took = True, 0.0
        self._totals.clear()

    def close(self) -> None:
        self._thread.submit(self._disconnect)
        self._thread.shutdown(wait=False)

    def _connect(self) -> sqlite3.Connection:
        recorder = self._session.recorder
        there = recorder is not None and recorder.path.is_file()
        if self._connection is not None and there != self._record_there:
            self._disconnect()
        if self._connection is None:
            self._connection = search.connect(self._session.store.path)
            self._record_there = there
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
