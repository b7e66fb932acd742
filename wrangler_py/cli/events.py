"""`wpy events`: the record of what happened, out of one state folder and into another."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import Annotated

import typer

from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import CommandError, errors_told, plural, result, result_json
from wrangler_py.cli.session_client import SessionOption, needed_session
from wrangler_py.cli.tail import moment
from wrangler_py.cli.where import Where, on_state

app = command_group("The record of what happened: export it, import it, look at it elsewhere.")


@app.command("export")
@on_state()
def export_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; - for standard output.")] = Path("-"),
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Only what began since: 10m, 2h, or a time.")
    ] = None,
    *,
    where: Where,
) -> None:
    """Write the record as JSON lines: events, messages with their bodies, runs with their tracebacks.

    A colleague imports it into a state folder of his own and sees the same.
    """
    from wrangler_py.events.exchange import export_lines
    from wrangler_py.events.reading import open_record
    from wrangler_py.events.tables import Unusable

    with errors_told():
        since_ms = None if since is None else moment(since)
        folder = where.project().folder
        try:
            with open_record(folder) as connection:
                if connection is None:
                    raise CommandError(
                        f"Nothing is recorded in {folder} yet.\nRun `wpy dev`, or give --persist-to FOLDER."
                    )
                lines = export_lines(connection, since_ms)
                if str(file) == "-":
                    for line in lines:
                        result(line)
                    return
                with file.open("w", encoding="utf-8") as out:
                    count = sum(1 for line in lines if out.write(f"{line}\n")) - 1
        except OSError as problem:
            raise CommandError(f"{file} cannot be written: {problem.strerror}.") from problem
        except (sqlite3.Error, Unusable) as problem:
            raise CommandError(f"The record in {folder} cannot be read: {problem}.") from problem
        result(f"Wrote {plural(count, 'row')} to {file}.")


@app.command("import")
@on_state()
def import_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `wpy events export` has written; - for standard input.")
    ],
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Add an export to the record here, so that `wpy runs`, `wpy tail` and the dashboard show it. Nothing is sent or run.

    --json prints an object: event, message, run: how many of each came in.
    """
    from wrangler_py.events import tables
    from wrangler_py.events.exchange import NotAnExport, import_lines

    with errors_told():
        folder = where.project().folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            connection = tables.connect(folder / tables.FILE_NAME)
            try:
                if str(file) == "-":
                    counts = import_lines(connection, sys.stdin)
                else:
                    with file.open(encoding="utf-8") as lines:
                        counts = import_lines(connection, lines)
            finally:
                connection.close()
        except NotAnExport as problem:
            raise CommandError(f"{file} cannot be imported: {problem}.") from problem
        except UnicodeDecodeError as problem:
            raise CommandError(f"{file} cannot be imported: it is no UTF-8 text.") from problem
        except OSError as problem:
            raise CommandError(f"{file} cannot be read: {problem.strerror}.") from problem
        except (sqlite3.Error, tables.Unusable) as problem:
            raise CommandError(f"The record in {folder} cannot be written: {problem}.") from problem
        if as_json:
            result_json(counts)
        else:
            result(f"Imported {', '.join(plural(count, name) for name, count in counts.items())} into {folder}.")


@app.command("token")
@on_state()
def token(
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Print the token of the running session, for calls of its API that change something (header X-Wpy-Token)."""
    with errors_told():
        folder = where.project().folder
        result(needed_session(folder, session).token or "")
