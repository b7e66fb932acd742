"""`wpy cron trigger`, `pause`, `resume` and `history`: the crons of a running session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wrangler_py.cli import output
from wrangler_py.cli.cron_common import trigger_moment, utc
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import CommandError
from wrangler_py.cli.session_client import SessionClient, SessionOption, connect
from wrangler_py.cli.where import Where, on_state

if TYPE_CHECKING:
    from wrangler_py.cron.runs import RunRecord

#: Errors in the table of runs are cut at this width.
_ERROR_WIDTH = 60


@on_state()
def trigger(
    expression: Annotated[
        str | None,
        typer.Argument(metavar="[EXPR]", help="The expression that the handler is to see.", show_default=False),
    ] = None,
    run_all: Annotated[bool, typer.Option("--all", help="Every cron of the session, one after another.")] = False,
    worker: Annotated[str | None, typer.Option("--worker", metavar="NAME", help="Which Worker.")] = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--time", metavar="TIME", help="The scheduledTime: ISO 8601 (UTC) or milliseconds; now by default."
        ),
    ] = None,
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Run a cron now, and wait for it. Ends with 1 when the outcome is not ok."""
    if (expression is None) != run_all:
        raise typer.BadParameter("Give an expression, or --all, and not both.", param_hint="EXPR")
    time_ms = None if time is None else trigger_moment(time, "--time")
    runs: list[dict[str, Any]] = []
    with output.errors_told(), connect(where, session) as client:
        known = client.call("GET crons")
        targets = _every_cron(known, worker) if expression is None else [pick(known, expression, worker)]
        for name, cron in targets:
            run = client.call("POST crons/trigger", {"cron": cron, "worker": name, "timeMs": time_ms}, timeout_s=None)
            runs.append(run)
            if not as_json:
                _print_run(run, named=len(known["workers"]) > 1)
    if as_json:
        output.result_json(runs if run_all else runs[0])
    if any(run["outcome"] != "ok" for run in runs):
        raise typer.Exit(output.FAILED)


def _every_cron(known: dict[str, Any], worker: str | None) -> list[tuple[str, str]]:
    check_worker(known, worker)
    found = [(c["worker"], c["cron"]) for c in known["crons"] if worker in (None, c["worker"])]
    if not found:
        raise CommandError(
            'The session has no crons.\nAdd some to triggers.crons of the config, such as "*/5 * * * *".'
        )
    return found


def pick(known: dict[str, Any], expression: str, worker: str | None) -> tuple[str, str]:
    """The Worker that has this cron, and the cron. One that nobody has goes to the first Worker, with a warning."""
    check_worker(known, worker)
    having = [c["worker"] for c in known["crons"] if c["cron"] == expression and worker in (None, c["worker"])]
    if len(having) > 1:
        raise CommandError(
            f"Several Workers have the cron {output.printable(expression)}: {', '.join(having)}.\n"
            "Choose one with --worker NAME."
        )
    if having:
        return having[0], expression
    output.warning(f"{not_configured(known, expression)} It runs all the same, as by the trigger endpoints.")
    return worker or known["workers"][0], expression


def not_configured(known: dict[str, Any], expression: str) -> str:
    """That no cron of the session is written like this, and which one may have been meant."""
    from wrangler_py.cron.advice import nearest

    crons = list(dict.fromkeys(c["cron"] for c in known["crons"]))
    meant = nearest(expression, crons)
    near = f' The nearest one is "{output.printable(meant)}".' if meant is not None else ""
    return f'No cron of the session is written "{output.printable(expression)}".{near}'


def check_worker(known: dict[str, Any], worker: str | None) -> None:
    """Raise CommandError for a Worker that the session does not have."""
    if worker is not None and worker not in known["workers"]:
        raise CommandError(
            f'There is no Worker "{output.printable(worker)}" in the session. There are: {", ".join(known["workers"])}.'
        )


def _print_run(run: dict[str, Any], *, named: bool) -> None:
    name = f"[{run['worker']}] " if named else ""
    no_retry = ", noRetry" if run["noRetry"] else ""
    cron = output.printable(run["cron"]) or "(no expression)"
    output.result(f"{name}{cron}  {run['outcome']} ({run['durationMs']} ms{no_retry})")
    for line in run["logs"]:
        for text in line["text"].splitlines():
            output.result(f"  | {text}")
    if run["outcome"] != "ok" and run["error"]:
        output.error(run["error"].rstrip())


# Pausing --------------------------------------------------------------------------------------------------------------


@on_state()
def pause(
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Let the clock's ticks pass by, until `resume`.

    At the latest until the session's end. Runs by hand go on.
    """
    with output.errors_told(), connect(where, session) as client:
        state = client.call("POST crons/pause")
    _print_state(
        state, as_json, "Crons are paused: ticks pass by until `wpy cron resume`.", "Crons were paused already."
    )


@on_state()
def resume(
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Fire again from the next tick on.

    What passed by meanwhile does not come back.
    """
    with output.errors_told(), connect(where, session) as client:
        state = client.call("POST crons/resume")
    _print_state(state, as_json, "Crons fire again from the next tick on.", "Crons were not paused.")


def _print_state(state: dict[str, Any], as_json: bool, changed: str, unchanged: str) -> None:
    if as_json:
        output.result_json(state)
        return
    output.result(changed if state["changed"] else unchanged)
    if not state["on"]:
        output.warning("This session was started with --no-cron: its clock fires none in any case.")


# History ----------------------------------------------------------------------------------------------------------------


@on_state()
def history(
    count: Annotated[int, typer.Option("-n", metavar="NUMBER", min=1, max=1000, help="How many runs, at most.")] = 100,
    worker: Annotated[str | None, typer.Option("--worker", metavar="NAME", help="Those of one Worker.")] = None,
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Show the last runs, newest first.

    The last 100 of every Worker, as the dashboard's Cron Events. Needs no session.
    """
    with output.errors_told():
        runs = [run for run in _runs(where, session) if worker in (None, run["worker"])][:count]
    if as_json:
        output.result_json(runs)
        return
    if not runs:
        output.result("No cron has run here yet. `wpy cron trigger` runs one.")
        return
    rows = [
        [
            utc(run["scheduledTime"]),
            run["worker"],
            output.printable(run["cron"]) or "(no expression)",
            run["outcome"] + (" (noRetry)" if run["noRetry"] else ""),
            f"{run['durationMs']} ms",
            f"{run['start'] / 1000 - run['scheduledTime'] / 1000:+.1f} s"
            if run["trigger"] == "clock"
            else run["trigger"],
            _shortened(run["error"] or ""),
        ]
        for run in runs
    ]
    output.table(
        ["Scheduled (UTC)", "Worker", "Cron", "Outcome", "Took", "Started", "Error"],
        rows,
        optional=["Worker", "Took", "Started", "Error"],
    )


def _runs(where: Where, wanted: str | None) -> list[dict[str, Any]]:
    from wrangler_py.cli.session_client import running_session, running_sessions
    from wrangler_py.cli.state import reading
    from wrangler_py.cron.runs import RunTable

    folder = where.project().folder
    # Several sessions keep one history: any of them will do.
    found = running_session(folder, wanted) if wanted is not None else next(iter(running_sessions(folder)), None)
    if found is not None:
        with SessionClient(found) as client:
            runs: list[dict[str, Any]] = client.call("GET crons/history")["runs"]
            return runs
    with reading(folder) as store:
        records: list[RunRecord] = [] if store is None else RunTable(store).latest()
    return [record.as_json() for record in records]


def _shortened(text: str) -> str:
    # The last line of a traceback says what happened.
    lines = [line for line in text.splitlines() if line.strip()]
    line = output.printable(lines[-1].strip()) if lines else ""
    return line if len(line) <= _ERROR_WIDTH else line[: _ERROR_WIDTH - 1] + "…"
