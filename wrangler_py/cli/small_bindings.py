"""`wpy analytics-engine` and `wpy secrets-store`: what those bindings have written, and may read."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from wrangler_py.cli.cron_common import iso
from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import CommandError, errors_told, plural, result, result_json, table
from wrangler_py.cli.where import Where, on_state

if TYPE_CHECKING:
    from wrangler_py.bindings.small_state import SmallState

analytics = command_group("What Workers have written with writeDataPoint().")
secrets_store = command_group("The local Secrets Store.")
secret = command_group("Secrets of a store: create, list, get, delete.")
secrets_store.add_typer(secret, name="secret")

NameOption = Annotated[
    str, typer.Option("--name", metavar="NAME", help="The secret's name (`secret_name` in the config).")
]
StoreArgument = Annotated[str, typer.Argument(metavar="STORE_ID", help="The store (`store_id` in the config).")]


@contextmanager
def _state(where: Where) -> Iterator[SmallState]:
    from wrangler_py.bindings.small_state import SmallState

    with errors_told():
        state = SmallState(where.project().folder)
        try:
            yield state
        except (sqlite3.Error, OSError) as problem:
            raise CommandError(f"{state.path} cannot be used: {problem}") from problem
        finally:
            state.close()


@analytics.command()
@on_state()
def datasets(
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the datasets that have points."""
    with _state(where) as state:
        found = state.datasets()
        if as_json:
            result_json([{"dataset": name, "points": count} for name, count in found])
        elif found:
            table(("DATASET", "POINTS"), [(name, str(count)) for name, count in found])
        else:
            result("No data points yet.")


@analytics.command()
@on_state()
def points(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset (`dataset` in the config).")],
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="NUMBER", min=1, help="How many of the newest points.")
    ] = 50,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Show the newest points of a dataset, oldest first."""
    with _state(where) as state:
        found = state.points(dataset, limit)
        if as_json:
            result_json(
                [
                    {
                        "timestamp": iso(point.timestamp_ms),
                        "worker": point.worker,
                        "index": point.index,
                        "blobs": point.blobs,
                        "doubles": point.doubles,
                    }
                    for point in found
                ]
            )
        elif found:
            rows = [
                (
                    iso(point.timestamp_ms) or "",
                    point.worker,
                    point.index or "",
                    ", ".join(blob or "" for blob in point.blobs),
                    ", ".join(f"{number:g}" for number in point.doubles),
                )
                for point in found
            ]
            table(("TIME", "WORKER", "INDEX", "BLOBS", "DOUBLES"), rows)
        else:
            result(f'The dataset "{dataset}" has no points.')


@secret.command()
@on_state()
def create(
    store_id: StoreArgument,
    name: NameOption,
    value: Annotated[
        str | None, typer.Option("--value", help="The secret; left out, it is read from standard input.")
    ] = None,
    *,
    where: Where,
) -> None:
    """Create a secret, or give it another value."""
    with _state(where) as state:
        if value is None:
            value = typer.prompt("Secret", hide_input=True) if sys.stdin.isatty() else sys.stdin.read().rstrip("\n")
        if not value:
            raise CommandError("A secret cannot be empty. Give it with --value, or on standard input.")
        state.put_secret(store_id, name, value, time.time_ns() // 1_000_000)
        result(f'The secret "{name}" is in the store "{store_id}".')


@secret.command("list")
@on_state()
def list_secrets(
    store_id: StoreArgument,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """List the secrets of a store, without their values."""
    with _state(where) as state:
        found = state.secrets(store_id)
        if as_json:
            result_json([{"name": one.name, "id": one.id, "created": iso(one.created_ms)} for one in found])
        elif found:
            table(("NAME", "ID", "CREATED"), [(one.name, one.id, iso(one.created_ms) or "") for one in found])
        else:
            result(f'The store "{store_id}" has no secrets.')


@secret.command()
@on_state()
def get(
    store_id: StoreArgument,
    name: NameOption,
    *,
    where: Where,
) -> None:
    """Print a secret's value."""
    with _state(where) as state:
        value = state.secret(store_id, name)
        if value is None:
            raise CommandError(_missing(state, store_id, name))
        result(value)


@secret.command()
@on_state()
def delete(
    store_id: StoreArgument,
    name: NameOption,
    *,
    where: Where,
) -> None:
    """Delete a secret."""
    with _state(where) as state:
        if not state.delete_secret(store_id, name):
            raise CommandError(_missing(state, store_id, name))
        result(f'The secret "{name}" is deleted.')


def _missing(state: SmallState, store_id: str, name: str) -> str:
    names = [one.name for one in state.secrets(store_id)]
    has = f"It has {plural(len(names), 'secret')}: {', '.join(names)}." if names else "It has none."
    return f'The store "{store_id}" has no secret "{name}". {has}'
