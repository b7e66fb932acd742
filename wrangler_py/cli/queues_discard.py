"""`wpy queues discard` and `undo`: messages are thrown away, and those that the dashboard threw away come back."""

from __future__ import annotations

from typing import Annotated

import typer

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.kept_sends import find_queues
from wrangler_py.cli.output import FAILED, error, errors_told, plural, printable, result, result_json, warning
from wrangler_py.cli.queues_changing import changing
from wrangler_py.cli.queues_messages import message_id
from wrangler_py.cli.queues_options import QueueArgument, WpyJsonOption
from wrangler_py.cli.session_client import SessionOption, connect
from wrangler_py.cli.where import Where, on_state
from wrangler_py.queues import bulk, search


@on_state()
def discard(
    queue: QueueArgument,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Messages, by their ids.")],
    json: WpyJsonOption = False,
    *,
    where: Where,
) -> None:
    """Delete messages that wait. That cannot be undone (the dashboard's discard can, for a few seconds); `wpy queues purge`
    deletes all.

    --json prints queue_name, discarded (how many), and the ids in in_flight and unknown. A message that is being delivered is
    left as it is; an id that is not in the queue ends with exit code 1.
    """
    with errors_told():
        wanted = list(dict.fromkeys(message_id(given) for given in ids))
        project = find_queues(where)
        with changing(project, queue) as queues:
            now_ms = queues.clock.now_ms()
            found = queues.store.write(lambda c: search.living(c, wanted, None, now_ms, bulk.MOST))
            here = [one for one in found if one.queue == queue]
            waiting = [one for one in here if one.state != "in_flight"]
            changes = bulk.BulkChanges(queues.store, queues.clock, queues.events, queues.broker)
            count = queues.run(changes.discard(waiting))[0] if waiting else 0
            if count:
                queues.touch(queue)
        in_flight = [one.id for one in here if one.state == "in_flight"]
        known = {one.id for one in here}
        unknown = [given for given in wanted if given not in known]
        if json:
            result_json({"queue_name": queue, "discarded": count, "in_flight": in_flight, "unknown": unknown})
        else:
            result(f'{plural(count, "message")} of queue "{printable(queue)}" discarded.')
            for given in in_flight:
                warning(f"Message {given} is being delivered; it was left as it is.")
        for given in unknown:
            error(texts.no_such_message(given, queue))
        if unknown:
            raise typer.Exit(FAILED)


@on_state()
def undo(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="What the discard was answered.")],
    session: SessionOption = None,
    json: WpyJsonOption = False,
    *,
    where: Where,
) -> None:
    """Bring back what was discarded in the dashboard or by its API; the running session keeps it for a few seconds.

    --json prints restored (how many).
    """
    with errors_told(), connect(where, session) as client:
        count = client.call("POST messages/undo", {"undo": token})["count"]
    if json:
        result_json({"restored": count})
    else:
        result(f"{plural(count, 'message')} brought back.")
