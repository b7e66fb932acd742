"""`python -m bench.python_worker`: what wpy's own part of a Python Worker costs, as ratios taken within one run.

- A batch of ten small messages, dispatched in the worker's process, read and acknowledged there: CPU time of that process
  beside what the bare SDK (workers-runtime-sdk) needs for the same handler and the same batch, called in a loop. Once
  without the socket to the server (frames are decoded, dispatched, run and encoded, ten in a turn of the loop), which compares
  like with like, and twice with it, one batch at a time and ten on their way at once.
- A reload with a warm spare, from "load" to "loaded", beside a cold start of the same worker in a process without a spare;
  for a plain worker and, where FastAPI is installed, for one of FastAPI's.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import statistics
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any

from wrangler_py.clock import SystemClock
from wrangler_py.config.model import WorkerConfig
from wrangler_py.events.log import EventLog
from wrangler_py.queues.message import Batch, Message, QueueMetrics
from wrangler_py.runtime.base import FetchRequest
from wrangler_py.runtime.python.runtime import PythonRuntime

BATCHES = 1500
ROUNDS = 7

CONSUMER = """
    import asyncio, gc, json, sys, time
    from workers import Response, WorkerEntrypoint

    seen = 0

    class Default(WorkerEntrypoint):
        async def queue(self, batch, env, ctx):
            global seen
            for message in batch.messages:
                seen += message.body["number"]
                message.ack()

        async def fetch(self, request):
            events, context = sys.modules["_wpy_worker.events"], sys.modules["_wpy_worker.context"]
            if request.url.endswith("/cpu"):
                return Response(str(time.process_time()))
            if "/dispatched/" in request.url:
                return Response(str(await dispatched(int(request.url.rsplit("/", 1)[1]))))
            count = int(request.url.rsplit("/", 1)[1])
            messages = [(f"{n:032x}", 1700000000000, 1, "json", json.dumps({"number": n}).encode()) for n in range(10)]
            ctx = context.ExecutionContext(context.Event(0))
            started = time.process_time()
            for _ in range(count):
                batch = events.MessageBatch("q", messages, (0, 0, None), False)
                await Default(ctx, self.env._env).queue(batch, None, None)
            return Response(str(time.process_time() - started))

    async def dispatched(count):
        # What arrives and what leaves is decoded and encoded as ever, but goes through no socket.
        dispatch, frames = sys.modules["_wpy_worker.dispatch"], sys.modules["_wpy_worker.frames"]
        dispatcher = next(item for item in gc.get_objects() if isinstance(item, dispatch.Dispatcher))
        connection, real = dispatcher._connection, dispatcher._connection.send
        left, waiter = 0, None

        def send(*frame):
            nonlocal left
            frames.encode(*frame)
            if frame[0] == frames.DONE:
                assert len(frame[2]["acks"]) == 10, frame
                left -= 1
            if not left:
                waiter.set_result(None)

        messages = [(f"{n:032x}", 1700000000000, 1, "json", json.dumps({"number": n}).encode()) for n in range(10)]
        arriving = [frames.encode(frames.QUEUE, -n, "q", messages, (0, 0, None)) for n in range(1, count + 1)]
        decoder = frames.Decoder()
        connection.send = send
        try:
            started = time.process_time()
            while arriving:  # ten in a turn of the loop, which is a system call too
                waiter, left = asyncio.get_running_loop().create_future(), len(arriving[:10])
                for data in arriving[:10]:
                    for frame in decoder.feed(data):
                        connection.on_frame(frame)
                del arriving[:10]
                await waiter
            return time.process_time() - started
        finally:
            connection.send = real
"""

PLAIN = """
    from workers import Response, WorkerEntrypoint
    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return Response("ok")
"""

FASTAPI = """
    from fastapi import FastAPI
    from workers import asgi
    app = FastAPI()
    @app.get("/")
    async def root():
        return {"ok": True}
    Default = asgi.entrypoint(app)
"""


class NoQueues:
    """A worker without producers asks nothing of its queues."""

    def commit_now(self) -> None:
        pass


def _runtime(folder: Path, code: str) -> PythonRuntime:
    main = folder / "entry.py"
    main.write_text(textwrap.dedent(code))
    config = WorkerConfig(
        "bench", None, folder, main, compatibility_date="2026-03-01", compatibility_flags=("python_workers",)
    )
    return PythonRuntime(config, NoQueues(), EventLog(SystemClock()), gate=lambda _: None)  # type: ignore[arg-type]


async def _text(runtime: PythonRuntime, path: str) -> str:
    return (await runtime.fetch(FetchRequest("GET", f"http://localhost{path}", []))).body.decode()


async def batch_ratio(at_once: int) -> tuple[float, float, float]:
    """(dispatched / bare, dispatched in microseconds a batch, bare in microseconds a batch): medians of the rounds.

    `at_once`: how many batches are on their way through the socket at once; 0: none goes through it.
    """
    with tempfile.TemporaryDirectory() as folder:
        runtime = _runtime(Path(folder), CONSUMER)
        result = await runtime.load()
        assert result.error is None, result.error
        messages = [
            Message(n, f"{n:032x}", 1700000000000, 1, "json", json.dumps({"number": n}).encode()) for n in range(10)
        ]
        batch = Batch("q", tuple(messages), QueueMetrics(0, 0, None))
        ratios, dispatched, bare = [], [], []
        try:
            await runtime.queue(batch)  # imports what the bare loop uses too
            for number in range(ROUNDS + 1):
                if at_once:
                    before = float(await _text(runtime, "/cpu"))
                    for _ in range(BATCHES // at_once):
                        outcomes = await asyncio.gather(*[runtime.queue(batch) for _ in range(at_once)])
                    assert {outcome.outcome for outcome in outcomes} == {"ok"}, outcomes
                    used = float(await _text(runtime, "/cpu")) - before
                else:
                    used = float(await _text(runtime, f"/dispatched/{BATCHES}"))
                alone = float(await _text(runtime, f"/{BATCHES}"))
                if number:  # the first round warms up
                    ratios.append(used / alone)
                    dispatched.append(used / BATCHES * 1e6)
                    bare.append(alone / BATCHES * 1e6)
        finally:
            await runtime.close(0)
        return statistics.median(ratios), statistics.median(dispatched), statistics.median(bare)


async def reload_ratio(code: str) -> tuple[float, float, float]:
    """(reload / cold start, reload in ms, cold start in ms): medians of the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        cold, warm = [], []
        for _ in range(ROUNDS):
            runtime = _runtime(Path(folder), code)
            started = time.perf_counter()
            result = await runtime.load()
            cold.append(time.perf_counter() - started)
            assert result.error is None, result.error
            try:
                spare = runtime._spare
                assert spare is not None
                await spare.connect()  # until it has said HELLO, with the modules of the version before imported
                await asyncio.sleep(0.5)
                started = time.perf_counter()
                result = await runtime.load()
                warm.append(time.perf_counter() - started)
                assert result.error is None, result.error
            finally:
                await runtime.close(0)
        return (
            statistics.median(a / b for a, b in zip(warm, cold, strict=True)),
            statistics.median(warm) * 1000,
            statistics.median(cold) * 1000,
        )


async def main() -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for at_once, how in ((0, "without the socket"), (1, "one at a time"), (10, "ten at once")):
        ratio, dispatched, bare = await batch_ratio(at_once)
        figures[f"batch of 10 / bare SDK, {how} (CPU)"] = ratio
        print(f"batch of 10, {how}, dispatched / bare SDK: {ratio:.2f} ({dispatched:.0f} us / {bare:.0f} us)")
    kinds = {"plain": PLAIN}
    if importlib.util.find_spec("fastapi") is not None:
        kinds["FastAPI"] = FASTAPI
    for name, code in kinds.items():
        ratio, warm, cold = await reload_ratio(code)
        figures[f"reload / cold start, {name}"] = ratio
        print(f"reload / cold start, {name}: {ratio:.3f} ({warm:.1f} ms / {cold:.0f} ms)")
    return figures


if __name__ == "__main__":
    figures = asyncio.run(main())
    if "--json" in sys.argv:
        print(json.dumps(figures))
