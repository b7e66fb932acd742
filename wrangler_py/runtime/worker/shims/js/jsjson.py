"""JSON as JavaScript reads and writes it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any

from .arrays import Array, make_array
from .convert import js_string, unwrap
from .core import JsObject, JsProxy, jsnull, make_object, own_entries, raise_js
from .numbers import from_js, is_bigint, number_text

_LONE = re.compile("[\ud800-\udfff]")
_BIG_INT = re.compile(r"\d{16}")


def quote(text: str) -> str:
    """A string as JSON. Surrogate pairs are joined; a lone surrogate is written as its escape (well-formed stringify)."""
    quoted = encode_basestring(text)
    if _LONE.search(quoted):
        joined = quoted.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return _LONE.sub(lambda match: f"\\u{ord(match[0]):04x}", joined)
    return quoted


def stringify(value: Any, replacer: Any = None, space: Any = None) -> str | None:
    """`JSON.stringify`; None (undefined) for what JSON cannot say, such as a function.

    Raises JavaScript's TypeError for a bigint and for a circular structure.
    """
    if isinstance(space, (int, float)):
        indent = " " * min(10, max(0, int(space)))
    else:
        indent = space[:10] if isinstance(space, str) else ""
    return _Writer(replacer, indent).text("", value, make_object({"": value}))


class _Writer:
    def __init__(self, replacer: Any, indent: str) -> None:
        self._call: Callable | None = replacer if callable(replacer) else None
        self._keys = None
        if self._call is None and isinstance(replacer, (Array, list, tuple)):
            self._keys = {js_string(key) for key in replacer}
        self._indent = indent
        self._stack: list[tuple[str | int, Any]] = []

    def text(self, key: str | int, value: Any, holder: Any) -> str | None:
        value = unwrap(value)
        if isinstance(value, JsProxy) and callable(to_json := getattr(value, "toJSON", None)):
            value = to_json(js_string(key))
        if self._call is not None:
            value = unwrap(self._call(js_string(key), value))
        kind = type(value)
        if kind is str:
            return quote(value)
        if value is jsnull:
            return "null"
        if value is True or value is False:
            return "true" if value else "false"
        if kind is int:
            if is_bigint(value):
                raise_js("TypeError", "Do not know how to serialize a BigInt")
            return str(value)
        if kind is float:
            return number_text(value) if math.isfinite(value) else "null"
        if value is None or (callable(value) and not isinstance(value, dict)):
            return None
        if isinstance(value, (str, int, float)):  # subclasses, such as the members of an enum
            return self.text(key, _base(value), holder)
        if any(value is seen for _, seen in self._stack):
            self._circular(key, value)
        self._stack.append((key, value))
        try:
            if isinstance(value, (Array, list, tuple, range, bytes, bytearray, memoryview)):
                return self._list([self.text(index, item, value) or "null" for index, item in enumerate(value)])
            return self._object(value)
        finally:
            self._stack.pop()

    def _list(self, parts: list[str]) -> str:
        return f"[{self._join(parts)}]"

    def _object(self, value: Any) -> str:
        colon = ": " if self._indent else ":"
        parts = []
        for key, item in own_entries(value):
            if self._keys is not None and key not in self._keys:
                continue
            text = self.text(key, item, value)
            if text is not None:
                parts.append(quote(key) + colon + text)
        return f"{{{self._join(parts)}}}"

    def _join(self, parts: list[str]) -> str:
        if not self._indent or not parts:
            return ",".join(parts)
        depth = len(self._stack)
        line = "\n" + self._indent * depth
        return line + ("," + line).join(parts) + "\n" + self._indent * (depth - 1)

    def _circular(self, key: str | int, value: Any) -> None:
        """V8's text, which names the way round the circle."""
        start = next(index for index, (_, seen) in enumerate(self._stack) if seen is value)
        circle = self._stack[start:]
        lines = [f"    --> starting at object with constructor '{_constructor(circle[0][1])}'"]
        steps = [
            f"    |     {_step(name)} -> object with constructor '{_constructor(seen)}'" for name, seen in circle[1:]
        ]
        if len(steps) > 2:
            steps[1:-1] = ["    |     ..."]
        lines += [*steps, f"    --- {_step(key)} closes the circle"]
        raise_js("TypeError", "Converting circular structure to JSON\n" + "\n".join(lines))


def _base(value: Any) -> Any:
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind.__new__(kind, value) if kind is str else kind(value)
    return value


def _step(key: str | int) -> str:
    return f"index {key}" if isinstance(key, int) else f"property '{key}'"


def _constructor(value: Any) -> str:
    if isinstance(value, (Array, list, tuple)):
        return "Array"
    return value.constructor.name if isinstance(value, JsProxy) else "Object"


def parse_plain(text: str, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """JSON as Python, with JavaScript's numbers: 1.0 is the int 1, and an int too large for a number is a float.

    `hook` makes an object of each dict. Raises JavaScript's SyntaxError.
    """
    decoders = _decoders.get(hook)
    if decoders is None:
        options: dict[str, Any] = {"parse_float": _number, "parse_constant": _no_constant, "object_hook": hook}
        decoders = _decoders[hook] = (json.JSONDecoder(**options), json.JSONDecoder(parse_int=_number, **options))
    decoder = decoders[_BIG_INT.search(text) is not None]
    try:
        value, end = decoder.scan_once(text, 0)  # type: ignore[attr-defined]  # half of the time of decode()
        if end == len(text):
            return value
    except (StopIteration, json.JSONDecodeError):
        pass  # there is space around it, or decode() says what is wrong
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise_js("SyntaxError", _syntax_error(text, error))


_decoders: dict[Any, tuple[json.JSONDecoder, json.JSONDecoder]] = {}


def _number(text: str) -> int | float:
    return from_js(float(text))


def _no_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is no JSON", name, 0)


#: V8's words for what Python's decoder complains of (v8/src/common/message-template.h), told with the position.
_V8_TEXTS = {
    "Expecting ':' delimiter": "Expected ':' after property name in JSON",
    "Expecting property name enclosed in double quotes": "Expected property name or '}' in JSON",
    "Expecting property name after comma": "Expected double-quoted property name in JSON",
    "Expecting ',' delimiter": "Expected ',' or ']' after array element in JSON",
    "Unterminated string starting at": "Unterminated string in JSON",
    "Invalid control character at": "Bad control character in string literal in JSON",
    "Invalid \\escape": "Bad escaped character in JSON",
    "Invalid \\uXXXX escape": "Bad Unicode escape in JSON",
    "Extra data": "Unexpected non-whitespace character after JSON",
}
#: Texts longer than twice this are shown only around the place (v8, JsonParser::ReportUnexpectedToken).
_CONTEXT = 10


def _syntax_error(text: str, error: json.JSONDecodeError) -> str:
    what, at = error.msg, error.pos
    if what.startswith("Illegal trailing comma"):  # Python 3.13 points at the comma
        at = _after_space(text, at + 1)
        what = "Expecting value" if what.endswith("array") else "Expecting property name after comma"
    elif what.startswith("Expecting property name") and text[:at].rstrip().endswith(","):
        what = "Expecting property name after comma"
    elif what.startswith("Unterminated string"):
        at = len(text)
    if what not in _V8_TEXTS:
        at = _after_space(text, at)
        if at >= len(text) or any(word.startswith(text[at:]) for word in ("null", "true", "false")):
            return "Unexpected end of JSON input"
        if text in ("undefined", "NaN", "Infinity"):
            return f'"{text}" is not valid JSON'
        return f"Unexpected token '{text[at]}', {_excerpt(text, at)} is not valid JSON"
    if what == "Expecting ',' delimiter" and _inside_object(text, at):
        return f"Expected ',' or '}}' after property value in JSON{_position(text, at)}"
    return _V8_TEXTS[what] + _position(text, at)


def _position(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f" at position {at} (line {line} column {at - (text.rfind(chr(10), 0, at) + 1) + 1})"


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\n\r":
        at += 1
    return at


def _inside_object(text: str, at: int) -> bool:
    """Whether the innermost bracket that is open at a place is a brace."""
    opened = []
    in_string = escaped = False
    for character in text[:at]:
        if in_string:
            in_string, escaped = escaped or character != '"', character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            opened.append(character)
        elif character in "]}" and opened:
            opened.pop()
    return opened[-1:] == ["{"]


def _excerpt(text: str, at: int) -> str:
    if len(text) <= 2 * _CONTEXT:
        return f'"{text}"'
    start, end = max(0, at - _CONTEXT), min(len(text), at + _CONTEXT)
    return f'{"..." if start else ""}"{text[start:end]}"{"..." if end < len(text) else ""}'


def parse(text: Any, reviver: Callable | None = None) -> Any:
    """`JSON.parse`: arrays and objects are JavaScript's."""
    value = to_js_value(parse_plain(js_string(text)))
    return _revive("", value, reviver) if reviver is not None else value


def to_js_value(value: Any) -> Any:
    """Python's plain JSON value as JavaScript's."""
    if value is None:
        return jsnull
    if isinstance(value, dict):
        return make_object({key: to_js_value(item) for key, item in value.items()})
    if isinstance(value, list):
        return make_array([to_js_value(item) for item in value])
    return value


def _revive(key: str, value: Any, reviver: Callable) -> Any:
    if isinstance(value, Array):
        value._items[:] = [_revive(str(index), item, reviver) for index, item in enumerate(value._items)]
    elif type(value) is JsObject:
        for name, item in own_entries(value):
            revived = _revive(name, item, reviver)
            if revived is None:
                del value._props[name]
            else:
                value._props[name] = revived
    return reviver(key, value)


class JSONObject(JsProxy):
    """The global `JSON`."""

    _js_name = "JSON"

    def stringify(self, value: Any = None, replacer: Any = None, space: Any = None) -> Any:
        return stringify(value, replacer, space)

    def parse(self, text: Any = None, reviver: Any = None) -> Any:
        return parse(text, reviver)


JSON = JSONObject.new()
