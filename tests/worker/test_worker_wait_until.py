"""When an event is over, and what work that outlives its handler does to it."""

from __future__ import annotations

import pytest

from wrangler_py.runtime.worker import frames as f

WORKER = """
    import asyncio
    from js import Promise
    from pyodide.ffi import create_proxy
    from workers import Response, WorkerEntrypoint, wait_until

    gate = asyncio.Event()

    async def work(fail=False):
        await gate.wait()
        print("work")
        if fail:
            raise ValueError("late")

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            path = request.url.partition("localhost")[2]
            if path == "/open":
                gate.set()
            elif path == "/wait":
                self.ctx.waitUntil(work())
            elif path == "/fail":
                self.ctx.waitUntil(work(fail=True))
            elif path == "/module":
                wait_until(work())
            elif path == "/proxy":
                wait_until(create_proxy(asyncio.ensure_future(work())))
            elif path == "/promise":
                self.ctx.waitUntil(Promise.new(lambda resolve, reject: resolve(5)))
            elif path == "/rejected":
                self.ctx.waitUntil(Promise.new(lambda resolve, reject: reject(ValueError("no"))))
            elif path == "/value":
                self.ctx.waitUntil(5)
            elif path == "/none":
                self.ctx.waitUntil(None)
            elif path == "/chain":
                async def chain():
                    self.ctx.waitUntil(work())
                self.ctx.waitUntil(chain())
            elif path == "/task":
                asyncio.create_task(work())
            return Response(path)

        async def queue(self, batch, env, ctx):
            async def later():
                await gate.wait()
                batch.messages[0].retry()
                if batch.messages[0].body == "fail":
                    raise ValueError("late")
            self.ctx.waitUntil(later())

        async def scheduled(self, controller, env, ctx):
            async def later():
                await gate.wait()
                controller.noRetry()
                raise ValueError("late")
            self.ctx.waitUntil(later())
"""


@pytest.mark.parametrize("path", ["/wait", "/module", "/proxy", "/chain"])
def test_the_answer_goes_out_first_and_the_event_ends_later(worker, path):
    w = worker(WORKER)
    event = w.start_fetch(f"http://localhost{path}")
    assert w.next(f.RESPONSE, event)[2] == 200
    assert w.next(f.RETURNED, event)[2]["outcome"] == "ok"
    assert w.fetch("http://localhost/open").text == "/open"
    assert not any(frame[0] == f.DONE and frame[1] == event for frame in w.seen) or w.lines(event) == ["work"]
    assert w.next(f.DONE, event)[2] == {"outcome": "ok", "error": None}
    assert w.lines(event) == ["work"]


def test_work_that_nobody_waits_for_does_not_hold_the_event(worker):
    w = worker(WORKER)
    assert w.fetch("http://localhost/task").result["outcome"] == "ok"


@pytest.mark.parametrize("path", ["/fail", "/rejected"])
def test_rejected_work_makes_the_event_an_exception(worker, path):
    w = worker(WORKER)
    event = w.start_fetch(f"http://localhost{path}")
    assert w.next(f.RESPONSE, event)[2] == 200
    w.fetch("http://localhost/open")
    result = w.next(f.DONE, event)[2]
    assert result["outcome"] == "exception"
    assert result["error"] in ("ValueError: late", "ValueError: no")
    assert result["error"] in w.lines(event, "error")


@pytest.mark.parametrize("path", ["/promise", "/value"])
def test_what_is_done_already(worker, path):
    assert worker(WORKER).fetch(f"http://localhost{path}").result["outcome"] == "ok"


def test_waiting_for_none_is_an_error(worker):
    assert "parameter 1 is not of type 'Promise'" in worker(WORKER).fetch("http://localhost/none").result["error"]


def test_a_queue_event_reports_after_its_work(worker):
    w = worker(WORKER)
    event = w.start_queue("x")
    first = w.next(f.RETURNED, event)[2]
    assert (first["outcome"], first["retries"]) == ("ok", {})
    w.fetch("http://localhost/open")
    last = w.next(f.DONE, event)[2]
    assert (last["outcome"], last["retries"]) == ("ok", {"m0": None})


def test_failing_work_fails_the_batch(worker):
    w = worker(WORKER)
    event = w.start_queue("fail")
    w.fetch("http://localhost/open")
    last = w.next(f.DONE, event)[2]
    assert (last["outcome"], last["error"], last["retries"]) == ("exception", "ValueError: late", {"m0": None})


def test_with_the_flag_a_batch_is_settled_when_the_handler_is(worker):
    w = worker(WORKER, flags={"queue_consumer_no_wait_for_wait_until": True})
    event = w.start_queue("fail")
    first = w.next(f.RETURNED, event)[2]
    w.fetch("http://localhost/open")
    last = w.next(f.DONE, event)[2]
    assert first == last
    assert (last["outcome"], last["retries"]) == ("ok", {})
    assert "ValueError: late" in w.lines(event, "error")


def test_a_scheduled_event_counts_its_work(worker):
    w = worker(WORKER)
    event = w.start_scheduled()
    assert w.next(f.RETURNED, event)[2]["outcome"] == "ok"
    w.fetch("http://localhost/open")
    last = w.next(f.DONE, event)[2]
    assert (last["outcome"], last["no_retry"], last["error"]) == ("exception", True, "ValueError: late")


def test_calls_after_the_end_are_lost(worker):
    w = worker("""
        from workers import Response, WorkerEntrypoint
        kept = []
        class Default(WorkerEntrypoint):
            async def queue(self, batch, env, ctx):
                kept.append(batch.messages[0])
            async def fetch(self, request):
                kept[0].retry()
                return Response("late")
    """)
    assert w.queue("x")["retries"] == {}
    assert w.fetch().text == "late"
    assert w.lines() == []


def test_outside_of_an_event_there_is_nothing_to_keep_alive(bare):
    text = bare("""
        from workers import wait_until
        async def work(): ...
        wait_until(work())
    """).load_failure()
    assert "Disallowed operation called within global scope" in text


def test_an_error_in_a_timer_fails_the_event_that_set_it(worker):
    w = worker("""
        import asyncio
        from js import setTimeout
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                def boom():
                    raise ValueError("timer")
                setTimeout(boom, 1)
                await asyncio.sleep(0.05)
                return Response("ok")
    """)
    answer = w.fetch()
    assert answer.text == "ok"
    assert answer.result == {"outcome": "exception", "error": "ValueError: timer"}
