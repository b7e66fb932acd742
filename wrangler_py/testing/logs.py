"""`wpy.logs`: what the workers printed and logged, line by line."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

from wrangler_py.runtime.worker import logs
from wrangler_py.testing.results import LogLine


class Logs:
    """All lines of a test's workers so far."""

    def __init__(self, lines: list[LogLine]) -> None:
        self.lines = lines

    def __iter__(self) -> Iterator[LogLine]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __contains__(self, text: str) -> bool:
        """Whether a line holds this text."""
        return any(text in line.text for line in self.lines)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(line.text for line in self.lines)

    def of(self, *, level: str | None = None, worker: str | None = None) -> list[LogLine]:
        """The lines of a level ("log", "info", "warn", "error", "debug") or of a worker."""
        return [line for line in self.lines if level in (None, line.level) and worker in (None, line.worker)]

    def clear(self) -> None:
        """Forget what there is."""
        self.lines.clear()


class _Tee(io.TextIOBase):
    """A standard stream that pytest has captured; what events print goes to the workers' logs as well."""

    def __init__(self, stream: Any, level: str) -> None:
        self._stream = stream
        self._level = level
        self._partial: dict[int, str] = {}

    def write(self, text: str, /) -> int:
        event = logs.current_event.get()
        if event is not None:
            whole = self._partial.pop(event.id, "") + text
            lines, newline, rest = whole.rpartition("\n")
            if newline:
                logs.emit(self._level, lines + "\n", event)
            if rest:
                self._partial[event.id] = rest
        written: int = self._stream.write(text)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        number: int = self._stream.fileno()
        return number

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def writable(self) -> bool:
        return True


class _Handler(logging.Handler):
    """Records of `logging` that events make."""

    def emit(self, record: logging.LogRecord) -> None:
        event = logs.current_event.get()
        if event is not None:
            logs.emit(logs.level_of(record.levelno), self.format(record), event)


def capture() -> Callable[[], None]:
    """Listen to what events print and log, until the function that this returns is called."""
    out, err = sys.stdout, sys.stderr
    tees = _Tee(out, "log"), _Tee(err, "error")
    sys.stdout, sys.stderr = tees
    handler = _Handler(logging.WARNING)
    logging.getLogger().addHandler(handler)

    def undo() -> None:
        logging.getLogger().removeHandler(handler)
        if sys.stdout is tees[0]:
            sys.stdout = out
        if sys.stderr is tees[1]:
            sys.stderr = err

    return undo
