"""The shapes of what the API takes and answers (Cloudflare docs: REST API > Queues; wrangler and the SDKs rely on them)."""

from __future__ import annotations

from typing import Any

from wrangler_py.queues import limits
from wrangler_py.queues.admin import JURISDICTIONS
from wrangler_py.server.rest.validate import Schema, Unchecked

#: The schemas that the OpenAPI document names.
NAMED: dict[str, Schema] = {}


def _named(name: str, schema: Schema) -> Schema:
    NAMED[name] = schema
    return schema


def _object(properties: dict[str, Schema], *required: str, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), **more}


def _answer(properties: dict[str, Schema], *optional: str) -> Schema:
    return _object(properties, *(name for name in properties if name not in optional))


def array(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _integer(description: str = "", low: int | None = None, high: int | None = None, **more: Any) -> Schema:
    schema: dict[str, Any] = {"type": "integer", **more}
    if low is not None:
        schema["minimum"] = low
    if high is not None:
        schema["maximum"] = high
    if description:
        schema["description"] = description
    return schema


def nullable(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
MOMENT: Schema = {"type": "string", "format": "date-time", "description": "RFC 3339, UTC, microseconds"}
ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_DELAY = _integer(f"Seconds, 0 to {limits.MAX_DELAY_SECONDS}")

# Queues ---------------------------------------------------------------------------------------------------------------

_QUEUE_SETTINGS: dict[str, Schema] = {
    "delivery_delay": _integer("Seconds", 0, limits.MAX_DELAY_SECONDS),
    "delivery_paused": BOOLEAN,
    "message_retention_period": _integer("Seconds", limits.MIN_RETENTION_SECONDS, limits.MAX_RETENTION_SECONDS),
}
_QUEUE_NAME: Schema = {"type": "string", "description": f"^{limits.QUEUE_NAME_PATTERN}$"}
_JURISDICTION: Schema = {"type": "string", "enum": list(JURISDICTIONS)}
_GIVEN_QUEUE_SETTINGS = Unchecked(nullable(_object(_QUEUE_SETTINGS)))

QUEUE_CREATE = _named(
    "QueueCreate",
    _object(
        {"queue_name": _QUEUE_NAME, "jurisdiction": _JURISDICTION, "settings": _GIVEN_QUEUE_SETTINGS}, "queue_name"
    ),
)
QUEUE_CHANGE = _named(
    "QueueChange",
    _object({"queue_name": _QUEUE_NAME, "jurisdiction": _JURISDICTION, "settings": _GIVEN_QUEUE_SETTINGS}),
)

# Consumers ------------------------------------------------------------------------------------------------------------

_WORKER_SETTINGS: dict[str, Schema] = {
    "batch_size": _integer("", 1, limits.MAX_BATCH_SIZE),
    "max_retries": _integer("", 0, limits.MAX_RETRIES),
    "max_wait_time_ms": _integer("", 0, limits.MAX_BATCH_TIMEOUT_MS),
    "max_concurrency": nullable(_integer("null: scaled by the service", 1, limits.MAX_CONCURRENCY)),
    "retry_delay": _integer("Seconds", 0, limits.MAX_DELAY_SECONDS),
}
_PULL_SETTINGS: dict[str, Schema] = {
    "batch_size": _integer("", 1, limits.MAX_BATCH_SIZE),
    "max_retries": _integer("", 0, limits.MAX_RETRIES),
    "visibility_timeout_ms": _integer("", 0, limits.MAX_VISIBILITY_TIMEOUT_MS),
    "retry_delay": _integer("Seconds", 0, limits.MAX_DELAY_SECONDS),
}
_CONSUMER_SETTINGS = Unchecked(nullable(_object({**_WORKER_SETTINGS, **_PULL_SETTINGS})))

CONSUMER_SPEC = _named(
    "ConsumerSpec",
    _object(
        {
            "type": {"type": "string", "enum": ["worker", "http_pull"]},
            "script_name": {"type": "string", "description": "Name of a Worker; for a `worker` consumer only"},
            "environment_name": nullable(STRING),
            "dead_letter_queue": nullable({"type": "string", "description": "Name of a queue; empty for none"}),
            "settings": _CONSUMER_SETTINGS,
        },
        "type",
    ),
)

_CONSUMER: dict[str, Schema] = {
    "consumer_id": ID,
    "created_on": MOMENT,
    "queue_name": STRING,
    "queue_id": ID,
    "type": {"type": "string", "enum": ["worker", "http_pull"]},
    "dead_letter_queue": {"type": "string", "description": "Empty when there is none"},
}
CONSUMER = _named(
    "Consumer",
    _answer(
        {
            **_CONSUMER,
            "script": {"type": "string", "description": "Of a `worker` consumer, as `script_name`"},
            "script_name": STRING,
            "environment": STRING,
            "settings": _answer(
                {**_WORKER_SETTINGS, **_PULL_SETTINGS}, "max_wait_time_ms", "max_concurrency", "visibility_timeout_ms"
            ),
        },
        "script",
        "script_name",
        "environment",
    ),
)

_PRODUCER = _object({"type": {"type": "string", "enum": ["worker", "r2_bucket"]}, "script": STRING}, "type")
QUEUE = _named(
    "Queue",
    _answer(
        {
            "queue_id": ID,
            "queue_name": STRING,
            "created_on": MOMENT,
            "modified_on": MOMENT,
            "producers_total_count": _integer(),
            "producers": array(_PRODUCER),
            "consumers_total_count": _integer(),
            "consumers": array(CONSUMER),
            "settings": _answer(_QUEUE_SETTINGS),
            "jurisdiction": _JURISDICTION,
        },
        "jurisdiction",
    ),
)

# Messages -------------------------------------------------------------------------------------------------------------

METRICS = _named(
    "QueueMetrics",
    _answer(
        {
            "backlog_bytes": _integer("Body bytes of unacknowledged messages"),
            "backlog_count": _integer("Unacknowledged messages"),
            "oldest_message_timestamp_ms": _integer("0 when there is none"),
        }
    ),
)
_WITH_METRICS = _answer({"metrics": METRICS})

_PUSHED: dict[str, Schema] = {
    "body": {"description": "An object or array with content type json, a string with text"},
    "content_type": {"type": "string", "enum": ["json", "text"], "default": "json"},
    "delay_seconds": _DELAY,
}
PUSH = _named("MessagePush", _object(_PUSHED, "body"))
PUSH_BATCH = _named(
    "MessageBatchPush", _object({"messages": array(_object(_PUSHED, "body")), "delay_seconds": _DELAY}, "messages")
)
PUSH_RESULT = _named("MessagePushResult", _answer({"metadata": _WITH_METRICS}))

_BATCH_SIZE = _integer(f"{limits.DEFAULT_PULL_BATCH_SIZE} unless the consumer says otherwise", 1, limits.MAX_BATCH_SIZE)
_VISIBILITY = _integer(
    f"{limits.DEFAULT_VISIBILITY_TIMEOUT_MS} unless the consumer says otherwise", 0, limits.MAX_VISIBILITY_TIMEOUT_MS
)
PULL = _named(
    "MessagePull",
    _object(
        {
            "batch_size": _BATCH_SIZE,
            "visibility_timeout_ms": _VISIBILITY,
            "visibility_timeout": {**_VISIBILITY, "description": "Older name of visibility_timeout_ms"},
        }
    ),
)
PEEK = _named("MessagePeek", _object({"batch_size": _integer("", 1, limits.MAX_BATCH_SIZE)}))

_MESSAGE: dict[str, Schema] = {
    "id": ID,
    "timestamp_ms": _integer("When it was sent"),
    "attempts": _integer("Deliveries, this one included where it is one"),
    "body": {"type": "string", "description": "Plain for text; base64 for json, bytes and v8"},
    "metadata": _answer(
        {
            "CF-Content-Type": {"type": "string", "enum": ["json", "text", "bytes", "v8"]},
            "CF-sourceMessageSource": {"type": "string", "enum": ["worker", "api"]},
            "CF-msg-delay-secs": {"type": "string", "description": "Only when the producer gave a delay"},
        },
        "CF-msg-delay-secs",
    ),
}
_LEASED = _answer({**_MESSAGE, "lease_id": STRING})
PULL_RESULT = _named(
    "MessagePullResult",
    _answer({"message_backlog_count": _integer(), "messages": array(_LEASED), "metadata": _WITH_METRICS}),
)
PREVIEW_RESULT = _named("MessagePreviewResult", _answer({"messages": array(_LEASED)}))
PEEK_RESULT = _named("MessagePeekResult", _answer({"messages": array(_answer({**_MESSAGE, "ref": STRING}))}))

ACK = _named(
    "MessageAck",
    _object(
        {
            "acks": array(_object({"lease_id": STRING}, "lease_id")),
            "retries": array(_object({"lease_id": STRING, "delay_seconds": _DELAY}, "lease_id")),
        }
    ),
)
_TEXTS: Schema = {"type": "object", "additionalProperties": STRING}
ACK_RESULT = _named("MessageAckResult", _answer({"ackCount": _integer(), "retryCount": _integer(), "warnings": _TEXTS}))
PURGE_REFS = _named("MessagePurge", _object({"refs": array(_object({"ref": STRING}, "ref"))}, "refs"))
PURGE_REFS_RESULT = _named(
    "MessagePurgeResult", _answer({"errors": array(_answer({"message": STRING})), "warnings": _TEXTS})
)

PURGE = _named("QueuePurge", _object({"delete_messages_permanently": BOOLEAN}, "delete_messages_permanently"))
PURGE_RESULT = _named(
    "QueuePurgeResult", {**QUEUE, "properties": {**QUEUE["properties"], "started_at": MOMENT, "complete": BOOLEAN}}
)
PURGE_STATUS = _named(
    "QueuePurgeStatus",
    _answer(
        {
            "started_at": {"type": "string", "description": "Empty when the queue was never purged"},
            "completed": {"type": "string", "enum": ["true", "false"]},
        }
    ),
)

# Event subscriptions --------------------------------------------------------------------------------------------------

_SOURCE: Schema = {
    "type": "object",
    "properties": {"type": {"type": "string", "minLength": 1}},
    "required": ["type"],
    "additionalProperties": True,
}
_DESTINATION = _object({"type": {"type": "string", "enum": ["queues.queue"]}, "queue_id": STRING}, "type", "queue_id")
_EVENTS = array({"type": "string", "minLength": 1}, minItems=1)
_NAME: Schema = {"type": "string", "minLength": 1}
SUBSCRIPTION_CREATE = _named(
    "SubscriptionCreate",
    _object(
        {"name": _NAME, "enabled": BOOLEAN, "source": _SOURCE, "destination": _DESTINATION, "events": _EVENTS},
        "name",
        "source",
        "destination",
        "events",
    ),
)
SUBSCRIPTION_CHANGE = _named(
    "SubscriptionChange",
    _object({"name": _NAME, "enabled": BOOLEAN, "destination": _DESTINATION, "events": _EVENTS}),
)
SUBSCRIPTION = _named(
    "Subscription",
    _answer(
        {
            "id": ID,
            "created_at": MOMENT,
            "modified_at": MOMENT,
            "name": STRING,
            "enabled": BOOLEAN,
            "source": _SOURCE,
            "destination": _DESTINATION,
            "events": _EVENTS,
        }
    ),
)

# Accounts -------------------------------------------------------------------------------------------------------------

ACCOUNT = _named(
    "Account",
    _answer({"id": STRING, "name": STRING, "type": STRING, "created_on": MOMENT, "settings": {"type": "object"}}),
)
MEMBERSHIP = _named(
    "Membership",
    _answer({"id": STRING, "status": STRING, "account": ACCOUNT, "roles": array(STRING)}),
)
USER = _named("User", _answer({"id": STRING, "email": STRING}))
TOKEN = _named("Token", _answer({"id": STRING, "status": {"type": "string", "enum": ["active"]}}))
SERVICE = _named(
    "Service",
    _answer(
        {
            "id": STRING,
            "default_environment": _answer({"environment": STRING, "script": _answer({"id": STRING})}),
            "environments": array(_answer({"environment": STRING})),
        }
    ),
)
SUBDOMAIN = _named("Subdomain", _answer({"subdomain": STRING}))
SCRIPT_SUBDOMAIN_CHANGE = _named(
    "ScriptSubdomainChange", _object({"enabled": BOOLEAN, "previews_enabled": nullable(BOOLEAN)}, "enabled")
)
SCRIPT_SUBDOMAIN = _named("ScriptSubdomain", _answer({"enabled": BOOLEAN, "previews_enabled": BOOLEAN}))
WORKER = _named("Worker", _answer({"id": STRING, "name": STRING, "subdomain": SCRIPT_SUBDOMAIN}))
