"""Anything in any order: sends, sends that a worker's process keeps, time, handlers that end in every way, crashes, gates,
reloads, pauses, expiry, failing disks. Nothing is lost, delivered after it was acknowledged, early, too often, in two invocations, or out of order, and
nothing that is due waits while an invocation is free.

WPY_TEST_EFFORT=20 tries twenty times as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from processes import no_file_may_grow

from wrangler_py.clock import VirtualClock
from wrangler_py.config.model import Consumer as Settings
from wrangler_py.queues import broker as broker_module
from wrangler_py.queues import consumer as consumer_module
from wrangler_py.queues import intake as intake_module
from wrangler_py.queues.message import Batch, BatchOutcome, Retry
from wrangler_py.runtime.outbox_home import OutboxHome
from wrangler_py.runtime.worker import frames
from wrangler_py.runtime.worker.sends_file import SendsFile

from .harness import START_MS, Handler, Room, outgoing
from .model import Letter, Model

QUEUES = ("q", "dead")
delays = st.sampled_from([None, None, 0, 1, 5, 60])
consumers = st.builds(
    Settings,
    queue=st.just("q"),
    max_batch_size=st.sampled_from([1, 2, 3, 5]),
    max_batch_timeout=st.sampled_from([0, 0.5, 5]),
    max_retries=st.sampled_from([0, 1, 3]),
    dead_letter_queue=st.sampled_from(["dead", None]),
    max_concurrency=st.sampled_from([None, 1, 2]),
    retry_delay=st.sampled_from([0, 0, 4]),
)


class Watched(Handler):
    """A handler whose every call is compared with the model, and which ends when the machine says so."""

    def __init__(self, clock: VirtualClock, model: Model) -> None:
        super().__init__(clock)
        self.model = model
        self.open_calls: list[tuple[Batch, Settings]] = []
        self.errors: list[AssertionError] = []
        self.hold()
        waiting = self.script

        def script(batch: Batch):
            try:
                model.delivered(batch, clock.now_ms())
            except AssertionError as error:
                self.errors.append(error)
                raise
            self.open_calls.append((batch, model.settings[batch.queue]))
            return waiting(batch)

        self.script = script


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        # What waits for the machine, in real time, does not wait here.
        self.patches = contextlib.ExitStack()
        self.patches.enter_context(mock.patch.object(broker_module, "_SETTLE_AGAIN_S", 0.001))
        self.patches.enter_context(mock.patch.object(consumer_module, "_CUT_OFF_S", 0))
        self.patches.enter_context(mock.patch.object(consumer_module, "_READ_AGAIN_S", 0))
        self.patches.enter_context(mock.patch.object(intake_module, "_AGAIN_S", 0.001))
        #: What the worker's process has in its file and has not handed over: bodies and delays, as they are sent.
        self.kept: list[tuple[str, int | None, int]] = []
        self.numbers = itertools.count(1)

    def do(self, work):
        """Run one step and let everything come to rest."""

        async def step():
            result = await work
            await self.room.quiet()
            return result

        return self.runner.run(step())

    # The session --------------------------------------------------------------------------------------------------

    @initialize(consumer=consumers)
    def begin(self, consumer: Settings) -> None:
        self.model = Model({"q": consumer, "dead": Settings("dead", 2, 1, 1)}, {"q": 345_600, "dead": 345_600})
        self.paused = False
        self.now_ms = START_MS
        self.enter()

    def enter(self) -> None:
        async def enter() -> None:
            self.room = Room(self.folder, VirtualClock(self.now_ms))
            self.home = OutboxHome(self.folder, self.room.session.id, self.room.broker, lambda: [self.room.session.id])
            assert not await self.home.recover()
            self.begin_process()
            for queue in QUEUES:
                self.attach(queue)

        self.runner.run(enter())
        self.do(asyncio.sleep(0))

    def attach(self, queue: str) -> None:
        options = {name: getattr(self.model.settings[queue], name) for name in Settings.__slots__ if name != "queue"}
        self.room.consume(queue, handler=Watched(self.room.clock, self.model), **options)

    def crash(self) -> None:
        """kill -9 of the session and of its worker, and a new start."""
        self.file.close()
        self.the_rest_is_sent()
        in_flight = self.model.crashed()
        self.now_ms = self.room.clock.now_ms()
        self.runner.run(self.room.crash())
        self.enter_again(in_flight)

    def enter_again(self, recovered: int) -> None:
        self.enter()
        assert self.room.session.recovered == recovered

    def end_and_start(self) -> None:
        """Ctrl-C and a new start: what runs is cut off."""
        self.process_ends()
        for queue in QUEUES:
            for batch, began_with in self.room.handlers[queue].open_calls:
                self.model.settled(batch, BatchOutcome("canceled"), began_with, self.room.clock.now_ms())
        self.now_ms = self.room.clock.now_ms()
        self.runner.run(self.room.close())
        self.enter_again(0)

    def reload(self) -> None:
        """The gate is shut and opened, and opened again."""

        async def swap() -> None:
            for consumer in self.room.consumers.values():
                consumer.hold()
                await asyncio.sleep(0)
                consumer.open()
                consumer.open()

        self.do(swap())

    @rule(consumer=consumers)
    def reconfigure(self, consumer: Settings) -> None:
        async def apply() -> None:
            self.model.settings["q"] = consumer
            self.room.consumers["q"].reconfigure(consumer)

        self.do(apply())

    def neighbour_sends(self) -> None:
        """Another session on the same folder lets a message in, and says so."""

        async def send() -> None:
            neighbour = Room(self.folder, VirtualClock(self.room.clock.now_ms()))
            await neighbour.send(self.letter("q", 0).body)
            await neighbour.close()
            self.room.consumers["q"].pump()

        self.do(send())

    @rule(
        what=st.sampled_from(
            [
                "crash",
                "end_and_start",
                "process_ends",
                "reload",
                "neighbour_sends",
                "send_too_much",
                "pause_or_resume",
                "retain",
            ]
        )
    )
    def disturb(self, what: str) -> None:
        getattr(self, what)()

    # In -----------------------------------------------------------------------------------------------------------

    def letter(self, queue: str, delay: int, body: str | None = None) -> Letter:
        number, now = len(self.model.letters), self.room.clock.now_ms()
        letter = Letter(number, body or f"m{number}", queue, now, now, now + delay * 1000)
        self.model.letters.append(letter)
        return letter

    @rule(delay=st.sampled_from([None, 0, 1, 60]))
    def send_one(self, delay: int | None) -> None:
        self.do(self.room.send((self.letter("q", delay or 0).body, delay)))

    @rule(delays=st.lists(delays, min_size=1, max_size=8), batch_delay=delays)
    def send(self, delays: list[int | None], batch_delay: int | None) -> None:
        bodies = []
        for delay in delays:
            effective = delay if delay is not None else batch_delay or 0
            bodies.append((self.letter("q", effective).body, delay))
        self.do(self.room.send(*bodies, delay=batch_delay, batch=True))

    def send_too_much(self) -> None:
        """Refused as a whole."""

        async def send() -> None:
            with pytest.raises(Exception, match="10204"):
                await self.room.broker.send("q", [outgoing("x"), outgoing("x" * 128_001)], batch=True)

        self.do(send())

    # In, through the file of a worker's process ------------------------------------------------------------------

    def begin_process(self) -> None:
        outbox = self.home.make(lambda *_: None, expose_codes=True)
        assert outbox is not None
        self.outbox, self.file = outbox, SendsFile(str(outbox.path))

    @rule(delays=st.lists(delays, min_size=1, max_size=3))
    def keep(self, delays: list[int | None]) -> None:
        """The process goes on as soon as the file has them; the server may hear of them at any time."""
        for delay in delays:
            number = next(self.numbers)
            self.kept.append((f"k{number}", delay, number))
            self.file.append(frames.encode(*self.frame(self.kept[-1])))

    def frame(self, kept: tuple[str, int | None, int]) -> tuple:
        body, delay, number = kept
        return frames.SENT, number, 0, "q", ((body.encode(), "text", delay),), None, False

    def the_rest_is_sent(self) -> None:
        """What is kept counts as sent from now on, in its order."""
        for body, delay, _ in self.kept:
            self.letter("q", delay or 0, body)
        self.kept.clear()

    def process_ends(self) -> None:
        """The server stores what is left in the file."""
        self.file.close()
        self.the_rest_is_sent()

        async def take_rest() -> None:
            self.outbox.take_rest()
            await asyncio.wait_for(self.outbox.done.wait(), 20)
            assert not self.outbox.path.exists()
            self.begin_process()

        self.do(take_rest())

    @precondition(lambda self: self.kept)
    @rule(count=st.integers(1, 4), disk=st.sampled_from(["works", "works", "works", "fails", "fails until the crash"]))
    def hand_over(self, count: int, disk: str) -> None:
        """The server hears of the first of them and stores them, at once or when it can."""
        handed, self.kept = self.kept[:count], self.kept[count:]
        for body, delay, _ in handed:
            self.letter("q", delay or 0, body)

        async def take() -> None:
            with contextlib.nullcontext() if disk == "works" else no_file_may_grow():
                for kept in handed:
                    self.outbox.take(self.frame(kept))
                for _ in range(20):
                    await asyncio.sleep(0)
            async with asyncio.timeout(20):
                while disk == "fails" and self.outbox._open:
                    await asyncio.sleep(0.001)

        if disk == "fails until the crash":
            self.runner.run(take())
            self.crash()
        else:
            self.do(take())

    # Time ---------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.5, 1, 4.999, 5, 30, 61]))
    def advance(self, seconds: float) -> None:
        self.do(self.room.advance(seconds))

    @rule()
    def to_the_next_moment(self) -> None:
        self.do(self.room.clock.next())

    # Handlers -----------------------------------------------------------------------------------------------------

    def running(self) -> list[tuple[str, int]]:
        return [(queue, n) for queue in QUEUES for n in range(len(self.room.handlers[queue].open_calls))]

    @precondition(lambda self: self.running())
    @rule(
        data=st.data(),
        ending=st.sampled_from(["ok", "ok", "ok", "exception", "exception", "exceededWallTime", "canceled"]),
    )
    def finish(self, data: st.DataObject, ending: str) -> None:
        """An invocation ends, in any way that one can end."""
        queue, which = data.draw(st.sampled_from(self.running()), label="invocation")
        handler = self.room.handlers[queue]
        batch, began_with = handler.open_calls.pop(which)
        calls = st.sampled_from(["", "", "ack", "retry"])
        per_message = {m.id: (data.draw(calls), data.draw(delays)) for m in batch.messages}
        outcome = BatchOutcome(
            ending,
            ack_all=data.draw(st.sampled_from([False, False, True]), label="ackAll"),
            retry_all=data.draw(st.sampled_from([None, None, Retry(), Retry(2)]), label="retryAll"),
            explicit_acks={id for id, (call, _) in per_message.items() if call == "ack"},
            retries={id: Retry(delay) for id, (call, delay) in per_message.items() if call == "retry"},
        )
        disk_fails = data.draw(st.sampled_from([False] * 9 + [True]), label="disk fails")
        self.model.settled(batch, outcome, began_with, self.room.clock.now_ms())

        async def end() -> None:
            if disk_fails:
                with no_file_may_grow():
                    handler.finish(outcome, which)
                    for _ in range(20):
                        await asyncio.sleep(0)
            else:
                handler.finish(outcome, which)

        self.do(end())

    @precondition(lambda self: self.running())
    @rule()
    def finish_all(self) -> None:
        """What runs returns, until nothing runs."""
        while self.running():
            for queue in QUEUES:
                handler = self.room.handlers[queue]
                while handler.open_calls:
                    batch, began_with = handler.open_calls.pop(0)
                    self.model.settled(batch, BatchOutcome(), began_with, self.room.clock.now_ms())
                    handler.finish()
            self.do(asyncio.sleep(0))

    # Settings of the queue ----------------------------------------------------------------------------------------

    def pause_or_resume(self) -> None:
        async def change() -> None:
            self.room.setting("q", delivery_paused=int(not self.paused))
            self.paused = not self.paused
            self.room.consumers["q"].pump()

        self.do(change())

    def retain(self) -> None:
        """Messages are kept for shorter or longer; what is too old by either measure is cleaned up."""
        seconds = {345_600: 60, 60: 90, 90: 345_600}[self.model.retention_s["q"]]
        now = self.room.clock.now_ms()
        self.model.forget_expired("q", now)
        self.do(self.room.broker.expire("q"))
        self.model.retention_s["q"] = seconds
        self.room.setting("q", message_retention_period=seconds)
        self.model.forget_expired("q", now)
        self.do(self.room.broker.expire("q"))

    # What is always true ------------------------------------------------------------------------------------------

    @invariant()
    def handlers_saw_nothing_wrong(self) -> None:
        for handler in self.handlers():
            assert not handler.errors, handler.errors[0]

    def handlers(self):
        return self.room.handlers.values() if hasattr(self, "room") else ()

    @invariant()
    def nothing_is_lost_and_the_counters_are_true(self) -> None:
        if not hasattr(self, "room"):
            return
        now = self.room.clock.now_ms()
        for queue in QUEUES:
            held = set(self.room.left(queue))
            model = self.model.of(queue)
            assert {x.body for x in model if not self.model.expired(x, now)} <= held <= {x.body for x in model}
            self.room.backlog(queue)  # compares the counters with the table
            leased = set(self.room.rows(queue, "body, owner"))
            assert {body.decode() for body, owner in leased if owner} == {x.body for x in model if x.in_flight}

    @invariant()
    def nothing_that_is_due_waits(self) -> None:
        if not hasattr(self, "room"):
            return
        now = self.room.clock.now_ms()
        for queue in QUEUES:
            if self.model.running.get(queue, 0) == 0 and not (queue == "q" and self.paused):
                assert not self.model.overdue(queue, now)

    def teardown(self) -> None:
        try:
            if hasattr(self, "room"):
                self.everything_arrives_in_the_end()
        finally:
            if hasattr(self, "room"):
                self.runner.run(self.room.close())
            self.runner.close()
            self.patches.close()
            shutil.rmtree(self.folder)

    def everything_arrives_in_the_end(self) -> None:
        self.process_ends()
        if self.paused:
            self.pause_or_resume()
        for _ in range(10_000):
            self.finish_all()
            if self.do(self.room.clock.next()) is None and not self.running():
                break
        self.handlers_saw_nothing_wrong()
        now = self.room.clock.now_ms()
        left = [x for x in self.model.letters if x.gone is None and not self.model.expired(x, now)]
        assert not left, f"never delivered: {left}"


QueueMachine.TestCase.settings = settings(
    max_examples=60 * int(os.environ.get("WPY_TEST_EFFORT", "1")),
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
#: Measured, it would take three times as long, and other tests run the same lines.
TestQueueMachine = pytest.mark.no_cover(pytest.mark.timeout(600)(QueueMachine.TestCase))
