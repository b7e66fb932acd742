"""`wpy cron backfill`: run a cron for slots that have passed by, each with its own scheduledTime."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wrangler_py.cli import output
from wrangler_py.cli.cron_common import iso, trigger_moment, utc
from wrangler_py.cli.cron_runs import check_worker, not_configured, pick
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import INTERRUPTED, CommandError
from wrangler_py.cli.session_client import SessionClient, SessionOption
from wrangler_py.cli.where import Where, on_state

if TYPE_CHECKING:
    from wrangler_py.cron.expression import CronExpression

#: More slots than this are asked about first.
ASK_ABOVE = 1_000
#: More slots than this are a slip of the finger: refused, whatever was answered.
MAX_SLOTS = 1_000_000
#: How many slots `--dry-run` shows at either end, and how many failures are told one by one.
_SHOWN = 10


@on_state()
def backfill(
    expression: Annotated[str, typer.Argument(metavar="EXPR", help="A cron of the config.")],
    first: Annotated[str, typer.Option("--from", metavar="TIME", help="ISO 8601, UTC without an offset; included.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="The same; not included.")],
    worker: Annotated[str | None, typer.Option("--worker", metavar="NAME", help="Which Worker.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the slots, run nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=f"Do not ask before more than {ASK_ABOVE:,} runs.")] = False,
    any_expression: Annotated[bool, typer.Option("--any", help="EXPR need not be in the config.")] = False,
    as_json: JsonOption = False,
    session: SessionOption = None,
    *,
    where: Where,
) -> None:
    """Run a cron for slots that have passed by.

    For every slot from --from up to --to, one after another in order, each with its own scheduledTime. A run that fails does not stop the others; ends with 1 when any outcome is not ok.
    """
    parsed = _parsed(expression, as_json=as_json)
    from_ms, to_ms = trigger_moment(first, "--from"), trigger_moment(end, "--to")
    if to_ms <= from_ms:
        raise typer.BadParameter(f"{end} is not later than --from {first}", param_hint="--to")
    with output.errors_told():
        client, known = _known(where, session, needed=not dry_run)
        with client or _no_client():
            check_worker(known, worker)
            if not any_expression and not any(c["cron"] == expression for c in known["crons"]):
                raise CommandError(f"{not_configured(known, expression)}\nProduction would not fire it; --any runs it.")
            name = _worker(known, expression, worker)
            slots = _slots(parsed, from_ms, to_ms)
            if dry_run or not slots:
                _show(name, expression, slots, from_ms, to_ms, as_json=as_json)
                return
            assert client is not None
            _confirm(expression, len(slots), yes=yes)
            runs, interrupted = _run(client, name, expression, slots)
    _tell(name, expression, slots, runs, as_json=as_json)
    if interrupted is not None:
        _tell_where(slots, runs, to_ms)
        if isinstance(interrupted, CommandError):
            output.error(str(interrupted))
            raise typer.Exit(output.FAILED)
        raise typer.Exit(INTERRUPTED)
    if any(run["outcome"] != "ok" for run in runs):
        raise typer.Exit(output.FAILED)


def _parsed(expression: str, *, as_json: bool) -> CronExpression:
    from wrangler_py.cron.expression import CronSyntaxError, parse
    from wrangler_py.cron.questions import refusal

    try:
        return parse(expression)
    except CronSyntaxError as error:
        output.error(error.pretty())
        if as_json:
            output.result_json(refusal(error))
        raise typer.Exit(output.FAILED) from error


def _known(where: Where, wanted: str | None, *, needed: bool) -> tuple[SessionClient | None, dict[str, Any]]:
    """The session and its crons; without a session, where none is needed, those of the config."""
    from wrangler_py.cli.session_client import connect_to, no_session, running_session

    project = where.project()
    if needed or running_session(project.folder, wanted) is not None:
        client = connect_to(project.folder, wanted)
        return client, client.call("GET crons")
    if not project.workers:
        raise CommandError(f"There is no config to take the cron from. {no_session(project.folder)}")
    crons = [{"worker": worker.name, "cron": cron} for worker in project.workers for cron in worker.crons]
    return None, {"workers": [worker.name for worker in project.workers], "crons": crons}


@contextmanager
def _no_client() -> Iterator[None]:
    yield


def _worker(known: dict[str, Any], expression: str, worker: str | None) -> str:
    if any(c["cron"] == expression and worker in (None, c["worker"]) for c in known["crons"]):
        return pick(known, expression, worker)[0]
    first: str = worker or known["workers"][0]
    return first


def _slots(expression: CronExpression, from_ms: int, to_ms: int) -> list[int]:
    """The fires from `from_ms` on and before `to_ms`. Raises CommandError for too many."""
    from wrangler_py.cron.schedule import QuickSchedule

    fires = takewhile(lambda time_ms: time_ms < to_ms, QuickSchedule(expression).iter_after(from_ms - 1))
    slots = list(islice(fires, MAX_SLOTS + 1))
    if len(slots) > MAX_SLOTS:
        raise CommandError(
            f"There are more than {MAX_SLOTS:,} slots.\nMake the span shorter, or go by several of them."
        )
    return slots


def _confirm(expression: str, count: int, *, yes: bool) -> None:
    if yes or count <= ASK_ABOVE:
        return
    text = f"This runs {output.printable(expression)} {count:,} times."
    if not sys.stdin.isatty():
        raise CommandError(f"{text}\nAdd --yes if that is meant.")
    if not typer.confirm(f"{text} Go on?", err=True):
        raise CommandError("Nothing was run.")


def _run(
    client: SessionClient, worker: str, expression: str, slots: list[int]
) -> tuple[list[dict[str, Any]], BaseException | None]:
    """The runs that were made, and what put an end to them before the last slot."""
    runs: list[dict[str, Any]] = []
    with typer.progressbar(length=len(slots), label=expression, file=sys.stderr, show_pos=True) as bar:
        for slot in slots:
            arguments = {"cron": expression, "worker": worker, "timeMs": slot, "trigger": "backfill"}
            try:
                run = client.call("POST crons/trigger", arguments, timeout_s=None)
            except (KeyboardInterrupt, CommandError) as error:
                return runs, error
            kept = ("scheduledTime", "start", "durationMs", "outcome", "noRetry", "error")
            runs.append({key: run[key] for key in kept})
            bar.update(1)
    return runs, None


def _show(worker: str, expression: str, slots: list[int], from_ms: int, to_ms: int, *, as_json: bool) -> None:
    if as_json:
        output.result_json({"worker": worker, "cron": expression, "slots": [iso(slot) for slot in slots]})
        return
    if not slots:
        output.result(f"{output.printable(expression)} has no slot from {iso(from_ms)} up to {iso(to_ms)}.")
        return
    output.result(f"{output.printable(expression)} of {worker}: {output.plural(len(slots), 'run')}")
    hidden = len(slots) - 2 * _SHOWN
    if hidden <= 0:
        hidden, shown = 0, slots
    else:
        shown = slots[:_SHOWN]
    for slot in shown:
        output.result(f"  {utc(slot)}")
    if hidden:
        output.result(f"  ... and {hidden:,} more ...")
        for slot in slots[-_SHOWN:]:
            output.result(f"  {utc(slot)}")


def _tell(worker: str, expression: str, slots: list[int], runs: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        output.result_json({"worker": worker, "cron": expression, "slots": len(slots), "runs": runs})
        return
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in Counter(run["outcome"] for run in runs).items())
    output.result(f"{output.plural(len(runs), 'run')} of {output.printable(expression)}: {outcomes or 'none'}")
    failed = [run for run in runs if run["outcome"] != "ok"]
    for run in failed[:_SHOWN]:
        why = (run["error"] or "").strip().splitlines()
        output.error(f"{utc(run['scheduledTime'])} {run['outcome']}: {why[-1] if why else ''}")
    if len(failed) > _SHOWN:
        output.error(f"... and {len(failed) - _SHOWN:,} more. `wpy cron history` has the last hundred.")


def _tell_where(slots: list[int], runs: list[dict[str, Any]], to_ms: int) -> None:
    left = slots[len(runs) :]
    output.warning(
        f"Stopped with {len(left):,} of {len(slots):,} slots left; the run of {iso(left[0])} may still end by itself.\n"
        f"  Go on with --from {iso(left[0])} --to {iso(to_ms)}"
    )
