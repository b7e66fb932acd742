"""Faults on purpose, for the consumers of a running session: rules that a person sets, and that end with the session.

- fail: the batch fails before its handler is called, as if the handler had raised at once
- slow: the handler is called so many milliseconds later (of real time: the clock does not move past a batch that runs)
- duplicate: the acknowledgement of a message is lost, so that the message is delivered again, as at-least-once delivery allows

Nothing here loses a message: production does not either. The test kit's chaos (docs/testing.md) does the same and more, by the
seed; a session under real time cannot be repeated exactly, so its rules choose at random.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import asdict

from wrangler_py.config.model import Consumer
from wrangler_py.events.log import EventLog
from wrangler_py.queues.message import Batch, BatchOutcome
from wrangler_py.queues.settlement import settle

if TYPE_CHECKING:
    from wrangler_py.queues.consumer import Deliver

Kind = Literal["fail", "slow", "duplicate"]
KINDS: tuple[Kind, ...] = ("fail", "slow", "duplicate")
#: The longest that a rule holds a batch up (milliseconds).
MAX_SLOW_MS = 60_000


class Rule(Struct):
    """One fault. It strikes a batch (duplicate: a message) with a chance of `percent`, `left` more times, None: always."""

    id: int
    queue: str
    kind: Kind
    percent: float
    left: int | None
    ms: int
    struck: int = 0

    def as_json(self) -> dict[str, object]:
        return asdict(self)


class QueueFaults:
    """The rules of a session."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._rules: dict[int, Rule] = {}
        self._ids = itertools.count(1)
        self._chance = random.Random()

    def all(self) -> list[Rule]:
        return list(self._rules.values())

    def add(self, queue: str, kind: Kind, percent: float = 100, times: int | None = None, ms: int = 0) -> Rule:
        """Set a rule, in force from the next batch on."""
        rule = Rule(next(self._ids), queue, kind, percent, times, ms)
        self._rules[rule.id] = rule
        self._events.emit("fault.added", queue=queue, fault=kind, percent=percent, times=times)
        return rule

    def remove(self, rule_id: int) -> bool:
        """Take a rule away; False: there is none."""
        rule = self._rules.pop(rule_id, None)
        if rule is not None:
            self._events.emit("fault.removed", queue=rule.queue, fault=rule.kind, struck=rule.struck)
        return rule is not None

    def around(self, deliver: Deliver, settings: Callable[[str], Consumer]) -> Deliver:
        """`deliver` under the rules. `settings`: those of the consumer of a queue, as they are now."""

        async def faulty(batch: Batch) -> BatchOutcome:
            if not self._rules:
                return await deliver(batch)
            for rule in self._of(batch.queue, "slow"):
                if self._strikes(rule):
                    await asyncio.sleep(rule.ms / 1000)  # real time, see above
            for rule in self._of(batch.queue, "fail"):
                if self._strikes(rule):
                    return BatchOutcome(
                        "exception", error=f"Fault {rule.id} of this session: the batch fails on purpose"
                    )
            outcome = await deliver(batch)
            if duplicates := self._of(batch.queue, "duplicate"):
                outcome.lost_acks = lost_acks(
                    batch, outcome, settings(batch.queue), lambda: any(map(self._strikes, duplicates))
                )
            return outcome

        return faulty

    def _of(self, queue: str, kind: Kind) -> list[Rule]:
        return [rule for rule in self._rules.values() if rule.kind == kind and rule.queue == queue]

    def _strikes(self, rule: Rule) -> bool:
        if rule.left == 0 or self._chance.random() * 100 >= rule.percent:
            return False
        rule.struck += 1
        if rule.left is not None:
            rule.left -= 1
        return True


def lost_acks(batch: Batch, outcome: BatchOutcome, consumer: Consumer, lost: Callable[[], bool]) -> frozenset[str]:
    """The acknowledged messages whose acknowledgement is lost: those that `lost()` picks, and that have a delivery left."""
    settled = settle(
        batch.messages,
        outcome,
        max_retries=consumer.max_retries,
        retry_delay=consumer.retry_delay,
        dead_letter_queue=consumer.dead_letter_queue,
    )
    return frozenset(
        s.message.id for s in settled if s.action == "ack" and s.message.attempts <= consumer.max_retries and lost()
    )
