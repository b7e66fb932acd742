"""Sends that a file of this process keeps until the server has stored them: `await env.QUEUE.send()` need not wait for it.

A send that the file has is as safe from `kill -9` as a committed one: both are in the kernel's hands, and the server takes
what it has not stored from the file, when this process has ended or at the next start of a session. A send goes on as soon
as the file has it; the server hears of it (frames.SENT) together with others and says later what it has stored
(frames.STORED). All sends of a turn of the loop are written at once. What `send()` answers, the queue's backlog, is waited
for only by who looks at it.

Whatever the server might refuse is not kept but asked for: what is over a limit, and everything while it cannot store.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from functools import lru_cache
from typing import Any

from . import frames, logs
from .connection import Connection
from .loop import Hub, _original_sleep
from .sends_file import FULL, SendsFile
from .shims.js.core import js_error
from .values import js_dict, metrics_dict

#: How often another thread looks whether an answer has come (seconds).
_LOOK_S = 0.001


class _Turn:
    """`await` it to let the loop turn once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


_TURN = _Turn()


class _Sent:
    """One send that the server has not confirmed yet."""

    __slots__ = ("error", "future", "metrics")

    def __init__(self) -> None:
        self.metrics: tuple[int, int, int | None] | None = None
        self.error: BaseException | None = None
        self.future: asyncio.Future | None = None

    @property
    def open(self) -> bool:
        return self.metrics is None and self.error is None


class Outbox:
    """The sends of this process on their way to the server."""

    def __init__(self, spec: dict[str, Any], hub: Hub, connection: Connection, number: Callable[[], int]) -> None:
        """`spec`: LOAD's "outbox". `number` gives the next number of a call."""
        self._file = SendsFile(spec["path"])
        self._max_message: int = spec["max_message"]
        self._max_batch: int = spec["max_batch"]
        self._max_count: int = spec["max_count"]
        self._max_delay: int = spec["max_delay"]
        self._hub = hub
        self._connection = connection
        self._number = number
        self._unwritten: list[bytes] = []
        #: The last number that was given, and the last one that the file has.
        self._last = self._kept = 0
        self._unstored: dict[int, _Sent] = {}
        self._waiting: list[asyncio.Future] = []
        #: Whether the server cannot store at this time.
        self._refusing = False

    def send(self, queue: str, messages: tuple[Any, ...], delay: int | None, batch: bool) -> Awaitable[Any] | None:
        """What `send()` gives; None for a send that the server has to be asked for."""
        if self._refusing or not self._within_limits(messages, delay, batch):
            return None
        number = self._last = self._number()
        event = logs.current_event.get()
        data = frames.encode(frames.SENT, number, 0 if event is None else event.id, queue, messages, delay, batch)
        self._unwritten.append(data)
        sent = self._unstored[number] = _Sent()
        self._connection.send_kept(data)
        return self._answer(number, sent)

    def _within_limits(self, messages: tuple[Any, ...], delay: int | None, batch: bool) -> bool:
        if delay is not None and not 0 <= delay <= self._max_delay:
            return False
        if not batch:
            body, _, own = messages[0]
            return len(body) <= self._max_message and (own is None or 0 <= own <= self._max_delay)
        total = 0
        for body, _, own in messages:
            size = len(body)
            total += size
            if size > self._max_message or (own is not None and not 0 <= own <= self._max_delay):
                return False
        return len(messages) <= self._max_count and total <= self._max_batch

    async def _answer(self, number: int, sent: _Sent) -> Any:
        await _TURN
        if self._kept < number and sent.open:
            try:
                self._write()
            except OSError:  # the disk is full, the folder is gone: the server's word is what counts
                await self._stored(sent)
        if self._file.size > FULL and self._unstored:
            room = asyncio.get_running_loop().create_future()
            self._waiting.append(room)
            await room
        return _answer_class()(self, sent)

    def _write(self) -> None:
        """Bring everything into the file. Raises OSError; then the file is as it was."""
        if self._hub.before_output is not None:
            self._hub.before_output()  # what a Durable Object wrote before it sent is stored before
        self._file.append(b"".join(self._unwritten))
        self._unwritten.clear()
        self._kept = self._last

    async def _stored(self, sent: _Sent) -> None:
        if sent.open:
            sent.future = asyncio.get_running_loop().create_future()
            await sent.future
        if sent.error is not None:
            raise sent.error

    def metrics(self, sent: _Sent) -> tuple[int, int, int | None]:
        """The backlog with a send in it. Blocks until the server has stored it; nothing else runs meanwhile. Raises
        JsException when it cannot be stored for now."""
        while sent.open:
            if threading.get_ident() == self._hub._thread_id:
                self._connection.receive()
            else:
                _original_sleep(_LOOK_S)
        if sent.metrics is None:
            assert sent.error is not None
            raise sent.error
        return sent.metrics

    # What the server says ---------------------------------------------------------------------------------------------

    def stored(self, frame: tuple[Any, ...]) -> None:
        """frames.STORED"""
        unstored = self._unstored
        for number, *metrics in frame[1]:
            sent = unstored.pop(number)
            sent.metrics = tuple(metrics)
            if sent.future is not None and not sent.future.done():
                sent.future.set_result(None)
        if unstored:
            return
        self._refusing = False
        self._unwritten.clear()
        self._kept = self._last
        self._file.all_stored()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def refused(self, frame: tuple[Any, ...]) -> None:
        """frames.REFUSED"""
        _, number, name, message, later = frame
        sent = self._unstored.get(number) if later else self._unstored.pop(number, None)
        self._refusing = self._refusing or later
        if sent is not None and sent.open:
            sent.error = js_error(name, message)
            if sent.future is not None and not sent.future.done():
                sent.future.set_result(None)


@lru_cache(1)
def _answer_class() -> Any:
    base = js_dict()

    class Answer(base):  # type: ignore[misc, valid-type]
        """`{"metadata": {"metrics": {...}}}`, which asks for the metrics when it is looked at."""

        def __init__(self, outbox: Outbox, sent: _Sent) -> None:
            self.__dict__["_asks"] = outbox, sent

        def __reduce_ex__(self, protocol: Any) -> Any:
            return base, (dict(_look(self)),)

    def _look(answer: Any) -> Any:
        if "_asks" in answer.__dict__:
            outbox, sent = answer.__dict__["_asks"]
            dict.__setitem__(answer, "metadata", base({"metrics": metrics_dict(outbox.metrics(sent))}))
            answer.__dict__.clear()
        return answer

    def looking(name: str) -> Callable[..., Any]:
        own = getattr(base, name)

        def method(self: Any, *args: Any, **keywords: Any) -> Any:
            return own(_look(self), *args, **keywords)

        method.__name__ = name
        return method

    for name in dir(dict):
        if callable(getattr(dict, name)) and name not in _NOT_LOOKING:
            setattr(Answer, name, looking(name))
    return Answer


#: What an object does that nobody has looked into.
_NOT_LOOKING = frozenset(
    [
        "__new__",
        "__init__",
        "__init_subclass__",
        "__subclasshook__",
        "__class__",
        "__class_getitem__",
        "__getattribute__",
        "__setattr__",
        "__delattr__",
        "__reduce__",
        "__reduce_ex__",
        "__getstate__",
        "__hash__",
        "fromkeys",
    ]
)
