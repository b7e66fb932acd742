"""`wpy d1`: the local D1 databases, in wrangler's words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wrangler_py.cli import storage_common as common
from wrangler_py.cli import storage_resources as resources
from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import FAILED, CommandError, hint, plural, printable, result, result_json, table
from wrangler_py.cli.where import Where, on_state
from wrangler_py.config import snippets

if TYPE_CHECKING:
    from wrangler_py.bindings.d1 import D1Database, D1Result
    from wrangler_py.cli.state import Project
    from wrangler_py.config.binding_types import D1Database as D1Config
    from wrangler_py.config.model import WorkerConfig

app = command_group("Manage local D1 databases.")

DatabaseArgument = Annotated[str, typer.Argument(metavar="DATABASE", help="The name or binding of the database.")]


def chosen(project: Project, name: str) -> tuple[WorkerConfig, D1Config]:
    """The database of this name or binding, and the Worker that has it. Raises CommandError."""
    found = [(worker, d1) for worker in project.workers for d1 in worker.d1_databases]
    for match in ("binding", "database_name", "database_id"):
        for worker, d1 in found:
            if getattr(d1, match) == name:
                return worker, d1
    file = project.config_file.name if project.config_file is not None else "config"
    there = (
        d1.database_name if d1.database_name == d1.binding else f"{d1.database_name} ({d1.binding})" for _, d1 in found
    )
    new = snippets.entry(project.config_file, "d1_databases", binding="NAME", database_name=name, database_id="ID")
    raise CommandError(
        f"Couldn't find a D1 DB with the name or binding '{printable(name)}' in your {file} file.\n"
        f"{common.there_are(there, new)}"
    )


@contextmanager
def opened(project: Project, d1: D1Config) -> Iterator[D1Database]:
    """The database. Raises CommandError for what it refuses."""
    from wrangler_py.bindings.d1 import D1Error
    from wrangler_py.bindings.files import d1_path
    from wrangler_py.bindings.storage import open_d1

    with common.told(d1_path(project.folder, d1.database_id)):
        common.make_folder(project)
        database = open_d1(project.folder, d1.database_id)
        try:
            yield database
        except D1Error as error:
            raise CommandError(str(error)) from error
        finally:
            database.close()


@app.command()
@on_state(local=True, preview=True)
def execute(
    database: DatabaseArgument,
    command: Annotated[
        str | None,
        typer.Option("--command", metavar="SQL", help="The SQL to run; several statements with ';' between."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help="A .sql file to run.")] = None,
    as_json: JsonOption = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accepted; there is nothing to confirm.")] = False,
    *,
    where: Where,
) -> None:
    """Run SQL, all of it in one transaction, and print what it gives."""
    with common.told():
        if (command is None) == (file is None):
            raise CommandError("Error: must provide --command or --file." + (" Not both." if command else ""))
        sql = command if command is not None else _sql_of(file)
        project = where.project()
        worker, d1 = chosen(project, database)
        with opened(project, d1) as open_database:
            results = _run(open_database, sql, lambda: _waiting_migrations(worker, d1, open_database), as_json=as_json)
        if as_json:
            result_json([{"results": _objects(one), "success": True, "meta": one.meta} for one in results])
            return
        hint(f"{plural(len(results), 'command')} executed successfully.")
        for one in results:
            _print_rows(one)


def _run(database: D1Database, sql: str, waiting: Callable[[], str], *, as_json: bool) -> list[D1Result]:
    """`waiting`: what to say of migrations to whoever asks for a table that is not there."""
    from wrangler_py.bindings.d1 import D1Error

    try:
        return database.execute_script(sql)
    except D1Error as error:
        advice = waiting() if "no such table" in str(error) else ""
        if not as_json:
            raise CommandError(f"{error}{advice}") from error
        if advice:
            hint(advice.strip())
        result_json({"error": {"text": str(error)}})  # as wrangler does
        raise typer.Exit(FAILED) from error


def _waiting_migrations(worker: WorkerConfig, d1: D1Config, database: D1Database) -> str:
    """A line that the database lacks migrations, or nothing."""
    waiting = d1_migrations.waiting(worker, d1, database)
    if not waiting:
        return ""
    return (
        f"\n{plural(len(waiting), 'migration')} of it {'waits' if len(waiting) == 1 else 'wait'} to be applied: "
        f"wpy d1 migrations apply {printable(d1.database_name)}"
    )


def _objects(one: D1Result) -> list[dict[str, Any]]:
    return [
        {name: list(value) if isinstance(value, bytes) else value for name, value in row.items()}
        for row in one.objects()
    ]


def _print_rows(one: D1Result) -> None:
    if one.columns:
        cells = [[_cell(value) for value in row] for row in one.rows]
        table([printable(name) for name in one.columns], cells)


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return json.dumps(list(value))
    return printable(str(value))


def _sql_of(file: Path | None) -> str:
    if file is None:
        raise AssertionError("the caller has looked")
    try:
        return common.read_file(file, "SQL text file").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f'"{file}" is no SQL text: byte {error.start} is not UTF-8.') from error


@app.command()
@on_state(local=True)
def export(
    database: DatabaseArgument,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The .sql file to write.")],
    tables: Annotated[
        list[str] | None, typer.Option("--table", metavar="NAME", help="Only this table; several times for more.")
    ] = None,
    no_schema: Annotated[bool, typer.Option("--no-schema", help="Only what is in the tables.")] = False,
    no_data: Annotated[bool, typer.Option("--no-data", help="Only the schema.")] = False,
    skip: Annotated[
        bool, typer.Option("--skip-confirmation", "-y", help="Accepted; there is nothing to confirm.")
    ] = False,
    *,
    where: Where,
) -> None:
    """Write the database as SQL."""
    from wrangler_py.bindings.d1_export import export_sql

    with common.told():
        if no_schema and no_data:
            raise CommandError("--no-schema and --no-data together leave nothing to export.")
        project = where.project()
        _, d1 = chosen(project, database)
        with opened(project, d1) as open_database:
            known = {str(name) for (name,) in open_database.read("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            for name in tables or ():
                if name not in known:
                    raise CommandError(
                        f'There is no table "{printable(name)}". There are: {common.names(sorted(known))}.'
                    )
            lines = export_sql(open_database, tables=tables or (), schema=not no_schema, data=not no_data)
            # Beside its place first: an export that stops half way must not look like a whole one.
            unfinished = output.with_name(output.name + ".part")
            try:
                with unfinished.open("w", encoding="utf-8", newline="\n") as file:
                    file.writelines(line + "\n" for line in lines)
                unfinished.replace(output)
            finally:
                unfinished.unlink(missing_ok=True)
        result(f"Exported {d1.database_name} ({d1.binding}) to {output}.")


@app.command("list")
@on_state()
def list_databases(
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the databases of the config."""
    with common.told():
        project = where.project()
        found = [_described(project, worker, d1) for worker in project.workers for d1 in worker.d1_databases]
        if as_json:
            result_json(found)
        elif found:
            header = ("NAME", "BINDING", "UUID", "TABLES", "SIZE", "WORKER")
            table(header, [[str(one[key]) for key in _DESCRIBED] for one in found])
        else:
            result('No databases: the config has no "d1_databases".')


@app.command()
@on_state()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the new database.")],
    binding: resources.NewBindingOption = None,
    location: resources.LocationOption = None,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Print what the config needs for a new database."""
    from wrangler_py.cli.queues_texts import binding_name

    with common.told():
        project = where.project()
        if any(d1.database_name == name for worker in project.workers for d1 in worker.d1_databases):
            raise CommandError(f"A database with that name already exists: '{printable(name)}' stands in the config.")
        entry = {
            "binding": binding or binding_name(name),
            "database_name": name,
            "database_id": resources.new_database_id(),
        }
        resources.created(project, "d1_databases", entry, "D1 Database", f"d1 create {name}", as_json=as_json)


@app.command()
@on_state()
def delete(
    database: DatabaseArgument,
    skip_confirmation: resources.SkipOption = False,
    *,
    where: Where,
) -> None:
    """Delete a database's tables, all of them."""
    from wrangler_py.bindings.files import d1_path

    with common.told():
        project = where.project()
        _, d1 = chosen(project, database)
        resources.confirmed(f"About to delete DB '{d1.database_name}'. Ok to proceed?", skip=skip_confirmation)
        there = resources.delete_files(project, d1_path(project.folder, d1.database_id))
        name = printable(d1.database_name)
        result(f"Deleted '{name}' successfully." if there else f"'{name}' held nothing.")


_DESCRIBED = ("name", "binding", "uuid", "num_tables", "database_size", "worker")


@app.command()
@on_state()
def info(
    database: DatabaseArgument,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Show where a database stands, its size and its number of tables."""
    with common.told():
        project = where.project()
        described = _described(project, *chosen(project, database))
        if as_json:
            result_json(described)
        else:
            table(("", ""), [(key, str(value)) for key, value in described.items()])


def _described(project: Project, worker: WorkerConfig, d1: D1Config) -> dict[str, Any]:
    from wrangler_py.bindings.files import d1_path

    path = d1_path(project.folder, d1.database_id)
    tables = size = 0
    if path.exists():
        with opened(project, d1) as database:
            counted = (
                "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
            )
            [(tables,)] = database.read(counted)
            size = database.size()
    return {
        "name": d1.database_name,
        "binding": d1.binding,
        "uuid": d1.database_id,
        "num_tables": tables,
        "database_size": size,
        "worker": worker.name,
        "path": str(path),
    }


from wrangler_py.cli import d1_migrations  # noqa: E402 - it uses what is above

app.add_typer(d1_migrations.app, name="migrations")
