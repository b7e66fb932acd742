"""Everything that happens, announced in one place.

A room that does something says so with `EventLog.emit`; whoever wants to show or keep it (the terminal, the recorder)
subscribes. Emitting is a plain function call and never fails because of a subscriber.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from wrangler_py.clock import Clock
from wrangler_py.events.trace import Span, current_span


class Event(NamedTuple):  # one a send and more: the cheapest to make
    """One thing that happened. `kind` is dotted, e.g. "message.dead_lettered"; `data` holds its particulars."""

    at_ms: int
    kind: str
    data: dict[str, Any] = {}  # noqa: RUF012  (nobody changes an event)
    #: The work that it belongs to.
    span: Span | None = None


#: The work that goes on in this task.
_THIS = Span("", "")
Subscriber = Callable[[Event], None]


class EventLog:
    """Hands every event to every subscriber, in the order of emission."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Each with the kinds that it wants; None: all.
        self._subscribers: tuple[tuple[Subscriber, Collection[str] | None], ...] = ()
        self._by_kind: dict[str, tuple[Subscriber, ...]] = {}

    def subscribe(self, subscriber: Subscriber, kinds: Collection[str] | None = None) -> Callable[[], None]:
        """Add a subscriber for events of these kinds, or of all; returns the function that removes it. Both may be done
        while an event is handed out."""
        entry = (subscriber, kinds)
        self._subscribers += (entry,)
        self._by_kind = {}

        def unsubscribe() -> None:
            self._subscribers = tuple(s for s in self._subscribers if s is not entry)
            self._by_kind = {}

        return unsubscribe

    def emit(self, kind: str, *, span: Span | None = _THIS, **data: Any) -> None:
        """Tell everybody. `span`: the work that the event belongs to, if that is not the one that goes on in this task."""
        event = Event(self._clock.now_ms(), kind, data, current_span.get() if span is _THIS else span)
        subscribers = self._by_kind.get(kind)
        if subscribers is None:
            subscribers = self._by_kind[kind] = tuple(
                s for s, kinds in self._subscribers if kinds is None or kind in kinds
            )
        for subscriber in subscribers:
            try:
                subscriber(event)
            except Exception:  # a broken view must not break the broker; say so where a developer sees it
                traceback.print_exc(file=sys.stderr)
