"""How failures are told: from the user's frame on, with Cloudflare's type and text."""

from __future__ import annotations

import sys
import textwrap

import pytest

from wrangler_py.runtime.worker import frames as f

HEAD = """
    from workers import Response, WorkerEntrypoint

    def helper():
        raise ValueError("boom")

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            {}
"""


def without_carets(text):
    """Versions of Python differ in where they put carets."""
    return "\n".join(line for line in text.splitlines() if line.strip("^~ "))


def test_a_traceback_begins_at_the_users_frame(worker):
    w = worker(HEAD.format("helper()"))
    answer = w.fetch()
    assert answer.status == 0
    text = textwrap.dedent(f"""\
        Traceback (most recent call last):
          File "{w.root}/src/entry.py", line 9, in fetch
            helper()
          File "{w.root}/src/entry.py", line 5, in helper
            raise ValueError("boom")
        ValueError: boom""")
    assert without_carets(answer.result["error"]) == text
    assert answer.result["outcome"] == "exception"
    assert w.log_text(1, "error") == answer.result["error"]


def test_queue_and_cron_tell_the_last_line_and_log_the_rest(worker):
    w = worker("""
        from workers import WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def queue(self, batch, env, ctx):
                raise KeyError("gone")
            async def scheduled(self, controller, env, ctx):
                raise RuntimeError("two\\nlines")
    """)
    assert w.queue("x")["error"] == "KeyError: 'gone'"
    assert w.lines(1, "error")[0] == "Traceback (most recent call last):"
    assert w.lines(1, "error")[-1] == "KeyError: 'gone'"
    assert w.scheduled()["error"] == "RuntimeError: two\nlines"


def test_causes_notes_and_groups_are_trimmed_too(worker):
    w = worker("""
        import asyncio
        from workers import Response, WorkerEntrypoint

        async def fail(text):
            await asyncio.sleep(0)
            raise ValueError(text)

        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                try:
                    await asyncio.wait_for(fail("inner"), 5)
                except ValueError as error:
                    error.add_note("a note")
                    raise RuntimeError("outer") from error

            async def queue(self, batch, env, ctx):
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail("one"))
                    group.create_task(fail("two"))
    """)
    text = w.fetch().result["error"]
    assert text.index("ValueError: inner\na note") < text.index("direct cause") < text.index("RuntimeError: outer")
    assert "asyncio" not in text.replace("asyncio.wait_for", "").replace("asyncio.sleep", "")
    assert w.queue("x")["outcome"] == "exception"
    group = w.log_text(2, "error")
    assert "ValueError: one" in group and "ValueError: two" in group
    assert "taskgroups.py" not in group


def test_a_failure_inside_of_the_sdk_shows_the_users_line(worker):
    w = worker(HEAD.format("return Response(object())"))
    assert without_carets(w.fetch().result["error"]).splitlines()[1:] == [
        f'  File "{w.root}/src/entry.py", line 9, in fetch',
        "    return Response(object())",
        "TypeError: Unsupported type in Response: object",
    ]


def test_javascript_errors_have_their_name_and_text(worker):
    w = worker(HEAD.format("from js import Response as R; R.new('x', status=99)"))
    assert (
        w.fetch()
        .result["error"]
        .endswith(
            "pyodide.ffi.JsException: RangeError: Responses may only be constructed with status codes in the range "
            "200 to 599, inclusive."
        )
    )


@pytest.mark.parametrize("returned", ["None", "'text'", "{'a': 1}", "request", "5", "b'x'"])
def test_what_is_no_response(worker, returned):
    w = worker(HEAD.format(f"return {returned}"))
    answer = w.fetch()
    assert answer.status == 0
    assert answer.result["error"].endswith(
        "TypeError: Incorrect type for Promise: the Promise did not resolve to 'Response'."
    )


def test_a_response_whose_body_was_read(worker):
    w = worker("""
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                response = Response("x")
                await response.text()
                return response
    """)
    assert "Body has already been used." in w.fetch().result["error"]


@pytest.mark.parametrize("raised", ["SystemExit(3)", "GeneratorExit()", "BaseException('base')"])
def test_other_base_exceptions_fail_the_event_and_not_the_process(worker, raised):
    w = worker(HEAD.format(f"raise {raised}"))
    for _ in range(2):
        assert w.fetch().result["error"].splitlines()[-1].startswith(raised.partition("(")[0])


def test_sys_exit_in_a_task_is_reported_and_the_process_lives(worker):
    w = worker("""
        import asyncio, sys
        from workers import Response, WorkerEntrypoint
        async def leave():
            sys.exit(3)
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                task = asyncio.ensure_future(leave())
                await asyncio.sleep(0.01)
                task.exception()
                return Response("still here")
    """)
    answer = w.fetch()
    assert answer.text == "still here"
    assert answer.result["error"] == "SystemExit: 3"
    assert w.fetch().text == "still here"


def test_keyboard_interrupt_ends_the_process_after_the_event_was_told(worker):
    w = worker(HEAD.format("raise KeyboardInterrupt"))
    event = w.start_fetch()
    with pytest.raises(EOFError, match="KeyboardInterrupt"):
        while True:
            frame = w.next_of(f.DONE, f.RETURNED)
            if frame[0] == f.DONE:
                assert frame[1] == event and frame[2]["outcome"] == "exception"
    assert w.wait() == 1


@pytest.mark.parametrize("code", ["await asyncio.sleep(1)", "return Response('x')"])
def test_a_cancelled_handler(worker, code):
    w = worker(HEAD.format(f"import asyncio; asyncio.current_task().cancel(); {code}"))
    answer = w.fetch()
    assert answer.result["outcome"] == ("exception" if "sleep" in code else "ok")


# --- loading ----------------------------------------------------------------------------------------------------------


def test_a_syntax_error_is_shown_with_its_place(bare):
    w = bare("x = 1\ndef broken(:\n    pass\n")
    assert w.load_failure().splitlines() == [
        f'  File "{w.root}/src/entry.py", line 2',
        "    def broken(:",
        "               ^",
        "SyntaxError: invalid syntax",
    ]


def test_an_import_that_fails_begins_at_the_users_frame(bare):
    w = bare("import app\n", files={"src__app.py": "import no_such_package\n"})
    text = w.load_failure()
    assert text.splitlines()[0] == "Traceback (most recent call last):"
    assert text.splitlines()[1] == f'  File "{w.root}/src/entry.py", line 1, in <module>'
    assert text.splitlines()[-2] == "ModuleNotFoundError: No module named 'no_such_package'"
    assert f"{sys.executable} -m pip install no_such_package" in text.splitlines()[-1]
    assert "importlib" not in text


def test_an_import_with_the_src_prefix_is_explained(bare):
    w = bare("import src.app\n", files={"src__app.py": ""})
    text = w.load_failure()
    assert "ModuleNotFoundError: No module named 'src'" in text
    assert "your import statement shouldn't include a 'src.' prefix" in text


def test_a_failed_load_names_the_files_to_watch(bare):
    w = bare("import app\n", files={"src__app.py": "import broken\n", "src__broken.py": "def (:\n"})
    w.send_load("src/entry.py")
    files = w.next(f.LOAD_FAILED)[2]["files"]
    assert files == [str(w.root / "src" / name) for name in ("app.py", "broken.py", "entry.py")]


def test_main_that_does_not_exist(bare):
    assert bare().load_failure("src/nope.py") == "The entry point src/nope.py does not exist"


@pytest.mark.parametrize("source", ["import sys; sys.exit(2)\n", "raise SystemExit('no')\n"])
def test_sys_exit_while_loading(bare, source):
    assert "SystemExit" in bare(source).load_failure()


def test_nothing_can_be_awaited_in_the_global_scope(bare):
    text = bare("""
        import asyncio
        async def main(): ...
        asyncio.run(main())
    """).load_failure()
    assert "RuntimeError: No suspender" in text
    assert "never awaited" not in text


def test_a_name_that_js_does_not_have(bare):
    text = bare("from js import Notification\n").load_failure()
    assert "ImportError: wpy does not emulate js.Notification; use `pywrangler dev`" in text


def test_asking_whether_js_has_a_name_is_no_error(worker):
    w = worker("""
        import js
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                return Response.json([hasattr(js, "Notification"), getattr(js, "Notification", 5), hasattr(js, "URL")])
    """)
    assert w.fetch().json == [False, 5, True]


def test_an_exception_that_nobody_waits_for_is_told(worker):
    w = worker("""
        import asyncio, gc
        from workers import Response, WorkerEntrypoint
        async def fail():
            raise ValueError("forgotten")
        def callback():
            raise KeyError("called back")
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                asyncio.ensure_future(fail())
                asyncio.get_running_loop().call_soon(callback)
                await asyncio.sleep(0.01)
                gc.collect()
                return Response("ok")
    """)
    answer = w.fetch()
    assert (answer.text, answer.result["outcome"]) == ("ok", "ok")
    lines = w.lines(level="error")
    assert "ValueError: forgotten" in lines
    assert "KeyError: 'called back'" in w.lines(1, "error")
    assert any(line.startswith("Task exception was never retrieved (<coroutine object fail") for line in lines)
    assert "asyncio/" not in "\n".join(lines)
