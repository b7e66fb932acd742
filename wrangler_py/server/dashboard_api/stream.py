"""The stream of changes: server-sent events, gathered, so that a busy queue costs its watchers' server next to nothing."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from wrangler_py.events import reading
from wrangler_py.events.digest import shown_data
from wrangler_py.events.plain import Plain
from wrangler_py.events.recorder import Written
from wrangler_py.server.dashboard_api.queues import summed
from wrangler_py.server.dashboard_api.reader import Reader
from wrangler_py.server.dashboard_api.session_view import SessionView

#: Frames are sent at most this often (seconds), and the first after a while so soon.
_EVERY_S = 0.25
_SOON_S = 0.02
#: A stream without news says that it lives this often (seconds).
_ALIVE_S = 15.0
#: How long a page is asked to wait between two readings of the same while messages pour in (ms): a frame's `paceMs`.
_FLOOD_PACE_MS = 1000
#: Events that one frame carries at most, and in a flood.
_MOST_EVENTS = 50
_MOST_IN_FLOOD = 20
#: A client that reads slower than this many frames is let go; it comes back with Last-Event-ID.
_MOST_FRAMES = 100
_CLOCK_EVENTS = ("clock.frozen", "clock.moved", "clock.resumed", "clock.jumped")


class Stream:
    """Gathers what was written and hands it to every client."""

    def __init__(self, session: SessionView, reader: Reader) -> None:
        self._session = session
        self._reader = reader
        self._clients: set[asyncio.Queue[str | None]] = set()
        self._events: list[tuple[int, Plain]] = []
        self._kinds: Counter[str] = Counter()
        self._queues: set[str] = set()
        self._seq = 0
        #: What clients were told of while the record was behind, so that what they read then may lack it.
        self._unread: tuple[Counter[str], set[str]] = Counter(), set()
        #: Whether the counts that clients were told are older than what they were told last.
        self._uncounted = False
        self._again = False  # it is told again: they may read now
        self._clock: dict[str, Any] = {}
        self._leave: list[Any] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._earliest = 0.0  # when the next frame may be sent (the loop's time)
        self._closed = False

    async def frames(self, after: int | None) -> AsyncIterator[str]:
        """What one client is sent. `after`: the last event that it has seen. Ends when the server does, or when the client
        is too slow."""
        waiting: asyncio.Queue[str | None] = asyncio.Queue(_MOST_FRAMES)
        if not self._clients:
            self._listen()
        self._clients.add(waiting)
        try:
            yield "retry: 1000\n\n"
            yield await self._first(after)
            yield _frame("clock", await self._clock_now())
            while not self._closed:
                try:
                    async with asyncio.timeout(_ALIVE_S):
                        frame = await waiting.get()
                except TimeoutError:
                    frame = ": alive\n\n"
                if frame is None:
                    return
                yield frame
        finally:
            self._clients.discard(waiting)
            if not self._clients:
                self._listen_no_more()

    async def _first(self, after: int | None) -> str:
        def read(connection: sqlite3.Connection) -> tuple[int, list[reading.Recorded]]:
            last = reading.last_seq(connection)
            missed = [] if after is None else reading.events_before(connection, None, _MOST_EVENTS, "seq > ?", (after,))
            return last, missed[::-1]

        last, missed = await self._reader.ask(read)
        if after is not None and after > last:  # the record was replaced: what the client knows is of another one
            return _frame("reset", {"seq": last}, last)
        self._seq = max(self._seq, last)
        shown = [event.as_json() for event in missed]
        skipped = 0 if after is None else max(0, last - after - len(shown))
        kinds = Counter(event["kind"] for event in shown)
        queues = sorted({event["queue"] for event in shown if event["queue"]})
        return _frame("change", await self._change(last, queues, dict(kinds), shown, skipped, self._pace_ms()), last)

    # Gathering ----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        recorder = self._session.recorder
        if recorder is not None:
            self._leave.append(recorder.on_written(self._written, self._placed))
        self._leave.append(self._session.events.subscribe(self._seen, _CLOCK_EVENTS))

    def _listen_no_more(self) -> None:
        for leave in self._leave:
            leave()
        self._leave = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _seen(self, _: Any) -> None:
        self._plan()

    def _written(self, written: Written) -> None:
        events = written.events
        self._seq = written.first_seq + len(events) - 1
        self._kinds.update(event[1] for event in events)
        self._queues.update(queue for event in events if (queue := event[3].get("queue")))
        first = max(0, len(events) - _MOST_EVENTS)
        self._events += [(written.first_seq + place, events[place]) for place in range(first, len(events))]
        del self._events[:-_MOST_EVENTS]
        self._plan()

    def _placed(self) -> None:
        if self._reader.was_behind:
            self._reader.was_behind = False
            self._again = True
            self._plan()

    def _plan(self) -> None:
        if self._timer is None and self._task is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time() + _SOON_S, self._earliest), self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._earliest = asyncio.get_running_loop().time() + _EVERY_S
        self._task = asyncio.ensure_future(self._send())
        self._task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            self._session.events.emit("record.failed", error=f"the stream of changes: {task.exception()}")
        if self._kinds or self._again or self._uncounted:
            self._plan()

    async def _send(self) -> None:
        kinds, events, queues, seq = self._kinds, self._events, self._queues, self._seq
        self._kinds, self._events, self._queues = Counter(), [], set()
        recorder = self._session.recorder
        pace_ms = self._pace_ms()
        if pace_ms:
            events = events[-_MOST_IN_FLOOD:]
        skipped = max(0, sum(kinds.values()) - len(events))
        behind = recorder is not None and (recorder.state.behind or self._reader.was_behind)
        self._unread[0].update(kinds)
        self._unread[1].update(queues)
        if self._again:
            kinds, queues = self._unread
            self._again = False
        if not behind:
            self._unread = Counter(), set()
        frames = []
        if kinds:
            self._reader.news()
        if kinds or (self._uncounted and self._reader.counts_in_s() == 0):
            shown = [_shown(*one) for one in events]
            change = await self._change(seq, sorted(queues), dict(kinds), shown, skipped, pace_ms)
            self._uncounted = self._reader.counts_old
            frames.append(_frame("change", change, seq))
        clock = await self._clock_now()
        if self._differs(clock):
            self._clock = clock
            frames.append(_frame("clock", clock))
        for waiting in list(self._clients):
            try:
                for frame in frames:
                    waiting.put_nowait(frame)
            except asyncio.QueueFull:
                while not waiting.empty():
                    waiting.get_nowait()
                waiting.put_nowait(None)

    async def _change(
        self,
        seq: int,
        queues: list[str],
        kinds: dict[str, int],
        events: list[dict[str, Any]],
        skipped: int,
        pace_ms: int,
    ) -> dict[str, Any]:
        return {
            "seq": seq,
            "queues": queues,
            "kinds": kinds,
            "counts": summed(await self._reader.counts()),
            "events": events,
            "skipped": skipped,
            "paceMs": pace_ms,
        }

    def _pace_ms(self) -> int:
        recorder = self._session.recorder
        return _FLOOD_PACE_MS if recorder is not None and recorder.flooded() else 0

    async def _clock_now(self) -> dict[str, Any]:
        show = self._session.controls.get("GET clock")
        return {} if show is None else await show({})

    def _differs(self, clock: dict[str, Any]) -> bool:
        return any(clock.get(name) != self._clock.get(name) for name in ("frozen", "moving", "aheadMs", "nextMs")) or (
            bool(clock.get("frozen")) and clock.get("nowMs") != self._clock.get("nowMs")
        )

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._listen_no_more()
        if self._task is not None:
            self._task.cancel()
        for waiting in self._clients:
            while not waiting.empty():
                waiting.get_nowait()
            waiting.put_nowait(None)


def _shown(seq: int, event: Plain) -> dict[str, Any]:
    at_ms, kind, span, data = event
    trace, span_id = (None, None) if span is None else (span[1], span[0])
    shown = shown_data(kind, data)
    return reading.Recorded(seq, at_ms, kind, data.get("worker"), data.get("queue"), trace, span_id, shown).as_json()


def _frame(event: str, data: dict[str, Any], number: int | None = None) -> str:
    first = "" if number is None else f"id: {number}\n"
    return f"{first}event: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"
