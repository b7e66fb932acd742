"""JSON with comments and trailing commas, as wrangler reads wrangler.json and wrangler.jsonc.

Comments and trailing commas are blanked out, character for character, and the standard library parses the rest:
offsets stay true, the parser is the strict one, and a session starts 20 ms sooner than with a JSON5 library. JSON5
is also the wrong language here: single quotes, bare keys, `+1`, `0x10`, `NaN` and raw tabs in strings are legal in
it and refused by wrangler, so a config that wpy had accepted would fail at `wrangler deploy`.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

# A string runs to its closing quote or, unclosed, to the end of its line. Possessive: a broken file must not take
# time that grows with the square of its size.
_STRING = r'"(?:[^"\\\n]|\\.)*+"?'
_COMMENT = re.compile(_STRING + r"|//[^\n\r]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_TRAILING_COMMA = re.compile(_STRING + r"|,(?=[ \t\r\n]*+[}\]])", re.DOTALL)
_BARE_CONSTANT = re.compile(_STRING + r"|-?Infinity|NaN", re.DOTALL)

#: Integers beyond this are not exact in JavaScript (Number.MAX_SAFE_INTEGER).
MAX_SAFE_INTEGER = 2**53 - 1


class JsoncError(Exception):
    """The text is not JSON with comments."""

    def __init__(self, text: str, offset: int, hint: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.offset = offset
        self.hint = hint


def blank_extras(text: str) -> str:
    """`text` as strict JSON of the same length. Raises JsoncError for a comment that is never closed."""

    def comment(match: re.Match[str]) -> str:
        if match[0][0] == '"':
            return match[0]
        if match[0].startswith("/*") and (len(match[0]) < 4 or not match[0].endswith("*/")):
            raise JsoncError("a comment that is opened here is never closed", match.start(), "close it with */")
        return re.sub(r"[^\n\r]", " ", match[0])

    without_comments = _COMMENT.sub(comment, text)

    def comma(match: re.Match[str]) -> str:
        if match[0] != ",":
            return match[0]
        # `[,]` and `[1,,]` stay wrong: a trailing comma needs a value before it.
        before = match.start() - 1
        while before >= 0 and without_comments[before] in " \t\r\n":
            before -= 1
        return "," if before < 0 or without_comments[before] in ",[{:" else " "

    return _TRAILING_COMMA.sub(comma, without_comments)


def parse(strict: str) -> tuple[Any, bool]:
    """Parse what `blank_extras` returned. Returns the value, and whether some key stands twice in one object
    (legal, the last one counts). Raises JsoncError, or RecursionError for absurd nesting.
    """
    repeated = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        table = dict(items)
        repeated = repeated or len(table) != len(items)
        return table

    def constant(name: str) -> NoReturn:
        offset = next(m.start() for m in _BARE_CONSTANT.finditer(strict) if m[0] == name)
        raise JsoncError(f"{name} is not a JSON value", offset)

    try:
        value = json.loads(strict, object_pairs_hook=pairs, parse_int=_integer, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise JsoncError(_lower(error.msg), error.pos, _hint(strict, error.pos)) from error
    return value, repeated


def _integer(digits: str) -> int | float:
    # JavaScript has no integers beyond 2**53; it reads the nearest double.
    if len(digits) > 17 or abs(int(digits)) > MAX_SAFE_INTEGER:
        return float(digits)
    return int(digits)


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _hint(text: str, offset: int) -> str | None:
    at = text[offset : offset + 1]
    if not text[offset:].strip():
        return "the file ends too early"
    if at == "'":
        return "strings and keys take double quotes: this is JSON with comments and trailing commas, not JSON5"
    if re.match(r"[A-Za-z_$]", at):
        return "keys and strings stand in double quotes"
    return None
