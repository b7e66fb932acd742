"""`env`: variables, secrets and bindings. A name that is not there is an AttributeError, as on Cloudflare."""

from __future__ import annotations

from typing import Any, NoReturn

from . import texts
from .queue_binding import Caller, QueueBinding
from .shims.js.core import JsObject, make_object, raise_js
from .shims.js.jsjson import to_js_value


class NotServed:
    """A binding of a kind that wpy does not serve: an error when it is used, not when it is looked at."""

    def __init__(self, name: str, kind: str) -> None:
        self._text = texts.NOT_SERVED.format(name=name, kind=kind)

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("constructor", "js_object") or name.startswith("__"):  # what the SDK asks of any value
            raise AttributeError(name)
        raise_js("Error", self._text)


def make_env(spec: dict[str, Any], call: Caller) -> JsObject:
    """The env of a LOAD. Text variables are str, JSON ones are JavaScript values."""
    flags = spec.get("flags") or {}
    default_type = "json" if flags.get("queues_json_messages", True) else "v8"
    values: dict[str, Any] = {name: to_js_value(value) for name, value in (spec.get("vars") or {}).items()}
    values.update(spec.get("secrets") or {})
    for name, binding in (spec.get("bindings") or {}).items():
        kind = binding["kind"]
        values[name] = QueueBinding(name, call, default_type) if kind == "queue" else NotServed(name, kind)
    return make_object(values)
