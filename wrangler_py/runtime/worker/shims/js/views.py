"""`as_py_json` and `as_object_map`: objects that read like dicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .arrays import Array
from .collections import JsMutableMap
from .core import JsObject, JsProxy, own_entries


class ObjectMapView(JsMutableMap):
    """An object's own properties as the items of a dict."""

    __slots__ = ("_object",)
    _js_name = "Object"

    def __init__(self, value: Any) -> None:
        self._object = value

    def _wrap(self, value: Any) -> Any:
        return value

    def __getitem__(self, key: Any) -> Any:
        for name, value in own_entries(self._object):
            if name == key:
                return self._wrap(value)
        raise KeyError(key)

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self._object, key, value)

    def __delitem__(self, key: str) -> None:
        delattr(self._object, key)

    def __contains__(self, key: Any) -> bool:
        return any(name == key for name, _ in own_entries(self._object))

    def __len__(self) -> int:
        return len(own_entries(self._object))

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in own_entries(self._object)])

    def keys(self) -> Any:
        return dict.fromkeys(self).keys()

    def values(self) -> Any:
        return [self._wrap(value) for _, value in own_entries(self._object)]

    def items(self) -> Any:
        return [(name, self._wrap(value)) for name, value in own_entries(self._object)]

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key] if key in self else default  # noqa: SIM401  (this is what get() is)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._object, name)

    def toString(self) -> str:
        return str(self._object)

    def to_py(self, **options: Any) -> Any:
        return self._object.to_py(**options)


class JsonView(ObjectMapView):
    """An object, and the objects inside of it, as dicts; an array as a list of such."""

    __slots__ = ()

    def _wrap(self, value: Any) -> Any:
        return JsonView.new(value) if isinstance(value, (JsObject, Array)) else value

    def __getitem__(self, key: Any) -> Any:
        if isinstance(self._object, Array):
            return self._wrap(self._object[key])
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self._object, Array):
            return iter([self._wrap(item) for item in self._object])
        return super().__iter__()

    @property
    def constructor(self) -> Any:
        return self._object.constructor if isinstance(self._object, JsProxy) else JsObject
