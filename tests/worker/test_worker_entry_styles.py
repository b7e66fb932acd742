"""How Cloudflare calls a worker: class and module-level handlers, signatures, what is missing."""

from __future__ import annotations

import pytest

HELLO = """
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return Response(f"{request.method} {request.url}")

        async def queue(self, batch, env, ctx):
            print("batch", env, ctx)

        async def scheduled(self, controller, env, ctx):
            print("cron", controller.cron, controller.scheduledTime, env, ctx)
"""


def test_a_class_serves_all_three_events(worker):
    w = worker(HELLO)
    assert w.hello["sdk"] and w.hello["python"].startswith("3.")
    assert w.info["handlers"] == ["fetch", "queue", "scheduled"]
    assert w.info["warnings"] == []
    assert w.info["files"] == [str(w.root / "src/entry.py")]
    answer = w.fetch("http://localhost/a?b=c", "PUT", b"")
    assert (answer.status, answer.text) == (200, "PUT http://localhost/a?b=c")
    assert answer.result == {"outcome": "ok", "error": None}
    assert w.queue({"a": 1})["outcome"] == "ok"
    assert w.scheduled("0 5 * * 1", 1_700_000_000_000) == {
        "outcome": "ok",
        "error": None,
        "no_retry": False,
        "handler": True,
    }
    assert "batch None None" in w.lines(2)
    assert "cron 0 5 * * 1 1700000000000 None None" in w.lines(3)


def test_every_event_has_a_fresh_instance_and_the_module_stays(worker):
    w = worker("""
        from workers import Response, WorkerEntrypoint
        total = 0
        class Default(WorkerEntrypoint):
            count = 0
            async def fetch(self, request):
                global total
                self.count += 1
                total += 1
                return Response.json([self.count, total])
    """)
    assert [w.fetch().json for _ in range(3)] == [[1, 1], [1, 2], [1, 3]]


def test_handlers_may_be_plain_functions_and_fetch_may_take_nothing(worker):
    w = worker("""
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            def fetch(self):
                return Response("sync")
            def queue(self, batch, env, ctx):
                batch.ackAll()
            def scheduled(self, controller, env, ctx):
                controller.noRetry()
    """)
    assert w.fetch().text == "sync"
    assert w.queue("x")["ack_all"] is True
    assert w.scheduled()["no_retry"] is True


def test_init_gets_ctx_and_env(worker):
    w = worker(
        """
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            def __init__(self, ctx, env):
                super().__init__(ctx, env)
                self.who = env.WHO
            async def fetch(self, request):
                return Response(self.who)
        """,
        vars={"WHO": "me"},
    )
    assert w.fetch().text == "me"


def test_module_level_handlers_get_real_env_and_ctx_when_the_date_allows_them(worker):
    w = worker(
        """
        from workers import Response, handler

        @handler
        async def on_fetch(request, env):
            return Response(request.url + " " + env.WHO)

        async def on_queue(batch, env, ctx):
            for message in batch.messages:
                print(batch.queue, message.body.to_py(), message.body.a, type(message.body).__name__)
                print(message.timestamp.toISOString(), env.WHO)
            ctx.waitUntil(later())

        async def later():
            print("later")

        def on_scheduled(event):
            print("cron", event.cron)
        """,
        vars={"WHO": "me"},
        flags={"python_no_global_handlers": False},
    )
    assert w.info["handlers"] == ["fetch", "queue", "scheduled"]
    assert w.fetch("http://localhost/x").text == "http://localhost/x me"
    assert w.queue({"a": 1})["outcome"] == "ok"
    assert w.lines(2) == ["jobs {'a': 1} 1 JsProxy", "2023-11-14T22:13:20.000Z me", "later"]
    assert w.scheduled("* * * * *")["outcome"] == "ok"
    assert w.lines(3) == ["cron * * * * *"]


def test_a_module_level_fetch_gets_the_javascript_request(worker):
    w = worker(
        """
        from js import Response
        async def on_fetch(request, env, ctx):
            return Response.new(request.method + " " + request.headers.get("x-a"), status=201)
        """,
        flags={"python_no_global_handlers": False},
    )
    answer = w.fetch(headers=[("X-A", "1")])
    assert (answer.status, answer.text) == (201, "GET 1")


def test_both_styles_at_once_are_refused(bare):
    w = bare("""
        from workers import WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request): ...
        async def on_fetch(request, env): ...
    """)
    assert "Cannot define multiple default entrypoints" in w.load_failure(flags={"python_no_global_handlers": False})


def test_module_level_handlers_after_their_date_are_named(worker):
    w = worker("async def on_fetch(request, env): ...\n")
    assert w.info["handlers"] == []
    assert "on_fetch is never called" in w.info["warnings"][0]
    answer = w.fetch()
    assert answer.result["error"].endswith("Error: Handler does not export a fetch() function.")


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = 1\n", "exports no handler"),
        (
            "from workers import WorkerEntrypoint\nclass Jobs(WorkerEntrypoint):\n  async def queue(self, b, e, c): ...\n",
            "Jobs: the entrypoint that gets the events is the class named Default",
        ),
    ],
)
def test_a_worker_without_an_entrypoint_is_told_so(worker, source, says):
    assert says in worker(source).info["warnings"][0]


def test_an_imported_class_counts_and_all_decides(worker):
    w = worker(
        "from app import Default\n",
        files={
            "src__app.py": """
                from workers import Response, WorkerEntrypoint
                class Default(WorkerEntrypoint):
                    async def fetch(self, request):
                        return Response("imported")
            """
        },
    )
    assert w.fetch().text == "imported"
    assert w.info["files"] == [str(w.root / "src/app.py"), str(w.root / "src/entry.py")]


def test_missing_handlers_say_what_cloudflare_says(worker):
    w = worker("""
        from workers import WorkerEntrypoint
        class Default(WorkerEntrypoint):
            pass
    """)
    answer = w.fetch()
    assert answer.status == 0
    assert answer.result["outcome"] == "exception"
    assert answer.result["error"].endswith("Error: Handler does not export a fetch() function.")
    for _ in range(2):
        result = w.queue("x")
        assert result["outcome"] == "exception"
        assert result["error"].endswith("Handler does not export a queue() function.")
        result = w.scheduled()
        assert result["error"].endswith("Handler does not export a scheduled() function")
        assert (result["outcome"], result["no_retry"], result["handler"]) == ("exception", True, False)
    text = w.log_text()
    for kind in ("FetchEvent", "QueueEvent", "ScheduledEvent"):
        assert text.count(f"Received a {kind} but we lack a handler for {kind}s") == 1


def test_a_missing_module_level_handler_is_named(worker):
    w = worker("async def on_fetch(request): ...\n", flags={"python_no_global_handlers": False})
    assert w.queue("x")["error"].endswith('Python entrypoint "entry.py" does not export a handler named "on_queue"')


# The table of what real Pyodide, the real SDK and the real introspection.py do.
@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ("self, batch", "Default.queue() takes 2 positional arguments but 4 were given"),
        ("self, batch, env", "Default.queue() takes 3 positional arguments but 4 were given"),
        ("self, batch, env, ctx", None),
        ("self, batch, env=None, ctx=None", None),
        ("self, *args", None),
        ("self, batch, a, b", None),
    ],
)
def test_queue_signatures(worker, parameters, error):
    w = worker(f"""
        from workers import WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def queue({parameters}):
                pass
    """)
    result = w.queue("x")
    if error is None:
        assert w.info["warnings"] == []
        assert result["outcome"] == "ok"
        return
    assert w.info["warnings"] == [
        f"src/entry.py:4: Default.queue({parameters}) raises TypeError on Cloudflare, which calls "
        "queue(batch, env, ctx) with env and ctx None. Write: async def queue(self, batch, env, ctx)"
    ]
    assert result["outcome"] == "exception"
    assert result["error"] == f"TypeError: {error}"
    assert f"TypeError: {error}" in w.lines()
    assert "Cloudflare calls queue(self, batch, env, ctx); env and ctx are None, use self.env and self.ctx" in w.lines()


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("async def scheduled(self, controller)", "Default.scheduled() takes 2 positional arguments but 4 were given"),
        ("async def scheduled(self, controller, env, ctx)", None),
    ],
)
def test_scheduled_signatures(worker, method, error):
    w = worker(f"""
        from workers import WorkerEntrypoint
        class Default(WorkerEntrypoint):
            {method}:
                pass
    """)
    result = w.scheduled()
    assert result["error"] == (error and f"TypeError: {error}")
    assert len(w.info["warnings"]) == (1 if error else 0)


def test_a_wrong_init_and_a_fetch_that_wants_too_much_are_reported(worker):
    w = worker("""
        from workers import WorkerEntrypoint
        class Default(WorkerEntrypoint):
            def __init__(self):
                pass
            async def fetch(self, request, env, ctx, more):
                pass
    """)
    assert [warning.partition(" raises ")[0] for warning in w.info["warnings"]] == [
        "src/entry.py:4: Default.__init__(self)",
        "src/entry.py:6: Default.fetch(self, request, env, ctx, more)",
    ]
    assert "TypeError: Default.__init__() takes 1 positional argument but 3 were given" in w.fetch().result["error"]


def test_a_type_error_of_the_users_own_has_no_note(worker):
    w = worker("""
        from workers import WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def queue(self, batch):
                pass
            async def fetch(self, request):
                raise TypeError("mine")
    """)
    assert "Cloudflare calls" not in w.fetch().result["error"]
