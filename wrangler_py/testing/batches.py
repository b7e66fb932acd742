"""Batches that a test makes by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from wrangler_py.queues.message import ContentType
from wrangler_py.testing.errors import KitError
from wrangler_py.testing.values import Moment, encode_body, moment_ms


@dataclass(slots=True)
class TestMessage:
    """One message of a batch. Ids are m1, m2, ... unless given."""

    __test__ = False

    body: Any
    id: str = ""
    attempts: int = 1
    #: When it was sent (ms); None: now.
    timestamp_ms: int | None = None
    content_type: str | None = None

    def encoded(self) -> tuple[ContentType, bytes]:
        data, kind = encode_body(self.body, self.content_type)
        return kind, data


def msg(
    body: Any,
    *,
    id: str = "",
    attempts: int = 1,
    timestamp: Moment | None = None,
    content_type: str | None = None,
) -> TestMessage:
    """A message for `wpy.batch`. `attempts`: 1 for the first delivery. `timestamp`: when it was sent."""
    if attempts < 1:
        raise KitError(f"attempts counts deliveries from 1, but is {attempts}.")
    return TestMessage(body, id, attempts, None if timestamp is None else moment_ms(timestamp), content_type)


@dataclass(slots=True)
class TestBatch:
    """A batch for `worker.queue`, or, as `native()`, for a handler that the test calls itself."""

    __test__ = False

    queue: str
    messages: list[TestMessage] = field(default_factory=list)
    backlog_count: int = 0

    def native(self, now_ms: int = 0) -> Any:
        """The MessageBatch that a handler gets. What it was told is in `batch.settled()` afterwards."""
        from wrangler_py.runtime.worker.events import MessageBatch

        fields = [
            (m.id, now_ms if m.timestamp_ms is None else m.timestamp_ms, m.attempts, *m.encoded())
            for m in self.messages
        ]
        return MessageBatch(self.queue, fields, (self.backlog_count, 0, None), raw=False)


def make_batch(queue: str, messages: Sequence[Any]) -> TestBatch:
    """A batch of bodies, or of what `msg` makes."""
    made = []
    for number, given in enumerate(messages, start=1):
        message = given if isinstance(given, TestMessage) else TestMessage(given)
        if not message.id:
            message.id = f"m{number}"
        made.append(message)
    if len({message.id for message in made}) < len(made):
        raise KitError(f"Two messages of the batch have one id: {', '.join(m.id for m in made)}.")
    return TestBatch(queue, made)
