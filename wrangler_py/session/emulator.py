"""The emulator: the rooms of one session, built from a config, a state folder and a clock, and tied together.

It has no terminal, no signals, no watcher and no port. `wpy dev` puts those around it, and the test kit does not.

Where something new is added:

- what hears every event (a recorder): `_listen`
- what `env.<BINDING>` reaches (the state of KV, D1, ...): `_open_bindings`
- what runs a worker (by its language): `_make_runtime`
- what HTTP reaches beside the workers (an API, a page): `front_door`
- work that goes on beside the workers (a loop, a sweep): `start`; it ends in `stop`
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from wrangler_py.bindings.small_state import SmallState
from wrangler_py.bindings.storage import BindingStorage
from wrangler_py.clock import SessionClock
from wrangler_py.config.model import SessionConfig, WorkerConfig
from wrangler_py.events.log import EventLog
from wrangler_py.events.recorder import Recorder, RecordLimits
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.faults import QueueFaults
from wrangler_py.queues.limits import MINIFLARE_MAX_BATCH_BYTES, WALL_LIMIT_SECONDS
from wrangler_py.runtime.outbox_home import OutboxHome
from wrangler_py.runtime.python.bindings import BindingHandler
from wrangler_py.runtime.python.clocked import WorkerClocks
from wrangler_py.runtime.python.runtime import PythonRuntime
from wrangler_py.runtime.python.spawn import SpawnedProcess
from wrangler_py.runtime.python.storage_calls import storage_handlers
from wrangler_py.runtime.services import AssetsOfWorker, Services
from wrangler_py.server.control import ControlApi
from wrangler_py.server.dashboard_api.door import DashboardDoor
from wrangler_py.server.front_door import FrontDoor
from wrangler_py.server.guard import LOCAL_HOSTS
from wrangler_py.server.rest.door import RestDoor, RestOptions
from wrangler_py.server.triggers import Triggers
from wrangler_py.session.attaching import attach, refuse_second_consumer
from wrangler_py.session.clockwork import Clockwork, Driven
from wrangler_py.session.control import clock_calls, cron_calls, queue_calls, record_calls
from wrangler_py.session.crons import SessionCrons
from wrangler_py.session.dashboard import dashboard_door
from wrangler_py.session.durable import SessionObjects, alarm_calls
from wrangler_py.session.hosted_workers import HostedWorker, WorkerSet
from wrangler_py.session.neighbours import Neighbours
from wrangler_py.session.runtimes import Gate, HostedRuntime
from wrangler_py.session.small_bindings import SiteAssets, small_handlers
from wrangler_py.session.workflows import SessionWorkflows, workflow_calls
from wrangler_py.store.database import Store
from wrangler_py.store.sessions import Session, living_sessions, open_session

if TYPE_CHECKING:
    from wrangler_py.runtime.workerd.host import WorkerdHost


#: How long a start waits for what dead sessions have left to be stored (seconds).
_LOOK_WAIT_S = 2.0


class EmulatorOptions(Struct, frozen=True):
    """How a session differs from the usual one."""

    #: Whether the clock fires crons.
    crons: bool = True
    #: Crons that were missed while the machine slept are fired afterwards.
    cron_catch_up: bool = False
    #: The workers' own clocks and sleeps follow the session's.
    worker_clock: bool = False
    #: Queues are as in `wrangler dev` where it differs from production.
    compat_miniflare: bool = False
    #: How long a handler of a batch or a cron may run (seconds).
    wall_limit_s: float = WALL_LIMIT_SECONDS
    #: Host names that requests to wpy's own paths may be for (server/guard.py).
    allowed_hosts: Collection[str] = LOCAL_HOSTS
    #: What the REST API asks of other machines; None: it refuses them.
    api_token: str | None = None
    #: Where Chrome DevTools may connect to the JavaScript Workers; None: nowhere.
    inspector_port: int | None = None
    #: KV, D1 and R2 work in threads of their own; False: at once, in the loop's thread, so that a run can be repeated.
    storage_threads: bool = True
    #: A debugger may hold Python workers for as long as it likes.
    debugger: bool = False
    #: How much the record of what happened (events/) keeps; None: nothing is recorded.
    record: RecordLimits | None = field(default_factory=RecordLimits)
    #: Whether the dashboard, its API and the figures for Prometheus are served.
    dashboard: bool = True
    #: Through the dashboard nothing can be changed.
    readonly: bool = False


class Emulator:
    """The rooms of a session. Make it, `load`, `start`; `apply` a changed config; `stop`, `close`.

    `close` must follow, whatever happened in between; it leaves the state folder. The store is the caller's to close.
    """

    def __init__(
        self,
        config: SessionConfig,
        store: Store,
        clock: SessionClock,
        events: EventLog,
        options: EmulatorOptions | None = None,
        *,
        first: SpawnedProcess | None = None,
        python_runtime: Callable[..., HostedRuntime] = PythonRuntime,
        session: Session | None = None,
    ) -> None:
        """`first`: a Python worker process that was already started; the emulator takes it over. `python_runtime`:
        what runs Python workers, called as PythonRuntime is. `session`: the place in a state folder that nobody else can
        have open.

        Raises StartError (a queue that another session consumes) and StateError.
        """
        self.config = config
        self.store = store
        self.clock = clock
        self.events = events
        self.options = options or EmulatorOptions()
        self._first = first
        self._tasks: list[asyncio.Task[None]] = []
        self._python_runtime = python_runtime
        self._alone = session is not None
        self.session = session or open_session(store, clock.now_ms())
        try:
            refuse_second_consumer(store, self.session, config)
            self._build()
        except BaseException:
            self.session.close()
            raise

    # Rooms --------------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        store, clock, events, options = self.store, self.clock, self.events, self.options
        self._workerd: WorkerdHost | None = None
        self._worker_clocks = WorkerClocks(clock) if options.worker_clock else None
        self._listen()
        self._dashboard: DashboardDoor | None = None
        self.broker = Broker(store, clock, events, self.session.id)
        self._set_limits()
        #: A clock that workers follow has to know of every answer that they wait for.
        asks = self._alone or options.worker_clock
        self._outboxes = None if asks else OutboxHome(store.path.parent, self.session.id, self.broker, self._living)
        self.neighbours = Neighbours(store, self.session.id, events)
        if not self._alone:
            self.broker.on_unheard = self.neighbours.nudge
        self.services = Services(lambda name: self.workers.named(name), self._assets_of)
        self.objects = SessionObjects(store.path.parent, clock, events)
        self.workflows = SessionWorkflows(store.path.parent, clock, events)
        self.workflows.configure(self.config)
        self.services.calls["step"] = self.workflows.asked
        self._open_bindings()
        self.faults = QueueFaults(events)
        self.workers = WorkerSet(
            lambda worker: HostedWorker(worker, self.broker, clock, events, self._make_runtime, self.faults)
        )
        self.crons = SessionCrons(self.workers, clock, events, store, on=options.crons, catch_up=options.cron_catch_up)
        self.clockwork = Clockwork(
            clock, store, self.broker, self.workers, self.crons, events, self._worker_clocks, self._driven()
        )
        self.objects.workers = self.workflows.workers = self.workers
        self.rest = RestDoor(RestOptions(store, clock, events, self.broker, options.allowed_hosts, options.api_token))

    def _listen(self) -> None:
        """Subscribe what records or forwards events to `self.events`."""
        limits = self.options.record
        self.recorder: Recorder | None = None
        if limits is not None:
            folder = self.store.path.parent
            self.recorder = Recorder(folder, self.events, limits, lambda: [str(w.root) for w in self.config.workers])

    def _set_limits(self) -> None:
        """Where `wrangler dev` differs from production, and the session is to be like it."""
        if self.options.compat_miniflare:
            self.broker.max_batch_bytes = MINIFLARE_MAX_BATCH_BYTES
            producers = [producer for worker in self.config.workers for producer in worker.producers]
            delays = {p.queue: p.delivery_delay for p in reversed(producers) if p.delivery_delay is not None}
            self.broker.producer_delays = delays  # of a queue's producers the first one counts [miniflare]

    def _living(self) -> list[int]:
        return [session.id for session in living_sessions(self.store)]

    def _driven(self) -> dict[str, Driven]:
        """What the clock starts beside batches and crons, by the kind of event that it is in a worker."""
        return {"alarm": self.objects.alarms, "workflow": self.workflows.engine}

    def _open_bindings(self) -> None:
        """Make the simulators behind the bindings of all workers."""
        self.storage = BindingStorage(self.store.path.parent, self.clock, threaded=self.options.storage_threads)
        self.assets = SiteAssets(self.events)
        self._small_state = SmallState(self.store.path.parent)
        #: Who answers the calls of Python workers' bindings, by kind (runtime/python/binding_specs.py).
        self.binding_handlers: dict[str, BindingHandler] = {
            **storage_handlers(self.storage),
            "workflow": self.workflows,
            **small_handlers(self._small_state, self.clock, self.events, self.assets, self._config_of),
        }

    def _config_of(self, worker: str) -> WorkerConfig:
        return next(config for config in self.config.workers if config.name == worker)

    def _assets_of(self, worker: str) -> AssetsOfWorker | None:
        return next((self.assets.of(config) for config in self.config.workers if config.name == worker), None)

    def _make_runtime(self, worker: WorkerConfig, gate: Gate) -> HostedRuntime:
        """The runtime of a worker (MakeRuntime)."""
        if worker.language == "javascript":
            return self._javascript_runtime(worker, gate)
        first, self._first = self._first, None
        return self._python_runtime(
            worker,
            self.broker,
            self.events,
            gate=gate,
            first=first,
            clocks=self._worker_clocks,
            services=self.services,
            handlers=self.binding_handlers,
            durable=self.objects.home,
            outboxes=self._outboxes,
            wall_limit_s=None if self.options.debugger else self.options.wall_limit_s,
        )

    def _javascript_runtime(self, worker: WorkerConfig, gate: Gate) -> HostedRuntime:
        # Imported here, because most sessions have no JavaScript Worker.
        from wrangler_py.runtime.workerd.runtime import WorkerdRuntime
        from wrangler_py.session.javascript import make_host

        if self._workerd is None or self._workerd.closed:
            self._workerd = make_host(
                self.broker,
                self.storage,
                self.services,
                self.assets,
                self.binding_handlers,
                self._config_of,
                self.clock,
                self.events,
                self.store,
                self.options.inspector_port,
                self._outboxes.new_path() if self._outboxes is not None else None,
            )
        if self._worker_clocks is not None:
            text = "--worker-clock reaches Python Workers only: this one's Date.now() and setTimeout() stay real"
            self.events.emit("worker.warned", worker=worker.name, text=text)
        return WorkerdRuntime(worker, self._workerd, gate=gate, wall_limit_s=self.options.wall_limit_s)

    def front_door(self, url: str) -> FrontDoor:
        """The ASGI application of the session, which is served at `url`. Other processes are told where it is."""
        triggers = Triggers(self.crons.run, self.clock)
        token = secrets.token_urlsafe(24)
        calls = {
            **clock_calls(self.clock, self.clockwork),
            **cron_calls(self.crons),
            **queue_calls(self.workers, self.rest.look),
            **record_calls(self.events),
            **alarm_calls(self.objects.alarms),
            **workflow_calls(self.workflows.engine),
        }
        control = ControlApi(token, calls)
        if self.options.dashboard:
            self._dashboard = dashboard_door(self, url, control, calls)
        self.session.announce(url, token)
        return FrontDoor(
            self.workers,
            triggers,
            control,
            self.events,
            self.options.allowed_hosts,
            self.rest,
            self._assets_of,
            self._dashboard,
        )

    # Life ---------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Load the workers and attach them to their queues; what they may not start yet waits for `start`."""
        if self.recorder is not None:
            self.recorder.start()
        self.crons.set_config(self.config)
        if self._outboxes is not None:
            self._run_beside(self._outboxes.watch())
            with contextlib.suppress(TimeoutError):  # a database that takes nothing now must not hold up the start
                async with asyncio.timeout(_LOOK_WAIT_S):
                    await self._outboxes.looked.wait()
        loading = asyncio.create_task(self.workers.apply(self.config))
        try:
            await asyncio.sleep(0)  # the workers' processes begin to load, and meanwhile:
            attach(self.session, self.config)
            self.rest.start()
            await loading
        finally:
            loading.cancel()

    async def start(self) -> None:
        """Let the clock drive: crons, retention, and what earlier sessions have left."""
        self.crons.start()
        await self.clockwork.start()
        self.workflows.engine.start()
        self._run_beside(self.broker.watch_retention())

    async def apply(self, config: SessionConfig) -> None:
        """Bring everything in line with a changed config."""
        self.config = config
        self._set_limits()
        self.workflows.configure(config)
        await self.workers.apply(config)
        self.workflows.engine.start()
        attach(self.session, config)
        self.crons.set_config(config)

    async def stop(self, grace_s: float, *beside: Awaitable[object]) -> None:
        """Start nothing more, and give what runs `grace_s` seconds. `beside`: what ends at the same time (the server)."""
        self.clockwork.close()
        if self._dashboard is not None:
            self._dashboard.close()
        self.rest.close()
        for task in self._tasks:
            task.cancel()
        await self.workflows.engine.close()
        await asyncio.gather(
            self.crons.close(grace_s), self.objects.alarms.close(grace_s), self.workers.close(grace_s), *beside
        )
        await self.neighbours.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Leave the state folder. Raises StateError when the database refuses (Session.close)."""
        if self.recorder is not None:
            self.recorder.close()
        if self._first is not None:
            self._first.abandon()
        self.storage.close()
        self._small_state.close()
        self.session.close()

    def _run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))
