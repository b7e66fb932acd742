"""`wpy queues history` and `wpy queues tail`: what became of the messages of each batch, and why."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any

import typer

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.output import (
    CommandError,
    duration,
    errors_told,
    printable,
    result,
    result_json,
    result_json_line,
)
from wrangler_py.cli.queues_access import check_exists, session_clock
from wrangler_py.cli.queues_messages import message_id, state_text, stored_object
from wrangler_py.cli.queues_options import WpyJsonOption, complete_queue, in_unicode
from wrangler_py.cli.state import Follower, Project, reading
from wrangler_py.cli.where import Where, on_state
from wrangler_py.dev.style import Style, wants_color
from wrangler_py.queues import browse
from wrangler_py.queues import history as record
from wrangler_py.queues.history import BatchRecord, SettledMessage
from wrangler_py.session.times import iso
from wrangler_py.store.database import FILE_NAME, StateError, explain_error

#: Batches read at a time.
_PAGE = 200
#: So many messages of a batch that went the same way are shown one by one.
_SHOWN = 5
_ACTIONS = {
    "ack": "acked",
    "retry": "retried",
    "dead_letter": "dead-lettered",
    "drop": "dropped",
    "release": "given back",
    "unclaim": "given back",
}
_COLORS = {"ack": "green", "retry": "yellow", "dead_letter": "red", "drop": "red"}

OptionalQueue = Annotated[
    str | None,
    typer.Argument(
        metavar="QUEUE",
        help="The name of the queue; all of them without it.",
        autocompletion=complete_queue,
        callback=in_unicode,
    ),
]


@on_state()
def history_command(
    queue: OptionalQueue = None,
    message: Annotated[
        str | None, typer.Option("--message", metavar="ID", help="The way of one message, attempt by attempt.")
    ] = None,
    count: Annotated[
        int, typer.Option("-n", metavar="NUMBER", min=1, max=record.KEPT_BATCHES, help="How many batches, at most.")
    ] = 20,
    json: WpyJsonOption = False,
    *,
    where: Where,
) -> None:
    """The last batches, oldest first: what became of each message, which call or rule settled it, and where that stands.

    The last 20,000 batches of a state folder are remembered.

    --json prints an array of batches: batch (a number that grows), queue, worker (http_pull for leases), started_ms,
    duration_ms, outcome, error, messages (id, attempt, action, reason, where, delay_seconds). action is ack, retry,
    dead_letter, drop or release. With --message each batch has that one message, and the whole is an object: id, batches,
    and now (what `wpy queues peek --json` prints of it, with queue_name; null when it is in no queue).
    """
    if queue is not None and message is not None:
        raise typer.BadParameter("give a QUEUE or --message, not both")
    with errors_told():
        wanted = message_id(message) if message is not None else None
        project = where.project()
        if queue is not None:
            check_exists(project, queue)
        if wanted is not None:
            _show_message(project, wanted, as_json=json)
            return
        with reading(project.folder) as store:
            batches = [] if store is None else record.latest(store, count, queue)
        batches.reverse()
        if json:
            result_json([_batch_object(batch) for batch in batches])
            return
        for batch in batches:
            _print_batch(batch)
        if not batches:
            result("No batch has been delivered here yet." if queue is None else texts.no_batches(queue))


@on_state()
def tail(
    queue: OptionalQueue = None,
    count: Annotated[
        int, typer.Option("-n", metavar="NUMBER", min=0, max=record.KEPT_BATCHES, help="Begin with the last N batches.")
    ] = 0,
    json: WpyJsonOption = False,
    *,
    where: Where,
) -> None:
    """Follow the batches as they are settled, until Ctrl-C. It may be started before a session, and outlives it.

    --json prints a batch a line, as `wpy queues history --json` has them.
    """
    with errors_told():
        project = where.project()
        if queue is not None:
            check_exists(project, queue)
        follower = Follower(project.folder)
        try:
            for batch in _batches(follower, queue, count):
                if json:
                    result_json_line(_batch_object(batch))
                else:
                    _print_batch(batch)
        except KeyboardInterrupt:
            return  # that is how it ends
        except sqlite3.Error as problem:
            raise StateError(explain_error(problem, project.folder / FILE_NAME)) from problem
        finally:
            follower.close()


def _batches(follower: Follower, queue: str | None, count: int) -> Iterator[BatchRecord]:
    """The last `count` batches, then every one that comes."""
    store = follower.look()
    known, last_id = store, 0
    if store is not None:
        last_id = record.last_id(store)
        yield from reversed([b for b in record.latest(store, count, queue) if b.id <= last_id] if count else [])
    while True:
        store = follower.look()
        if store is not known:  # it has come into being, or was replaced: all of it is new
            known, last_id = store, 0
        if store is not None:
            while page := record.after(store, last_id, _PAGE):
                last_id = page[-1].id
                yield from (batch for batch in page if queue in (None, batch.queue))
        follower.wait()


# One message ----------------------------------------------------------------------------------------------------------


def _show_message(project: Project, wanted: str, *, as_json: bool) -> None:
    with reading(project.folder) as store:
        batches = [] if store is None else record.of_message(store, wanted)
        now_ms = session_clock(store, None).now_ms()
        found = None if store is None else browse.find(store, wanted, now_ms)
    if not batches and found is None:
        raise CommandError(texts.no_trace(wanted, record.KEPT_BATCHES))
    of_it = [(batch, settled) for batch in batches for settled in batch.messages if settled.id == wanted]
    if as_json:
        now = None if found is None else {"queue_name": found[0].name, **stored_object(found[1])}
        objects = [{**_batch_object(batch), "messages": [_settled_object(settled)]} for batch, settled in of_it]
        result_json({"id": wanted, "batches": objects, "now": now})
        return
    style = Style(wants_color(sys.stdout))
    for batch, settled in of_it:
        where = f"{printable(batch.queue)} → {printable(batch.worker)}"
        result(f"{style(iso(batch.started_ms), 'dim')}  {where}  attempt {settled.attempt}: {_what(settled, style)}")
        if batch.error:
            result(f"  {printable(batch.error)}")
    if found is None:
        result("It is in no queue now.")
    else:
        result(f"Now in queue {printable(found[0].name)}: {state_text(found[1], now_ms)}.")


# Showing --------------------------------------------------------------------------------------------------------------


def _batch_object(batch: BatchRecord) -> dict[str, Any]:
    return {
        "batch": batch.id,
        "queue": batch.queue,
        "worker": batch.worker,
        "started_ms": batch.started_ms,
        "duration_ms": batch.ms,
        "outcome": batch.outcome,
        "error": batch.error,
        "messages": [_settled_object(settled) for settled in batch.messages],
    }


def _settled_object(settled: SettledMessage) -> dict[str, Any]:
    return {
        "id": settled.id,
        "attempt": settled.attempt,
        "action": settled.action,
        "reason": settled.reason,
        "where": settled.where,
        "delay_seconds": settled.delay_seconds,
    }


def _print_batch(batch: BatchRecord) -> None:
    style = Style(wants_color(sys.stdout))
    acked, total = sum(1 for settled in batch.messages if settled.action == "ack"), len(batch.messages)
    color = "green" if acked == total else "yellow" if acked else "red"
    outcome = "" if batch.outcome == "ok" else f"  {style(batch.outcome, 'red')}"
    lines = [
        f"{style(iso(batch.started_ms), 'dim')}  {style(printable(batch.queue), 'bold')} → {printable(batch.worker)}  "
        f"{style(f'{acked}/{total} acked', color)}  {style(f'{batch.ms} ms', 'dim')}{outcome}"
    ]
    if batch.error:
        lines.append(f"  {style(printable(batch.error), 'red')}")
    for _, group in groupby(batch.messages, key=lambda m: (m.action, m.reason, m.where, m.attempt, m.delay_seconds)):
        lines += _group_lines(list(group), style)
    result("\n".join(lines))


def _group_lines(settled: Sequence[SettledMessage], style: Style) -> list[str]:
    """Messages that went the same way: one by one where they are few."""
    shown = settled if len(settled) <= _SHOWN + 1 else settled[:_SHOWN]
    lines = [f"  {style(one.id, 'dim')}  attempt {one.attempt}: {_what(one, style)}" for one in shown]
    if len(shown) < len(settled):
        lines.append(f"  ... and {len(settled) - len(shown):,} more likewise")
    return lines


def _what(settled: SettledMessage, style: Style) -> str:
    action = _ACTIONS.get(settled.action, settled.action)
    color = _COLORS.get(settled.action)
    where = f" at {printable(settled.where)}" if settled.where else ""
    again = (
        f", ready in {duration(settled.delay_seconds)}" if settled.action == "retry" and settled.delay_seconds else ""
    )
    return f"{style(action, color) if color else action} ({printable(settled.reason)}{where}){again}"
