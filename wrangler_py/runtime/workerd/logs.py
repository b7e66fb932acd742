"""What workerd prints: lines of the Workers' consoles, each with its Worker and event, and workerd's own words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

#: Lines of consoles that are shown in a second. What is more is counted and told: a loop that logs must neither stall the
#: Worker, whose pipe has to be emptied, nor the session.
MAX_LINES_PER_SECOND = 5_000
#: A line that never ends is cut into pieces of this size (bytes).
_LONGEST_LINE = 1 << 20

_LEVELS = {"log": "log", "info": "info", "warn": "warn", "error": "error", "debug": "debug", "trace": "log"}
#: Words of workerd's own that say nothing to the user [miniflare filters the same].
_NOISE = re.compile(
    r"^\s*stack: [0-9a-f@ /.]|NOSENTRY|LLVM_SYMBOLIZER|CODE_MOVED|disconnected: |"
    # exceptions that the tail tells of, with the user's lines
    r"Uncaught exception: workerd/.*remote\.jsg\.|A DurableObjectNamespace in the config referenced|"
    r"broken\.(?:outputGateBroken|dropped)"
)
#: Addresses of workerd's own code, behind an error of its own.
_STACK = re.compile(r"\nstack: .*")
_NO_SUCH_HOST = re.compile(r"DNS lookup failed\.; params\.host = ([^;]+);.* = (.+)$", re.MULTILINE)


class Line(Struct, frozen=True):
    """One call of a console. `worker` is "" when workerd cannot tell whose it was."""

    worker: str
    event: str
    level: str
    text: str
    #: Whether it is an exception that nobody caught.
    uncaught: bool = False


class OutputReader:
    """Takes what workerd prints, byte by byte as it comes; hands on lines."""

    def __init__(
        self,
        on_line: Callable[[Line], None],
        on_own: Callable[[str], None],
        on_dropped: Callable[[int], None],
        now: Callable[[], float],
    ) -> None:
        """`on_own` is given workerd's own messages; `on_dropped` how many lines a second had too many. `now` in seconds."""
        self._on_line = on_line
        self._on_own = on_own
        self._on_dropped = on_dropped
        self._now = now
        self._rest: dict[str, bytes] = {"stdout": b"", "stderr": b""}
        self._second = -1
        self._shown = 0
        self.dropped = 0

    def feed(self, stream: str, data: bytes) -> None:
        """More of "stdout" or "stderr"."""
        whole, newline, rest = (self._rest[stream] + data).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:
            whole, newline, rest = whole + newline + rest, b"\n", b""
        self._rest[stream] = rest
        if not newline:
            return
        second = int(self._now())
        if second != self._second:
            self._second, self._shown = second, 0
            self.tell_dropped()
        lines = whole.split(b"\n")
        room = max(0, MAX_LINES_PER_SECOND - self._shown)
        for line in lines[:room]:
            self._one(line)
        for line in lines[room:]:
            # An error of workerd's own is never among too many; a substring is all that is looked for.
            if b'"source":' in line and b'"level":"error"' in line:
                self._one(line)
        self._shown += len(lines)
        self.dropped += max(0, len(lines) - room)

    def tell_dropped(self) -> None:
        """Say how many lines were left out, if any were."""
        if self.dropped:
            dropped, self.dropped = self.dropped, 0
            self._on_dropped(dropped)

    def _one(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if not text.startswith("{"):
            if text.strip() and not _NOISE.search(text):
                self._on_own(text)
            return
        try:
            entry: dict[str, Any] = json.loads(text)
            level, message = entry["level"], entry["message"]
        except (ValueError, KeyError):
            self._on_own(text)
            return
        if "source" in entry:
            if not _NOISE.search(message):
                self._on_own(_readable(message))
            return
        self._on_line(_line(_LEVELS.get(level, "log"), message))


def _readable(message: str) -> str:
    """workerd's own words, without what only its authors can read."""
    lost = _NO_SUCH_HOST.search(message)
    if lost is not None:
        return (
            f"There is no address for {lost.group(1)}: {lost.group(2)}. Is this machine offline, or the name misspelt?"
        )
    return _STACK.sub("", message)


def _line(level: str, message: str) -> Line:
    worker = event = ""
    # console.error joins its words in another order for errors: the tag may stand anywhere in front.
    if message.startswith("\x01"):
        _, worker, event, text = message.split("\x01", 3)
        # A tag that was an argument of its own is followed by a space.
        message = text.removeprefix(" ")
    uncaught = message.startswith("\x02")
    return Line(worker, event, level, message.removeprefix("\x02"), uncaught)
