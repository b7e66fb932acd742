"""One call of the API on its way to a room: its path, query and body, checked; and the rooms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from starlette.requests import Request

from wrangler_py.queues import limits
from wrangler_py.queues.admin import QueueAdmin
from wrangler_py.queues.broker import Broker
from wrangler_py.queues.consumers import Consumers
from wrangler_py.queues.peek import Peeks
from wrangler_py.queues.pull import Pulls
from wrangler_py.queues.purge import Purges
from wrangler_py.queues.subscriptions import Subscriptions
from wrangler_py.queues.tables import QueueRecord
from wrangler_py.server.rest.envelope import ApiError, Result
from wrangler_py.server.rest.validate import Schema
from wrangler_py.store.database import Store

#: Which of Cloudflare's two error vocabularies a path speaks: administration, or messages.
Plane = Literal["control", "data"]

BODY_INVALID = 10026
MESSAGE_BODY_INVALID = 10207
MESSAGE_BODY_MALFORMED = 10208


class Rooms(Struct, frozen=True):
    """What the calls work on."""

    store: Store
    broker: Broker
    admin: QueueAdmin
    consumers: Consumers
    pulls: Pulls
    peeks: Peeks
    purges: Purges
    subscriptions: Subscriptions
    #: When the session began (ms).
    started_ms: int


class Call(Struct, frozen=True):
    """One checked request."""

    rooms: Rooms
    request: Request
    plane: Plane
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any

    def queue(self) -> QueueRecord:
        """The queue that the path names. Raises Refusal."""
        queue_id = self.path["queue_id"]
        if self.plane == "control":
            return self.rooms.admin.find(queue_id)
        if not (queue_id.isascii() and queue_id.isalnum()):
            raise limits.Refusal(400, limits.QUEUE_ID_MALFORMED, f"Queue ID {queue_id} is malformed")
        try:
            return self.rooms.admin.find(queue_id)
        except limits.Refusal:
            raise limits.queue_unknown_to_messages() from None


Handler = Callable[[Call], Awaitable[Result]]


class Query(Struct, frozen=True):
    """One parameter of a query string."""

    name: str
    schema: Schema
    description: str = ""
    default: Any = None
    #: May be given several times.
    repeated: bool = False


PAGING = (
    Query("page", {"type": "integer", "minimum": 1, "maximum": 1_000_000}, "Counts from 1", default=1),
    Query("per_page", {"type": "integer", "minimum": 1, "maximum": 1_000}, default=20),
)


class Route(Struct, frozen=True, kw_only=True):
    """One call that is served."""

    method: str
    path: str  # after /client/v4
    name: str  # the OpenAPI document's operationId
    summary: str
    tag: str
    plane: Plane
    handler: Handler
    #: Schema of `result`.
    result: Schema
    #: `result` is one page of a list, and `result_info` says which.
    paged: bool
    body: Schema | None
    #: The body may be left out, and is {} then.
    body_optional: bool
    query: Sequence[Query]
    #: Code for a body that is too large to be read.
    too_large: int


class Routes(list[Route]):
    """Part of the table of what is served; filled by decorating the handlers."""

    def __init__(self, tag: str, plane: Plane = "control") -> None:
        super().__init__()
        self._tag = tag
        self._plane = plane

    def serve(
        self,
        method: str,
        path: str,
        name: str,
        summary: str,
        *,
        result: Schema,
        paged: bool = False,
        body: Schema | None = None,
        body_optional: bool = False,
        query: Sequence[Query] = (),
        too_large: int = BODY_INVALID,
    ) -> Callable[[Handler], Handler]:
        """Serve a call with the decorated handler. See Route."""

        def add(handler: Handler) -> Handler:
            self.append(
                Route(
                    method=method,
                    path=path,
                    name=name,
                    summary=summary,
                    tag=self._tag,
                    plane=self._plane,
                    handler=handler,
                    result=result,
                    paged=paged,
                    body=body,
                    body_optional=body_optional,
                    query=query,
                    too_large=too_large,
                )
            )
            return handler

        return add


def body_issue(plane: Plane, text: str, pointer: str | None = None) -> ApiError:
    """A body that is JSON, and not of the shape that the call wants."""
    return ApiError(400, MESSAGE_BODY_INVALID if plane == "data" else BODY_INVALID, text, pointer=pointer)


def body_malformed(plane: Plane, text: str) -> ApiError:
    """A body that is not JSON."""
    code = MESSAGE_BODY_MALFORMED if plane == "data" else BODY_INVALID
    return ApiError(400, code, f"Could not parse the request body as JSON: {text}")
