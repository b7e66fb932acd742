"""`ctx.storage.sql`: statements on the object's own database, and their cursors. Everything is done when `exec` returns.

Behaviour is measured on workerd: numbers are bound as doubles, integers come back as numbers, booleans are texts. What
cannot be known through Python's sqlite3 is counted otherwise: `rowsRead` counts the rows that a query gave, not those it
looked at, and `rowsWritten` not the entries of indices.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from typing import Any, NoReturn

from ..shims.js.arrays import Array, JsIterable, JsIterator, make_array
from ..shims.js.buffers import ArrayBuffer, BufferView, make_buffer
from ..shims.js.convert import js_string, unwrap
from ..shims.js.core import JsProxy, js_error, jsnull, make_object, raise_js
from ..shims.js.numbers import from_js, is_bigint
from . import limits
from .database import Database
from .gate import InputGate

#: What begins a statement that only reads; anything else belongs to the turn's transaction.
_READS = re.compile(r"(select|pragma|explain|values)\b", re.IGNORECASE)
_TRANSACTION = re.compile(r"(begin|commit|end|rollback|savepoint|release)\b", re.IGNORECASE)
#: Blanks and comments.
_SPACE = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_TOKEN = re.compile(r'near "(.*)": syntax error|no such column: (\S+)|function: (\w+)', re.DOTALL)
_AT = re.compile(
    r'near ".*": syntax error|no such column: |no such function: |not authorized to use function: ', re.DOTALL
)

#: Pragmas that workerd lets through (src/workerd/util/sqlite.c++).
_PRAGMAS = frozenset(
    [
        "case_sensitive_like",
        "data_version",
        "defer_foreign_keys",
        "foreign_key_check",
        "foreign_key_list",
        "foreign_keys",
        "function_list",
        "ignore_check_constraints",
        "index_info",
        "index_list",
        "index_xinfo",
        "legacy_alter_table",
        "optimize",
        "quick_check",
        "recursive_triggers",
        "reverse_unordered_selects",
        "table_info",
        "table_list",
        "table_xinfo",
    ]
)
#: Functions that workerd refuses (the same file allows the others by name).
_NO_FUNCTIONS = frozenset(
    [
        "fts3_tokenizer",
        "load_extension",
        "sqlite_compileoption_get",
        "sqlite_compileoption_used",
        "sqlite_log",
        "sqlite_offset",
        "sqlite_source_id",
        "sqlite_version",
        "writefile",
        "readfile",
        "edit",
    ]
)
_TABLE_ACTIONS = frozenset(
    (
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_DROP_TABLE,
        sqlite3.SQLITE_DELETE,
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_CREATE_VIEW,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_VTABLE,
    )
)
_TEMPORARY = frozenset(
    (
        sqlite3.SQLITE_CREATE_TEMP_TABLE,
        sqlite3.SQLITE_CREATE_TEMP_INDEX,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_VIEW,
        sqlite3.SQLITE_ATTACH,
        sqlite3.SQLITE_DETACH,
    )
)


def authorizer(database: Database) -> Any:
    """What the user's statements may do. A reference to the database would keep its file open: the caller owns both."""

    def authorize(action: int, first: str | None, second: str | None, _schema: str | None, _by: str | None) -> int:
        if database.trusted:
            return sqlite3.SQLITE_OK
        if action in _TEMPORARY:
            return sqlite3.SQLITE_DENY
        if action in _TABLE_ACTIONS and (first or "").lower().startswith("_cf_"):
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() not in _PRAGMAS:
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _NO_FUNCTIONS:
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    return authorize


class SqlStorage(JsProxy):
    """`ctx.storage.sql`."""

    def __init__(self, database: Database, gate: InputGate) -> None:
        self._database = database
        self._gate = gate
        if database.authorize is None:
            database.authorize = authorizer(database)

    @property
    def databaseSize(self) -> int:
        """Bytes that the database takes."""
        return self._database.size

    def exec(self, query: Any = None, *bindings: Any) -> SqlCursor:
        """Run one or more statements, and return the cursor of the last. Raises JavaScript's errors."""
        self._gate.touch()
        statements = list(_statements(js_string(query)))
        if not statements:
            raise_js("Error", limits.NO_STATEMENT)
        for statement in statements[:-1]:
            self._run(statement, (), last=False)
        return self._run(statements[-1], tuple(_bound(unwrap(value)) for value in bindings), last=True)

    def _run(self, statement: str, values: tuple[Any, ...], *, last: bool) -> SqlCursor:
        database = self._database
        body = statement[_length_of_space(statement) :]
        if _TRANSACTION.match(body):
            raise_js("Error", limits.NO_TRANSACTIONS)
        connection = database.connection if _READS.match(body) else database.begin()
        before = connection.total_changes
        database.trusted = False
        try:
            cursor = connection.execute(statement, values)
            rows = cursor.fetchall()
        except sqlite3.ProgrammingError as error:
            if "binding" in str(error):
                raise_js("Error", limits.WRONG_BINDINGS if last else limits.BINDINGS_NOT_LAST)
            raise_js("Error", str(error))
        except (sqlite3.Error, sqlite3.Warning) as error:
            _fail(statement, error)
        finally:
            database.trusted = True
        names = [column[0] for column in cursor.description or ()]
        return SqlCursor.new(names, rows, connection.total_changes - before)


class SqlCursor(JsIterable):
    """What `exec` returns. Rows are taken from it once, by whichever way."""

    _js_name = "Cursor"

    def __init__(self, names: list[str], rows: list[tuple[Any, ...]], written: int) -> None:
        self._names = names
        self._count = len(rows)
        self._rows = iter(rows)
        self._written = written

    @property
    def columnNames(self) -> Array:
        return make_array(list(self._names))

    @property
    def rowsRead(self) -> int:
        return self._count

    @property
    def rowsWritten(self) -> int:
        return self._written

    def _objects(self) -> Iterator[Any]:
        names = self._names
        for row in self._rows:
            yield make_object({name: _value(value) for name, value in zip(names, row, strict=True)})

    def __iter__(self) -> Iterator[Any]:
        return self._objects()

    def next(self) -> Any:
        for value in self._objects():
            return make_object({"done": False, "value": value})
        return make_object({"done": True})

    def toArray(self) -> Array:
        return make_array(list(self._objects()))

    def one(self) -> Any:
        """The only row. Raises JavaScript's Error when there is none, or another."""
        rows = list(self._objects())
        if len(rows) != 1:
            raise_js("Error", limits.ONE_HAS_MANY if rows else limits.ONE_HAS_NONE)
        return rows[0]

    def raw(self) -> Any:
        """An iterator over the rows as arrays."""
        return RawIterator.new(make_array([_value(value) for value in row]) for row in self._rows)


class RawIterator(JsIterator):
    """`cursor.raw()`."""

    def toArray(self) -> Array:
        return make_array(list(self._source))


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; comments alone are none."""
    start, at = 0, 0
    while True:
        at = script.find(";", at)
        part = script[start:] if at < 0 else script[start : at + 1]
        if at >= 0 and not sqlite3.complete_statement(part):
            at += 1
            continue
        if part[_length_of_space(part) :].strip("; \t\r\n"):
            yield part
        if at < 0:
            return
        at += 1
        start = at


def _length_of_space(text: str) -> int:
    found = _SPACE.match(text)
    return found.end() if found else 0


def _bound(value: Any) -> Any:
    """A JavaScript value as SQLite stores it."""
    if value is None or value is jsnull:
        return None
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        if is_bigint(value):
            raise_js("TypeError", limits.NO_BIGINT)
        return float(value)
    if isinstance(value, (float, str)):
        return value
    if isinstance(value, (ArrayBuffer, BufferView)):
        return value.to_bytes()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return js_string(value)


def _value(value: Any) -> Any:
    """What SQLite stores as JavaScript has it."""
    if value is None:
        return jsnull
    if type(value) is int:
        return value if -(2**53) < value < 2**53 else from_js(float(value))
    if type(value) is float:
        return from_js(value)
    if type(value) is bytes:
        return make_buffer(value)
    return value


def _fail(statement: str, error: Exception) -> NoReturn:
    """Raise what workerd raises for an error of SQLite."""
    text = str(error)
    extended = getattr(error, "sqlite_errorname", None) or "SQLITE_ERROR"
    primary = "_".join(extended.split("_")[:2])
    if _AT.match(text):  # the errors for which SQLite knows the place, which Python does not ask for
        found = _TOKEN.search(text)
        token = next((part for part in (found.groups() if found else ()) if part), "")
        at = _offset(statement, token)
        if at is not None:
            text += f" at offset {at}"
    text += f": {primary}"
    if extended != primary:
        text += f" (extended: {extended})"
    raise js_error("Error", text) from None


def _offset(statement: str, token: str) -> int | None:
    """Where SQLite complains: the first place where the token stands by itself (bytes)."""
    name = token.rpartition(".")[2]
    for wanted in (token, name):
        found = re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", statement, re.IGNORECASE) if wanted else None
        if found is not None:
            return len(statement[: found.start()].encode())
    return None
