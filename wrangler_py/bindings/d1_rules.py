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
_VIRTUAL_TABLES = ("fts5", "fts5vocab")
#: Functions that D1 refuses. (`load_extension` refuses by itself; what ALTER TABLE calls inside begins with sqlite_ too.)
_FUNCTIONS_REFUSED = frozenset(
    [
        "fts3_tokenizer",
        "fts5_source_id",
        "sqlite_compileoption_get",
        "sqlite_compileoption_used",
        "sqlite_log",
        "sqlite_source_id",
        "sqlite_version",
        "subtype",
    ]
)
#: Functions that this SQLite has and D1's has not.
_FUNCTIONS_UNKNOWN = frozenset(
    [
        "carray",
        "fts5_get_locale",
        "fts5_insttoken",
        "fts5_locale",
        "if",
        "matchinfo",
        "median",
        "offsets",
        "optimize",
        "percentile",
        "percentile_cont",
        "percentile_disc",
        "rtreecheck",
        "rtreedepth",
        "rtreenode",
        "soundex",
        "sqlite_offset",
        "unistr",
        "unistr_quote",
    ]
)
_UNKNOWN_PREFIX = "geopoly_"
_REFUSED_TEXT = "not authorized to use function: "
#: Tables that this SQLite has and D1's has not.
_TABLES_REFUSED = frozenset(("bytecode", "dbstat", "sqlite_dbpage", "sqlite_stmt", "tables_used"))
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

TOO_LONG = "statement too long: SQLITE_TOOBIG"
NOT_AUTHORIZED = "not authorized: SQLITE_AUTH"
NO_STATEMENTS = "No SQL statements detected."
ONLY_COMMENTS = "SQL code did not contain a statement."
WRONG_PARAMETERS = "Wrong number of parameter bindings for SQL query."
TRANSACTION = (
    "To execute a transaction, please use the state.storage.transaction() or state.storage.transactionSync() APIs "
    "instead of the SQL BEGIN TRANSACTION or SAVEPOINT statements. The JavaScript API is safer because it will "
    "automatically roll back on exceptions, and because it interacts correctly with Durable Objects' automatic atomic "
    "write coalescing."
)
#: wrangler, `d1 execute` and `d1 migrations apply`
SEVERAL_TRANSACTIONS = (
    "The SQL could not be processed, as it contains several transactions.\n"
    "D1 runs your SQL in a transaction for you.\n"
    "Please export an SQL file from your SQLite database and try again."
)


class Authorizer:
    """SQLite asks it while a statement is prepared."""

    def __init__(self) -> None:
        #: Off for what wpy itself runs.
        self.on = True
        #: Set when a statement was refused for beginning or ending a transaction.
        self.transaction = False
        #: (table, column or None) that the statement writes to; for counting.
        self.written: set[tuple[str, str | None]] = set()
        #: Whether the statement reads a table; whether it changes or deletes rows, which it has to find first.
        self.reads = self.finds = False

    def begin(self) -> None:
        """A new statement is going to be prepared."""
        self.transaction = self.reads = self.finds = False
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
            return apsw.SQLITE_DENY if name in _FUNCTIONS_REFUSED or _is_unknown(name) else apsw.SQLITE_OK
        if action == apsw.SQLITE_CREATE_VTABLE and (second or "").lower() not in _VIRTUAL_TABLES:
            return apsw.SQLITE_DENY
        name = (first or "").lower()
        if action in _NAMED and (name.startswith(_RESERVED_PREFIX) or name in _TABLES_REFUSED):
            return apsw.SQLITE_DENY
        if action == apsw.SQLITE_READ:
            self.reads = True
        elif action == apsw.SQLITE_INSERT and first:
            self.written.add((first, None))
        elif action == apsw.SQLITE_UPDATE and first:
            self.written.add((first, second or ""))
            self.finds = True
        elif action == apsw.SQLITE_DELETE:
            self.finds = True
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
        (apsw.SQLITE_LIMIT_EXPR_DEPTH, limits.D1_MAX_EXPRESSION_DEPTH),
        (apsw.SQLITE_LIMIT_COMPOUND_SELECT, limits.D1_MAX_COMPOUND_SELECT),
        (apsw.SQLITE_LIMIT_ATTACHED, 0),
    ):
        connection.limit(limit, value)


def _is_unknown(function: str) -> bool:
    return function in _FUNCTIONS_UNKNOWN or function.startswith(_UNKNOWN_PREFIX)


def error_text(error: apsw.Error) -> str:
    """SQLite's message as D1 gives it, with the place in the SQL where there is one and the name of the code."""
    text = str(error)
    if text.startswith(_REFUSED_TEXT) and _is_unknown(name := text.removeprefix(_REFUSED_TEXT)):
        text = f"no such function: {name}"
    offset = getattr(error, "error_offset", -1)
    if isinstance(offset, int) and offset >= 0:
        text += f" at offset {offset}"
    code = getattr(error, "result", None)
    extended = getattr(error, "extendedresult", None)
    symbol = apsw.mapping_result_codes.get(code) if isinstance(code, int) else None
    if symbol is None:
        return text
    text += f": {symbol}"
    if isinstance(extended, int) and extended != code and (more := apsw.mapping_extended_result_codes.get(extended)):
        text += f" (extended: {more})"
    return text
