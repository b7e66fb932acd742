"""Text Cap'n Proto, as far as workerd's configuration needs it.

A struct is a dict, a list a list, Text a str; `Embed` is the content of a file, `Name` an enumerant, `VOID` the value of a union's arm that
has none. Fields whose value is None are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

_HEAD = 'using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = '


class Embed(Struct, frozen=True):
    """The content of a file. `path` is relative to the config file: workerd looks absolute ones up elsewhere."""

    path: str


class Name(Struct, frozen=True):
    """An enumerant."""

    name: str


class _Void:
    pass


VOID = _Void()


def config_text(config: Mapping[str, Any]) -> str:
    """A whole config file."""
    return f"{_HEAD}{_value(config)};\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Embed):
        return f"embed {quoted(value.path)}"
    if isinstance(value, Name):
        return value.name
    if isinstance(value, _Void):
        return "void"
    if isinstance(value, Mapping):
        fields = (f"{name} = {_value(field)}" for name, field in value.items() if field is not None)
        return f"({', '.join(fields)})"
    if isinstance(value, Sequence):
        return f"[{', '.join(_value(item) for item in value)}]"
    raise TypeError(f"{type(value).__name__} has no form in a config")


_ESCAPED = re.compile(r'[\x00-\x1f\x7f"\\]')


def quoted(text: str) -> str:
    """A Text literal."""
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return {'"': '\\"', "\\": "\\\\", "\n": "\\n"}.get(character) or f"\\x{ord(character):02x}"
