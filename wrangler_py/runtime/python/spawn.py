"""Starting a worker process. Needs no event loop and few imports, so that a session can start its first process before it
imports anything else: process and session then start side by side.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

_ENTRY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "worker", "__main__.py")  # noqa: PTH100, PTH118, PTH120 (pathlib would cost the start 10 ms)


class SpawnedProcess:
    """A process that was started and not yet connected to an event loop."""

    def __init__(self, popen: subprocess.Popen[bytes], sock: socket.socket, token: str | None) -> None:
        self.popen = popen
        self.sock = sock
        #: On Windows: what the process must send first on the connection that `sock` accepts.
        self.token = token

    def abandon(self) -> None:
        """End a process that was never connected."""
        self.sock.close()
        self.popen.kill()
        self.popen.wait()


def spawn(python: str | None = None, preload: Sequence[str] = ()) -> SpawnedProcess:
    """Start a worker process with nothing loaded yet. `preload`: modules to import before the first LOAD."""
    environment = dict(os.environ, TZ="UTC", PYTHONUNBUFFERED="1")
    environment.pop("PYTHONSTARTUP", None)
    if preload:
        import json

        environment["WPY_PRELOAD"] = json.dumps(list(preload))
    else:
        environment.pop("WPY_PRELOAD", None)
    # -B: a same-size edit within one second must not find the old bytecode (it does, 27 times of 30).
    command = [python or sys.executable, "-B", "-X", "utf8", _ENTRY]
    if sys.platform == "win32":
        import secrets

        listener = socket.create_server(("127.0.0.1", 0))
        token = secrets.token_hex(16)
        address = f"tcp:{listener.getsockname()[1]}:{token}"
        popen = subprocess.Popen([*command, address], env=environment, stdin=subprocess.DEVNULL)
        return SpawnedProcess(popen, listener, token)
    ours, theirs = socket.socketpair()
    # A terminal's Ctrl-C reaches it too: it waits until the process can take it (worker/boot.py).
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with theirs:
            popen = subprocess.Popen(
                [*command, str(theirs.fileno())],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return SpawnedProcess(popen, ours, None)
