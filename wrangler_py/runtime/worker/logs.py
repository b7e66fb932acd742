"""What the worker prints, as LOG frames tagged with the event it belongs to.

sys.stdout and sys.stderr are replaced; file descriptors 1 and 2 stay what they were, for output of C code and of
processes that user code starts. Which event a line belongs to is read from a context variable, which tasks inherit.
"""

from __future__ import annotations

import io
import logging
import sys
from contextvars import ContextVar
from typing import Any

from .connection import Connection

#: The event that the running code belongs to; None in the global scope and in threads of the user's own.
current_event: ContextVar[Any] = ContextVar("wpy_event", default=None)

#: An unfinished line longer than this is sent as it is (characters).
_MAX_PARTIAL = 64 * 1024


class LogStream(io.TextIOBase):
    """A text stream whose lines become LOG frames of one level. Unfinished lines wait, separately for each event."""

    encoding = "utf-8"
    errors = "replace"
    newlines = None
    line_buffering = True
    write_through = False

    def __init__(self, connection: Connection, level: str, name: str, fd: int) -> None:
        self._connection = connection
        self._level = level
        self._fd = fd
        self.name = name
        self.mode = "w"
        self._partial: dict[int, str] = {}
        self.buffer = _Bytes(self)

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        event = current_event.get()
        number = 0 if event is None else event.id
        partial = self._partial
        length = len(text)
        if "\n" not in text:
            text = partial.get(number, "") + text
            if len(text) > _MAX_PARTIAL:
                partial.pop(number, None)
                self._connection.log(number, self._level, text + "\n")
            elif text:
                partial[number] = text
            return length
        if partial:
            text = partial.pop(number, "") + text
        if text[-1] != "\n":
            end = text.rindex("\n") + 1
            partial[number] = text[end:]
            text = text[:end]
        self._connection.log(number, self._level, text)
        return length

    def finish(self, event: int) -> None:
        """Send the unfinished line of an event that is over."""
        text = self._partial.pop(event, None)
        if text:
            self._connection.log(event, self._level, text + "\n")

    def flush(self) -> None:
        """Lines are sent when they are whole; there is nothing to hurry."""

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def reconfigure(self, **_options: Any) -> None:
        """What programs ask for at their start (UTF-8, line buffering) is so already."""

    def close(self) -> None:
        """A closed sys.stdout would lose everything printed later: not closed."""


class _Bytes(io.BufferedIOBase):
    """`sys.stdout.buffer`: bytes that are UTF-8 text."""

    def __init__(self, stream: LogStream) -> None:
        self._stream = stream
        self.raw = self

    def write(self, data: Any, /) -> int:
        data = bytes(data)
        self._stream.write(data.decode("utf-8", "replace"))
        return len(data)

    def flush(self) -> None:
        """See LogStream.flush."""

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """See LogStream.close."""


class _LastResort(logging.Handler):
    """What `logging` does with a record when the user has configured nothing, with the record's own level."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            emit(level_of(record.levelno), self.format(record))
        except Exception:
            self.handleError(record)


def level_of(number: int) -> str:
    """LOG's level for a level of `logging`."""
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


_connection: Connection | None = None
_streams: list[LogStream] = []


def install(connection: Connection) -> None:
    """Replace sys.stdout, sys.stderr and logging's handler of last resort."""
    global _connection
    _connection = connection
    out = LogStream(connection, "log", "<stdout>", 1)
    err = LogStream(connection, "error", "<stderr>", 2)
    _streams[:] = [out, err]
    sys.stdout = out
    sys.stderr = err
    logging.lastResort = _LastResort(logging.WARNING)


def emit(level: str, text: str, event: Any = None) -> None:
    """Log `text`, one or more lines, for `event` or else the event that is running."""
    event = event or current_event.get()
    number = 0 if event is None else event.id
    assert _connection is not None
    _connection.log(number, level, text if text.endswith("\n") else text + "\n")


def finish(event: int) -> None:
    """Send the unfinished lines of an event that is over."""
    for stream in _streams:
        if stream._partial:
            stream.finish(event)
