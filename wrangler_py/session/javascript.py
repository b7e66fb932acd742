"""The workerd of a session (runtime/workerd/), and what the bindings of its JavaScript Workers reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from wrangler_py.bindings.storage import BindingStorage
from wrangler_py.clock import Clock
from wrangler_py.config.model import WorkerConfig
from wrangler_py.events.log import EventLog
from wrangler_py.queues.broker import Broker
from wrangler_py.runtime.base import FetchRequest, FetchResponse
from wrangler_py.runtime.python.binding_specs import binding_specs
from wrangler_py.runtime.python.bindings import BindingHandler, CallContext, CallError
from wrangler_py.runtime.python.process import WorkerProcess
from wrangler_py.runtime.python.session_calls import Streams
from wrangler_py.runtime.services import Services
from wrangler_py.runtime.workerd.adapters import Backends
from wrangler_py.runtime.workerd.adapters.small import SmallCall, SmallCallRefused
from wrangler_py.runtime.workerd.host import HostOptions, WorkerdHost
from wrangler_py.session.small_bindings import SiteAssets
from wrangler_py.store.database import Store

if TYPE_CHECKING:
    from wrangler_py.bindings.cache import CacheStore


def make_host(
    broker: Broker,
    storage: BindingStorage,
    services: Services,
    assets: SiteAssets,
    handlers: Mapping[str, BindingHandler],
    config_of: Callable[[str], WorkerConfig],
    clock: Clock,
    events: EventLog,
    store: Store,
    inspector_port: int | None,
    outbox: Path | None,
) -> WorkerdHost:
    """`outbox`: where sends may be kept until they are stored. `handlers`: who answers the bindings with one method, by kind; the same as for Python Workers."""

    def answer_of_assets(worker: str, request: FetchRequest) -> FetchResponse | None:
        server = assets.of(config_of(worker))
        if server is None:
            return None
        answer = server.answer(request.method, request.url, request.headers)
        return FetchResponse(answer.status, answer.headers, answer.body)

    small = _small_calls(handlers, config_of)
    backends = Backends(broker, storage, lambda: _cache(clock), services, answer_of_assets, small, outbox)
    return WorkerdHost(backends, events, store.path.parent, HostOptions(inspector_port))


def _cache(clock: Clock) -> CacheStore:
    from wrangler_py.bindings.cache import CacheStore

    return CacheStore(clock)


def _small_calls(handlers: Mapping[str, BindingHandler], config_of: Callable[[str], WorkerConfig]) -> SmallCall:
    async def call(worker: str, binding: str, method: str, args: tuple[Any, ...]) -> Any:
        spec = binding_specs(config_of(worker))[binding]
        # No handler of these kinds asks for a Python Worker's process or streams.
        context = CallContext(worker, binding, spec, 0, cast("WorkerProcess", None), cast("Streams", None))
        try:
            return await handlers[spec["kind"]].call(method, args, context)
        except CallError as error:
            raise SmallCallRefused(error.message) from None

    return call
