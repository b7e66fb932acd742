"""Durable Object ids: the same name gives the same id as workerd gives it (src/workerd/server/actor-id-impl.c++)."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Any

from ..shims.js.convert import js_string
from ..shims.js.core import JsProxy, raise_js
from . import limits

#: Bytes that say which object it is; the rest is a signature that only its namespace makes.
_BASE = 16


class DurableObjectId(JsProxy):
    """An id. Equal ids of one namespace name the same object."""

    def __init__(self, text: str, name: str | None, jurisdiction: str | None = None) -> None:
        self._text = text
        self._name = name
        self._jurisdiction = jurisdiction

    @property
    def name(self) -> Any:
        """The name it was made from; undefined for any other."""
        return self._name

    @property
    def jurisdiction(self) -> Any:
        return self._jurisdiction

    def toString(self) -> str:
        return self._text

    def equals(self, other: Any = None) -> bool:
        if not isinstance(other, DurableObjectId):
            raise_js(
                "TypeError",
                "Failed to execute 'equals' on 'DurableObjectId': parameter 1 is not of type 'DurableObjectId'.",
            )
        return self._text == other._text

    def _own_entries(self) -> list[tuple[str, Any]]:
        return [] if self._name is None else [("name", self._name)]


class IdFactory:
    """Makes and checks the ids of one namespace, which is a class of a worker."""

    def __init__(self, worker: str, class_name: str) -> None:
        self._key = hashlib.sha256(f"{worker}-{class_name}".encode()).digest()

    def unique(self, jurisdiction: str | None = None) -> DurableObjectId:
        return DurableObjectId.new(self._signed(os.urandom(_BASE)), None, jurisdiction)

    def of_name(self, name: str, jurisdiction: str | None = None) -> DurableObjectId:
        text = name if jurisdiction is None else f"{jurisdiction}\0{name}"
        base = self._mac(text.encode("utf-8", "replace"))[:_BASE]
        return DurableObjectId.new(self._signed(base), name, jurisdiction)

    def of_string(self, given: Any, jurisdiction: str | None = None) -> DurableObjectId:
        """Raises JavaScript's TypeError for a text that is no id of this namespace."""
        text = js_string(given)
        try:
            data = bytes.fromhex(text) if len(text) == 64 and text.isalnum() else b""
        except ValueError:
            data = b""
        if len(data) != 32:
            raise_js("TypeError", limits.BAD_ID_TEXT)
        if self._signed(data[:_BASE]) != data.hex():
            raise_js("TypeError", limits.FOREIGN_ID)
        return DurableObjectId.new(data.hex(), None, jurisdiction)

    def _signed(self, base: bytes) -> str:
        return (base + self._mac(base)[:_BASE]).hex()

    def _mac(self, data: bytes) -> bytes:
        return hmac.new(self._key, data, hashlib.sha256).digest()
