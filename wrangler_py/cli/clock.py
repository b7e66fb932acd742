"""`wpy clock`: show and move the clock of a running session."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from wrangler_py.cli import output
from wrangler_py.cli.cron_common import moment
from wrangler_py.cli.groups import command_group
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import INTERRUPTED
from wrangler_py.cli.session_client import ASK_TIMEOUT_S, SessionClient, SessionOption, connect
from wrangler_py.cli.where import Where, on_state

app = command_group("Show and move the clock of a running session.")


_NEGATIVE = re.compile(r"-\.?\d")


def seconds_of(text: str, option: str = "SPAN") -> float:
    """A span such as "90s", "2h", "1h30m", "1.5d" or a plain number of seconds. Raises BadParameter."""
    from wrangler_py.session.times import MAX_ADVANCE_S, parse_span

    plain = text.strip().replace(" ", "")
    if plain.startswith("-"):
        raise typer.BadParameter(f"{text!r}: a clock goes ahead only.", param_hint=option)
    try:
        seconds = parse_span(plain)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if seconds > MAX_ADVANCE_S:
        raise typer.BadParameter(
            f"{text!r} is more than ten years. `wpy dev --clock virtual --now TIME` starts at any time.",
            param_hint=option,
        )
    return seconds


def _ask(
    name: str,
    arguments: dict[str, Any] | None,
    where: Where,
    session: str | None,
    as_json: bool,
    *,
    moves: bool = False,
) -> None:
    with output.errors_told(), connect(where, session) as client:
        try:
            state = client.call(name, arguments, timeout_s=None if moves else ASK_TIMEOUT_S)
        except KeyboardInterrupt:
            state = {**_stop(client), "stopped": True}
    if as_json:
        output.result_json(state)
    else:
        _print(state)
    if state.get("stopped"):
        raise typer.Exit(INTERRUPTED)


def _stop(client: SessionClient) -> dict[str, Any]:
    """Ctrl-C: end the move where it is."""
    with SessionClient(client.session) as other:
        state: dict[str, Any] = other.call("POST clock/stop")
        return state


def _print(state: dict[str, Any]) -> None:
    if state.get("stopped"):
        output.warning("The move was stopped on its way.")
    how = "stands still" if state["frozen"] else "runs"
    output.result(f"The clock {how} at {state['now']}{_ahead(state['aheadMs'])}.")
    if state["moving"]:
        output.result("It is being moved by another command.")
    if "fired" in state:
        output.result(f"Fired what was due at {state['fired']}." if state["fired"] else "There was nothing to fire.")
    if state.get("idle") is False:
        output.result("The limit was reached; there is more to come.")
    for queue, count in state.get("setBack", {}).items():
        output.result(
            f"{output.plural(count, 'message')} of queue {output.printable(queue)} came at times that the clock has not "
            "reached: brought back."
        )
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
@on_state()
def show(
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Show the clock, and when the next event is due."""
    _ask("GET clock", None, where, session, as_json)


@app.command()
@on_state()
def freeze(
    at: Annotated[
        str | None, typer.Argument(metavar="[AT]", help="Go on to this moment first (ISO 8601, UTC).")
    ] = None,
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Stand still: nothing fires from now on, or from AT on.

    Until the clock is moved or resumed. Stops a move that goes on.
    """
    arguments = {} if at is None else {"atMs": moment(at, "AT")}
    _ask("POST clock/freeze", arguments, where, session, as_json, moves=True)


class _AdvanceCommand(TyperCommand):
    """Takes -2h for a span, which gets a better answer than an unknown option would."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        negative = [arg for arg in args if _NEGATIVE.match(arg)]
        if negative and "--" not in args:
            args = [*(arg for arg in args if arg not in negative), "--", *negative]
        return super().parse_args(ctx, args)


@app.command(cls=_AdvanceCommand)
@on_state()
def advance(
    span: Annotated[str, typer.Argument(metavar="SPAN", help="How far: 30s, 10m, 2h, 1h30m, 7d.")],
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Move ahead, firing all that is due on the way.

    Each at its own time; waits for the handlers that it starts. Ctrl-C stops it where it is.
    """
    arguments = {"seconds": seconds_of(span)}
    _ask("POST clock/advance", arguments, where, session, as_json, moves=True)


@app.command("next")
@on_state()
def next_event(
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Move to the next event and fire it."""
    _ask("POST clock/next", None, where, session, as_json, moves=True)


@app.command("run-until-idle")
@on_state()
def run_until_idle(
    limit: Annotated[str | None, typer.Option("--limit", metavar="SPAN", help="Go no farther than this (15d).")] = None,
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Move on until no message waits for anything.

    Crons fire on the way. Goes no farther than --limit.
    """
    arguments = {} if limit is None else {"limitSeconds": seconds_of(limit, "--limit")}
    _ask("POST clock/run-until-idle", arguments, where, session, as_json, moves=True)


@app.command()
@on_state()
def resume(
    wall_time: Annotated[bool, typer.Option("--wall-time", help="Go back to the wall clock's time.")] = False,
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Run on from where the clock stands."""
    _ask("POST clock/resume", {"wallTime": wall_time}, where, session, as_json)
