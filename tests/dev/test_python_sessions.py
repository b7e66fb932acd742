"""Python Workers in a session, as a client and a person at the terminal see them."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import select
import signal
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
