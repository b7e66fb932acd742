"""One call of the API, and the table of what is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from wrangler_py.server.control import CallError
from wrangler_py.server.dashboard_api.reader import Reader
from wrangler_py.server.dashboard_api.session_view import SessionView

Schema = Mapping[str, Any]
MAX_PAGE = 1_000


class Call(Struct, frozen=True):
    """One request, for a handler."""

    session: SessionView
    reader: Reader
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: dict[str, Any]

    def limit(self, default: int = 100) -> int:
        """`limit` of the query string. Raises CallError."""
        text = self.query.get("limit")
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_PAGE:
            raise CallError(f'`limit` must be a whole number from 1 to {MAX_PAGE}, but is "{text[:50]}".')
        return int(text)

    def number(self, name: str, default: int | None, low: int = 0, high: int = 1 << 53) -> int | None:
        """A whole number of the query string. Raises CallError."""
        text = self.query.get(name)
        if not text:
            return default
        digits = text.removeprefix("-")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 16 or not low <= int(text) <= high:
            raise CallError(f'`{name}` must be a whole number from {low} to {high}, but is "{text[:50]}".')
        return int(text)

    def text(self, name: str, default: str | None = None) -> str | None:
        """A text of the body. Raises CallError."""
        value = self.body.get(name, default)
        if value is not None and not isinstance(value, str):
            raise CallError(f"`{name}` must be a text, but is {str(value)[:50]!r}.")
        return value

    def whole(self, name: str, default: int | None, low: int, high: int) -> int | None:
        """A whole number of the body. Raises CallError."""
        value = self.body.get(name, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise CallError(f"`{name}` must be a whole number from {low:,} to {high:,}, but is {str(value)[:50]!r}.")
        return value

    @property
    def preview(self) -> bool:
        """Whether only the lines to copy are wanted."""
        return self.body.get("preview") is True


Handler = Callable[[Call], Awaitable[dict[str, Any]]]


class Parameter(Struct, frozen=True):
    """One parameter of a query string."""

    name: str
    description: str = ""
    schema: Schema = field(default_factory=lambda: {"type": "string"})


class Route(Struct, frozen=True, kw_only=True):
    """One call that is served."""

    method: Literal["GET", "POST"]
    path: str  # after the prefix, e.g. "queues/{name}"
    summary: str
    tag: str
    handler: Handler
    result: Schema
    query: Sequence[Parameter] = ()
    body: Schema | None = None


class Routes(list[Route]):
    """Part of the table; filled by decorating the handlers."""

    def __init__(self, tag: str) -> None:
        super().__init__()
        self._tag = tag

    def get(
        self, path: str, summary: str, result: Schema, query: Sequence[Parameter] = ()
    ) -> Callable[[Handler], Handler]:
        """Serve a call that only reads."""

        def add(handler: Handler) -> Handler:
            self.append(
                Route(
                    method="GET", path=path, summary=summary, tag=self._tag, handler=handler, result=result, query=query
                )
            )
            return handler

        return add

    def post(self, path: str, summary: str, result: Schema, body: Schema | None = None) -> Callable[[Handler], Handler]:
        """Serve a call that changes something, and needs the token."""

        def add(handler: Handler) -> Handler:
            self.append(
                Route(
                    method="POST", path=path, summary=summary, tag=self._tag, handler=handler, result=result, body=body
                )
            )
            return handler

        return add


CURSOR = Parameter("cursor", "From the answer before; none for the first page")
LIMIT = Parameter("limit", f"Up to {MAX_PAGE}", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE})
