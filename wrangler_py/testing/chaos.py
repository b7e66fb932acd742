"""What production may do to a handler, done on purpose and so that it can be done again.

- duplicate: a message comes again although it was acknowledged, as if the acknowledgement had been lost
- reorder: messages come in another order than they were sent in
- interleave: of batches that run at the same time, any may go on after an await
- crash: the process ends at one of the handler's awaits; what was in flight comes again

Each run has a seed, which all of its choices follow from. A run that fails says its seed, and the order in which events
went on; either repeats it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wrangler_py.config.model import Consumer
from wrangler_py.queues.message import Batch, BatchOutcome, Retry
from wrangler_py.queues.settlement import settle
from wrangler_py.testing.errors import KitError
from wrangler_py.testing.state import snapshot_restorer

if TYPE_CHECKING:
    from wrangler_py.testing.kit import Wpy

__tracebackhide__ = True

KINDS = ("duplicate", "reorder", "interleave", "crash")
#: How many runs a test gets unless it says otherwise.
RUNS = 100
#: How likely the acknowledgement of a message is lost.
_LOST = 0.5
#: How likely an event that has gone on lets others go first (in half of the runs).
_YIELD = 0.3
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which faults there are."""

    duplicate: bool = False
    reorder: bool = False
    interleave: bool = False
    crash: bool = False
    runs: int = RUNS
    seed: int = 0
    #: Order of a run that is repeated.
    schedule: str | None = None
    #: Only the run with this seed.
    only: int | None = None


def plan_of(test: str, given: Mapping[str, Any], *, seed: int | None = None, schedule: str | None = None) -> Plan:
    """What a marker asks for. Without a kind: all of them. Raises KitError."""
    unknown = [name for name in given if name not in (*KINDS, "runs", "seed")]
    if unknown:
        raise KitError(
            f"@pytest.mark.wpy_chaos of {test} takes {', '.join(f'{kind}=' for kind in KINDS)}, runs= and seed=, not "
            f"{', '.join(unknown)}."
        )
    kinds = {kind: bool(given[kind]) for kind in KINDS if kind in given}
    if not any(kinds.values()):
        kinds = {kind: kinds.get(kind, True) for kind in KINDS}
    return Plan(**kinds, runs=given.get("runs", RUNS), seed=given.get("seed", 0), only=seed, schedule=schedule)


@dataclass(slots=True)
class Violation:
    """A run that failed."""

    seed: int
    schedule: str
    faults: list[str]
    error: BaseException

    def repeat(self, test: str) -> str:
        """How to have it again."""
        return f"pytest '{test}' --wpy-seed {self.seed}" + (
            f" --wpy-schedule {self.schedule}" if self.schedule.strip("0") else ""
        )


@dataclass(slots=True)
class Exploration:
    """What many runs have shown."""

    runs: int = 0
    violations: list[Violation] = field(default_factory=list)


class Faults:
    """The faults of one run."""

    def __init__(self, wpy: Wpy, plan: Plan, seed: int, crash_at: int) -> None:
        self._wpy = wpy
        self._plan = plan
        self._random = random.Random(seed)
        self._crash_at = crash_at
        self._lost: set[str] = set()
        self._priorities: dict[int, float] = {}
        self._uniform = self._random.random() < 0.5
        self._choices: list[int] = []
        #: What was done, in words.
        self.done: list[str] = []
        self.crashed = False

    @property
    def schedule(self) -> str:
        """Which event went on at each choice, as digits."""
        return "".join(_DIGITS[choice] for choice in self._choices)

    def install(self) -> None:
        """Do it from now on."""
        host, hub = self._wpy.emulation.host, self._wpy.emulation.hub
        if self._plan.duplicate:
            after = host.after_batch
            host.after_batch = lambda batch, outcome: after(batch, self._lose_acks(batch, outcome))
        if self._plan.reorder:
            before = host.before_batch
            host.before_batch = lambda batch: self._shuffle(before(batch))
            self._shuffle_claims()
        if self._plan.interleave:
            hub.choose = self._choose
            self._scale_up()
        if self._plan.crash:
            hub.cut = self._cut

    # Duplicates -------------------------------------------------------------------------------------------------------

    def _lose_acks(self, batch: Batch, outcome: BatchOutcome) -> BatchOutcome:
        consumer = self._wpy.queues.consumer_of(batch.queue) or Consumer(batch.queue)
        settled = settle(
            batch.messages,
            outcome,
            max_retries=consumer.max_retries,
            retry_delay=consumer.retry_delay,
            dead_letter_queue=consumer.dead_letter_queue,
        )
        lost = [
            s.message.id
            for s in settled
            if s.action == "ack"
            and s.message.attempts <= consumer.max_retries
            and s.message.id not in self._lost
            and self._random.random() < _LOST
        ]
        if not lost:
            return outcome
        self._lost.update(lost)
        for message_id in lost:
            self._say(f"the ack of {message_id[:8]} ({batch.queue}) was lost: it comes again")
        changed = copy.copy(outcome)
        changed.explicit_acks = {s.message.id for s in settled if s.action == "ack"} - set(lost)
        changed.retries = {
            **{s.message.id: Retry(s.delay_seconds) for s in settled if s.action in ("retry", "dead_letter", "drop")},
            **{message_id: Retry(0) for message_id in lost},
        }
        return changed

    # Order ------------------------------------------------------------------------------------------------------------

    def _shuffle(self, batch: Batch) -> Batch:
        messages = list(batch.messages)
        self._random.shuffle(messages)
        if tuple(messages) != batch.messages:
            self._say(f"a batch of {batch.queue} comes in the order {', '.join(m.id[:8] for m in messages)}")
        return Batch(batch.queue, tuple(messages), batch.metrics)

    def _shuffle_claims(self) -> None:
        broker = self._wpy.emulator.broker
        claim = broker.claim

        async def shuffled(queue: str, limit: int) -> Any:
            self._wpy.queues[queue].shuffle(self._random)
            return await claim(queue, limit)

        broker.claim = shuffled  # type: ignore[method-assign]

    # Concurrency ------------------------------------------------------------------------------------------------------

    def _scale_up(self) -> None:
        """As many batches at once as the consumer allows, at once."""
        for worker in self._wpy.emulator.workers.all():
            for consumer in worker.consumers.values():
                consumer._target = consumer._cap

    def _choose(self, events: list[int]) -> int:
        if self._plan.schedule is not None:
            place = len(self._choices)
            digits = self._plan.schedule
            chosen = _DIGITS.index(digits[place]) if place < len(digits) else 0
            chosen = min(chosen, len(events) - 1)
        elif self._uniform:
            chosen = self._random.randrange(len(events))
        else:
            for event in events:
                self._priorities.setdefault(event, self._random.random())
            chosen = max(range(len(events)), key=lambda place: self._priorities[events[place]])
            if self._random.random() < _YIELD:
                self._priorities[events[chosen]] = self._random.random() - 1
        self._choices.append(min(chosen, len(_DIGITS) - 1))
        return chosen

    # Crashes ----------------------------------------------------------------------------------------------------------

    def _cut(self, step: int) -> bool:
        if self.crashed or step != self._crash_at:
            return False
        self.crashed = True
        process = self._wpy.emulation.runtime(self._wpy.config.workers[0].name).process
        where = ", ".join(process.where(number) for number in process.events) if process is not None else ""
        self._say(f"the process ended at await {step} (it was at {where or '?'})")
        return True

    def _say(self, text: str) -> None:
        self.done.append(text)
        self._wpy.emulator.events.emit("chaos", text=text)


async def explore(
    wpy: Wpy, scenario: Callable[[], Awaitable[Any]], plan: Plan, *, stop_at_first: bool = True, put_back: bool = True
) -> Exploration:
    """Run a scenario with other faults each time, from the same state each time, which is put back in the end."""
    await wpy.start()
    began_with = wpy.settings.seed
    start = wpy.state.take()
    routes = copy.deepcopy(wpy.http._routes)
    allowed = list(wpy.http._allowed)
    result = Exploration()
    # The first time is without faults: a scenario that fails then is wrong itself, and what is done only once in a process
    # (imports, caches) is behind, so that a seed means the same in every run.
    try:
        await scenario()
    except Exception as error:
        error.add_note(f"{wpy.name} fails without any fault: that is to be mended first.")
        raise
    seeds = [plan.only] if plan.only is not None else range(plan.seed, plan.seed + plan.runs)
    for seed in seeds:
        await wpy.reset(seed=seed, restore=snapshot_restorer(start))
        wpy.clock.freeze(start.now_ms)
        wpy.http._routes[:], wpy.http._allowed[:] = copy.deepcopy(routes), allowed
        faults = Faults(wpy, plan, seed, crash_at=seed - plan.seed + 1)
        faults.install()
        result.runs += 1
        try:
            await scenario()
        except Exception as error:
            result.violations.append(Violation(seed, faults.schedule, faults.done, error))
            if stop_at_first:
                break
        only_crashes = plan.crash and not (plan.duplicate or plan.reorder or plan.interleave)
        if only_crashes and not faults.crashed:
            break  # the scenario has no further await to be cut off at
    if put_back:
        await wpy.reset(seed=began_with, restore=snapshot_restorer(start))
        wpy.clock.freeze(start.now_ms)
        wpy.http._routes[:], wpy.http._allowed[:] = routes, allowed
    return result


async def run_many(kit: Wpy, test: Callable[[], Awaitable[Any]], given: Mapping[str, Any], option: Any) -> None:
    """A test with the marker `wpy_chaos`. Raises what the first run that fails raises, with how to repeat it."""
    plan = plan_of(kit.name, given, seed=option.wpy_seed, schedule=option.wpy_schedule)
    found = await explore(kit, test, plan, put_back=False)
    if not found.violations:
        await kit.close()
        return
    violation = found.violations[0]
    violation.error.add_note(describe(kit.name, violation, found.runs))
    raise violation.error


def describe(test: str, violation: Violation, runs: int) -> str:
    """A violation in words."""
    faults = [f"  {text}" for text in violation.faults] or ["  none but the order in which events went on"]
    order = [f"The order: {violation.schedule}"] if violation.schedule else []
    return "\n".join(
        [
            f"wpy found this in run {runs} (seed {violation.seed}). What was done to it:",
            *faults,
            *order,
            "Repeat it with:",
            f"  {violation.repeat(test)}",
        ]
    )
