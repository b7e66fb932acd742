"""`wpy d1 migrations`: the .sql files of a project, applied one after the other and remembered in the database."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wrangler_py.cli import storage_common as common
from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import CommandError, printable, result, result_json, table
from wrangler_py.cli.where import Where, on_state

if TYPE_CHECKING:
    from wrangler_py.bindings.d1 import D1Database
    from wrangler_py.config.binding_types import D1Database as D1Config
    from wrangler_py.config.model import WorkerConfig

app = command_group("Create, list and apply migrations.")

DatabaseArgument = Annotated[str, typer.Argument(metavar="DATABASE", help="The name or binding of the database.")]

#: wrangler's table. The name is the config's `migrations_table`.
_TABLE = """CREATE TABLE IF NOT EXISTS {table}(
\t\tid         INTEGER PRIMARY KEY AUTOINCREMENT,
\t\tname       TEXT UNIQUE,
\t\tapplied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
)"""


@app.command()
@on_state()
def create(
    database: DatabaseArgument,
    message: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="What the migration does; part of the file's name.")
    ],
    *,
    where: Where,
) -> None:
    """Create an empty migration with the next number."""
    from wrangler_py.cli.d1 import chosen
    from wrangler_py.clock import SystemClock

    with common.told():
        worker, d1 = chosen(where.project(), database)
        name = re.sub(r'[\s/\\:*?"<>|\x00]+', "_", message.strip()).strip("_")
        if not name:
            raise CommandError("The message names the file: give it a letter or a digit at least.")
        folder = _folder(worker, d1)
        numbers = [int(found[0]) for file in _files(folder) if (found := re.match(r"\d+", file))]
        number = f"{max(numbers, default=0) + 1:04d}"
        path = folder / f"{number}_{name}.sql"
        now = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)
        folder.mkdir(parents=True, exist_ok=True)
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
        path.write_text(f"-- Migration number: {number} \t {stamp}\n", encoding="utf-8")
        result(f"Successfully created Migration '{path.name}'!\n\nThe migration is available for editing here\n{path}")


@app.command("list")
@on_state(local=True, preview=True)
def list_migrations(
    database: DatabaseArgument,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the migrations that are not applied yet."""
    from wrangler_py.cli.d1 import chosen, opened

    with common.told():
        project = where.project()
        worker, d1 = chosen(project, database)
        with opened(project, d1) as open_database:
            pending = _pending(worker, d1, open_database)
        if as_json:
            result_json([{"name": name} for name in pending])
        elif pending:
            result("Migrations to be applied:")
            table(("NAME",), [(printable(name),) for name in pending])
        else:
            result("No migrations to apply!")


@app.command("apply")
@on_state(local=True, preview=True)
def apply_migrations(
    database: DatabaseArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accepted; there is nothing to confirm.")] = False,
    *,
    where: Where,
) -> None:
    """Apply what is not applied yet, in order. One that fails changes nothing, and the ones after it wait."""
    from wrangler_py.bindings.d1 import D1Error
    from wrangler_py.cli.d1 import chosen, opened

    with common.told():
        project = where.project()
        worker, d1 = chosen(project, database)
        folder = _folder(worker, d1)
        with opened(project, d1) as open_database:
            pending = _pending(worker, d1, open_database)
            if not pending:
                result("No migrations to apply!")
                return
            remember = f"INSERT INTO {_quoted(d1.migrations_table)} (name) VALUES (?)"
            for name in pending:
                sql = _text(folder / name)
                try:
                    open_database.execute_script(sql, (remember, (name,)))
                except D1Error as error:
                    raise CommandError(
                        f"Migration {printable(name)} failed with the following errors:\n{error}\n"
                        "It was rolled back; those before it stay applied."
                    ) from error
                result(f"✅ {printable(name)}")


def _pending(worker: WorkerConfig, d1: D1Config, database: D1Database) -> list[str]:
    """The names of files that are not applied, in order. Raises CommandError."""
    folder = _folder(worker, d1)
    if not folder.is_dir():
        raise CommandError(
            f"No migrations present at {folder}.\n"
            f"Create one with `wpy d1 migrations create {d1.database_name} MESSAGE`, or name the folder in "
            '"migrations_dir".'
        )
    table_name = _quoted(d1.migrations_table)
    database.query([(_TABLE.format(table=table_name), ())])
    [applied] = database.query([(f"SELECT name FROM {table_name} ORDER BY id", ())])
    done = {row[0] for row in applied.rows}
    return [name for name in _files(folder) if name not in done]


def waiting(worker: WorkerConfig, d1: D1Config, database: D1Database) -> list[str]:
    """The names of files that are not applied, in order; changes nothing."""
    tables = {name for (name,) in database.read("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    applied = f"SELECT name FROM {_quoted(d1.migrations_table)}"
    done = {name for (name,) in database.read(applied)} if d1.migrations_table in tables else set()
    return [name for name in _files(_folder(worker, d1)) if name not in done]


def _folder(worker: WorkerConfig, d1: D1Config) -> Path:
    return (worker.root / d1.migrations_dir).absolute()


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.sql")) if folder.is_dir() else []


def _text(path: Path) -> str:
    try:
        return common.read_file(path, "the migration").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f'"{path}" is no SQL text: byte {error.start} is not UTF-8.') from error


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else '"' + name.replace('"', '""') + '"'
