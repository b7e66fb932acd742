"""What commands print: results to standard output, warnings and errors to standard error.

Nothing here needs a terminal; where there is one, and NO_COLOR is not set, headings are dimmed and marks coloured.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import typer

from wrangler_py.dev.style import Style, wants_color
from wrangler_py.session.times import span

#: What a command ends with when it refuses or fails. A command line that cannot be understood ends with 2.
FAILED = 1
#: What a command ends with that Ctrl-C has stopped half way (128 and the signal's number, as shells have it).
INTERRUPTED = 130
#: How long a command goes on before it shows a bar (seconds).
_BAR_AFTER_S = 0.5

#: Anything a terminal would obey instead of printing, and line breaks.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


class CommandError(Exception):
    """A command cannot do what it was asked. The text is for the user; further lines are hints."""


@contextlib.contextmanager
def errors_told() -> Iterator[None]:
    """Turn what the user can mend into one message on standard error and exit code 1."""
    try:
        yield
    except CommandError as problem:
        error(str(problem))
        raise typer.Exit(FAILED) from problem
    except Exception as problem:
        text = explained(problem)
        if text is None:
            raise
        error(text)
        raise typer.Exit(FAILED) from problem


def explained(problem: Exception) -> str | None:
    """What to tell the user of something that the rooms refuse; None for what is no refusal."""
    # They bring SQLite with them: only when something failed.
    from wrangler_py.queues.limits import QueueSendError, Refusal
    from wrangler_py.store.database import StateError

    if isinstance(problem, Refusal):
        return f"{problem.text} [code: {problem.code}]" if problem.code else problem.text
    return str(problem) if isinstance(problem, StateError | QueueSendError) else None


def result(text: str = "") -> None:
    """A line of what the command was asked for."""
    _print(text)


def result_json(value: Any) -> None:
    """The same for scripts. ASCII only, so that any pipe carries it."""
    _print(json.dumps(value, indent=2))


def result_json_line(value: Any) -> None:
    """One of several results that come one after another, on a line of its own, and at once."""
    _print(json.dumps(value))


def _print(text: str, *, color: bool | None = None) -> None:
    try:
        typer.echo(text, color=color)
    except BrokenPipeError:  # the reader has seen enough: typer ends the command without a word
        raise
    except OSError as problem:
        # What is left in the buffer must not be tried again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        error(f"The output cannot be written: {problem.strerror}.")
        raise typer.Exit(FAILED) from problem


class Progress:
    """A bar on standard error for work of many steps: where that is a terminal, and once the work has gone on for a
    while. `total` None: nobody knows how many steps there will be. Use it in a `with`."""

    def __init__(self, label: str, total: int | None) -> None:
        self._label = label
        self._total = total
        self._done = 0
        self._from_s = time.monotonic() + _BAR_AFTER_S if sys.stderr.isatty() else math.inf
        self._bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, steps: int) -> None:
        """That many more steps are done."""
        self._done += steps
        if self._bar is None and time.monotonic() >= self._from_s:
            self._start()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True, no_color=not wants_color(sys.stderr))
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=console, transient=True)
        self._bar.add_task(self._label, total=self._total)
        self._bar.start()


class Interruptible:
    """Lets Ctrl-C come between the steps of a command, not within one, so that it can say what it has done. Use it in a
    `with`; what comes raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self._in_step = False
        self._wanted = False

    def __enter__(self) -> Interruptible:
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, *_: object) -> None:
        if not self._in_step:
            raise KeyboardInterrupt
        self._wanted = True

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """What must not be torn apart."""
        self._in_step = True
        try:
            yield
        finally:
            self._in_step = False
        if self._wanted:
            raise KeyboardInterrupt


def warning(text: str) -> None:
    """Something the user should know beside the result, in the form of wrangler's warnings."""
    style = Style(wants_color(sys.stderr))
    typer.echo(f"{style('▲ [WARNING]', 'yellow')} {text}", err=True, color=style.color)


def hint(text: str) -> None:
    """How to read the result, where that is not plain."""
    style = Style(wants_color(sys.stderr))
    typer.echo(style(text, "dim"), err=True, color=style.color)


def error(text: str) -> None:
    """Why the command failed, in the form of wrangler's errors."""
    style = Style(wants_color(sys.stderr))
    typer.echo(f"{style('✘ [ERROR]', 'red', 'bold')} {text}", err=True, color=style.color)


def printable(text: str) -> str:
    """`text` with everything escaped that a terminal would obey: local queue names may be any string."""
    return _UNPRINTABLE.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, optional: Collection[str] = ()) -> None:
    """Rows in columns, two spaces apart.

    On a terminal too narrow for it, columns of `optional` are left out, the last one first, and a line says so; a pipe
    or a file gets all of them.
    """
    wide = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    shown = list(range(len(header)))
    left_out: list[str] = []
    if sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        for name in reversed([h for h in header if h in optional]):
            if sum(wide[i] + 2 for i in shown) - 2 <= columns:
                break
            shown.remove(header.index(name))
            left_out.insert(0, name)
    style = Style(wants_color(sys.stdout))

    def line(row: Sequence[str]) -> str:
        return "  ".join(row[i].ljust(wide[i]) for i in shown).rstrip()

    _print(style(line(header), "dim"), color=style.color)
    for row in rows:
        _print(line(row))
    if left_out:
        hidden = f"(The terminal is too narrow for: {', '.join(left_out)}. --json has everything.)"
        _print(style(hidden, "dim"), color=style.color)


def duration(seconds: float) -> str:
    """`seconds` in its two largest units: "4 d", "2 h 5 min", "0 s"; no less than none."""
    return span(max(0, int(seconds)) * 1000)


def plural(count: int, noun: str) -> str:
    """ "1 message", "12 messages"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
