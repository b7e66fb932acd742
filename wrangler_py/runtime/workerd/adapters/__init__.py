"""What a JavaScript Worker's bindings reach: workerd's requests turned into calls of the session's engines, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

    from wrangler_py.bindings.cache import CacheStore
    from wrangler_py.bindings.storage import BindingStorage
    from wrangler_py.runtime.base import KeepingQueues
    from wrangler_py.runtime.workerd.adapters.services import AssetFetch
    from wrangler_py.runtime.workerd.adapters.small import SmallCall
    from wrangler_py.runtime.workerd.loopback import Handler
    from wrangler_py.runtime.workerd.rpc import ServiceCalls


class Backends(Struct, frozen=True):
    """What the Workers' bindings reach."""

    queues: KeepingQueues
    storage: BindingStorage
    cache: Callable[[], CacheStore]
    services: ServiceCalls
    assets: AssetFetch
    small: SmallCall
    #: Where sends may be kept until they are stored (kept_sends.py); None: nowhere.
    outbox: Path | None = None


def make(kind: str, backends: Backends) -> Handler | None:
    """Who answers the requests of one kind of binding; imported when the first one comes."""
    if kind == "kv":
        from wrangler_py.runtime.workerd.adapters.kv import KvAdapter

        return KvAdapter(backends.storage)
    if kind == "d1":
        from wrangler_py.runtime.workerd.adapters.d1 import D1Adapter

        return D1Adapter(backends.storage)
    if kind == "r2":
        from wrangler_py.runtime.workerd.adapters.r2 import R2Adapter

        return R2Adapter(backends.storage)
    if kind == "cache":
        from wrangler_py.runtime.workerd.adapters.cache import CacheAdapter

        return CacheAdapter(backends.cache())
    if kind == "small":
        from wrangler_py.runtime.workerd.adapters.small import SmallAdapter

        return SmallAdapter(backends.small)
    if kind == "workflow":
        from wrangler_py.runtime.workerd.adapters.workflows import WorkflowAdapter

        return WorkflowAdapter(backends.small)
    if kind in ("service", "rpc", "assets"):
        from wrangler_py.runtime.workerd.adapters.services import AssetsAdapter, RpcAdapter, ServiceAdapter

        if kind == "assets":
            return AssetsAdapter(backends.assets)
        return ServiceAdapter(backends.services) if kind == "service" else RpcAdapter(backends.services)
    return None
