"""`wpy runs`: what ran, what became of it, and a test that does it again."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import CommandError, errors_told, result, result_json, table
from wrangler_py.cli.where import Where, on_state
from wrangler_py.session.times import iso

if TYPE_CHECKING:
    from wrangler_py.cli.run_test import RecordedBody
    from wrangler_py.events.reading import Run

app = command_group("What ran: requests, batches, crons, alarms. And a test that does it again.")

#: Runs that `list` shows unless told otherwise.
_LIMIT = 20

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The number or span of a run, or the id of a message (its last batch).")
]


@contextmanager
def _record(where: Where) -> Iterator[tuple[Any, Path]]:
    """The record, and the state folder that it is in."""
    from wrangler_py.events.reading import open_record
    from wrangler_py.events.tables import Unusable

    with errors_told():
        folder = where.project().folder
        try:
            with open_record(folder) as connection:
                if connection is None:
                    raise CommandError(
                        f"Nothing is recorded in {folder} yet: run `wpy dev`, or give --persist-to FOLDER."
                    )
                yield connection, folder
        except (sqlite3.Error, Unusable) as problem:
            raise CommandError(f"The record in {folder} cannot be read: {problem}") from problem


@app.command("list")
@on_state()
def list_runs(
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="request, batch, cron, alarm or waitUntil.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="NUMBER", min=1, max=10_000, help="How many.")
    ] = _LIMIT,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """The last runs, newest first."""
    from wrangler_py.events.reading import runs_where

    with _record(where) as (connection, _):
        conditions = (["error IS NOT NULL"] if failed else []) + (["kind = ?"] if kind else [])
        found = runs_where(connection, " AND ".join(conditions) or "1", [kind] if kind else [], limit)
        if as_json:
            result_json([_as_json(run) for run in found])
        elif found:
            rows = [
                (str(run.n), iso(run.started_ms), run.label, run.outcome or "running", (run.error or "").split("\n")[0])
                for run in found
            ]
            table(("ID", "STARTED", "RUN", "OUTCOME", "ERROR"), rows)
        else:
            result("No runs.")


@app.command()
@on_state()
def show(
    run_id: IdArgument,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """One run: its messages, its logs, its traceback."""
    from wrangler_py.events.reading import logs_of

    with _record(where) as (connection, _):
        run = _find(connection, run_id)
        logs = [event.data["text"] for event in logs_of(connection, [run.span])]
        if as_json:
            result_json({**_as_json(run), "logs": logs})
            return
        result(f"{run.n}  {run.label}  {run.outcome or 'running'}")
        result(f"Started {iso(run.started_ms)}" + (f", took {run.ms} ms" if run.ms is not None else ""))
        for message in run.messages:
            result("  " + "  ".join(str(part) for part in message if part is not None))
        for line in logs:
            result(f"  | {line}")
        if run.traceback or run.error:
            result(run.traceback or run.error or "")
        result(f"\nA test that does it again: wpy runs to-test {run.n} > tests/test_run_{run.n}.py")


@app.command("to-test")
@on_state()
def to_test(
    run_id: IdArgument,
    with_state: Annotated[
        Path | None,
        typer.Option("--with-state", metavar="FOLDER", help="Save the state of all bindings there; the test loads it."),
    ] = None,
    *,
    where: Where,
) -> None:
    """Print a test that does a run again: the same messages, at the same time. It fails as the run did, until it is mended.

    wpy runs to-test 12 > tests/test_run_12.py
    """
    from wrangler_py.cli.run_test import RecordedBody, test_of
    from wrangler_py.events.reading import items

    with _record(where) as (connection, folder):
        run = _find(connection, run_id)
        ids = [bytes.fromhex(entry[0]) for entry in run.messages]
        found = {item.hex: RecordedBody.of(item) for item in items(connection, ids)} if ids else {}
        found |= _in_queues(folder, [i.hex() for i in ids if i.hex() not in found or found[i.hex()].body is None])
    with errors_told():
        if with_state is not None:
            from wrangler_py.session import snapshots

            snapshots.refuse_running(folder, "saved")
            snapshots.save(folder, with_state.absolute(), run.started_ms)
        result(test_of(run, found, None if with_state is None else with_state.as_posix()))


def _in_queues(folder: Path, ids: list[str]) -> dict[str, RecordedBody]:
    """Messages whose bodies the record does not have, because somebody else than a Worker has sent them, and that still
    are in a queue."""
    from wrangler_py.cli.run_test import RecordedBody
    from wrangler_py.cli.state import reading
    from wrangler_py.queues import browse

    found = {}
    with reading(folder) as store:
        for message_id in ids if store is not None else ():
            assert store is not None
            there = browse.find(store, message_id, 0)
            if there is not None:
                message = there[1].message
                found[message_id] = RecordedBody(message.timestamp_ms, message.content_type, message.body)
    return found


def _find(connection: sqlite3.Connection, run_id: str) -> Run:
    """Raises CommandError."""
    from wrangler_py.events.reading import batches_of, item, runs_where

    if re.fullmatch(r"[0-9a-f]{32}", run_id):
        message = item(connection, run_id)
        batches = batches_of(connection, message) if message is not None else []
        if not batches:
            raise CommandError(f"The record knows no batch that held the message {run_id}.")
        return batches[-1]
    column = "span = ?" if re.fullmatch(r"[0-9a-f]{16}", run_id) else "n = ?"
    found = runs_where(connection, column, [run_id], 1)
    if not found:
        raise CommandError(f'The record knows no run "{run_id}". `wpy runs list` shows those that it knows.')
    return found[0]


def _as_json(run: Run) -> dict[str, Any]:
    return {
        "id": run.n,
        "span": run.span,
        "trace": run.trace,
        "kind": run.kind,
        "label": run.label,
        "worker": run.worker,
        "queue": run.queue,
        "started": iso(run.started_ms),
        "ms": run.ms,
        "outcome": run.outcome,
        "error": run.error,
        "where": run.site,
        "traceback": run.traceback,
        "messages": run.messages,
    }
