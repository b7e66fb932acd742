"""ArrayBuffer, the typed arrays and DataView, over Python's own buffers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from .array_methods import ArrayMethods
from .arrays import JsArray, JsIterator, make_array
from .core import JsClass, JsProxy, raise_js


class JsBuffer(JsProxy):
    """An ArrayBuffer or a view of one (pyodide.ffi.JsBuffer)."""

    __slots__ = ()
    __module__ = "pyodide.ffi"

    def _memory(self) -> memoryview:
        """The bytes of this buffer or view, not copied."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._memory())

    def __bool__(self) -> bool:
        return len(self) > 0

    def to_bytes(self) -> bytes:
        """A copy as bytes."""
        return bytes(self._memory())

    def to_memoryview(self) -> memoryview:
        """A copy as a memoryview of this view's item type."""
        return memoryview(self.to_bytes())

    def to_string(self, encoding: str | None = None) -> str:
        """The bytes decoded. Raises ValueError for what the encoding does not allow."""
        return self.to_bytes().decode(encoding or "utf-8")

    def to_file(self, file: Any) -> None:
        """Write all bytes to an open binary file."""
        file.write(self._memory())

    def from_file(self, file: Any) -> None:
        """Fill this buffer from an open binary file."""
        file.readinto(self._writable())

    def assign(self, source: Any) -> None:
        """Overwrite this buffer with the bytes of a Python buffer of the same size."""
        data = memoryview(source).cast("B")
        if len(data) != len(self._memory()):
            raise ValueError(
                f"cannot assign to TypedArray of length {len(data)} from buffer of length {len(self._memory())}"
            )
        self._writable()[:] = data

    def assign_to(self, target: Any) -> None:
        """Copy this buffer into a writable Python buffer of the same size."""
        memoryview(target).cast("B")[:] = self._memory()

    def _writable(self) -> memoryview:
        raise NotImplementedError


class ArrayBuffer(JsBuffer):
    __slots__ = ("_data",)

    def __init__(self, size: Any = 0) -> None:
        self._data: bytes | bytearray = bytearray(int(size or 0))

    @staticmethod
    def isView(value: Any) -> bool:
        return isinstance(value, BufferView)

    @property
    def byteLength(self) -> int:
        return len(self._data)

    def slice(self, start: int = 0, end: int | None = None) -> ArrayBuffer:
        return make_buffer(bytes(self._data[start:end]))

    def _memory(self) -> memoryview:
        return memoryview(self._data)

    def _writable(self) -> memoryview:
        if not isinstance(self._data, bytearray):  # bytes are shared until the first write
            self._data = bytearray(self._data)
        return memoryview(self._data)

    def _detach(self) -> None:
        """What structured transfer does: nothing is left."""
        self._data = b""


def make_buffer(data: bytes | bytearray) -> ArrayBuffer:
    """An ArrayBuffer over `data`, not copied."""
    made = ArrayBuffer.__new__(ArrayBuffer)
    made._data = data
    return made


class BufferView(JsBuffer):
    """A typed array or a DataView."""

    __slots__ = ("_buffer", "_length", "_offset")
    _buffer: ArrayBuffer
    _offset: int
    _length: int  # bytes

    @property
    def buffer(self) -> ArrayBuffer:
        return self._buffer

    @property
    def byteOffset(self) -> int:
        return self._offset

    @property
    def byteLength(self) -> int:
        return min(self._length, max(0, len(self._buffer._data) - self._offset))

    def _memory(self) -> memoryview:
        return memoryview(self._buffer._data)[self._offset : self._offset + self._length]

    def _writable(self) -> memoryview:
        return self._buffer._writable()[self._offset : self._offset + self._length]

    def to_bytes(self) -> bytes:
        data = self._buffer._data
        if self._offset == 0 and self._length == len(data) and type(data) is bytes:
            return data
        return bytes(self._memory())


class TypedArray(ArrayMethods, BufferView, JsArray):
    """One of the typed arrays; `_format` is its item in the language of `struct`."""

    __slots__ = ()

    def _same(self, items: list[Any]) -> Any:
        return type(self).new(make_array(items))

    def _sorted(self, compare: Callable | None) -> list[Any]:
        return super()._sorted(compare) if compare else sorted(self)

    def sort(self, compare: Callable | None = None) -> Any:
        self.set(make_array(self._sorted(compare)))
        return self

    def reverse(self) -> None:
        """Pyodide gives it the meaning of a MutableSequence's, which returns nothing."""
        self.set(make_array(list(self)[::-1]))

    def values(self) -> JsIterator:
        return JsIterator.new(iter(self))

    _format = "B"
    BYTES_PER_ELEMENT = 1

    def __init__(self, source: Any = 0, offset: Any = None, length: Any = None) -> None:
        size = self.BYTES_PER_ELEMENT
        self._offset = 0
        if isinstance(source, ArrayBuffer):
            self._buffer = source
            self._offset = int(offset or 0)
            self._length = source.byteLength - self._offset if length is None else int(length) * size
            if self._offset % size or self._length % size or self._offset + self._length > source.byteLength:
                raise_js(
                    "RangeError", f"Invalid typed array length: {length if length is not None else source.byteLength}"
                )
            return
        if source is None or (isinstance(source, (int, float)) and not isinstance(source, bool)):
            data = bytearray(int(source or 0) * size)
        elif isinstance(source, (bytes, bytearray)) and size == 1:
            data = bytearray(source)
        else:
            data = bytearray(self._pack(source))
        self._buffer = make_buffer(data)
        self._length = len(data)

    @classmethod
    def _pack(cls, items: Any) -> bytes:
        values = [cls._convert(item) for item in items]
        return struct.pack(f"<{len(values)}{cls._format}", *values)

    @classmethod
    def _convert(cls, value: Any) -> Any:
        from .numbers import to_number

        number = to_number(value)
        if cls._format in "efd":
            return float(number)
        bits = 8 * cls.BYTES_PER_ELEMENT
        if number != number or number in (float("inf"), float("-inf")):
            number = 0
        if cls._js_name == "Uint8ClampedArray":
            return min(255, max(0, round(number)))
        whole = int(number) & ((1 << bits) - 1)
        return whole - (1 << bits) if cls._format.islower() and whole >> (bits - 1) else whole

    @classmethod
    def of(cls, *items: Any) -> Any:
        return cls.new(make_array(list(items)))

    @classmethod
    def from_(cls, source: Any, convert: Callable | None = None) -> Any:
        items = list(source)
        return cls.new(make_array([convert(item, index) for index, item in enumerate(items)] if convert else items))

    @property
    def length(self) -> int:
        return self.byteLength // self.BYTES_PER_ELEMENT

    def __len__(self) -> int:
        return self.length

    def _items(self) -> Any:
        view: Any = self._memory().cast("B")
        return view.cast(self._format)

    def to_memoryview(self) -> memoryview:
        view: Any = memoryview(self.to_bytes())
        return view.cast(self._format)

    def __iter__(self) -> Iterator[Any]:
        if self._format == "e":
            return iter(struct.unpack(f"<{self.length}e", self._memory()))
        return iter(self._items().tolist())

    def __contains__(self, value: Any) -> bool:
        return value in list(self)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            raise NotImplementedError("Slice subscripting isn't implemented for typed arrays")
        try:
            return list(self)[key] if self._format == "e" else self._items()[key]
        except IndexError:
            raise IndexError(key) from None

    def __setitem__(self, key: int, value: Any) -> None:
        size = self.BYTES_PER_ELEMENT
        at = range(self.length)[key] * size
        self._writable()[at : at + size] = struct.pack(f"<{self._format}", self._convert(value))

    def set(self, source: Any, offset: int = 0) -> None:
        packed = source.to_bytes() if type(source) is type(self) else self._pack(source)
        start = offset * self.BYTES_PER_ELEMENT
        if start + len(packed) > self._length:
            raise_js("RangeError", "offset is out of bounds")
        self._writable()[start : start + len(packed)] = packed

    def fill(self, value: Any, start: int = 0, end: int | None = None) -> Any:
        for index in range(*slice(start, end).indices(self.length)):
            self[index] = value
        return self

    def slice(self, start: int = 0, end: int | None = None) -> Any:
        size = self.BYTES_PER_ELEMENT
        first, last, _ = slice(start, end).indices(self.length)
        return type(self).new(make_buffer(bytes(self._memory()[first * size : max(first, last) * size])))

    def subarray(self, start: int = 0, end: int | None = None) -> Any:
        first, last, _ = slice(start, end).indices(self.length)
        return type(self).new(self._buffer, self._offset + first * self.BYTES_PER_ELEMENT, max(0, last - first))

    def join(self, separator: str = ",") -> str:
        return make_array(list(self)).join(separator)

    def toString(self) -> str:
        return self.join()

    def entries(self) -> JsIterator:
        return JsIterator.new(make_array([index, item]) for index, item in enumerate(self))

    def _own_entries(self) -> list[tuple[str, Any]]:
        return [(str(index), item) for index, item in enumerate(self)]


def _typed(name: str, format_: str) -> Any:
    made: Any = JsClass(
        name,
        (TypedArray,),
        {"__slots__": (), "_format": format_, "BYTES_PER_ELEMENT": struct.calcsize(f"<{format_}")},
    )
    return made


TYPED_ARRAYS: dict[str, Any] = {
    name: _typed(name, format_)
    for name, format_ in {
        "Int8Array": "b",
        "Uint8Array": "B",
        "Uint8ClampedArray": "B",
        "Int16Array": "h",
        "Uint16Array": "H",
        "Int32Array": "i",
        "Uint32Array": "I",
        "BigInt64Array": "q",
        "BigUint64Array": "Q",
        "Float16Array": "e",
        "Float32Array": "f",
        "Float64Array": "d",
    }.items()
}
Uint8Array = TYPED_ARRAYS["Uint8Array"]

#: Which typed array a Python buffer of this item format becomes (Pyodide, `python2js_buffer`).
_BY_FORMAT = {
    "c": "Uint8Array",
    "?": "Uint8Array",
    "l": "BigInt64Array" if struct.calcsize("l") == 8 else "Int32Array",
    "L": "BigUint64Array" if struct.calcsize("L") == 8 else "Uint32Array",
    **{cls._format: name for name, cls in TYPED_ARRAYS.items() if name != "Uint8ClampedArray"},
}


def make_bytes(data: bytes | bytearray) -> Any:
    """A Uint8Array over `data`, not copied."""
    made = Uint8Array.__new__(Uint8Array)
    made._buffer = make_buffer(data)
    made._offset = 0
    made._length = len(data)
    return made


def typed_array_of(value: Any, *, copy: bool = False) -> Any:
    """A Python buffer as a typed array of its item type, or None when `value` is no buffer.

    Immutable bytes are shared, anything else is copied: JavaScript must not see later changes, and a view of Python
    memory lives only for a moment.
    """
    if type(value) is bytes:
        return make_bytes(value)
    try:
        view = memoryview(value)
    except TypeError:
        return None
    kind = TYPED_ARRAYS.get(_BY_FORMAT.get(view.format.lstrip("@=<"), ""))
    if kind is None:
        raise ValueError(f"cannot convert a buffer of format {view.format!r} to a typed array")
    return kind.new(make_buffer(view.tobytes()))


class DataView(BufferView):
    __slots__ = ()

    def __init__(self, buffer: Any, offset: Any = 0, length: Any = None) -> None:
        if not isinstance(buffer, ArrayBuffer):
            raise_js("TypeError", "First argument to DataView constructor must be an ArrayBuffer")
        self._buffer = buffer
        self._offset = int(offset or 0)
        self._length = buffer.byteLength - self._offset if length is None else int(length)
        if self._offset + self._length > buffer.byteLength or self._length < 0:
            raise_js("RangeError", f"Start offset {self._offset} is outside the bounds of the buffer")

    def _read(self, format_: str, offset: int, little: Any) -> Any:
        try:
            return struct.unpack_from(("<" if little else ">") + format_, self._memory(), offset)[0]
        except struct.error:
            raise_js("RangeError", "Offset is outside the bounds of the DataView")

    def _write(self, format_: str, name: str, offset: int, value: Any, little: Any) -> None:
        packed = struct.pack(("<" if little else ">") + format_, TYPED_ARRAYS[name]._convert(value))
        if offset < 0 or offset + len(packed) > self._length:
            raise_js("RangeError", "Offset is outside the bounds of the DataView")
        self._writable()[offset : offset + len(packed)] = packed


def _accessors() -> None:
    for name, cls in TYPED_ARRAYS.items():
        if name == "Uint8ClampedArray":
            continue
        kind = name.removesuffix("Array")

        def read(self: Any, offset: int, little: Any = False, _format: str = cls._format) -> Any:
            return self._read(_format, offset, little)

        def write(
            self: Any, offset: int, value: Any, little: Any = False, _f: str = cls._format, _n: str = name
        ) -> None:
            self._write(_f, _n, offset, value, little)

        setattr(DataView, f"get{kind}", read)
        setattr(DataView, f"set{kind}", write)


_accessors()


def bytes_of(value: Any) -> bytes | None:
    """The bytes of a JavaScript or Python buffer, or None when `value` is neither."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, JsBuffer):
        return value.to_bytes()
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return None
