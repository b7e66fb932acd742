"""Work without end at one moment of a clock that stands: found, and told with the queues that make it.

While a session's clock stands still or is moved, no time passes between a batch and what it leads to: a message that it
sends, a retry without a delay, a dead letter. Where each leads to the next for ever (two queues that are each other's dead
letter queue, a consumer that sends to its own queue), a move of the clock would never come to its end. Production goes
round as well, in real time.

So every message of the present moment has a length: that of the longest chain of batches that led to it. One that grows
beyond `MAX_LINKS` ends the move. The limit is wpy's.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Literal

from wrangler_py.clock import SessionClock
from wrangler_py.events.log import Event, EventLog
from wrangler_py.queues.message import Message
from wrangler_py.queues.settlement import Settlement
from wrangler_py.session.times import iso

#: So many batches may lead to one another at one moment. A consumer that walks through pages, each sending the next, does
#: with less.
MAX_LINKS = 5_000
#: A dead-lettered message counts for so many: it is the same one, and has been through all of its retries.
DEAD_LETTER_LINKS = 50
#: How many messages of a moment are remembered at most; the oldest are forgotten, and begin anew.
_MAX_MESSAGES = 100_000
#: The queues of so many batches are looked at to name those that go round.
_LAST = 50

_STARTED, _SENT, _FINISHED = "batch.started", "message.sent", "batch.finished"
_Kind = Literal["dead letters", "retries", "sends"]


class Rounds:
    """Follows what leads to what while the clock stands."""

    def __init__(self, clock: SessionClock, events: EventLog, found: Callable[[str], object]) -> None:
        """`found` is told the text for the user, again for every batch that goes beyond the limit."""
        self._clock = clock
        self._events = events
        self._found = found
        self._unsubscribe: Callable[[], None] | None = None
        self._at_ms = 0
        #: How many batches have led to a message that waits, and how the last of them did; the same of batches that run.
        self._waiting: OrderedDict[str, tuple[int, _Kind]] = OrderedDict()
        self._running: dict[str, int] = {}
        #: Those that have become long.
        self._long: deque[tuple[str, _Kind]] = deque(maxlen=_LAST)

    def clock_changed(self) -> None:
        """The clock was stopped, moved on, or set running. While it runs, following costs nothing."""
        stands = self._clock.ahead_ms is None
        if stands and self._unsubscribe is None:
            self._unsubscribe = self._events.subscribe(self._on_event, (_STARTED, _SENT, _FINISHED))
        elif not stands and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if not stands or self._clock.now_ms() != self._at_ms:
            self._at_ms = self._clock.now_ms()
            self._waiting.clear()
            self._running.clear()
            self._long.clear()

    def _on_event(self, event: Event) -> None:
        data, span = event.data, event.span
        if span is None:
            return
        if event.kind == _STARTED:
            self._batch_started(data["queue"], span.id, data["messages"])
        elif event.kind == _FINISHED:
            self._batch_finished(span.id, data["settlements"])
        elif (links := self._running.get(span.id)) is not None:
            for message in data["ids"]:
                self._lead_to(message.hex(), links + 1, "sends")

    def _batch_started(self, queue: str, span: str, messages: Sequence[Message]) -> None:
        links, how = max(self._waiting.pop(message.id, _NONE) for message in messages)
        self._running[span] = links
        if links > MAX_LINKS // 2:
            self._long.append((queue, how))
        if links > MAX_LINKS:
            self._found(self._text())

    def _batch_finished(self, span: str, settlements: Sequence[Settlement]) -> None:
        links = self._running.pop(span, 0) + 1
        for settlement in settlements:
            if settlement.action == "dead_letter":
                self._lead_to(settlement.message.id, links + DEAD_LETTER_LINKS, "dead letters")
            elif settlement.action == "retry" and not settlement.delay_seconds:
                self._lead_to(settlement.message.id, links, "retries")

    def _lead_to(self, message: str, links: int, how: _Kind) -> None:
        self._waiting[message] = links, how
        if len(self._waiting) > _MAX_MESSAGES:
            self._waiting.popitem(last=False)

    def _text(self) -> str:
        queues = list(dict.fromkeys(queue for queue, _ in self._long))
        named = " and ".join(f'"{queue}"' for queue in queues)
        hows = " and ".join(sorted({how for _, how in self._long} - {"retries"}) or ["retries"])
        which = (
            f"queue {named} makes work for itself" if len(queues) == 1 else f"queues {named} make work for each other"
        )
        return (
            f"At {iso(self._at_ms)} there is no end of work: {which} ({hows}), again and again, and no time passes "
            f"between. Have some pass, with max_batch_timeout, retry_delay or a delay of the message, or end the round; "
            f"`wpy queues pause-delivery {queues[0]}` stops it for now."
        )


_NONE: tuple[int, _Kind] = (0, "sends")
