"""`breakpoint()`: a pdb prompt on the terminal of `wpy dev`, while the server and its other Workers go on.

The process's standard input is no terminal and its output is sent as frames, so the prompt opens the terminal itself. The
server is told when a prompt appears and when it is gone (DEBUG): it lets go of the hot keys meanwhile, and time limits stand
still. With a debugger attached (`wpy dev --inspect`) `breakpoint()` stops there instead.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pdb  # noqa: T100  (it is what this module is about)
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from . import frames, logs, watchdog
from .connection import Connection
from .loop import Hub, _original_sleep

_TERMINAL = "/dev/tty"
#: How long the server may take to let go of the terminal before the prompt appears (seconds).
_HANDOVER_S = 0.1

_NO_TERMINAL = (
    "breakpoint() at {where}: there is no terminal to ask on ({error}). Start `wpy dev` in a terminal, or use "
    "`wpy dev --inspect` with a debugger. The Worker goes on."
)


class Debugger(pdb.Pdb):
    """Pdb on the terminal."""

    def __init__(self, hub: Hub, connection: Connection) -> None:
        super().__init__(nosigint=True)
        self.prompt = "(wpy-pdb) "
        self._hub = hub
        self._connection = connection

    def interaction(self, frame: Any, traceback: Any = None, *rest: Any) -> None:
        """One stop: from the prompt's appearance until the user goes on."""
        where = watchdog.where(frame) if frame is not None else ""
        try:
            with _on_terminal(self), self._told(frame, where):
                super().interaction(frame, traceback, *rest)
        except OSError as error:
            logs.emit("warn", _NO_TERMINAL.format(where=where, error=error.strerror or error))
            self.set_continue()

    @contextlib.contextmanager
    def _told(self, frame: FrameType, where: str) -> Iterator[None]:
        hub, connection = self._hub, self._connection
        event = watchdog.event_of(frame)
        on_loop = threading.get_ident() == hub._thread_id
        was_waiting = hub.waiting
        connection.send_now(frames.DEBUG, event, True, where)
        _original_sleep(_HANDOVER_S)
        if on_loop:
            hub.waiting = True  # the watchdog has nothing to report
        try:
            yield
        finally:
            hub.waiting = was_waiting
            connection.send_now(frames.DEBUG, event, False, where)


@contextlib.contextmanager
def _on_terminal(debugger: Debugger) -> Iterator[None]:
    """Standard input and output are the terminal's for the length of the prompt, so that line editing works."""
    terminal = os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY)
    saved = [os.dup(0), os.dup(1)]
    streams = sys.stdin, sys.stdout, debugger.stdin, debugger.stdout
    try:
        restore = _cooked(terminal)
        os.dup2(terminal, 0)
        os.dup2(terminal, 1)
        sys.stdin = debugger.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        sys.stdout = debugger.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        debugger.use_rawinput = True
        with contextlib.suppress(ImportError):
            importlib.import_module("readline")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            restore()
    finally:
        sys.stdin, sys.stdout, debugger.stdin, debugger.stdout = streams
        for target, copy in enumerate(saved):
            os.dup2(copy, target)
            os.close(copy)
        os.close(terminal)


def _cooked(terminal: int) -> Any:
    """Lines and echo on the terminal, whatever the server has set for its hot keys; undone by calling what it gives."""
    try:
        import termios
    except ImportError:
        return lambda: None
    before = termios.tcgetattr(terminal)
    lines = termios.tcgetattr(terminal)
    lines[0] |= termios.ICRNL
    lines[1] |= termios.OPOST
    lines[3] |= termios.ICANON | termios.ECHO | termios.ISIG
    termios.tcsetattr(terminal, termios.TCSADRAIN, lines)

    def restore() -> None:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)

    return restore


_debugger: Debugger | None = None


def stop(frame: FrameType, hub: Hub, connection: Connection) -> None:
    """Ask on the terminal, at `frame`."""
    global _debugger
    if sys.platform == "win32":
        logs.emit("warn", _NO_TERMINAL.format(where=watchdog.where(frame), error="not on Windows"))
        return
    if _debugger is None:
        _debugger = Debugger(hub, connection)
    _debugger.set_trace(frame)


def breakpoint_at(frame: FrameType, hub: Hub, connection: Connection, args: Any, options: Any) -> Any:
    """`breakpoint(*args, **options)` called in `frame`. PYTHONBREAKPOINT keeps its meaning."""
    chosen = os.environ.get("PYTHONBREAKPOINT", "")
    if chosen == "0":
        return None
    debugpy = sys.modules.get("debugpy")
    if not chosen and debugpy is not None and debugpy.is_client_connected():
        return debugpy.breakpoint()
    if chosen and chosen != "pdb.set_trace":
        module, _, name = chosen.rpartition(".")
        return getattr(importlib.import_module(module or "builtins"), name)(*args, **options)
    return stop(frame, hub, connection)
