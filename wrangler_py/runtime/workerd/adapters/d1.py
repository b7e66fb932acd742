"""`env.<D1>` of a JavaScript Worker: the requests of workerd's `cloudflare-internal:d1-api`, and the session's databases.

Protocol: workerd's src/cloudflare/internal/d1-api.ts, and what workerd 1.20260426.1 was seen to send.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from wrangler_py.bindings.d1 import D1Database, D1Error, D1Result, Value
from wrangler_py.bindings.storage import BindingStorage
from wrangler_py.runtime.workerd.loopback import Call

_JSON = ("content-type", "application/json")
#: Where a session of `withSession()` learns how far it has come.
_BOOKMARK = "x-cf-d1-session-commit-token"


class D1Adapter:
    """Answers the requests of all D1 bindings."""

    def __init__(self, storage: BindingStorage) -> None:
        self._storage = storage

    async def __call__(self, call: Call) -> None:
        """Handler (loopback.py)."""
        path, _, query = call.target.partition("?")
        database = self._storage.d1(call.resource)
        if path == "/dump":
            call.answer(200, await database(D1Database.dump), (("content-type", "application/octet-stream"),))
            return
        if path not in ("/query", "/execute"):
            call.answer(404, f"wpy: D1 has no {call.method} {path}".encode())
            return
        asked = json.loads(await call.body())
        if not all(
            isinstance(entry, dict) and "sql" in entry for entry in (asked if isinstance(asked, list) else [asked])
        ):
            call.answer(400, b'{"success": false, "error": "a statement has no sql"}', (_JSON,))
            return
        form = parse_qs(query).get("resultsFormat", ["ARRAY_OF_OBJECTS"])[-1]
        statements = [
            (entry["sql"], [_parameter(value) for value in entry.get("params") or ()])
            for entry in (asked if isinstance(asked, list) else [asked])
        ]
        try:
            results, bookmark = await database(_query, statements)
        except D1Error as error:
            call.answer(500, json.dumps({"success": False, "error": str(error)}).encode(), (_JSON,))
            return
        answer = [{"success": True, "results": _rows(result, form), "meta": result.meta} for result in results]
        call.answer(200, json.dumps(answer, default=_blob).encode(), (_JSON, (_BOOKMARK, bookmark)))


def _query(database: D1Database, statements: list[tuple[str, list[Value]]]) -> tuple[list[D1Result], str]:
    return database.query(statements), database.bookmark()


def _parameter(value: Any) -> Value:
    """A blob comes as an array of numbers."""
    return bytes(value) if isinstance(value, list) else value


def _rows(result: D1Result, form: str) -> Any:
    if form == "ROWS_AND_COLUMNS":
        return {"columns": list(result.columns), "rows": [list(row) for row in result.rows]}
    return result.objects()


def _blob(value: object) -> list[int]:
    if isinstance(value, bytes):
        return list(value)
    raise TypeError(f"D1 has no {type(value).__name__}")
