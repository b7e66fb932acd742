"""`ctx.storage.kv`: keys and values without awaiting, for objects on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..shims.js.arrays import JsIterator, make_array
from ..shims.js.core import JsProxy

if TYPE_CHECKING:
    from .storage import Operations


class SyncKvStorage(JsProxy):
    """get, put, delete and list."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def get(self, key: Any = None) -> Any:
        """The value, or undefined."""
        return self._operations.get_one(key)

    def put(self, key: Any = None, value: Any = None) -> None:
        self._operations.put_one(key, value)

    def delete(self, key: Any = None) -> bool:
        """Whether there was one."""
        return self._operations.delete_one(key)

    def list(self, options: Any = None, **keywords: Any) -> JsIterator:
        """An iterator over [key, value], in the order of the keys' UTF-8."""

        def pairs() -> Iterator[Any]:
            for key, value in self._operations.entries(options, keywords):
                yield make_array([key, value])

        return ListIterator.new(pairs())


class ListIterator(JsIterator):
    """What list() returns."""
