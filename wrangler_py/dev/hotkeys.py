"""Hot keys of a session on a terminal. Without a terminal, or on a system without termios, there are none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def hotkeys(actions: Mapping[str, Callable[[], object]]) -> Iterator[None]:
    """Call `actions[key]` for every key pressed, in either case; the terminal is as before afterwards."""
    try:
        import termios
        import tty
    except ImportError:  # Windows: Ctrl-C still ends the session
        yield
        return
    descriptor = sys.stdin.fileno()
    saved = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)  # keeps Ctrl-C a signal, unlike raw mode
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

    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, saved)


def box(labels: Mapping[str, str], width: int) -> list[str]:
    """The lines of the box that names the keys: one row if it fits the width, else a row a key."""
    texts = [f"[{key}] {label}" for key, label in labels.items()]
    rows = [" ".join(texts)] if sum(map(len, texts)) + len(texts) + 5 <= width else texts
    inner = max(map(len, rows)) + 4
    return ["╭" + "─" * inner + "╮", *(f"│  {row.ljust(inner - 2)}│" for row in rows), "╰" + "─" * inner + "╯"]
