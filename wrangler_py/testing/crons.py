"""`wpy.crons["0 * * * *"]`: when a cron fires, when it has fired, and how that went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from wrangler_py.events.log import Event
from wrangler_py.testing.errors import KitError
from wrangler_py.testing.results import ScheduledResult
from wrangler_py.testing.values import Moment, as_datetime

if TYPE_CHECKING:
    from wrangler_py.testing.kit import Wpy

__tracebackhide__ = True


@dataclass(frozen=True, slots=True)
class CronRun:
    """One run of a cron."""

    worker: str
    cron: str
    #: The moment that it was planned for.
    scheduled: datetime
    outcome: str
    no_retry: bool
    error: str | None
    #: "clock", "manual", "catch-up", ...
    trigger: str


def unknown_cron(cron: str, known: Sequence[str]) -> str:
    """What stands behind the name of who has no such cron: which one may have been meant, and those that there are."""
    from wrangler_py.cron.advice import nearest

    meant = nearest(cron, known)
    near = f' Did you mean "{meant}"?' if meant is not None else ""
    have = ", ".join(f'"{one}"' for one in known) or "none"
    return f'has no cron "{cron}" in its config.{near} It has: {have}.'


class Crons:
    """All crons of the project."""

    def __init__(self, wpy: Wpy) -> None:
        self._wpy = wpy
        self.runs: list[CronRun] = []

    def started(self) -> None:
        """The emulator runs: note what fires."""
        self._wpy.emulator.events.subscribe(self._heard)

    def forget(self) -> None:
        """The test begins anew."""
        self.runs.clear()

    def _heard(self, event: Event) -> None:
        if event.kind == "cron.finished":
            data = event.data
            scheduled = as_datetime(data["scheduled_ms"])
            self.runs.append(
                CronRun(
                    data["worker"],
                    data["cron"],
                    scheduled,
                    data["outcome"],
                    data["no_retry"],
                    data["error"],
                    data["trigger"],
                )
            )

    def expressions(self) -> list[str]:
        """The expressions of the config."""
        return [cron for worker in self._wpy.config.workers for cron in worker.crons]

    def __iter__(self) -> Iterator[CronHandle]:
        return iter([self[cron] for cron in self.expressions()])

    def __getitem__(self, cron: str) -> CronHandle:
        if cron not in self.expressions():
            raise KitError(f"{self._wpy.name}: the project {unknown_cron(cron, self.expressions())}")
        return CronHandle(self._wpy, self, cron)

    async def trigger(self, cron: str | None = None, scheduled_time: Moment | None = None) -> ScheduledResult:
        """Run a cron now, whatever the clock shows; the same as `worker.scheduled`."""
        return await self._wpy.worker.scheduled(cron, scheduled_time)

    def next(self, cron: str, n: int = 1) -> list[datetime]:
        """The next `n` times that an expression fires, from what the clock shows on."""
        from itertools import islice

        from wrangler_py.cron.schedule import Schedule

        schedule = Schedule(cron)
        return [as_datetime(ms) for ms in islice(schedule.iter_after(self._wpy.clock.now_ms), n)]

    def pause(self) -> None:
        """Let ticks pass by."""
        self._wpy.emulator.crons.pause()

    def resume(self) -> None:
        """Fire again."""
        self._wpy.emulator.crons.resume()


class CronHandle:
    """One expression."""

    def __init__(self, wpy: Wpy, crons: Crons, cron: str) -> None:
        self._wpy = wpy
        self._crons = crons
        self.cron = cron

    @property
    def runs(self) -> list[CronRun]:
        """Its runs so far."""
        return [run for run in self._crons.runs if run.cron == self.cron]

    @property
    def fired(self) -> list[str]:
        """The moments that its runs were planned for, as "2026-03-29T01:00:00Z"."""
        return [run.scheduled.strftime("%Y-%m-%dT%H:%M:%SZ") for run in self.runs]

    def next(self, n: int = 1) -> list[datetime]:
        """The next `n` times that it fires."""
        return self._crons.next(self.cron, n)

    async def trigger(self, scheduled_time: Moment | None = None) -> ScheduledResult:
        """Run it now."""
        for worker in self._wpy.config.workers:
            if self.cron in worker.crons:
                return await self._wpy.workers[worker.name].scheduled(self.cron, scheduled_time)
        raise KitError(f'No worker has the cron "{self.cron}".')
