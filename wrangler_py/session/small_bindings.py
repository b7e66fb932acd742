"""What answers the small bindings of Python Workers: assets, rate limits, Analytics Engine, Secrets Store, email."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wrangler_py.bindings.cache import CacheStore
from wrangler_py.bindings.cache_answers import answer_to
from wrangler_py.bindings.ratelimit import RateLimiter
from wrangler_py.bindings.small_state import SmallState
from wrangler_py.clock import Clock
from wrangler_py.config.model import WorkerConfig
from wrangler_py.events.log import EventLog
from wrangler_py.runtime.python.bindings import BindingHandler, CallContext, CallError

if TYPE_CHECKING:
    from wrangler_py.bindings.assets.serve import AssetServer


class SiteAssets:
    """The asset server of each worker that has assets."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._servers: dict[str, tuple[Any, AssetServer]] = {}

    def of(self, worker: WorkerConfig) -> AssetServer | None:
        """The server of a worker's assets; None when it has none."""
        settings = worker.assets
        if settings is None or settings.directory is None:
            return None
        known = self._servers.get(worker.name)
        if known is None or known[0] != settings:
            from wrangler_py.bindings.assets.serve import AssetServer

            server = AssetServer(
                settings.directory,
                html_handling=settings.html_handling,
                not_found_handling=settings.not_found_handling,
                run_worker_first=settings.run_worker_first,
                compatibility_date=worker.compatibility_date,
                compatibility_flags=worker.compatibility_flags,
                tell=lambda file, fault: self._warn(worker.name, f"{file}:{fault.line}: {fault.text}; it is ignored"),
            )
            known = self._servers[worker.name] = (settings, server)
            for path in server.files.too_large():
                self._warn(
                    worker.name, f"the asset {path} is larger than 25 MiB: Cloudflare refuses it, and so does wpy"
                )
        return known[1]

    def _warn(self, worker: str, text: str) -> None:
        self._events.emit("worker.warned", worker=worker, text=text)


class _AssetsHandler:
    def __init__(self, assets: SiteAssets, config: Callable[[str], WorkerConfig]) -> None:
        self._assets = assets
        self._config = config

    async def call(self, method: str, args: tuple[Any, ...], context: CallContext) -> Any:
        server = self._assets.of(self._config(context.worker))
        if server is None:
            raise CallError("Error", f"env.{context.binding}: the config gives no `directory` of assets")
        answer = server.answer(*args)
        return answer.status, answer.headers, answer.body


class _RateLimitHandler:
    def __init__(self, clock: Clock) -> None:
        self._limiter = RateLimiter(clock)

    async def call(self, method: str, args: tuple[Any, ...], context: CallContext) -> Any:
        return self._limiter.limit(context.spec["namespace_id"], *args)


class _AnalyticsHandler:
    def __init__(self, state: SmallState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def call(self, method: str, args: tuple[Any, ...], context: CallContext) -> Any:
        self._state.write_point(context.spec["dataset"], int(self._clock.now_ms()), context.worker, *args)


class _SecretsHandler:
    def __init__(self, state: SmallState) -> None:
        self._state = state

    async def call(self, method: str, args: tuple[Any, ...], context: CallContext) -> Any:
        store_id, name = context.spec["store_id"], context.spec["secret_name"]
        value = self._state.secret(store_id, name)
        if value is None:
            raise CallError("Error", f'Secret "{name}" not found')  # miniflare's text
        return value


class _EmailHandler:
    def __init__(self, state: SmallState, clock: Clock, events: EventLog) -> None:
        self._state = state
        self._clock = clock
        self._events = events

    async def call(self, method: str, args: tuple[Any, ...], context: CallContext) -> Any:
        from wrangler_py.bindings import email  # most sessions send none

        (fields,) = args
        allowed = context.spec.get("destination_address")
        try:
            email.check(fields, [allowed] if allowed else context.spec.get("allowed_destination_addresses"))
        except email.EmailRefused as refusal:
            raise CallError("Error", str(refusal)) from None
        now_ms = int(self._clock.now_ms())
        message_id = self._state.keep_email(now_ms, context.worker, context.binding, fields)
        path = email.write(self._state.path.parent / email.FOLDER, now_ms, message_id, fields)
        to, subject = ", ".join(email.recipients(fields)), fields["subject"] or "(no subject)"
        text = f"env.{context.binding}: email to {to} kept, not sent: {subject}\n  {path}"
        self._events.emit("worker.printed", worker=context.worker, event="", level="info", text=text)
        return message_id


class _CacheHandler:
    def __init__(self, clock: Clock) -> None:
        self._cache = CacheStore(clock)

    async def call(self, method: str, args: tuple[Any, ...], context: CallContext) -> Any:
        operation, name, url, *rest = args
        if operation == "match":
            found = self._cache.match(name, url)
            return None if found is None else answer_to(rest[0], found)
        if operation == "delete":
            return self._cache.delete(name, url)
        status, headers, body = rest
        self._cache.put(name, url, status, tuple(headers), body)
        return None


def small_handlers(
    state: SmallState, clock: Clock, events: EventLog, assets: SiteAssets, config: Callable[[str], WorkerConfig]
) -> dict[str, BindingHandler]:
    """The handlers by kind (binding_specs.py). `config` gives the config of a worker, by name, as it is now."""
    return {
        "cache": _CacheHandler(clock),
        "assets": _AssetsHandler(assets, config),
        "ratelimit": _RateLimitHandler(clock),
        "analytics": _AnalyticsHandler(state, clock),
        "secret": _SecretsHandler(state),
        "email": _EmailHandler(state, clock, events),
    }
