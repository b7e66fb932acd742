"""`wpy queues peek`, `retry`, `pull` and `ack`: the messages themselves."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.kept_sends import find_queues
from wrangler_py.cli.output import (
    FAILED,
    CommandError,
    duration,
    error,
    errors_told,
    hint,
    plural,
    printable,
    result,
    result_json,
    warning,
)
from wrangler_py.cli.queues_access import known_names, names_in_config, session_clock
from wrangler_py.cli.queues_bodies import as_text, as_value
from wrangler_py.cli.queues_changing import changing
from wrangler_py.cli.queues_options import JsonOption, QueueArgument, WpyJsonOption
from wrangler_py.cli.state import reading
from wrangler_py.cli.where import Where, on_state
from wrangler_py.queues import browse, consumers, limits, tables
from wrangler_py.queues.browse import StoredMessage
from wrangler_py.queues.hasten import hasten, hasten_all
from wrangler_py.queues.pull import Pulls

#: So many messages `peek` shows at most; more are no look any more.
_MOST_PEEKED = 10_000
#: Characters of a body that `peek` shows of each message of several.
_BODY_WIDTH = 200
_ID = re.compile("[0-9a-f]{32}")
_STATES = {"ready": "ready", "delayed": "delayed", "in_flight": "in flight"}


@on_state()
def peek(
    queue: QueueArgument,
    count: Annotated[
        int, typer.Option("-n", metavar="NUMBER", min=1, max=_MOST_PEEKED, help="How many messages, at most.")
    ] = 10,
    ids: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="Those with these ids, with their whole bodies.")
    ] = None,
    json: WpyJsonOption = False,
    *,
    where: Where,
) -> None:
    """Look at the messages of a queue, in flight, ready and delayed. Nothing is changed by it: no attempt counts, nothing
    is hidden from the consumer.

    Attempts are the deliveries so far. --json prints an array of objects: id, state (ready, delayed, in_flight), attempts,
    timestamp_ms, due_ms (when it is, was or will be ready; for a pulled message when its lease ends), delay_seconds (as it
    was asked for), content_type, body (the value of json; text; else hex digits), size (bytes), source (worker, api),
    died_in (the queue whose dead letter it is), died_after (its attempts there), expired (it has outlived the retention).
    An --id that is not in the queue ends with exit code 1.
    """
    with errors_told():
        wanted = [message_id(given) for given in ids or ()]
        project = find_queues(where)
        with reading(project.folder) as store:
            record = tables.find_queue(store, queue) if store is not None else None
            if record is None and queue not in names_in_config(project):
                raise CommandError(texts.no_such_queue(queue, known_names(store, project), project.folder))
            found: list[StoredMessage] = []
            now_ms = session_clock(store, queue).now_ms()
            if store is not None and record is not None:
                if wanted:
                    found = list(browse.with_ids(store, record, now_ms, wanted))
                else:
                    found = browse.messages(store, record, now_ms, count)
        missing = [given for given in wanted if given not in {stored.message.id for stored in found}]
        if json:
            result_json([stored_object(stored) for stored in found])
        else:
            for stored in found:
                _print_stored(stored, now_ms, whole=bool(wanted))
            total = record.backlog_count if record is not None else 0
            if not found and not wanted:
                result(f'Queue "{printable(queue)}" is empty.')
            elif not wanted and total > len(found):
                hint(f"{total - len(found):,} more (-n NUMBER shows more of them).")
        for given in missing:
            error(texts.no_such_message(given, queue))
        if missing:
            raise typer.Exit(FAILED)


@on_state()
def retry(
    queue: QueueArgument,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Messages, by their ids.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All messages that wait for a later time.")] = False,
    json: WpyJsonOption = False,
    *,
    where: Where,
) -> None:
    """Make messages ready now that are delayed or wait for a retry. Their attempts stay as they are.

    --json prints queue_name, made_ready (how many), and the ids in ready_before, in_flight and unknown. An id that is not
    in the queue ends with exit code 1.
    """
    if bool(ids) == everything:
        raise typer.BadParameter("give the IDs of messages, or --all" if not ids else "give IDs or --all, not both")
    with errors_told():
        wanted = [message_id(given) for given in ids or ()]
        project = find_queues(where)
        with changing(project, queue) as queues:
            record, now_ms = queues.record(queue), queues.clock.now_ms()
            if everything:
                made_ready, left = hasten_all(queues.store, record, now_ms), None
            else:
                left = hasten(queues.store, record, now_ms, wanted)
                made_ready = len(left.ids)
            if made_ready:
                which = {"count": made_ready} if left is None else {"ids": left.ids}
                queues.events.emit("message.hastened", queue=queue, **which)
            queues.touch(queue)
        if json:
            lists = {name: getattr(left, name, []) for name in ("ready_before", "in_flight", "unknown")}
            result_json({"queue_name": queue, "made_ready": made_ready, **lists})
        else:
            result(f'{plural(made_ready, "message")} of queue "{printable(queue)}" made ready.')
        if left is not None:
            for given in left.ready_before if not json else ():
                hint(f"Message {given} was ready before.")
            for given in left.in_flight if not json else ():
                warning(f"Message {given} is being delivered; it was left as it is.")
            for given in left.unknown:
                error(texts.no_such_message(given, queue))
            if left.unknown:
                raise typer.Exit(FAILED)


@on_state()
def pull(
    queue: QueueArgument,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", "-n", metavar="N", help="Messages at most, 1 to 100; the consumer's unless given."
        ),
    ] = None,
    visibility_timeout_secs: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long the lease holds; the consumer's unless given.")
    ] = None,
    acknowledge: Annotated[
        bool, typer.Option("--ack", help="Acknowledge the messages as soon as they are printed.")
    ] = False,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Pull messages as a pull consumer does over HTTP: each is leased, and hidden until its lease ends.

    The queue needs an HTTP pull consumer: `wpy queues consumer http add`. `wpy queues ack` acknowledges by the lease.
    --json prints the result of the API's pull: message_backlog_count, messages (id, body, attempts, timestamp_ms,
    metadata, lease_id; bodies of json and bytes in base64), metadata.
    """
    with errors_told():
        project = find_queues(where)
        _check_pull(batch_size, visibility_timeout_secs)
        with changing(project, queue) as queues:
            record = queues.record(queue)
            if consumers.pull_consumer(queues.store, record) is None:
                raise CommandError(f"{limits.pull_not_enabled().text}\n  {texts.enable_pull(queue)}")
            if record.delivery_paused:
                raise CommandError(f"{limits.delivery_is_paused().text}\n  {texts.delivery_paused(queue)}")
            pulls = Pulls(queues.store, queues.clock, queues.events, queues.broker)
            milliseconds = None if visibility_timeout_secs is None else round(visibility_timeout_secs * 1000)
            pulled = queues.run(pulls.pull(record, batch_size, milliseconds))
            queues.touch(queue)
            queues.tell(now=True)  # a session ends the leases in time
            from wrangler_py.server.rest import objects

            if json:
                result_json(
                    {
                        "message_backlog_count": pulled.metrics.backlog_count,
                        "messages": [objects.pulled(p) for p in pulled.messages],
                        "metadata": {"metrics": objects.metrics(pulled.metrics)},
                    }
                )
            else:
                for p in pulled.messages:
                    result(f"{p.message.id}  attempt {p.message.attempts}  lease {p.lease_id}")
                    result(f"  {_body(p.message.content_type, p.message.body, None)}")
                if not pulled.messages:
                    result(f'Queue "{printable(queue)}" has no message that is ready.')
            if acknowledge and pulled.messages:
                acked = queues.run(pulls.settle(record, [p.lease_id for p in pulled.messages], []))
                if not json:
                    hint(f"{plural(acked.acks, 'message')} acknowledged.")
            pulls.close()


@on_state()
def ack(
    queue: QueueArgument,
    leases: Annotated[list[str] | None, typer.Argument(metavar="[LEASE_ID]...", help="Leases to acknowledge.")] = None,
    retries: Annotated[
        list[str] | None,
        typer.Option("--retry", metavar="LEASE_ID", help="Leases to retry; several times for several."),
    ] = None,
    delay: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="When the retried ones are ready; the consumer's delay if not given."),
    ] = None,
    json: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Acknowledge or retry pulled messages by their leases, as the API's ack does.

    --json prints its result: ackCount, retryCount, warnings. A lease that cannot be settled ends with exit code 1.
    """
    if not leases and not retries:
        raise typer.BadParameter("give LEASE_IDs, or --retry")
    with errors_told():
        project = find_queues(where)
        with changing(project, queue) as queues:
            pulls = Pulls(queues.store, queues.clock, queues.events, queues.broker)
            again = [(lease, delay) for lease in retries or ()]
            acked = queues.run(pulls.settle(queues.record(queue), leases or [], again))
            queues.touch(queue)
        if json:
            result_json({"ackCount": acked.acks, "retryCount": acked.retries, "warnings": acked.warnings})
        else:
            result(f"{plural(acked.acks, 'message')} acknowledged, {acked.retries:,} retried.")
            for lease, text in acked.warnings.items():
                warning(f"{printable(lease)}: {text}")
        if acked.warnings:
            raise typer.Exit(FAILED)


def message_id(given: str) -> str:
    """The id of a message as it is stored. Raises CommandError."""
    lower = given.lower()
    if not _ID.fullmatch(lower):
        raise CommandError(f'"{printable(given)}" is not the id of a message: 32 hexadecimal digits.')
    return lower


def _check_pull(batch_size: int | None, visibility_timeout: float | None) -> None:
    if batch_size is not None and not 1 <= batch_size <= limits.MAX_BATCH_SIZE:
        raise CommandError(f"--batch-size must be from 1 to {limits.MAX_BATCH_SIZE}, but is {batch_size}.")
    most = limits.MAX_VISIBILITY_TIMEOUT_MS // 1000
    if visibility_timeout is not None and not 0 <= visibility_timeout <= most:
        raise CommandError(f"--visibility-timeout-secs must be from 0 to {most}, but is {visibility_timeout:g}.")


# Showing --------------------------------------------------------------------------------------------------------------


def stored_object(stored: StoredMessage) -> dict[str, Any]:
    """A message as `peek --json` prints it."""
    message = stored.message
    return {
        "id": message.id,
        "state": stored.state,
        "attempts": message.attempts,
        "timestamp_ms": message.timestamp_ms,
        "due_ms": stored.due_ms,
        "delay_seconds": stored.delay_seconds,
        "content_type": message.content_type,
        "body": as_value(message.content_type, message.body),
        "size": len(message.body),
        "source": stored.source,
        "died_in": stored.died_in,
        "died_after": stored.died_after,
        "expired": stored.expired,
    }


def _print_stored(stored: StoredMessage, now_ms: int, *, whole: bool) -> None:
    message = stored.message
    parts = [
        message.id,
        state_text(stored, now_ms),
        plural(message.attempts, "attempt") + (" here" if stored.died_in is not None else ""),
        f"{duration((now_ms - message.timestamp_ms) / 1000)} old",
    ]
    if stored.died_in is not None:
        after = f" after {plural(stored.died_after, 'attempt')}" if stored.died_after is not None else ""
        parts.append(f"died in {printable(stored.died_in)}{after}")
    if stored.expired:
        parts.append("past its retention")
    result("  ".join(parts))
    kind = f"{message.content_type}, {plural(len(message.body), 'byte')}"
    result(f"  {_body(message.content_type, message.body, None if whole else _BODY_WIDTH)}  ({kind})")


def state_text(stored: StoredMessage, now_ms: int) -> str:
    """Where a message is, in words."""
    if stored.due_ms is None or stored.state == "ready":
        return _STATES[stored.state]
    if stored.due_ms <= now_ms:
        return "leased, and the lease has ended"
    wait = duration((stored.due_ms - now_ms + 999) / 1000)
    return f"leased for {wait} more" if stored.state == "in_flight" else f"delayed, ready in {wait}"


def _body(content_type: Any, body: bytes, width: int | None) -> str:
    text = printable(as_text(content_type, body))
    return text if width is None or len(text) <= width else text[:width] + "…"
