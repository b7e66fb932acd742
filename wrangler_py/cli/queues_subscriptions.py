"""`wpy queues subscription`: which events of an account go to a queue, with wrangler's options and texts.

They are stored, as by Cloudflare's API; nothing in a session publishes such events.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from wrangler_py.cli.groups import command_group
from wrangler_py.cli.output import CommandError, errors_told, hint, printable, result, result_json, table
from wrangler_py.cli.queues_access import check_exists
from wrangler_py.cli.queues_changing import Queues, changing
from wrangler_py.cli.queues_options import JsonOption, QueueArgument, in_unicode
from wrangler_py.cli.state import Project
from wrangler_py.cli.where import Where, on_state
from wrangler_py.queues.limits import Refusal
from wrangler_py.queues.subscriptions import Subscription, Subscriptions

NO_EVENTS = (
    "No events specified. Use --events to provide a comma-separated list of event types to subscribe to. For a complete list "
    "of sources and corresponding events, please refer to: "
    "https://developers.cloudflare.com/queues/event-subscriptions/events-schemas/"
)
NO_FIELDS = (
    "No fields specified for update. Provide at least one of --name, --events, or --enabled to update the subscription."
)
NEEDS_FORCE = "This deletes the event subscription. Use --force where nobody can be asked."
STORED_ONLY = "The subscription is stored. No events of other Cloudflare products occur on a local server."


class Source(StrEnum):
    """The types of sources that wrangler knows."""

    KV = "kv"
    R2 = "r2"
    SUPER_SLURPER = "superSlurper"
    VECTORIZE = "vectorize"
    WORKERS_AI_MODEL = "workersAi.model"
    WORKERS_BUILDS_WORKER = "workersBuilds.worker"
    WORKFLOWS_WORKFLOW = "workflows.workflow"


#: What a source of a type is named by, as field of the source and as option.
_RESOURCES = {
    Source.WORKERS_AI_MODEL: "model_name",
    Source.WORKERS_BUILDS_WORKER: "worker_name",
    Source.WORKFLOWS_WORKFLOW: "workflow_name",
}

app = command_group("Event subscriptions of a queue: create, look, change, delete.")

IdOption = Annotated[str, typer.Option("--id", metavar="ID", help="The subscription.", callback=in_unicode)]
EnabledOption = Annotated[
    str | None, typer.Option("--enabled", metavar="true|false", help="Whether the subscription is active.")
]


@app.command()
@on_state()
def create(
    queue: QueueArgument,
    source: Annotated[Source, typer.Option(help="The type of the source.")],
    events: Annotated[str, typer.Option(help="Event types, with commas between them.", callback=in_unicode)],
    name: Annotated[
        str | None, typer.Option(help="A name; without it, the queue's and the source's.", callback=in_unicode)
    ] = None,
    enabled: EnabledOption = None,
    model_name: Annotated[str | None, typer.Option(help="For workersAi.model.", callback=in_unicode)] = None,
    worker_name: Annotated[str | None, typer.Option(help="For workersBuilds.worker.", callback=in_unicode)] = None,
    workflow_name: Annotated[str | None, typer.Option(help="For workflows.workflow.", callback=in_unicode)] = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Subscribe a queue to the events of a source. It is stored; no such events occur locally."""
    with errors_told():
        given = {"model_name": model_name, "worker_name": worker_name, "workflow_name": workflow_name}
        origin: dict[str, Any] = {"type": str(source)}
        field = _RESOURCES.get(source)
        if field is not None:
            if not given[field]:
                option = "--" + field.replace("_", "-")
                raise CommandError(f"{option} is required when using source '{source}'")
            origin[field] = given[field]
        types = _events(events)
        active = _enabled(enabled)
        with _open(queue, where) as queues:
            if not json:
                result(f"Creating event subscription for queue '{printable(queue)}'...")
            record = queues.record(queue)
            made = queues.run(
                _kept(queues).create(
                    record.uuid, name or f"{queue} {source}", origin, types, enabled=active is not False
                )
            )
        _tell(made, "created", as_json=json)
        if not json:
            hint(STORED_ONLY)


@app.command("list")
@on_state()
def list_(
    queue: QueueArgument,
    page: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Which page.")] = 1,
    per_page: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Subscriptions on a page.")] = 20,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the event subscriptions of a queue."""
    with errors_told(), _open(queue, where) as queues:
        found, _ = _kept(queues).page(queues.record(queue).uuid, page, per_page)
        if json:
            result_json([_object(s) for s in found])
        elif not found:
            result(f"No event subscriptions found for queue '{printable(queue)}'.")
        else:
            result(f"Event subscriptions for queue '{printable(queue)}':")
            table(("ID", "Name", "Source", "Events", "Resource", "Enabled"), [_row(s) for s in found])


@app.command()
@on_state()
def get(
    queue: QueueArgument,
    id: IdOption,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Show an event subscription."""
    with errors_told(), _open(queue, where) as queues:
        s = _of_queue(queues, queue, id)
        shown = _object(s)
        if json:
            result_json(shown)
            return
        _, name, source, events, resource, enabled = _row(s)
        lines = [("ID", s.id), ("Name", name), ("Source", source), *([("Resource", resource)] if resource else [])]
        lines += [("Queue ID", s.queue_id), ("Events", events), ("Enabled", enabled)]
        lines += [("Created At", shown["created_at"]), ("Modified At", shown["modified_at"])]
        for label, value in lines:
            result(f"{label + ':':<14}{value}")


@app.command()
@on_state()
def update(
    queue: QueueArgument,
    id: IdOption,
    name: Annotated[str | None, typer.Option(help="Another name.", callback=in_unicode)] = None,
    events: Annotated[
        str | None, typer.Option(help="Event types, with commas between them.", callback=in_unicode)
    ] = None,
    enabled: EnabledOption = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Change an event subscription; what is not given stays."""
    with errors_told():
        changes: dict[str, Any] = {} if name is None else {"name": name}
        if events is not None:
            changes["events"] = _events(events)
        if (active := _enabled(enabled)) is not None:
            changes["enabled"] = active
        if not changes:
            raise CommandError(NO_FIELDS)
        with _open(queue, where) as queues:
            _of_queue(queues, queue, id)
            if not json:
                result("Updating event subscription...")
            changed = queues.run(_kept(queues).change(id, **changes))
        _tell(changed, "updated", as_json=json)


@app.command()
@on_state()
def delete(
    queue: QueueArgument,
    id: IdOption,
    force: Annotated[bool, typer.Option("--force", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Delete an event subscription. --json prints what it was."""
    with errors_told(), _open(queue, where) as queues:
        subscription = _of_queue(queues, queue, id)
        if not force and not _confirmed(subscription):
            result("Delete cancelled.")
            return
        queues.run(_kept(queues).remove(id))
        _tell(subscription, "deleted", as_json=json)


def _open(queue: str, where: Where) -> Any:
    project: Project = where.project()
    check_exists(project, queue)
    return changing(project, queue)


def _kept(queues: Queues) -> Subscriptions:
    return Subscriptions(queues.store, queues.clock)


def _of_queue(queues: Queues, queue: str, subscription_id: str) -> Subscription:
    try:
        found = _kept(queues).get(subscription_id)
    except Refusal as refusal:
        shown = printable(queue)
        raise CommandError(f"{refusal}. `wpy queues subscription list {shown}` lists those that there are.") from None
    if found.queue_id != queues.record(queue).uuid:
        raise CommandError(
            f"Subscription '{printable(subscription_id)}' does not belong to queue '{printable(queue)}'. "
            "This subscription is configured for a different queue."
        )
    return found


def _events(given: str) -> list[str]:
    events = [event for part in given.split(",") if (event := part.strip())]
    if not events:
        raise CommandError(NO_EVENTS)
    return events


def _enabled(given: str | None) -> bool | None:
    if given is None:
        return None
    if given not in ("true", "false"):
        raise CommandError(f"--enabled takes true or false, not {printable(given)}")
    return given == "true"


def _object(s: Subscription) -> dict[str, Any]:
    from wrangler_py.server.rest import objects  # only here: the other commands start without it

    return objects.subscription(s)


def _row(s: Subscription) -> tuple[str, str, str, str, str, str]:
    resource = next((str(s.source[field]) for field in _RESOURCES.values() if field in s.source), "")
    events = printable(", ".join(s.events))
    kind = printable(str(s.source.get("type")))
    return s.id, printable(s.name), kind, events, printable(resource), "Yes" if s.enabled else "No"


def _tell(s: Subscription, done: str, *, as_json: bool) -> None:
    if as_json:
        result_json(_object(s))
    else:
        result(f"✨ Successfully {done} event subscription '{printable(s.name)}' with id '{s.id}'.")


def _confirmed(s: Subscription) -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("CI"):
        raise CommandError(NEEDS_FORCE)
    question = f"Are you sure you want to delete the event subscription '{printable(s.name)}' ({s.id})?"
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False
