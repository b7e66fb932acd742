"""The table of what is served: the application routes by it, and the OpenAPI document is made from it."""

from __future__ import annotations

from wrangler_py.server.rest import account, consumers, messages, queues, subscriptions
from wrangler_py.server.rest.call import Route

ROUTES: tuple[Route, ...] = (
    *queues.ROUTES,
    *messages.ROUTES,
    *consumers.ROUTES,
    *subscriptions.ROUTES,
    *account.ROUTES,
)
