"""`env.<NAMESPACE>` and its stubs.

An object of this very process is called directly, with copies of what RPC would copy; any other through the server.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import fetch as client
from .. import outcome, texts
from ..rpc import Exports, RemoteProperty, remote_fetch, remote_invoke
from ..rpc_values import Remote, decode, encode, encode_error
from ..shims.js.convert import js_string, unwrap
from ..shims.js.core import JsCallable, JsProxy, js_error, jsnull, make_object, merged, option, raise_js
from ..shims.js.headers import Headers
from ..shims.js.promise import as_exception, js_async
from ..shims.js.request import Request
from ..shims.js.response import Response, received_response
from . import limits
from .calls import awaited, from_rpc, on_hub, to_rpc
from .ids import DurableObjectId, IdFactory
from .instance import ObjectInstance

if TYPE_CHECKING:
    from .objects import Objects

#: What only the server calls: no method has such a name.
ALARM = " alarm"
DROP_ALARM = " alarm-drop"


def make(spec: dict[str, Any], exports: Callable[[], Exports], objects: Callable[[], Objects | None]) -> Any:
    """The namespace of a binding: {"class": name, "script": worker name, "own": whether that is this worker}."""
    return DurableObjectNamespace.new(Source(spec, exports, objects))


class Source:
    """Where a namespace's objects are."""

    def __init__(
        self, spec: dict[str, Any], exports: Callable[[], Exports], objects: Callable[[], Objects | None]
    ) -> None:
        self.class_name: str = spec["class"]
        self.worker: str | None = None if spec["own"] else spec["script"]
        self.ids = IdFactory(spec["script"], self.class_name)
        self.exports = exports
        self._objects = objects

    async def here(self) -> Objects | None:
        """The objects of this process, if the class is this worker's and it has them."""
        objects = self._objects() if self.worker is None else None
        if objects is None:
            return None
        return objects if await on_hub(objects.hub, objects.here()) else None


class DurableObjectNamespace(JsProxy):
    """`env.<NAMESPACE>`."""

    def __init__(self, source: Source, jurisdiction: str | None = None) -> None:
        self._source = source
        self._jurisdiction = jurisdiction

    def newUniqueId(self, options: Any = None, **keywords: Any) -> DurableObjectId:
        """An id that nobody else has. `jurisdiction`: where the object has to stay."""
        given = option(merged(options, keywords), "jurisdiction")
        return self._source.ids.unique(self._jurisdiction if given in (None, jsnull) else _jurisdiction(given))

    def idFromName(self, *args: Any) -> DurableObjectId:
        """Always the same id for a name."""
        return self._source.ids.of_name(_argument(args, "idFromName"), self._jurisdiction)

    def idFromString(self, *args: Any) -> DurableObjectId:
        """The id that `toString()` has shown. Raises JavaScript's TypeError for any other text."""
        return self._source.ids.of_string(_argument(args, "idFromString"), self._jurisdiction)

    def get(self, *args: Any, **_options: Any) -> DurableObjectStub:
        """A stub of the object with an id."""
        given = unwrap(args[0]) if args else None
        if not isinstance(given, DurableObjectId):
            raise_js("TypeError", limits.BAD_ID_ARGUMENT.format(call="get", wanted="DurableObjectId"))
        return DurableObjectStub.new(self._source, given)

    def getByName(self, *args: Any, **_options: Any) -> DurableObjectStub:
        """`get(idFromName(name))`."""
        name = _argument(args, "getByName")
        return DurableObjectStub.new(self._source, self._source.ids.of_name(name, self._jurisdiction))

    def jurisdiction(self, name: Any = None) -> DurableObjectNamespace:
        """This namespace within a jurisdiction: other ids for the same names."""
        return DurableObjectNamespace.new(self._source, None if name in (None, jsnull) else _jurisdiction(name))


def _argument(args: tuple[Any, ...], call: str) -> str:
    if not args or args[0] is None:
        raise_js("TypeError", limits.BAD_ID_ARGUMENT.format(call=call, wanted="string"))
    return js_string(unwrap(args[0]))


def _jurisdiction(given: Any) -> str:
    name = js_string(given)
    if name not in limits.JURISDICTIONS:
        raise_js("Error", limits.BAD_JURISDICTION.format(given=name))
    return name


class DurableObjectStub(Remote, JsCallable):
    """A stub: `fetch`, `id`, `name`, and every method of the object."""

    _js_name = "DurableObject"

    def __init__(self, source: Source, object_id: DurableObjectId) -> None:
        self._source = source
        self._id = object_id
        #: What has reset the object in a call of this stub, which is of no use after that, as on Cloudflare.
        self._broken: BaseException | None = None

    @property
    def id(self) -> DurableObjectId:
        return self._id

    @property
    def name(self) -> Any:
        return self._id.name

    @property
    def typeof(self) -> str:
        return "object"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "then":
            raise AttributeError(name)
        return RemoteProperty.new(self._invoke, (name,))

    def __call__(self, *_args: Any, **_options: Any) -> Any:
        raise_js("TypeError", "DurableObject is not a function")

    @property
    def _target(self) -> tuple[Any, ...]:
        return ("object", self._source.class_name, self._id.toString(), self._id.name)

    def _wire(self) -> Any:
        raise_js(
            "DataCloneError",
            "Durable Object stubs cannot (yet) be transferred between Workers. This will change in a future version.",
        )

    def _invoke(self, path: tuple[str, ...], args: tuple[Any, ...] | None) -> Any:
        wire = (
            None if args is None else self._source.exports().wire_args(args)
        )  # what cannot be sent is an error at once
        return self._call(path, wire)

    @js_async
    async def _call(self, path: tuple[str, ...], wire: Any) -> Any:
        if self._broken is not None:
            raise self._broken
        exports = self._source.exports()
        objects = await self._source.here()
        if objects is None:
            return await remote_invoke(exports, self._source.worker, self._target, path, wire)
        good, result = await on_hub(objects.hub, reply(objects, exports, self._target, path, wire))
        try:
            return exports.result((good, result))
        except Exception as error:
            raise self._remember(error) from None

    def fetch(self, resource: Any = None, init: Any = None, **keywords: Any) -> Any:
        """The object's `fetch`. Redirects are followed within it, unless the request says otherwise."""
        init = merged(init, keywords)
        return self._fetch(Request.new(unwrap(resource), make_object({}) if init is None else init))

    @js_async
    async def _fetch(self, request: Request) -> Any:
        if self._broken is not None:
            raise self._broken
        exports = self._source.exports()
        objects = await self._source.here()
        if objects is None:
            return await remote_fetch(exports, self._source.worker, self._target, request, None)
        try:
            return await on_hub(objects.hub, self._fetch_here(objects, request))
        except Exception as error:
            text = outcome.format_exception(error).rstrip("\n")
            made = as_exception(decode(encode_error(error, text), exports))
            raise self._remember(made) from None

    async def _fetch_here(self, objects: Objects, request: Request) -> Response:
        hops = 0
        while True:
            response = await objects.find(self._source.class_name, self._id).fetch(_python_request(request))
            headers = [(name, value) for _, name, value in response._headers._list]
            location = client.redirect_of(response.status, headers) if request.redirect == "follow" else None
            if location is None:
                break
            hops += 1
            if hops > client.MAX_REDIRECTS:
                raise js_error("TypeError", "Too many redirects.")
            body = request._content if isinstance(request._content, bytes) else None
            sent = [(name, value) for _, name, value in request._headers._list]
            outgoing = client.redirected(
                client.Outgoing(request.method, request.url, sent, body), response.status, location
            )
            fields = {"method": outgoing.method, "headers": Headers.new(outgoing.headers), "redirect": "follow"}
            request = Request.new(outgoing.url, make_object(fields))
            request._content = outgoing.body
        content = response._content
        if content is not None:
            response._used = True
        made = received_response(
            response.status, response.statusText, Headers.new(response._headers), content, request.url, hops > 0
        )
        made._web_socket = response._web_socket
        return made

    def _remember(self, error: BaseException) -> BaseException:
        if getattr(error, "durableObjectReset", False):
            self._broken = error
        return error


def _python_request(request: Request) -> Any:
    import sys

    return sys.modules["workers"].Request(request)


async def reply(
    objects: Objects, exports: Exports, target: tuple[Any, ...], path: tuple[str, ...], wire: Any
) -> tuple[bool, Any]:
    """Call a method of an object of this process: whether it went well, and its result or error on the wire."""
    try:
        return True, encode(await invoke(objects, exports, target, path, wire), exports)
    except Exception as error:
        text = outcome.format_exception(error).rstrip("\n")
        return False, encode_error(error, text)


async def invoke(objects: Objects, exports: Exports, target: tuple[Any, ...], path: tuple[str, ...], wire: Any) -> Any:
    """Call a method of an object of this process; its result in JavaScript. Raises what it raises."""
    instance = objects.find(target[1], object_id(objects, target))
    if path == (ALARM,):
        return await _alarm(objects, instance, *wire)
    if path == (DROP_ALARM,):
        return await instance.drop_alarm(*wire)
    if path in (("fetch",), ("connect",)) or len(path) != 1:
        raise js_error("TypeError", texts.NO_RPC_METHOD.format(name=".".join(path)))

    async def call(_target: Any) -> Any:
        method = instance.method(path[0])
        if wire is None:  # methods are all that Python's classes offer
            raise js_error("TypeError", texts.NO_RPC_METHOD.format(name=path[0]))
        result = await awaited(method(*[from_rpc(decode(arg, exports)) for arg in wire]))
        return encode(to_rpc(result), exports)

    return decode(await instance.run(call), exports)


async def fetch(objects: Objects, target: tuple[Any, ...], request: Request) -> Response:
    """`fetch` of an object of this process."""
    return await objects.find(target[1], object_id(objects, target)).fetch(_python_request(request))


async def _alarm(objects: Objects, instance: ObjectInstance, time_ms: int, retry_count: int) -> Any:
    """The server says that an alarm is due: "ok", "none" (there is none any more), "moved", "replaced" or "failed"."""
    try:
        other = await instance.alarm(time_ms, retry_count)
    except Exception as error:
        text = outcome.format_exception(error).rstrip("\n")
        kept = not instance.alarm_replaced
        last = traceback.format_exception_only(error)[-1].strip()
        return make_object({"outcome": "failed" if kept else "replaced", "error": text, "summary": last})
    if other is None:
        return make_object({"outcome": "ok"})
    objects.restore_alarm(instance.class_name, instance.id.toString(), instance.id.name, other)
    return make_object({"outcome": "none" if other < 0 else "moved"})


def object_id(objects: Objects, target: tuple[Any, ...]) -> DurableObjectId:
    """The id in a target, which names the object's class, id and name."""
    made = objects.ids(target[1]).of_string(target[2])
    made._name = target[3]
    return made
