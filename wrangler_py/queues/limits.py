"""Limits, defaults and error texts of Cloudflare Queues, each with its source.

Sources: [limits] https://developers.cloudflare.com/queues/platform/limits/ (KB means 1000 bytes),
[config] https://developers.cloudflare.com/queues/configuration/configure-queues/,
[errors] https://developers.cloudflare.com/queues/reference/error-codes/, [workerd] src/workerd/api/queue.c++,
[miniflare] workers/queues/broker.worker.ts of miniflare 4.20260426.
"""

from __future__ import annotations

MAX_MESSAGE_BYTES = 128_000  # [limits]
MAX_BATCH_BYTES = 256_000  # [limits]; all bodies of one sendBatch together
MAX_BATCH_COUNT = 100  # [limits]; messages in one sendBatch
MAX_DELAY_SECONDS = 86_400  # [limits]; send, retry and `delivery_delay`

MIN_RETENTION_SECONDS = 60  # [config]
MAX_RETENTION_SECONDS = 1_209_600  # [config]; 14 days
DEFAULT_RETENTION_SECONDS = 345_600  # [config]; 4 days
DEFAULT_DELIVERY_DELAY_SECONDS = 0  # [config]

#: Invocations of one consumer at a time when `max_concurrency` is unset. Production scales up to 250 [limits]; a
#: laptop is served better by fewer.
AUTO_CONCURRENCY_CAP = 10
MAX_CONCURRENCY = 250  # [limits]

#: How long one invocation of a consumer or a cron may take (seconds) [limits].
WALL_LIMIT_SECONDS = 15 * 60

#: [limits] 1 to 63 letters, digits and hyphens, beginning and ending with a letter or digit.
QUEUE_NAME_PATTERN = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"

#: Production's names for what a queue service refuses [errors]; the texts are wpy's, with the numbers that matter.
QUEUE_NOT_FOUND = 10104
BATCH_DELAY_INVALID = 10202
MESSAGE_METADATA_INVALID = 10203
MESSAGE_SIZE_OUT_OF_BOUNDS = 10204
BATCH_SIZE_OUT_OF_BOUNDS = 10205
BATCH_COUNT_OUT_OF_BOUNDS = 10206
UNKNOWN_INTERNAL_ERROR = 15000


class QueueSendError(Exception):
    """A send that the queue refused. Nothing of it was stored.

    `code` and `cause` are what production answers in CF-Queues-Error-Code and CF-Queues-Error-Cause; `status_text` is
    what older compatibility dates show instead.
    """

    def __init__(self, code: int, cause: str, status_text: str | None = None) -> None:
        self.code = code
        self.cause = cause
        self.status_text = status_text or cause
        super().__init__(f"{cause} ({code})")

    def text(self, operation: str, *, expose_codes: bool) -> str:
        """The Error's message in the worker [workerd]. `operation` is "send", "sendBatch" or "metrics".

        `expose_codes` is the compatibility flag queue_expose_error_codes (on from 2026-03-12).
        """
        if expose_codes or operation == "metrics":
            return f"{self.cause} ({self.code})"
        return f"Queue {operation} failed: {self.status_text}"


def message_too_large(size: int) -> QueueSendError:
    text = f"message length of {size} bytes exceeds limit of {MAX_MESSAGE_BYTES}"  # [miniflare]
    return QueueSendError(MESSAGE_SIZE_OUT_OF_BOUNDS, text)


def batch_message_too_large(size: int) -> QueueSendError:
    text = (  # [miniflare]
        f"message in batch has length {size} bytes which exceeds single message size limit of {MAX_MESSAGE_BYTES}"
    )
    return QueueSendError(MESSAGE_SIZE_OUT_OF_BOUNDS, text)


def batch_too_many(count: int) -> QueueSendError:
    text = f"batch message count of {count} exceeds limit of {MAX_BATCH_COUNT}"  # [miniflare]
    return QueueSendError(BATCH_COUNT_OUT_OF_BOUNDS, text)


def batch_too_large(size: int) -> QueueSendError:
    text = f"batch size of {size} bytes exceeds limit of {MAX_BATCH_BYTES}"  # [miniflare]
    return QueueSendError(BATCH_SIZE_OUT_OF_BOUNDS, text)


def delay_out_of_range(delay: int, *, batch: bool) -> QueueSendError:
    text = f"delaySeconds of {delay} is not between 0 and {MAX_DELAY_SECONDS}"
    return QueueSendError(BATCH_DELAY_INVALID if batch else MESSAGE_METADATA_INVALID, text)


#: Lines that miniflare prints and people search their terminals for [miniflare].
def moving_to_dead_letter_queue(message_id: str, queue: str, dead_letter_queue: str, attempts: int) -> str:
    return (
        f'Moving message "{message_id}" on queue "{queue}" to dead letter queue "{dead_letter_queue}" '
        f"after {attempts} failed attempt{'' if attempts == 1 else 's'}..."
    )


def dropped_message(message_id: str, queue: str, attempts: int) -> str:
    return f'Dropped message "{message_id}" on queue "{queue}" after {attempts} failed attempt{"" if attempts == 1 else "s"}!'


def multiple_consumers(queue: str, first: str, second: str) -> str:
    return f'Multiple consumers defined for queue "{queue}": "{first}" and "{second}"'
