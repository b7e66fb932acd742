"""The object model: constructors (`JsClass`), objects (`JsProxy`, `JsObject`), functions, `null` and errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from keyword import iskeyword
from typing import Any, NoReturn


class JsNull:
    """JavaScript's null; there is one, `jsnull`. Falsy."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "jsnull"

    def __reduce__(self) -> str:
        return "jsnull"


jsnull = JsNull()

JsNull.__module__ = "pyodide.ffi"


class JsClass(type):
    """A JavaScript constructor: `js.Response`. `new` constructs; a call is an error, as for any class."""

    _js_name: str
    #: Whether this is one of the types of pyodide.ffi, which are Python's.
    _is_ffi: bool

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        if "_js_name" not in namespace:
            cls._js_name = name
        cls._is_ffi = namespace.get("__module__") == "pyodide.ffi"
        if not cls._is_ffi:  # to Python, Pyodide has one type for all JavaScript objects
            cls.__name__ = cls.__qualname__ = "JsProxy"
            cls.__module__ = "pyodide.ffi"

    @property
    def name(cls) -> str:
        return cls._js_name

    @property
    def constructor(cls) -> Any:
        return Function

    @property
    def typeof(cls) -> str:
        return "function"

    @property
    def js_id(cls) -> int:
        return id(cls)

    def new(cls, *args: Any, **options: Any) -> Any:
        """`new cls(...args, options)`: keyword arguments become a last argument that is an object."""
        return type.__call__(cls, *args, **options)

    def __call__(cls, *args: Any, **options: Any) -> Any:
        return cls._js_call(*args, **options)  # type: ignore[attr-defined]

    def to_py(cls, **_options: Any) -> Any:
        return cls

    def toString(cls) -> str:
        return f"class {cls._js_name} {{ [native code] }}"

    def __repr__(cls) -> str:
        return f"<class '{cls.__module__}.{cls.__qualname__}'>"

    def __instancecheck__(cls, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        # A constructor is itself an object, and a callable one.
        return "_is_any_class" in cls.__dict__ and issubclass(type(instance), JsClass)


class JsProxy(metaclass=JsClass):
    """Any JavaScript object (pyodide.ffi.JsProxy)."""

    __slots__ = ()
    __module__ = "pyodide.ffi"
    __hash__ = None  # type: ignore[assignment]
    _is_any_class = True

    @classmethod
    def _js_call(cls, *_args: Any, **_options: Any) -> Any:
        if cls._is_ffi:
            raise TypeError(f"{cls.__name__} cannot be instantiated.")
        raise_js("TypeError", f"Class constructor {cls._js_name} cannot be invoked without 'new'")

    @property
    def constructor(self) -> Any:
        return type(self)

    @property
    def typeof(self) -> str:
        return "object"

    @property
    def js_id(self) -> int:
        """The same number for the same JavaScript object."""
        return id(self)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return str(self.toString())

    def __str__(self) -> str:
        return str(self.toString())

    def toString(self) -> str:
        return f"[object {type(self)._js_name}]"

    def valueOf(self) -> Any:
        return self

    def hasOwnProperty(self, name: str) -> bool:
        return any(key == name for key, _ in own_entries(self))

    def object_entries(self) -> Any:
        return _array([_array([key, value]) for key, value in own_entries(self)])

    def object_keys(self) -> Any:
        return _array([key for key, _ in own_entries(self)])

    def object_values(self) -> Any:
        return _array([value for _, value in own_entries(self)])

    def as_py_json(self) -> Any:
        """A view of this object in which objects read like dicts."""
        from .views import JsonView

        return JsonView.new(self)

    def as_object_map(self, *, hereditary: bool = False) -> Any:
        """A view of this object that reads like a dict; with `hereditary`, of the objects inside as well."""
        from .views import JsonView, ObjectMapView

        return JsonView.new(self) if hereditary else ObjectMapView.new(self)

    def to_py(self, *, depth: int = -1, default_converter: Callable | None = None) -> Any:
        """This value as plain Python, see `convert.to_py`."""
        from .convert import to_py

        return to_py(self, depth=depth, default_converter=default_converter)

    def to_weakref(self) -> Any:
        from .objects import WeakRef

        return WeakRef.new(self)

    def bind_sig(self, _signature: Any) -> Any:
        return self

    def bind_class(self, _signature: Any) -> Any:
        return self


class JsObject(JsProxy):
    """A plain object. Its properties are Python attributes; it has no items, as in Pyodide."""

    __slots__ = ("_props",)
    _js_name = "Object"
    _props: dict[str, Any]

    def __init__(self, value: Any = None, **options: Any) -> None:
        object.__setattr__(self, "_props", options or (dict(own_entries(value)) if value else {}))

    @classmethod
    def _js_call(cls, value: Any = None) -> Any:
        return value if isinstance(value, JsProxy) else cls.new()

    def __getattr__(self, name: str) -> Any:
        try:
            return self._props[name]
        except KeyError:
            if name[-1] == "_" and iskeyword(name[:-1]) and name[:-1] in self._props:
                return self._props[name[:-1]]
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._props[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._props[name]
        except KeyError:
            raise AttributeError(name) from None

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self._props]

    @property
    def constructor(self) -> Any:
        from .objects import Object

        return Object


def make_object(props: dict[str, Any]) -> JsObject:
    """A plain object that owns `props`."""
    made = JsObject.__new__(JsObject)
    object.__setattr__(made, "_props", props)
    return made


class JsCallable(JsProxy):
    """Anything whose `typeof` is "function"."""

    __slots__ = ()
    __module__ = "pyodide.ffi"
    _is_any_class = True


class Function(JsCallable):
    """A function of the global scope. Keyword arguments become a last argument that is an object."""

    __slots__ = ("__dict__", "_call", "_name", "_takes_options")

    def __init__(self, call: Callable[..., Any], name: str | None = None, *, takes_options: bool = False) -> None:
        self._call = call
        self._name = name or call.__name__
        #: Whether `call` itself has a `**options` parameter.
        self._takes_options = takes_options

    def __call__(self, *args: Any, **options: Any) -> Any:
        if options and not self._takes_options:
            return self._call(*args, make_object(options))
        return self._call(*args, **options)

    @property
    def name(self) -> str:
        return self._name

    @property
    def typeof(self) -> str:
        return "function"

    def call(self, _this: Any = None, *args: Any) -> Any:
        return self(*args)

    def apply(self, _this: Any = None, args: Any = ()) -> Any:
        return self(*args)

    def bind(self, _this: Any = None, *first: Any) -> Function:
        return Function.new(lambda *rest: self(*first, *rest), f"bound {self._name}")

    def toString(self) -> str:
        return f"function {self._name}() {{ [native code] }}"


def function(call: Callable[..., Any]) -> Any:
    """Decorator: a Python function as a function of the global scope. A trailing `_` of its name is dropped."""
    return Function.new(call, call.__name__.rstrip("_"))


class JsException(JsProxy, Exception):
    """A JavaScript error, and what Python raises for one (pyodide.ffi.JsException)."""

    __module__ = "pyodide.ffi"
    _js_name = "Error"
    __hash__ = Exception.__hash__  # type: ignore[assignment]
    #: Name, message and, as in JavaScript, a stack of text.
    name: str
    message: str
    stack: str

    def __init__(self, name: Any = "", message: Any = None, stack: str = "") -> None:
        Exception.__init__(self, name, message)
        self.__dict__.update(name=name, message="" if message is None else message, stack=stack)

    @classmethod
    def new(cls, message: Any = "", options: Any = None, **keywords: Any) -> Any:
        """`new Error(message, {cause})`."""
        from .convert import js_string

        made = type.__call__(cls, cls._js_name, "" if message is None else js_string(message))
        made.stack = str(made)
        if (cause := option(merged(options, keywords), "cause")) is not None:
            made.cause = cause
        return made

    @classmethod
    def _js_call(cls, *args: Any, **options: Any) -> Any:
        return type.__call__(cls, *args, **options)

    def __reduce__(self) -> Any:
        return _unpickle_error, (type(self)._js_name, self.name, self.message, self.stack)

    def __str__(self) -> str:
        return f"{self.name}: {self.message}" if self.message else f"{self.name}"

    def __repr__(self) -> str:
        return str(self)

    def toString(self) -> str:
        return str(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def _own_entries(self) -> list[tuple[str, Any]]:
        return [item for item in self.__dict__.items() if item[0] not in ("name", "message", "stack", "__notes__")]


def _unpickle_error(kind: str, name: str, message: str, stack: str) -> JsException:
    return type.__call__(ERRORS.get(kind, JsException), name, message, stack)


def _error_class(name: str) -> Any:
    made: Any = JsClass(
        "JsException", (JsException,), {"_js_name": name, "__module__": "pyodide.ffi", "__qualname__": "JsException"}
    )
    return made


#: Error constructors by name. All of their instances look like `pyodide.ffi.JsException` to Python.
ERRORS: dict[str, Any] = {"Error": JsException} | {
    name: _error_class(name)
    for name in ("TypeError", "RangeError", "SyntaxError", "ReferenceError", "EvalError", "URIError", "DOMException")
}


class AggregateError(JsException):
    """`new AggregateError(errors, message)`."""

    _js_name = "AggregateError"
    __module__ = "pyodide.ffi"

    @classmethod
    def new(cls, *args: Any, **keywords: Any) -> Any:
        errors, *rest = args or ((),)
        made = super().new(*rest, **keywords)
        made.errors = _array(list(errors))
        return made


ERRORS["AggregateError"] = AggregateError


def js_error(name: str, message: str) -> JsException:
    """An error of JavaScript's kind `name`; names that are no constructor's are DOMException's."""
    kind = ERRORS.get(name)
    if kind is None:
        kind = ERRORS["DOMException"] if name in _DOM_NAMES else JsException
    made = type.__call__(kind, name, message)
    made.stack = str(made)
    return made


_DOM_NAMES = frozenset(
    (
        "AbortError",
        "DataCloneError",
        "DataError",
        "InvalidCharacterError",
        "InvalidStateError",
        "NetworkError",
        "NotSupportedError",
        "OperationError",
        "QuotaExceededError",
        "TimeoutError",
        "TypeMismatchError",
    )
)


def raise_js(name: str, message: str) -> NoReturn:
    """Raise a JavaScript error."""
    raise js_error(name, message)


def _array(items: list[Any]) -> Any:
    from .arrays import make_array

    return make_array(items)


def own_entries(value: Any) -> list[tuple[str, Any]]:
    """An object's own enumerable properties in JavaScript's order. A dict counts as the object it stands for."""
    if isinstance(value, JsObject):
        return ordered(value._props)
    if isinstance(value, dict):
        return ordered({key if isinstance(key, str) else str(key): item for key, item in value.items()})
    entries = getattr(value, "_own_entries", None)
    if entries is not None and isinstance(value, JsProxy):
        return entries()
    return list(getattr(value, "__dict__", {}).items()) if isinstance(value, JsProxy) else []


def ordered(props: dict[str, Any]) -> list[tuple[str, Any]]:
    """Properties in JavaScript's order: those that are array indices first, ascending, then by insertion."""
    indices = [key for key in props if key and key[0] in "0123456789" and is_index(key)]
    if not indices:
        return list(props.items())
    indices.sort(key=int)
    found = set(indices)
    return [(key, props[key]) for key in indices] + [item for item in props.items() if item[0] not in found]


def is_index(key: str) -> bool:
    """Whether a property name is an array index in canonical form."""
    return key.isascii() and key.isdigit() and (key == "0" or key[0] != "0") and int(key) < 2**32 - 1


def option(options: Any, name: str) -> Any:
    """`options.name`, or None (undefined). A Python dict counts as the object it stands for (Pyodide's PyProxy)."""
    if options is None or options is jsnull:
        return None
    if type(options) is JsObject:
        return options._props.get(name)
    if isinstance(options, dict):
        return options.get(name)
    return getattr(options, name, None)


def merged(options: Any, keywords: dict[str, Any]) -> Any:
    """The options object of a call: its keyword arguments when there are any, else what was given."""
    return make_object(keywords) if keywords else options
