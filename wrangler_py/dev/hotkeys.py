"""Hot keys of a session on a terminal. Without a terminal, or on a system without termios, there are none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping


class HotKeys:
    """The keys of a session, which somebody else may have for a while."""

    def __init__(self, take: Callable[[], None], release: Callable[[], None]) -> None:
        self._take = take
        self._release = release
        self._lent = 0

    def lend(self) -> None:
        """Let a debugger's prompt have the terminal. May be called again; the last `give_back` counts."""
        self._lent += 1
        if self._lent == 1:
            self._release()

    def give_back(self) -> None:
        self._lent = max(0, self._lent - 1)
        if self._lent == 0:
            self._take()


@contextlib.contextmanager
def hotkeys(actions: Mapping[str, Callable[[], object]]) -> Iterator[HotKeys]:
    """Call `actions[key]` for every key pressed, in either case; the terminal is as before afterwards."""
    try:
        import termios
        import tty
    except ImportError:  # Windows: Ctrl-C still ends the session
        yield HotKeys(lambda: None, lambda: None)
        return
    descriptor = sys.stdin.fileno()
    saved = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def read() -> None:
        data = os.read(descriptor, 64)
        if not data:
            loop.remove_reader(descriptor)
            return
        for character in data.decode("utf-8", "ignore").lower():
            action = actions.get(character)
            if action is not None:
                action()

    def take() -> None:
        tty.setcbreak(descriptor)  # keeps Ctrl-C a signal, unlike raw mode
        loop.add_reader(descriptor, read)

    def release() -> None:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, saved)

    take()
    try:
        yield HotKeys(take, release)
    finally:
        release()


def box(labels: Mapping[str, str], width: int) -> list[str]:
    """The lines of the box that names the keys: one row if it fits the width, else a row a key."""
    texts = [f"[{key}] {label}" for key, label in labels.items()]
    rows = [" ".join(texts)] if sum(map(len, texts)) + len(texts) + 5 <= width else texts
    inner = max(map(len, rows)) + 4
    return ["╭" + "─" * inner + "╮", *(f"│  {row.ljust(inner - 2)}│" for row in rows), "╰" + "─" * inner + "╯"]
