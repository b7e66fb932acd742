"""`wpy state`: save, load, compare and reset everything that is stored."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import CommandError, errors_told, hint, plural, result, result_json, table
from wrangler_py.cli.where import Where, on_state
from wrangler_py.session.times import iso

if TYPE_CHECKING:
    from wrangler_py.session.snapshots import Saved

app = command_group("Save, load, compare and reset everything that is stored: queues, bindings, what the clock shows.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of a saved state.")]


@app.command()
@on_state()
def save(
    name: NameArgument,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Keep the present state under a name; one of that name is replaced."""
    from wrangler_py.session import snapshots

    with errors_told():
        state = where.project().folder
        snapshots.refuse_running(state, "saved")
        saved = snapshots.save(state, snapshots.saved_folder(state) / snapshots.check_name(name), _now_ms())
        if as_json:
            result_json(_as_json(saved))
        else:
            result(f'Saved as "{name}" ({_size(saved.size)}). Its clock shows {iso(saved.clock_ms)}.')


@app.command()
@on_state()
def load(
    name: NameArgument,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Put a saved state in the place of the present one, which is gone then."""
    from wrangler_py.session import snapshots

    with errors_told():
        state = where.project().folder
        snapshots.refuse_running(state, "loaded")
        saved = snapshots.load(_find(state, name), state)
        if as_json:
            result_json(_as_json(saved))
        else:
            result(f'Loaded "{name}". To go on at its time: wpy dev --now {iso(saved.clock_ms)}')


@app.command()
@on_state()
def diff(
    name: NameArgument,
    other: Annotated[str | None, typer.Argument(metavar="OTHER", help="Another one (the present state).")] = None,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """How a saved state differs from the present one, or from another: rows that are gone, rows that are new."""
    from wrangler_py.session import snapshots

    with errors_told():
        state = where.project().folder
        second = state if other is None else _find(state, other)
        found = snapshots.diff(_find(state, name), second)
        if as_json:
            result_json([{"place": one.place, "removed": one.removed, "added": one.added} for one in found])
        elif found:
            table(("PLACE", "GONE", "NEW"), [(one.place, str(one.removed), str(one.added)) for one in found])
        else:
            result("They are the same.")


@app.command()
@on_state()
def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Delete everything that is stored: messages, values, databases, objects. Saved states stay."""
    from wrangler_py.session import snapshots

    with errors_told():
        state = where.project().folder
        snapshots.refuse_running(state, "deleted")
        if not yes:
            if not sys.stdin.isatty():
                raise CommandError(f"This deletes everything in {state}. Say --yes to mean it.")
            if not typer.confirm(f"Delete everything in {state}?", err=True):
                raise CommandError("Nothing was deleted.")
        there = state.exists()
        snapshots.reset(state)
        if as_json:
            result_json({"folder": str(state), "deleted": there})
        else:
            result(f"Deleted everything in {state}." if there else f"There was nothing in {state}.")


@app.command("list")
@on_state()
def list_saved(
    as_json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """The saved states, oldest first."""
    from wrangler_py.session import snapshots

    with errors_told():
        state = where.project().folder
        found = snapshots.all_saved(snapshots.saved_folder(state))
        if as_json:
            result_json([_as_json(saved) for saved in found])
        elif found:
            rows = [(one.name, iso(one.saved_ms), iso(one.clock_ms), _size(one.size)) for one in found]
            table(("NAME", "SAVED", "CLOCK", "SIZE"), rows)
        else:
            result("No saved states. Make one: wpy state save NAME")


def _find(state: Path, name: str) -> Path:
    from wrangler_py.session import snapshots

    folder = snapshots.saved_folder(state) / snapshots.check_name(name)
    if not (folder / snapshots.NOTE).is_file():
        names = [saved.name for saved in snapshots.all_saved(snapshots.saved_folder(state))]
        if names:
            hint(f"There are: {', '.join(names)}")
        raise CommandError(f'There is no saved state "{name}" ({plural(len(names), "state")} saved here).')
    return folder


def _as_json(saved: Saved) -> dict[str, Any]:
    return {
        "name": saved.name,
        "folder": str(saved.folder),
        "saved": iso(saved.saved_ms),
        "clock": iso(saved.clock_ms),
        "size": saved.size,
    }


def _size(count: int) -> str:
    return f"{count / 1024:,.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):,.1f} MiB"


def _now_ms() -> int:
    from wrangler_py.clock import SystemClock

    return SystemClock().now_ms()
