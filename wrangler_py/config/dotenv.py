"""`.dev.vars` and `.env` files, read to the letter as wrangler's parser reads them.

wrangler uses the npm packages dotenv 16.3 and, for `.env` files only, dotenv-expand 12. python-dotenv is another
language: it needs a blank before `#`, knows no backticks and no `KEY: value`, and resolves escapes in quotes that
dotenv leaves alone. A secret must not change between `wpy dev` and `wrangler dev`, so dotenv's two expressions stand
here, and what they silently skip is reported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, field

# dotenv: LINE in lib/main.js.
_LINE = re.compile(
    r"""^[^\S\n]*+(?:export\s+)?([A-Za-z0-9_.-]+)(?:\s*=\s*?|:\s+?)"""
    r"""(\s*'(?:\\'|[^'])*'|\s*"(?:\\"|[^"])*"|\s*`(?:\\`|[^`])*`|[^#\r\n]+)?\s*(?:#.*)?$""",
    re.MULTILINE,
)
_QUOTED = re.compile(r"""^(['"`])([\s\S]*)\1$""", re.MULTILINE)
# dotenv-expand: `${NAME}`, `${NAME:-default}`, `$NAME`; a backslash keeps the dollar.
_REFERENCE = re.compile(r"(?<!\\)\$\{([^{}]+)\}|(?<!\\)\$([A-Za-z_][A-Za-z0-9_]*)")
#: Two variables of the environment that refer to each other would be filled in for ever.
_MAX_REFERENCES = 100
_OPERATOR = re.compile(r":\+|\+|:-|-")


class DotenvFile(Struct):
    """The values of one file, the line each stands on, and the lines that mean nothing (1-based)."""

    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    meaningless: list[int] = field(default_factory=list)


def parse(text: str) -> DotenvFile:
    """Read a dotenv text. Of a name given twice the last counts."""
    text = re.sub(r"\r\n?", "\n", text)
    result = DotenvFile()
    end_of_last = 0
    line = 1
    for match in _LINE.finditer(text):
        _note_meaningless(result, text[end_of_last : match.start()], line)
        name = match[1]
        result.values[name] = _value(match[2] or "")
        line += text.count("\n", end_of_last, match.start(1))
        result.lines[name] = line
        line += text.count("\n", match.start(1), match.end())
        end_of_last = match.end()
    _note_meaningless(result, text[end_of_last:], line)
    return result


def _value(raw: str) -> str:
    raw = raw.strip()
    value = _QUOTED.sub(r"\2", raw)
    if raw.startswith('"'):
        value = value.replace("\\n", "\n").replace("\\r", "\r")
    return value


def _note_meaningless(result: DotenvFile, between: str, first_line: int) -> None:
    for i, line in enumerate(between.split("\n")):
        if line.strip() and not line.lstrip().startswith("#"):
            result.meaningless.append(first_line + i)


def expand(values: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """`values` with their references filled in from `environ` and from the values before them; `environ` beats a
    value of the same name (dotenv-expand: expand)."""
    done: dict[str, str] = {}
    for name, value in values.items():
        value = environ[name] if environ.get(name) else _expand_one(value, done, environ)
        done[name] = value.replace("\\$", "$")
    return done


def _expand_one(value: str, done: Mapping[str, str], environ: Mapping[str, str]) -> str:
    result = value
    seen = set()
    for _ in range(_MAX_REFERENCES):
        match = _REFERENCE.search(result)
        if match is None:
            break
        seen.add(result)
        expression = match[1] or match[2]
        operator = _OPERATOR.search(expression)
        name, default = expression, ""
        if operator:
            name, default = expression[: operator.start()], expression[operator.end() :]
        found = environ.get(name, done.get(name)) or ""
        if operator and operator[0] in (":+", "+"):
            filled = default if found else ""
        else:
            filled = default if not found or found in seen else found
        result = result[: match.start()] + filled + result[match.end() :]
        if result == done.get(name):  # it has been expanded already; what looks like a reference is not one
            break
    return result
