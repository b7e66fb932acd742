"""`wpy queues`: the local queues, whether a session runs or not. Each command is in a file of its own subject."""

from __future__ import annotations

from wrangler_py.cli.groups import Members, lazy_group

_COMMANDS: Members = {
    "create": ("queues_create:create", None),
    "list": ("queues_list:list_queues", None),
    "describe": ("queues_show:describe", None),
    "info": ("queues_show:describe", "The same as describe."),
    "update": ("queues_change:update", None),
    "delete": ("queues_change:delete", None),
    "pause-delivery": ("queues_change:pause_delivery", None),
    "resume-delivery": ("queues_change:resume_delivery", None),
    "purge": ("queues_change:purge", None),
    "send": ("queues_send:send", None),
    "peek": ("queues_messages:peek", None),
    "retry": ("queues_messages:retry", None),
    "discard": ("queues_discard:discard", None),
    "undo": ("queues_discard:undo", None),
    "redrive": ("queues_redrive:redrive", None),
    "history": ("queues_history:history_command", None),
    "tail": ("queues_history:tail", None),
    "pull": ("queues_messages:pull", None),
    "ack": ("queues_messages:ack", None),
    "consumer": ("queues_consumers:app", None),
    "subscription": ("queues_subscriptions:app", None),
}

app = lazy_group("Local queues: create, look, change, send, follow. A session need not run.", _COMMANDS)
