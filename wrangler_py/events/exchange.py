"""The record as JSON lines: to be sent with a report of a bug, and looked at elsewhere.

The first line says what it is; each of the others is one row of one table: {"event": {...}}, {"message": {...}}, {"run": {...}}.
Bytes are {"base64": "..."}.
"""

from __future__ import annotations

import base64
import binascii
import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

FORMAT = {"wpy": "events", "version": 1}
_TABLES = {"event": "event", "message": "item", "run": "run"}
#: Columns that number the rows of one record, and mean nothing in another.
_OWN = {"event": "seq", "item": "n", "run": "n"}
#: By what the rows of a table are picked for a moment from which on they are wanted.
_TIMES = {"event": "at_ms", "item": "sent_ms", "run": "started_ms"}
#: What is there already stays as it is.
_ONCE = {"event": "", "item": "ON CONFLICT (id) DO NOTHING", "run": "ON CONFLICT (span) DO NOTHING"}
#: Rows written in one transaction.
_CHUNK = 1_000


class NotAnExport(Exception):
    """The lines are not what `export_lines` has written; the text says which line and why."""


def export_lines(connection: sqlite3.Connection, since_ms: int | None) -> Iterator[str]:
    """The record, or what of it began since a moment."""
    yield json.dumps(FORMAT)
    for name, table in _TABLES.items():
        order = _OWN[table]
        cursor = connection.execute(
            f"SELECT * FROM {table} WHERE {_TIMES[table]} >= ? ORDER BY {order}",
            (-(1 << 62) if since_ms is None else since_ms,),
        )
        columns = [column[0] for column in cursor.description]
        for row in cursor:
            shown = {c: _out(v) for c, v in zip(columns, row, strict=True) if c != order and v is not None}
            yield json.dumps({name: shown})


def import_lines(connection: sqlite3.Connection, lines: Iterable[str]) -> dict[str, int]:
    """Add an export to a record. What is there already stays as it is. Returns how many rows of each kind came in. Raises
    NotAnExport; what stood before the line at fault is in."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    first = next(numbered, None)
    if first is None or _parsed(*first) != FORMAT:
        raise NotAnExport("line 1 is not that of `wpy events export`, or of another version of it")
    columns = {
        name: {row[1] for row in connection.execute(f"PRAGMA table_info({table})")} - {_OWN[table]}
        for name, table in _TABLES.items()
    }
    counts = dict.fromkeys(_TABLES, 0)
    open_rows = 0
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number, line in numbered:
            value = _parsed(number, line)
            name = next(iter(value), "") if isinstance(value, dict) and len(value) == 1 else ""
            row = value[name] if name in _TABLES else None
            if not isinstance(row, dict) or not row or not set(row) <= columns[name]:
                raise NotAnExport(f"line {number} is no row of an event, a message or a run")
            counts[name] += _add(connection, number, _TABLES[name], row)
            open_rows += 1
            if open_rows % _CHUNK == 0:
                connection.execute("COMMIT")
                connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("COMMIT")
        raise
    return counts


def _add(connection: sqlite3.Connection, number: int, table: str, row: dict[str, Any]) -> int:
    marks = ", ".join("?" * len(row))
    try:
        values = [_in(value) for value in row.values()]
        if table == "event" and connection.execute(*_same(row, values)).fetchone() is not None:
            return 0
        sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks}) {_ONCE[table]}"
        return connection.execute(sql, values).rowcount
    except (
        sqlite3.IntegrityError,
        sqlite3.InterfaceError,
        sqlite3.ProgrammingError,
        OverflowError,
        binascii.Error,
    ) as error:
        raise NotAnExport(f"line {number}: {error}") from error


def _same(row: dict[str, Any], values: list[Any]) -> tuple[str, list[Any]]:
    """Whether that very event is there already."""
    return "SELECT 1 FROM event WHERE " + " AND ".join(f"{column} = ?" for column in row), values


def _out(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _in(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value.get("base64", ""), validate=True)
    return value


def _parsed(number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NotAnExport(f"line {number} is not JSON: {error}") from error
