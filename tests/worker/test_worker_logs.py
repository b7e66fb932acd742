"""What a worker prints: whole lines, of the right event and level, however much it is."""

from __future__ import annotations

from wrangler_py.runtime.worker import frames as f


def test_lines_are_tagged_with_their_event(worker):
    w = worker("""
        import asyncio, sys
        from workers import Response, WorkerEntrypoint
        print("at import")
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                name = request.url[-1]
                for number in range(3):
                    print(name, number)
                    await asyncio.sleep(0.01)
                print("err", file=sys.stderr)
                sys.stdout.write("no newline ")
                asyncio.create_task(self.later(name))
                await asyncio.sleep(0.02)
                print("at the end", end="")
                return Response("x")
            async def later(self, name):
                print("from a task")
    """)
    assert w.lines(0) == ["at import"]
    events = [w.start_fetch(f"http://localhost/{name}") for name in "ab"]
    for event, name in zip(events, "ab", strict=True):
        w.finish_fetch(event)
        assert w.lines(event, "log") == [f"{name} 0", f"{name} 1", f"{name} 2", "no newline from a task", "at the end"]
        assert w.lines(event, "error") == ["err"]


def test_console_has_levels(worker):
    w = worker("""
        import js
        from js import console, Object
        from pyodide.ffi import jsnull, to_js
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                console.log("text", 1, 1.5, None, jsnull, True)
                console.log(to_js({"a": [1, {"b": "c"}], "f": js.fetch}, dict_converter=Object.fromEntries), js.Map.new())
                console.info("info"); console.warn("warn"); console.error("error"); console.debug("debug")
                console.log({"python": 1})
                return Response("x")
    """)
    w.fetch()
    assert w.logs == [
        (1, "log", "text 1 1.5 undefined null true"),
        (1, "log", "{ a: [ 1, { b: 'c' } ], f: [Function: fetch] } Map(0) {}"),
        (1, "info", "info"),
        (1, "warn", "warn"),
        (1, "error", "error"),
        (1, "debug", "debug"),
        (1, "log", "{'python': 1}"),
    ]


def test_logging_without_configuration_keeps_its_level(worker):
    w = worker("""
        import logging, warnings
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                logging.getLogger("x").info("not shown")
                logging.getLogger("x").warning("careful")
                logging.getLogger("x").error("bad %s", 5)
                return Response("x")
    """)
    w.fetch()
    assert w.logs == [(1, "warn", "careful"), (1, "error", "bad 5")]


def test_logging_with_configuration_is_the_users(worker):
    w = worker("""
        import logging
        from workers import Response, WorkerEntrypoint
        logging.basicConfig(level=logging.INFO, format="%(levelname)s:%(message)s")
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                logging.info("hello")
                return Response("x")
    """)
    w.fetch()
    assert w.logs == [(1, "error", "INFO:hello")]


def test_odd_characters_empty_lines_and_bytes(worker):
    w = worker("""
        import sys
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                print("a\\ud800b 😀")
                print()
                print("one\\ntwo")
                sys.stdout.buffer.write(b"raw\\xff\\n")
                sys.stdout.writelines(["x\\n", "y\\n"])
                assert not sys.stdout.isatty() and sys.stdout.writable() and sys.stdout.encoding == "utf-8"
                sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
                assert sys.stdout.fileno() == 1 and sys.stderr.fileno() == 2
                return Response("x")
    """)
    w.fetch()
    assert w.lines(1) == ["a?b 😀", "", "one", "two", "raw\ufffd", "x", "y"]


def test_a_line_that_never_ends_is_sent_in_pieces(worker):
    w = worker("""
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                for _ in range(200):
                    print("x" * 1000, end="")
                return Response("x")
    """)
    w.fetch()
    assert sum(map(len, w.lines(1))) == 200_000
    assert len(w.lines(1)) > 1


def test_a_flood_is_held_back_and_not_kept_in_memory(worker):
    w = worker("""
        import resource
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                for number in range(300_000):
                    print("line", number, "." * 60)
                grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
                return Response(str(grown))  # KiB
    """)
    event = w.start_fetch()
    answer = w.finish_fetch(event)
    lines = w.lines(event)
    assert len(lines) == 300_000
    assert lines[0].startswith("line 0 ") and lines[-1].startswith("line 299999 ")
    assert int(answer.text) < 20_000


def test_prints_of_threads_arrive(worker):
    w = worker("""
        import asyncio, threading
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                thread = threading.Thread(target=lambda: print("from a thread"))
                thread.start()
                thread.join()
                await asyncio.to_thread(print, "from to_thread")
                return Response("x")
    """)
    w.fetch()
    assert ("from a thread" in w.lines(0)) and ("from to_thread" in w.lines(1))


def test_lines_come_before_the_end_of_their_event_and_in_order(worker):
    w = worker("""
        import sys
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def queue(self, batch, env, ctx):
                print("out 1"); print("err 1", file=sys.stderr); print("out 2")
    """)
    event = w.start_queue("x")
    assert w.next(f.DONE, event)
    assert w.logs == [(1, "log", "out 1"), (1, "error", "err 1"), (1, "log", "out 2")]
