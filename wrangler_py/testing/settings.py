"""How a test wants its emulator, and its config with what the test changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from wrangler_py.config.model import SessionConfig, WorkerConfig
from wrangler_py.testing.errors import KitError
from wrangler_py.testing.values import Moment

#: What a test's clock shows at first, unless the test says otherwise: a Thursday.
START = "2026-01-01T00:00:00Z"
#: How long a handler may stand still (seconds of real time).
TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How a test wants its emulator."""

    name: str
    env: str | None = None
    vars: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    #: Settings of consumers that differ from the config's: {"mail": {"max_batch_size": 2}}.
    queues: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    clock: Moment = START
    crons: bool = True
    network: str = "block"
    timeout_s: float = TIMEOUT_S
    seed: int = 0
    leftovers: str = "fail"


def changed(config: SessionConfig, settings: Settings) -> SessionConfig:
    """The config with what the test's marker changes. Raises KitError for a queue that nobody consumes."""
    if not settings.vars and not settings.queues:
        return config
    consumed = {consumer.queue for worker in config.workers for consumer in worker.consumers}
    for queue in settings.queues:
        if queue not in consumed:
            raise KitError(
                f'{settings.name} changes the consumer of queue "{queue}", which no worker consumes. '
                f"Consumed are: {', '.join(sorted(consumed)) or 'none'}."
            )

    def of_test(worker: WorkerConfig) -> WorkerConfig:
        consumers = tuple(replace(consumer, **settings.queues.get(consumer.queue, {})) for consumer in worker.consumers)
        secrets = {name: value for name, value in worker.secrets.items() if name not in settings.vars}
        return replace(worker, consumers=consumers, vars={**worker.vars, **settings.vars}, secrets=secrets)

    return replace(config, workers=tuple(of_test(worker) for worker in config.workers))
