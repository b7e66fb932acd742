"""What SQL may do in D1: workerd's authorizer and limits (src/workerd/util/sqlite.c++), and the texts of its refusals.

Checked statement by statement against workerd 1.20260426.
"""

from __future__ import annotations

import apsw

from wrangler_py.bindings import limits

#: PRAGMAs that may be read and set.
_PRAGMAS = {
    "case_sensitive_like",
    "data_version",
    "defer_foreign_keys",
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
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
}
#: Table-valued forms of those.
_VIRTUAL_TABLES = ("fts5", "fts5vocab")
_FUNCTIONS_REFUSED = {"fts3_tokenizer", "load_extension", "writefile", "readfile", "edit"}
_RESERVED_PREFIX = "_cf_"

_TEMPORARY = {
    apsw.SQLITE_CREATE_TEMP_INDEX,
    apsw.SQLITE_CREATE_TEMP_TABLE,
    apsw.SQLITE_CREATE_TEMP_TRIGGER,
    apsw.SQLITE_CREATE_TEMP_VIEW,
    apsw.SQLITE_DROP_TEMP_INDEX,
    apsw.SQLITE_DROP_TEMP_TABLE,
    apsw.SQLITE_DROP_TEMP_TRIGGER,
    apsw.SQLITE_DROP_TEMP_VIEW,
}
_NAMED = {  # actions whose first argument is the name of something in the schema
    apsw.SQLITE_CREATE_INDEX,
    apsw.SQLITE_CREATE_TABLE,
    apsw.SQLITE_CREATE_TRIGGER,
    apsw.SQLITE_CREATE_VIEW,
    apsw.SQLITE_CREATE_VTABLE,
    apsw.SQLITE_DROP_INDEX,
    apsw.SQLITE_DROP_TABLE,
    apsw.SQLITE_DROP_TRIGGER,
    apsw.SQLITE_DROP_VIEW,
    apsw.SQLITE_DROP_VTABLE,
    apsw.SQLITE_DELETE,
    apsw.SQLITE_INSERT,
    apsw.SQLITE_READ,
    apsw.SQLITE_UPDATE,
}

NO_STATEMENTS = "No SQL statements detected."
ONLY_COMMENTS = "SQL code did not contain a statement."
WRONG_PARAMETERS = "Wrong number of parameter bindings for SQL query."
TRANSACTION = (
    "To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() APIs "
    "instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. The JavaScript API is safer because it will "
    "automatically roll back on exceptions, and because it interacts correctly with Durable Objects' automatic atomic "
    "write coalescing."
)
VACUUM = "cannot VACUUM from within a transaction: SQLITE_ERROR"


class Authorizer:
    """SQLite asks it while a statement is prepared."""

    def __init__(self) -> None:
        #: Off for what wpy itself runs.
        self.on = True
        #: Set when a statement was refused for beginning or ending a transaction.
        self.transaction = False
        #: (table, column or None) that the statement writes to; for counting.
        self.written: set[tuple[str, str | None]] = set()
        #: Whether the statement reads a table.
        self.reads = False

    def begin(self) -> None:
        """A new statement is going to be prepared."""
        self.transaction = self.reads = False
        self.written = set()

    def __call__(
        self, action: int, first: str | None, second: str | None, _database: str | None, _cause: str | None
    ) -> int:
        if not self.on:
            return apsw.SQLITE_OK
        if action in (apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT):
            self.transaction = True
            return apsw.SQLITE_DENY
        if action in (apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH) or action in _TEMPORARY:
            return apsw.SQLITE_DENY
        if action == apsw.SQLITE_PRAGMA:
            return apsw.SQLITE_OK if (first or "").lower() in _PRAGMAS else apsw.SQLITE_DENY
        if action == apsw.SQLITE_FUNCTION:
            name = (second or "").lower()
            return apsw.SQLITE_DENY if name in _FUNCTIONS_REFUSED or name.startswith("sqlite_") else apsw.SQLITE_OK
        if action == apsw.SQLITE_CREATE_VTABLE and (second or "").lower() not in _VIRTUAL_TABLES:
            return apsw.SQLITE_DENY
        if action in _NAMED and (first or "").lower().startswith(_RESERVED_PREFIX):
            return apsw.SQLITE_DENY
        if action == apsw.SQLITE_READ:
            self.reads = True
        elif action == apsw.SQLITE_INSERT and first:
            self.written.add((first, None))
        elif action == apsw.SQLITE_UPDATE and first:
            self.written.add((first, second or ""))
        return apsw.SQLITE_OK


def set_limits(connection: apsw.Connection) -> None:
    """Bind a connection to D1's limits."""
    for limit, value in (
        (apsw.SQLITE_LIMIT_VARIABLE_NUMBER, limits.D1_MAX_PARAMETERS),
        (apsw.SQLITE_LIMIT_SQL_LENGTH, limits.D1_MAX_SQL_BYTES),
        (apsw.SQLITE_LIMIT_LENGTH, limits.D1_MAX_VALUE_BYTES),
        (apsw.SQLITE_LIMIT_COLUMN, limits.D1_MAX_COLUMNS),
        (apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, limits.D1_MAX_PATTERN_BYTES),
        (apsw.SQLITE_LIMIT_FUNCTION_ARG, limits.D1_MAX_FUNCTION_ARGUMENTS),
        (apsw.SQLITE_LIMIT_COMPOUND_SELECT, limits.D1_MAX_COMPOUND_SELECT),
        (apsw.SQLITE_LIMIT_ATTACHED, 0),
    ):
        connection.limit(limit, value)


def error_text(error: apsw.Error) -> str:
    """SQLite's message as D1 gives it, with the place in the SQL where there is one and the name of the code."""
    text = str(error)
    offset = getattr(error, "error_offset", -1)
    if isinstance(offset, int) and offset >= 0:
        text += f" at offset {offset}"
    code = getattr(error, "result", None)
    extended = getattr(error, "extendedresult", None)
    name = apsw.mapping_result_codes.get(code) if isinstance(code, int) else None
    if name is None:
        return text
    text += f": {name}"
    if isinstance(extended, int) and extended != code and (more := apsw.mapping_extended_result_codes.get(extended)):
        text += f" (extended: {more})"
    return text
