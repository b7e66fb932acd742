"""Readers of a ReadableStream, and how promises of streams are settled. Error texts are workerd's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .core import JsProxy, js_error, make_object, raise_js
from .promise import _loop, _start, settled

if TYPE_CHECKING:
    from .streams import ReadableStream

READER_LOCK = "This ReadableStream is currently locked to a reader."
_RELEASED = "This ReadableStream reader has been released."


def _reject(name: str, message: str) -> Any:
    return settled(error=js_error(name, message))


def _resolve(future: asyncio.Future, value: Any = None) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future, error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
        future._log_traceback = False  # a write that nobody awaits is no news


class _End:
    pass


_END: Any = _End()


class ReadableStreamDefaultReader(JsProxy):
    __slots__ = ("_closed", "_stream")

    def __init__(self, stream: ReadableStream) -> None:
        if stream.locked:
            raise_js("TypeError", READER_LOCK)
        self._stream: ReadableStream | None = stream
        self._closed = _loop().create_future()
        stream._reader = self
        if stream._state == "closed":
            self._closed.set_result(None)
        elif stream._state == "errored":
            assert stream._error is not None
            _fail(self._closed, stream._error)

    @property
    def closed(self) -> Any:
        return self._closed

    def read(self, _view: Any = None) -> Any:
        if self._stream is None:
            return _reject("TypeError", _RELEASED)
        try:
            chunk = self._stream._take()
        except Exception as error:
            return settled(error=error)
        if not isinstance(chunk, asyncio.Future):
            return settled(_result(chunk))

        async def wait() -> Any:
            return _result(await chunk)

        return _start(wait())

    def cancel(self, reason: Any = None) -> Any:
        return _reject("TypeError", _RELEASED) if self._stream is None else _start(self._stream._stop(reason))

    def releaseLock(self) -> None:
        if self._stream is not None:
            self._stream._reader = None
            self._stream = None


def _result(chunk: Any) -> Any:
    return make_object({"done": True, "value": None} if chunk is _END else {"done": False, "value": chunk})


class ReadableStreamAsyncIterator(JsProxy):
    __slots__ = ("_reader",)

    def __init__(self, reader: ReadableStreamDefaultReader) -> None:
        self._reader = reader

    def __aiter__(self) -> ReadableStreamAsyncIterator:
        return self

    async def __anext__(self) -> Any:
        stream = self._reader._stream
        if stream is None:
            raise StopAsyncIteration
        chunk = await stream._next()
        if chunk is _END:
            self._reader.releaseLock()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        if self._reader._stream is not None:
            await self._reader._stream._stop()
            self._reader.releaseLock()
