"""What must be true of a queue, said a second time and without a database: the model that the state machine compares
the real rooms with."""

from __future__ import annotations

from dataclasses import dataclass, field

from wrangler_py.config.model import Consumer as Settings
from wrangler_py.queues.limits import AUTO_CONCURRENCY_CAP
from wrangler_py.queues.message import Batch, BatchOutcome


@dataclass(eq=False)
class Letter:
    """One message as the model knows it."""

    number: int  # in order of sending
    body: str
    queue: str
    sent_ms: int
    entered_ms: int
    ready_ms: int
    attempts: int = 0
    #: Deliveries that ended with a crash or the session's end: they count as attempts but not as failures.
    cut_off: int = 0
    #: `max_retries` when it failed last.
    may_fail: int = 0
    in_flight: bool = False
    gone: str | None = None  # why it will never be delivered again
    id: str | None = None

    @property
    def order(self) -> tuple[int, int]:
        return self.ready_ms, self.number


@dataclass
class Model:
    """All letters of a state folder, and the settings by which they travel."""

    settings: dict[str, Settings]
    retention_s: dict[str, int]
    letters: list[Letter] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)

    # What is where ------------------------------------------------------------------------------------------------

    def of(self, queue: str) -> list[Letter]:
        """What the queue holds, as far as the model can be sure: what has expired may be there or not."""
        return [letter for letter in self.letters if letter.queue == queue and letter.gone is None]

    def expired(self, letter: Letter, now_ms: int) -> bool:
        return not letter.in_flight and letter.entered_ms < now_ms - self.retention_s[letter.queue] * 1000

    def ready(self, queue: str, now_ms: int) -> list[Letter]:
        """What may be delivered, in the order in which it must be."""
        waiting = [
            x for x in self.of(queue) if not x.in_flight and x.ready_ms <= now_ms and not self.expired(x, now_ms)
        ]
        return sorted(waiting, key=lambda letter: letter.order)

    def overdue(self, queue: str, now_ms: int) -> list[Letter]:
        """What should have been delivered by now if an invocation was free."""
        settings, ready = self.settings[queue], self.ready(queue, now_ms)
        if len(ready) >= settings.max_batch_size:
            return ready
        return [x for x in ready if x.ready_ms + settings.max_batch_timeout * 1000 <= now_ms]

    def forget_expired(self, queue: str, now_ms: int) -> None:
        for letter in self.of(queue):
            if self.expired(letter, now_ms):
                letter.gone = "expired"

    # What happens -------------------------------------------------------------------------------------------------

    def delivered(self, batch: Batch, now_ms: int) -> None:
        """A handler was called. Everything that can be wrong with a batch is found here."""
        queue, settings = batch.queue, self.settings[batch.queue]
        self.forget_expired(queue, now_ms)  # a claim deletes what is too old
        by_body = {letter.body: letter for letter in self.letters}
        letters = [by_body[m.body.decode()] for m in batch.messages]
        for letter, message in zip(letters, batch.messages, strict=True):
            assert letter.gone is None, f"{letter} was delivered again after it was {letter.gone}"
            assert letter.queue == queue, f"{letter} was delivered from {queue}"
            assert not letter.in_flight, f"{letter} is in two invocations"
            assert letter.ready_ms <= now_ms, f"{letter} came {letter.ready_ms - now_ms} ms early"
            assert message.attempts == letter.attempts + 1, f"{letter} came with attempts {message.attempts}"
            assert message.timestamp_ms == letter.sent_ms, f"{letter} has another timestamp"
            assert letter.id in (None, message.id), f"{letter} has another id"
            failures = letter.attempts - letter.cut_off
            assert failures <= letter.may_fail, f"{letter} was delivered too often"
            letter.id = message.id
        expected = self.ready(queue, now_ms)[: settings.max_batch_size]
        assert letters == expected, f"batch {[x.body for x in letters]}, expected {[x.body for x in expected]}"
        assert self.overdue(queue, now_ms), "the batch came before its timeout"
        beside = [x for x in self.of(queue) if x not in letters]
        assert (batch.metrics.backlog_count, batch.metrics.backlog_bytes) == (
            len(beside),
            sum(len(x.body) for x in beside),
        )
        running = self.running.get(queue, 0) + 1
        assert running <= (settings.max_concurrency or AUTO_CONCURRENCY_CAP), f"{running} invocations at once"
        self.running[queue] = running
        for letter in letters:
            letter.in_flight = True
            letter.attempts += 1

    def settled(self, batch: Batch, outcome: BatchOutcome, settings: Settings, now_ms: int) -> None:
        """An invocation has ended; `settings` are those it began with."""
        self.running[batch.queue] -= 1
        batch_delay = outcome.retry_all.delay_seconds if outcome.retry_all else None
        for letter in self.letters_of(batch):
            letter.in_flight = False
            assert letter.id is not None
            own = outcome.retries.get(letter.id)
            if letter.id in outcome.explicit_acks:
                letter.gone = "acknowledged"
            elif own is not None:
                self._retried(
                    letter,
                    settings,
                    own.delay_seconds if own.delay_seconds is not None else batch_delay,
                    outcome,
                    now_ms,
                )
            elif outcome.ack_all:
                letter.gone = "acknowledged"
            elif outcome.retry_all is not None:
                self._retried(letter, settings, batch_delay, outcome, now_ms)
            elif outcome.outcome == "canceled":
                letter.cut_off += 1
            elif outcome.outcome != "ok":
                self._retried(letter, settings, None, outcome, now_ms)
            else:
                letter.gone = "acknowledged"

    def letters_of(self, batch: Batch) -> list[Letter]:
        bodies = {m.body.decode() for m in batch.messages}
        return [letter for letter in self.letters if letter.body in bodies]

    def _retried(
        self, letter: Letter, settings: Settings, delay: int | None, outcome: BatchOutcome, now_ms: int
    ) -> None:
        if outcome.outcome == "canceled":
            letter.cut_off += 1
        elif letter.attempts <= settings.max_retries:
            letter.may_fail = settings.max_retries
        else:
            self._exhausted(letter, settings, now_ms)
            return
        letter.ready_ms = now_ms + (settings.retry_delay if delay is None else delay) * 1000

    def _exhausted(self, letter: Letter, settings: Settings, now_ms: int) -> None:
        if settings.dead_letter_queue is None:
            letter.gone = "dropped"
            return
        letter.queue = settings.dead_letter_queue
        letter.entered_ms = letter.ready_ms = now_ms
        letter.attempts = letter.cut_off = letter.may_fail = 0

    def crashed(self) -> int:
        """The process was killed. Returns how many messages were in flight."""
        letters = [letter for letter in self.letters if letter.in_flight]
        for letter in letters:
            letter.in_flight = False
            letter.cut_off += 1
        self.running.clear()
        return len(letters)
