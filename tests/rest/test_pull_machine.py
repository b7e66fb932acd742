"""Any order of pushes, pulls, acknowledgements, retries, ends of leases, purges and restarts: no message is lost, comes
after it was acknowledged, comes while somebody holds it, or comes too often.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wrangler_py.clock import VirtualClock
from wrangler_py.events.log import EventLog
from wrangler_py.queues.admin import QueueAdmin
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.consumers import Consumers, ConsumerSpec
from wrangler_py.queues.message import OutgoingMessage
from wrangler_py.queues.peek import Peeks
from wrangler_py.queues.pull import Pulls
from wrangler_py.queues.purge import Purges
from wrangler_py.store.database import open_store

START_MS = 1_772_323_200_000
MAX_RETRIES = 2


@dataclass
class Known:
    """What the test knows of one message."""

    body: bytes
    attempts: int = 0
    held_until: int | None = None
    lease: str | None = None
    gone: bool = False
    dead: bool = False


@dataclass
class World:
    """One queue with a pull consumer and a dead letter queue, and what ought to be in them."""

    folder: Path
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(START_MS))
    messages: dict[bytes, Known] = field(default_factory=dict)
    leases: list[tuple[str, bytes]] = field(default_factory=list)

    async def open(self) -> None:
        self.store = open_store(self.folder)
        events = EventLog(self.clock)
        broker = Broker(self.store, self.clock, events, owner=1)
        broker.on_unheard = lambda queue: None
        parts = (self.store, self.clock, events, broker)
        self.broker, self.admin, self.pulls = broker, QueueAdmin(*parts), Pulls(*parts)
        self.peeks, self.purges, self.consumers = Peeks(*parts), Purges(*parts), Consumers(*parts)
        self.pulls.start()

    async def create(self) -> None:
        await self.open()
        (self.queue_id,) = [(await self.admin.create("q", {})).record.uuid]
        spec = ConsumerSpec("http_pull", dead_letter_queue="dead", settings={"max_retries": MAX_RETRIES})
        await self.consumers.create(self.record, spec)

    @property
    def record(self) -> Any:
        return self.admin.find(self.queue_id)

    async def close(self) -> None:
        self.pulls.close()
        await self.quiet()
        self.store.close()

    async def quiet(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    # Steps ----------------------------------------------------------------------------------------------------------

    async def push(self, count: int, delay: int) -> None:
        new = [str(len(self.messages) + n).encode() for n in range(count)]
        await self.broker.send("q", [OutgoingMessage(body, "text", delay) for body in new], batch=True)
        self.messages.update({body: Known(body) for body in new})

    async def pull(self, count: int, visible_s: int) -> None:
        now = self.clock.now_ms()
        self._end_leases(now)
        for pulled in (await self.pulls.pull(self.record, count, visible_s * 1000)).messages:
            known = self.messages[pulled.message.body]
            assert not known.gone and not known.dead, "came after its end"
            assert known.held_until is None, "came while somebody held it"
            known.attempts += 1
            assert pulled.message.attempts == known.attempts <= MAX_RETRIES + 1
            known.held_until, known.lease = now + visible_s * 1000, pulled.lease_id
            self.leases.append((pulled.lease_id, known.body))

    async def settle(self, which: int, retry: bool, delay: int) -> None:
        if not self.leases:
            return
        lease, body = self.leases[which % len(self.leases)]
        known = self.messages[body]
        self._end_leases(self.clock.now_ms())
        if retry:
            acked = await self.pulls.settle(self.record, [], [(lease, delay)])
            if acked.retries and known.lease == lease and known.held_until is not None:
                self._failed(known)
            return
        acked = await self.pulls.settle(self.record, [lease], [])
        assert acked.acks + len(acked.warnings) == 1
        if acked.acks:
            assert not known.gone and not known.dead
            known.gone = True

    async def advance(self, seconds: int) -> None:
        await self.clock.advance(seconds)
        await self.quiet()
        self._end_leases(self.clock.now_ms())

    async def purge(self) -> None:
        self._end_leases(self.clock.now_ms())
        await self.purges.purge(self.record)
        for known in self.messages.values():
            if known.held_until is None and not known.dead:
                known.gone = True

    async def purge_first(self) -> None:
        peeked = self.peeks.peek(self.record, 1)
        if peeked and not (await self.peeks.purge(self.record, [peeked[0].ref])).warnings:
            self.messages[peeked[0].message.body].gone = True

    async def restart(self) -> None:
        await self.close()
        await self.open()

    def _end_leases(self, now: int) -> None:
        for known in self.messages.values():
            if known.held_until is not None and known.held_until <= now:
                self._failed(known)

    def _failed(self, known: Known) -> None:
        known.held_until = None
        known.dead = known.dead or (known.attempts > MAX_RETRIES and not known.gone)

    def check(self) -> None:
        """The tables hold what they ought to, and the counters say so."""
        for name, expected in (
            ("q", [k.body for k in self.messages.values() if not k.gone and not k.dead]),
            ("dead", [k.body for k in self.messages.values() if k.dead]),
        ):
            rows = self.store.query(
                "SELECT body FROM message JOIN queue ON queue.id = queue_id WHERE name = ? ORDER BY message.seq",
                (name,),
            )
            assert [row[0] for row in rows] == expected
            metrics = self.broker.metrics(name)
            assert (metrics.backlog_count, metrics.backlog_bytes) == (len(expected), sum(map(len, expected)))


SECONDS = st.integers(0, 30)
STEP = st.one_of(
    st.tuples(st.just("push"), st.integers(1, 4), st.sampled_from([0, 0, 5])),
    st.tuples(st.just("pull"), st.integers(1, 5), st.integers(0, 20)),
    st.tuples(st.just("pull"), st.integers(1, 5), st.integers(0, 20)),
    st.tuples(st.just("settle"), st.integers(0, 50), st.booleans(), st.sampled_from([0, 0, 7])),
    st.tuples(st.just("settle"), st.integers(0, 50), st.booleans(), st.sampled_from([0, 0, 7])),
    st.tuples(st.just("advance"), SECONDS),
    st.tuples(st.just("purge")),
    st.tuples(st.just("purge_first")),
    st.tuples(st.just("restart")),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=60))
def test_any_order(steps: list[tuple[Any, ...]]) -> None:
    async def run(folder: Path) -> None:
        world = World(folder)
        world.clock.settle = world.quiet
        await world.create()
        for name, *arguments in steps:
            await getattr(world, name)(*arguments)
            await world.advance(0)
            world.check()
        for _ in range(MAX_RETRIES + 2):  # what is left comes until it is out of retries
            await world.advance(60)
            while True:
                before = len(world.leases)
                await world.pull(100, 30)
                if len(world.leases) == before:
                    break
        await world.advance(60)
        world.check()
        assert all(known.gone or known.dead for known in world.messages.values())
        await world.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))
