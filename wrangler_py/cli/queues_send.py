"""`wpy queues send`: messages from the command line, a file, standard input or JSON lines, as a Worker would send them."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from msgspec import Struct, field

from wrangler_py.cli import queues_texts as texts
from wrangler_py.cli.kept_sends import find_queues
from wrangler_py.cli.output import (
    INTERRUPTED,
    CommandError,
    Interruptible,
    Progress,
    duration,
    error,
    errors_told,
    hint,
    plural,
    printable,
    result,
    result_json,
)
from wrangler_py.cli.queues_bodies import CONTENT_TYPES, BadBody, encode
from wrangler_py.cli.queues_changing import Queues, changing
from wrangler_py.cli.queues_options import QueueArgument, WpyJsonOption
from wrangler_py.cli.state import Project
from wrangler_py.cli.where import Where, on_state
from wrangler_py.queues import limits, tables
from wrangler_py.queues.intake import check_limits
from wrangler_py.queues.message import ContentType, OutgoingMessage, QueueMetrics
from wrangler_py.queues.store_directly import store_messages
from wrangler_py.store.database import explain_error
from wrangler_py.store.sessions import attachments

#: Messages stored in one transaction at most, and their bytes: a running session waits for no longer than that takes.
_CHUNK_COUNT = 500
_CHUNK_BYTES = 1_000_000
#: How much of a file or of standard input is read at a time (bytes).
_READ_BYTES = 1 << 16
#: A body is no longer read where it cannot be a message any more (bytes): JSON may be written six times as long as it is
#: stored (\\u0041), and indented.
_MOST_READ = 8 * limits.MAX_MESSAGE_BYTES
#: The ids of so many messages are printed by --json.
_MOST_IDS = 1_000
_TEMPLATE = b"{{i}}"

#: A body as it was given, and what it is called in an error.
Given = tuple[bytes, str]


class _Sent(Struct):
    """What is stored so far."""

    count: int = 0
    size: int = 0
    ids: list[str] = field(default_factory=list)
    metrics: QueueMetrics | None = None


@on_state()
def send(
    queue: QueueArgument,
    body: Annotated[
        str | None,
        typer.Argument(metavar="BODY", help="The body; - reads it from standard input.", show_default=False),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Read the body from a file (- for standard input).")
    ] = None,
    jsonl: Annotated[
        str | None,
        typer.Option("--jsonl", metavar="FILE", help="Send each line of a file (- for standard input) as a message."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Send the body N times; {{i}} in it counts from 0.")
    ] = None,
    delay: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="delaySeconds; the queue's delivery_delay unless given.")
    ] = None,
    content_type: Annotated[
        str, typer.Option(metavar="json|text|bytes|v8", help="How the body is stored. json and v8 are given as JSON.")
    ] = "json",
    batch: Annotated[
        bool, typer.Option("--batch", help="Send them as one sendBatch(): all or none, at most 100 and 256,000 bytes.")
    ] = False,
    json: WpyJsonOption = False,
    *,
    where: Where,
) -> None:
    """Send messages to a queue.

    Production's limits count, and its error codes are shown: 10203 for a delay, 10204 for a message above 128,000 bytes
    (10202, 10205 and 10206 with --batch). What was stored before an error, or before Ctrl-C (exit code 130), stays, and is
    told. --json prints queue_name, count, bytes, ids (of the first 1,000) and metadata, as the API's push does.
    """
    kind = _content_type(content_type)
    _check_usage(body, file, jsonl, count)
    with errors_told():
        project = find_queues(where)
        with changing(project, queue) as queues:
            queues.record(queue)
            check_limits([], delay, batch=batch)
            if jsonl is not None:
                given: Iterable[Sequence[Given]] = _lines(jsonl, kind)
                total = None
            else:
                total = count or 1
                given = _repeated(_read_body(body, file), total, counted=count is not None)
            sent = _Sent()
            with Interruptible() as interruptible:
                try:
                    sending = _Sending(queues, queue, kind, delay, sent, interruptible, total)
                    (sending.batch if batch else sending.one_by_one)(given)
                except KeyboardInterrupt:
                    queues.tell(now=True)
                    of = f" of {total:,}" if total else ""
                    error(f"Stopped: {plural(sent.count, 'message')}{of} sent and stored.")
                    raise typer.Exit(INTERRUPTED) from None
            queues.tell(now=True)
            if json:
                result_json(_as_json(queue, sent, sent.metrics or tables.metrics(queues.store, queue)))
            else:
                _tell(queue, sent)
                _tell_who_gets_them(queues, project, queue)


# Storing --------------------------------------------------------------------------------------------------------------


class _Sending:
    """One run of the command."""

    def __init__(
        self,
        queues: Queues,
        queue: str,
        content_type: ContentType,
        delay: int | None,
        sent: _Sent,
        interruptible: Interruptible,
        total: int | None,
    ) -> None:
        self._queues = queues
        self._queue = queue
        self._type = content_type
        self._delay = delay
        self._sent = sent
        self._interruptible = interruptible
        self._total = total
        self._last: tuple[bytes, OutgoingMessage] | None = None

    def one_by_one(self, given: Iterable[Sequence[Given]]) -> None:
        """Each message is a send of its own; they share transactions."""
        with Progress("Sending", self._total) as progress:
            try:
                for group in given:
                    for chunk in self._chunks(group):
                        self._store(chunk)
                        progress.advance(len(chunk))
                    # The next line may come in a minute; more that has come meanwhile goes together.
                    self._queues.tell(now=self._total is None)
            except CommandError as problem:
                raise CommandError(f"{problem}\n  {self._so_far()}") from problem

    def batch(self, given: Iterable[Sequence[Given]]) -> None:
        """All of them are one sendBatch()."""
        messages: list[OutgoingMessage] = []
        count = 0
        for group in given:
            count += len(group)
            if count <= limits.MAX_BATCH_COUNT:
                messages += [self._message(*item, batch=True) for item in group]
        if count > limits.MAX_BATCH_COUNT:
            raise limits.batch_too_many(count)
        if messages:
            self._store(messages, batch=True)

    def _chunks(self, group: Sequence[Given]) -> Iterator[list[OutgoingMessage]]:
        chunk: list[OutgoingMessage] = []
        size = 0
        for item in group:
            try:
                message = self._message(*item)
            except CommandError:
                if chunk:  # they were good, and came before
                    yield chunk
                raise
            chunk.append(message)
            size += len(message.body)
            if len(chunk) == _CHUNK_COUNT or size >= _CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _message(self, given: bytes, name: str, *, batch: bool = False) -> OutgoingMessage:
        if self._last is not None and self._last[0] is given:  # one body, many times
            return self._last[1]
        try:
            message = OutgoingMessage(encode(given, self._type), self._type, source="api")
            if not batch:
                check_limits([message], self._delay, batch=False)
        except BadBody as problem:
            raise CommandError(f"{name} is {problem}.\n  {texts.other_content_type(str(problem))}") from problem
        except limits.QueueSendError as problem:
            raise CommandError(f"{name}: {problem}") from problem
        self._last = given, message
        return message

    def _store(self, messages: Sequence[OutgoingMessage], *, batch: bool = False) -> None:
        queues, sent = self._queues, self._sent
        with self._interruptible.step():
            try:
                stored = store_messages(
                    queues.store, self._queue, messages, queues.clock.now_ms(), self._delay, batch=batch
                )
            except sqlite3.Error as problem:
                raise CommandError(explain_error(problem, queues.store.path)) from problem
            ids = [bytes.fromhex(one) for one in stored.ids]
            queues.events.emit("message.sent", queue=self._queue, ids=ids, messages=messages, ready=stored.ready)
            sent.count += len(messages)
            sent.size += sum(len(message.body) for message in messages)
            sent.ids += stored.ids[: _MOST_IDS - len(sent.ids)]
            sent.metrics = stored.metrics
            queues.touch(self._queue)
            queues.tell()

    def _so_far(self) -> str:
        if not self._sent.count:
            return "Nothing was sent."
        return f"Sent and stored before it: {plural(self._sent.count, 'message')}. Nothing after it."


# Reading --------------------------------------------------------------------------------------------------------------


def _read_body(body: str | None, file: str | None) -> bytes:
    if body is not None and body != "-":
        return os.fsencode(body)
    with _open(file or "-") as read:
        parts: list[bytes] = []
        size = 0
        while part := read(_READ_BYTES):
            parts.append(part)
            size += len(part)
            if size > _MOST_READ:
                raise CommandError(f"The body: {limits.message_too_large(size)}; it was not read to its end.")
    return b"".join(parts)


def _repeated(body: bytes, count: int, *, counted: bool) -> Iterator[Sequence[Given]]:
    """The body `count` times. Where it was said how often, {{i}} in it counts."""
    counts = counted and _TEMPLATE in body
    for start in range(0, count, _CHUNK_COUNT):
        numbers = range(start, min(count, start + _CHUNK_COUNT))
        if counts:
            yield [(body.replace(_TEMPLATE, b"%d" % i), f"The body with {{{{i}}}} = {i}") for i in numbers]
        else:
            yield [(body, "The body")] * len(numbers)


def _lines(file: str, content_type: ContentType) -> Iterator[Sequence[Given]]:
    """The lines of a file, as they come: those that are there already go together. Empty lines of JSON are passed
    over."""
    number = 0
    is_json = content_type in ("json", "v8")

    def given(line: bytes) -> list[Given]:
        nonlocal number
        number += 1
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        return [(line, f"Line {number}")] if line.strip() or not is_json else []

    with _open(file) as read:
        rest = b""
        while part := read(_READ_BYTES):
            *lines, rest = (rest + part).split(b"\n")
            if lines:
                yield [item for line in lines for item in given(line)]
            if len(rest) > _MOST_READ:
                problem = limits.message_too_large(len(rest))
                raise CommandError(f"Line {number + 1}: {problem}; it was not read to its end.")
        if rest:
            yield given(rest)


@contextmanager
def _open(file: str) -> Iterator[Callable[[int], bytes]]:
    """Gives what reads up to so many bytes, and returns what is there. Raises CommandError."""
    name = "Standard input" if file == "-" else printable(file)
    if file == "-" and sys.stdin is None:
        raise CommandError("Standard input cannot be read: it is closed.")
    try:
        descriptor = sys.stdin.fileno() if file == "-" else os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as problem:
        raise CommandError(f"{name} cannot be read: {problem.strerror}.") from problem

    def read(size: int) -> bytes:
        try:
            return os.read(descriptor, size)
        except OSError as problem:
            raise CommandError(f"{name} cannot be read: {problem.strerror}.") from problem

    try:
        yield read
    finally:
        if file != "-":
            os.close(descriptor)


# The command line -----------------------------------------------------------------------------------------------------


def _content_type(given: str) -> ContentType:
    for content_type in CONTENT_TYPES:
        if given == content_type:
            return content_type
    raise typer.BadParameter(f'"{given}" is not one of {", ".join(CONTENT_TYPES)}', param_hint="--content-type")


def _check_usage(body: str | None, file: str | None, jsonl: str | None, count: int | None) -> None:
    given = [name for name, value in (("BODY", body), ("--file", file), ("--jsonl", jsonl)) if value is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} cannot be given together")
    if not given:
        raise typer.BadParameter("give a BODY (- for standard input), --file or --jsonl")
    if jsonl is not None and count is not None:
        raise typer.BadParameter("--count repeats one body, not the lines of --jsonl")


# Telling --------------------------------------------------------------------------------------------------------------


def _tell(queue: str, sent: _Sent) -> None:
    name = printable(queue)
    if sent.count == 1:
        result(f'Sent message {sent.ids[0]} to queue "{name}" ({plural(sent.size, "byte")}).')
    else:
        result(f'Sent {plural(sent.count, "message")} to queue "{name}" ({plural(sent.size, "byte")}).')


def _tell_who_gets_them(queues: Queues, project: Project, queue: str) -> None:
    record = queues.record(queue)
    if record.delivery_paused:
        hint(texts.delivery_paused(queue))
    elif not tables.is_pulled(queues.store, record.id) and not any(
        a.role == "consumer" and a.queue == queue for a in attachments(queues.store)
    ):
        kept = duration(record.message_retention_period)
        named = any(c.queue == queue for worker in project.workers for c in worker.consumers)
        hint(texts.not_running(kept) if named else texts.not_consumed(queue, kept))


def _as_json(queue: str, sent: _Sent, metrics: QueueMetrics) -> dict[str, Any]:
    from wrangler_py.server.rest import objects

    return {
        "queue_name": queue,
        "count": sent.count,
        "bytes": sent.size,
        "ids": sent.ids,
        "metadata": {"metrics": objects.metrics(metrics)},
    }
