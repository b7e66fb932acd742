"""WebSocket, WebSocketPair and their events. Texts and rules are workerd's (src/workerd/api/web-socket.c++), measured.

A socket has another end: the other socket of its pair, the client behind the server (socket_links.ServerLink), or a server
that this Worker called (socket_client.ClientLink). An end is told with `_receive(kind, *args)`: "message" (str or bytes),
"close" (code, reason, clean) or "error" (text).
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Protocol

from ...loop import current
from .abort import Event, EventTarget
from .buffers import ArrayBuffer, BufferView, make_buffer
from .convert import js_string, unwrap
from .core import JsProxy, js_error, jsnull, raise_js
from .numbers import to_number
from .timers import _keep, _report

CONNECTING, OPEN, CLOSING, CLOSED = range(4)
#: Bytes of an attachment (docs: Durable Objects, WebSockets; measured).
MAX_ATTACHMENT_BYTES = 16384
#: Bytes of a close reason (RFC 6455, 5.5).
MAX_REASON_BYTES = 123

_NOT_ACCEPTED = "You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages."
_CLOSED = "Can't call WebSocket send() after close()."
_HIBERNATES = "Can't accept() WebSocket after enabling hibernation."
_CONSTRUCTED = "Websockets obtained from the 'new WebSocket()' constructor cannot call accept"
_BAD_CODE = "Invalid WebSocket close code: {code}."
_REASON_ALONE = "If you specify a WebSocket close reason, you must also specify a code."
_LONG_REASON = "WebSocket close reason must not be longer than 123 bytes when UTF-8 encoded."
_BIG_ATTACHMENT = "A WebSocket 'attachment' cannot be larger than {limit} bytes.'attachment' was {size} bytes."


class End(Protocol):
    """Whoever is told what a socket does."""

    def _receive(self, kind: str, *args: Any) -> None: ...


class MessageEvent(Event):
    """`event.data`: a text, an ArrayBuffer or a Blob."""


class CloseEvent(Event):
    """`event.code`, `event.reason`, `event.wasClean`."""


class ErrorEvent(Event):
    """`event.message`, `event.error`."""


class WebSocket(EventTarget):
    """One end of a connection."""

    CONNECTING = READY_STATE_CONNECTING = CONNECTING
    OPEN = READY_STATE_OPEN = OPEN
    CLOSING = READY_STATE_CLOSING = CLOSING
    CLOSED = READY_STATE_CLOSED = CLOSED

    def __init__(self, url: Any = None, protocols: Any = None) -> None:
        """`new WebSocket(url, protocols)`: connects, and is ready at the event "open"."""
        EventTarget.__init__(self)
        self._begin(CONNECTING)
        self._constructed = self._accepted = True
        from ...socket_client import connect_constructed

        connect_constructed(self, url, protocols)

    def _begin(self, state: int) -> None:
        self.__dict__.update(onopen=None, onmessage=None, onclose=None, onerror=None)
        self._state = state
        self._url: Any = jsnull
        self._protocol = ""
        self._extensions = ""
        self._end: End | None = None
        self._constructed = False
        self._accepted = False
        #: What a Durable Object keeps of it (durable/instance.py), once it has taken it.
        self._hibernation: Any = None
        self._handler: Callable[..., None] | None = None
        self._inbox: deque[tuple[Any, ...]] = deque()
        self._dispatching = False
        self._context: Context | None = None
        self._attachment: bytes | None = None
        self._sent_close = self._got_close = False
        #: Whether a client is behind it, who closes for himself.
        self._forwards = False
        flags = sys.modules.get("_cloudflare_compat_flags")
        standard = bool(getattr(flags, "websocket_standard_binary_type", False))
        self._binary_type = "blob" if standard else "arraybuffer"
        self._object: Any = None

    @classmethod
    def _make(cls, state: int = OPEN) -> WebSocket:
        made = cls.__new__(cls)
        EventTarget.__init__(made)
        made._begin(state)
        return made

    # --- what user code calls -------------------------------------------------------------------------------------

    @property
    def readyState(self) -> int:
        return self._state

    @property
    def url(self) -> Any:
        return self._url

    @property
    def protocol(self) -> str:
        return self._protocol

    @property
    def extensions(self) -> str:
        return self._extensions

    @property
    def binaryType(self) -> str:
        return self._binary_type

    @binaryType.setter
    def binaryType(self, value: Any) -> None:
        if value not in ("blob", "arraybuffer"):
            raise_js("SyntaxError", f"binaryType must be either 'blob' or 'arraybuffer', but got {js_string(value)}.")
        self._binary_type = value

    def accept(self, *_options: Any) -> None:
        """Take this end: from now on there are events."""
        if self._constructed:
            raise_js("TypeError", _CONSTRUCTED)
        if self._hibernation is not None:
            raise_js("TypeError", _HIBERNATES)
        if self._accepted:
            return
        self._accepted = True
        self._context = copy_context()
        self._keep_awake()
        self._pump_soon()

    def send(self, message: Any = None) -> None:
        """Send a text, or the bytes of a buffer."""
        if not self._accepted and self._hibernation is None:
            raise_js("TypeError", _NOT_ACCEPTED)
        if self._state == CONNECTING:
            raise_js("InvalidStateError", "WebSocket is not open: it is still connecting.")
        if self._sent_close:
            raise_js("TypeError", _CLOSED)
        message = unwrap(message)
        if isinstance(message, (ArrayBuffer, BufferView)):
            data: Any = message.to_bytes()
        elif isinstance(message, (bytes, bytearray, memoryview)):
            data = bytes(message)
        else:
            data = js_string(message)
        self._send_raw(data)

    def close(self, code: Any = None, reason: Any = None) -> None:
        """Close this end: code 1000 or 3000 to 4999, and the others that may be sent."""
        if reason in (None, jsnull, "") and (code is None or code is jsnull):
            number, text = 1005, ""
        else:
            if code is None or code is jsnull:
                raise_js("InvalidAccessError", _REASON_ALONE)
            number = int(to_number(code))
            if not (1000 <= number < 5000) or number in (1004, 1005, 1006, 1015):
                raise_js("InvalidAccessError", _BAD_CODE.format(code=number))
            text = "" if reason in (None, jsnull) else js_string(reason)
            if len(text.encode("utf-8", "replace")) > MAX_REASON_BYTES:
                raise_js("SyntaxError", _LONG_REASON)
        if self._sent_close or self._state == CLOSED:
            return
        self._sent_close = True
        self._state = CLOSED if self._got_close else CLOSING
        self._tell("close", number, text, True)
        if self._got_close:
            self._let_sleep()

    def serializeAttachment(self, value: Any = None) -> None:
        """Keep a value with this socket, also while its object sleeps: at most 16,384 bytes."""
        from ...v8 import serialize

        data = serialize(unwrap(value))
        if len(data) > MAX_ATTACHMENT_BYTES:
            raise_js("Error", _BIG_ATTACHMENT.format(limit=MAX_ATTACHMENT_BYTES, size=len(data)))
        self._attachment = data

    def deserializeAttachment(self) -> Any:
        """A copy of what was kept, or null."""
        if self._attachment is None:
            return jsnull
        from ...v8 import deserialize

        return deserialize(self._attachment)

    # --- the other end --------------------------------------------------------------------------------------------

    def _send_raw(self, data: str | bytes) -> None:
        self._tell("message", data)

    def _tell(self, kind: str, *args: Any) -> None:
        if self._end is not None:
            self._end._receive(kind, *args)

    def _receive(self, kind: str, *args: Any) -> None:
        if self._state == CLOSED and kind != "close":
            return
        self._inbox.append((kind, *args))
        self._pump_soon()

    def _disconnect(self, code: int, reason: str) -> None:
        """This end is gone, without a word of its own."""
        if not self._sent_close:
            self._sent_close = True
            self._tell("close", code, reason, False)
        self._state = CLOSED
        self._let_sleep()

    # --- events -----------------------------------------------------------------------------------------------------

    def _take(self, handler: Callable[..., None]) -> None:
        """Hand everything that comes to `handler(socket, kind, *args)` instead of listeners."""
        self._handler = handler
        self._pump_soon()

    def _pump_soon(self) -> None:
        if self._inbox and not self._dispatching and (self._accepted or self._handler is not None):
            hub = current()
            if hub is not None:
                self._dispatching = True
                hub.call_soon(self._pump)

    def _pump(self) -> None:
        self._dispatching = False
        while self._inbox:
            kind, *args = self._inbox.popleft()
            if kind == "close":
                self._got_close = True
                self._state = CLOSED if self._sent_close else CLOSING
            if self._handler is not None:
                self._handle(kind, args)
            else:
                self._dispatch_in_context(kind, args)
            if kind == "close" and not self._forwards:
                self._reply_to_close(args[0])

    def _reply_to_close(self, code: int) -> None:
        """The closing handshake is answered also where the handler has not done it (flag web_socket_auto_reply_to_close)."""
        if not self._sent_close:
            self._sent_close = True
            self._tell("close", code if code not in (1005, 1006) else 1000, "", True)
        self._state = CLOSED
        self._let_sleep()

    def _handle(self, kind: str, args: list[Any]) -> None:
        assert self._handler is not None
        if kind == "message" and isinstance(args[0], bytes):
            args = [make_buffer(args[0])]
        elif kind == "error":
            args = [js_error("Error", args[0])]
        elif kind == "open":
            return
        self._handler(self, kind, *args)

    def _dispatch_in_context(self, kind: str, args: list[Any]) -> None:
        context = copy_context() if self._context is None else self._context.copy()
        context.run(self._dispatch, kind, args)

    def _dispatch(self, kind: str, args: list[Any]) -> None:
        event: Event
        if kind == "message":
            event = MessageEvent.new("message", data=self._data(args[0]), origin=jsnull)
        elif kind == "close":
            code, reason, clean = args
            event = CloseEvent.new("close", code=code, reason=reason, wasClean=clean)
        elif kind == "error":
            error = js_error("Error", args[0])
            event = ErrorEvent.new("error", message=args[0], error=error)
        else:
            event = Event.new(kind)
        event.__dict__.update(target=self, currentTarget=self)
        handlers = [self.__dict__.get(f"on{kind}")]
        for listener, once in list(self._listeners.get(kind, ())):
            if once:
                self.removeEventListener(kind, listener)
            handlers.append(listener if callable(listener) else listener.handleEvent)
        for handler in handlers:
            if callable(handler):
                try:
                    result = handler(event)
                    if hasattr(result, "__await__"):
                        _keep(asyncio.ensure_future(result))
                except Exception as error:
                    _report(error)

    def _data(self, message: str | bytes) -> Any:
        if isinstance(message, str):
            return message
        if self._binary_type == "blob":
            from .blob import make_blob

            return make_blob(message, "")
        return make_buffer(message)

    # --- the object that it keeps awake -----------------------------------------------------------------------------

    def _keep_awake(self) -> None:
        from ...durable.instance import current_object

        self._object = current_object.get()
        if self._object is not None:
            self._object.awake_sockets.add(id(self))

    def _let_sleep(self) -> None:
        if self._object is not None:
            self._object.awake_sockets.discard(id(self))


class WebSocketPair(JsProxy):
    """Two sockets, each the other's end."""

    def __init__(self) -> None:
        first, second = WebSocket._make(), WebSocket._make()
        first._end, second._end = second, first
        self._pair = first, second

    def _own_entries(self) -> list[tuple[str, Any]]:
        return [("0", self._pair[0]), ("1", self._pair[1])]

    def __getitem__(self, index: Any) -> WebSocket:
        return self._pair[int(index)]

    def __iter__(self) -> Any:
        raise TypeError("'WebSocketPair' object is not iterable")


class WebSocketRequestResponsePair(JsProxy):
    """What `setWebSocketAutoResponse` is given."""

    def __init__(self, request: Any = None, response: Any = None) -> None:
        self._request, self._response = js_string(request), js_string(response)

    @property
    def request(self) -> str:
        return self._request

    @property
    def response(self) -> str:
        return self._response
