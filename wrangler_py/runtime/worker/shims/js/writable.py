"""WritableStream and TransformStream. Error texts are workerd's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .buffers import bytes_of
from .convert import unwrap
from .core import JsProxy, js_error, make_object, merged, option, raise_js
from .numbers import MAX_SAFE_INTEGER, to_number
from .promise import _loop, _start, as_exception, settled
from .stream_readers import _reject, _resolve
from .streams import ReadableStream

_WRITER_LOCK = "This WritableStream is currently locked to a writer."
_CLOSED = "This WritableStream has been closed."
_STRING_WRITTEN = (
    "This TransformStream is being used as a byte stream, but received a string on its writable side. If you wish to "
    "write a string, you'll probably want to explicitly UTF-8-encode it with TextEncoder."
)


class WritableStream(JsProxy):
    def __init__(self, sink: Any = None, strategy: Any = None, **keywords: Any) -> None:
        sink = merged(sink, keywords)
        self._state = "writable"
        self._error: BaseException | None = None
        self._writer: Any = None
        self._write: Callable[[Any], Any] = lambda chunk: None
        self._close: Callable[[], Any] = lambda: None
        self._abort: Callable[..., Any] | None = option(sink, "abort")
        #: What the next write has to wait for: the sink gets one chunk after the other.
        self._tail: Any = None
        controller = make_object({"error": self._set_error})
        write, close, start = option(sink, "write"), option(sink, "close"), option(sink, "start")
        if write is not None:
            self._write = lambda chunk: write(chunk, controller)
        if close is not None:
            self._close = close
        if start is not None:
            result = start(controller)
            if hasattr(result, "__await__"):
                self._tail = _start(result)

    def _set_error(self, reason: Any = None) -> None:
        if self._state != "errored":
            self._state = "errored"
            self._error = as_exception(reason)

    @property
    def locked(self) -> bool:
        return self._writer is not None

    def getWriter(self) -> WritableStreamDefaultWriter:
        if self.locked:
            raise_js("TypeError", _WRITER_LOCK)
        self._writer = WritableStreamDefaultWriter.new(self)
        return self._writer

    def close(self) -> Any:
        return _reject("TypeError", _WRITER_LOCK) if self.locked else self._end()

    def abort(self, reason: Any = None) -> Any:
        return _reject("TypeError", _WRITER_LOCK) if self.locked else _start(self._stop(reason))

    def _put(self, chunk: Any) -> Any:
        if self._state == "errored":
            return settled(error=self._error)
        if self._state == "closed":
            return _reject("TypeError", _CLOSED)
        return self._after(lambda: self._write(chunk))

    def _end(self) -> Any:
        if self._state == "errored":
            return settled(error=self._error)
        if self._state == "closed":
            return _reject("TypeError", _CLOSED)
        self._state = "closed"
        return self._after(self._close)

    def _after(self, call: Callable[[], Any]) -> Any:
        """Call the sink when it has finished what it was given before."""
        before = self._tail

        async def run() -> None:
            if before is not None:
                await asyncio.wait([before])
            if self._state == "errored":
                raise self._error or js_error("TypeError", _CLOSED)
            try:
                result = call()
                if hasattr(result, "__await__"):
                    await result
            except Exception as error:
                self._set_error(error)
                raise

        self._tail = _start(run())
        return self._tail

    async def _stop(self, reason: Any = None) -> None:
        if self._state == "errored":
            return
        self._set_error(reason if reason is not None else js_error("AbortError", "The stream was aborted."))
        if self._abort is not None:
            result = self._abort(reason)
            if hasattr(result, "__await__"):
                await result


class WritableStreamDefaultWriter(JsProxy):
    __slots__ = ("_closed", "_stream")

    def __init__(self, stream: WritableStream) -> None:
        self._stream: WritableStream | None = stream
        self._closed = _loop().create_future()

    @property
    def closed(self) -> Any:
        return self._closed

    @property
    def ready(self) -> Any:
        stream = self._stream
        if stream is None or stream._tail is None or stream._tail.done():
            return settled()

        async def wait() -> None:
            await asyncio.wait([stream._tail])

        return _start(wait())

    @property
    def desiredSize(self) -> Any:
        stream = self._stream
        return 1 if stream is None or stream._tail is None or stream._tail.done() else 0

    def write(self, chunk: Any = None) -> Any:
        return _reject("TypeError", _CLOSED) if self._stream is None else self._stream._put(unwrap(chunk))

    def close(self) -> Any:
        if self._stream is None:
            return _reject("TypeError", _CLOSED)
        done = self._stream._end()
        done.add_done_callback(lambda _: _resolve(self._closed))
        return done

    def abort(self, reason: Any = None) -> Any:
        return settled() if self._stream is None else _start(self._stream._stop(reason))

    def releaseLock(self) -> None:
        if self._stream is not None:
            self._stream._writer = None
            self._stream = None


class TransformStream(JsProxy):
    """Without a transformer, what is written is read. A write is done when its chunk has been taken."""

    __slots__ = ("_readable", "_writable")

    def __init__(self, transformer: Any = None, *_strategies: Any, **keywords: Any) -> None:
        transformer = merged(transformer, keywords)
        readable = self._readable = ReadableStream.new()
        writable = self._writable = WritableStream.new()
        transform, flush = option(transformer, "transform"), option(transformer, "flush")
        controller = TransformStreamDefaultController.new(readable, writable)

        async def guarded(call: Callable[[], Any]) -> None:
            """An error of the transformer is one of both sides."""
            try:
                result = call()
                if hasattr(result, "__await__"):
                    await result
            except Exception as error:
                readable._set_error(error)
                raise

        def write(chunk: Any) -> Any:
            if transform is not None:
                return guarded(lambda: transform(chunk, controller))
            taken = _loop().create_future()
            readable._enqueue(chunk, taken)
            return taken

        async def close() -> None:
            if flush is not None:
                await guarded(lambda: flush(controller))
            readable._close()

        writable._write = write
        writable._close = close
        writable._abort = readable._set_error
        readable._cancel = lambda reason=None: writable._set_error(
            reason if reason is not None else js_error("TypeError", "This ReadableStream was canceled.")
        )
        if (start := option(transformer, "start")) is not None:
            result = start(controller)
            if hasattr(result, "__await__"):
                writable._tail = _start(result)

    @property
    def readable(self) -> ReadableStream:
        return self._readable

    @property
    def writable(self) -> WritableStream:
        return self._writable


class IdentityTransformStream(TransformStream):
    """Bytes only."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        write = self._writable._write

        def checked(chunk: Any) -> Any:
            if isinstance(chunk, str):
                raise_js("TypeError", _STRING_WRITTEN)
            return write(chunk)

        self._writable._write = checked


class FixedLengthStream(IdentityTransformStream):
    """Bytes only, and as many as it was made for: what R2 takes as a body."""

    __slots__ = ("_left",)

    def __init__(self, length: Any = None, *_ignored: Any) -> None:
        super().__init__()
        number = to_number(0 if length is None else length)
        if not (isinstance(number, int) or number.is_integer()) or not 0 <= number <= MAX_SAFE_INTEGER:
            raise_js("TypeError", "FixedLengthStream requires an integer expected length less than 2^53.")
        self._readable._length = self._left = int(number)
        write, close = self._writable._write, self._writable._close

        def counted(chunk: Any) -> Any:
            self._left -= len(bytes_of(chunk) or b"")
            if self._left < 0:
                error = js_error("TypeError", "Attempt to write too many bytes through a FixedLengthStream.")
                self._readable._set_error(error)
                raise error
            return write(chunk)

        async def ended() -> None:
            if self._left > 0:
                error = js_error("TypeError", "FixedLengthStream did not see all expected bytes before close().")
                self._readable._set_error(error)
                raise error
            await close()

        self._writable._write, self._writable._close = counted, ended


class CountQueuingStrategy(JsProxy):
    def __init__(self, init: Any = None, **keywords: Any) -> None:
        self.__dict__["highWaterMark"] = option(merged(init, keywords), "highWaterMark")

    def size(self, *_chunk: Any) -> int:
        return 1


class ByteLengthQueuingStrategy(CountQueuingStrategy):
    def size(self, *chunk: Any) -> int:
        return chunk[0].byteLength if chunk else 0


class TransformStreamDefaultController(JsProxy):
    __slots__ = ("_readable", "_writable")

    def __init__(self, readable: ReadableStream, writable: WritableStream) -> None:
        self._readable = readable
        self._writable = writable

    @property
    def desiredSize(self) -> Any:
        return self._readable._high_water - len(self._readable._queue)

    def enqueue(self, chunk: Any = None) -> None:
        self._readable._enqueue(unwrap(chunk))

    def error(self, reason: Any = None) -> None:
        self._readable._set_error(reason)
        self._writable._set_error(reason)

    def terminate(self) -> None:
        self._readable._close()
        self._writable._set_error(js_error("TypeError", "The transform stream has been terminated"))
