"""The language in which messages are searched for, and its SQL.

A query is words and parts like `body.user.id:42`, all of which must fit (docs/dashboard-api.md has the table). It is put to
messages that live, in the queues' own table, and to those that are settled, in the record: the two have other columns, which
`Columns` names.
"""

from __future__ import annotations

import re
import shlex
import sqlite3
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

#: States of messages that wait or run, and of those that are settled.
LIVING = ("ready", "delayed", "in_flight", "retrying", "dead")
SETTLED = ("acked", "dropped", "discarded", "purged", "expired")

#: What a JSON text may write in one other way only, in escapes that begin with a backslash and a u.
_AS_IT_IS = re.compile(r"[A-Za-z0-9_.@-]+")
_ATTEMPTS = re.compile(r"(>=|<=|>|<|=)?(\d{1,9})")
_KEYS = ("id", "queue", "state", "outcome", "error", "reason", "trace", "attempts", "is")
#: `->` keeps a number as it was written; before it came, integers over 2^63 are compared as floating point numbers.
_HAS_ARROW = sqlite3.sqlite_version_info >= (3, 38)


class QueryError(ValueError):
    """The query cannot be understood; the text says which part and what it may be."""


class Columns(Struct, frozen=True):
    """What the two tables call the same things, as SQL expressions."""

    body: str
    raw: str  # the same, as it is stored
    is_json: str
    id: str
    attempts: str
    #: The record's columns: null where the record does not know the message.
    reason: str
    error: str
    trace: str


LIVE_COLUMNS = Columns(
    "CAST(m.body AS TEXT)",
    "m.body",
    "m.content_type = 0",
    "hex(m.id)",
    "m.attempts",
    "i.reason",
    "i.error",
    "coalesce(i.trace, lower(hex(m.id)))",
)
RECORD_COLUMNS = Columns(
    "CAST(i.body AS TEXT)",
    "i.body",
    "i.content_type = 'json'",
    "hex(i.id)",
    "i.attempts",
    "i.reason",
    "i.error",
    "i.trace",
)

#: A condition of SQL for a table, and its parameters.
_Condition = Callable[[Columns], tuple[str, list[Any]]]


class Query(Struct):
    """What is searched for."""

    queues: set[str] | None = None  # None: all
    states: set[str] | None = None
    conditions: list[_Condition] = field(default_factory=list)
    #: The record is asked about messages that live, too.
    needs_record: bool = False

    def sql(self, columns: Columns) -> tuple[str, list[Any]]:
        """The conditions on one of the two tables; "1" when there are none."""
        texts, parameters = [], []
        for condition in self.conditions:
            text, values = condition(columns)
            texts.append(text)
            parameters += values
        return " AND ".join(texts) or "1", parameters

    def narrow(self, queue: str | None = None, state: str | None = None) -> None:
        """Only this queue, and only these states (separated by commas). Raises QueryError."""
        if queue:
            self.queues = {queue} if self.queues is None else self.queues & {queue}
        if state:
            wanted = {name.strip() for name in state.split(",") if name.strip()}
            unknown = wanted - {*LIVING, *SETTLED}
            if unknown:
                known = ", ".join((*LIVING, *SETTLED))
                raise QueryError(f'There is no state "{sorted(unknown)[0]}". There are: {known}.')
            self.states = wanted if self.states is None else self.states & wanted


def parse(text: str) -> Query:
    """Read a query. Raises QueryError."""
    query = Query()
    for part in _parts(text):
        negated = part.startswith("-") and len(part) > 1
        word = part[1:] if negated else part
        key, colon, value = word.partition(":")
        key = key.lower() if not key.startswith("body.") else key
        if not colon or (key not in _KEYS and not key.startswith("body.")):
            _add(query, _contains(word), negated)
        elif key == "queue" and not negated:
            query.narrow(queue=value)
        elif key in ("state", "outcome", "is") and not negated:
            query.narrow(state=value)
        elif key in ("queue", "state", "outcome", "is"):
            raise QueryError(f"-{key}: is not possible; name the ones that are wanted, e.g. state:ready,delayed.")
        elif key == "attempts":
            _add(query, _attempts(value), negated)
        elif key == "id":
            _add(query, _id(value), negated)
        elif key.startswith("body."):
            _add(query, _at_path(key.removeprefix("body."), value), negated)
        else:
            query.needs_record = True
            _add(query, _of_record(key, value), negated)
    return query


def _parts(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.quotes = '"'
    lexer.escape = ""
    try:
        return list(lexer)
    except ValueError as error:
        raise QueryError('A quotation mark is open: write "two words", or leave it out.') from error


def _add(query: Query, condition: _Condition, negated: bool) -> None:
    if not negated:
        query.conditions.append(condition)
        return

    def opposite(columns: Columns) -> tuple[str, list[Any]]:
        text, parameters = condition(columns)
        return f"NOT coalesce(({text}), 0)", parameters

    query.conditions.append(opposite)


def _contains(word: str) -> _Condition:
    return lambda columns: (f"{columns.body} LIKE ? ESCAPE '\\'", [f"%{_like(word)}%"])


def _id(value: str) -> _Condition:
    if not re.fullmatch(r"[0-9a-fA-F]{1,32}", value):
        raise QueryError(f"id:{value} is no beginning of an id, which has 32 characters of 0-9 and a-f.")
    return lambda columns: (f"{columns.id} LIKE ?", [f"{value}%"])


def _attempts(value: str) -> _Condition:
    found = _ATTEMPTS.fullmatch(value)
    if found is None:
        raise QueryError(f"attempts:{value} is no number of attempts like attempts:2 or attempts:>1.")
    return lambda columns: (f"{columns.attempts} {found[1] or '='} ?", [int(found[2])])


def _of_record(key: str, value: str) -> _Condition:
    if key == "error":
        return lambda columns: (f"{columns.error} LIKE ? ESCAPE '\\'", [f"%{_like(value)}%"])
    if key == "reason":
        return lambda columns: (f"{columns.reason} = ?", [value])
    return lambda columns: (f"{columns.trace} = ?", [value.lower()])


def _at_path(path: str, value: str) -> _Condition:
    steps = path.split(".")
    if not all(steps) or '"' in path:
        raise QueryError(f"body.{path} is no path like body.user.id.")
    json_path = "$" + "".join(f"[{step}]" if step.isdigit() else f'."{step}"' for step in steps)

    def condition(columns: Columns) -> tuple[str, list[Any]]:
        body = columns.body
        found = f"{body} -> ?" if _HAS_ARROW else f"json_quote(json_extract({body}, ?))"
        valid = f"{columns.is_json} AND json_valid({body})"
        if value.endswith("*"):
            text = f"CASE WHEN {valid} THEN json_extract({body}, ?) LIKE ? ESCAPE '\\' END"
            return text, [json_path, f"{_like(value[:-1])}%"]
        exactly = f"CASE WHEN {valid} THEN ({found}) IN (?, json_quote(?)) END"
        if not _AS_IT_IS.fullmatch(value):
            return exactly, [json_path, value, value]
        # Parsing is what takes time: first see whether the text is there at all (a JSON text may write it in escapes).
        there = f"(instr({columns.raw}, CAST(? AS BLOB)) OR instr({columns.raw}, CAST('\\u' AS BLOB)))"
        return f"{there} AND {exactly}", [value, json_path, value, value]

    return condition


def _like(text: str) -> str:
    return re.sub(r"([%_\\])", r"\\\1", text)
