"""`wpy queues`: the local queues, whether a session runs or not."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.groups import CommandGroup
from wrangler_py.cli.output import (
    CommandError,
    duration,
    errors_told,
    hint,
    plural,
    printable,
    result,
    result_json,
    table,
)
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
from wrangler_py.cli.state import ConfigOption, EnvOption, PersistToOption, Project, find_project, reading, writing
from wrangler_py.clock import SystemClock
from wrangler_py.queues import limits, tables
from wrangler_py.queues.consumers import WorkerSettings
from wrangler_py.store.sessions import SessionInfo

#: What stands in place of a record's fields while the queue exists in the config only.
_NOT_YET = "-"

app = typer.Typer(
    cls=CommandGroup,
    help="Create, list and describe local queues. A session need not run.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of the queue.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, in the shape of Cloudflare's REST API.")]


@app.command()
def create(
    name: NameArgument,
    delivery_delay_secs: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="How long each message waits before it is delivered, 0 to 86400."),
    ] = None,
    message_retention_period_secs: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="How long a message is kept, 60 to 1209600 (4 days unless given)."),
    ] = None,
    config: ConfigOption = None,
    env: EnvOption = None,
    persist_to: PersistToOption = None,
    json: JsonOption = False,
) -> None:
    """Create a queue, and show the config that uses it."""
    with errors_told():
        settings: dict[str, int] = {}
        if delivery_delay_secs is not None:
            _refuse(texts.bad_delivery_delay(delivery_delay_secs))
            settings["delivery_delay"] = delivery_delay_secs
        if message_retention_period_secs is not None:
            _refuse(texts.bad_retention(message_retention_period_secs))
            settings["message_retention_period"] = message_retention_period_secs
        if not re.fullmatch(limits.QUEUE_NAME_PATTERN, name):
            raise CommandError(str(limits.queue_name_invalid(printable(name))))
        project = find_project(config, env, persist_to)
        if not json:
            result(f"🌀 Creating queue '{name}'")
        now_ms = SystemClock().now_ms()
        with writing(project.folder) as store:
            _, created = store.write(lambda c: tables.ensure_queue(c, name, now_ms, **settings))
        if not created:
            raise CommandError(str(limits.queue_name_taken(name)))
        if json:
            _print_one(name, project, as_json=True)
        else:
            _print_created(name, project)


@app.command("list")
def list_(
    config: ConfigOption = None,
    env: EnvOption = None,
    persist_to: PersistToOption = None,
    json: JsonOption = False,
) -> None:
    """List the queues, with their backlog.

    A queue that only the config names is listed with the id "-": the next `wpy dev` creates it. --json prints an array
    of what `wpy queues describe --json` prints for one queue.
    """
    with errors_told():
        project = find_project(config, env, persist_to)
        with reading(project.folder) as store:
            inventory = take_inventory(store, project.workers)
            if json:
                count_messages(store, inventory.queues.values(), SystemClock().now_ms())
        if json:
            result_json([queue_object(queue, inventory) for queue in inventory.queues.values()])
        elif inventory.queues:
            _print_list(inventory)
        else:
            result(texts.no_queues(project.folder))


@app.command()
def describe(
    name: NameArgument,
    config: ConfigOption = None,
    env: EnvOption = None,
    persist_to: PersistToOption = None,
    json: JsonOption = False,
) -> None:
    """Show a queue's settings, producers, consumers and backlog.

    --json prints Cloudflare's queue object: queue_id, queue_name, created_on, modified_on, producers,
    producers_total_count, consumers, consumers_total_count, settings (delivery_delay, delivery_paused,
    message_retention_period). queue_id, created_on and modified_on are null while only the config names the queue.
    To these wpy adds: backlog (backlog_count, backlog_bytes, oldest_message_timestamp_ms, ready, delayed, in_flight),
    dead_letter_queue_of (queues whose dead letters come here), bindings of each producer, and sessions (pid, url) of
    each producer and consumer that a `wpy dev` runs.
    """
    with errors_told():
        _print_one(name, find_project(config, env, persist_to), as_json=json)


app.command("info", help="The same as describe.")(describe)


def _refuse(problem: str | None) -> None:
    if problem is not None:
        raise CommandError(problem)


def _print_one(name: str, project: Project, *, as_json: bool) -> None:
    with reading(project.folder) as store:
        now_ms = SystemClock().now_ms()  # after the moment of the state: what was ready in it is ready now
        inventory = take_inventory(store, project.workers)
        queue = inventory.queues.get(name)
        if queue is None:
            raise CommandError(texts.no_such_queue(name, list(inventory.queues), project.folder))
        count_messages(store, [queue], now_ms)
    if as_json:
        result_json(queue_object(queue, inventory))
    else:
        _print_queue(queue, inventory, now_ms)


def _print_created(name: str, project: Project) -> None:
    result(f"✅ Created queue '{name}'")
    result()
    result("Configure your Worker to send messages to this queue:")
    result()
    result(texts.producer_snippet(name, project.config_file, project.environment))
    result()
    result("Configure your Worker to consume messages from this queue:")
    result()
    result(texts.consumer_snippet(name, project.config_file, project.environment))


def _print_list(inventory: Inventory) -> None:
    """wrangler's columns, and the backlog."""
    header = ("id", "name", "created_on", "modified_on", "producers", "consumers", "backlog")
    rows = []
    for queue in inventory.queues.values():
        record = queue.record
        backlog = str(record.backlog_count if record else 0) + (" (paused)" if queue.delivery_paused else "")
        rows.append(
            (
                record.uuid if record else _NOT_YET,
                printable(queue.name),
                rfc3339(record.created_ms) if record else _NOT_YET,
                rfc3339(record.modified_ms) if record else _NOT_YET,
                str(len(queue.producers)),
                str(len(queue.consumers)),
                backlog,
            )
        )
    table(header, rows, optional=("created_on", "modified_on", "id"))
    if any(queue.record is None for queue in inventory.queues.values()):
        hint(f'A queue with the id "{_NOT_YET}" stands in the config only; the next `wpy dev` creates it.')


def _print_queue(queue: QueueEntry, inventory: Inventory, now_ms: int) -> None:
    """wrangler's lines of `queues info` first, then what only wpy knows."""
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
