"""The worker side under every Python that wpy supports, as far as this machine has them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from worker_process import sdk_folder

from wrangler_py.runtime.worker import frames as f

SUPPORTED = ("3.11", "3.12", "3.13")


def interpreters() -> dict[str, str]:
    """Supported versions other than this process's, by version."""
    found = {}
    for version in SUPPORTED:
        places = [
            shutil.which(f"python{version}"),
            *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python3")),
        ]
        for place in filter(None, places):
            said = subprocess.run([place, "--version"], capture_output=True, text=True, check=False).stdout
            if re.match(rf"Python {re.escape(version)}\.", said) and not sys.version.startswith(version + "."):
                found[version] = place
                break
    return found


WORKER = """
    import asyncio, contextvars, sys, threading, time
    from js import Response as JsResponse
    from pyodide.ffi import run_sync
    from workers import Response, WorkerEntrypoint

    seen = []

    async def nested():
        async with asyncio.timeout(5):
            while not seen:
                await asyncio.sleep(0.001)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0.001, n)) for n in range(3)]
        return [task.result() for task in tasks], asyncio.current_task() is not None

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            how = request.url.rpartition("/")[2]
            if how == "version":
                return Response(".".join(map(str, sys.version_info[:2])))
            if how == "fail":
                raise ValueError("boom")
            if how == "send":
                await asyncio.gather(*[self.env.Q.send({"n": n}) for n in range(3)])
                return Response("sent")
            outer = asyncio.current_task()
            if how == "runner":
                with asyncio.Runner() as runner:
                    result = [runner.run(nested()), runner.run(nested())]
            elif how == "run":
                result = [asyncio.run(nested()), run_sync(nested())]
            elif how == "sleep":
                while not seen:
                    time.sleep(0.001)
                loop = asyncio.new_event_loop()
                result = [loop.run_until_complete(nested())] * 2
            assert asyncio.current_task() is outer
            return Response.json(result)

        async def queue(self, batch, env, ctx):
            seen.extend(message.body for message in batch.messages)
            batch.messages[0].retry(delaySeconds=1)
            ctx = self.ctx
            ctx.waitUntil(asyncio.sleep(0.001))
            print("handled", seen)
"""


@pytest.mark.parametrize("version", SUPPORTED)
def test_a_worker(worker, version):
    if sys.version.startswith(version + "."):
        process = {"python": sys.executable}
    elif version in interpreters():
        process = {"python": interpreters()[version], "env": {"WPY_SDK": sdk_folder()}}
    else:
        pytest.skip(f"no Python {version} here")
    w = worker(WORKER, process=process, bindings={"Q": {"kind": "queue", "queue": "jobs"}})
    assert w.hello["python"].startswith(version)
    assert w.fetch("http://localhost/version").text == version
    for how in ("runner", "run", "sleep"):
        event = w.start_fetch(f"http://localhost/{how}")
        result = w.queue({"how": how})
        assert (result["outcome"], result["retries"]) == ("ok", {"m0": 1})
        assert w.finish_fetch(event).json == [[[0, 1, 2], True]] * 2
    assert "ValueError: boom" in w.fetch("http://localhost/fail").result["error"]
    event = w.start_fetch("http://localhost/send")
    for _ in range(3):
        w.send(f.REPLY, w.next(f.CALL)[1], (1, 1, None))
    assert w.finish_fetch(event).text == "sent"
    assert any(line.startswith("handled ") for line in w.lines())
    assert w.close() == 0
