"""`wpy queues consumer`: who gets the messages of a queue, beside what the config says.

`consumer add`, `remove` and `list` are those of `consumer worker`, as in wrangler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.groups import command_group
from wrangler_py.cli.output import (
    CommandError,
    errors_told,
    explained,
    hint,
    printable,
    result,
    result_json,
    table,
    warning,
)
from wrangler_py.cli.queues_changing import changing
from wrangler_py.cli.queues_inventory import ConsumerEntry, Inventory, QueueEntry, consumer_object, take_inventory
from wrangler_py.cli.queues_options import JsonOption, in_unicode, name_argument
from wrangler_py.cli.state import Project, reading
from wrangler_py.cli.where import Where, on_state
from wrangler_py.queues import limits
from wrangler_py.queues.consumers import Consumers, ConsumerSpec, ConsumerType, PullSettings, WorkerSettings

_WORKER_COLUMNS = (
    *("consumer_id", "script", "dead_letter_queue", "batch_size", "max_retries", "max_wait_time_ms"),
    *("max_concurrency", "retry_delay"),
)
_PULL_COLUMNS = (
    *("consumer_id", "dead_letter_queue", "batch_size", "max_retries", "visibility_timeout_ms", "retry_delay"),
)

QueueNameArgument = Annotated[str, name_argument("QUEUE_NAME", "The queue.")]
ScriptNameArgument = Annotated[str, typer.Argument(metavar="SCRIPT_NAME", help="The Worker.", callback=in_unicode)]
BatchSizeOption = Annotated[int | None, typer.Option(metavar="NUMBER", help="Messages in a batch at most, 1 to 100.")]
RetriesOption = Annotated[int | None, typer.Option(metavar="NUMBER", help="Retries of a message at most, 0 to 100.")]
DeadLetterQueueOption = Annotated[
    str | None,
    typer.Option(
        metavar="QUEUE", help="Where messages without retries left go; created when missing.", callback=in_unicode
    ),
]
RetryDelayOption = Annotated[
    int | None, typer.Option(metavar="SECONDS", help="How long a retry waits unless it says itself, 0 to 86400.")
]


app = command_group("Add, remove and list the consumers of a queue.")
worker = command_group("Consumers that are Workers.")
http = command_group("Consumers that pull over HTTP.")
app.add_typer(worker, name="worker")
app.add_typer(http, name="http")


@worker.command("add")
@app.command("add")
@on_state()
def add_worker(
    queue_name: QueueNameArgument,
    script_name: ScriptNameArgument,
    batch_size: BatchSizeOption = None,
    batch_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long a batch is filled at most, 0 to 60.")
    ] = None,
    message_retries: RetriesOption = None,
    dead_letter_queue: DeadLetterQueueOption = None,
    max_concurrency: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Invocations at a time at most, 1 to 250.")
    ] = None,
    retry_delay_secs: RetryDelayOption = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Give a queue a Worker as its consumer.

    It is stored and listed; the messages go to it once a session's config has it in queues.consumers. --json prints the
    consumer.
    """
    settings = {
        "batch_size": batch_size,
        "max_retries": message_retries,
        "max_wait_time_ms": None if batch_timeout is None else batch_timeout * 1000,
        "max_concurrency": max_concurrency,
        "retry_delay": retry_delay_secs,
    }
    with errors_told():
        project = where.project()
        _add(project, queue_name, "worker", script_name, where.env or "", dead_letter_queue, settings, as_json=json)


@http.command("add")
@on_state()
def add_http(
    queue_name: QueueNameArgument,
    batch_size: BatchSizeOption = None,
    message_retries: RetriesOption = None,
    dead_letter_queue: DeadLetterQueueOption = None,
    visibility_timeout_secs: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long a pulled message waits for its acknowledgement, up to 43200."),
    ] = None,
    retry_delay_secs: RetryDelayOption = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Have a queue pulled over HTTP (and by `wpy queues pull`). No Worker gets its messages then. --json prints the
    consumer."""
    settings = {
        "batch_size": batch_size,
        "max_retries": message_retries,
        "visibility_timeout_ms": visibility_timeout_secs * 1000 if visibility_timeout_secs else None,
        "retry_delay": retry_delay_secs,
    }
    with errors_told():
        project = where.project()
        if visibility_timeout_secs == 0:
            hint(f"0 is left out, as wrangler does: the default of {limits.DEFAULT_VISIBILITY_TIMEOUT_MS} ms counts.")
        _add(project, queue_name, "http_pull", "", "", dead_letter_queue, settings, as_json=json)


@worker.command("remove")
@app.command("remove")
@on_state()
def remove_worker(
    queue_name: QueueNameArgument,
    script_name: ScriptNameArgument,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Take a Worker away from a queue. One that the config names is taken out of the config instead. --json prints the
    consumer that was removed."""
    with errors_told():
        _remove(where.project(), queue_name, script_name, as_json=json)


@http.command("remove")
@on_state()
def remove_http(
    queue_name: QueueNameArgument,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Have a queue no longer pulled over HTTP. --json prints the consumer that was removed."""
    with errors_told():
        _remove(where.project(), queue_name, None, as_json=json)


@app.command("list")
@on_state()
def list_all(
    queue_name: QueueNameArgument,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the consumers of a queue: those of the config, of running sessions, and those that were added.

    --json prints Cloudflare's consumer objects. A consumer that only the config names has no consumer_id yet; sessions
    are those that run it.
    """
    with errors_told():
        _list(where.project(), queue_name, None, as_json=json)


@worker.command("list")
@on_state()
def list_workers(
    queue_name: QueueNameArgument,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the Workers that consume a queue. --json as `wpy queues consumer list`."""
    with errors_told():
        _list(where.project(), queue_name, "worker", as_json=json)


@http.command("list")
@on_state()
def list_http(
    queue_name: QueueNameArgument,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the HTTP pull consumer of a queue. --json as `wpy queues consumer list`."""
    with errors_told():
        _list(where.project(), queue_name, "http_pull", as_json=json)


def _add(
    project: Project,
    queue: str,
    kind: ConsumerType,
    script: str,
    environment: str,
    dead_letter_queue: str | None,
    settings: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    with changing(project, queue) as queues:
        if not as_json:
            result(f"Adding consumer to queue {printable(queue)}.")
        given = {name: value for name, value in settings.items() if value is not None}
        spec = ConsumerSpec(kind, script, environment, dead_letter_queue, given)
        named = _workers_in_config(project, queue)
        if named:
            refusal = explained(limits.consumer_exists(queue))
            raise CommandError(f"{refusal}\n  {texts.consumer_in_config(named[0])}")
        consumers = Consumers(queues.store, queues.clock, queues.events, queues.broker)
        consumer, notes = queues.run(consumers.create(queues.record(queue), spec))
    if as_json:
        entry = ConsumerEntry(consumer.script, consumer.settings, consumer.dead_letter_queue, consumer)
        result_json(consumer_object(QueueEntry(queue), entry))
    else:
        result(f"Added consumer to queue {printable(queue)}.")
    for note in notes:
        warning(note)


def _remove(project: Project, queue: str, script: str | None, *, as_json: bool) -> None:
    """`script` None: the pull consumer."""
    with changing(project, queue) as queues:
        if not as_json:
            result(f"Removing consumer from queue {printable(queue)}.")
        record = queues.record(queue)
        consumers = Consumers(queues.store, queues.clock, queues.events, queues.broker)
        kind = "http_pull" if script is None else "worker"
        found = [c for c in consumers.of(record) if c.type == kind and script in (None, c.script)]
        if not found:
            if script is None:
                raise CommandError(texts.no_pull_consumer(queue))
            named = script in _workers_in_config(project, queue)
            more = f"\n  {texts.consumer_in_config(script)}" if named else ""
            raise CommandError(texts.no_worker_consumer(script, queue) + more)
        consumer = found[0]
        queues.run(consumers.remove(record, consumer.id))
    if as_json:
        entry = ConsumerEntry(consumer.script, consumer.settings, consumer.dead_letter_queue, consumer)
        result_json(consumer_object(QueueEntry(queue), entry))
    else:
        result(f"Removed consumer from queue {printable(queue)}.")


def _workers_in_config(project: Project, queue: str) -> list[str]:
    return [worker.name for worker in project.workers if any(c.queue == queue for c in worker.consumers)]


def _list(project: Project, name: str, kind: ConsumerType | None, *, as_json: bool) -> None:
    with reading(project.folder) as store:
        inventory = take_inventory(store, project.workers)
    queue = _queue(inventory, name, project)
    workers = [c for c in queue.consumers if isinstance(c.settings, WorkerSettings) and kind != "http_pull"]
    pulls = [c for c in queue.consumers if isinstance(c.settings, PullSettings) and kind != "worker"]
    if as_json:
        result_json([consumer_object(queue, consumer) for consumer in (*workers, *pulls)])
        return
    if not workers and not pulls:
        result(texts.NO_CONSUMERS[kind].format(queue=printable(name)))
        return
    for heading, columns, consumers in (
        ("Worker consumers:", _WORKER_COLUMNS, workers),
        ("HTTP pull consumers:", _PULL_COLUMNS, pulls),
    ):
        if consumers:
            if kind is None:
                result(heading)
            table(columns, [_row(queue, consumer, columns) for consumer in consumers], optional=("consumer_id",))
    if any(consumer.info is None for consumer in queue.consumers):
        hint('A consumer with the consumer_id "-" stands in the config only; no session runs it.')


def _queue(inventory: Inventory, name: str, project: Project) -> QueueEntry:
    queue = inventory.queues.get(name)
    if queue is None:
        raise CommandError(texts.no_such_queue(name, list(inventory.queues), project.folder))
    return queue


def _row(queue: QueueEntry, consumer: ConsumerEntry, columns: tuple[str, ...]) -> list[str]:
    """As wrangler's tables have it."""
    shown = consumer_object(queue, consumer)
    values = {**shown, **shown["settings"]}
    return ["-" if values[column] in (None, "") else printable(str(values[column])) for column in columns]
