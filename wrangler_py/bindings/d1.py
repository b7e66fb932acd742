"""D1: one database, in one SQLite file.

The SQL is SQLite's own, within D1's limits. Every statement runs in a transaction; a list of them in one. Rules, texts and
`meta` are those of workerd with miniflare, measured; where that is laxer than D1's documented limits, those count.

The file is opened by this class only: another copy of the SQLite library in the same process (Python's `sqlite3`) would
drop its locks. Other processes may have it open at the same time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
from msgspec import Struct

from wrangler_py.bindings import d1_rules, limits
from wrangler_py.bindings.sql_statements import (
    is_blank,
    is_explained,
    only_reads,
    split_statements,
    without_transaction,
)

#: What a parameter or a value of a row may be. Integers beyond 2^53 come back as the floats that JavaScript sees.
Value = None | int | float | str | bytes
Rows = list[tuple[Value, ...]]

#: The largest integer that JavaScript's numbers hold for sure.
_EXACT = 2**53 - 1


class D1Error(Exception):
    """D1 refuses. The text is what follows `D1_ERROR: `."""


class D1Result(Struct, frozen=True):
    """What one statement gave. Of several in one text, what the last one gave."""

    columns: tuple[str, ...]
    rows: Rows
    meta: dict[str, Any]

    def objects(self) -> list[dict[str, Value]]:
        """The rows as objects; of two columns of one name the last one counts."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class _State(NamedTuple):
    """What a statement may change: rows changed so far, size in bytes, version of the schema."""

    changes: int
    size: int
    schema: int


class _Counts(Struct):
    rows_read: int = 0
    rows_written: int = 0


class D1Database:
    """A database. Used in the thread that made it."""

    def __init__(self, path: Path) -> None:
        """Raises apsw.Error and OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = connection = apsw.Connection(str(path))
        self._authorizer = d1_rules.Authorizer()
        self._steps = 0
        self._indexes: dict[str, list[set[str]]] = {}
        self._schema_version = -1
        self._opened: int | None = None
        try:
            connection.set_busy_timeout(limits.BUSY_TIMEOUT_MS)
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "trusted_schema = OFF"):
                connection.execute(f"PRAGMA {pragma}")
            self._page_size = self._pragma("page_size")
            d1_rules.set_limits(connection)
            connection.authorizer = self._authorizer
            connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, self._profiled, id="d1")
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    # Running ------------------------------------------------------------------------------------------------------

    def query(self, statements: Sequence[tuple[str, Sequence[Value]]]) -> list[D1Result]:
        """Run (SQL, parameters) one after the other in one transaction. Raises D1Error; then nothing was changed."""
        if len(statements) > 1:  # blank ones among others are passed over
            statements = [statement for statement in statements if not is_blank(statement[0])]
        if not statements:
            raise D1Error(d1_rules.NO_STATEMENTS)
        results = []
        with self._transaction([sql for sql, _ in statements]):
            state = self._state()
            for sql, parameters in statements:
                result, state = self._run(sql, parameters, state)
                results.append(result)
        return results

    def execute_script(self, sql: str, *more: tuple[str, Sequence[Value]]) -> list[D1Result]:
        """Run each statement of a text, and `more` behind them, in one transaction: for the command line. A transaction
        that the text itself begins and ends (as `sqlite3 .dump` writes it) is left out. Raises D1Error."""
        try:
            statements = without_transaction(list(split_statements(sql)))
        except ValueError:
            raise D1Error(d1_rules.SEVERAL_TRANSACTIONS) from None
        return self.query([*((statement, ()) for statement in statements), *more])

    def read(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Rows of a query of wpy's own, as SQLite has them, without D1's rules and limits. Raises apsw.Error."""
        with self._own_work():
            cursor = self._connection.execute(sql)
        while True:
            with self._own_work():
                row = next(cursor, None)
            if row is None:
                return
            yield row

    def size(self) -> int:
        """The size of the database in bytes."""
        with self._own_work():
            return self._pragma("page_count") * self._page_size

    def dump(self) -> bytes:
        """The database as one SQLite file."""
        with self._own_work():
            return bytes(self._connection.serialize("main"))

    def bookmark(self) -> str:
        """Where the database stands, in the form of D1's bookmarks: a later one sorts behind an earlier one."""
        with self._own_work():
            if self._opened is None:  # counts the processes that gave bookmarks out, so that they never go back
                self._connection.execute("BEGIN IMMEDIATE")
                self._opened = self._pragma("user_version") + 1
                self._connection.execute(f"PRAGMA user_version = {self._opened}")
                self._connection.execute("COMMIT")
            changes = self._connection.total_changes()
            seen = self._pragma("data_version")
        return f"{self._opened & 0xFFFFFFFF:08x}-{changes & 0xFFFFFFFF:08x}-{seen & 0xFFFFFFFF:08x}-{'0' * 32}"

    def _run(self, sql: str, parameters: Sequence[Value], before: _State) -> tuple[D1Result, _State]:
        if is_blank(sql):
            raise D1Error(d1_rules.NO_STATEMENTS)
        sql = _unicode(sql)
        if len(sql.encode("utf-8", "surrogatepass")) > limits.D1_MAX_SQL_BYTES:
            raise D1Error(d1_rules.TOO_LONG)
        started = time.perf_counter()
        counts = _Counts()
        columns: tuple[str, ...] = ()
        rows: Rows = []
        parts = list(split_statements(sql))
        if not parts:
            raise D1Error(d1_rules.ONLY_COMMENTS)
        for i, part in enumerate(parts):
            columns, rows = self._run_one(part, parameters if i == len(parts) - 1 else (), counts)
        after = self._state()
        meta = {
            "served_by": "wpy",
            "duration": round((time.perf_counter() - started) * 1000, 3),
            "changes": after.changes - before.changes,
            "last_row_id": self._connection.last_insert_rowid(),
            "changed_db": after != before,
            "size_after": after.size,
            "rows_read": counts.rows_read,
            "rows_written": counts.rows_written,
        }
        return D1Result(columns, rows, meta), after

    def _run_one(self, sql: str, parameters: Sequence[Value], counts: _Counts) -> tuple[tuple[str, ...], Rows]:
        self._authorizer.begin()
        self._steps = 0
        before = self._connection.total_changes()
        cursor = self._connection.cursor()
        columns: tuple[str, ...] = ()

        def started(cursor: Any, _sql: str, _bindings: Any) -> bool:
            nonlocal columns
            columns = tuple(name for name, _ in cursor.get_description()) if cursor.has_vdbe else ()
            return True

        cursor.exec_trace = started
        try:
            rows = [
                tuple(_out(value) for value in row)
                for row in cursor.execute(sql, tuple(map(_in, parameters)), can_cache=False)
            ]
        except apsw.BindingsError:
            raise D1Error(d1_rules.WRONG_PARAMETERS) from None
        except apsw.Error as error:
            raise D1Error(self._refusal(error, sql)) from error
        changed = self._connection.total_changes() - before
        if (self._authorizer.reads or self._authorizer.finds) and not is_explained(sql):
            # SQLite counts the steps of full scans. What an index finds is counted by what comes out.
            found = max(len(rows), changed if self._authorizer.finds else 0)
            counts.rows_read += max(found, self._steps + 1 if self._steps else 0)
        counts.rows_written += changed * (1 + self._indexes_written()) if changed else 0
        return columns, rows

    def _refusal(self, error: apsw.Error, sql: str) -> str:
        if self._authorizer.transaction:
            return d1_rules.TRANSACTION
        if isinstance(error, apsw.AuthError) and not str(error).startswith("access to"):
            return d1_rules.NOT_AUTHORIZED
        return d1_rules.error_text(error)

    @contextmanager
    def _transaction(self, statements: Sequence[str]) -> Iterator[None]:
        """Everything or nothing. What may write takes its turn at once: to become a writer later can fail."""
        reading = all(only_reads(part) for sql in statements for part in split_statements(sql))
        with self._own_work():
            self._connection.execute("BEGIN" if reading else "BEGIN IMMEDIATE")
        try:
            yield
            with self._own_work():
                self._connection.execute("COMMIT")
        except BaseException as error:
            with self._own_work():
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            if isinstance(error, apsw.Error):  # a deferred constraint
                raise D1Error(d1_rules.error_text(error)) from error
            raise

    # Counting -----------------------------------------------------------------------------------------------------

    def _state(self) -> _State:
        with self._own_work():
            size = self._pragma("page_count") * self._page_size
            state = _State(self._connection.total_changes(), size, self._pragma("schema_version"))
        if state.schema != self._schema_version:
            self._schema_version = state.schema
            self._indexes.clear()
        return state

    def _pragma(self, name: str) -> int:
        return int(self._connection.pragma(name))

    def _profiled(self, event: dict[str, Any]) -> None:
        self._steps = max(self._steps, event["stmt_status"].get("SQLITE_STMTSTATUS_FULLSCAN_STEP", 0))

    def _indexes_written(self) -> int:
        """How many indexes a row of the last statement was written to as well (Cloudflare bills them as rows)."""
        written = 0
        tables = {table for table, column in self._authorizer.written}
        if len(tables) != 1:
            return 0
        [table] = tables
        columns = {column for _, column in self._authorizer.written}
        for indexed in self._indexes_of(table):
            written += None in columns or bool(indexed & columns)
        return written

    def _indexes_of(self, table: str) -> list[set[str]]:
        if table not in self._indexes:
            with self._own_work():
                quoted = table.replace("'", "''")
                names = [row[1] for row in self._connection.execute(f"PRAGMA index_list('{quoted}')")]
                self._indexes[table] = [
                    {
                        str(row[2])
                        for row in self._connection.execute("PRAGMA index_info('{}')".format(name.replace("'", "''")))
                    }
                    for name in map(str, names)
                ]
        return self._indexes[table]

    @contextmanager
    def _own_work(self) -> Iterator[None]:
        """What wpy itself runs is not held to D1's rules, nor counted."""
        steps, self._authorizer.on = self._steps, False
        try:
            yield
        finally:
            self._steps, self._authorizer.on = steps, True


def _in(value: Value) -> Value:
    """A parameter as workerd binds it: every number as REAL (so 1 in a TEXT column is "1.0", as on Cloudflare)."""
    if isinstance(value, bool | int):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _unicode(value) if isinstance(value, str) else value


def _unicode(text: str) -> str:
    """Text as SQLite can hold it: each byte of what is no Unicode (a lone surrogate) becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _out(value: Value) -> Value:
    """A value as JavaScript sees it."""
    if isinstance(value, int) and not -_EXACT <= value <= _EXACT:
        return float(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        if value.is_integer() and abs(value) <= _EXACT:
            return int(value)
    return value
