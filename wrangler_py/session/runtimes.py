"""Which runtime runs a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from wrangler_py.config.model import WorkerConfig
from wrangler_py.runtime.base import LoadResult, Runtime


class HostedRuntime(Runtime, Protocol):
    """What a session asks of a runtime beside running events: to load code, to end, and to say how it stands."""

    #: The traceback of the last load that failed while nothing serves, or None.
    broken: str | None
    #: The handlers that the loaded code has ("fetch", "queue", "scheduled", ...).
    handlers: tuple[str, ...]

    async def load(self, config: WorkerConfig | None = None) -> LoadResult:
        """Load the code (again) and swap it in. When it cannot be loaded, what served before goes on serving."""
        ...

    async def close(self, grace_s: float = 1.0) -> None:
        """Start nothing more, give what runs `grace_s` seconds, and end."""
        ...

    # The worker's own clock (`--worker-clock`); a runtime without one answers: rests, never sleeps.

    @property
    def resting(self) -> bool:
        """Whether it has done what there was to do at the time that it was told."""
        ...

    @property
    def drains_asleep(self) -> bool:
        """Whether the versions before this one are there only because their handlers sleep until the clock moves."""
        ...

    def sleeping(self, kind: str) -> int:
        """How many events of a kind go on only when the clock moves."""
        ...

    def tell_time(self, *, on_the_way: bool) -> None:
        """The session's clock was frozen, moved or set running; `on_the_way`: it is being moved."""
        ...


#: Told when queue batches and crons may start (True) and when they must wait (False).
Gate = Callable[[bool], None]
#: Makes the runtime of a worker.
MakeRuntime = Callable[[WorkerConfig, Gate], HostedRuntime]
