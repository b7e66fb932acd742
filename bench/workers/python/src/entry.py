"""The worker that is measured. workers/typescript/src/index.ts does the same; change both or neither."""

import asyncio
import time
from urllib.parse import parse_qs, urlsplit

from workers import Response, WorkerEntrypoint

VERSION = "v0"
PAD = "x" * 130


class Run:
    """What came of the messages of one run. Numbers are unique within a run, so duplicates show."""

    def __init__(self):
        self.seen = bytearray()
        self.count = 0
        self.duplicates = 0
        self.batches = 0
        self.first_sent = None
        self.last_handled = None
        self.records = []

    def note(self, number):
        if number >= len(self.seen):
            self.seen.extend(bytes(max(number + 1, 2 * len(self.seen)) - len(self.seen)))
        if self.seen[number]:
            self.duplicates += 1
        else:
            self.seen[number] = 1
            self.count += 1


runs = {}
gate = {"open": False}


def now_ms():
    return time.time_ns() / 1_000_000


def message(run, number, keep=False):
    return {"run": run, "i": number, "sent": now_ms(), "keep": keep, "pad": PAD}


async def sequential(queue, run, numbers, options):
    for number in numbers:
        await queue.send(message(run, number), **options)


async def batches(queue, run, numbers, options):
    for start in range(0, len(numbers), 100):
        bodies = [{"body": message(run, number)} for number in numbers[start : start + 100]]
        await queue.sendBatch(bodies, **options)


async def concurrent(queue, run, numbers, options):
    for start in range(0, len(numbers), 100):
        sends = [queue.send(message(run, number), **options) for number in numbers[start : start + 100]]
        await asyncio.gather(*sends)


PRODUCERS = {"/sequential": sequential, "/batches": batches, "/concurrent": concurrent}


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        url = urlsplit(request.url)
        if url.path == "/ping":
            return Response("pong")
        if url.path == "/version":
            return Response(VERSION)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/gate":
            gate["open"] = query["open"] == "1"
            return Response("ok")
        run = int(query["run"])
        if url.path == "/stats":
            r = runs.get(run) or Run()
            return Response.json(
                {
                    "count": r.count,
                    "duplicates": r.duplicates,
                    "batches": r.batches,
                    "first_sent": r.first_sent,
                    "last_handled": r.last_handled,
                }
            )
        if url.path == "/records":
            return Response.json(runs[run].records if run in runs else [])
        if url.path == "/received":
            return Response.json([i for i, seen in enumerate(runs[run].seen) if seen] if run in runs else [])
        queue = getattr(self.env, query["queue"])
        options = {"delaySeconds": int(query["delay"])} if "delay" in query else {}
        if url.path == "/send":
            await queue.send(message(run, int(query["i"]), "keep" in query), **options)
            return Response("sent")
        first = int(query.get("from", "0"))
        numbers = range(first, first + int(query["n"]))
        started = now_ms()
        await PRODUCERS[url.path](queue, run, numbers, options)
        return Response.json({"started": started, "finished": now_ms()})

    async def queue(self, batch, env, ctx):
        started = now_ms()
        if batch.queue == "gated":
            while not gate["open"]:
                await asyncio.sleep(0.005)
        run = None
        for message in batch.messages:
            body = message.body
            run = runs.get(body["run"])
            if run is None:
                run = runs[body["run"]] = Run()
            run.note(body["i"])
            if run.first_sent is None or body["sent"] < run.first_sent:
                run.first_sent = body["sent"]
            if body["keep"]:
                stamped = message.timestamp.timestamp() * 1000
                run.records.append([body["i"], body["sent"], stamped, started])
        if run is not None:
            run.batches += 1
            run.last_handled = now_ms()
