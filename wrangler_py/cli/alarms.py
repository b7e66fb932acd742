"""`wpy alarms`: the alarms of Durable Objects that wait in a running session."""

from __future__ import annotations

from typing import Annotated

import typer

from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import FAILED, error, errors_told, printable, result, result_json, table
from wrangler_py.cli.session_client import SessionOption, connect
from wrangler_py.cli.where import Where, on_state

WorkerArgument = Annotated[str, typer.Argument(metavar="WORKER", help="The Worker that has the class.")]
ClassArgument = Annotated[str, typer.Argument(metavar="CLASS", help="The class of the Durable Object.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The object: 64 hexadecimal digits.")]

app = command_group("Alarms of Durable Objects in a running session.")


@app.command("list")
@on_state()
def list_alarms(
    session: SessionOption = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """The alarms that wait, the next one first.

    --json prints an array of objects: worker, class, id, name, due (ms), attempts, running.
    """
    with errors_told(), connect(where, session) as client:
        alarms = sorted(client.call("GET durable-objects/alarms")["alarms"], key=lambda alarm: alarm["due"])
    if json:
        result_json(alarms)
    elif not alarms:
        result("No alarm waits.")
    else:
        from wrangler_py.session.times import iso

        table(
            ("worker", "class", "id", "name", "due", "attempts"),
            [
                (a["worker"], a["class"], a["id"], a["name"] or "", iso(a["due"]), str(a["attempts"] or ""))
                for a in alarms
            ],
            optional=("name", "attempts"),
        )


@app.command()
@on_state()
def run(
    worker: WorkerArgument,
    name: ClassArgument,
    object_id: IdArgument,
    session: SessionOption = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Run an alarm that waits, now. One that fails ends with exit code 1, and is tried again as at its time.

    --json prints outcome ("ok", "failed", ...) and error.
    """
    with errors_told(), connect(where, session) as client:
        which = {"worker": worker, "class": name, "id": object_id}
        done = client.call("POST durable-objects/alarms/run", which, timeout_s=None)
    failed = done["outcome"] == "failed"
    if json:
        result_json(done)
    elif failed:
        error(f"The alarm failed: {printable(str(done['error'] or 'it did not say why'))}")
    else:
        result(f"The alarm of {printable(name)} {object_id} ran: {done['outcome']}.")
    if failed:
        raise typer.Exit(FAILED)


@app.command()
@on_state()
def cancel(
    worker: WorkerArgument,
    name: ClassArgument,
    object_id: IdArgument,
    session: SessionOption = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Take an alarm away: it will not run.

    --json prints the alarm as it was, as `wpy alarms list` shows it.
    """
    with errors_told(), connect(where, session) as client:
        which = {"worker": worker, "class": name, "id": object_id}
        done = client.call("POST durable-objects/alarms/cancel", which)
    if json:
        result_json(done["canceled"])
    else:
        result(f"The alarm of {printable(name)} {object_id} is gone.")
