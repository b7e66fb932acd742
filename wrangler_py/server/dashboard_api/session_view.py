"""What the dashboard's API sees of a session, and can do to it. The session fills it in (session/dashboard.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from wrangler_py.clock import Clock
from wrangler_py.config.model import SessionConfig, WorkerConfig
from wrangler_py.cron.runs import RunRecord
from wrangler_py.events.log import EventLog
from wrangler_py.events.recorder import Recorder
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.bulk import BulkChanges
from wrangler_py.queues.consumer import QueueConsumer
from wrangler_py.queues.faults import QueueFaults
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


class ObjectRoom(Protocol):
    """The Durable Objects of the session, by worker and class."""

    async def listed(self, worker: str, name: str, q: str, offset: int, limit: int) -> dict[str, Any]: ...

    async def one(self, worker: str, name: str, object_id: str) -> dict[str, Any]: ...

    async def rows(
        self, worker: str, name: str, object_id: str, table: str, offset: int, limit: int
    ) -> dict[str, Any]: ...


class StateRoom(Protocol):
    """What stands behind the bindings (session/state_browser.py)."""

    @property
    def objects(self) -> ObjectRoom: ...

    async def overview(self) -> dict[str, Any]: ...

    async def kv_keys(self, namespace: str, prefix: str, cursor: str | None, limit: int) -> dict[str, Any]: ...

    async def kv_value(self, namespace: str, key: str) -> dict[str, Any]: ...

    async def kv_put(self, namespace: str, key: str, value: bytes, ttl: int | None, metadata: str | None) -> None: ...

    async def kv_delete(self, namespace: str, keys: Sequence[str]) -> None: ...

    async def d1_tables(self, database: str) -> dict[str, Any]: ...

    async def d1_rows(self, database: str, table: str, offset: int, limit: int) -> dict[str, Any]: ...

    async def d1_query(self, database: str, sql: str) -> dict[str, Any]: ...

    async def r2_objects(
        self, bucket: str, prefix: str, folders: bool, cursor: str | None, limit: int
    ) -> dict[str, Any]: ...

    async def r2_object(self, bucket: str, key: str) -> dict[str, Any]: ...

    async def r2_put(self, bucket: str, key: str, body: bytes, content_type: str | None) -> None: ...

    async def r2_delete(self, bucket: str, keys: Sequence[str]) -> None: ...


class SessionView(Struct):
    """Built by the session."""

    store: Store
    clock: Clock
    events: EventLog
    broker: Broker
    recorder: Recorder | None
    workers: Workers
    crons: Crons
    state: StateRoom
    faults: QueueFaults
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
    advice: Callable[[], list[tuple[str, str, str | None]]] = list
