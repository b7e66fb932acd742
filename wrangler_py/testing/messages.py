"""Messages as a test finds them in a queue: stored, delivered, pulled."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from wrangler_py.testing.results import Why
from wrangler_py.testing.values import Span, decode_body, seconds

if TYPE_CHECKING:
    from wrangler_py.testing.queue_handle import QueueHandle
    from wrangler_py.testing.queues import Queues

__tracebackhide__ = True

#: What a condition of a matcher may name.
FIELDS = ("body", "id", "attempts", "content_type", "delay", "state", "died_in", "source")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery of a message, and what became of it."""

    number: int
    at: datetime
    worker: str
    #: The outcome of the handler.
    outcome: str
    #: "ack", "retry", "dead_letter", "drop", "release".
    action: str
    why: Why
    delay: int
    #: The exception's last line.
    error: str | None

    @property
    def error_type(self) -> str | None:
        """The exception's class: "TimeoutError"."""
        return None if self.error is None else self.error.partition(":")[0].strip().rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message in a queue."""

    queue: str
    id: str
    body: Any
    content_type: str
    #: Deliveries so far.
    attempts: int
    #: "ready", "delayed", "in_flight".
    state: str
    #: Seconds from the clock's present until it is ready.
    delay: float
    sent: datetime
    #: The queue whose dead letter it is.
    died_in: str | None
    source: str
    _queues: Queues = field(repr=False)

    @property
    def history(self) -> list[Attempt]:
        """Its deliveries so far, those in the queue that it died in included."""
        return self._queues.history(self.id)

    async def replay(self) -> None:
        """Send a dead letter back to the queue that it died in, as a first delivery."""
        await self._queues.replay(self)

    def fields(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS}


class PulledMessage:
    """A message that the test has leased."""

    def __init__(self, queue: QueueHandle, leased: Any) -> None:
        self._queue = queue
        self._leased = leased
        message = leased.message
        self.id: str = message.id
        self.attempts: int = message.attempts
        self.body = decode_body(message.content_type, message.body)

    @property
    def lease_id(self) -> str:
        """The token that acknowledges it."""
        token: str = self._leased.lease_id
        return token

    async def ack(self) -> None:
        """Done with it."""
        await self._settle(acks=[self.lease_id], retries=[])

    async def retry(self, delay: Span = 0) -> None:
        """Have it again after `delay`."""
        await self._settle(acks=[], retries=[(self.lease_id, round(seconds(delay)))])

    async def _settle(self, acks: list[str], retries: list[tuple[str, int | None]]) -> None:
        record = self._queue._record()
        assert record is not None
        await self._queue._queues.pulls().settle(record, acks, retries)
