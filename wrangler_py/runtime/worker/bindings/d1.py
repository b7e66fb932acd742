"""`env.<D1>`: a D1 database. The rules are those of workerd's d1-api.ts, the texts measured."""

from __future__ import annotations

from typing import Any

from ..shims.js.arrays import Array, make_array
from ..shims.js.buffers import ArrayBuffer, BufferView, make_buffer
from ..shims.js.convert import js_string, js_typeof
from ..shims.js.core import JsException, js_error, jsnull, make_object, option
from ..shims.js.numbers import is_bigint
from .common import Binding, Caller, js_method, missing

#: One result of the server: columns, rows, meta.
_Result = tuple[tuple[str, ...], list[tuple[Any, ...]], dict[str, Any]]


def make(name: str, _spec: dict[str, Any], call: Caller) -> Any:
    """The object of a database."""
    return D1Database._make(name, call)


class _Queries(Binding):
    """A database or a session with it."""

    #: Whether bookmarks are asked for.
    _in_session = False

    @js_method
    def prepare(self, sql: Any = None) -> Any:
        """A statement, whose parameters are bound with `bind`."""
        return D1PreparedStatement._make(self, sql, ())

    @js_method
    async def batch(self, statements: Any = None) -> Any:
        """Run statements one after the other in one transaction; their results."""
        if not isinstance(statements, Array):
            raise js_error("TypeError", "statements.map is not a function")
        pairs = []
        for statement in statements._items:
            if not isinstance(statement, D1PreparedStatement):
                raise _error("D1_ERROR", "batch() takes statements that prepare() made")
            pairs.append(statement._pair())
        return make_array([_all(result) for result in await self._run("D1_ERROR", pairs)])

    async def _run(self, kind: str, pairs: list[tuple[str, tuple[Any, ...]]]) -> list[_Result]:
        try:
            results, bookmark = await self._ask("query", pairs, self._in_session)
        except JsException as error:
            raise _error(kind, error.message) from None
        self._ran(bookmark)
        return results

    def _ran(self, bookmark: str | None) -> None:
        """A query ended at this bookmark."""


class D1Database(_Queries):
    _js_name = "D1Database"

    @js_method
    async def exec(self, sql: Any = None) -> Any:
        """Run each line as a statement, all in one transaction: {count, duration}."""
        if not isinstance(sql, str):
            raise js_error(
                "TypeError",
                "Cannot read properties of undefined (reading 'trim')"
                if sql is None
                else "query.trim is not a function",
            )
        # workerd drops blank lines, and says "line 1" whichever line it was.
        lines = [line for line in sql.strip().split("\n") if line.strip()] or [""]
        try:
            results = await self._run("", [(line, ()) for line in lines])
        except JsException as error:
            raise _error("D1_EXEC_ERROR", f"Error in line 1: {lines[0]}: {error.message}") from None
        duration = sum(meta["duration"] for _, _, meta in results)
        return make_object({"count": len(results), "duration": duration})

    @js_method
    def withSession(self, constraint: Any = None) -> Any:
        """A session: its reads see its own writes, wherever they run. `constraint`: "first-primary" or "first-unconstrained",
        or a bookmark."""
        return D1DatabaseSession._make(self._name, self._send, None if missing(constraint) else js_string(constraint))

    @js_method
    async def dump(self) -> Any:
        """The whole database as an SQLite file (an ArrayBuffer)."""
        return make_buffer(await self._ask("dump"))


class D1DatabaseSession(_Queries):
    _js_name = "D1DatabaseSession"
    _in_session = True

    def __init__(self, name: str, call: Caller, constraint: str | None) -> None:
        super().__init__(name, call)
        named = constraint in (None, "", "first-primary", "first-unconstrained")
        self._bookmark = None if named else constraint

    @js_method
    def getBookmark(self) -> Any:
        """Where the session stands, for another one to begin there; null before its first query."""
        return jsnull if self._bookmark is None else self._bookmark

    def _ran(self, bookmark: str | None) -> None:
        if bookmark is not None and (self._bookmark is None or bookmark > self._bookmark):
            self._bookmark = bookmark


class D1PreparedStatement(Binding):
    _js_name = "D1PreparedStatement"

    def __init__(self, database: _Queries, sql: Any, parameters: tuple[Any, ...]) -> None:
        super().__init__(database._name, database._send)
        self._database = database
        self._sql = sql
        self._parameters = parameters

    @js_method
    def bind(self, *values: Any) -> Any:
        """The statement with these parameters. Raises D1_TYPE_ERROR for a value that SQL cannot hold."""
        return D1PreparedStatement._make(self._database, self._sql, tuple(map(_parameter, values)))

    @js_method
    async def all(self) -> Any:
        """{success, meta, results}, the rows as objects."""
        return _all(await self._one())

    run = all

    @js_method
    async def first(self, column: Any = None) -> Any:
        """The first row as an object, or the value of one of its columns; null when there is no row."""
        columns, rows, _ = await self._one()
        if not rows:
            return jsnull
        row = _row(columns, rows[0])
        if column is None:
            return make_object(row)
        name = js_string(column)
        if name not in row:
            error = js_error("Error", f"D1_COLUMN_NOTFOUND: Column not found ({name})")
            error.cause = js_error("Error", "Column not found")  # type: ignore[attr-defined]
            raise error
        return row[name]

    @js_method
    async def raw(self, options: Any = None) -> Any:
        """The rows as arrays; with `columnNames` the first one holds the names."""
        columns, rows, _ = await self._one()
        made = [make_array(list(map(_value, row))) for row in rows]
        if option(options, "columnNames") is True:
            made.insert(0, make_array(list(columns)))
        return make_array(made)

    async def _one(self) -> _Result:
        [result] = await self._database._run("D1_ERROR", [self._pair()])
        return result

    def _pair(self) -> tuple[str, tuple[Any, ...]]:
        if not isinstance(self._sql, str):
            raise _error("D1_ERROR", f"prepare() takes SQL as text, and was given {js_typeof(self._sql)}")
        return self._sql, self._parameters


def _error(kind: str, message: str) -> JsException:
    """An error of D1, with its cause, as d1-api.ts makes them."""
    error = js_error("Error", f"{kind}: {message}" if kind else message)
    if kind:
        error.cause = js_error("Error", message)  # type: ignore[attr-defined]
    return error


def _parameter(value: Any) -> Any:
    """What is sent for a parameter: None, a number, text or bytes."""
    if value is jsnull:
        return None
    if isinstance(value, (str, float)) or (isinstance(value, int) and not is_bigint(value)):
        return value
    if isinstance(value, ArrayBuffer):
        return value.to_bytes()
    if isinstance(value, BufferView):
        return _bytes(list(value)) if hasattr(value, "__iter__") else value.to_bytes()
    if isinstance(value, Array):
        return _bytes(value._items)
    raise _type_error(js_typeof(value), js_string(value))


def _bytes(items: Any) -> bytes:
    """A list of numbers as a blob; each item of a typed array becomes one byte as well."""
    for item in items:
        if not isinstance(item, (int, float)) or not 0 <= item < 256:
            raise _type_error("object", ",".join(map(js_string, items)))
    return bytes(map(int, items))


def _type_error(kind: str, shown: str) -> JsException:
    return _error("D1_TYPE_ERROR", f"Type '{kind}' not supported for value '{shown}'")


def _value(value: Any) -> Any:
    """A value of a row: blobs are arrays of numbers."""
    if value is None:
        return jsnull
    return make_array(list(value)) if isinstance(value, bytes) else value


def _row(columns: tuple[str, ...], row: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(columns, map(_value, row), strict=True))


def _all(result: _Result) -> Any:
    columns, rows, meta = result
    return make_object(
        {
            "success": True,
            "meta": make_object(dict(meta)),
            "results": make_array([make_object(_row(columns, row)) for row in rows]),
        }
    )
