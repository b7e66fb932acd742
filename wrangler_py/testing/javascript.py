"""JavaScript Workers in a test: they run in workerd, as under `wpy dev`; what they do is seen from outside."""

from __future__ import annotations

from typing import Any

from wrangler_py.events.log import Event
from wrangler_py.queues.message import Batch, BatchOutcome
from wrangler_py.runtime.inprocess.runtime import Host
from wrangler_py.session.emulator import Emulator
from wrangler_py.testing.ledger import Ledger
from wrangler_py.testing.results import LogLine


def listen(emulator: Emulator, host: Host, ledger: Ledger) -> None:
    """Note the batches of JavaScript Workers that are made from now on, and what they print."""
    make = emulator._javascript_runtime

    def made(*args: Any) -> Any:
        runtime: Any = make(*args)
        queue = runtime.queue

        async def noted(batch: Batch) -> BatchOutcome:
            batch = host.before_batch(batch)
            return host.after_batch(batch, await queue(batch))

        runtime.queue = noted
        return runtime

    emulator._javascript_runtime = made  # type: ignore[method-assign, assignment]
    names = {worker.name for worker in emulator.config.workers if worker.language == "javascript"}

    def heard(event: Event) -> None:
        data = event.data
        if event.kind == "worker.printed" and data["worker"] in names:
            lines = data["text"].split("\n")
            ledger.logs += [LogLine(data["worker"], data["event"], data["level"], line) for line in lines]

    emulator.events.subscribe(heard)
