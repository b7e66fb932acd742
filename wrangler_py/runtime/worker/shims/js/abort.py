"""EventTarget, AbortController and AbortSignal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .core import JsProxy, js_error, make_object, option, raise_js
from .promise import as_exception


class Event(JsProxy):
    def __init__(self, kind: str, init: Any = None, **fields: Any) -> None:
        self.__dict__.update(type=kind, cancelable=bool(option(init, "cancelable")), defaultPrevented=False, **fields)

    def preventDefault(self) -> None:
        self.__dict__["defaultPrevented"] = True


class CustomEvent(Event):
    def __init__(self, kind: str, init: Any = None, **fields: Any) -> None:
        super().__init__(kind, init)
        self.__dict__["detail"] = fields.get("detail", option(init, "detail"))


class EventTarget(JsProxy):
    def __init__(self) -> None:
        self._listeners: dict[str, list[tuple[Any, bool]]] = {}

    def addEventListener(self, kind: str, listener: Any, options: Any = None, **keywords: Any) -> None:
        once = bool(option(make_object(keywords) if keywords else options, "once"))
        listeners = self._listeners.setdefault(kind, [])
        if all(seen is not listener for seen, _ in listeners):
            listeners.append((listener, once))

    def removeEventListener(self, kind: str, listener: Any, *_options: Any) -> None:
        self._listeners[kind] = [item for item in self._listeners.get(kind, []) if item[0] is not listener]

    def dispatchEvent(self, event: Any) -> bool:
        handler = getattr(self, f"on{event.type}", None)
        if callable(handler):
            handler(event)
        for listener, once in list(self._listeners.get(event.type, ())):
            if once:
                self.removeEventListener(event.type, listener)
            (listener if callable(listener) else listener.handleEvent)(event)
        return not event.defaultPrevented


class AbortSignal(EventTarget):
    _followers: list[Callable[[Any], None]]

    def __init__(self) -> None:
        raise_js("TypeError", "Illegal constructor")

    @classmethod
    def _make(cls) -> AbortSignal:
        made = cls.__new__(cls)
        EventTarget.__init__(made)
        made.__dict__.update(aborted=False, reason=None, onabort=None)
        made._followers = []
        return made

    @staticmethod
    def abort(reason: Any = None) -> AbortSignal:
        made = AbortSignal._make()
        made._abort(reason)
        return made

    @staticmethod
    def timeout(milliseconds: float) -> AbortSignal:
        made = AbortSignal._make()
        error = js_error("TimeoutError", "The operation was aborted due to timeout")
        asyncio.get_running_loop().call_later(milliseconds / 1000, made._abort, error)
        return made

    @staticmethod
    def any(signals: Any) -> AbortSignal:
        made = AbortSignal._make()
        for signal in signals:
            if signal.aborted:
                made._abort(signal.reason)
                break
            signal._followers.append(made._abort)
        return made

    def throwIfAborted(self) -> None:
        if self.aborted:
            raise as_exception(self.reason)

    def _abort(self, reason: Any = None) -> None:
        if self.__dict__["aborted"]:
            return
        reason = js_error("AbortError", "The operation was aborted") if reason is None else reason
        self.__dict__.update(aborted=True, reason=reason)
        for follow in self._followers:
            follow(reason)
        self.dispatchEvent(Event.new("abort"))


class AbortController(JsProxy):
    def __init__(self) -> None:
        self._signal = AbortSignal._make()

    @property
    def signal(self) -> AbortSignal:
        return self._signal

    def abort(self, reason: Any = None) -> None:
        self._signal._abort(reason)
