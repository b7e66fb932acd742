"""One workerd process: started, heard when it listens, read line by line, ended; and never left behind.

workerd would live on when wpy is killed. On Linux the kernel ends it with its parent (PR_SET_PDEATHSIG); elsewhere a
shell that waits on a pipe does, whose end nobody but wpy holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

#: Bytes read from a pipe at once.
_READ_BYTES = 1 << 18
#: How often an ended process is asked for its exit code after it has closed its pipes (seconds).
_REAP_S = 0.005
_PR_SET_PDEATHSIG = 1

#: Signals by which somebody ends a process on purpose; every other one is a crash of its own.
_ENDED_BY_SOMEBODY = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class WorkerdProcess:
    """A running workerd. `on_listen(name, port)` hears of sockets, `on_output(stream, bytes)` of what it prints; both are
    called in the event loop."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        on_listen: Callable[[str, int], None],
        on_output: Callable[[str, bytes], None],
    ) -> None:
        """Start it in `folder`. `command` is completed by the descriptor of the control pipe."""
        self._loop = asyncio.get_running_loop()
        self._on_listen = on_listen
        self._on_output = on_output
        self._control_rest = b""
        self._open = 3
        #: Done with the exit code when the process has ended and everything it printed was handed on.
        self.ended: asyncio.Future[int] = self._loop.create_future()
        #: Why it was ended by us; None while it was not.
        self.reason: str | None = None
        control, theirs = os.pipe()
        try:
            self._popen = _start([*command, f"--control-fd={theirs}"], folder, theirs)
        except BaseException:
            os.close(control)
            raise
        finally:
            os.close(theirs)
        self.pid = self._popen.pid
        self._guard = None if sys.platform == "linux" else _guard(self.pid)
        assert self._popen.stdout is not None and self._popen.stderr is not None
        self._read(control, self._control)
        self._read(_taken(self._popen.stdout), lambda data: self._on_output("stdout", data))
        self._read(_taken(self._popen.stderr), lambda data: self._on_output("stderr", data))

    # Reading ------------------------------------------------------------------------------------------------------

    def _read(self, fd: int, heard: Callable[[bytes], None]) -> None:
        os.set_blocking(fd, False)

        def readable() -> None:
            try:
                data = os.read(fd, _READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                heard(data)
                return
            self._loop.remove_reader(fd)
            os.close(fd)
            self._open -= 1
            if self._open == 0:
                self._reap()

        self._loop.add_reader(fd, readable)

    def _control(self, data: bytes) -> None:
        *lines, self._control_rest = (self._control_rest + data).split(b"\n")
        for line in lines:
            message: dict[str, Any] = json.loads(line)
            if message["event"] == "listen":
                self._on_listen(message["socket"], message["port"])
            elif message["event"].startswith("listen-"):
                self._on_listen(message["event"].removeprefix("listen-"), message["port"])

    def _reap(self) -> None:
        code = self._popen.poll()
        if code is None:
            self._loop.call_later(_REAP_S, self._reap)
            return
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
        if not self.ended.done():
            self.ended.set_result(code)

    # Ending -------------------------------------------------------------------------------------------------------

    def kill(self, reason: str) -> None:
        """End it at once; what runs in it is lost."""
        if self.reason is None:
            self.reason = reason
        # SIGKILL, because a handler in an endless loop keeps workerd from seeing any other.
        with contextlib.suppress(ProcessLookupError):
            self._popen.kill()

    def cpu_seconds(self) -> float:
        """The CPU time it has taken so far; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            return 0.0

    @property
    def crashed(self) -> bool:
        """Whether an ended process broke by itself: not ended by us, nor by a signal that people send."""
        code = self.ended.result()
        return self.reason is None and -code not in _ENDED_BY_SOMEBODY

    def describe_end(self) -> str:
        """Why an ended process is gone, in words."""
        if self.reason is not None:
            return self.reason
        code = self.ended.result()
        if code >= 0:
            return f"workerd (process {self.pid}) ended with exit code {code}"
        with contextlib.suppress(ValueError):
            return f"workerd (process {self.pid}) was ended by {signal.Signals(-code).name}"
        return f"workerd (process {self.pid}) was ended by signal {-code}"


def _taken(pipe: Any) -> int:
    """The descriptor of a pipe, which is ours to close from now on."""
    fd = os.dup(pipe.fileno())
    pipe.close()
    return fd


def _start(command: list[str | Path], folder: Path, control: int) -> subprocess.Popen[bytes]:
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork beside threads. What runs in the child is one system call.
        warnings.simplefilter("ignore", DeprecationWarning)
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[control],
            start_new_session=True,  # Ctrl-C is wpy's to answer
            preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
        )


def _die_with_parent() -> Callable[[], None]:
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has died in between
            os._exit(1)

    return ask


def _guard(pid: int) -> subprocess.Popen[bytes]:
    """A shell that ends `pid` when this process is gone: its standard input ends then."""
    return subprocess.Popen(
        ["/bin/sh", "-c", f"read -r _; kill -9 {pid}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
