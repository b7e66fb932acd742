"""All Durable Objects of a worker's process: which are awake, and whether this process may have them at all.

One process has a worker's objects at a time. The server says which (OBJECTS): before a new version gets them, the old one
has let go of them. A lock on a file keeps it so beside other sessions, and when the server was killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .. import frames, logs, outcome, texts
from ..connection import Connection
from ..loop import Hub
from ..shims.js.core import js_error
from . import limits
from .alarm_index import AlarmIndex
from .database import Database
from .ids import DurableObjectId, IdFactory
from .instance import ObjectInstance, current_object
from .lock import HeldElsewhere, lock

#: What running events get to finish in when a new version takes over (seconds).
_RELEASE_S = 1.0


@dataclass
class ObjectClass:
    """A class that the worker exports. `sqlite`: it came with `new_sqlite_classes`, or with no migration at all."""

    cls: Any
    sqlite: bool


class Objects:
    """The objects of this process."""

    def __init__(
        self, hub: Hub, connection: Connection, spec: dict[str, Any], env: Any, session_ms: Callable[[], int]
    ) -> None:
        """`spec`: LOAD's. `session_ms`: what the session's clock shows."""
        self.hub = hub
        self.connection = connection
        self.env = env
        self.worker = spec["name"]
        self._flags = spec.get("flags") or {}
        self._session_ms = session_ms
        durable = spec["durable"]
        self._folder = durable["folder"]
        self._kv_classes = frozenset(durable["kv_classes"])
        self.classes: dict[str, ObjectClass] = {}
        self._awake: dict[tuple[str, str], ObjectInstance] = {}
        self._owners: dict[Database, ObjectInstance] = {}
        self._dirty: dict[Database, None] = {}
        self._indices: dict[str, AlarmIndex] = {}
        self._lock: Any = None
        #: "waiting" for its turn, "open", or "closed": another process has them.
        self.state = "waiting"
        self._opened: asyncio.Future[None] = hub.create_future()
        self._failure: str | None = None
        self._held_elsewhere = False
        self._reopening: asyncio.Task[None] | None = None
        #: What resets objects for a new version.
        self.updated = js_error("Error", texts.OBJECTS_MOVED)
        self._sweeping = False
        hub.before_output = self.commit_all
        hub.unsaved = lambda: bool(self._dirty)

    def flag(self, name: str) -> bool:
        return bool(self._flags.get(name))

    def define(self, module: ModuleType) -> list[str]:
        """Find the classes that the user's module exports; their names."""
        base = sys.modules["workers"].DurableObject
        names = getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]
        for name in names:
            value = getattr(module, name, None)
            if isinstance(value, type) and issubclass(value, base) and value is not base:
                self.classes[name] = ObjectClass(value, name not in self._kv_classes)
        if self.classes:
            self.hub.set_task_factory(_tracking)
        return list(self.classes)

    def ids(self, class_name: str) -> IdFactory:
        return IdFactory(self.worker, class_name)

    def path(self, class_name: str, object_id: str) -> str:
        return os.path.join(self._class_folder(class_name), f"{object_id}.sqlite")  # noqa: PTH118

    def _class_folder(self, class_name: str) -> str:
        return os.path.join(self._folder, f"{self.worker}-{class_name}")  # noqa: PTH118

    # --- whose objects they are ---------------------------------------------------------------------------------------

    def told(self, open_them: bool) -> None:
        """OBJECTS: they are this process's now, or another's."""
        if open_them:
            self.hub.create_task(self._open())
        else:
            self.hub.create_task(self._close())

    async def _open(self) -> None:
        alarms = []
        failed, self._failure, self._held_elsewhere = self._failure, None, False
        try:
            await self._take_lock()
            alarms = self._all_alarms()
        except Exception as error:  # the folder cannot be written, the lock is held: every event is told so
            self._failure = f"Durable Objects of {self.worker}: {error}"
            self._held_elsewhere = isinstance(error, HeldElsewhere)
            if self._failure != failed:
                logs.emit("error", self._failure)
        self.state = "open"
        if not self._opened.done():
            self._opened.set_result(None)
        self.connection.send(frames.OBJECTS_ARE, "open", alarms)

    def _all_alarms(self) -> list[tuple[str, str, str | None, int, int]]:
        return [
            (name, *alarm)
            for name in self.classes
            if os.path.isdir(self._class_folder(name))  # noqa: PTH112
            for alarm in self._index(name).all()
        ]

    async def _take_lock(self) -> None:
        os.makedirs(self._folder, exist_ok=True)  # noqa: PTH103
        path = os.path.join(self._folder, f"{self.worker}.lock")  # noqa: PTH118
        self._lock = await lock(path)

    async def _close(self) -> None:
        self.state = "closed"
        running = {future for instance in self._awake.values() for future in instance.running}
        if running:
            await asyncio.wait(running, timeout=_RELEASE_S)
        for instance in list(self._awake.values()):
            if instance.running or instance.sockets:
                instance.reset(self.updated)
        for instance in list(self._awake.values()):
            try:
                instance.release()
            except Exception as error:
                logs.emit("error", outcome.format_exception(error))
        self._awake.clear()
        for index in self._indices.values():
            index.close()
        self._indices.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self.connection.send(frames.OBJECTS_ARE, "closed", [])

    async def here(self) -> bool:
        """Wait until the objects are this process's. False: they are another's by now. Raises JavaScript's Error."""
        if self.state == "waiting":
            await asyncio.shield(self._opened)
        if self._held_elsewhere and self.state == "open":  # the other session may have ended
            if self._reopening is None or self._reopening.done():
                self._reopening = self.hub.create_task(self._open())
            await asyncio.shield(self._reopening)
        if self._failure is not None:
            raise js_error("Error", self._failure)
        return self.state == "open"

    # --- objects --------------------------------------------------------------------------------------------------------

    def find(self, class_name: str, object_id: DurableObjectId) -> ObjectInstance:
        """The object, asleep or not. Raises JavaScript's Error for a class that the worker does not export."""
        if class_name not in self.classes:
            raise js_error("Error", no_class(class_name, list(self.classes)))
        key = class_name, object_id.toString()
        found = self._awake.get(key)
        if found is None:
            found = self._awake[key] = ObjectInstance(self, class_name, object_id)
            self._owners[found.database] = found
            self._sweep_later()
        elif found.id.name is None and object_id.name is not None:
            found.id._name = object_id.name
        return found

    def forget(self, instance: ObjectInstance) -> None:
        key = instance.class_name, instance.id.toString()
        if self._awake.get(key) is instance:
            del self._awake[key]
        self._owners.pop(instance.database, None)
        self._dirty.pop(instance.database, None)

    def _sweep_later(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self.hub.call_later(limits.IDLE_S, self._sweep)

    def _sweep(self) -> None:
        """Objects that nothing holds awake lose their memory, and keep their sockets, ten seconds after their last event."""
        self._sweeping = False
        timers = {
            id(instance)
            for handle in self.hub._scheduled
            if not handle._cancelled and (instance := handle._context.get(current_object)) is not None
        }
        now = self.hub.time()
        for instance in list(self._awake.values()):
            if instance.idle and now - instance.last_used >= limits.IDLE_S and id(instance) not in timers:
                instance.object = None
                if not instance.sockets:
                    self.forget(instance)
                    instance.release()
        if self._awake:
            self._sweep_later()

    def socket_event(self, instance: ObjectInstance, socket: Any, kind: str, args: tuple[Any, ...]) -> None:
        async def run() -> None:
            try:
                await instance.socket_handler(socket, kind, args)
            except Exception as error:
                logs.emit("error", outcome.format_exception(error))

        task = self.hub.create_task(run())
        instance.running.add(task)
        task.add_done_callback(instance.running.discard)

    # --- durability -----------------------------------------------------------------------------------------------------

    def began(self, database: Database) -> None:
        """The first write of a turn: it is committed at the turn's end at the latest."""
        if not self._dirty:
            self.hub.call_soon(self.commit_all)
        self._dirty[database] = None

    def commit_all(self) -> None:
        """Commit what this turn has written: something is about to leave the process, or the turn is over."""
        while self._dirty:
            database = next(iter(self._dirty))
            instance = self._owners.get(database)
            if instance is None or database.depth:
                del self._dirty[database]
            else:
                try:
                    instance.commit()
                except Exception:  # the object was reset, and whoever waits for it is told
                    self._dirty.pop(database, None)

    def commit(self, database: Database, instance: ObjectInstance) -> None:
        """Commit one object's turn; its alarm and the index of alarms move together. Raises sqlite3.Error."""
        self._dirty.pop(database, None)
        if not database.dirty:
            return
        if database.depth:
            return
        if not database.alarm_moved:
            database.commit()
            return
        index = self._index(instance.class_name)
        object_id, name = instance.id.toString(), instance.id.name
        time_ms = database.alarm()
        due_ms = None if time_ms is None else self._session_ms() + max(0, time_ms - int(time.time() * 1000))
        before = index.due(object_id)
        if time_ms is not None and due_ms is not None and (before is None or due_ms < before):
            index.put(object_id, name, time_ms, due_ms)
        database.commit()
        database.alarm_moved = False
        if time_ms is None or due_ms is None:
            index.remove(object_id)
        else:
            index.put(object_id, name, time_ms, due_ms)
        change = (instance.class_name, object_id, name, time_ms, due_ms)
        self.connection.send(frames.OBJECTS_ARE, "alarms", [change])

    def restore_alarm(self, class_name: str, object_id: str, name: str | None, time_ms: int) -> None:
        """The index said another time than the object: put it right, and tell the server."""
        index = self._index(class_name)
        if time_ms < 0:
            index.remove(object_id)
            change: tuple[Any, ...] = (class_name, object_id, name, None, None)
        else:
            due_ms = self._session_ms() + max(0, time_ms - int(time.time() * 1000))
            index.put(object_id, name, time_ms, due_ms)
            change = (class_name, object_id, name, time_ms, due_ms)
        self.connection.send(frames.OBJECTS_ARE, "alarms", [change])

    def _index(self, class_name: str) -> AlarmIndex:
        if class_name not in self._indices:
            self._indices[class_name] = AlarmIndex(self._class_folder(class_name))
        return self._indices[class_name]


def no_class(class_name: str, known: list[str]) -> str:
    """The worker does not export what a binding names."""
    there = f"There are: {', '.join(known)}." if known else "It exports none."
    return f"The Worker exports no Durable Object class {class_name}. {there}"


def _tracking(loop: Any, coro: Any, context: Any = None, **options: Any) -> Any:
    """A task factory that tells an object of the tasks that its code starts, because they keep it awake."""
    instance = current_object.get() if context is None else context.get(current_object)
    if context is not None:
        options["context"] = context
    task = asyncio.Task(coro, loop=loop, **options)
    if instance is not None:
        instance.tasks.add(task)
        task.add_done_callback(instance.tasks.discard)
    return task
