"""Colours of the terminal, or none: NO_COLOR (https://no-color.org), FORCE_COLOR and pipes are respected."""

from __future__ import annotations

import os
from typing import TextIO

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "orange": "38;5;214",
}


def wants_color(stream: TextIO) -> bool:
    """Whether text written to `stream` should be coloured."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Style:
    """Wraps text in colour codes when colours are wanted."""

    def __init__(self, color: bool) -> None:
        self.color = color

    def __call__(self, text: object, *names: str) -> str:
        if not self.color:
            return str(text)
        return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"
