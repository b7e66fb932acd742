"""Values of workflows: wire values (runtime/worker/rpc_values.py), kept as bytes, and shown as JSON."""

from __future__ import annotations

import base64
import json
import marshal
from datetime import UTC, datetime
from typing import Any

#: What is no value but a way to one in a process that will be gone.
_REMOTE = ("stub", "stream")


def dump(wire: Any) -> bytes:
    return marshal.dumps(wire, 4)


def load(data: bytes | None) -> Any:
    return None if data is None else marshal.loads(data)


def storable(wire: Any) -> bool:
    """Whether a value is whole: no function, no stream."""
    if not isinstance(wire, tuple | list):
        return True
    tag = wire[0]
    if tag in _REMOTE:
        return False
    if tag in ("list", "set"):
        return all(storable(item) for item in wire[1])
    if tag in ("obj", "map", "err"):
        return all(storable(key) and storable(item) for key, item in wire[-1])
    return tag not in ("request", "response") or storable(wire[-1])


def error(name: str, message: str) -> tuple[Any, ...]:
    """The wire value of an error."""
    return ("err", name, message, None, [])


def from_json(value: Any) -> Any:
    """A JSON value as a wire value."""
    if value is None:
        return ("null",)
    if isinstance(value, dict):
        return ("obj", [(str(key), from_json(item)) for key, item in value.items()])
    if isinstance(value, list):
        return ("list", [from_json(item) for item in value])
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return float(value)
    return value


def to_json(wire: Any) -> Any:
    """A wire value for people: what JSON has no word for is a text or an object that says what it is."""
    return _Shown().value(wire)


class _Shown:
    def __init__(self) -> None:
        self._made: list[Any] = []

    def value(self, wire: Any) -> Any:
        if not isinstance(wire, tuple | list):
            return wire
        tag = wire[0]
        if tag == "null":
            return None
        if tag == "big":
            return wire[1]
        if tag == "ref":
            return self._made[wire[1]] if wire[1] < len(self._made) else None
        if tag in ("list", "set"):
            items: list[Any] = []
            self._made.append(items)
            items.extend(self.value(item) for item in wire[1])
            return items
        if tag in ("obj", "map"):
            fields: dict[str, Any] = {}
            self._made.append(fields)
            for key, item in wire[1]:
                fields[key if isinstance(key, str) else json.dumps(self.value(key))] = self.value(item)
            return fields
        self._made.append(None)
        return _leaf(tag, wire)


def _leaf(tag: str, wire: Any) -> Any:
    if tag == "date":
        return datetime.fromtimestamp(wire[1] / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if tag in ("buf", "view"):
        return {"base64": base64.b64encode(wire[-1]).decode()}
    if tag == "err":
        return {"name": wire[1], "message": wire[2]}
    if tag == "re":
        return f"/{wire[1]}/{wire[2]}"
    return f"[{tag}]"
