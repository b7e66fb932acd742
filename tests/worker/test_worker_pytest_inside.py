"""pytest with pytest-asyncio inside of a fetch handler, as Cloudflare's own suites run."""

from __future__ import annotations

import os

import pytest

from wrangler_py.runtime.worker import frames as f

pytestmark = pytest.mark.skipif("WPY_TEST_PYTHON" in os.environ, reason="pytest is in this environment alone")

WORKER = """
    import asyncio, io, sys
    from contextlib import redirect_stdout
    from pathlib import Path
    from pyodide.webloop import WebLoop
    from workers import Response, WorkerEntrypoint
    import pytest

    async def noop(*args):
        pass

    WebLoop.shutdown_asyncgens = noop
    WebLoop.shutdown_default_executor = noop
    if sys.version_info < (3, 13):
        asyncio.runners._cancel_all_tasks = lambda loop: None

    received = []

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            hide = request.url.endswith("hide")
            running = asyncio.events._get_running_loop()
            if hide:
                asyncio.events._set_running_loop(None)
            output = io.StringIO()
            try:
                code = pytest.main([str(Path(__file__).parent / "inside.py"), "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
                                    "-p", "no:cov", "-o", "asyncio_mode=auto", "-o", "addopts=", "--capture=" + ("sys" if hide else "fd")])
            finally:
                asyncio.events._set_running_loop(running)
            return Response(str(int(code)))

        async def queue(self, batch, env, ctx):
            received.extend(message.body for message in batch.messages)
"""

INSIDE = """
    import asyncio
    import pytest
    import pytest_asyncio
    from workers import env
    import entry

    @pytest_asyncio.fixture
    async def sent():
        await asyncio.sleep(0)
        yield await env.Q.send({"from": "fixture"})
        await asyncio.sleep(0)

    async def test_send(sent):
        assert sent.metadata.metrics.backlogCount == 1

    async def test_the_queue_handler_runs_meanwhile(sent):
        async with asyncio.timeout(10):
            while {"answer": 42} not in entry.received:
                await asyncio.sleep(0.005)

    async def test_tasks_and_timeouts():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(5)
        assert await asyncio.gather(asyncio.sleep(0, 1), asyncio.create_task(asyncio.sleep(0, 2))) == [1, 2]

    def test_sync():
        print("captured")

    @pytest.mark.parametrize("n", range(3))
    async def test_many(n, sent):
        assert n < 3

    async def test_that_fails():
        assert 1 == 2
"""


@pytest.mark.parametrize("path", ["", "hide"])
def test_pytest_inside_of_fetch(worker, path):
    w = worker(WORKER, files={"src__inside.py": INSIDE}, bindings={"Q": {"kind": "queue", "queue": "jobs"}})
    event = w.start_fetch(f"http://localhost/{path}")
    queue = None
    while True:
        frame = w.next_of(f.CALL, f.DONE, f.RESPONSE)
        if frame[0] == f.CALL:
            w.send(f.REPLY, frame[1], (1, 2, None))
            queue = queue or w.start_queue({"answer": 42})
        elif frame[1] == event:
            break
    assert frame[0] == f.RESPONSE, frame[2]["error"]
    output = w.log_text(event)
    assert frame[4] == b"1", output  # one failed
    assert "1 failed, 7 passed" in output, output
