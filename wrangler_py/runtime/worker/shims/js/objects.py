"""`Object`, `structuredClone` and the constructors of primitive values."""

from __future__ import annotations

import re
import weakref
from typing import Any

from .arrays import Array, make_array
from .buffers import ArrayBuffer, BufferView, make_buffer
from .collections import Map, Set
from .convert import js_string, js_typeof, object_from_entries, unwrap
from .core import (
    Function,
    JsCallable,
    JsException,
    JsObject,
    JsProxy,
    jsnull,
    make_object,
    option,
    own_entries,
    raise_js,
)
from .dates import Date
from .numbers import JsBigInt, from_js, to_number


class _Constructor(JsCallable):
    """A constructor whose instances are not of a class of their own."""

    _call_name = ""

    @property
    def name(self) -> str:
        return self._call_name

    @property
    def typeof(self) -> str:
        return "function"

    def toString(self) -> str:
        return f"function {self._call_name}() {{ [native code] }}"

    def __call__(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError

    def new(self, *args: Any, **options: Any) -> Any:
        return self(*args, **options)


class ObjectConstructor(_Constructor):
    _call_name = "Object"
    fromEntries = object_from_entries

    def __call__(self, value: Any = None, **options: Any) -> Any:
        return value if isinstance(value, JsProxy) else make_object(dict(options))

    def keys(self, value: Any) -> Any:
        return make_array([key for key, _ in own_entries(unwrap(value))])

    def values(self, value: Any) -> Any:
        return make_array([item for _, item in own_entries(unwrap(value))])

    def entries(self, value: Any) -> Any:
        return make_array([make_array([key, item]) for key, item in own_entries(unwrap(value))])

    getOwnPropertyNames = keys

    def assign(self, target: Any, *sources: Any) -> Any:
        for source in sources:
            for key, item in own_entries(unwrap(source)):
                setattr(target, key, item)
        return target

    def create(self, _prototype: Any = None, *_properties: Any) -> Any:
        return make_object({})

    def hasOwn(self, value: Any, name: Any) -> bool:
        return any(key == js_string(name) for key, _ in own_entries(unwrap(value)))

    def is_(self, left: Any, right: Any) -> bool:
        return left is right or (not isinstance(left, JsProxy) and left == right)

    def freeze(self, value: Any) -> Any:
        """Kept in mind for `isFrozen`; writing to it is not prevented."""
        if isinstance(value, JsProxy):
            _frozen[id(value)] = value
        return value

    seal = freeze
    preventExtensions = freeze

    def isFrozen(self, value: Any) -> bool:
        return not isinstance(value, JsProxy) or id(value) in _frozen

    isSealed = isFrozen

    def isExtensible(self, value: Any) -> bool:
        return not self.isFrozen(value)

    def groupBy(self, items: Any, call: Any) -> Any:
        groups: dict[str, Any] = {}
        for index, item in enumerate(items):
            groups.setdefault(js_string(call(item, index)), make_array([])).push(item)
        return make_object(groups)

    def defineProperty(self, target: Any, name: Any, descriptor: Any) -> Any:
        getter = option(descriptor, "get")
        setattr(target, js_string(name), getter() if getter is not None else option(descriptor, "value"))
        return target


#: What was frozen, by id.
_frozen: dict[int, Any] = {}


class StringConstructor(_Constructor):
    _call_name = "String"

    def __call__(self, value: Any = "", **_options: Any) -> str:
        return js_string(unwrap(value))

    def fromCharCode(self, *codes: Any) -> str:
        units = b"".join(int(to_number(code)).to_bytes(2, "little") for code in codes)
        return units.decode("utf-16-le", "surrogatepass")


class NumberConstructor(_Constructor):
    _call_name = "Number"
    MAX_SAFE_INTEGER = 2**53 - 1
    MIN_SAFE_INTEGER = -(2**53 - 1)
    EPSILON = 2.0**-52
    MAX_VALUE = 1.7976931348623157e308
    MIN_VALUE = 5e-324
    NaN = float("nan")
    POSITIVE_INFINITY = float("inf")
    NEGATIVE_INFINITY = float("-inf")

    def __call__(self, value: Any = 0, **_options: Any) -> Any:
        value = unwrap(value)
        return float(value) if isinstance(value, int) and abs(value) > 2**53 else to_number(value)

    def isInteger(self, value: Any) -> bool:
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())

    def isSafeInteger(self, value: Any) -> bool:
        return self.isInteger(value) and abs(value) <= self.MAX_SAFE_INTEGER

    def isNaN(self, value: Any) -> bool:
        return isinstance(value, float) and value != value

    def isFinite(self, value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) != float("inf")

    def parseFloat(self, text: Any = None) -> Any:
        from .globals import parse_float

        return parse_float(text)

    def parseInt(self, text: Any = None, radix: Any = None) -> Any:
        from .globals import parse_int

        return parse_int(text, radix)


class BooleanConstructor(_Constructor):
    _call_name = "Boolean"

    def __call__(self, value: Any = None, **_options: Any) -> bool:
        if isinstance(value, JsProxy):
            return True
        return bool(value) and value == value


class BigIntConstructor(_Constructor):
    _call_name = "BigInt"

    def __call__(self, value: Any = None, **_options: Any) -> JsBigInt:
        try:
            return JsBigInt(int(value, 0) if isinstance(value, str) else int(value))
        except (TypeError, ValueError):
            raise_js("SyntaxError", f"Cannot convert {js_string(value)} to a BigInt")


Object = type.__call__(ObjectConstructor)
String = type.__call__(StringConstructor)
Number = type.__call__(NumberConstructor)
Boolean = type.__call__(BooleanConstructor)
BigInt = type.__call__(BigIntConstructor)


class RegExp(JsProxy):
    """A regular expression, as far as Python's syntax is JavaScript's."""

    def __init__(self, pattern: Any, flags: Any = "") -> None:
        self.source = js_string(pattern)
        self.flags = js_string(flags or "")
        self.lastIndex = 0
        letters = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}
        options = sum((letters[flag] for flag in self.flags if flag in letters), re.NOFLAG)
        try:
            self._compiled = re.compile(re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", self.source), options)
        except re.error as error:
            raise_js("SyntaxError", f"Invalid regular expression: /{self.source}/{self.flags}: {error}")

    @property
    def global_(self) -> bool:
        return "g" in self.flags

    def test(self, text: Any) -> bool:
        return self.exec(text) is not jsnull

    def exec(self, text: Any) -> Any:
        sticky = "g" in self.flags or "y" in self.flags
        given = js_string(text)
        search = self._compiled.match if "y" in self.flags else self._compiled.search
        found = search(given, self.lastIndex if sticky else 0)
        if sticky:
            self.lastIndex = 0 if found is None else found.end()
        if found is None:
            return jsnull
        made = RegExpMatch.new(found[0], *found.groups())
        made.match = found
        return made

    def toString(self) -> str:
        return f"/{self.source}/{self.flags}"


class RegExpMatch(Array):
    """What `exec` finds: the match, its groups, and `groups` by name. (`index` is an array's method in Pyodide too.)"""

    __slots__ = ("match",)
    _js_name = "Array"

    @property
    def input(self) -> str:
        return self.match.string

    @property
    def groups(self) -> Any:
        named = self.match.groupdict()
        return make_object(dict(named)) if named else None


class WeakRef(JsProxy):
    def __init__(self, target: Any) -> None:
        try:
            self._target: Any = weakref.ref(target)
        except TypeError:  # an object without a place for weak references lives as long as this one
            self._target = lambda: target

    def deref(self) -> Any:
        return self._target()


def structured_clone(value: Any, _options: Any = None) -> Any:
    """`structuredClone`. Raises JavaScript's DataCloneError for functions, Python objects and the like."""
    made: dict[int, Any] = {}

    def clone(item: Any) -> Any:
        if item is jsnull or item is None or isinstance(item, (str, int, float)):
            return item
        if id(item) in made:
            return made[id(item)]
        copy: Any
        if isinstance(item, Array):
            copy = made[id(item)] = make_array([])
            copy._items.extend(clone(part) for part in item._items)
        elif isinstance(item, Map):
            copy = made[id(item)] = Map.new()
            for key, part in item._entries():
                copy.set(clone(key), clone(part))
        elif isinstance(item, Set):
            copy = made[id(item)] = Set.new()
            for part in item:
                copy.add(clone(part))
        elif isinstance(item, Date):
            copy = Date.new(item._time)
        elif isinstance(item, JsException):
            copy = type.__call__(type(item), item.name, item.message, item.stack)
        elif isinstance(item, ArrayBuffer):
            copy = make_buffer(item.to_bytes())
        elif isinstance(item, BufferView):
            copy = type(item).new(make_buffer(item.to_bytes()))
        elif type(item) is JsObject:
            copy = made[id(item)] = make_object({})
            copy._props.update((key, clone(part)) for key, part in own_entries(item))
        else:
            not_cloneable(item)
        return copy

    return clone(value)


def not_cloneable(value: Any) -> Any:
    """Raise the DataCloneError for a value."""
    value = unwrap(value)
    if isinstance(value, JsProxy):
        if value.constructor.name in ("Response", "Request", "ReadableStream"):
            raise_js("DataCloneError", "ReadableStream can only be serialized for RPC.")
        shown = value.toString() if value.typeof == "function" else f"#<{value.constructor.name}>"
    else:
        shown = "function(){}" if js_typeof(value) == "function" else "[object Object]"
    raise_js("DataCloneError", f"{shown} could not be cloned.")


class MathObject(JsProxy):
    _js_name = "Math"

    def __init__(self) -> None:
        import math
        import random

        plain = (
            "acos",
            "asin",
            "atan",
            "atan2",
            "ceil",
            "cos",
            "exp",
            "floor",
            "log",
            "log10",
            "log2",
            "sin",
            "sqrt",
            "tan",
        )
        for name in (*plain, "cbrt", "cosh", "sinh", "tanh", "trunc", "hypot"):
            call = getattr(math, name)
            self.__dict__[name] = Function.new(lambda *args, _call=call: _number(_call, args), name)
        self.__dict__.update(
            PI=math.pi,
            E=math.e,
            abs=Function.new(lambda value: abs(to_number(value)), "abs"),
            max=Function.new(lambda *values: max(map(to_number, values), default=float("-inf")), "max"),
            min=Function.new(lambda *values: min(map(to_number, values), default=float("inf")), "min"),
            pow=Function.new(lambda base, power: to_number(base) ** to_number(power), "pow"),
            random=Function.new(random.random, "random"),
            round=Function.new(lambda value: _number(math.floor, (to_number(value) + 0.5,)), "round"),
            sign=Function.new(lambda value: (to_number(value) > 0) - (to_number(value) < 0), "sign"),
        )


def _number(call: Any, args: tuple[Any, ...]) -> Any:
    try:
        return from_js(float(call(*[to_number(arg) for arg in args])))
    except (ValueError, OverflowError):
        return float("nan")
