"""The retry rule: what becomes of every message of a batch once its handler is done.

Production's order, first match wins (Cloudflare docs: Queues > Batching, Retries and Delays; the reasons in brackets
are recorded with the message):

1. `message.ack()` was called                -> acknowledged, even if the handler raised afterwards
2. `message.retry()` was called              -> retried after its own delay, else the batch's, else `retry_delay`
3. `batch.ackAll()` was called               -> acknowledged, even if the handler raised afterwards
4. `batch.retryAll()` was called, or the
   handler failed                            -> retried after the batch's delay, else `retry_delay`
5. otherwise                                 -> acknowledged

A session that ends while the handler runs (outcome "canceled") has failed nobody: what the handler did not settle by a
call is given back as it was, whatever `max_retries` says. Its attempt stays counted.

A retry that would be delivery number `max_retries` + 2 goes to the dead letter queue instead, or is dropped when there
is none. (`max_retries` counts redeliveries, so a message is delivered at most `max_retries` + 1 times.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from wrangler_py.queues.limits import MAX_DELAY_SECONDS
from wrangler_py.queues.message import BatchOutcome, Message

#: The outcome of an invocation that the session's end cut off [workerd].
CANCELED = "canceled"
#: The reason of a message that comes again although it was acknowledged: a fault on purpose (queues/faults.py).
ACK_LOST = "ack lost"

#: "release": given back as it was, the attempt counted. "unclaim": the same, for a message that was never delivered.
Action = Literal["ack", "retry", "dead_letter", "drop", "release", "unclaim"]


class Settlement(NamedTuple):  # one for each message, so the cheapest to make
    """What happens to one message, and why."""

    message: Message
    action: Action
    #: For a retry: how long the message stays invisible (seconds).
    delay_seconds: int
    #: Which call or rule decided: "ack()", "retry()", "ackAll()", "retryAll()", "handler returned", or the outcome of
    #: the failed handler ("exception", "exceededWallTime", ...).
    reason: str
    #: "file:line" of the call in the user's code, where there was one.
    where: str | None = None
    #: The delay that a call asked for, where it is not one that production allows and `delay_seconds` stands for it.
    asked_seconds: int | None = None


def settle(
    messages: Iterable[Message],
    outcome: BatchOutcome,
    *,
    max_retries: int,
    retry_delay: int,
    dead_letter_queue: str | None,
) -> list[Settlement]:
    """Decide for every message of a batch. `retry_delay` is in seconds."""
    settlements = []
    for message in messages:
        retried, asked, reason, where = _decide(message.id, outcome)
        if not retried:
            settlements.append(Settlement(message, "ack", 0, reason, where))
            continue
        if reason == CANCELED:
            settlements.append(Settlement(message, "release", 0, reason))
            continue
        limit = None if outcome.outcome == CANCELED else max_retries
        action = after_failure(message.attempts, limit, dead_letter_queue)
        if action == "retry":
            seconds = retry_delay if asked is None else asked
            delay = clamp_delay(seconds)
            settlements.append(Settlement(message, action, delay, reason, where, None if seconds == delay else seconds))
        else:
            settlements.append(Settlement(message, action, 0, reason, where))
    return settlements


def after_failure(attempts: int, max_retries: int | None, dead_letter_queue: str | None) -> Action:
    """What becomes of a message whose delivery number `attempts` has failed, delivered or pulled. `max_retries` None: there
    is no limit to go by."""
    if max_retries is None or attempts <= max_retries:
        return "retry"
    return "dead_letter" if dead_letter_queue else "drop"


def give_back(messages: Iterable[Message]) -> list[Settlement]:
    """For messages that were claimed and not delivered after all."""
    return [Settlement(message, "unclaim", 0, "not delivered") for message in messages]


def _decide(message_id: str, outcome: BatchOutcome) -> tuple[bool, int | None, str, str | None]:
    """(retried, delay or None, reason, where) for one message."""
    if message_id in outcome.lost_acks:
        return True, 0, ACK_LOST, None
    batch_delay = outcome.retry_all.delay_seconds if outcome.retry_all else None
    if message_id in outcome.explicit_acks:
        return False, None, "ack()", _where(outcome, message_id)
    if message_id in outcome.retries:
        delay = outcome.retries[message_id].delay_seconds
        return True, batch_delay if delay is None else delay, "retry()", _where(outcome, message_id)
    if outcome.ack_all:
        return False, None, "ackAll()", _where(outcome, "*")
    if outcome.retry_all:
        return True, batch_delay, "retryAll()", _where(outcome, "*")
    if outcome.outcome != "ok":
        return True, None, outcome.outcome, None
    return False, None, "handler returned", None


def _where(outcome: BatchOutcome, key: str) -> str | None:
    call = outcome.calls.get(key)
    return call[1] if call else None


def clamp_delay(seconds: int) -> int:
    """A retry's delay within what production allows (0 to 24 h); the binding itself does not check it."""
    return max(0, min(seconds, MAX_DELAY_SECONDS))
