"""`wpy.objects["COUNTER"]`: Durable Objects, their methods and their alarms."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from wrangler_py.testing.errors import KitError
from wrangler_py.testing.values import as_datetime

if TYPE_CHECKING:
    from wrangler_py.durable_objects.alarms import Alarm
    from wrangler_py.testing.kit import Wpy

__tracebackhide__ = True


class Objects:
    """The Durable Object namespaces of the first worker, by binding."""

    def __init__(self, wpy: Wpy) -> None:
        self._wpy = wpy

    def __getitem__(self, binding: str) -> Namespace:
        worker = self._wpy.config.workers[0]
        for one in worker.durable_objects:
            if one.name == binding:
                return Namespace(self._wpy, binding, getattr(one, "script_name", None) or worker.name, one.class_name)
        have = ", ".join(one.name for one in worker.durable_objects) or "none"
        raise KitError(f'{self._wpy.name}: {worker.name} has no Durable Object binding "{binding}". It has: {have}.')


class Namespace:
    """The objects of one class."""

    def __init__(self, wpy: Wpy, binding: str, worker: str, class_name: str) -> None:
        self._wpy = wpy
        self.binding = binding
        self.worker = worker
        self.class_name = class_name

    def by_name(self, name: str) -> ObjectHandle:
        """The object of a name."""
        return ObjectHandle(self, name)

    @property
    def alarms(self) -> dict[str, datetime]:
        """When each object that has an alarm is woken, by its name, or its id where it has none."""
        return {alarm.name or alarm.id: as_datetime(alarm.time_ms) for alarm in self._alarms()}

    def _alarms(self) -> list[Alarm]:
        alarms = self._wpy.emulator.objects.alarms.all()
        return [alarm for alarm in alarms if (alarm.worker, alarm.class_name) == (self.worker, self.class_name)]


class ObjectHandle:
    """One object."""

    def __init__(self, namespace: Namespace, name: str) -> None:
        self._namespace = namespace
        self._wpy = namespace._wpy
        self.name = name

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method, as a Worker does."""
        await self._wpy.start()

        async def run() -> Any:
            stub = getattr(self._wpy.env, self._namespace.binding).getByName(self.name)
            return await getattr(stub, method)(*args)

        return await self._wpy.driver.drive(self._wpy.driver.as_event(self._wpy.config.workers[0].name, run))

    async def evict(self) -> bool:
        """Take its memory away, as happens to an object that is idle: its next event constructs it anew. False: it was not
        in memory."""
        await self._wpy.start()
        process = self._wpy.emulation.runtime(self._namespace.worker).process
        objects = None if process is None else process.dispatcher._objects
        for instance in [] if objects is None else list(objects._awake.values()):
            if instance.class_name == self._namespace.class_name and instance.id.name == self.name:
                instance.object = None
                return True
        return False

    @property
    def alarm(self) -> datetime | None:
        """When it is woken; None: it has no alarm."""
        return self._namespace.alarms.get(self.name)

    async def run_alarm(self) -> str:
        """Call its `alarm()` now, and not when it is due; the outcome. Raises KitError when it has none."""
        await self._wpy.start()
        for alarm in self._namespace._alarms():
            if alarm.name == self.name:
                outcome = await self._wpy.driver.drive(self._wpy.emulator.objects.alarms.run_now(alarm))
                self._wpy.driver.raise_troubles()
                return "running" if outcome is None else outcome.outcome
        have = ", ".join(self._namespace.alarms) or "none"
        raise KitError(f'{self._wpy.name}: the object "{self.name}" has no alarm. With an alarm: {have}.')
