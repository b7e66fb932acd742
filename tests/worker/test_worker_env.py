"""`env`: variables, secrets, and the ways to reach it."""

from __future__ import annotations

VARS = {
    "TEXT": "x",
    "NUMBER": 5,
    "FLOAT": 1.0,
    "ON": True,
    "NOTHING": None,
    "OBJECT": {"a": {"b": [1]}},
    "LIST": [1, "two"],
}


def test_variables_secrets_and_what_is_missing(worker):
    w = worker(
        """
        import workers
        from pyodide.ffi import JsProxy, jsnull
        from workers import Response, WorkerEntrypoint, env as imported, import_from_javascript
        at_import = imported.TEXT

        def raises(call):
            try:
                return call()
            except Exception as error:
                return f"{type(error).__name__}: {error}"

        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                env = self.env
                assert env.TEXT == "x" and type(env.TEXT) is str and at_import == "x"
                assert env.NUMBER == 5 and env.FLOAT == 1 and env.ON is True and env.NOTHING is jsnull
                assert env.SECRET == "hush"
                assert isinstance(env.OBJECT, JsProxy) and env.OBJECT.a.b[0] == 1
                assert env.OBJECT.to_py() == {"a": {"b": [1]}}
                assert env.LIST.to_py() == [1, "two"] and env.LIST[1] == "two"
                assert raises(lambda: env.OBJECT["a"]).startswith("TypeError: ")
                assert raises(lambda: env["TEXT"]).startswith("TypeError: ")
                assert raises(lambda: "TEXT" in env).startswith("TypeError: ")
                assert raises(lambda: env.NOPE) == "AttributeError: NOPE"
                assert not hasattr(env, "NOPE") and getattr(env, "NOPE", 5) == 5
                assert workers.env.TEXT == "x"
                assert import_from_javascript("cloudflare:workers").env.TEXT == "x"
                assert type(env.Q).__name__ == "QueueBinding" and not hasattr(env.Q, "constructor")
                return Response(raises(lambda: env.KV.get("a")))
        """,
        vars=VARS,
        secrets={"SECRET": "hush"},
        bindings={"Q": {"kind": "queue", "queue": "jobs"}, "KV": {"kind": "unserved", "what": "Pipeline"}},
    )
    answer = w.fetch()
    assert answer.text == "JsException: Error: wpy does not serve the binding env.KV (Pipeline) yet", answer.result[
        "error"
    ]


def test_patch_env(worker):
    w = worker(
        """
        import workers
        from workers import Response, WorkerEntrypoint, patch_env
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                with patch_env(TEXT="patched", MORE=1):
                    inside = [workers.env.TEXT, workers.env.MORE, workers.env.OTHER]
                return Response.json([inside, workers.env.TEXT, hasattr(workers.env, "MORE")])
        """,
        vars={"TEXT": "x", "OTHER": "y"},
    )
    assert w.fetch().json == [["patched", 1, "y"], "x", False]


def test_modules_that_are_not_there(worker):
    w = worker("""
        from workers import Response, WorkerEntrypoint, import_from_javascript
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                try:
                    import_from_javascript("node:fs")
                except ImportError as error:
                    return Response(str(error))
    """)
    assert w.fetch().text.startswith("Failed to import 'node:fs': ")


def test_flags_reach_the_sdk(worker):
    w = worker(
        """
        import _cloudflare_compat_flags as flags
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                return Response.json([flags.some_flag, flags.other_flag])
        """,
        flags={"some_flag": True},
    )
    assert w.fetch().json == [True, False]
