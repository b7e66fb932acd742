"""V8's value serialisation, format 15 (v8/src/objects/value-serializer.cc), for what a Python Worker can send.

Values are JavaScript's as `shims.js` holds them; `serialize` raises its DataCloneError for what cannot be carried.
"""

from __future__ import annotations

import struct
from typing import Any

from .shims.js.arrays import Array, make_array
from .shims.js.buffers import TYPED_ARRAYS, ArrayBuffer, BufferView, DataView, make_buffer
from .shims.js.collections import LiteralMap, Map, Set
from .shims.js.convert import unwrap
from .shims.js.core import ERRORS, JsException, JsObject, js_error, jsnull, make_object, own_entries, raise_js
from .shims.js.dates import Date
from .shims.js.numbers import JsBigInt, from_js, is_bigint
from .shims.js.objects import RegExp, not_cloneable

_VERSION = 15

#: Tags of array buffer views. Uint8ClampedArray is "C".
_VIEWS = {
    "Int8Array": b"b",
    "Uint8Array": b"B",
    "Uint8ClampedArray": b"C",
    "Int16Array": b"w",
    "Uint16Array": b"W",
    "Int32Array": b"d",
    "Uint32Array": b"D",
    "Float16Array": b"h",
    "Float32Array": b"f",
    "Float64Array": b"F",
    "BigInt64Array": b"q",
    "BigUint64Array": b"Q",
    "DataView": b"?",
}
_ERROR_TAGS = {"EvalError": b"E", "RangeError": b"R", "ReferenceError": b"F", "SyntaxError": b"S", "TypeError": b"T"}
_ERROR_TAGS["URIError"] = b"U"


def serialize(value: Any) -> bytes:
    """`v8.serialize(value)` as workerd writes it."""
    writer = _Writer()
    writer.value(value)
    return bytes(writer.out)


def deserialize(data: bytes) -> Any:
    """The value in `data`. Raises JavaScript's DataCloneError for what is broken or of a kind Workers do not use."""
    try:
        return _Reader(data).document()
    except (IndexError, struct.error, UnicodeDecodeError):
        raise_js("DataCloneError", "Unable to deserialize cloned data.")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class _Writer:
    def __init__(self) -> None:
        self.out = bytearray((0xFF, _VERSION))
        self._ids: dict[int, int] = {}
        self._held: list[Any] = []  # so that an id() is not used again

    def value(self, value: Any) -> None:
        out = self.out
        value = unwrap(value)
        if value is None:
            out += b"_"
        elif value is jsnull:
            out += b"0"
        elif value is True or value is False:
            out += b"T" if value else b"F"
        elif isinstance(value, str):
            self._string(value)
        elif isinstance(value, int):
            self._int(value)
        elif isinstance(value, float):
            out += b"N" + struct.pack("<d", value)
        else:
            self._object(value)

    def _int(self, value: int) -> None:
        if is_bigint(value):
            size = (abs(value).bit_length() + 63) // 64 * 8
            self.out += b"Z" + _varint(size << 1 | (value < 0)) + abs(value).to_bytes(size, "little")
        elif -(2**31) <= value < 2**31:
            self.out += b"I" + _varint((value << 1) ^ (value >> 31))
        else:
            self.out += b"N" + struct.pack("<d", value)

    def _string(self, text: str) -> None:
        try:
            data = text.encode("latin-1")
        except UnicodeEncodeError:
            data = text.encode("utf-16-le", "surrogatepass")
            size = _varint(len(data))
            if (len(self.out) + 1 + len(size)) & 1:
                self.out += b"\0"  # two-byte characters stand on even offsets
            self.out += b"c" + size + data
        else:
            self.out += b'"' + _varint(len(data)) + data

    def _object(self, value: Any) -> None:
        known = self._ids.get(id(value))
        if known is not None:
            self.out += b"^" + _varint(known)
            return
        if isinstance(value, BufferView):
            self._object(value.buffer)  # the buffer comes first and has an id of its own
            if id(value) not in self._ids:
                self._remember(value)
                self._view(value)
            return
        self._remember(value)
        out = self.out
        if isinstance(value, Array):
            size = _varint(len(value))
            out += b"A" + size
            for item in value:
                self.value(item)
            out += b"$\0" + size
        elif isinstance(value, LiteralMap):
            raise_js("DataCloneError", "[object Map] could not be cloned.")  # its properties are accessors
        elif isinstance(value, Map):
            out += b";"
            entries = value._entries()
            for key, item in entries:
                self.value(key)
                self.value(item)
            out += b":" + _varint(2 * len(entries))
        elif isinstance(value, Set):
            out += b"'"
            for item in value:
                self.value(item)
            out += b"," + _varint(len(value))
        elif isinstance(value, Date):
            out += b"D" + struct.pack("<d", value._time)
        elif isinstance(value, ArrayBuffer):
            data = value.to_bytes()
            out += b"B" + _varint(len(data)) + data
        elif isinstance(value, RegExp):
            out += b"R"
            self._string(value.source)
            out += _varint(sum(1 << "gimyus".index(flag) for flag in value.flags if flag in "gimyus"))
        elif isinstance(value, JsException):
            self._error(value)
        elif isinstance(value, JsObject):
            entries = own_entries(value)
            out += b"o"
            for key, item in entries:
                if key.isdigit() and str(int(key)) == key and int(key) < 2**31:
                    self._int(int(key))
                else:
                    self._string(key)
                self.value(item)
            out += b"{" + _varint(len(entries))
        else:
            not_cloneable(value)

    def _remember(self, value: Any) -> None:
        self._ids[id(value)] = len(self._ids)
        self._held.append(value)

    def _view(self, value: BufferView) -> None:
        tag = _VIEWS.get(value.constructor.name)
        if tag is None:
            not_cloneable(value)
        self.out += b"V" + (tag or b"") + _varint(value.byteOffset) + _varint(value.byteLength) + b"\0"

    def _error(self, value: JsException) -> None:
        self.out += b"r" + _ERROR_TAGS.get(value.name, b"")
        if value.message:
            self.out += b"m"
            self._string(value.message)
        if value.stack:
            self.out += b"s"
            self._string(value.stack)
        self.out += b"."


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._objects: list[Any] = []

    def document(self) -> Any:
        if self._data[:1] == b"\xff":
            self._at = 1
            if self._number() > _VERSION:
                raise_js("DataCloneError", "Unable to deserialize cloned data due to invalid or unsupported version.")
        return self._value()

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _tag(self) -> bytes:
        byte = self._byte()
        while byte == 0:
            byte = self._byte()
        return bytes((byte,))

    def _number(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def _bytes(self, size: int) -> bytes:
        data = self._data[self._at : self._at + size]
        if len(data) != size:
            raise IndexError
        self._at += size
        return data

    def _double(self) -> float:
        return struct.unpack("<d", self._bytes(8))[0]

    def _value(self) -> Any:
        value = self._plain(self._tag())
        # A view follows its buffer.
        if isinstance(value, ArrayBuffer) and self._data[self._at : self._at + 1] == b"V":
            self._at += 1
            return self._read_view(value)
        return value

    def _plain(self, tag: bytes) -> Any:
        simple = {b"_": None, b"0": jsnull, b"T": True, b"F": False}
        if tag in simple:
            return simple[tag]
        read = _READERS.get(tag)
        if read is None:
            raise_js("DataCloneError", "Unable to deserialize cloned data.")
        return read(self)

    def _int32(self) -> int:
        number = self._number()
        return (number >> 1) ^ -(number & 1)

    def _read_double(self) -> Any:
        return from_js(self._double())

    def _bigint(self) -> JsBigInt:
        bits = self._number()
        value = int.from_bytes(self._bytes(bits >> 1), "little")
        return JsBigInt(-value if bits & 1 else value)

    def _latin1(self) -> str:
        return self._bytes(self._number()).decode("latin-1")

    def _utf8(self) -> str:
        return self._bytes(self._number()).decode("utf-8")

    def _utf16(self) -> str:
        return self._bytes(self._number()).decode("utf-16-le", "surrogatepass")

    def _add(self, value: Any) -> Any:
        self._objects.append(value)
        return value

    def _reference(self) -> Any:
        return self._objects[self._number()]

    def _until(self, end: bytes) -> list[Any]:
        """Values up to a tag."""
        values: list[Any] = []
        while True:
            start = self._at
            if self._tag() == end:
                return values
            self._at = start
            values.append(self._value())

    def _read_object(self) -> Any:
        made = self._add(make_object({}))
        self._properties(made._props, b"{")
        self._number()
        return made

    def _properties(self, props: dict[str, Any], end: bytes) -> None:
        values = self._until(end)
        for index in range(0, len(values), 2):
            props[str(values[index])] = values[index + 1]

    def _dense(self) -> Any:
        size = self._number()
        made = self._add(make_array([]))
        for _ in range(size):
            if self._data[self._at : self._at + 1] == b"-":  # a hole
                self._at += 1
                made._items.append(None)
            else:
                made._items.append(self._value())
        self._until(b"$")
        self._number(), self._number()
        return made

    def _sparse(self) -> Any:
        made = self._add(make_array([None] * self._number()))
        values = self._until(b"@")
        for index in range(0, len(values), 2):
            made._items[int(values[index])] = values[index + 1]
        self._number(), self._number()
        return made

    def _map(self) -> Any:
        made = self._add(Map.new())
        values = self._until(b":")
        self._number()
        for index in range(0, len(values), 2):
            made.set(values[index], values[index + 1])
        return made

    def _set(self) -> Any:
        made = self._add(Set.new())
        for value in self._until(b","):
            made.add(value)
        self._number()
        return made

    def _date(self) -> Any:
        return self._add(Date.new(self._double()))

    def _buffer(self) -> Any:
        return self._add(make_buffer(self._bytes(self._number())))

    def _read_view(self, buffer: ArrayBuffer) -> Any:
        name = next((name for name, tag in _VIEWS.items() if tag == bytes((self._data[self._at],))), "")
        self._at += 1
        offset, size = self._number(), self._number()
        self._number()  # flags, since version 14
        if name == "DataView":
            return self._add(DataView.new(buffer, offset, size))
        if name not in TYPED_ARRAYS:
            raise_js("DataCloneError", "Unable to deserialize cloned data.")
        kind = TYPED_ARRAYS[name]
        return self._add(kind.new(buffer, offset, size // kind.BYTES_PER_ELEMENT))

    def _regexp(self) -> Any:
        source = self._value()
        flags = self._number()
        return self._add(RegExp.new(source, "".join(flag for bit, flag in enumerate("gimyus") if flags >> bit & 1)))

    def _error(self) -> Any:
        kinds = {tag: name for name, tag in _ERROR_TAGS.items()}
        made = self._add(js_error("Error", ""))
        name, message, stack = "Error", "", ""
        while (tag := bytes((self._byte(),))) != b".":
            if tag in kinds:
                name = kinds[tag]
            elif tag == b"m":
                message = self._value()
            elif tag == b"s":
                stack = self._value()
            elif tag == b"c":
                made.cause = self._value()
            else:
                raise_js("DataCloneError", "Unable to deserialize cloned data.")
        if name in ERRORS:
            made.__class__ = ERRORS[name]
        made.__dict__.update(name=name, message=message, stack=stack)
        return made

    def _boxed(self) -> Any:
        return self._add(self._read_double())

    def _boxed_string(self) -> Any:
        return self._add(self._value())


_READERS: dict[bytes, Any] = {
    b"I": _Reader._int32,
    b"U": _Reader._number,
    b"N": _Reader._read_double,
    b"Z": _Reader._bigint,
    b'"': _Reader._latin1,
    b"S": _Reader._utf8,
    b"c": _Reader._utf16,
    b"^": _Reader._reference,
    b"o": _Reader._read_object,
    b"A": _Reader._dense,
    b"a": _Reader._sparse,
    b";": _Reader._map,
    b"'": _Reader._set,
    b"D": _Reader._date,
    b"B": _Reader._buffer,
    b"R": _Reader._regexp,
    b"r": _Reader._error,
    b"n": _Reader._boxed,
    b"s": _Reader._boxed_string,
    b"y": lambda reader: reader._add(True),
    b"x": lambda reader: reader._add(False),
}
