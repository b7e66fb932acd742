"""A D1 database as SQL text, in the form of `wrangler d1 export`."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from wrangler_py.bindings.d1 import D1Database

_TABLES = """
SELECT name, sql FROM sqlite_schema
WHERE type = 'table' AND sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'
ORDER BY rowid
"""
#: Tables that belong to a virtual one are made with it.
_SHADOWS = "SELECT name FROM pragma_table_list WHERE type = 'shadow'"
_OTHERS = """
SELECT tbl_name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL
ORDER BY CASE type WHEN 'index' THEN 0 WHEN 'trigger' THEN 1 ELSE 2 END, rowid
"""
_HAS_SEQUENCE = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"


def export_sql(
    database: D1Database, *, tables: Collection[str] = (), schema: bool = True, data: bool = True
) -> Iterator[str]:
    """The lines of an export; of `tables` only, when there are any. Raises apsw.Error."""
    yield "PRAGMA defer_foreign_keys=TRUE;"
    shadows = {str(name) for (name,) in database.read(_SHADOWS)}
    found = [(str(name), str(sql)) for name, sql in database.read(_TABLES) if name not in shadows]
    for name, sql in found:
        if tables and name not in tables:
            continue
        if schema:
            yield f"{sql};"
        if data:
            yield from _rows(database, name)
    if data and not tables and list(database.read(_HAS_SEQUENCE)):
        if schema:
            yield "DELETE FROM sqlite_sequence;"
        yield from _rows(database, "sqlite_sequence")
    if schema:
        for table, sql in database.read(_OTHERS):
            if not tables or table in tables:
                yield f"{sql};"


def _rows(database: D1Database, table: str) -> Iterator[str]:
    quoted = _quote(table)
    columns = [str(row[1]) for row in database.read(f"PRAGMA table_info({quoted})")]
    if not columns:
        return
    # SQLite writes each value as SQL: nothing is lost of numbers and blobs.
    values = " || ',' || ".join(f"quote({_quote(column)})" for column in columns)
    for (line,) in database.read(f"SELECT {values} FROM {quoted}"):
        yield f"INSERT INTO {quoted} VALUES({line});"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
