"""The module `js`: which names of Workers' global scope there are, and where each is defined. Loaded on first use."""

from __future__ import annotations

import importlib
import math
import opcode
import re
import sys
import time
from types import ModuleType
from typing import Any

_PACKAGE = __name__.rpartition(".")[0]

#: Module of this package by the names that it defines.
_HOME = {
    "abort": ("AbortController", "AbortSignal", "CustomEvent", "Event", "EventTarget"),
    "arrays": ("Array",),
    "blob": ("Blob", "File"),
    "buffers": ("ArrayBuffer", "DataView"),
    "collections": ("Map", "Set"),
    "caches": ("Cache", "CacheStorage", "caches"),
    "compression": ("CompressionStream", "DecompressionStream", "TextDecoderStream", "TextEncoderStream"),
    "console": ("console",),
    "core": ("Function",),
    "crypto": ("Crypto", "CryptoKey", "SubtleCrypto", "crypto"),
    "dates": ("Date",),
    "encoding": ("TextDecoder", "TextEncoder", "atob", "btoa"),
    "formdata": ("FormData",),
    "headers": ("Headers",),
    "html_rewriter": ("HTMLRewriter",),
    "jsjson": ("JSON",),
    "network": ("fetch",),
    "objects": ("BigInt", "Boolean", "Number", "Object", "RegExp", "String", "WeakRef"),
    "promise": ("Promise",),
    "reflect": ("Proxy", "Reflect", "Symbol", "WeakMap", "WeakSet", "process"),
    "request": ("Request",),
    "response": ("Response",),
    "stream_readers": ("ReadableStreamDefaultReader",),
    "streams": ("ReadableStream",),
    "timers": ("clearInterval", "clearTimeout", "queueMicrotask", "setInterval", "setTimeout"),
    "url": ("URL", "URLSearchParams"),
    "writable": (
        "ByteLengthQueuingStrategy",
        "CountQueuingStrategy",
        "FixedLengthStream",
        "IdentityTransformStream",
        "TransformStream",
        "WritableStream",
        "WritableStreamDefaultWriter",
    ),
    "websocket": (
        "CloseEvent",
        "ErrorEvent",
        "MessageEvent",
        "WebSocket",
        "WebSocketPair",
        "WebSocketRequestResponsePair",
    ),
}
_NAMES = {name: module for module, names in _HOME.items() for name in names}

_LEADING_INT = re.compile(r"\s*([+-]?)(0[xX])?([0-9A-Za-z]*)")
_LEADING_FLOAT = re.compile(r"\s*[+-]?(Infinity|\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)", re.ASCII)

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

#: The characters that encodeURI and encodeURIComponent leave as they are, beside letters and digits (ECMAScript 19.2.6).
_COMPONENT_SAFE = "-_.!~*'()"
_URI_SAFE = _COMPONENT_SAFE + ";/?:@&=+$,#"


class JsModule(ModuleType):
    """`js`. A name that is not emulated is an ImportError of `from js import ...`, and an AttributeError else."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = _lookup(name)
        if value is _MISSING:
            text = (
                f"wpy does not emulate js.{name}; use `pywrangler dev` for a Worker that needs it, or a Python library "
                "that does the same"
            )
            if _imports(sys._getframe(1)):
                raise ImportError(text, name="js")
            raise AttributeError(text, name=name, obj=self)
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *_NAMES, *_SIMPLE})


def _imports(frame: Any) -> bool:
    """Whether the frame is executing `from js import name`."""
    code, at = frame.f_code.co_code, frame.f_lasti
    return 0 <= at < len(code) and opcode.opname[code[at]] == "IMPORT_FROM"


_MISSING = object()


def _lookup(name: str) -> Any:
    module = _NAMES.get(name)
    if module is not None:
        return getattr(importlib.import_module(f"{_PACKAGE}.{module}"), name)
    if name in _SIMPLE:
        return _SIMPLE[name]()
    from .buffers import TYPED_ARRAYS
    from .core import ERRORS

    return TYPED_ARRAYS.get(name) or ERRORS.get(name) or _MISSING


def _function(name: str, call: Any) -> Any:
    from .core import Function

    return Function.new(call, name)


def parse_int(text: Any = None, radix: Any = None) -> Any:
    from .convert import js_string

    found = _LEADING_INT.match(js_string(text))
    assert found is not None
    base = int(radix or (16 if found[2] else 10))
    if not 2 <= base <= 36:
        return math.nan
    value, digits = 0, 0
    for character in found[3] if not found[2] or base == 16 else "0":
        digit = int(character, 36)
        if digit >= base:
            break
        value, digits = value * base + digit, digits + 1
    return math.nan if not digits else -value if found[1] == "-" else value


def parse_float(text: Any = None) -> Any:
    from .convert import js_string
    from .numbers import from_js

    found = _LEADING_FLOAT.match(js_string(text))
    return from_js(float(found[0].replace("Infinity", "inf"))) if found else math.nan


def _is_nan(value: Any = None) -> bool:
    from .numbers import to_number

    number = to_number(value)
    return number != number


def _is_finite(value: Any = None) -> bool:
    from .numbers import to_number

    return math.isfinite(to_number(value))


def _encoder(safe: str) -> Any:
    def encode(text: Any = None) -> str:
        from urllib.parse import quote

        from .convert import js_string
        from .core import raise_js

        try:
            return quote(js_string(text), safe=safe)
        except UnicodeEncodeError:
            raise_js("URIError", "URI malformed")

    return encode


def _decode(text: Any = None) -> str:
    from urllib.parse import unquote_to_bytes

    from .convert import js_string
    from .core import raise_js

    given = js_string(text)
    if _BAD_ESCAPE.search(given):
        raise_js("URIError", "URI malformed")
    try:
        return unquote_to_bytes(given).decode("utf-8")
    except UnicodeDecodeError:
        raise_js("URIError", "URI malformed")


def _math() -> Any:
    from .objects import MathObject

    return MathObject.new()


def _structured_clone() -> Any:
    from .objects import structured_clone

    return _function("structuredClone", structured_clone)


def _performance() -> Any:
    from .core import make_object

    started = time.monotonic()
    now = _function("now", lambda: (time.monotonic() - started) * 1000)
    return make_object({"now": now, "timeOrigin": time.time_ns() // 1_000_000})


def _navigator() -> Any:
    from .core import make_object

    return make_object({"userAgent": "Cloudflare-Workers"})


def _scheduler() -> Any:
    from .core import make_object
    from .promise import js_async

    @js_async
    async def wait(milliseconds: Any = 0) -> None:
        import asyncio

        await asyncio.sleep(max(0, milliseconds) / 1000)

    return make_object({"wait": _function("wait", wait)})


def _cloudflare() -> Any:
    from .core import make_object

    flags = dict(getattr(sys.modules.get("_cloudflare_compat_flags"), "flags", {}))
    return make_object({"compatibilityFlags": make_object(flags)})


def _eval(*_code: Any) -> Any:
    from .core import raise_js

    raise_js("EvalError", "Code generation from strings disallowed for this context")


def _report_error(error: Any = None) -> None:
    from .promise import as_exception
    from .timers import _report

    _report(as_exception(error))


#: Names that need no module of their own.
_SIMPLE: dict[str, Any] = {
    "undefined": lambda: None,
    "NaN": lambda: math.nan,
    "Infinity": lambda: math.inf,
    "globalThis": lambda: sys.modules["js"],
    "self": lambda: sys.modules["js"],
    "Math": _math,
    "performance": _performance,
    "navigator": _navigator,
    "scheduler": _scheduler,
    "structuredClone": _structured_clone,
    "parseInt": lambda: _function("parseInt", parse_int),
    "parseFloat": lambda: _function("parseFloat", parse_float),
    "isNaN": lambda: _function("isNaN", _is_nan),
    "isFinite": lambda: _function("isFinite", _is_finite),
    "encodeURIComponent": lambda: _function("encodeURIComponent", _encoder(_COMPONENT_SAFE)),
    "encodeURI": lambda: _function("encodeURI", _encoder(_URI_SAFE)),
    "decodeURIComponent": lambda: _function("decodeURIComponent", _decode),
    "decodeURI": lambda: _function("decodeURI", _decode),
    "Cloudflare": _cloudflare,
    "eval": lambda: _function("eval", _eval),
    "reportError": lambda: _function("reportError", _report_error),
}


def make_module() -> JsModule:
    """The module to be `sys.modules["js"]`."""
    return JsModule("js", "Workers' global scope, as far as wpy emulates it.")
