"""ReadableStream. Error texts are workerd's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

from .arrays import make_array
from .buffers import bytes_of, make_bytes
from .convert import unwrap
from .core import JsProxy, js_error, make_object, merged, option, raise_js
from .promise import _loop, _start, as_exception, js_async
from .stream_readers import (
    _END,
    READER_LOCK,
    ReadableStreamAsyncIterator,
    ReadableStreamDefaultReader,
    _fail,
    _reject,
    _resolve,
)

NOT_BYTES = "This ReadableStream did not return bytes."


class ReadableStream(JsProxy):
    def __init__(self, source: Any = None, strategy: Any = None, **keywords: Any) -> None:
        source = merged(source, keywords)
        self._setup()
        high_water = option(strategy, "highWaterMark")
        self._high_water = 1 if high_water is None else high_water
        self._pull: Callable | None = option(source, "pull")
        self._cancel: Callable | None = option(source, "cancel")
        start = option(source, "start")
        controller = ReadableStreamDefaultController.new(self)
        if self._pull is not None:
            pull = self._pull
            self._pull = lambda: pull(controller)
        if start is not None:
            self._pulling = True
            self._run(start(controller), self._started)
        else:
            self._pull_if_wanted()

    def _setup(self) -> None:
        self._queue: deque[tuple[Any, asyncio.Future | None]] = deque()
        self._waiting: deque[asyncio.Future] = deque()
        self._state = "readable"
        self._error: BaseException | None = None
        self._reader: Any = None
        self._closing = False  # closed for writing, but chunks are left
        self._pulling = False
        self._pull = None
        self._cancel = None
        self._high_water = 0
        #: The whole content, when it was known from the start and nothing was read yet.
        self._whole: bytes | None = None
        #: How many bytes there will be, when that is known before they are there.
        self._length: int | None = None

    def _started(self) -> None:
        self._pulling = False
        self._pull_if_wanted()

    def _run(self, result: Any, then: Callable[[], None]) -> None:
        """Go on with `then` when `result` is there; an error of it becomes the stream's."""
        if not hasattr(result, "__await__"):
            then()
            return

        async def wait() -> None:
            try:
                await result
            except Exception as error:
                self._pulling = False
                self._set_error(error)
            else:
                then()

        _keep(asyncio.ensure_future(wait()))

    def _pull_if_wanted(self) -> None:
        if self._pull is None or self._pulling or self._closing or self._state != "readable":
            return
        if not self._waiting and len(self._queue) >= self._high_water:
            return
        self._pulling = True
        try:
            result = self._pull()
        except Exception as error:
            self._pulling = False
            self._set_error(error)
            return
        self._run(result, self._started)

    # --- what a source does ------------------------------------------------------------------------------------

    def _enqueue(self, chunk: Any, taken: asyncio.Future | None = None) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(chunk)
                if taken is not None:
                    _resolve(taken)
                return
        self._queue.append((chunk, taken))

    def _close(self) -> None:
        self._closing = True
        if not self._queue:
            self._finish()

    def _finish(self) -> None:
        if self._state == "readable":
            self._state = "closed"
            for waiting in self._waiting:
                _resolve(waiting, _END)
            self._waiting.clear()
            if self._reader is not None:
                _resolve(self._reader._closed)

    def _set_error(self, reason: Any) -> None:
        if self._state != "readable":
            return
        self._state = "errored"
        error = self._error = as_exception(reason)
        for _, taken in self._queue:
            if taken is not None:
                _fail(taken, error)
        self._queue.clear()
        for waiting in self._waiting:
            _fail(waiting, error)
        self._waiting.clear()
        if self._reader is not None:
            _fail(self._reader._closed, error)

    # --- what a reader does ------------------------------------------------------------------------------------

    def _take(self) -> Any:
        """The next chunk or `_END`, or a future of it. Raises the stream's error."""
        self._whole = None
        if self._queue:
            chunk, taken = self._queue.popleft()
            if taken is not None:
                _resolve(taken)
            if self._closing and not self._queue:
                self._finish()
            else:
                self._pull_if_wanted()
            return chunk
        if self._state == "errored":
            assert self._error is not None
            raise self._error
        if self._state == "closed":
            return _END
        future = _loop().create_future()
        self._waiting.append(future)
        self._pull_if_wanted()
        return future

    async def _next(self) -> Any:
        chunk = self._take()
        return await chunk if isinstance(chunk, asyncio.Future) else chunk

    async def _stop(self, reason: Any = None) -> None:
        if self._state == "errored":
            assert self._error is not None
            raise self._error
        if self._state == "closed":
            return
        cancel, self._cancel = self._cancel, None
        error = (
            as_exception(reason) if reason is not None else js_error("TypeError", "This ReadableStream was canceled.")
        )
        for _, taken in self._queue:
            if taken is not None:
                _fail(taken, error)
        self._queue.clear()
        self._finish()
        if cancel is not None:
            result = cancel(reason)
            if hasattr(result, "__await__"):
                await result

    async def _chunks(self) -> AsyncIterator[Any]:
        while (chunk := await self._next()) is not _END:
            yield chunk

    # --- what Python and JavaScript see ------------------------------------------------------------------------

    @property
    def locked(self) -> bool:
        return self._reader is not None

    def getReader(self, options: Any = None, **_keywords: Any) -> ReadableStreamDefaultReader:
        if self.locked:
            raise_js("TypeError", READER_LOCK)
        return ReadableStreamDefaultReader.new(self)

    def cancel(self, reason: Any = None) -> Any:
        return _reject("TypeError", READER_LOCK) if self.locked else _start(self._stop(reason))

    def tee(self) -> Any:
        if self.locked:
            raise_js("TypeError", "This ReadableStream is currently locked to a reader,")
        self._reader = _Lock()
        left, right = ReadableStream.new(), ReadableStream.new()
        left._whole = right._whole = self._whole
        left._length = right._length = self._length
        branches = [left, right]

        def pull() -> Any:
            return copy()

        async def copy() -> None:
            try:
                chunk = await self._next()
            except Exception as error:
                for branch in branches:
                    branch._set_error(error)
                return
            for branch in branches:
                if branch._state != "readable":
                    continue
                if chunk is _END:
                    branch._close()
                else:
                    branch._enqueue(chunk)

        for branch in branches:
            branch._pull = pull
        return make_array([left, right])

    def pipeThrough(self, transform: Any, options: Any = None, **_keywords: Any) -> Any:
        readable, writable = option(transform, "readable"), option(transform, "writable")
        piping = self.pipeTo(writable, options)
        piping.add_done_callback(lambda done: done.cancelled() or done.exception())  # the streams tell of it
        _keep(piping)
        return readable

    @js_async
    async def pipeTo(self, target: Any, options: Any = None, **keywords: Any) -> None:
        options = merged(options, keywords)
        if self.locked:
            raise_js("TypeError", READER_LOCK)
        self._reader = _Lock()
        writer = target.getWriter()
        try:
            async for chunk in self._chunks():
                await writer.write(chunk)
        except Exception as error:
            if not option(options, "preventAbort"):
                await writer.abort(error)
            raise
        finally:
            self._reader = None
        if not option(options, "preventClose"):
            await writer.close()
        writer.releaseLock()

    def values(self, *_options: Any) -> ReadableStreamAsyncIterator:
        return ReadableStreamAsyncIterator.new(self.getReader())

    def __aiter__(self) -> ReadableStreamAsyncIterator:
        return self.values()

    @staticmethod
    def from_(source: Any) -> ReadableStream:
        """`ReadableStream.from(iterable)`."""
        iterator = source.__aiter__() if hasattr(source, "__aiter__") else iter(source)

        async def pull(controller: Any) -> None:
            try:
                chunk = await iterator.__anext__() if hasattr(iterator, "__anext__") else next(iterator)
            except (StopIteration, StopAsyncIteration):
                controller.close()
            else:
                controller.enqueue(chunk)

        return ReadableStream.new(make_object({"pull": pull}))


class _Lock:
    """Stands for a reader that is not an object of its own."""

    def __init__(self) -> None:
        self._closed = _loop().create_future()


_background: set[Any] = set()


def _keep(future: Any) -> None:
    """Hold a running task: the loop itself holds only weak references."""
    _background.add(future)
    future.add_done_callback(_background.discard)


class ReadableStreamDefaultController(JsProxy):
    __slots__ = ("_stream",)

    def __init__(self, stream: ReadableStream) -> None:
        self._stream = stream

    @property
    def desiredSize(self) -> Any:
        return self._stream._high_water - len(self._stream._queue)

    def enqueue(self, chunk: Any = None) -> None:
        if self._stream._closing or self._stream._state != "readable":
            raise_js("TypeError", "This ReadableStream is closed.")
        self._stream._enqueue(unwrap(chunk))

    def close(self) -> None:
        if self._stream._closing or self._stream._state != "readable":
            raise_js("TypeError", "This ReadableStream is closed.")
        self._stream._close()

    def error(self, reason: Any = None) -> None:
        self._stream._set_error(reason)


def stream_of(data: bytes) -> ReadableStream:
    """A stream over bytes that are all there."""
    stream = ReadableStream.__new__(ReadableStream)
    stream._setup()
    stream._whole = data
    stream._length = len(data)
    if data:
        stream._queue.append((make_bytes(data), None))
    stream._close()
    return stream


def stream_from(pull: Callable[[], Awaitable[bytes]], cancel: Callable[..., Any] | None = None) -> ReadableStream:
    """A stream of byte chunks that `pull` gives, one at a time, until it gives an empty one."""
    stream = ReadableStream.__new__(ReadableStream)
    stream._setup()

    async def pull_one() -> None:
        data = await pull()
        if data:
            stream._enqueue(make_bytes(data))
        else:
            stream._close()

    stream._pull = pull_one
    stream._cancel = cancel
    return stream


async def read_all(stream: ReadableStream) -> bytes:
    """All bytes of a stream. Raises JavaScript's TypeError for a chunk that is none."""
    if stream._whole is not None and stream._state != "errored":
        whole = stream._whole
        stream._queue.clear()
        stream._whole = None
        stream._finish()
        return whole
    parts = [chunk_bytes(chunk) async for chunk in stream._chunks()]
    return b"".join(parts)


def chunk_bytes(chunk: Any) -> bytes:
    """The bytes of a chunk, see `read_all`."""
    data = bytes_of(chunk)
    if data is None:
        _not_bytes()
    return data


def _not_bytes() -> NoReturn:
    raise_js("TypeError", NOT_BYTES)
