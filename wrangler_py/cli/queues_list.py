"""`wpy queues list`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.kept_sends import find_queues
from wrangler_py.cli.output import errors_told, hint, printable, result, result_json, table
from wrangler_py.cli.queues_inventory import Inventory, rfc3339, take_inventory
from wrangler_py.cli.queues_options import JsonOption
from wrangler_py.cli.state import reading
from wrangler_py.cli.where import Where, on_state

#: What stands in place of a record's fields while the queue exists in the config only.
_NOT_YET = "-"
#: Queues on a page, as wrangler asks for them (wrangler 4.86, `queues list`: 20 a page, Cloudflare's default).
_PER_PAGE = 20


@on_state()
def list_queues(
    page: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", min=1, help=f"Only this page of {_PER_PAGE} queues; all unless given."),
    ] = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the queues, with their backlog.

    A queue that only the config names is listed with the id "-": the next `wpy dev` creates it. --json prints an array
    of what `wpy queues describe --json` prints for one queue.
    """
    with errors_told():
        project = find_queues(where)
        with reading(project.folder) as store:
            inventory = take_inventory(store, project.workers)
            objects: list[dict[str, Any]] = []
            if json:
                from wrangler_py.cli.queues_show import queue_objects

                objects = queue_objects(store, inventory, project)
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
