"""What the dashboard's API sees of a session, and can do to it. The session fills it in (session/dashboard.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from wrangler_py.clock import Clock
from wrangler_py.config.model import SessionConfig, WorkerConfig
from wrangler_py.cron.runs import RunRecord
from wrangler_py.events.log import EventLog
from wrangler_py.events.recorder import Recorder
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.bulk import BulkChanges
from wrangler_py.queues.consumer import QueueConsumer
from wrangler_py.server.control import Call as ControlCall
from wrangler_py.store.database import Store


class HostedRuntime(Protocol):
    """What the API shows of a runtime."""

    name: str
    broken: str | None
    handlers: tuple[str, ...]


class HostedWorker(Protocol):
    """What the API shows of a worker of the session."""

    config: WorkerConfig
    consumers: dict[str, QueueConsumer]
    refused: str | None

    @property
    def runtime(self) -> HostedRuntime: ...

    @property
    def starting(self) -> bool: ...


class Workers(Protocol):
    """The workers of the session."""

    def all(self) -> Sequence[HostedWorker]: ...

    def consumer(self, queue: str) -> QueueConsumer | None: ...


class Crons(Protocol):
    """The crons of the session."""

    def describe(self) -> dict[str, Any]: ...

    def history(self) -> list[RunRecord]: ...


@dataclass(slots=True)
class SessionView:
    """Built by the session."""

    store: Store
    clock: Clock
    events: EventLog
    broker: Broker
    recorder: Recorder | None
    workers: Workers
    crons: Crons
    config: Callable[[], SessionConfig]
    #: What the control API can do, by "POST clock/advance".
    controls: Mapping[str, ControlCall]
    #: Where the session is served.
    url: str
    readonly: bool
    #: What the page must show to change something.
    page_token: str
    bulk: BulkChanges
    #: Texts about the session that its user should know: (level, text, queue).
    advice: Callable[[], list[tuple[str, str, str | None]]] = field(default=list)
