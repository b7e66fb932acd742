"""`wpy queues create`."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.kept_sends import find_queues
from wrangler_py.cli.output import CommandError, errors_told, printable, result
from wrangler_py.cli.queues_access import session_clock
from wrangler_py.cli.queues_change import given_settings
from wrangler_py.cli.queues_options import JsonOption
from wrangler_py.cli.queues_show import show_queue
from wrangler_py.cli.state import Project, writing
from wrangler_py.cli.where import Where, on_state
from wrangler_py.queues import limits, tables


@on_state()
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
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Create a queue, and show the config that uses it."""
    with errors_told():
        settings = given_settings(delivery_delay_secs, message_retention_period_secs)
        if not re.fullmatch(limits.QUEUE_NAME_PATTERN, name):
            raise CommandError(str(limits.queue_name_invalid(printable(name))))
        project = find_queues(where)
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
