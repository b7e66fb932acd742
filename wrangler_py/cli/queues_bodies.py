"""Bodies of messages: from what a user gives to what is stored, and from what is stored to what a user can read."""

from __future__ import annotations

import json
import re
from typing import Any

from wrangler_py.queues.message import ContentType

CONTENT_TYPES: tuple[ContentType, ...] = ("json", "text", "bytes", "v8")

#: What a parser says beside the position, and what tells nothing of a single line.
_LINE_1 = re.compile(r" \(line 1 column \d+\)")


class BadBody(ValueError):
    """What was given cannot be the body of a message. The text goes on from "... is "."""


def encode(given: bytes, content_type: ContentType) -> bytes:
    """The stored body. For "json" and "v8" what was given is JSON, and stored as a Worker's `send(JSON.parse(...))` stores
    it; else it is stored as it is. Raises BadBody."""
    if content_type == "bytes":
        return given
    try:
        text = given.decode("utf-8-sig" if content_type != "text" else "utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise BadBody(f"not UTF-8: invalid byte 0x{byte:02x} at position {error.start}") from error
    return given if content_type == "text" else _from_json(text, content_type)


def _from_json(text: str, content_type: ContentType) -> bytes:
    # The worker's own modules, so that both store the same bytes.
    from wrangler_py.runtime.worker.jsonbody import encode_plain, utf8
    from wrangler_py.runtime.worker.shims.js import jsjson
    from wrangler_py.runtime.worker.shims.js.core import JsException

    try:
        value = jsjson.parse_plain(text)
        if content_type == "json":
            encoded = encode_plain(value)
            if encoded is not None:
                return encoded
        json.dumps(value, allow_nan=False)  # JSON.parse makes Infinity of 1e999, and JSON.stringify makes null of that
        if content_type == "v8":
            from wrangler_py.runtime.worker import v8

            return v8.serialize(jsjson.to_js_value(value))
        return utf8(jsjson.stringify(jsjson.to_js_value(value)) or "")
    except JsException as error:
        why = str(error).removeprefix("SyntaxError: ")
        if "\n" not in text:
            why = _LINE_1.sub("", why)
        raise BadBody(f"not JSON: {why}") from error
    except RecursionError as error:
        raise BadBody("nested too deeply") from error
    except ValueError as error:
        raise BadBody("not JSON: a number is out of range") from error


def as_value(content_type: ContentType, body: bytes) -> Any:
    """A body for JSON output: the value of "json", and of "v8" where JSON can hold it; the text of "text"; else hex
    digits."""
    if content_type == "text":
        return body.decode("utf-8", "replace")
    if content_type == "json":
        try:
            return json.loads(body)
        except (ValueError, RecursionError):  # stored by something else than a Worker
            return body.decode("utf-8", "replace")
    text, is_exact = _v8_as_json(body) if content_type == "v8" else (None, False)
    return json.loads(text) if text is not None and is_exact else body.hex()


def as_text(content_type: ContentType, body: bytes) -> str:
    """A body to be read: JSON, text, or hex digits. "v8" values that JSON cannot hold are shown both ways."""
    if content_type in ("json", "text"):
        return body.decode("utf-8", "replace")
    text, is_exact = _v8_as_json(body) if content_type == "v8" else (None, False)
    if text is None:
        return body.hex(" ")
    return text if is_exact else f"{text} ({body.hex(' ')})"


def _v8_as_json(body: bytes) -> tuple[str | None, bool]:
    """JSON.stringify of a stored v8 value, None where there is none; and whether nothing is lost by it."""
    from wrangler_py.runtime.worker import v8
    from wrangler_py.runtime.worker.shims.js import jsjson
    from wrangler_py.runtime.worker.shims.js.core import JsException

    try:
        text = jsjson.stringify(v8.deserialize(body))
        return text, text is not None and v8.serialize(jsjson.parse(text)) == body
    except (JsException, RecursionError):
        return None, False
