"""`wpy queues describe`: what there is to say of one queue."""

from __future__ import annotations

from typing import Any

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.kept_sends import find_queues
from wrangler_py.cli.output import (
    CommandError,
    duration,
    errors_told,
    plural,
    printable,
    result,
    result_json,
    warning,
)
from wrangler_py.cli.queues_access import session_clock
from wrangler_py.cli.queues_inventory import (
    ConsumerEntry,
    Inventory,
    ProducerEntry,
    QueueEntry,
    count_messages,
    queue_object,
    rfc3339,
    take_inventory,
)
from wrangler_py.cli.queues_options import JsonOption, NameArgument
from wrangler_py.cli.state import Project, reading
from wrangler_py.cli.where import Where, on_state
from wrangler_py.dev import advice
from wrangler_py.dev.advice import Advice
from wrangler_py.dev.options import DEFAULT_PORT
from wrangler_py.queues import history
from wrangler_py.queues.consumers import PullSettings, WorkerSettings
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.store.database import Store
from wrangler_py.store.sessions import SessionInfo, living_sessions

#: As far back as it is looked for failures: some batches are nobody's.
_BATCHES_LOOKED_AT = 4 * advice.SAME_OUTCOMES


@on_state()
def describe(
    name: NameArgument,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Show a queue's settings, producers, consumers and backlog.

    --json prints Cloudflare's queue object: queue_id, queue_name, created_on, modified_on, producers,
    producers_total_count, consumers, consumers_total_count, settings (delivery_delay, delivery_paused,
    message_retention_period). queue_id, created_on and modified_on are null while only the config names the queue.
    To these wpy adds: backlog (backlog_count, backlog_bytes, oldest_message_timestamp_ms, ready, delayed, in_flight),
    dead_letter_queue_of (queues whose dead letters come here), bindings of each producer, sessions (pid, url) of
    each producer and consumer that a `wpy dev` runs, and advice (kind, text): what is probably not meant.
    """
    with errors_told():
        show_queue(name, find_queues(where), as_json=json)


def show_queue(name: str, project: Project, *, as_json: bool) -> None:
    """Print what there is to say of a queue. Raises CommandError when there is no such queue, and StateError."""
    with reading(project.folder) as store:
        now_ms = session_clock(store, name).now_ms()  # after the moment of the state: what was ready in it is ready now
        inventory = take_inventory(store, project.workers)
        queue = inventory.queues.get(name)
        if queue is None:
            raise CommandError(texts.no_such_queue(name, list(inventory.queues), project.folder))
        count_messages(store, [queue], now_ms)
        sessions = living_sessions(store) if store is not None else []
        told = _advice(store, queue, inventory, project)
    if as_json:
        result_json(_object(queue, inventory, told))
        return
    url = next((session.url for session in sessions if session.url is not None), None)
    _print_queue(queue, inventory, now_ms, url)
    for one in told:
        warning(printable(one.text))


def queue_objects(store: Store | None, inventory: Inventory, project: Project) -> list[dict[str, Any]]:
    """What `--json` prints of all queues. Raises sqlite3.Error."""
    count_messages(store, inventory.queues.values(), session_clock(store, None).now_ms())
    return [_object(queue, inventory, _advice(store, queue, inventory, project)) for queue in inventory.queues.values()]


def _object(queue: QueueEntry, inventory: Inventory, told: list[Advice]) -> dict[str, Any]:
    return {**queue_object(queue, inventory), "advice": [{"kind": one.kind, "text": one.text} for one in told]}


def _advice(store: Store | None, queue: QueueEntry, inventory: Inventory, project: Project) -> list[Advice]:
    """What is probably not meant about this queue."""
    name, record = queue.name, queue.record
    found: list[Advice | None] = []
    sources = inventory.sources_of(name)
    if sources and not queue.consumers:
        kept = duration(queue.message_retention_period)
        found.append(advice.dead_letters_unconsumed(name, sources, record, kept))
    elif record is not None and record.backlog_count and not queue.consumers:
        found.append(advice.unconsumed(record, project.config_file))
    dead = {one.name: c.dead_letter_queue for one in inventory.queues.values() for c in one.consumers}
    found += [advice.dead_letters_go_round(names) for names in advice.rounds(dead) if name in names]
    settings = [consumer.settings for consumer in queue.consumers]
    workers = [one for one in settings if isinstance(one, WorkerSettings)]
    if workers and len(workers) < len(settings):
        found.append(advice.pulled(name))
    found += [advice.long_timeout(name, one.batch_size, one.max_wait_time_ms / 1000) for one in workers]
    if store is not None:
        last = history.latest(store, _BATCHES_LOOKED_AT, name)
        found.append(advice.always_retries(name, advice.failures_of(last)))
    for worker in project.workers:
        for producer in worker.producers:
            if producer.queue == name and producer.delivery_delay is not None:
                found.append(advice.delivery_delay(name, producer.binding))
    return [one for one in found if one is not None]


def _print_queue(queue: QueueEntry, inventory: Inventory, now_ms: int, url: str | None) -> None:
    """wrangler's lines of `queues info` first, then what only wpy knows. `url`: of a session that runs."""
    record, counts = queue.record, queue.counts
    result(f"Queue Name: {printable(queue.name)}")
    if record is not None:
        result(f"Queue ID: {record.uuid}")
        result(f"Created On: {rfc3339(record.created_ms)}")
        result(f"Last Modified: {rfc3339(record.modified_ms)}")
    else:
        result("Queue ID: none yet (the queue stands in the config only; the next `wpy dev` creates it)")
    result(f"Number of Producers: {len(queue.producers)}")
    if queue.producers:
        result(f"Producers: {', '.join(f'worker:{printable(p)}' for p in queue.producers)}")
    for producer in queue.producers.values():
        result(f"  {_about_producer(producer)}")
    result(f"Number of Consumers: {len(queue.consumers)}")
    if queue.consumers:
        result(f"Consumers: {', '.join(printable(c.label) for c in queue.consumers)}")
    for consumer in queue.consumers:
        result(f"  {_about_consumer(consumer)}")
        if isinstance(consumer.settings, PullSettings) and record is not None:
            _print_how_to_pull(record, url)
    sources = inventory.sources_of(queue.name)
    if sources:
        result(f"Dead Letter Queue Of: {', '.join(map(printable, sources))}")
    result(f"Delivery: {'paused' if queue.delivery_paused else 'not paused'}")
    result(f"Delivery Delay: {_seconds(queue.delivery_delay)}")
    result(f"Message Retention Period: {_seconds(queue.message_retention_period)}")
    where = f"{counts.ready:,} ready, {counts.delayed:,} delayed, {counts.in_flight:,} in flight"
    total = plural(record.backlog_count if record else 0, "message")
    result(f"Backlog: {total} ({plural(record.backlog_bytes if record else 0, 'byte')}): {where}")
    if queue.oldest_ms is not None and queue.oldest_entered_ms is not None:
        age, here = (now_ms - queue.oldest_ms) / 1000, (now_ms - queue.oldest_entered_ms) / 1000
        past = " (past its retention: the next session deletes it)" if here > queue.message_retention_period else ""
        result(f"Oldest Message: {duration(age)} old, sent {rfc3339(queue.oldest_ms)}{past}")


def _print_how_to_pull(record: QueueRecord, url: str | None) -> None:
    """As wrangler does, with the address of the session that answers."""
    result(f"  Pull messages using: wpy queues pull {printable(record.name)}")
    result(f"  or, over HTTP{'' if url is not None else ' while `wpy dev` runs'}:")
    base = url or f"http://localhost:{DEFAULT_PORT}"
    result(f'  curl "{base}/client/v4/accounts/local/queues/{record.uuid}/messages/pull" \\')
    result('    --header "Authorization: Bearer any" \\')
    result("""    --data '{ "visibility_timeout_ms": 10000, "batch_size": 2 }'""")


def _about_producer(producer: ProducerEntry) -> str:
    bindings = ", ".join(f"env.{binding}" for binding in producer.bindings)
    return f"worker:{printable(producer.worker)}  {bindings}{_running(producer.sessions)}"


def _about_consumer(consumer: ConsumerEntry) -> str:
    """Settings by their names in the config."""
    settings = consumer.settings
    parts = [f"max_retries {settings.max_retries}", f"retry_delay {settings.retry_delay} s"]
    if isinstance(settings, WorkerSettings):
        concurrency = "auto" if settings.max_concurrency is None else settings.max_concurrency
        parts = [
            f"max_batch_size {settings.batch_size}",
            f"max_batch_timeout {settings.max_wait_time_ms / 1000:g} s",
            *parts,
            f"max_concurrency {concurrency}",
        ]
    else:
        parts = [
            f"batch_size {settings.batch_size}",
            *parts,
            f"visibility_timeout {settings.visibility_timeout_ms / 1000:g} s",
        ]
    parts.append(f"dead_letter_queue {printable(consumer.dead_letter_queue) if consumer.dead_letter_queue else 'none'}")
    running = _running(consumer.sessions) if isinstance(settings, WorkerSettings) else ""
    return f"{printable(consumer.label)}  {', '.join(parts)}{running}"


def _running(sessions: list[SessionInfo]) -> str:
    if not sessions:
        return "  (not running)"
    return "  (running: " + ", ".join(f"{s.url or 'starting'}, pid {s.pid}" for s in sessions) + ")"


def _seconds(seconds: int) -> str:
    text = duration(seconds)
    return text if text == f"{seconds} s" else f"{seconds} s ({text})"
