"""Warnings that save an afternoon: what is allowed, works as production does, and surprises those who did not mean it.

A session prints each once; `wpy queues describe` shows those of a queue. The texts are wpy's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from wrangler_py.config import snippets
from wrangler_py.config.model import SessionConfig
from wrangler_py.events.log import Event
from wrangler_py.queues import tables
from wrangler_py.queues.history import BatchRecord
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.session.times import span
from wrangler_py.store.database import StateError, Store
from wrangler_py.store.sessions import attachments

Kind = Literal[
    "unconsumed",
    "dead_letters_unconsumed",
    "dead_letters_go_round",
    "pulled",
    "long_timeout",
    "always_retries",
    "delivery_delay",
]

#: A `max_batch_timeout` from which on it is told of (seconds).
LONG_TIMEOUT_S = 30.0
#: After so many batches in a row that ended alike, with nothing acknowledged, a consumer is told of.
SAME_OUTCOMES = 5
#: What a session's own end does to a batch is nobody's failure (settlement.py).
_NO_FAILURE = "canceled"
#: The events that say how a message was settled that was not acknowledged.
_SETTLED = ("message.retried", "message.dead_lettered", "message.dropped")
#: What stands in the record for a batch of leases.
_PULLER = "http_pull"


class Advice(Struct, frozen=True):
    """One thing that is probably not meant."""

    kind: Kind
    queue: str
    text: str


class Failure(Struct, frozen=True):
    """How a batch ended of which nothing was acknowledged."""

    outcome: str
    #: The exception's last line; or the call that settled the messages, and where it stands.
    error: str | None = None
    reason: str | None = None
    where: str | None = None


# What there is to say ----------------------------------------------------------------------------------------------


def unconsumed(record: QueueRecord, file: Path | None) -> Advice:
    """Messages that nobody takes. `file`: the config, for its syntax."""
    text = (
        f'Queue "{record.name}" holds {_messages(record.backlog_count)}, and no Worker consumes it. What it holds is kept '
        f"for {_kept(record)}; to handle it, add {snippets.entry(file, 'queues.consumers', queue=record.name)}."
    )
    return Advice("unconsumed", record.name, text)


def dead_letters_unconsumed(name: str, sources: Sequence[str], record: QueueRecord | None, kept: str) -> Advice:
    """A dead letter queue that nobody consumes, so that nobody notices."""
    held = f" It holds {_messages(record.backlog_count)}." if record is not None and record.backlog_count else ""
    of = ", ".join(f'"{source}"' for source in sources)
    text = (
        f'Nothing consumes "{name}", the dead letter queue of {of}: what lands there is kept for {kept}, then deleted.{held} '
        f"`wpy queues peek {name}` shows it, `wpy queues redrive {name} --all` sends it back."
    )
    return Advice("dead_letters_unconsumed", name, text)


def dead_letters_go_round(names: Sequence[str]) -> Advice:
    """Queues of which each is the dead letter queue of the one before, and the first that of the last."""
    way = " → ".join(f'"{name}"' for name in (*names, names[0]))
    text = (
        f"Dead letters go round: {way}. A message that always fails is delivered for ever. If that is not meant, give the "
        f'consumer of "{names[-1]}" another dead_letter_queue, or none.'
    )
    return Advice("dead_letters_go_round", names[0], text)


def pulled(name: str) -> Advice:
    """A Worker consumes a queue that is pulled."""
    text = (
        f'Queue "{name}" has an HTTP pull consumer, so no Worker gets its messages. To have them delivered, remove it: '
        f"wpy queues consumer http remove {name}"
    )
    return Advice("pulled", name, text)


def long_timeout(name: str, batch_size: int, timeout_s: float) -> Advice | None:
    """A `max_batch_timeout` that looks like a queue that does not work."""
    if timeout_s < LONG_TIMEOUT_S or batch_size <= 1:
        return None
    text = (
        f'Queue "{name}": a lone message waits {timeout_s:g} s before it is delivered (max_batch_timeout); '
        f"{batch_size} of them start a batch at once (max_batch_size)."
    )
    return Advice("long_timeout", name, text)


def delivery_delay(name: str, binding: str) -> Advice:
    """A setting without effect."""
    text = (
        f"The delivery_delay of env.{binding} has no effect, as in production. Set it on the queue: "
        f"wpy queues update {name} --delivery-delay-secs SECONDS"
    )
    return Advice("delivery_delay", name, text)


def always_retries(name: str, failures: Sequence[Failure]) -> Advice | None:
    """A consumer that ends alike again and again and acknowledges nothing. `failures`: of the last batches in a row, the
    newest last."""
    if len(failures) < SAME_OUTCOMES or len({failure.outcome for failure in failures[-SAME_OUTCOMES:]}) > 1:
        return None
    last = failures[-1]
    if last.outcome != "ok":
        why = f"{last.outcome}: {last.error}" if last.error else last.outcome
    else:
        why = (last.reason or "a retry") + (f" at {last.where}" if last.where else "")
    text = (
        f'Queue "{name}": no message of its last {SAME_OUTCOMES} batches was acknowledged; the last one ended with {why}. '
        f"wpy queues history {name} shows them all"
    )
    return Advice("always_retries", name, text)


def failures_of(batches: Iterable[BatchRecord]) -> list[Failure]:
    """The failures that the record of a queue ends with, the newest last. `batches`: newest first."""
    failures: list[Failure] = []
    for batch in batches:
        if batch.worker == _PULLER or batch.outcome == _NO_FAILURE:
            continue
        if not batch.messages or any(message.action == "ack" for message in batch.messages):
            break
        first = batch.messages[0]
        failures.insert(0, Failure(batch.outcome, batch.error, first.reason, first.where))
    return failures


def rounds(dead_letter_queues: Mapping[str, str | None]) -> Iterable[Sequence[str]]:
    """The rounds that dead letters make, each once, by the queue that comes first. A round of one queue is refused before."""
    seen: set[str] = set()
    for start in dead_letter_queues:
        way: list[str] = []
        name: str | None = start
        while name and name not in seen:
            seen.add(name)
            way.append(name)
            name = dead_letter_queues.get(name)
        if name in way:
            yield way[way.index(name) :]


def _messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"


def _kept(record: QueueRecord) -> str:
    return span(record.message_retention_period * 1000)


# Saying it once ------------------------------------------------------------------------------------------------------


class Adviser:
    """Says each advice once in a session. `on_event` is to be subscribed to the event log."""

    def __init__(self, store: Store, tell: Callable[[str], object]) -> None:
        self._store = store
        self._tell = tell
        self._told: set[tuple[Kind, str]] = set()
        self._failures: dict[str, list[Failure]] = {}
        self._last_call: dict[str, tuple[str, str | None]] = {}

    def look(self, config: SessionConfig) -> None:
        """Look at the queues, at the start or with a new config, and say what was not said before."""
        try:
            found = list(self._look(config))
        except (sqlite3.Error, StateError):
            return  # the rooms that read the queues to deliver them say so
        for advice in found:
            self._say(advice)

    def _look(self, config: SessionConfig) -> Iterable[Advice]:
        records = {record.name: record for record in tables.all_queues(self._store)}
        consumers = [consumer for worker in config.workers for consumer in worker.consumers]
        consumed = {consumer.queue for consumer in consumers}
        taken = consumed | {a.queue for a in attachments(self._store) if a.role == "consumer"}
        taken |= {name for name, record in records.items() if tables.is_pulled(self._store, record.id)}
        sources: dict[str, list[str]] = {}
        for consumer in consumers:
            if consumer.dead_letter_queue:
                sources.setdefault(consumer.dead_letter_queue, []).append(consumer.queue)
        yield from self._of_backlogs(records.values(), consumed, taken, sources.keys(), config.workers[0].path)
        for name, of in sources.items():
            if name not in taken and name in records:
                yield dead_letters_unconsumed(name, of, records[name], _kept(records[name]))
        for names in rounds({consumer.queue: consumer.dead_letter_queue for consumer in consumers}):
            yield dead_letters_go_round(names)
        for consumer in consumers:
            advice = long_timeout(consumer.queue, consumer.max_batch_size, consumer.max_batch_timeout)
            if advice is not None:
                yield advice

    def _of_backlogs(
        self,
        records: Iterable[QueueRecord],
        consumed: Collection[str],
        taken: Collection[str],
        dead: Collection[str],
        file: Path | None,
    ) -> Iterable[Advice]:
        for record in records:
            if record.name in consumed and tables.is_pulled(self._store, record.id):
                yield pulled(record.name)
            elif record.backlog_count and record.name not in taken and record.name not in dead:
                yield unconsumed(record, file)

    #: The events that `on_event` watches.
    kinds = frozenset({*_SETTLED, "batch.finished"})

    def on_event(self, event: Event) -> None:
        """Watch how batches end."""
        data = event.data
        if event.kind in _SETTLED:
            self._last_call[data["queue"]] = (data["reason"], data["where"])
        elif event.kind == "batch.finished" and data["outcome"] != _NO_FAILURE:
            self._batch_finished(data["queue"], data["acked"], data["outcome"], data["error"])

    def _batch_finished(self, queue: str, acked: int, outcome: str, error: str | None) -> None:
        if acked:
            self._failures.pop(queue, None)
            self._told.discard(("always_retries", queue))
            return
        failures = self._failures.setdefault(queue, [])
        failures.append(Failure(outcome, error, *self._last_call.get(queue, (None, None))))
        del failures[:-SAME_OUTCOMES]
        advice = always_retries(queue, failures)
        if advice is not None:
            self._say(advice)

    def _say(self, advice: Advice) -> None:
        if (advice.kind, advice.queue) not in self._told:
            self._told.add((advice.kind, advice.queue))
            self._tell(advice.text)
