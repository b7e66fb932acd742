"""What a session says of itself in the state folder, and how it refuses what another session there does already."""

from __future__ import annotations

from wrangler_py.config.limits_and_texts import multiple_consumers
from wrangler_py.config.model import SessionConfig
from wrangler_py.session.errors import StartError
from wrangler_py.store.database import Store
from wrangler_py.store.sessions import Attachment, Session, attachments, living_sessions


def attach(session: Session, config: SessionConfig) -> None:
    """Write down which queues the session's workers produce for and consume from."""
    session.attach(
        [
            *(("producer", p.queue, w.name, {"binding": p.binding}) for w in config.workers for p in w.producers),
            *(
                (
                    "consumer",
                    c.queue,
                    w.name,
                    {
                        "max_batch_size": c.max_batch_size,
                        "max_batch_timeout": c.max_batch_timeout,
                        "max_retries": c.max_retries,
                        "max_concurrency": c.max_concurrency,
                        "retry_delay": c.retry_delay,
                        "dead_letter_queue": c.dead_letter_queue,
                    },
                )
                for w in config.workers
                for c in w.consumers
            ),
        ]
    )


def refuse_second_consumer(store: Store, session: Session, config: SessionConfig) -> None:
    """Raises StartError when a worker of another living session consumes a queue that `config` consumes."""
    taken = {a.queue: a for a in attachments(store) if a.role == "consumer" and a.session_id != session.id}
    for worker in config.workers:
        for consumer in worker.consumers:
            other = taken.get(consumer.queue)
            if other is not None and other.worker == worker.name:
                raise StartError(
                    f'{_names(store, other)} already runs worker "{worker.name}" on this state. '
                    "Use that one, end it, or give this one its own state with --persist-to FOLDER."
                )
            if other is not None:
                raise StartError(
                    f"{multiple_consumers(consumer.queue, other.worker, worker.name)}. "
                    f'{_names(store, other)} already consumes it with worker "{other.worker}". '
                    "End that session, or give this one its own state with --persist-to FOLDER."
                )


def _names(store: Store, attachment: Attachment) -> str:
    """A session in words: where it serves, and which process it is."""
    for session in living_sessions(store):
        if session.id == attachment.session_id:
            return f"The `wpy dev` session {f'at {session.url} ' if session.url else ''}(process {session.pid})"
    return "Another `wpy dev` session"
