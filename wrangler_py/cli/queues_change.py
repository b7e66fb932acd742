"""`wpy queues update`, `delete`, `pause-delivery`, `resume-delivery` and `purge`, in force at once where a session runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.kept_sends import find_queues
from wrangler_py.cli.output import CommandError, errors_told, hint, plural, printable, result, result_json
from wrangler_py.cli.queues_access import check_exists, names_in_config
from wrangler_py.cli.queues_changing import changing
from wrangler_py.cli.queues_options import JsonOption, NameArgument, WpyJsonOption
from wrangler_py.cli.queues_show import show_queue
from wrangler_py.cli.state import Project, reading
from wrangler_py.cli.where import Where, on_state
from wrangler_py.queues import tables
from wrangler_py.queues.admin import QueueAdmin
from wrangler_py.queues.purge import Purges


@on_state()
def update(
    name: NameArgument,
    delivery_delay_secs: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="How long each message waits before it is delivered, 0 to 86400."),
    ] = None,
    message_retention_period_secs: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="How long a message is kept, 60 to 1209600.")
    ] = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Change a queue's settings; what is not given stays.

    Another retention period counts for the messages that are in the queue, too. --json prints what `wpy queues describe
    --json` prints.
    """
    with errors_told():
        project = find_queues(where)
        check_exists(project, name)
        given = given_settings(delivery_delay_secs, message_retention_period_secs)
        _change(project, name, given, f"Updating queue {name}.", f"Updated queue {name}.", as_json=json)


@on_state()
def pause_delivery(
    name: NameArgument,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Deliver nothing more of a queue, and let nobody pull it. Messages are taken in, and kept.

    What is in flight goes on. --json prints what `wpy queues describe --json` prints.
    """
    with errors_told():
        project = find_queues(where)
        what = f"message delivery for queue {name}."
        _change(project, name, {"delivery_paused": True}, f"Pausing {what}", f"Paused {what}", as_json=json)


@on_state()
def resume_delivery(
    name: NameArgument,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Deliver a paused queue again. --json prints what `wpy queues describe --json` prints."""
    with errors_told():
        project = find_queues(where)
        what = f"message delivery for queue {name}."
        _change(project, name, {"delivery_paused": False}, f"Resuming {what}", f"Resumed {what}", as_json=json)


@on_state()
def delete(
    name: NameArgument,
    json: WpyJsonOption = False,
    *,
    where: Where,
) -> None:
    """Delete a queue with its messages.

    Refused, as in production, while a Worker that runs sends to it or has it for a dead letter queue. --json prints
    queue_name, queue_id and messages_deleted.
    """
    with errors_told():
        project = find_queues(where)
        check_exists(project, name)
        with reading(project.folder) as store:
            if store is None or tables.find_queue(store, name) is None:
                raise CommandError(texts.nothing_to_delete(name))
        with changing(project, name) as queues:
            record = queues.record(name)
            if not json:
                result(f"Deleting queue {printable(name)}.")
            queues.run(QueueAdmin(queues.store, queues.clock, queues.events, queues.broker).delete(record))
        if json:
            gone = {"queue_name": name, "queue_id": record.uuid, "messages_deleted": record.backlog_count}
            result_json(gone)
        else:
            result(f"Deleted queue {printable(name)}.")
            if record.backlog_count:
                hint(f"{plural(record.backlog_count, 'message')} went with it.")
            if name in names_in_config(project):
                hint("The config names the queue: the next `wpy dev` creates it again.")


@on_state()
def purge(
    name: NameArgument,
    force: Annotated[bool, typer.Option("--force", help="Do not ask for the queue's name.")] = False,
    json: WpyJsonOption = False,
    *,
    where: Where,
) -> None:
    """Delete all messages that wait in a queue, ready or delayed. What is in flight is left to whoever has it.

    --json prints queue_name and messages_deleted.
    """
    with errors_told():
        project = find_queues(where)
        if not force:
            _confirm(name)
        with changing(project, name) as queues:
            purges = Purges(queues.store, queues.clock, queues.events, queues.broker)
            queues.run(purges.purge(queues.record(name)))
            count = next(event.data["count"] for event in queues.announced if event.kind == "queue.purged")
        if json:
            result_json({"queue_name": name, "messages_deleted": count})
        else:
            result(f"Purged Queue '{printable(name)}'")
            hint(f"{plural(count, 'message')} deleted.")


def given_settings(delivery_delay: int | None, message_retention_period: int | None) -> dict[str, int]:
    """The settings that were given on the command line (seconds). Raises CommandError for one out of its range."""
    checks = (
        ("delivery_delay", delivery_delay, texts.bad_delivery_delay),
        ("message_retention_period", message_retention_period, texts.bad_retention),
    )
    given: dict[str, int] = {}
    for setting, value, problem_of in checks:
        if value is not None:
            problem = problem_of(value)
            if problem is not None:
                raise CommandError(problem)
            given[setting] = value
    return given


def _change(project: Project, name: str, given: Mapping[str, Any], before: str, after: str, *, as_json: bool) -> None:
    with changing(project, name) as queues:
        if not as_json:
            result(printable(before))
        admin = QueueAdmin(queues.store, queues.clock, queues.events, queues.broker)
        queues.run(admin.change(queues.record(name), given, reset=False))
    if as_json:
        show_queue(name, project, as_json=True)
    else:
        result(printable(after))


def _confirm(name: str) -> None:
    """Have the user type the queue's name, as wrangler does. Raises CommandError."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("CI"):
        raise CommandError(texts.PURGE_NEEDS_FORCE)
    try:
        typed = typer.prompt(texts.purge_question(printable(name)), prompt_suffix=" ", err=True)
    except typer.Abort:
        typed = None
    if typed != name:
        raise CommandError(texts.PURGE_REFUSED)
