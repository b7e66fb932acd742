"""`wpy faults`: faults on purpose in a running session."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import errors_told, printable, result, result_json, table
from wrangler_py.cli.queues_options import QueueArgument
from wrangler_py.cli.session_client import SessionOption, connect
from wrangler_py.cli.where import Where, on_state

app = command_group("Faults on purpose for the consumers of a running session: fail, slow, duplicate.")


@app.command("list")
@on_state()
def list_faults(
    session: SessionOption = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """The faults that are in force, and how often each has struck.

    --json prints an array of objects: id, queue, kind, percent, left (null: until it is removed), ms, struck.
    """
    with errors_told(), connect(where, session) as client:
        faults = client.call("GET faults")["faults"]
    if json:
        result_json(faults)
    elif not faults:
        result("No fault is in force.")
    else:
        table(
            ("id", "queue", "kind", "chance", "left", "struck"),
            [
                (
                    str(f["id"]),
                    f["queue"],
                    f"{f['kind']} {f['ms']} ms" if f["ms"] else f["kind"],
                    f"{f['percent']:g} %",
                    "" if f["left"] is None else str(f["left"]),
                    str(f["struck"]),
                )
                for f in faults
            ],
            optional=("left",),
        )


@app.command()
@on_state()
def add(
    queue: QueueArgument,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="fail (batches fail before their handler), slow (it is called later), duplicate (an ack is lost).",
        ),
    ],
    percent: Annotated[float, typer.Option(metavar="PERCENT", help="The chance, above 0 and up to 100.")] = 100,
    times: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="How often it strikes; until it is removed unless given.")
    ] = None,
    ms: Annotated[int | None, typer.Option("--ms", metavar="MS", help="With slow: how much later.")] = None,
    session: SessionOption = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Set a fault, from the next batch on. No message is lost by it; it ends with the session.

    --json prints the fault: id, queue, kind, percent, left, ms, struck.
    """
    body: dict[str, Any] = {"queue": queue, "kind": kind, "percent": percent, "times": times, "ms": ms}
    with errors_told(), connect(where, session) as client:
        fault = client.call("POST faults/add", {key: value for key, value in body.items() if value is not None})[
            "fault"
        ]
    if json:
        result_json(fault)
    else:
        result(f'Fault {fault["id"]}: {fault["kind"]} for queue "{printable(queue)}" from its next batch on.')


@app.command()
@on_state()
def remove(
    fault: Annotated[int, typer.Argument(metavar="ID", help="The fault, as `wpy faults list` numbers it.")],
    session: SessionOption = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Take a fault away.

    --json prints its id.
    """
    with errors_told(), connect(where, session) as client:
        client.call("POST faults/remove", {"id": fault})
    if json:
        result_json({"id": fault})
    else:
        result(f"Fault {fault} is gone.")
