"""The process itself: start, end, crash, what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from worker_process import MAIN, PATIENCE, sdk_folder, wait_for

from wrangler_py.runtime.worker import frames as f

HELLO = """
    from workers import Response, WorkerEntrypoint
    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return Response("hello")
"""
RUN = """
    import asyncio, os, signal, sys, time
    from workers import Response, WorkerEntrypoint
    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            exec(await request.text())
            return Response("ok")
        async def queue(self, batch, env, ctx):
            exec(batch.messages[0].body)
"""


def test_it_ends_with_its_server(worker):
    w = worker(HELLO)
    assert w.fetch().text == "hello"
    assert w.close() == 0


def test_it_ends_with_its_server_before_anything_was_loaded(bare):
    assert bare(HELLO).close() == 0


def test_it_ends_on_stop_even_with_a_handler_that_is_blocked(worker):
    w = worker(RUN)
    w.start_fetch(method="POST", body=b"print('in'); time.sleep(60)")
    w.next(f.LOG)
    w.send(f.STOP)
    assert w.wait() == 0


def test_it_ends_with_its_server_while_a_handler_is_blocked(worker):
    w = worker(RUN)
    w.start_fetch(method="POST", body=b"print('in'); time.sleep(60)")
    w.next(f.LOG)
    assert w.close() == 0


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("os._exit(7)", 7),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.abort()", -signal.SIGABRT),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
    ],
)
def test_a_crash_is_a_crash(worker, code, exit_code):
    w = worker(RUN)
    w.start_queue(code)
    with pytest.raises(EOFError):
        w.next(f.DONE)
    assert w.wait() == exit_code
    if exit_code in (-signal.SIGSEGV, -signal.SIGABRT):
        assert "Current thread" in w.c_stderr() and "entry.py" in w.c_stderr()  # faulthandler


def test_ctrl_c_is_the_servers(worker):
    w = worker(RUN)
    w.process.send_signal(signal.SIGINT)
    assert w.fetch(method="POST", body=b"pass").text == "ok"
    blocked = w.start_fetch(method="POST", body=b"print('in'); time.sleep(0.2)")
    w.next(f.LOG)
    w.process.send_signal(signal.SIGINT)
    assert w.finish_fetch(blocked).text == "ok"
    code = (
        b"import subprocess; assert subprocess.run(['sh', '-c', 'kill -INT $$; exit 3']).returncode == -signal.SIGINT"
    )
    assert w.fetch(method="POST", body=code).text == "ok"  # what user code starts is not affected


def test_a_handler_that_blocks_the_loop_is_named(worker):
    w = worker("""
        import time
        from workers import Response, WorkerEntrypoint
        def spin():
            end = time.monotonic() + 1.6
            while time.monotonic() < end:
                pass
        class Default(WorkerEntrypoint):
            async def queue(self, batch, env, ctx):
                spin()
    """)
    event = w.start_queue("x")
    blocked = w.next(f.BLOCKED)
    assert blocked[1] == event
    assert 1.0 <= blocked[2] < 5
    assert blocked[3] in ("src/entry.py:6 in spin", "src/entry.py:7 in spin")
    assert w.next(f.DONE, event)[2]["outcome"] == "ok"


def test_a_blocking_import_is_named(bare):
    w = bare("import time\ntime.sleep(1.6)\n")
    w.send_load("src/entry.py")
    blocked = w.next(f.BLOCKED)
    assert (blocked[1], blocked[3]) == (0, "src/entry.py:2 in <module>")


def test_a_cooperative_sleep_does_not_block_the_loop(worker):
    w = worker(RUN)
    assert w.fetch(method="POST", body=b"time.sleep(1.3)").text == "ok"
    assert not [frame for frame in w.seen if frame[0] == f.BLOCKED]


def test_no_bytecode_is_written_into_the_project(worker):
    w = worker(HELLO.replace("from workers", "import app\n    from workers"), files={"src__app.py": "x = 1\n"})
    w.fetch()
    assert sorted(path.name for path in w.root.rglob("*") if path.suffix == ".pyc" or path.name == "__pycache__") == []


def test_the_working_directory_is_the_project_and_paths_are_in_order(worker):
    w = worker(
        """
        import os, sys
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                return Response.json([os.getcwd(), sys.path, sorted(name for name in sys.modules if "." not in name)])
        """,
        files={"python_modules__vendored.py": ""},
    )
    cwd, path, modules = w.fetch().json
    assert cwd == str(w.root)
    assert path[0] == str(w.root / "src")
    assert path[-1] == str(w.root / "python_modules")
    assert str(MAIN.parent) not in path
    assert "_wpy_worker" in modules
    assert not {"frames", "loop", "boot", "dispatch", "wrangler_py"} & set(modules)


def test_names_of_this_package_are_free_for_the_user(worker):
    w = worker(
        HELLO.replace('Response("hello")', "Response(frames.mine + loop.mine)").replace(
            "from workers", "import frames, loop\n    from workers"
        ),
        files={"src__frames.py": "mine = 'f'\n", "src__loop.py": "mine = 'l'\n"},
    )
    assert w.fetch().text == "fl"


@pytest.mark.parametrize("name", ["queue.py", "my-worker.py", "json.py"])
def test_any_file_name_may_be_the_entry_point(bare, name):
    w = bare()
    (w.root / "src" / name).write_text(
        "from workers import Response, WorkerEntrypoint\n"
        "class Default(WorkerEntrypoint):\n  async def fetch(self, request):\n    return Response(__name__)\n"
    )
    w.load(f"src/{name}")
    assert w.fetch().text == name.removesuffix(".py")
    assert w.info["files"] == [str(w.root / "src" / name)]


def test_vendored_packages_come_last(worker):
    w = worker(
        """
        import colorsys, vendored
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                return Response(f"{vendored.x} {hasattr(colorsys, 'vendored')}")
        """,
        files={"python_modules__vendored.py": "x = 5\n", "python_modules__colorsys.py": "vendored = 1\n"},
    )
    assert w.fetch().text == "5 False"
    assert w.info["files"] == [str(w.root / "src/entry.py")]
    assert "vendored" not in w.info["modules"]


def vendored_sdk(root: Path) -> None:
    folder = root / "python_modules" / "workers"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "from .entrypoints import WorkerEntrypoint\nfrom js import Response\nmine = 'vendored'\n"
        "class Request:\n  def __init__(self, js_object):\n    self.js_object = js_object\n"
    )
    (folder / "entrypoints.py").write_text(
        "class WorkerEntrypoint:\n  def __init__(self, ctx, env):\n    self.ctx, self.env = ctx, env\n"
    )


def test_a_vendored_sdk_wins(bare):
    w = bare("""
        import workers
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            async def fetch(self, request):
                return Response.new(workers.mine)
            async def queue(self, batch, env, ctx):
                print(batch.messages[0].body.to_py())
    """)
    vendored_sdk(w.root)
    w.load()
    assert w.fetch().text == "vendored"
    # Such an old SDK wraps no batch: bodies are JavaScript's.
    assert w.queue({"a": 1})["outcome"] == "ok"
    assert w.lines(2) == ["{'a': 1}"]


def test_other_peoples_modules_are_named_for_the_next_spare(worker):
    w = worker("import colorsys\n" + "from workers import WorkerEntrypoint\nclass Default(WorkerEntrypoint): ...\n")
    assert "colorsys" in w.info["modules"]
    assert not [name for name in w.info["modules"] if name.partition(".")[0] in ("workers", "js", "pyodide", "entry")]


def test_a_preload_list_is_imported_before_hello_and_is_only_a_hint(bare):
    w = bare(HELLO, env={"WPY_PRELOAD": json.dumps(["no_such_module", "colorsys"])})
    w.load()
    assert "colorsys" in w.info["modules"]
    assert w.fetch().text == "hello"


def test_an_interpreter_without_the_sdk_says_so_and_can_be_given_one(bare, tmp_path):
    base = Path(sys._base_executable if hasattr(sys, "_base_executable") else sys.executable)
    if subprocess.run([base, "-c", "import workers"], capture_output=True, cwd=tmp_path).returncode == 0:
        pytest.skip("the base interpreter has an SDK of its own")
    w = bare(HELLO, python=str(base))
    assert w.hello["sdk"] is None
    assert "The package workers-runtime-sdk is not installed for" in w.load_failure()
    given = bare(HELLO, python=str(base), env={"WPY_SDK": sdk_folder()})
    assert given.hello["sdk"] is not None
    given.load()
    assert given.fetch().text == "hello"


def test_over_tcp_it_says_its_token_first(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        target = f"tcp:{listener.getsockname()[1]}:secret"
        process = subprocess.Popen([sys.executable, "-B", "-X", "utf8", MAIN, target], cwd=tmp_path)
        sock, _ = listener.accept()
    with sock:
        sock.settimeout(PATIENCE)
        data = b""
        decoder = f.Decoder()
        while b"\n" not in data:
            data += sock.recv(4096)
        token, _, rest = data.partition(b"\n")
        assert token == b"secret"
        received = decoder.feed(rest)
        while not received:
            received = decoder.feed(sock.recv(4096))
        assert received[0][0] == f.HELLO
    assert process.wait(PATIENCE) == 0


def test_processes_of_the_users_do_not_keep_the_connection_open(worker):
    w = worker(RUN)
    w.fetch(method="POST", body=b"import subprocess; subprocess.Popen(['sleep', '5'], close_fds=False)")
    w.send(f.STOP)
    while w.sock.recv(1 << 16):
        pass
    assert w.wait() == 0


def test_stdin_is_left_alone(worker):
    w = worker(RUN)
    assert w.fetch(method="POST", body=b"assert sys.stdin.read() == ''").text == "ok"


def test_a_thread_that_never_ends_does_not_hold_the_process(worker):
    w = worker(RUN)
    w.fetch(method="POST", body=b"import threading; threading.Thread(target=time.sleep, args=(60,)).start()")
    assert w.close() == 0


def test_an_idle_worker_uses_no_time(worker):
    w = worker(HELLO)
    w.fetch()
    stat = Path(f"/proc/{w.process.pid}/stat")
    if not stat.exists():
        pytest.skip("no /proc")

    def wakeups() -> int:
        text = Path(f"/proc/{w.process.pid}/status").read_text()
        total = 0
        for task in Path(f"/proc/{w.process.pid}/task").iterdir():
            text = (task / "status").read_text()
            total += sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)
        return total

    seen = [wakeups()]

    def quiet() -> bool:
        seen.append(wakeups())
        return len(seen) > 60 and seen[-1] == seen[-50]

    wait_for(quiet)  # nothing polls: half a second without a single wake-up
    assert os.waitpid(w.process.pid, os.WNOHANG) == (0, 0)


def test_a_project_behind_a_link_and_a_main_outside_of_it_keep_their_names(tmp_path, bare):
    w = bare("import other\nother.fail()\n", files={"elsewhere__other.py": "def fail():\n    raise ValueError('x')\n"})
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(tmp_path)
    (tmp_path / "elsewhere" / "main.py").write_text("import other\nother.fail()\n")
    w.send_load(str(link / "elsewhere/main.py"), root=str(link / "src"))
    _, text, info = w.next(f.LOAD_FAILED)
    assert text.splitlines()[1].startswith(f'  File "{link}/elsewhere/main.py", line 2')
    assert f'File "{link}/elsewhere/other.py", line 2, in fail' in text
    assert info["files"] == [str(link / "elsewhere" / name) for name in ("main.py", "other.py")]
