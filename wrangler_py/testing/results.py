"""What became of an event, as a test asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from wrangler_py.config.model import Consumer
from wrangler_py.queues.message import BatchOutcome, Message
from wrangler_py.queues.settlement import Settlement, settle
from wrangler_py.testing.errors import KitError
from wrangler_py.testing.values import decode_body


@dataclass(slots=True)
class Usage:
    """What an event has asked of the platform."""

    #: Calls that count against Cloudflare's limit of subrequests: `fetch`, and every call of a binding.
    subrequests: int = 0
    #: Outgoing HTTP requests among them.
    fetches: int = 0
    #: Statements that D1 was given; a batch counts each.
    d1_queries: int = 0
    #: Messages sent, and the bytes of the largest body.
    messages_sent: int = 0
    largest_message: int = 0

    def add(self, other: Usage) -> None:
        self.subrequests += other.subrequests
        self.fetches += other.fetches
        self.d1_queries += other.d1_queries
        self.messages_sent += other.messages_sent
        self.largest_message = max(self.largest_message, other.largest_message)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a worker printed or logged."""

    worker: str
    event: str
    level: str
    text: str

    def __contains__(self, text: str) -> bool:
        return text in self.text


@dataclass(frozen=True, slots=True)
class Why:
    """Why a message was settled as it was."""

    #: "ack()", "retry()", "ackAll()", "retryAll()", "handler returned", or the outcome of a handler that failed.
    rule: str
    #: "file:line" of the call, where there was one.
    where: str | None

    def __str__(self) -> str:
        return self.rule + (f" at {self.where}" if self.where else "")


@dataclass(frozen=True, slots=True)
class IgnoredCall:
    """A call that had no effect, because an earlier one stands."""

    #: The message it was made on; "*": the batch.
    message: str
    call: str
    #: The call that stands.
    because: str
    where: str | None

    def __str__(self) -> str:
        on = "the batch" if self.message == "*" else self.message
        return f"{self.call}() on {on} was ignored: {self.because}() came first" + (
            f" ({self.where})" if self.where else ""
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of one message of a batch."""

    id: str
    body: Any
    attempts: int
    #: "ack", "retry", "dead_letter", "drop".
    action: str
    #: For a retry: seconds until it is delivered again.
    delay: int
    #: The delay that was asked for, where production holds it within its bounds.
    asked_delay: int | None
    why: Why


@dataclass(slots=True)
class EventResult:
    """What every event has."""

    #: As workerd names it: "ok", "exception", "exceededWallTime", ...
    outcome: str = "ok"
    #: The exception's last line.
    error: str | None = None
    #: The exception itself.
    exception: BaseException | None = None
    logs: list[LogLine] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"

    def raise_for_exception(self) -> None:
        """Raise what the handler raised, if it did."""
        if self.exception is not None:
            raise self.exception


@dataclass(slots=True)
class ScheduledResult(EventResult):
    """What became of a `scheduled()`."""

    cron: str = ""
    #: Whether `controller.noRetry()` was called.
    no_retry: bool = False
    #: False: the worker has no `scheduled` handler.
    handler: bool = True


@dataclass(slots=True)
class QueueResult(EventResult):
    """What became of a batch: what production does with each of its messages.

    `result["m1"]` is one message; `acked`, `retried`, `dead_lettered` and `dropped` list them by what becomes of them.
    """

    queue: str = ""
    messages: list[Settled] = field(default_factory=list)
    #: Calls without effect.
    ignored: list[IgnoredCall] = field(default_factory=list)

    def __getitem__(self, message_id: str) -> Settled:
        for message in self.messages:
            if message.id == message_id:
                return message
        raise KeyError(f"The batch had no message {message_id!r}. It had: {', '.join(m.id for m in self.messages)}.")

    def __iter__(self) -> Iterator[Settled]:
        return iter(self.messages)

    @property
    def acked(self) -> list[str]:
        """Ids of the messages that are done with."""
        return [message.id for message in self.messages if message.action == "ack"]

    @property
    def retried(self) -> dict[str, int]:
        """Ids of the messages that come again, and after how many seconds."""
        return {message.id: message.delay for message in self.messages if message.action == "retry"}

    @property
    def dead_lettered(self) -> list[str]:
        """Ids of the messages that go to the dead letter queue."""
        return [message.id for message in self.messages if message.action == "dead_letter"]

    @property
    def dropped(self) -> list[str]:
        """Ids of the messages that are deleted, because there is no dead letter queue."""
        return [message.id for message in self.messages if message.action == "drop"]


def queue_result(queue: str, messages: Sequence[Message], outcome: BatchOutcome, consumer: Consumer) -> QueueResult:
    """The rule of production (queues/settlement.py) applied to what a handler said."""
    settlements = settle(
        messages,
        outcome,
        max_retries=consumer.max_retries,
        retry_delay=consumer.retry_delay,
        dead_letter_queue=consumer.dead_letter_queue,
    )
    return QueueResult(
        outcome=outcome.outcome,
        error=outcome.error,
        queue=queue,
        messages=[_settled(settlement) for settlement in settlements],
        ignored=[IgnoredCall(*ignored) for ignored in outcome.ignored],
    )


def _settled(settlement: Settlement) -> Settled:
    message = settlement.message
    return Settled(
        message.id,
        decode_body(message.content_type, message.body),
        message.attempts,
        settlement.action,
        settlement.delay_seconds,
        settlement.asked_seconds,
        Why(settlement.reason, settlement.where),
    )


class TestResponse:
    """What `fetch()` answered, read to its end."""

    __test__ = False

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes, result: EventResult) -> None:
        self.status = status
        self.headers = Headers(headers)
        self.body = body
        #: What became of the event: its logs, its waitUntil work, what it used.
        self.result = result

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises KitError when it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            shown = self.text if len(self.body) < 200 else self.text[:200] + "..."
            raise KitError(f"The answer ({self.status}) is not JSON: {error}. It is: {shown}") from None

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes>"


class Headers:
    """Headers of an answer, whatever their case."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def get(self, name: str, default: str | None = None) -> str | None:
        values = [value for key, value in self.pairs if key.lower() == name.lower()]
        return ", ".join(values) if values else default

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(f"The answer has no header {name!r}. It has: {', '.join(key for key, _ in self.pairs)}.")
        return value

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None
