"""`wpy queues`: the local queues, whether a session runs or not."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.groups import CommandGroup
from wrangler_py.cli.options import ConfigOption, EnvOption, PersistToOption
from wrangler_py.cli.output import CommandError, errors_told, hint, printable, result, result_json, table
from wrangler_py.cli.queues_access import session_clock
from wrangler_py.cli.queues_change import delete, given_settings, pause_delivery, purge, resume_delivery, update
from wrangler_py.cli.queues_consumers import app as consumer_group
from wrangler_py.cli.queues_history import history_command, tail
from wrangler_py.cli.queues_inventory import Inventory, rfc3339, take_inventory
from wrangler_py.cli.queues_messages import ack, peek, pull, retry
from wrangler_py.cli.queues_options import JsonOption, NameArgument
from wrangler_py.cli.queues_redrive import redrive
from wrangler_py.cli.queues_send import send
from wrangler_py.cli.queues_show import queue_objects, show_queue
from wrangler_py.cli.queues_subscriptions import app as subscription_group
from wrangler_py.cli.state import Project, find_project, reading, writing
from wrangler_py.queues import limits, tables

#: What stands in place of a record's fields while the queue exists in the config only.
_NOT_YET = "-"
#: Queues on a page, as wrangler asks for them (wrangler 4.86, `queues list`: 20 a page, Cloudflare's default).
_PER_PAGE = 20

app = typer.Typer(
    cls=CommandGroup,
    help="Local queues: create, look, change, send, follow. A session need not run.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the queue.")],
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
        settings = given_settings(delivery_delay_secs, message_retention_period_secs)
        if not re.fullmatch(limits.QUEUE_NAME_PATTERN, name):
            raise CommandError(str(limits.queue_name_invalid(printable(name))))
        project = find_project(config, env, persist_to)
        if not json:
            result(f"🌀 Creating queue '{name}'")
        with writing(project.folder) as store:
            now_ms = session_clock(store, name).now_ms()
            _, created = store.write(lambda c: tables.ensure_queue(c, name, now_ms, **settings))
        if not created:
            raise CommandError(str(limits.queue_name_taken(name)))
        if json:
            show_queue(name, project, as_json=True)
        else:
            _print_created(name, project)


@app.command("list")
def list_(
    page: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", min=1, help=f"Only this page of {_PER_PAGE} queues; all unless given."),
    ] = None,
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
            objects = queue_objects(store, inventory, project) if json else []
        if page is not None:
            part = slice((page - 1) * _PER_PAGE, page * _PER_PAGE)
            objects = objects[part]
            inventory = Inventory(dict(list(inventory.queues.items())[part]))
        if json:
            result_json(objects)
        elif inventory.queues:
            _print_list(inventory)
        elif page is not None and page > 1:
            result(f"There is no page {page}: `wpy queues list` shows all queues.")
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
    dead_letter_queue_of (queues whose dead letters come here), bindings of each producer, sessions (pid, url) of
    each producer and consumer that a `wpy dev` runs, and advice (kind, text): what is probably not meant.
    """
    with errors_told():
        show_queue(name, find_project(config, env, persist_to), as_json=json)


app.command("info", help="The same as describe.")(describe)


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


app.add_typer(consumer_group, name="consumer")
app.add_typer(subscription_group, name="subscription")
for _name, _command in (
    ("update", update),
    ("delete", delete),
    ("pause-delivery", pause_delivery),
    ("resume-delivery", resume_delivery),
    ("purge", purge),
    ("send", send),
    ("peek", peek),
    ("retry", retry),
    ("redrive", redrive),
    ("history", history_command),
    ("tail", tail),
    ("pull", pull),
    ("ack", ack),
):
    app.command(_name)(_command)
