from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from wrangler_py.queues import consumer

from .harness import Room


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was cut off comes again without waiting in real time."""
    monkeypatch.setattr(consumer, "_CUT_OFF_S", 0)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """A session on a fresh state folder. The counters of every queue are compared with the table in the end."""
    room = Room(tmp_path / "state")
    yield room
    for queue in room.store.query("SELECT name FROM queue"):
        room.backlog(queue[0])
    await room.close()
