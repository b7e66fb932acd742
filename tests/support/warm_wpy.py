"""`python -m wrangler_py ...` as a process of its own, without paying its imports again: most of the CPU of a command is imports,
and the tests run some thousand of them.

    done = run([sys.executable, "-m", "wrangler_py", "queues", "list"], cwd=folder, capture_output=True)
    process = Popen([sys.executable, "-m", "wrangler_py", "dev"], stdout=subprocess.PIPE)

`run` and `Popen` are those of subprocess, and so is what a test sees: a pid, pipes, signals, an exit code. Behind them stands
one process that has imported wpy, and forks for each command; what it forked runs `wrangler_py.__main__` and ends as an
interpreter ends. Whatever could tell the difference starts a fresh interpreter: another Python, options of the interpreter,
other `PYTHON*` variables or another locale, `preexec_fn`, and every system but Linux. What a command imports is looked at in
tests/cli/test_main.py, with fresh interpreters, and so are the examples of the docs run. With WPY_TEST_FRESH=1 all are fresh.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

_COMMAND = [sys.executable, "-m", "wrangler_py"]
_PID = struct.Struct("i")
#: What an interpreter or a library reads when it starts, so that a fork comes too late for it.
_READ_AT_THE_START = (
    "PYTHON",
    "LC_",
    "LANG",
    "LD_",
    "TERMINAL_WIDTH",
    "FORCE_COLOR",
    "PY_COLORS",
    "GITHUB_ACTIONS",
    "TYPER_",
)
#: The rooms of wpy that belong to another process or to pytest, and what is no module of wpy's at all.
_NOT_PRELOADED = tuple(f"wrangler_py.{name}" for name in ("__main__", "testing", "runtime.worker", "cli.templates"))
#: What the modules import when they are used.
_LIBRARIES = [
    "apsw",
    "croniter",
    "httptools",
    "inotify_simple",
    "pathspec",
    "rich.live",
    "rich.table",
    "sqlite3",
    "starlette.applications",
    "starlette.responses",
    "starlette.websockets",
    "tomli_w",
    "typer.rich_utils",
    "uvicorn",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "uvloop",
    "websockets",
    "zoneinfo",
]


class Popen(subprocess.Popen[Any]):
    """subprocess.Popen, warm where it can be."""

    _status: int | None = None

    def _execute_child(self, *given: Any) -> None:
        args, executable, preexec, _close, pass_fds, cwd, env, _startup, _flags, shell, *rest = given
        *pipes, _restore, gid, gids, uid, umask, new_session, group = rest
        fresh = any((executable, preexec, pass_fds, shell, gid, gids, uid))
        arguments = [os.fsdecode(part) for part in args] if isinstance(args, list | tuple) else []
        wanted = dict(os.environ if env is None else env)
        if fresh or {umask, group} - {-1, None} or arguments[:3] != _COMMAND or not _alike(wanted):
            super()._execute_child(*given)
            return
        order = {
            "arguments": arguments[3:],
            "cwd": os.fsdecode(cwd or Path.cwd()),
            "env": wanted,
            "session": new_session,
        }
        theirs = [end if end != -1 else number for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
        self._status, report = os.pipe()
        try:
            socket.send_fds(_nursery(), [json.dumps(order).encode()], [*theirs, report])
        finally:
            os.close(report)
            self._close_pipe_fds(*pipes)
        (self.pid,) = _PID.unpack(os.read(self._status, _PID.size))
        self._child_created = True

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._status is None:
            return super()._try_wait(wait_flags)
        os.set_blocking(self._status, not wait_flags & os.WNOHANG)
        try:
            (status,) = _PID.unpack(os.read(self._status, _PID.size))
        except BlockingIOError:
            return 0, 0
        return self.pid, status

    def _internal_poll(self, *given: Any, **named: Any) -> int | None:
        if self._status is None:
            return super()._internal_poll(*given, **named)
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(os.WNOHANG)
                    if pid:
                        self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode

    def _handle_exitstatus(self, *given: Any, **named: Any) -> None:
        super()._handle_exitstatus(*given, **named)
        if self._status is not None:
            os.close(self._status)


def run(
    command: Any,
    *,
    input: Any = None,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """subprocess.run, warm where it can be."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **options) as process:
        try:
            out, err = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def _alike(env: dict[str, str]) -> bool:
    """Whether a process with these variables starts as this one did."""
    return (
        sys.platform == "linux"
        and not os.environ.get("WPY_TEST_FRESH")
        and _at_the_start(env) == _at_the_start(dict(os.environ))
    )


def _at_the_start(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_THE_START)}


_nurseries: dict[int, socket.socket] = {}


def _nursery() -> socket.socket:
    """Where orders for this process's commands go."""
    if os.getpid() not in _nurseries:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )
        _nurseries[os.getpid()] = ours
        atexit.register(lambda: (ours.close(), process.wait()))
    return _nurseries[os.getpid()]


# The process that forks -------------------------------------------------------------------------------------------------


def _serve(orders: socket.socket) -> None:
    """Fork a process for each order, and tell how each ended, until nobody gives orders any more. Returns in every process
    that was forked, too: it is to run the command."""
    import selectors

    reports: dict[int, int] = {}
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    with selectors.DefaultSelector() as waiting:
        waiting.register(orders, selectors.EVENT_READ)
        waiting.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in waiting.select()}
            if woken in ready:
                os.read(woken, 4096)
                _tell_ends(reports)
            if orders.fileno() not in ready:
                continue
            text, fds, _, _ = socket.recv_fds(orders, 1 << 20, 4)
            if not text:
                os._exit(0)
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for fd in (woken, wake, fds[3], *reports.values()):
                    os.close(fd)
                waiting.close()
                orders.close()
                _become(json.loads(text), fds[:3])
                return
            os.write(fds[3], _PID.pack(child))
            reports[child] = fds.pop()
            for fd in fds:
                os.close(fd)


def _tell_ends(reports: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            report = reports.pop(ended[0])
            with contextlib.suppress(BrokenPipeError):  # nobody waits for it
                os.write(report, _PID.pack(ended[1]))
            os.close(report)


def _become(order: dict[str, Any], fds: list[int]) -> None:
    """Make this process what the order asks for."""
    import time

    if order["session"]:
        os.setsid()
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    os.closerange(3, max(fds) + 1)
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    os.chdir(order["cwd"])
    sys.path.insert(0, order["cwd"])
    sys.argv[1:] = order["arguments"]
    sys.orig_argv = [*_COMMAND, *order["arguments"]]
    for name, number, mode in (("stdin", 0, "rb"), ("stdout", 1, "wb"), ("stderr", 2, "wb")):
        old = getattr(sys, name)
        stream = io.TextIOWrapper(
            open(number, mode, closefd=False),  # noqa: SIM115 - open to the end, as every process has it
            encoding=old.encoding,
            errors=old.errors,
            newline=None if name == "stdin" else "\n",
            line_buffering=name == "stderr" or os.isatty(number),
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _main() -> None:
    import gc
    import importlib
    import pkgutil
    import runpy

    orders = socket.socket(fileno=int(sys.argv[1]))
    del sys.path[0]  # this folder: wpy is the one that is installed, as it is for a command
    import wrangler_py

    for module in pkgutil.walk_packages(wrangler_py.__path__, "wrangler_py."):
        if not module.name.startswith(_NOT_PRELOADED):
            importlib.import_module(module.name)
    for name in _LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    _serve(orders)
    runpy.run_module("wrangler_py", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
