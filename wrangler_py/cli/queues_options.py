"""Arguments and options that the commands of `wpy queues` share, and the completion of queue names."""

from __future__ import annotations

from typing import Annotated

import typer

from wrangler_py.cli import options
from wrangler_py.cli.output import CommandError, printable


def complete_queue(context: typer.Context, incomplete: str) -> list[str]:
    """The names of queues that begin like this, for the shell. Says nothing, whatever is wrong: the shell would print
    it into the command line."""
    from wrangler_py.cli.queues_access import known_names
    from wrangler_py.cli.state import find_project, reading
    from wrangler_py.store.database import StateError

    given = context.params
    try:
        project = find_project(given.get("config"), given.get("env"), given.get("persist_to"), quiet=True)
        with reading(project.folder) as store:
            return [name for name in known_names(store, project) if name.startswith(incomplete)]
    except (CommandError, StateError, OSError):
        return []


def in_unicode(value: str | None) -> str | None:
    """A name as it was given. Raises BadParameter for bytes of the command line that are no text."""
    if value is not None and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise typer.BadParameter(f"{printable(value)} is not UTF-8") from error
    return value


def name_argument(metavar: str, text: str) -> typer.models.ArgumentInfo:
    """An argument that names a queue."""
    argument: typer.models.ArgumentInfo = typer.Argument(
        metavar=metavar, help=text, autocompletion=complete_queue, callback=in_unicode
    )
    return argument


NameArgument = Annotated[str, name_argument("NAME", "The name of the queue.")]
QueueArgument = Annotated[str, name_argument("QUEUE", "The name of the queue.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, in the shape of Cloudflare's REST API.")]
WpyJsonOption = options.JsonOption
