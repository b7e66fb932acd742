"""A `wpy dev` session as a person runs it: started through the command line, watched through its output, asked over HTTP,
ended with a signal.

    with DevServer("--no-cron", cwd=project, state=tmp_path) as server:
        assert server.post("/signup", json={"email": "ada@example.com"}).status == 202
        server.wait_for(r"QUEUE emails 1/1")

Leaving the block ends the session with SIGTERM and fails the test when it does not end well: exit code 0, in time, no
process left. Whatever fails inside the block carries the session's whole output as a note.
"""

from __future__ import annotations

import json as jsonlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, TypeVar

import warm_wpy

#: Tools wait for this very line.
READY = re.compile(r"^\[wrangler:info\] Ready on (http://\S+:\d+)$")
#: How long a session may take to be ready, and a line to come (seconds): far more than either takes on a busy machine.
READY_WITHIN_S = 30.0
LINE_WITHIN_S = 15.0
#: How long a session may take to end (seconds). The promise is two; a machine that runs several tests at once gets more.
END_WITHIN_S = 5.0
#: Names the session in the environment of every process it starts, so that leftovers are found even when they have
#: left its process group.
_MARK = "WPY_TEST_SESSION"
_REPORT = "--- "
_Error = TypeVar("_Error", bound=BaseException)


@dataclass(frozen=True)
class Reply:
    """What the session answered to one request."""

    status: int
    headers: Message
    body: bytes
    #: From sending the request to the whole body (seconds).
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return jsonlib.loads(self.body)


@dataclass(frozen=True)
class Line:
    """One line of the session's output, and when it came (`time.monotonic()`)."""

    text: str
    at: float


class DevServer:
    """One session. `arguments` follow `wpy dev`; `--port 0` and `--persist-to` are added."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path | str,
        state: Path | str,
        env: Mapping[str, str | None] | None = None,
        port: int | None = 0,
        python: str = sys.executable,
    ) -> None:
        self.cwd = Path(cwd)
        self.state = Path(state)
        self.command: Sequence[str] = [
            *(python, "-m", "wrangler_py", "dev"),
            *arguments,
            *(() if port is None else ("--port", str(port))),
            *("--persist-to", str(self.state)),
        ]
        self.url = ""
        self._mark = uuid.uuid4().hex
        self._group = 0
        self._env = _environment(env or {}, self._mark)
        self._process: subprocess.Popen[str] | None = None
        self._lines: list[Line] = []
        self._came = threading.Condition()
        self._reader: threading.Thread | None = None
        self._at_end = False

    # Life -------------------------------------------------------------------------------------------------------------

    def __enter__(self) -> DevServer:
        return self.start()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.stop()
            return
        self.destroy()
        self._explain(error)

    def start(self, within: float = READY_WITHIN_S) -> DevServer:
        """Start the session and wait until it is ready. Raises AssertionError when it does not get there."""
        self.launch()
        try:
            found = self.wait_for(READY.pattern, within=within)
        except BaseException:
            self.destroy()
            raise
        self.url = found[1]
        return self

    def launch(self) -> None:
        """Start the process and do not wait: for sessions that are expected to fail, with `wait_exit`."""
        assert self._process is None, "started already"
        self._process = warm_wpy.Popen(
            self.command,
            cwd=self.cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._group = self._process.pid
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    def stop(self, sent: signal.Signals = signal.SIGTERM, within: float = END_WITHIN_S) -> float:
        """End the session as its user does. Returns how long that took (seconds).

        Raises AssertionError when it was dead already, takes too long, has another exit code than 0 or leaves a
        process behind. Does nothing when the session has been stopped or killed before.
        """
        process = self._process
        if process is None:
            return 0.0
        try:
            died = process.poll()
            assert died is None, f"the session ended by itself, with exit code {died}"
            started = time.monotonic()
            process.send_signal(sent)
            try:
                code = process.wait(within)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"still running {within:g} s after {sent.name}") from None
            took = time.monotonic() - started
            assert code == 0, f"exit code {code} after {sent.name}"
            left = self._wait_for_none()
            assert not left, f"left behind after {sent.name}: {left}"
        except AssertionError as error:
            self._explain(error)
            raise
        finally:
            self.destroy()
        return took

    def wait_exit(self, within: float = LINE_WITHIN_S) -> int:
        """Wait until the session ends by itself, and return its exit code.

        Raises AssertionError when it takes longer or leaves a process behind.
        """
        assert self._process is not None, "not running"
        try:
            code = self._process.wait(within)
            left = self._wait_for_none()
            assert not left, f"left behind: {left}"
        except subprocess.TimeoutExpired:
            raise self._explain(AssertionError(f"still running after {within:g} s")) from None
        finally:
            self.destroy()
        return code

    def destroy(self) -> None:
        """`kill -9` for the session and every process it started, as a power cut does. May be called again."""
        process, self._process = self._process, None
        if process is None:
            return
        with _nobody_there():
            os.killpg(process.pid, signal.SIGKILL)
        for pid in self.processes():
            with _nobody_there():
                os.kill(pid, signal.SIGKILL)
        process.wait()
        if self._reader is not None:
            self._reader.join(timeout=5.0)

    @property
    def pid(self) -> int:
        assert self._process is not None, "not running"
        return self._process.pid

    def processes(self) -> dict[int, str]:
        """The session's processes that are alive: pid and command, workers and their children included."""
        found = dict(_marked(self._mark)) if sys.platform == "linux" else dict(_in_group(self._group))
        if (
            self._process is not None and self._process.poll() is None
        ):  # a warm one has the variables of another process
            found[self.pid] = " ".join(self.command)
        return found

    def _wait_for_none(self, within: float = 1.0) -> dict[int, str]:
        """What is left `within` seconds after the end: a process that is being torn down is no leftover."""
        deadline = time.monotonic() + within
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return left

    def wpy(self, *arguments: str, within: float = 30.0) -> str:
        """Run another `wpy` command beside the session, on its state, and return what it printed.

        Raises AssertionError when it does not end with 0.
        """
        finished = warm_wpy.run(
            [*self.command[:3], *arguments, "--persist-to", str(self.state)],
            cwd=self.cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=within,
            check=False,
        )
        printed = finished.stdout + finished.stderr
        assert finished.returncode == 0, f"wpy {' '.join(arguments)}: exit code {finished.returncode}\n{printed}"
        return finished.stdout

    # Output -----------------------------------------------------------------------------------------------------------

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for text in stream:
                with self._came:
                    self._lines.append(Line(text.rstrip("\n"), time.monotonic()))
                    self._came.notify_all()
        with self._came:
            self._at_end = True
            self._came.notify_all()

    @property
    def lines(self) -> list[Line]:
        """Everything printed so far, standard output and error together."""
        with self._came:
            return list(self._lines)

    @property
    def output(self) -> str:
        return "\n".join(line.text for line in self.lines)

    def mark(self) -> int:
        """Where the output ends now; give it as `after` to look at later lines only."""
        with self._came:
            return len(self._lines)

    def find(self, pattern: str, *, after: int = 0) -> list[re.Match[str]]:
        """The lines so far in which the regular expression is found."""
        regex = re.compile(pattern)
        return [found for line in self.lines[after:] if (found := regex.search(line.text))]

    def wait_for(self, pattern: str, *, count: int = 1, after: int = 0, within: float = LINE_WITHIN_S) -> re.Match[str]:
        """Wait for a line in which the regular expression is found; `count` of them if asked. Returns the last one's match.

        Raises AssertionError, with the output, when the deadline passes or the session ends before.
        """
        regex = re.compile(pattern)
        deadline = time.monotonic() + within
        seen = 0
        position = after
        with self._came:
            while True:
                for line in self._lines[position:]:
                    position += 1
                    found = regex.search(line.text)
                    if found:
                        seen += 1
                        if seen == count:
                            return found
                left = deadline - time.monotonic()
                if self._at_end or left <= 0:
                    break
                self._came.wait(left)
            ended = self._at_end
        why = "the session ended" if ended else f"{within:g} s passed"
        times = "" if count == 1 else f" ({seen} of {count} came)"
        raise self._explain(AssertionError(f"{why} without a line for {pattern!r}{times}"))

    def report(self) -> str:
        """The command and all output, for a failure."""
        command = " ".join(self.command)
        return f"{_REPORT}{command}\n    in {self.cwd}\n{self.output}\n--- end of the session's output"

    def _explain(self, error: _Error) -> _Error:
        """Put the output on an error, once."""
        if not has_report(error):
            error.add_note(self.report())
        return error

    # HTTP -------------------------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | str | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        within: float = 30.0,
    ) -> Reply:
        """One request to the session. Any status is an answer; only a broken connection raises (OSError)."""
        sent = dict(headers or {})
        if json is not None:
            body = jsonlib.dumps(json)
            sent.setdefault("Content-Type", "application/json")
        data = body.encode() if isinstance(body, str) else body
        request = urllib.request.Request(self.url + path, data=data, headers=sent, method=method)
        started = time.monotonic()
        try:
            with _opener.open(request, timeout=within) as response:
                return Reply(response.status, response.headers, response.read(), time.monotonic() - started)
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.headers, error.read(), time.monotonic() - started)

    def get(self, path: str, **options: Any) -> Reply:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Reply:
        return self.request("POST", path, **options)


def has_report(error: BaseException) -> bool:
    """Whether an error carries a session's output already."""
    return any(note.startswith(_REPORT) for note in getattr(error, "__notes__", ()))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer to look at, not one to follow."""

    def redirect_request(self, *_: Any) -> None:
        return None


#: Neither a proxy of the environment nor a redirect comes between a test and the session.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def _environment(changes: Mapping[str, str | None], mark: str) -> dict[str, str]:
    """The session's environment: this one's without what would change its output, then `changes` (None removes)."""
    env = {name: value for name, value in os.environ.items() if name not in _COLORS}
    for name, value in {**changes, _MARK: mark}.items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


_COLORS = frozenset({"NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PY_COLORS"})


def _marked(mark: str) -> Iterator[tuple[int, str]]:
    wanted = f"{_MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                yield int(folder.name), command.strip()
        except OSError:
            continue  # another user's process, or one that has just ended


def _in_group(group: int) -> Iterator[tuple[int, str]]:
    """Where there is no /proc: the members of the session's process group."""
    table = subprocess.run(
        ["ps", "-axo", "pid=,pgid=,stat=,command="], capture_output=True, text=True, check=True
    ).stdout
    for row in table.splitlines():
        pid, pgid, state, *command = row.split(None, 3)
        if int(pgid) == group and not state.startswith("Z"):
            yield int(pid), command[0] if command else ""


@contextmanager
def _nobody_there() -> Iterator[None]:
    """A process that has ended needs no signal."""
    try:
        yield
    except (ProcessLookupError, PermissionError):  # macOS says PermissionError for a group of zombies
        return
