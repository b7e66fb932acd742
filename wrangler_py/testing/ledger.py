"""Every event of a test: what it was, what it asked for, what it logged, how it ended."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from wrangler_py.runtime.inprocess.process import LocalProcess
from wrangler_py.runtime.python.pending import PendingEvent
from wrangler_py.runtime.worker import frames
from wrangler_py.testing.results import EventResult, LogLine, Usage

__tracebackhide__ = True

#: The call of the test's that what is started now belongs to.
_current_call: ContextVar[Call | None] = ContextVar("wpy_call", default=None)


@dataclass(slots=True, eq=False)
class EventRecord:
    """One event."""

    number: int
    worker: str
    #: "fetch", "queue", "scheduled", ...
    kind: str
    label: str
    pending: PendingEvent
    #: The worker's side of it (runtime/worker/context.py), from its first step on.
    event: Any = None
    usage: Usage = field(default_factory=Usage)
    logs: list[LogLine] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Call:
    """What a call of the test's has started."""

    ledger: Ledger
    token: Any = None
    records: list[EventRecord] = field(default_factory=list)

    def close(self) -> EventResult:
        """What became of it."""
        result = EventResult()
        self.ledger.close_into(self, result)
        return result


class Ledger:
    """Listens to the host of a session's workers."""

    def __init__(self) -> None:
        self.events: dict[int, EventRecord] = {}
        self.logs: list[LogLine] = []

    def forget(self) -> None:
        """The test begins anew."""
        self.events.clear()
        self.logs.clear()

    # What the host tells ----------------------------------------------------------------------------------------------

    def started(self, process: LocalProcess, number: int, pending: PendingEvent) -> None:
        record = self.events[number] = EventRecord(number, process.name, pending.kind, pending.label, pending)
        call = _current_call.get()
        if call is not None:
            call.records.append(record)

    def began(self, process: LocalProcess, event: Any) -> None:
        record = self.events.get(event.id)
        if record is not None:
            record.event = event

    def frame(self, process: LocalProcess, frame: tuple[Any, ...]) -> None:
        if frame[0] == frames.CALL:
            record = self.events.get(frame[2])
            if record is not None:
                _count(record.usage, frame[3], frame[4], frame[5])
        elif frame[0] == frames.LOG:
            record = self.events.get(frame[1])
            label = record.label if record is not None else ""
            lines = [LogLine(process.name, label, frame[2], text) for text in frame[3].split("\n")]
            self.logs += lines
            if record is not None:
                record.logs += lines

    def fetched(self, number: int) -> None:
        """User code made an HTTP request."""
        record = self.events.get(number)
        if record is not None:
            record.usage.subrequests += 1
            record.usage.fetches += 1

    # Calls ------------------------------------------------------------------------------------------------------------

    def open(self) -> Call:
        """What the current task starts from now on belongs to the call that this gives, until it is closed."""
        call = Call(self)
        call.token = _current_call.set(call)
        return call

    async def over(self, call: Call) -> None:
        """Wait until the events of a call are over, waitUntil work included."""
        running = [record.pending.done for record in call.records if not record.pending.done.done()]
        if running:
            await asyncio.wait(running)

    def close_into(self, call: Call, result: EventResult) -> None:
        """Note in a result what a call has used, logged and raised."""
        if call.token is not None:
            _current_call.set(None)
            call.token = None
        for record in call.records:
            result.usage.add(record.usage)
            result.logs += record.logs
            if record.event is not None and record.event.error is not None and result.exception is None:
                result.exception = from_users_frame(record.event.error)
                if result.outcome == "ok":
                    result.outcome = "exception"
        if result.exception is not None and result.error is None:
            from wrangler_py.runtime.worker.outcome import last_line

            result.error = last_line(result.exception)

    @property
    def usage(self) -> Usage:
        """What all events together have used."""
        total = Usage()
        for record in self.events.values():
            total.add(record.usage)
        return total


def from_users_frame(error: BaseException) -> BaseException:
    """An exception whose traceback begins at the user's first frame."""
    from wrangler_py.runtime.worker import outcome

    trace = error.__traceback__
    while trace is not None and not outcome.is_users(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)


def _count(usage: Usage, binding: str, method: str, args: tuple[Any, ...]) -> None:
    usage.subrequests += 1
    if method == "send" and len(args) == 3:
        messages = args[0]
        usage.messages_sent += len(messages)
        usage.largest_message = max(usage.largest_message, *(len(message[0]) for message in messages))
    elif method in ("query", "all", "run", "first", "raw", "exec", "batch", "execute"):
        statements = args[0] if args and isinstance(args[0], list | tuple) else (None,)
        usage.d1_queries += max(1, len(statements))
