"""`wpy clock`: show and move the clock of a running session."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from wrangler_py.cli import output
from wrangler_py.cli.output import CommandError
from wrangler_py.cli.session_client import call, need_session
from wrangler_py.cli.state import ConfigOption, EnvOption, PersistToOption, find_project

app = typer.Typer(
    help="Show and move the clock of a running session.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|[smhdw])", re.IGNORECASE)


def seconds_of(text: str) -> float:
    """A span such as "90s", "2h", "1h30m", "1.5d" or a plain number of seconds. Raises CommandError."""
    plain = text.strip().replace(" ", "")
    parts = _PART.findall(plain)
    if parts and "".join(number + unit for number, unit in parts) == plain:
        return float(sum(float(number) * _UNITS[unit.lower()] for number, unit in parts))
    try:
        seconds = float(plain)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise CommandError(f'"{text}" is not a span of time.\nWrite it like 30s, 10m, 2h, 1h30m or 7d.')
    return seconds


def moment_of(text: str) -> int:
    """An ISO 8601 moment (UTC without an offset) in epoch milliseconds. Raises CommandError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f'"{text}" is not a time.\nWrite it like 2026-03-01T09:30:00Z.') from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _ask(
    name: str,
    arguments: dict[str, Any] | None,
    config: Any,
    env: str | None,
    persist_to: Any,
    as_json: bool,
) -> None:
    session = need_session(find_project(config, env, persist_to).folder)
    state = call(session, name, arguments)
    if as_json:
        output.result_json(state)
        return
    how = "stands still" if state["frozen"] else "runs"
    output.result(f"The clock {how} at {state['now']}{_ahead(state['aheadMs'])}.")
    if "fired" in state:
        output.result(f"Fired what was due at {state['fired']}." if state["fired"] else "Nothing is planned.")
    if state.get("idle") is False:
        output.result("There is still something planned beyond the limit.")
    if state["next"] is not None:
        span = output.duration((state["nextMs"] - state["nowMs"]) / 1000)
        output.result(f"Next event: {state['next']} (in {span}).")
    else:
        output.result("Nothing is planned.")


def _ahead(ms: int) -> str:
    if abs(ms) < 1_000:
        return ""
    return f" ({output.duration(abs(ms) / 1000)} {'ahead of' if ms > 0 else 'behind'} the wall clock)"


@app.command()
def show(
    as_json: JsonOption = False, config: ConfigOption = None, env: EnvOption = None, persist_to: PersistToOption = None
) -> None:
    """What the clock shows, and when the next event is due."""
    with output.errors_told():
        _ask("GET clock", None, config, env, persist_to, as_json)


@app.command()
def freeze(
    at: Annotated[
        str | None, typer.Argument(metavar="[AT]", help="Go on to this moment first (ISO 8601, UTC).")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    env: EnvOption = None,
    persist_to: PersistToOption = None,
) -> None:
    """Stand still: nothing fires until the clock is moved or resumed."""
    with output.errors_told():
        arguments = {} if at is None else {"atMs": moment_of(at)}
        _ask("POST clock/freeze", arguments, config, env, persist_to, as_json)


@app.command()
def advance(
    span: Annotated[str, typer.Argument(help="How far: 30s, 10m, 2h, 1h30m, 7d.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
    env: EnvOption = None,
    persist_to: PersistToOption = None,
) -> None:
    """Move ahead, firing all that is due on the way, each at its own time, and wait for the handlers."""
    with output.errors_told():
        _ask("POST clock/advance", {"seconds": seconds_of(span)}, config, env, persist_to, as_json)


@app.command("next")
def next_event(
    as_json: JsonOption = False, config: ConfigOption = None, env: EnvOption = None, persist_to: PersistToOption = None
) -> None:
    """Move to the next event and fire it."""
    with output.errors_told():
        _ask("POST clock/next", None, config, env, persist_to, as_json)


@app.command("run-until-idle")
def run_until_idle(
    limit: Annotated[str | None, typer.Option("--limit", metavar="SPAN", help="Go no farther than this (15d).")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    env: EnvOption = None,
    persist_to: PersistToOption = None,
) -> None:
    """Move on until no message waits for anything; crons fire on the way."""
    with output.errors_told():
        arguments = {} if limit is None else {"limitSeconds": seconds_of(limit)}
        _ask("POST clock/run-until-idle", arguments, config, env, persist_to, as_json)


@app.command()
def resume(
    wall_time: Annotated[bool, typer.Option("--wall-time", help="Go back to the wall clock's time.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    env: EnvOption = None,
    persist_to: PersistToOption = None,
) -> None:
    """Run on from where the clock stands."""
    with output.errors_told():
        _ask("POST clock/resume", {"wallTime": wall_time}, config, env, persist_to, as_json)
