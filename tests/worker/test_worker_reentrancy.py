"""A handler that blocks suspends itself alone: everything else goes on, on the same thread."""

from __future__ import annotations

import pytest

from wrangler_py.runtime.worker import frames as f

WORKER = """
    import asyncio, threading, time
    from pyodide.ffi import run_sync
    from workers import Response, WorkerEntrypoint

    handled = []
    arrived = asyncio.Event()

    async def until_handled():
        await arrived.wait()
        arrived.clear()
        return "done"

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            how = request.url.rpartition("/")[2]
            thread = threading.get_ident()
            if how == "run_sync":
                result = run_sync(until_handled())
            elif how == "asyncio.run":
                result = asyncio.run(until_handled())
            elif how == "runner":
                with asyncio.Runner() as runner:
                    async def two():
                        await asyncio.sleep(0)
                        return await asyncio.wait_for(poll(), 5)
                    result = runner.run(two())
            elif how == "loop":
                result = asyncio.get_event_loop().run_until_complete(until_handled())
            elif how == "new_loop":
                loop = asyncio.new_event_loop()
                result = loop.run_until_complete(poll())
                loop.close()
            elif how == "sleep":
                while not handled:
                    time.sleep(0.005)
                result = "done"
            elif how == "env":
                result = run_sync(self.env.Q.send({"a": 1}))["metadata"]["metrics"]["backlogCount"]
            assert thread == threading.get_ident()
            return Response(f"{result} {handled}")

        async def queue(self, batch, env, ctx):
            handled.append(batch.messages[0].body)
            arrived.set()

    async def poll():
        while not handled:
            await asyncio.sleep(0.005)
        return "done"
"""


@pytest.mark.parametrize("how", ["run_sync", "asyncio.run", "runner", "loop", "new_loop", "sleep"])
def test_a_queue_event_is_handled_while_fetch_is_blocked(worker, how):
    w = worker(WORKER)
    fetch = w.start_fetch(f"http://localhost/{how}")
    assert w.queue("message")["outcome"] == "ok"
    assert w.finish_fetch(fetch).text == "done ['message']"


def test_a_binding_can_be_waited_for_synchronously(worker):
    w = worker(WORKER, bindings={"Q": {"kind": "queue", "queue": "jobs"}})
    fetch = w.start_fetch("http://localhost/env")
    call = w.next(f.CALL)
    assert w.queue("meanwhile")["outcome"] == "ok"
    w.send(f.REPLY, call[1], (9, 0, None))
    assert w.finish_fetch(fetch).text == "9 ['meanwhile']"


NESTED = """
    import asyncio, time
    from pyodide.ffi import run_sync
    from workers import Response, WorkerEntrypoint

    gates = {}
    deepest = now = 0

    def gate(name):
        return gates.setdefault(name, asyncio.Event())

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            global deepest, now
            _, _, path = request.url.partition("localhost/")
            kind, _, name = path.partition("/")
            if kind == "open":
                gate(name).set()
            elif kind == "block":
                now += 1
                deepest = max(deepest, now)
                run_sync(gate(name).wait())
                now -= 1
            elif kind == "sleep":
                time.sleep(0.01)
            elif kind == "deepest":
                return Response(str(deepest))
            elif kind == "recurse":
                def down(n):
                    return n if n == 0 else down(n - 1)
                run_sync(asyncio.sleep(0))
                down(int(name))
            return Response(path)
"""


def test_blocked_handlers_return_last_in_first_out(worker):
    w = worker(NESTED)
    first = w.start_fetch("http://localhost/block/a")
    second = w.start_fetch("http://localhost/block/b")
    w.fetch("http://localhost/open/a")
    w.fetch("http://localhost/open/b")
    order = [w.next(f.DONE)[1] for _ in range(2)]
    assert order == [second, first]


def test_beyond_the_depth_events_wait_and_none_is_refused(worker):
    w = worker(NESTED)
    events = [w.start_fetch("http://localhost/sleep") for _ in range(200)]
    assert {w.finish_fetch(event).text for event in events} == {"sleep"}


def test_the_depth_is_limited(worker):
    w = worker(NESTED)
    blocked = [w.start_fetch(f"http://localhost/block/{number}") for number in range(40)]
    waiting = w.start_fetch("http://localhost/deepest")
    # 24 handlers are blocked, so nothing more is started, not even what would answer at once.
    with pytest.raises(TimeoutError):
        w.sock.settimeout(0.3)
        w.next(f.RESPONSE, waiting)
    w.sock.settimeout(20)
    w.process.kill()
    assert len(blocked) == 40


def test_a_nested_handler_has_the_stack_of_any_other(worker):
    w = worker(NESTED)
    blocked = [w.start_fetch(f"http://localhost/block/{number}") for number in range(10)]
    assert w.fetch("http://localhost/recurse/800").status == 200
    for number in reversed(range(10)):
        w.fetch(f"http://localhost/open/{number}")
    assert {w.finish_fetch(event).status for event in blocked} == {200}


def test_current_task_and_timeouts_work_in_nested_loops(worker):
    w = worker("""
        import asyncio
        from workers import Response, WorkerEntrypoint

        async def inner():
            assert asyncio.current_task() is not None
            async with asyncio.timeout(5):
                await asyncio.sleep(0.001)
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(5)
            except TimeoutError:
                return "timed out"

        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                outer = asyncio.current_task()
                with asyncio.Runner() as runner:
                    first = runner.run(inner())
                    second = runner.run(inner())
                assert asyncio.current_task() is outer
                assert asyncio.get_running_loop() is asyncio.get_event_loop()
                third = asyncio.run(inner())
                return Response(f"{first}, {second}, {third}")
    """)
    assert w.fetch().text == "timed out, timed out, timed out"


def test_closing_a_runner_cancels_its_own_tasks_only(worker):
    w = worker("""
        import asyncio
        from workers import Response, WorkerEntrypoint

        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                mine = asyncio.create_task(asyncio.sleep(0.02, "mine"))
                with asyncio.Runner() as runner:
                    async def leave():
                        global its
                        its = asyncio.create_task(asyncio.sleep(60))
                        await asyncio.sleep(0)
                    runner.run(leave())
                assert its.cancelled()
                return Response(await mine)
    """)
    assert w.fetch().text == "mine"


def test_threads_have_loops_of_their_own(worker):
    w = worker("""
        import asyncio, threading, time
        from workers import Response, WorkerEntrypoint

        def in_thread(results):
            async def main():
                await asyncio.sleep(0.001)
                return type(asyncio.get_running_loop()).__name__
            results.append(asyncio.run(main()))
            time.sleep(0.001)

        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                results = []
                thread = threading.Thread(target=in_thread, args=(results,))
                thread.start()
                await asyncio.to_thread(thread.join)
                return Response(results[0])
    """)
    assert w.fetch().text == "_UnixSelectorEventLoop"


def test_network_io_on_a_second_loop(worker):
    w = worker("""
        import asyncio
        from workers import Response, WorkerEntrypoint

        async def talk():
            async def serve(reader, writer):
                writer.write((await reader.readline()).upper())
                await writer.drain()
                writer.close()
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\\n")
            answer = await reader.readline()
            writer.close()
            server.close()
            return answer.decode().strip()

        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                with asyncio.Runner() as runner:
                    first = runner.run(talk())
                return Response(first + await talk())
    """)
    assert w.fetch().text == "HELLOHELLO"


def test_futures_have_then(worker):
    w = worker("""
        import asyncio
        from js import Promise
        from pyodide.webloop import PyodideFuture, WebLoop
        from workers import Response, WorkerEntrypoint

        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                loop = asyncio.get_running_loop()
                assert isinstance(loop, WebLoop)
                future = loop.create_future()
                assert isinstance(future, PyodideFuture)
                doubled = future.then(lambda value: value * 2)
                future.set_result(4)
                caught = Promise.reject(ValueError("x")).catch(lambda error: str(error))
                done = []
                await Promise.resolve(1).finally_(lambda: done.append(1))
                return Response.json([await doubled, await caught, done, list(await Promise.all([1, Promise.resolve(2)]))])
    """)
    assert w.fetch().json == [8, "x", [1], [1, 2]]
