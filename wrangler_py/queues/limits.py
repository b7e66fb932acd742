"""Limits, defaults and error texts of Cloudflare Queues, each with its source.

Sources: [limits] https://developers.cloudflare.com/queues/platform/limits/ (KB means 1000 bytes),
[config] https://developers.cloudflare.com/queues/configuration/configure-queues/,
[errors] https://developers.cloudflare.com/queues/reference/error-codes/, [workerd] src/workerd/api/queue.c++,
[miniflare] workers/queues/broker.worker.ts of miniflare 4.20260426,
[pull] https://developers.cloudflare.com/queues/configuration/pull-consumers/,
[api] https://developers.cloudflare.com/api/resources/queues/ and what it was seen to answer, [wpy] ours.
"""

from __future__ import annotations

from wrangler_py.config.limits_and_texts import CONSUMER_RANGES, PRODUCER_RANGES, QUEUE_NAME

MAX_MESSAGE_BYTES = 128_000  # [limits]
MAX_BATCH_BYTES = 256_000  # [limits]; all bodies of one sendBatch together
MINIFLARE_MAX_BATCH_BYTES = 288_000  # [miniflare]; for `wpy dev --compat-miniflare`
MAX_BATCH_COUNT = 100  # [limits]; messages in one sendBatch
MAX_DELAY_SECONDS = PRODUCER_RANGES["delivery_delay"].high  # [limits]; send, retry and `delivery_delay`

MIN_RETENTION_SECONDS = 60  # [config]
MAX_RETENTION_SECONDS = 1_209_600  # [config]; 14 days
DEFAULT_RETENTION_SECONDS = 345_600  # [config]; 4 days
DEFAULT_DELIVERY_DELAY_SECONDS = 0  # [config]

# What a consumer may be given, and what it has without: the same numbers as in the config.
MAX_BATCH_SIZE = CONSUMER_RANGES["max_batch_size"].high  # messages in one batch or one pull
MAX_BATCH_TIMEOUT_MS = CONSUMER_RANGES["max_batch_timeout"].high * 1000
MAX_RETRIES = CONSUMER_RANGES["max_retries"].high
DEFAULT_BATCH_SIZE = CONSUMER_RANGES["max_batch_size"].default or 0
DEFAULT_BATCH_TIMEOUT_MS = (CONSUMER_RANGES["max_batch_timeout"].default or 0) * 1000
DEFAULT_RETRIES = CONSUMER_RANGES["max_retries"].default or 0
DEFAULT_RETRY_DELAY_SECONDS = CONSUMER_RANGES["retry_delay"].default or 0

DEFAULT_PULL_BATCH_SIZE = 5  # [pull]
MAX_VISIBILITY_TIMEOUT_MS = 43_200_000  # [pull]; 12 h
DEFAULT_VISIBILITY_TIMEOUT_MS = 30_000  # [pull]

#: Invocations of one consumer at a time when `max_concurrency` is unset. Production scales up to 250 [limits]; a
#: laptop is served better by fewer.
AUTO_CONCURRENCY_CAP = 10
MAX_CONCURRENCY = CONSUMER_RANGES["max_concurrency"].high

#: How long one invocation of a consumer or a cron may take (seconds) [limits].
WALL_LIMIT_SECONDS = 15 * 60

#: [limits] 1 to 63 letters, digits and hyphens, beginning and ending with a letter or digit.
QUEUE_NAME_PATTERN = QUEUE_NAME.pattern

#: Production's names for what a queue service refuses [errors]; the texts are wpy's, with the numbers that matter.
QUEUE_NOT_FOUND = 10104
QUEUE_ID_MALFORMED = 10107
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


def batch_too_large(size: int, limit: int = MAX_BATCH_BYTES) -> QueueSendError:
    text = f"batch size of {size} bytes exceeds limit of {limit}"  # [miniflare]
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


# What Cloudflare's REST API refuses -----------------------------------------------------------------------------------


class Refusal(Exception):
    """A call of the REST API that the queues refuse. Nothing of it was done.

    `code` and `text` as the API gives them, `status` its HTTP status.
    """

    def __init__(self, status: int, code: int, text: str) -> None:
        self.status = status
        self.code = code
        self.text = text
        super().__init__(f"{text} [code: {code}]")


def queue_unknown(queue_id: str) -> Refusal:
    return Refusal(404, 11000, f"Queue {queue_id} not found.")  # [api] the code; the text is wpy's


def queue_unknown_to_messages() -> Refusal:
    return Refusal(404, QUEUE_NOT_FOUND, "Queue does not exist")  # [api]


def queue_name_invalid(name: str) -> Refusal:
    text = "it must have 1 to 63 lower-case letters, digits and hyphens, and begin and end with a letter or digit."
    return Refusal(400, 11003, f"Queue name '{name}' is invalid: {text}")  # [api] up to the colon


def queue_name_fixed(name: str) -> Refusal:
    return Refusal(400, 11003, f"Queue name '{name}' cannot be changed.")  # [config] the rule; the text is wpy's


def jurisdiction_fixed(name: str) -> Refusal:
    return Refusal(400, 100128, f"The jurisdiction of queue '{name}' cannot be changed.")  # [api] the rule


def queue_name_taken(name: str) -> Refusal:
    text = f"Queue name '{name}' is already taken. Please use a different name and try again."  # [api]
    return Refusal(400, 11009, text)


def queue_is_bound(name: str, workers: str) -> Refusal:
    text = (  # [api]
        f"Cannot delete queue '{name}' that is still referenced by a binding in a Worker. "
        f"Unbind queue '{name}' from the Workers '{workers}'; then try again."
    )
    return Refusal(400, 11005, text)


def queue_takes_dead_letters(name: str) -> Refusal:
    return Refusal(400, 11005, f"Cannot delete queue '{name}' that serves as dead letter queue for consumers")  # [api]


def consumer_exists(queue: str) -> Refusal:
    return Refusal(400, 11004, f"Queue '{queue}' already has a consumer.")  # [api]


def consumer_unknown(consumer_id: str) -> Refusal:
    return Refusal(404, 11006, f"Consumer {consumer_id} not found.")  # [api] the code; the text is wpy's


def consumer_in_config(worker: str, queue: str) -> Refusal:
    text = (  # [wpy]
        f"Worker '{worker}' consumes queue '{queue}' because the config of a running session says so. "
        "Remove it from queues.consumers there: the session lets go of the queue at once."
    )
    return Refusal(400, 0, text)


def consumer_settings_invalid(text: str) -> Refusal:
    return Refusal(400, 100127, text)  # [api] the code; the text is wpy's


def queue_settings_invalid(text: str) -> Refusal:
    return Refusal(400, 100128, text)  # [api] the code; the text is wpy's


def pull_not_enabled() -> Refusal:
    return Refusal(405, 0, "messages cannot be pulled unless http_pull mode is enabled")  # [api]


def delivery_is_paused() -> Refusal:
    return Refusal(409, 0, "queue_delivery_paused")  # [pull]


def subscription_unknown() -> Refusal:
    return Refusal(404, 0, "No subscription with this ID")  # [api]


def subscription_exists(source: str) -> Refusal:
    return Refusal(405, 0, f"Event source {source} does not support multiple subscriptions")  # [api] in part


#: What is said of a lease that cannot be settled; production's words are not documented [wpy].
LEASE_UNKNOWN = "lease is unknown: its message was acknowledged, dead-lettered or purged, or never leased"
LEASE_FOREIGN = "lease belongs to another queue"
LEASE_SETTLED = "lease was settled already: its message was retried"
LEASE_LOST = "lease has expired and its message is being delivered again"
LEASE_MOVED = "message is no longer in this queue"

#: What is said of a `ref` that cannot be purged [wpy].
REF_GONE = "message is no longer in the queue"
REF_IN_FLIGHT = "message is being delivered and was not purged"


def ref_malformed(ref: str) -> str:
    return f"{ref!r} is not a ref of a peeked message"
