"""Routes a request to its handler, checks it, and turns what went wrong into an answer."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from wrangler_py.queues.limits import Refusal
from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api import (
    batches,
    crons,
    faults,
    message_actions,
    messages,
    overview,
    prometheus,
    queues,
    record,
    state,
)
from wrangler_py.server.dashboard_api.call import Call, Route
from wrangler_py.server.dashboard_api.openapi import document
from wrangler_py.server.dashboard_api.reader import Reader, waited_s
from wrangler_py.server.dashboard_api.session_view import SessionView
from wrangler_py.server.dashboard_api.stream import Stream
from wrangler_py.store.database import StateError

ROUTES: tuple[Route, ...] = (
    *overview.ROUTES,
    *queues.ROUTES,
    *messages.ROUTES,
    *message_actions.ROUTES,
    *batches.ROUTES,
    *crons.ROUTES,
    *record.ROUTES,
    *state.ROUTES,
    *faults.ROUTES,
)


class App:
    """The API of one session."""

    def __init__(self, session: SessionView) -> None:
        self.session = session
        self.reader = Reader(session)
        self.stream = Stream(session, self.reader)
        self._routes = [(route, _pattern(route.path)) for route in ROUTES]

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """The route of a path after the prefix, and what its variable parts are; None when there is none."""
        best: tuple[Route, Mapping[str, str]] | None = None
        for route, pattern in self._routes:
            found = pattern.fullmatch(path)
            if found is not None and route.method == method:
                parts = {name: unquote(value) for name, value in found.groupdict().items()}
                if not parts:
                    return route, parts  # "crons/runs" before "crons/{name}"
                best = best or (route, parts)
        return best

    async def answer(
        self, route: Route, path: Mapping[str, str], query_string: bytes, body: dict[str, Any]
    ) -> tuple[int, Any, float]:
        """Carry a call out. Returns the status, the answer, and how long it was worked on (seconds), not counting what it waited
        for the record."""
        began, waited = time.perf_counter(), waited_s.get()
        status, answer = await self._answer(route, path, query_string, body)
        return status, answer, time.perf_counter() - began - (waited_s.get() - waited)

    async def _answer(
        self, route: Route, path: Mapping[str, str], query_string: bytes, body: dict[str, Any]
    ) -> tuple[int, Any]:
        try:
            return 200, await route.handler(self.call(path, query_string, body))
        except CallError as error:
            return error.status, {"error": error.text}
        except Refusal as error:
            return error.status, {"error": str(error)}
        except StateError as error:
            return 500, {"error": str(error)}
        except sqlite3.Error as error:
            return 500, {"error": f"The state or the record cannot be read: {error}. Try again; see `wpy doctor`."}

    def call(self, path: Mapping[str, str], query_string: bytes, body: dict[str, Any]) -> Call:
        """A call's particulars."""
        query = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
        return Call(self.session, self.reader, path, query, body)

    def openapi(self) -> str:
        """The OpenAPI document."""
        return json.dumps(document(ROUTES))

    async def prometheus(self) -> str:
        """The figures for Prometheus."""
        return await prometheus.text(self.call({}, b"", {}))

    def close(self) -> None:
        """End the streams and the reader."""
        self.stream.close()
        self.reader.close()


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path))
