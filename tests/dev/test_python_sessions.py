"""Python Workers in a session, as a client and a person at the terminal see them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from session_project import Project

if sys.platform != "win32":
    import pty

BROKEN_STREAM = """
    import asyncio
    import js
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            async def start(controller):
                controller.enqueue(js.TextEncoder.new().encode("first"))
                await asyncio.sleep(0.01)
                if request.url.endswith("/broken"):
                    raise ValueError("midway")
                controller.close()
            return Response(js.ReadableStream.new(start=start))
"""


def test_a_stream_that_fails_midway_does_not_end_like_a_whole_one(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config()
    project.code(BROKEN_STREAM)
    with project.server() as server:
        assert server.get("/whole").text == "first"
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        connection.request("GET", "/broken")
        with pytest.raises(http.client.IncompleteRead) as caught:
            connection.getresponse().read()
        assert caught.value.partial == b"first"
        server.wait_for(r"ValueError: midway")
        assert server.get("/whole").text == "first"
        assert not server.find(r"Exception in ASGI application")


BREAKPOINT = """
    import asyncio
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            secret = 42
            if request.url.endswith("/stop"):
                breakpoint()
            elif request.url.endswith("/pdb"):
                import pdb; pdb.set_trace()
            return Response(f"secret {secret}")
"""


DIES_IN_ITS_IMPORT = """
    import os, signal
    from pathlib import Path
    from workers import Response, WorkerEntrypoint

    marks = sorted(Path(__file__).parent.glob("die-*"))
    if marks:
        marks[0].unlink()
        os.kill(os.getpid(), signal.SIGKILL)

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return Response(str(os.getpid()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_a_process_that_is_killed_while_it_starts_again_is_started_once_more(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config()
    main = project.code(DIES_IN_ITS_IMPORT)
    with project.server() as server:
        first = int(server.get("/").text)
        for number in range(2):
            (main.parent / f"die-{number}").touch()
        os.kill(first, signal.SIGKILL)
        server.wait_for("ended by SIGKILL while it imported")
        assert int(server.get("/").text) != first  # it waits for the start that succeeds
        assert not list(main.parent.glob("die-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of its own")
def test_a_breakpoint_asks_on_the_terminal_while_the_session_goes_on(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config()
    project.code(BREAKPOINT)
    with Terminal(project.command("dev", "--port", "0", "--no-cron"), tmp_path) as terminal:
        url = terminal.wait_for(rb"Ready on (http://\S+?)\r")[1].decode()
        terminal.wait_for(rb"to exit")
        with ThreadPoolExecutor(2) as pool:
            for path in ("/stop", "/pdb"):
                stopped = pool.submit(lambda path=path: urllib.request.urlopen(url + path, timeout=30).read())
                terminal.wait_for(rb"GET " + path.encode() + rb" stands at a breakpoint, src/entry.py:\d+ in fetch")
                terminal.wait_for(rb"\(wpy-pdb\) ")
                with pytest.raises(urllib.error.HTTPError, match="400"):  # no token: the server answers meanwhile
                    urllib.request.urlopen(f"{url}/client/v4/accounts", timeout=10)
                terminal.type("p secret + 1\n")
                terminal.wait_for(rb"43\r")
                terminal.type("secret = 7\n")
                terminal.wait_for(rb"\(wpy-pdb\) ")
                os.kill(terminal.pid, signal.SIGINT)  # as Ctrl-C at the prompt, which reaches the session too
                terminal.wait_for(rb"Ctrl-C: a debugger has the terminal")
                terminal.type("c\n")
                assert stopped.result(30) == b"secret 7"
                terminal.wait_for(b"GET " + path.encode() + b" 200 OK")
        terminal.type("x")  # the hot keys are back
        terminal.wait_for(rb"Shutting down")
        assert terminal.wait() == 0


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command: list[str], cwd: Path) -> None:
        self._command = command
        self._cwd = cwd
        self._seen = b""
        self.pid = 0

    def __enter__(self) -> Terminal:
        self.pid, self._fd = pty.fork()
        if not self.pid:
            os.chdir(self._cwd)
            os.environ.update(NO_COLOR="1", TERM="dumb", COLUMNS="200")
            os.execv(self._command[0], self._command)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.close(self._fd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def wait_for(self, pattern: bytes, within: float = 30.0) -> re.Match[bytes]:
        """Read on until the pattern comes."""
        deadline = time.monotonic() + within
        while (found := re.search(pattern, self._seen)) is None:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {pattern!r} in {self._seen.decode(errors='replace')}"
            try:
                self._seen += os.read(self._fd, 65536)
            except OSError:
                raise AssertionError(f"ended without {pattern!r}: {self._seen.decode(errors='replace')}") from None
        self._seen = self._seen[found.end() :]
        return found

    def wait(self) -> int:
        """The exit code."""
        with contextlib.suppress(OSError):
            while os.read(self._fd, 65536):
                pass
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


class Dap:
    """A debug adapter's client (https://microsoft.github.io/debug-adapter-protocol/), just enough to stop once."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self._socket.makefile("rb")
        self._passed_over: list[dict[str, Any]] = []

    def ask(self, command: str, **arguments: Any) -> Any:
        self.send(command, **arguments)
        return self.wait_for("response", command)

    def send(self, command: str, **arguments: Any) -> None:
        data = json.dumps({"seq": 1, "type": "request", "command": command, "arguments": arguments}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))

    def wait_for(self, kind: str, name: str) -> Any:
        field = "event" if kind == "event" else "command"
        for message in self._passed_over:
            if message["type"] == kind and message[field] == name:
                self._passed_over.remove(message)
                return message["body"]
        while True:
            length = 0
            while line := self._file.readline().strip():
                length = int(line.partition(b":")[2])
            message = json.loads(self._file.read(length))
            if message["type"] == kind and message[field] == name:
                return message.get("body")
            self._passed_over.append(message)

    def attach(self, file: Path, line: int, **how: Any) -> None:
        self.ask("initialize", adapterID="debugpy", pathFormat="path")
        self.send("attach", **how)
        self.wait_for("event", "initialized")
        self.ask("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line}])
        self.ask("configurationDone")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes whoever reads
        self._socket.close()


@pytest.mark.skipif(find_spec("debugpy") is None, reason="debugpy is not installed")
def test_a_debugger_attaches_and_is_handed_the_workers(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config()
    file = project.code(BREAKPOINT)
    line = file.read_text().splitlines().index('        return Response(f"secret {secret}")') + 1
    with project.server("--inspect=0") as server, contextlib.ExitStack() as clients:
        port = int(server.wait_for(r"A debugger can attach to 127.0.0.1:(\d+)")[1])
        assert server.get("/").text == "secret 42", "nobody has to attach"
        editor = Dap(port)
        clients.callback(editor.close)
        editor.attach(file, line, connect={"host": "127.0.0.1", "port": port}, subProcess=True)
        with ThreadPoolExecutor(4) as pool:

            def join(given: dict[str, Any]) -> Dap:
                worker = Dap(given["connect"]["port"])
                how = {key: value for key, value in given.items() if key not in ("name", "type", "request")}
                worker.attach(file, line, **how)
                return worker

            joined = []
            for _ in range(3):  # the one that was there, the one that serves, and the spare
                joined.append(join(editor.wait_for("event", "debugpyAttach")))
                clients.callback(joined[-1].close)
            server.wait_for("Reloaded worker")  # what served before has been replaced by what has joined
            answer = pool.submit(server.get, "/")
            stops = [pool.submit(worker.wait_for, "event", "stopped") for worker in joined]
            done, _ = wait(stops, timeout=30, return_when=FIRST_COMPLETED)
            stopped = done.pop()
            worker = joined[stops.index(stopped)]
            thread = stopped.result()["threadId"]
            frame = worker.ask("stackTrace", threadId=thread)["stackFrames"][0]
            assert (frame["name"], frame["line"]) == ("fetch", line)
            assert worker.ask("evaluate", expression="secret + 1", frameId=frame["id"])["result"] == "43"
            worker.send("continue", threadId=thread)
            assert answer.result(30).text == "secret 42"
            clients.close()
            for other in stops:
                other.cancel()


def test_without_debugpy_inspect_says_what_to_install(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config()
    project.code(BREAKPOINT)
    (tmp_path / "without").mkdir()
    (tmp_path / "without/debugpy.py").write_text("raise ImportError('no debugpy')")
    done = subprocess.run(
        project.command("dev", "--inspect"), cwd=tmp_path, env={**os.environ, "PYTHONPATH": "without"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert 'pip install "wrangler_py[inspect]"' in done.stderr
