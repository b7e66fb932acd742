"""Which process of a worker has its Durable Objects: one at a time, and the old one lets go before the new one begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from wrangler_py.clock import SessionClock
from wrangler_py.config.model import WorkerConfig
from wrangler_py.runtime.python.clocked import ClockedProcess
from wrangler_py.runtime.python.process import WorkerProcess
from wrangler_py.runtime.texts import NOT_EXPORTED
from wrangler_py.runtime.worker import frames

#: How long a process may take to let go of its objects before it is ended (seconds). It gives what runs one second.
_RELEASE_LIMIT_S = 3.0


class AlarmBook(Protocol):
    """Who is told of the alarms of a worker's objects (durable_objects/alarms.py)."""

    def opened(self, worker: str, alarms: Sequence[Any]) -> None: ...

    def moved(self, worker: str, changes: Sequence[Any]) -> None: ...


class DurableHome(Struct, frozen=True):
    """Where a session keeps its Durable Objects, and who keeps their alarms."""

    folder: Path
    alarms: AlarmBook
    #: By which alarms are due.
    clock: SessionClock


class ObjectOwner:
    """Hands a worker's objects from process to process."""

    def __init__(self, worker: str, home: DurableHome | None) -> None:
        self._worker = worker
        self._home = home
        self._owner: WorkerProcess | None = None
        self._lock = asyncio.Lock()
        self._closed: asyncio.Future[None] | None = None
        #: The Durable Object classes that the worker exports.
        self.classes: tuple[str, ...] = ()
        #: Called when a process has let go.
        self.on_released: Callable[[], None] = lambda: None

    def spec(self, config: WorkerConfig) -> dict[str, Any] | None:
        """LOAD's "durable"."""
        if self._home is None:
            return None
        return {"folder": str(self._home.folder), "kv_classes": sorted(key_value_classes(config))}

    def tell_time(self) -> None:
        """The session's clock was frozen, moved or set running: what sets alarms has to know."""
        if self._home is not None and self.classes and self._owner is not None and not self._owner.ended.done():
            self._send_time(self._owner)

    def _send_time(self, process: WorkerProcess) -> None:
        assert self._home is not None
        if not isinstance(process, ClockedProcess):  # that one is told anyway
            process.send(frames.CLOCK, self._home.clock.now_ms(), self._home.clock.ahead_ms)

    def held_by(self, process: WorkerProcess) -> bool:
        """Whether a process is just letting go of the objects."""
        return self._closed is not None and process is self._owner and not self._closed.done()

    async def give(self, process: WorkerProcess) -> None:
        """Make the objects those of `process`."""
        if self._home is None:
            return
        process.on_objects = self._told
        async with self._lock:
            old = self._owner
            if old is not None and old is not process and not old.ended.done():
                self._closed = asyncio.get_running_loop().create_future()
                old.send(frames.OBJECTS, False)
                over: list[asyncio.Future[Any]] = [self._closed, old.ended]
                await asyncio.wait(over, timeout=_RELEASE_LIMIT_S)
                if not self._closed.done() and not old.ended.done():
                    old.kill("it did not let go of its Durable Objects for the new version")
                    await asyncio.wait({old.ended})
                self._closed = None
                self.on_released()
            self._owner = process
            if not process.ended.done():
                self._send_time(process)
                process.send(frames.OBJECTS, True)

    def _told(self, process: WorkerProcess, state: str, alarms: list[Any]) -> None:
        if self._home is None:
            return
        if state == "closed":
            if self._closed is not None and not self._closed.done():
                self._closed.set_result(None)
        elif process is not self._owner:
            return
        elif state == "open":
            self._home.alarms.opened(self._worker, alarms)
        else:
            self._home.alarms.moved(self._worker, alarms)


def key_value_classes(config: WorkerConfig) -> set[str]:
    """The classes without SQL: those that came with `new_classes`, under the names that they have now."""
    classes: set[str] = set()
    for migration in config.migrations:
        classes.update(migration.new_classes)
        classes.difference_update(migration.new_sqlite_classes)
        for old, new in migration.renamed_classes:
            if old in classes:
                classes.discard(old)
                classes.add(new)
        classes.difference_update(migration.deleted_classes)
    return classes


def missing_classes(config: WorkerConfig, exported: Sequence[str], workflows: Sequence[str]) -> str | None:
    """Why code cannot be used that lacks Durable Object or Workflow classes which its own config binds."""
    own = (None, config.name)
    absent = sorted({w.class_name for w in config.workflows if w.script_name in own} - set(workflows))
    if absent:
        return (
            f"{NOT_EXPORTED.format(kind='Workflows', names=', '.join(absent))}\n{config.main.name} exports these Workflow classes: {', '.join(workflows) or 'none'}. A class "
            "is exported when it is a subclass of workers.WorkflowEntrypoint and its name begins with no underscore."
        )
    missing = sorted({b.class_name for b in config.durable_objects if b.script_name in own} - set(exported))
    if not missing:
        return None
    there = ", ".join(exported) or "none"
    return (
        f"{NOT_EXPORTED.format(kind='Durable Objects', names=', '.join(missing))}\n{config.main.name} exports these Durable Object classes: {there}. A class is exported when it "
        "is a subclass of workers.DurableObject and its name begins with no underscore (or stands in __all__)."
    )
