"""A message on its way through a queue, the batch a consumer gets, and what the consumer says of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct, field

ContentType = Literal["json", "text", "bytes", "v8"]
#: Where a message came from: a Worker's `send()`, or the REST API.
Source = Literal["worker", "api"]


class OutgoingMessage(NamedTuple):  # this and what follows: the cheapest to make, many for each message
    """One message as a producer hands it in: a body already encoded for its content type."""

    body: bytes
    content_type: ContentType = "json"
    #: None: the batch's delay, else the queue's `delivery_delay`. An explicit 0 beats both.
    delay_seconds: int | None = None
    source: Source = "worker"
    #: The message (32 hex characters) that this one replays.
    replayed_from: str | None = None


class Message(NamedTuple):
    """One message as a consumer gets it."""

    seq: int  # the store's own number; never shown to user code
    id: str  # 32 lower-case hex characters, the same through all retries
    timestamp_ms: int  # when it was sent, not when it became visible
    attempts: int  # 1 on the first delivery
    content_type: ContentType
    body: bytes


class QueueMetrics(NamedTuple):
    """Backlog of a queue: ready, delayed and in flight together; bytes are body bytes."""

    backlog_count: int
    backlog_bytes: int
    oldest_timestamp_ms: int | None


class Batch(Struct, frozen=True):
    """What one call of a `queue()` handler receives."""

    queue: str
    messages: tuple[Message, ...]
    metrics: QueueMetrics


class Retry(Struct, frozen=True):
    """`message.retry({delaySeconds})`; None means that no delay was given."""

    delay_seconds: int | None = None


class BatchOutcome(Struct):
    """What became of one call of a `queue()` handler, in workerd's terms (`FetcherQueueResult`).

    `outcome` is "ok", "exception", "exceededWallTime", "exceededCpu", "exceededMemory", "canceled",
    "scriptNotFound", ... as workerd names them.
    """

    outcome: str = "ok"
    ack_all: bool = False
    #: Set when `retryAll()` was called.
    retry_all: Retry | None = None
    explicit_acks: set[str] = field(default_factory=set)
    retries: dict[str, Retry] = field(default_factory=dict)
    #: Ids of acknowledged messages whose acknowledgement is lost on purpose (queues/faults.py): they come again at once.
    lost_acks: frozenset[str] = frozenset()
    #: The exception's last line, for the terminal and the record; the traceback went out as a log line.
    error: str | None = None
    #: For each message id (or "*" for a call on the batch): which call settled it, and where it stood,
    #: e.g. ("retry", "src/entry.py:12").
    calls: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    #: For which share of the handler's time (0 to 1) the worker's thread ran, whatever it ran; None: not known.
    busy: float | None = None
    #: Calls without effect: (message id or "*", call, the earlier call that stands, where it stood).
    ignored: list[tuple[str, str, str, str | None]] = field(default_factory=list)
