"""`wpy tail`: what happens, as it happens; with or without a session, from the record of the state folder."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from wrangler_py.cli.event_lines import Wanted, as_json, details, lines
from wrangler_py.cli.folder_changes import FolderChanges
from wrangler_py.cli.options import JsonOption
from wrangler_py.cli.output import CommandError, errors_told, hint, result, result_json_line
from wrangler_py.cli.session_client import no_session, running_sessions
from wrangler_py.cli.where import Where, on_state
from wrangler_py.dev.style import Style, wants_color
from wrangler_py.events import look, reading, tables
from wrangler_py.events.digest import Digest
from wrangler_py.events.packs import unpack_one
from wrangler_py.events.reading import Recorded

app = typer.Typer(rich_markup_mode=None, add_completion=False)

#: How often the sessions are told that somebody looks (seconds).
_TELL_EVERY_S = 1.0
_PAGE = 500


@app.command()
@on_state()
def tail(
    queue: Annotated[
        str | None, typer.Option("--queue", "-q", metavar="NAME", help="Only what is about this queue.")
    ] = None,
    worker: Annotated[str | None, typer.Option("--worker", metavar="NAME", help="Only what this Worker does.")] = None,
    outcome: Annotated[
        list[str] | None,
        typer.Option(
            "--outcome",
            metavar="WHAT",
            help="acked, retried, dead-lettered, dropped; ok, exception, exceededWallTime; an HTTP status. Several times "
            "for several.",
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="TEXT", help="Only what contains it, bodies too.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind", metavar="KIND", help="request, message, batch, cron, worker, clock, ... or a whole kind."
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="Begin in the past: 10m, 2h, or a time like 2026-03-01T09:30Z."),
    ] = None,
    count: Annotated[
        int, typer.Option("-n", metavar="NUMBER", min=0, max=100_000, help="Begin with the last N events.")
    ] = 0,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on until Ctrl-C.")] = True,
    as_json_lines: JsonOption = False,
    *,
    where: Where,
) -> None:
    """Follow what happens: requests, messages, batches and what became of each message, crons, logs, reloads, crashes.

    It may be started before a session, and outlives it. --json prints an event a line: seq, atMs, kind, worker, queue,
    traceId, spanId, data; `batch.finished` has messages, too (id, attempt, action, reason, where, delaySeconds).
    """
    with errors_told():
        wanted = Wanted(queue, worker, tuple(outcome or ()), text, tuple(kind or ()))
        since_ms = None if since is None else moment(since)
        folder = where.project().folder
        follower = _Follower(folder / tables.FILE_NAME)
        if follow and not running_sessions(folder):
            hint(f"{no_session(folder)} Waiting for one: start it with `wpy dev`. Ctrl-C ends this.")
        style = Style(wants_color(sys.stdout))
        try:
            for connection, event in follower.events(count, since_ms, follow=follow):
                messages, bodies = details(connection, event, bodies=text is not None)
                if not wanted.takes(event, messages, bodies):
                    continue
                if as_json_lines:
                    result_json_line(as_json(event, messages))
                elif shown := lines(event, messages, style):
                    result("\n".join(shown))
        except KeyboardInterrupt:
            return  # that is how it ends
        except (sqlite3.Error, tables.Unusable) as problem:
            raise CommandError(f"The record {follower.path} cannot be read: {problem}.") from problem
        finally:
            follower.close()


def moment(text: str) -> int:
    """A moment on the wall clock (ms): that long ago, or a time."""
    from wrangler_py.clock import SystemClock
    from wrangler_py.cron.questions import parse_time
    from wrangler_py.session.times import parse_span

    try:
        return SystemClock().now_ms() - round(parse_span(text) * 1000)
    except ValueError:
        pass
    try:
        return parse_time(text)
    except ValueError:
        raise CommandError(
            f'--since: "{text}" is neither a span like 10m or 2h nor a time like 2026-03-01T09:30Z.'
        ) from None


class _Follower:
    """The record as it goes on. It may come into being later, and be replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._digest: Digest | None = None
        self._file: tuple[int, int] | None = None
        self._version = 0
        self._changes = FolderChanges(path.parent)

    def events(
        self, count: int, since_ms: int | None, *, follow: bool
    ) -> Iterator[tuple[sqlite3.Connection, Recorded]]:
        """The last `count` events, or those since a moment, and then, if they are to be followed, every one that comes."""
        if follow:
            look.touch(self.path.parent)
        connection = self._look()
        last = 0
        if connection is not None:
            last = reading.last_seq(connection)
            if since_ms is not None:
                last = reading.first_seq_since(connection, since_ms)
            elif count:
                past = reading.events_before(connection, None, count)
                last = past[-1].seq - 1 if past else last
        while True:
            current = self._look()
            if current is not connection:  # it has come into being, or was replaced: all of it is new
                connection, last = current, 0
            if connection is not None:
                while page := reading.events_after(connection, last, _PAGE):
                    last = page[-1].seq
                    yield from ((connection, event) for event in page)
            if not follow:
                return
            self._wait()

    def _look(self) -> sqlite3.Connection | None:
        if self._connection is not None and self._status() != self._file:
            self.close()
        if self._connection is None and (status := self._status()) is not None:
            self._connection, self._file = tables.connect(self.path), status
            self._digest = Digest(self._connection)
        if self._connection is not None:
            assert self._digest is not None
            while unpack_one(self._connection, self._digest):
                pass
            self._version = self._data_version()
        return self._connection

    def _wait(self) -> None:
        told = time.monotonic()
        while True:
            self._changes.wait()
            if time.monotonic() - told > _TELL_EVERY_S:
                look.touch(self.path.parent)
                told = time.monotonic()
            if self._status() != self._file or (self._connection is not None and self._data_version() != self._version):
                return

    def _data_version(self) -> int:
        assert self._connection is not None
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _status(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def close(self) -> None:
        connection, self._connection = self._connection, None
        self._file = None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
