"""`wpy queues redrive`: dead letters go back to the queues they died in."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.kept_sends import find_queues
from wrangler_py.cli.output import (
    FAILED,
    INTERRUPTED,
    CommandError,
    Interruptible,
    Progress,
    error,
    errors_told,
    plural,
    printable,
    result,
    result_json,
    warning,
)
from wrangler_py.cli.queues_access import check_exists, known_names, session_clock
from wrangler_py.cli.queues_bodies import as_value
from wrangler_py.cli.queues_changing import Queues, changing
from wrangler_py.cli.queues_inventory import take_inventory
from wrangler_py.cli.queues_messages import message_id
from wrangler_py.cli.queues_options import WpyJsonOption, complete_queue, in_unicode, name_argument
from wrangler_py.cli.state import Project, reading
from wrangler_py.cli.where import Where, on_state
from wrangler_py.queues import tables
from wrangler_py.queues.message import Message
from wrangler_py.queues.redrive import Plan, plan, send_back
from wrangler_py.queues.tables import QueueRecord

#: Messages moved in one transaction.
_CHUNK = 500
#: With --rate messages go in groups, so many times a second.
_GROUPS_A_SECOND = 10
_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/(s|min|h))?")
_UNITS = {None: 1, "s": 1, "min": 60, "h": 3600}

_MISSING = object()


@on_state()
def redrive(
    dead_letter_queue: Annotated[str, name_argument("DLQ", "The queue that holds the dead letters.")],
    to: Annotated[
        str | None,
        typer.Option(
            metavar="QUEUE",
            help="Send all of them there, not back to where they died.",
            autocompletion=complete_queue,
            callback=in_unicode,
        ),
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="The message with this id; several times for several."),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="PATH=VALUE",
            help="Those whose body has this value there: user.id=7, items.0.sku=abc, .=hello",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    rate: Annotated[str | None, typer.Option(metavar="N/s", help="No more than so many a second (N/min, N/h).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go where, and move nothing.")] = False,
    json: WpyJsonOption = False,
    *,
    where: Where,
) -> None:
    """Send dead letters back to the queues they died in, with the same ids and bodies. Attempts begin anew.

    Each message knows the queue in which its retries ran out. One that does not (it was sent to the dead letter queue, not
    moved there) goes to the only queue whose dead letters come here; where there are several, --to says it. Ctrl-C stops
    between two groups (exit code 130).

    --json prints queue_name, moved (how many, by queue), count, dry_run, and how many were left: in_flight, filtered,
    expired, without_source; unknown (ids), missing_queues. Exit code 1 when something could not go back.
    """
    per_second = _rate(rate)
    tests = [_filter(given) for given in filters or ()]
    if not (ids or tests or everything):
        raise typer.BadParameter("say which: --all, --id or --filter")
    if everything and (ids or tests):
        raise typer.BadParameter("--all goes with neither --id nor --filter")
    with errors_told():
        wanted = [message_id(given) for given in ids] if ids else None
        project = find_queues(where)
        if to == dead_letter_queue:
            raise CommandError(f'"{printable(to)}" is the queue that they are in.')
        check_exists(project, dead_letter_queue, *([to] if to else []))
        found, missing = _plan(project, dead_letter_queue, to, wanted, _all(tests) if tests else None)
        moved = {target: len(seqs) for target, seqs in found.targets.items()}
        interrupted = False
        if found.count and not dry_run:
            with changing(project, dead_letter_queue) as queues:
                moved, interrupted = _execute(queues, queues.record(dead_letter_queue), found, per_second)
        if json:
            result_json(_as_json(dead_letter_queue, found, moved, missing, dry_run=dry_run))
        else:
            _tell(dead_letter_queue, moved, dry_run=dry_run)
        _tell_left(dead_letter_queue, found, missing, quiet=json)
        if interrupted:
            error(
                f"Stopped: {sum(moved.values()):,} of {found.count:,} messages went back; the others are where they were."
            )
            raise typer.Exit(INTERRUPTED)
        if found.unknown or found.without_source or missing:
            raise typer.Exit(FAILED)


def _plan(
    project: Project, name: str, to: str | None, ids: Sequence[str] | None, matches: Callable[[Message], bool] | None
) -> tuple[Plan, dict[str, int]]:
    """What can go back, and how many messages cannot because their queue does not exist any more, by queue."""
    with reading(project.folder) as store:
        record = tables.find_queue(store, name) if store is not None else None
        if store is None or record is None:
            return Plan(unknown=list(ids or ())), {}
        sources = take_inventory(store, project.workers).sources_of(name)
        only = sources[0] if len(sources) == 1 else None
        now_ms = session_clock(store, name).now_ms()
        found = plan(store, record, now_ms, to=to, otherwise=only, ids=ids, matches=matches)
        existing = known_names(store, project)
    gone = [target for target in found.targets if target not in existing]
    return found, {target: len(found.targets.pop(target)) for target in gone}


def _execute(queues: Queues, record: QueueRecord, found: Plan, per_second: float | None) -> tuple[dict[str, int], bool]:
    """Move what is planned. Returns how many went to each queue, and whether Ctrl-C ended it."""
    moved = dict.fromkeys(found.targets, 0)
    size = _CHUNK if per_second is None else max(1, min(_CHUNK, int(per_second / _GROUPS_A_SECOND)))
    groups = [
        (target, seqs[start : start + size])
        for target, seqs in found.targets.items()
        for start in range(0, len(seqs), size)
    ]
    for target in found.targets:
        queues.record(target)
    done = 0
    began_s = time.monotonic()
    with Interruptible() as interruptible, Progress("Sending back", found.count) as progress:
        try:
            for target, seqs in groups:
                if per_second is not None:
                    time.sleep(max(0.0, began_s + done / per_second - time.monotonic()))
                with interruptible.step():
                    moved[target] += _send_back(queues, record, target, seqs)
                    done += len(seqs)
                    queues.touch(target)
                    queues.tell()
                progress.advance(len(seqs))
        except KeyboardInterrupt:
            return moved, True
    return moved, False


def _send_back(queues: Queues, record: QueueRecord, target: str, seqs: Sequence[int]) -> int:
    try:
        ids = send_back(queues.store, record, target, seqs, queues.clock.now_ms())
    except LookupError as problem:
        raise CommandError(f'Queue "{printable(target)}" was deleted meanwhile; what was left stays here.') from problem
    if ids:
        queues.events.emit("message.redriven", queue=target, ids=ids)
    return len(ids)


# The command line -----------------------------------------------------------------------------------------------------


def _rate(given: str | None) -> float | None:
    """Messages a second."""
    if given is None:
        return None
    found = _RATE.fullmatch(given)
    if found is None or not float(found[1]):
        raise typer.BadParameter(f'"{given}" is no rate; write 50/s, 10/min or 100/h', param_hint="--rate")
    return float(found[1]) / _UNITS[found[2]]


def _filter(given: str) -> Callable[[Message], bool]:
    path, equals, text = given.partition("=")
    if not equals or not path:
        raise typer.BadParameter(f'"{given}" is not of the form PATH=VALUE', param_hint="--filter")
    keys = [] if path == "." else path.split(".")
    accepted = [_comparable(text)]
    value = _parsed(text)
    if value is not _MISSING:
        accepted.append(_comparable(value))

    def matches(message: Message) -> bool:
        found = _at(as_value(message.content_type, message.body), keys)
        return found is not _MISSING and _comparable(found) in accepted

    return matches


def _all(tests: Sequence[Callable[[Message], bool]]) -> Callable[[Message], bool]:
    return lambda message: all(test(message) for test in tests)


def _parsed(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _MISSING


def _at(value: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


def _comparable(value: Any) -> tuple[str, Any]:
    """What tells 1 from true and "1", and not 1 from 1.0, as JavaScript does."""
    import json

    if isinstance(value, dict | list):
        return "json", json.dumps(value, sort_keys=True)
    if isinstance(value, bool) or value is None:
        return "constant", value
    return ("number", float(value)) if isinstance(value, int | float) else ("text", value)


# Telling --------------------------------------------------------------------------------------------------------------


def _as_json(
    name: str, found: Plan, moved: dict[str, int], missing: dict[str, int], *, dry_run: bool
) -> dict[str, Any]:
    return {
        "queue_name": name,
        "dry_run": dry_run,
        "count": sum(moved.values()),
        "moved": moved,
        "in_flight": found.in_flight,
        "filtered": found.filtered,
        "expired": found.expired,
        "without_source": found.without_source,
        "unknown": found.unknown,
        "missing_queues": missing,
    }


def _tell(name: str, moved: dict[str, int], *, dry_run: bool) -> None:
    verb = "would go" if dry_run else "went"
    if not any(moved.values()):
        result(f'No message {"would go" if dry_run else "went"} from queue "{printable(name)}".')
    for target, count in moved.items():
        if count:
            result(f'{plural(count, "message")} {verb} from queue "{printable(name)}" to queue "{printable(target)}".')


def _tell_left(name: str, found: Plan, missing: dict[str, int], *, quiet: bool) -> None:
    if not quiet:
        if found.in_flight:
            warning(f"{plural(found.in_flight, 'message')} are being delivered just now, and were left.")
        if found.expired:
            warning(f"{plural(found.expired, 'message')} have outlived the queue's retention, and were left.")
    if found.without_source:
        count = plural(found.without_source, "message")
        error(f"Nobody knows where {count} came from. Say where they shall go: --to QUEUE")
    for target, number in missing.items():
        error(
            f'{plural(number, "message")} came from queue "{printable(target)}", which does not exist any more. '
            f"Create it (wpy queues create {printable(target)}), or send them elsewhere with --to QUEUE."
        )
    for given in found.unknown:
        error(texts.no_such_message(given, name))
