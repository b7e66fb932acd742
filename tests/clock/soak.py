"""A soak on the real clock: a cron every minute beside a busy queue. Not a part of the test run; takes minutes.

    python tests/clock/soak.py --minutes 5

Ends with 0 when every minute had exactly one run, each began in its handler within a second of the minute, and every message
was handled.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from session_project import Project

WORKER = """
import time
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        await self.env.JOBS.sendBatch([{"body": {"n": n}} for n in range(20)])
        return Response("sent")

    async def queue(self, batch, env, ctx):
        with open(self.env.LOG + ".messages", "a") as file:
            file.write("x" * len(batch.messages))

    async def scheduled(self, controller, env, ctx):
        now_ms = time.time() * 1000
        with open(self.env.LOG, "a") as file:
            file.write(f"{controller.scheduledTime} {now_ms - controller.scheduledTime:.1f}\\n")
"""
CONFIG = """
[vars]
LOG = "{log}"

[[queues.producers]]
binding = "JOBS"
queue = "jobs"

[[queues.consumers]]
queue = "jobs"
max_batch_size = 50
max_batch_timeout = 1

[triggers]
crons = ["* * * * *"]
"""
#: How late a run may begin (ms).
LATE_MS = 1_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=5)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "soak")
        log = project.folder / "runs.log"
        project.config(CONFIG.format(log=log))
        project.code(WORKER)
        server = project.start()
        started_ms = time.time() * 1000
        sent = busy(server.get, minutes * 60 + 5)
        time.sleep(3)  # the last batches
        project.stop()
        runs = [line.split() for line in log.read_text().splitlines()]
        handled = Path(f"{log}.messages").stat().st_size
    print(f"{sent:,} messages sent, {handled:,} handled")
    for planned, late in runs:
        print(f"{time.strftime('%H:%M:%S', time.gmtime(int(planned) / 1000))}  +{float(late):.1f} ms")
    first = int(started_ms // 60_000 + 1) * 60_000
    expected = [first + minute * 60_000 for minute in range(minutes)]
    planned = [int(planned) for planned, _ in runs]
    problems = []
    if planned[: len(expected)] != expected or len(planned) != len(set(planned)):
        problems.append(f"the minutes were {planned}, and should be {expected}")
    if any(not 0 <= float(late) <= LATE_MS for _, late in runs):
        problems.append("a run was early, or more than a second late")
    if handled != sent:
        problems.append("messages were lost, or came twice")
    print("\n".join(problems) or "all as it should be")
    return 1 if problems else 0


def busy(get, seconds: float) -> int:
    """Send for that long, with four clients that do not rest. Returns how many messages."""
    sent = 0
    lock = threading.Lock()
    end = time.monotonic() + seconds

    def client() -> None:
        nonlocal sent
        while time.monotonic() < end:
            assert get("/").status == 200
            with lock:
                sent += 20
            time.sleep(0.02)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    return sent


if __name__ == "__main__":
    sys.exit(main())
