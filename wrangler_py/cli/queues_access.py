"""How the commands of `wpy queues` get at the queues: by name, and by the clock that counts.

A command reads the state itself, whether a session runs or not. Where one runs, times are those of the session's clock.
"""

from __future__ import annotations

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.output import CommandError
from wrangler_py.cli.state import Project, reading
from wrangler_py.clock import Clock, SystemClock
from wrangler_py.queues import tables
from wrangler_py.store.database import Store
from wrangler_py.store.sessions import attachments, living_sessions

#: How long a session may take to answer (seconds). One that is slower finds what was changed by itself, once a minute.
ANSWER_S = 2.0


def known_names(store: Store | None, project: Project) -> list[str]:
    """The names of all queues that there are, in the state or in the config."""
    names = {record.name for record in tables.all_queues(store)} if store is not None else set()
    return sorted(names | names_in_config(project))


def names_in_config(project: Project) -> set[str]:
    """The queues that the config names; the next `wpy dev` creates those that are missing."""
    names = {producer.queue for worker in project.workers for producer in worker.producers}
    for worker in project.workers:
        for consumer in worker.consumers:
            names.add(consumer.queue)
            if consumer.dead_letter_queue:
                names.add(consumer.dead_letter_queue)
    return names


def check_exists(project: Project, *names: str) -> None:
    """Raise CommandError, with the nearest name, for a queue that neither the state nor the config has. Creates
    nothing."""
    with reading(project.folder) as store:
        for name in names:
            if (store is None or tables.find_queue(store, name) is None) and name not in names_in_config(project):
                raise CommandError(texts.no_such_queue(name, known_names(store, project), project.folder))


def session_clock(store: Store | None, queue: str | None) -> Clock:
    """The clock that a queue's times go by: that of the session that delivers it, else of another one on the state, else
    the wall clock."""
    sessions = [session for session in living_sessions(store) if session.url is not None] if store is not None else []
    if store is None or not sessions:
        return SystemClock()
    # Imported here, because most commands find no session that runs.
    from wrangler_py.cli.session_client import SessionClient
    from wrangler_py.clock import SessionClock

    delivering = {a.session_id for a in attachments(store) if a.role == "consumer" and a.queue == queue}
    session = next((s for s in sessions if s.id in delivering), sessions[0])
    try:
        with SessionClient(session) as client:
            shown = client.call("GET clock", timeout_s=ANSWER_S)
    except CommandError:  # it is ending, or does not get to it: the wall clock is what most sessions go by
        return SystemClock()
    return SessionClock(shown["nowMs"], frozen=shown["frozen"])
