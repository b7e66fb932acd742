"""`wpy cron next`, `check` and `list`: what cron expressions mean and when they fire, without a session."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from wrangler_py.cli import output
from wrangler_py.cli.cron_common import differ, iso, local, moment, utc, zone
from wrangler_py.cli.options import ConfigOption, EnvOption, JsonOption
from wrangler_py.cli.session_client import SessionOption
from wrangler_py.cli.where import Where, on_state
from wrangler_py.config import snippets

if TYPE_CHECKING:
    from wrangler_py.config.model import SessionConfig
    from wrangler_py.cron.advice import Advice
    from wrangler_py.cron.expression import CronExpression, Dialect
    from wrangler_py.cron.runs import RunRecord

_MAX_FIRES = 10_000

DialectOption = Annotated[
    str,
    typer.Option(
        "--dialect",
        "--cron-dialect",
        metavar="intended|published",
        help="How to read FRI-MON: as meant, or bit for bit as Cloudflare's published parser does.",
    ),
]


def next_fires(
    expression: Annotated[
        str | None,
        typer.Argument(
            metavar="[EXPR|-]",
            help="A cron expression; the config's crons without it; - reads JSON lines.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option("-n", metavar="NUMBER", min=1, max=_MAX_FIRES, help="How many runs.")] = 5,
    after: Annotated[
        str | None, typer.Option("--after", metavar="TIME", help="ISO 8601, UTC without an offset; now by default.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    env: EnvOption = None,
    dialect: DialectOption = "intended",
) -> None:
    """Show the next runs of an expression.

    In UTC and local time, with what it says in words. `wpy cron next -` answers JSON lines {"expr", "after", "n"} from standard input, one line each.
    """
    chosen = _dialect(dialect)
    after_ms = _now_ms() if after is None else moment(after, "--after")
    if expression == "-":
        _answer_lines(after_ms, count, chosen)
        return
    with output.errors_told():
        asked = [(None, expression)] if expression is not None else _config_crons(config, env)
    found: list[dict[str, Any]] = []
    refused = False
    for worker, source in asked:
        parsed = _parse(source, chosen, told=not as_json)
        refused |= isinstance(parsed, dict)
        if isinstance(parsed, dict):
            found.append(parsed if worker is None else {"worker": worker, **parsed})
        elif as_json:
            found.append(_described(worker, parsed, after_ms, count))
        else:
            _print_next(worker, parsed, after_ms, count)
    if as_json:
        output.result_json(found[0] if expression is not None else found)
    if refused:
        raise typer.Exit(output.FAILED)


def check(
    expressions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXPR]...", help="Cron expressions; the config's without any.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    env: EnvOption = None,
    plan: Annotated[
        str, typer.Option("--plan", metavar="free|paid", help="Whose number of triggers to check against.")
    ] = "free",
    dialect: DialectOption = "intended",
) -> None:
    """Say what Cloudflare would refuse on deploy.

    Ends with 1 if there is anything; warns of what was probably not meant.
    """
    from wrangler_py.cron.advice import accept, advise, advise_count
    from wrangler_py.cron.questions import refusal
    from wrangler_py.cron.words import describe

    chosen = _dialect(dialect)
    limits: Literal["free", "paid"] = "paid" if plan == "paid" else "free"
    if plan not in ("free", "paid"):
        raise typer.BadParameter(f'"{plan}" is not one of free, paid', param_hint="--plan")
    with output.errors_told():
        asked = [(None, text) for text in expressions] if expressions else _config_crons(config, env)
    found: list[dict[str, Any]] = []
    refused = False
    for worker in dict.fromkeys(worker for worker, _ in asked):
        accepted, problems = accept((text for owner, text in asked if owner == worker), chosen)
        for expression in accepted:
            warnings = advise(expression)
            words = describe(expression)
            found.append(_entry(worker, expression, words=words, warnings=[_plain(one) for one in warnings]))
            if not as_json:
                output.result(f"{_label(worker)}{output.printable(expression.source)}  {words}")
                _warn(expression.source, warnings)
        for problem in problems:
            refused = True
            if problem.error is not None:
                answer = refusal(problem.error)
                told = problem.error.pretty()
            else:
                answer = {"expr": problem.expression, "ok": False, "error": problem.text, "code": problem.code}
                told = output.printable(str(problem))
            found.append(answer if worker is None else {"worker": worker, **answer})
            if not as_json:
                output.error(_label(worker) + told)
    if as_json:
        output.result_json(found)
    elif not expressions:
        _warn(None, advise_count(len(asked), limits))
    if refused:
        raise typer.Exit(output.FAILED)


@on_state()
def list_crons(
    as_json: JsonOption = False,
    session: SessionOption = None,
    dialect: DialectOption = "intended",
    *,
    where: Where,
) -> None:
    """Show the config's crons, their next and last runs.

    In words, in UTC and local time. Where a session runs, "next" goes by its clock.
    """
    from wrangler_py.cron.schedule import QuickSchedule
    from wrangler_py.cron.words import describe

    chosen = _dialect(dialect)
    with output.errors_told():
        project = _session(where.config, where.env)
        crons = [(worker.name, text) for worker in project.workers for text in worker.crons]
        folder = where.project().folder
        last_runs = _last_runs(folder, crons)
        running = _running(folder, session)
    now_ms = running["nowMs"] if running is not None else _now_ms()
    found: list[dict[str, Any]] = []
    rows: list[list[str]] = []
    nexts: list[int | None] = []
    for worker, source in crons:
        parsed = _parse(source, chosen, told=not as_json)
        last = last_runs.get((worker, source))
        last_run = last.as_json() if last is not None else None
        shown_last = f"{utc(last.scheduled_ms)} {last.outcome}" if last is not None else "-"
        if isinstance(parsed, dict):
            found.append({"worker": worker, **parsed, "lastRun": last_run})
            rows.append([worker, output.printable(source), "refused by Cloudflare", "-", shown_last, "-"])
            continue
        next_ms = QuickSchedule(parsed).next_after(now_ms)
        words = describe(parsed)
        found.append(_entry(worker, parsed, words=words, next=iso(next_ms), lastRun=last_run))
        nexts.append(next_ms)
        rows.append([worker, output.printable(source), words, utc(next_ms), shown_last, local(next_ms)])
    if as_json:
        output.result_json(found)
    elif not rows:
        output.result(f"The config has no crons. Add {snippets.crons(project.workers[0].path)}.")
    else:
        header = ["Worker", "Cron", "Meaning", "Next (UTC)", "Last run (UTC)", f"Next ({zone(now_ms)})"]
        shown = len(header) if differ(nexts) else len(header) - 1
        output.table(
            header[:shown], [row[:shown] for row in rows], optional=["Worker", "Last run (UTC)", "Meaning", header[-1]]
        )
        _warn_of_session(running)


def _warn_of_session(running: dict[str, Any] | None) -> None:
    if running is None:
        return
    if not running["on"]:
        output.warning("The session was started with --no-cron: its clock fires none of them.")
    elif running["paused"]:
        output.warning("Crons are paused in the session: ticks pass by until `wpy cron resume`.")


# --- parts ------------------------------------------------------------------------------------------------------------


def _answer_lines(now_ms: int, count: int, dialect: Dialect) -> None:
    """Answer standard input line by line; each answer is written out at once, for whoever waits for it."""
    import os

    from wrangler_py.cron.questions import answer

    out = sys.stdout.buffer
    try:
        for line in sys.stdin.buffer:
            out.write(answer(line, now_ms, count, dialect) + b"\n")
            out.flush()
    except BrokenPipeError:
        # The reader has gone. What Python flushes at its end must not complain about it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(source: str, dialect: Dialect, *, told: bool) -> CronExpression | dict[str, Any]:
    """The expression, or its refusal as JSON; `told` prints the refusal."""
    from wrangler_py.cron.expression import CronSyntaxError, parse
    from wrangler_py.cron.questions import refusal

    try:
        return parse(source, dialect)
    except CronSyntaxError as error:
        if told:
            output.error(error.pretty())
        return refusal(error)


def _print_next(worker: str | None, expression: CronExpression, after_ms: int, count: int) -> None:
    from itertools import islice

    from wrangler_py.cron.advice import advise
    from wrangler_py.cron.schedule import QuickSchedule
    from wrangler_py.cron.words import describe

    output.result(f"{_label(worker)}{output.printable(expression.source)}  {describe(expression)}")
    fires = list(islice(QuickSchedule(expression).iter_after(after_ms), count))
    if fires:
        if differ(fires):
            output.table(["UTC", f"Local ({zone(after_ms)})"], [[utc(time), local(time)] for time in fires])
        else:
            output.table(["UTC"], [[utc(time)] for time in fires])
    _warn(None, advise(expression))
    output.result()


def _described(worker: str | None, expression: CronExpression, after_ms: int, count: int) -> dict[str, Any]:
    from itertools import islice

    from wrangler_py.cron.advice import advise
    from wrangler_py.cron.schedule import QuickSchedule
    from wrangler_py.cron.words import describe

    fires = islice(QuickSchedule(expression).iter_after(after_ms), count)
    warnings = [_plain(one) for one in advise(expression)]
    return _entry(worker, expression, next=[iso(time) for time in fires], words=describe(expression), warnings=warnings)


def _entry(worker: str | None, expression: CronExpression, **more: Any) -> dict[str, Any]:
    named = {} if worker is None else {"worker": worker}
    return {**named, "expr": expression.source, "ok": True, **more}


def _plain(advice: Advice) -> dict[str, Any]:
    return {"kind": advice.kind, "text": advice.text, "field": advice.field}


def _label(worker: str | None) -> str:
    return "" if worker is None else f"[{output.printable(worker)}] "


def _warn(source: str | None, warnings: Sequence[Advice]) -> None:
    from wrangler_py.dev.style import Style, wants_color

    for advice in warnings:
        style = Style(wants_color(sys.stderr))
        text = advice.text if source is None else f"{output.printable(source)}: {advice.text}"
        typer.echo(f"{style('▲ [WARNING]', 'yellow')} {text}", err=True, color=style.color)


def _config_crons(config: list[Path] | None, env: str | None) -> list[tuple[str | None, str]]:
    """(worker, expression) of the config; the worker is named only where there are several."""
    workers = _session(config, env).workers
    crons = [(worker.name if len(workers) > 1 else None, text) for worker in workers for text in worker.crons]
    if not crons:
        raise output.CommandError(
            f"The config has no crons.\n  Give an expression, or add {snippets.crons(workers[0].path)}"
        )
    return crons


def _session(config: Sequence[Path] | None, env: str | None) -> SessionConfig:
    from wrangler_py.config.load import load_session
    from wrangler_py.config.model import ConfigError
    from wrangler_py.config.problems import format_problems
    from wrangler_py.dev.style import wants_color

    try:
        return load_session(config or [], cwd=Path.cwd(), env=env)
    except ConfigError as error:
        color = wants_color(sys.stderr)
        errors = [problem for problem in error.problems if problem.severity == "error"]
        typer.echo(format_problems(errors, color=color, cwd=Path.cwd()), err=True, color=color)
        raise typer.Exit(output.FAILED) from error


def _last_runs(folder: Path, crons: list[tuple[str, str]]) -> dict[tuple[str, str], RunRecord]:
    """The last run of each cron that this state folder knows of. A folder without a database stays without one."""
    from wrangler_py.cli.state import reading
    from wrangler_py.cron.runs import RunTable

    with reading(folder) as store:
        if store is None:
            return {}
        table = RunTable(store)
        found = ((key, table.last_of(*key)) for key in crons)
        return {key: run for key, run in found if run is not None}


def _running(folder: Path, wanted: str | None) -> dict[str, Any] | None:
    """What the session on this folder says of its crons and its clock, or None without one."""
    from wrangler_py.cli.session_client import SessionClient, running_session, running_sessions

    found = running_session(folder, wanted) if wanted is not None else next(iter(running_sessions(folder)), None)
    if found is None:
        return None
    with SessionClient(found) as client:
        state: dict[str, Any] = client.call("GET crons")
        return state


def _dialect(text: str) -> Dialect:
    from wrangler_py.cron.expression import DIALECTS

    for dialect in DIALECTS:
        if text == dialect:
            return dialect
    raise typer.BadParameter(f'"{text}" is not one of {", ".join(DIALECTS)}', param_hint="--dialect")


def _now_ms() -> int:
    from wrangler_py.clock import SystemClock

    return SystemClock().now_ms()
