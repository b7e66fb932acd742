"""Requests against the schemas that the OpenAPI document shows.

Knows as much of JSON Schema as the schemas here use, and words what is wrong as Cloudflare's message API does (`Required at
"body"`, `Expected number, received string at "messages[0].delay_seconds"`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from wrangler_py.queues.values import quoted

Schema = Mapping[str, Any]

#: How many problems one answer lists.
_MOST_ISSUES = 10


class Unchecked(dict[str, Any]):
    """The schema of an object whose members are checked by the room that owns the rule; shown, not enforced."""


class Findings(Struct):
    """What is wrong with a value: (path, text). And the names in it that no schema knows."""

    issues: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def text(self) -> str:
        shown = [f'{text} at "{path}"' if path else text for path, text in self.issues[:_MOST_ISSUES]]
        return "; ".join(shown)

    def pointer(self) -> str:
        """JSON pointer to the first thing that is wrong."""
        path = self.issues[0][0]
        return "/" + path.replace("[", "/").replace("]", "").replace(".", "/") if path else ""


def validate(value: Any, schema: Schema) -> Findings:
    """Compare a value that came as JSON with a schema."""
    findings = Findings()
    _validate(value, schema, "", findings)
    return findings


def _validate(value: Any, schema: Schema, path: str, findings: Findings) -> None:
    wanted: str | Sequence[str] = schema.get("type", ())
    types = [wanted] if isinstance(wanted, str) else wanted
    received = js_type(value)
    if types and not any(_is(kind, value) for kind in types):
        kind = types[0]
        if kind == "integer":
            kind, received = ("integer", "float") if received == "number" else ("number", received)
        findings.issues.append((path, f"Expected {kind}, received {received}"))
        return
    if "enum" in schema and value not in schema["enum"]:
        choices = " | ".join(f"'{choice}'" for choice in schema["enum"])
        findings.issues.append((path, f"Invalid enum value. Expected {choices}, received {quoted(value)}"))
    if received == "number":
        _validate_range(value, schema, path, findings)
    elif received == "string" and len(value) < schema.get("minLength", 0):
        findings.issues.append((path, f"String must contain at least {schema['minLength']} character(s)"))
    elif received == "object":
        _validate_members(value, schema, path, findings)
    elif received == "array":
        if len(value) < schema.get("minItems", 0):
            findings.issues.append((path, f"Array must contain at least {schema['minItems']} element(s)"))
        for number, item in enumerate(value):
            _validate(item, schema.get("items", {}), f"{path}[{number}]", findings)


def _validate_range(value: float, schema: Schema, path: str, findings: Findings) -> None:
    if value < schema.get("minimum", value):
        findings.issues.append((path, f"Number must be greater than or equal to {schema['minimum']}"))
    elif value > schema.get("maximum", value):
        findings.issues.append((path, f"Number must be less than or equal to {schema['maximum']}"))


def _validate_members(value: Mapping[str, Any], schema: Schema, path: str, findings: Findings) -> None:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    prefix = f"{path}." if path else ""
    for name in schema.get("required", ()):
        if name not in value:
            findings.issues.append((prefix + name, "Required"))
    for name, member in value.items():
        known = properties.get(name)
        if known is None:
            if "properties" in schema and not schema.get("additionalProperties", False):
                findings.unknown.append(prefix + name)
        elif not isinstance(schema, Unchecked):
            _validate(member, known, prefix + name, findings)


def _is(kind: str, value: Any) -> bool:
    received = js_type(value)
    if kind == "integer":
        return received == "number" and float(value).is_integer()
    return received == kind


def js_type(value: Any) -> str:
    """The type of a JSON value in JavaScript's words."""
    if value is None:
        return "null"
    for kind, name in _JS_TYPES:
        if isinstance(value, kind):
            return name
    raise TypeError(f"{type(value).__name__} does not come from JSON")


_JS_TYPES: tuple[tuple[Any, str], ...] = (
    (bool, "boolean"),
    (str, "string"),
    (int | float, "number"),
    (list, "array"),
    (dict, "object"),
)
