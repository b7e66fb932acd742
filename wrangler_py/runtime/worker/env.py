"""`env`: variables, secrets and bindings. A name that is not there is an AttributeError, as on Cloudflare."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from . import texts
from .queue_binding import Caller, QueueBinding
from .shims.js.core import JsObject, JsProxy, make_object, raise_js
from .shims.js.jsjson import to_js_value

if TYPE_CHECKING:
    from .outbox import Outbox


class NotServed(JsProxy):
    """A binding of a kind that wpy does not serve: an error when it is used, not when it is looked at."""

    def __init__(self, name: str, kind: str) -> None:
        self.__dict__["_text"] = texts.NOT_SERVED.format(name=name, kind=kind, advice=texts.INSTEAD.get(kind, ""))
        self.__dict__["_kind"] = kind

    @property
    def constructor(self) -> Any:
        """The class that it has on Cloudflare, for those that the SDK knows."""
        return make_object({"name": texts.CLASS_OF_KIND.get(self._kind, "Object")})

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("js_object", "then") or name.startswith("__"):  # what the SDK asks of any value
            raise AttributeError(name)
        raise_js("Error", self._text)


#: By kind: the module below this package and its maker, `make(name, spec, call) -> object`. Imported when first needed.
#: The caller sends a CALL of (name, method, args) and gives the future of its REPLY.
MAKERS = {
    "kv": ("bindings.kv", "make"),
    "d1": ("bindings.d1", "make"),
    "r2": ("bindings.r2", "make"),
    "assets": ("bindings.assets", "make"),
    "mtls": ("bindings.assets", "make_certificate"),
    "ratelimit": ("bindings.small", "make_ratelimit"),
    "analytics": ("bindings.small", "make_analytics"),
    "secret": ("bindings.small", "make_secret"),
    "hyperdrive": ("bindings.small", "make_hyperdrive"),
    "email": ("bindings.small", "make_email"),
    "version_metadata": ("bindings.small", "make_version_metadata"),
}


def make_binding(
    name: str, spec: dict[str, Any], call: Caller, exports: Callable[[], Any], objects: Callable[[], Any]
) -> Any:
    """The object behind `env.<name>`. `exports` makes rpc.Exports; `objects`: the Durable Objects of this process."""
    if spec["kind"] == "durable_object":
        from .durable import namespace

        return namespace.make(spec, exports, objects)
    if spec["kind"] == "workflow":
        from . import workflows

        return workflows.make(name, spec, call, exports)
    if spec["kind"] == "service":
        return _service(spec, exports)
    if spec["kind"] not in MAKERS:
        return NotServed.new(name, spec.get("what", spec["kind"]))
    module, maker = MAKERS[spec["kind"]]
    make: Callable[[str, dict[str, Any], Caller], Any] = getattr(import_module(f".{module}", __package__), maker)
    return make(name, spec, call)


class Env(JsObject):
    """`env`. A name that is not there is an AttributeError that says which are."""

    __slots__ = ()
    _js_name = "Object"

    def __getattr__(self, name: str) -> Any:
        try:
            return self._props[name]
        except KeyError:
            pass
        if name.startswith("__"):
            raise AttributeError(name)
        error = AttributeError(name)
        error.add_note(f"env has no {name}. It has: {', '.join(sorted(self._props)) or 'nothing'}")
        raise error


def as_env(values: dict[str, Any]) -> Env:
    """An env that owns `values`."""
    made = Env.__new__(Env)
    object.__setattr__(made, "_props", values)
    return made


def make_env(
    spec: dict[str, Any],
    call: Caller,
    exports: Callable[[], Any],
    objects: Callable[[], Any] = lambda: None,
    outbox: Outbox | None = None,
) -> Env:
    """The env of a LOAD. Text variables are str, JSON ones are JavaScript values. `exports` makes rpc.Exports; `objects`:
    the Durable Objects of this process (durable.Objects). `outbox`: takes the sends to queues, if there is one."""
    flags = spec.get("flags") or {}
    default_type = "json" if flags.get("queues_json_messages", True) else "v8"
    values: dict[str, Any] = {name: to_js_value(value) for name, value in (spec.get("vars") or {}).items()}
    values.update(spec.get("secrets") or {})
    for name, binding in (spec.get("bindings") or {}).items():
        if binding["kind"] == "queue":
            keep = None if outbox is None else partial(outbox.send, binding["queue"])
            values[name] = QueueBinding(name, call, default_type, keep)
        else:
            values[name] = make_binding(name, binding, call, exports, objects)
    return as_env(values)


def _service(binding: dict[str, Any], exports: Callable[[], Any]) -> Any:
    from .rpc import Fetcher

    target = ("entrypoint", binding.get("entrypoint"), binding.get("props"))
    return Fetcher.new(exports(), binding["service"], target)


class WorkerExports(JsObject):
    """`ctx.exports`: this Worker's own entrypoints as bindings, made when asked for; the default one is "default"."""

    __slots__ = ()
    _js_name = "Object"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        made = self._props.get(name)
        if made is None:
            raise AttributeError(name)
        return made()


def make_exports(names: Iterable[str], exports: Callable[[], Any]) -> WorkerExports:
    """The exports of a Worker with these entrypoints."""

    def bind(name: str) -> Any:
        from .rpc import Fetcher

        return Fetcher.new(exports(), None, ("entrypoint", name, None))

    made = WorkerExports.__new__(WorkerExports)
    makers = {"default" if name == "Default" else name: partial(bind, name) for name in names}
    object.__setattr__(made, "_props", makers)
    return made
