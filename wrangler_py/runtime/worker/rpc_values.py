"""Values of an RPC call as frames carry them, and back: structured clone, plus what Workers RPC adds to it.

A wire value is None (undefined), a bool, an int, a float or a str, or else a tuple whose first item is its tag:

    ("null",)  ("big", digits)  ("list", [value])  ("obj", [(key, value)])  ("map", [(key, value)])  ("set", [value])
    ("date", ms)  ("buf", bytes)  ("view", "Uint8Array", bytes)  ("re", source, flags)
    ("err", name, message, stack or None, [(key, value)])
    ("ref", n)                    the n-th object of this value, counted from 0 in the order in which they begin
    ("headers", [(name, value)])
    ("request", method, url, [(name, value)], body)  ("response", status, text, [(name, value)], body)
    ("stub", origin, number, "function")   something that stays where it is and is called from afar
    ("stream", origin, number)             bytes that are read from afar

What workerd does not serialize (Blob, File, FormData, URL) is refused here too. A body is None, bytes, or a stream. `origin` is
the number of the process that holds the stub (LOAD's "origin").
"""

from __future__ import annotations

from typing import Any, Protocol

from . import outcome, texts
from .shims.js.arrays import Array, make_array
from .shims.js.body import BODY_USED
from .shims.js.buffers import TYPED_ARRAYS, ArrayBuffer, BufferView, DataView, make_buffer
from .shims.js.collections import Map, Set
from .shims.js.convert import unwrap
from .shims.js.core import JsException, JsObject, JsProxy, js_error, jsnull, make_object, own_entries, raise_js
from .shims.js.dates import Date
from .shims.js.headers import Headers, make_headers
from .shims.js.numbers import JsBigInt, is_bigint
from .shims.js.objects import RegExp
from .shims.js.request import Request, incoming_request
from .shims.js.response import Response, received_response
from .shims.js.streams import ReadableStream


class Exports(Protocol):
    """Where stubs come from and go to (rpc.py)."""

    def export(self, target: Any) -> tuple[int, int]:
        """Keep `target` for calls from afar: (origin, number)."""
        ...

    def stub(self, origin: int, number: int) -> Any:
        """Something to call what another process keeps."""
        ...

    def stream(self, origin: int, number: int) -> ReadableStream:
        """A stream that another process feeds."""
        ...


class Remote(JsProxy):
    """A stub as a value: what it stands for is passed on, not copied."""

    __slots__ = ()

    def _wire(self) -> Any:
        raise NotImplementedError


def encode(value: Any, exports: Exports) -> Any:
    """A JavaScript value on the wire. Raises JavaScript's DataCloneError for what RPC cannot carry."""
    return _Encoder(exports).value(value)


def decode(wire: Any, exports: Exports) -> Any:
    """The JavaScript value of a wire value."""
    return _Decoder(exports).value(wire)


def encode_error(error: BaseException, traceback_text: str) -> Any:
    """What a caller in another Worker gets for an exception. Python's own are PythonErrors, whose text is the traceback.

    Without the flag enhanced_error_serialization workerd tells the name of an error that is not one of JavaScript's own as part of the message.
    """
    if isinstance(error, JsException):
        name, message = str(error.name), str(error.message)
        if name not in texts.STANDARD_ERRORS and not outcome.keeps_error_names:
            name, message = "Error", f"{name}: {message}" if message else name
        extra = [(key, item) for key, item in own_entries(error) if isinstance(item, (str, bool, int, float))]
    elif outcome.keeps_error_names:
        name, message, extra = "PythonError", traceback_text, [("type", type(error).__name__)]
    else:
        name, message, extra = "Error", f"PythonError: {traceback_text}", []
    extra = [item for item in extra if item[0] != "remote"]
    return ("err", name, message, f"{name}: {message}", [*extra, ("remote", True)])


class _Encoder:
    def __init__(self, exports: Exports) -> None:
        self._exports = exports
        self._seen: dict[int, int] = {}
        self._held: list[Any] = []  # so that an id() is not used again

    def value(self, value: Any) -> Any:
        kind = type(value)
        if kind is str or kind is bool or value is None:
            return value
        value = unwrap(value)
        if value is jsnull:
            return ("null",)
        if isinstance(value, int):
            if isinstance(value, bool):
                return bool(value)
            return ("big", str(int(value))) if is_bigint(value) else int(value)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, str):
            return str(value)
        return self._object(value)

    def _object(self, value: Any) -> Any:
        known = self._seen.get(id(value))
        if known is not None:
            return ("ref", known)
        if isinstance(value, Remote):
            return value._wire()
        if callable(value) and not isinstance(value, type):
            return ("stub", *self._exports.export(value), "function")
        self._seen[id(value)] = len(self._seen)
        self._held.append(value)
        if isinstance(value, Array):
            return ("list", [self.value(item) for item in value._items])
        if type(value) is JsObject:
            return ("obj", [(key, self.value(item)) for key, item in own_entries(value)])
        if isinstance(value, Map):
            return ("map", [(self.value(key), self.value(item)) for key, item in value._entries()])
        if isinstance(value, Set):
            return ("set", [self.value(item) for item in value])
        if isinstance(value, Date):
            return ("date", value._time)
        if isinstance(value, ArrayBuffer):
            return ("buf", value.to_bytes())
        if isinstance(value, BufferView):
            return ("view", value.constructor.name, value.to_bytes())
        if isinstance(value, RegExp):
            return ("re", value.source, value.flags)
        if isinstance(value, JsException):
            entries = [(key, self.value(item)) for key, item in own_entries(value)]
            return ("err", str(value.name), str(value.message), str(value.stack) or None, entries)
        return self._host_object(value)

    def _host_object(self, value: Any) -> Any:
        if isinstance(value, Headers):
            return ("headers", [(name, item) for _, name, item in value._list])
        if isinstance(value, ReadableStream):
            return self._stream(value)
        if isinstance(value, Request):
            headers = [(name, item) for _, name, item in value._headers._list]
            return ("request", value.method, value.url, headers, self._body(value))
        if isinstance(value, Response):
            headers = [(name, item) for _, name, item in value._headers._list]
            return ("response", value.status, value.statusText, headers, self._body(value))
        name = value.constructor.name if isinstance(value, JsProxy) else "PyProxy"
        raise_js("DataCloneError", texts.NOT_SERIALIZABLE.format(type=name))

    def _body(self, value: Any) -> Any:
        """A body that is sent away is used up here."""
        if value.bodyUsed:
            raise_js("TypeError", BODY_USED)
        content = value._content
        if content is None:
            return None
        value._used = True
        return content if isinstance(content, bytes) else self._stream(content)

    def _stream(self, stream: ReadableStream) -> Any:
        if stream.locked:
            raise_js("TypeError", texts.STREAM_LOCKED)
        if stream._whole is not None and stream._state != "errored":
            from .shims.js.streams import stream_of

            stream = stream_of(stream._whole)
        return ("stream", *self._exports.export(stream))


class _Decoder:
    def __init__(self, exports: Exports) -> None:
        self._exports = exports
        self._made: list[Any] = []

    def value(self, wire: Any) -> Any:
        if not isinstance(wire, (tuple, list)):
            return wire
        tag = wire[0]
        if tag == "null":
            return jsnull
        if tag == "big":
            return JsBigInt(wire[1])
        if tag == "ref":
            return self._made[wire[1]]
        if tag == "stub":
            return self._exports.stub(wire[1], wire[2])
        if tag in ("list", "obj", "map", "set"):
            return self._container(tag, wire[1])
        place = len(self._made)
        self._made.append(None)
        made = self._made[place] = self._leaf(tag, wire)
        return made

    def _container(self, tag: str, content: Any) -> Any:
        made: Any
        if tag == "list":
            made = make_array([])
            self._made.append(made)
            made._items.extend([self.value(item) for item in content])
        elif tag == "obj":
            props: dict[str, Any] = {}
            made = make_object(props)
            self._made.append(made)
            for key, item in content:
                props[key] = self.value(item)
        elif tag == "map":
            made = Map.new()
            self._made.append(made)
            for key, item in content:
                made.set(self.value(key), self.value(item))
        else:
            made = Set.new()
            self._made.append(made)
            for item in content:
                made.add(self.value(item))
        return made

    def _leaf(self, tag: str, wire: Any) -> Any:
        if tag == "date":
            return Date.new(wire[1])
        if tag == "buf":
            return make_buffer(wire[1])
        if tag == "view":
            buffer = make_buffer(wire[2])
            return DataView.new(buffer) if wire[1] == "DataView" else TYPED_ARRAYS[wire[1]].new(buffer)
        if tag == "re":
            return RegExp.new(wire[1], wire[2])
        if tag == "err":
            return self._error(wire)
        if tag == "headers":
            return make_headers([(name, item) for name, item in wire[1]])
        if tag == "stream":
            return self._exports.stream(wire[1], wire[2])
        if tag == "request":
            _, method, url, headers, body = wire
            return incoming_request(method, url, [tuple(pair) for pair in headers], self._content(body), b"")
        if tag == "response":
            _, status, text, headers, body = wire
            pairs = make_headers([(name, item) for name, item in headers])
            return received_response(status, text, pairs, self._content(body), "", False)
        raise ValueError(f"unknown wire value {tag!r}")

    def _content(self, body: Any) -> Any:
        if body is None or isinstance(body, bytes):
            return body
        return self._exports.stream(body[1], body[2])

    def _error(self, wire: Any) -> JsException:
        _, name, message, stack, entries = wire
        made = js_error(name, message)
        made.stack = stack or str(made)
        for key, item in entries:
            made.__dict__[key] = self.value(item)
        return made
