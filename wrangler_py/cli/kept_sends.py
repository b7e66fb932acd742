"""Sends that a killed session has kept in its outboxes and not stored: a command that asks for queues stores them first.

So that a message is seen from the moment at which its `send()` returned, whether another session runs or not.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from wrangler_py.cli.output import plural, warning
from wrangler_py.cli.state import Project, writing
from wrangler_py.store.database import StateError
from wrangler_py.store.sessions import is_alive, living_sessions

if TYPE_CHECKING:
    from wrangler_py.cli.queues_changing import Queues
    from wrangler_py.cli.where import Where
    from wrangler_py.runtime.outbox_home import OutboxHome

#: How long a command waits for a database that takes nothing (seconds).
_WAIT_S = 2.0


def find_queues(where: Where) -> Project:
    """The project, for a command about queues: what dead sessions have kept is stored before it looks."""
    project = where.project()
    left = _left(project.folder)
    if left:
        try:
            _store(project)
        except (sqlite3.Error, StateError) as error:
            warning(
                f"A killed session has sent messages that are not stored yet: {plural(len(left), 'file')} in {left[0].parent}. "
                f"They are not shown here, and the next `wpy dev` stores them. Why not now: {error}"
            )
    return project


def _left(folder: Path) -> list[Path]:
    """What dead sessions have left in a state folder. Costs next to nothing while there is none."""
    try:
        files = [path for path in (folder / "outbox").iterdir() if path.suffix == ".sends" and path.stat().st_size]
    except OSError:  # there is none, or it is another user's
        return []
    return [path for path in files if not is_alive(folder, int(path.name.partition("-")[0]))]


def _store(project: Project) -> None:
    from wrangler_py.cli.queues_changing import Queues
    from wrangler_py.runtime.outbox_home import OutboxHome

    with writing(project.folder) as store:
        queues = Queues(project, store, "")
        try:
            home = OutboxHome(project.folder, 0, queues.broker, lambda: [s.id for s in living_sessions(store)])
            queues.run(_recover(home, queues))
        except TimeoutError:
            said = [event.data["error"] for event in queues.announced if event.kind == "store.failed"]
            raise StateError(said[-1] if said else "The database is busy.") from None
        finally:
            queues.close()


async def _recover(home: OutboxHome, queues: Queues) -> None:
    async with asyncio.timeout(_WAIT_S):
        await home.recover()
    await queues.store.submit(lambda _: None)  # what follows the last message is written, too
