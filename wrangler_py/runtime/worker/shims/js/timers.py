"""setTimeout and its kin. A callback belongs to the event that set it: an error in one fails that event."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable
from typing import Any

from ...logs import current_event
from ...loop import current
from .core import function
from .numbers import to_number

_ids = itertools.count(1)
_timers: dict[int, asyncio.TimerHandle] = {}


def _seconds(delay: Any) -> float:
    milliseconds = to_number(delay) if delay is not None else 0
    return 0 if math.isnan(milliseconds) else max(0.0, milliseconds / 1000)


def _call(callback: Callable, args: tuple[Any, ...]) -> None:
    try:
        result = callback(*args)
        if hasattr(result, "__await__"):
            _keep(asyncio.ensure_future(result))
    except Exception as error:
        _report(error)


def _report(error: BaseException) -> None:
    event = current_event.get()
    if event is not None:
        event.fail(error)
        return
    hub = current()
    assert hub is not None
    hub.call_exception_handler({"message": "Uncaught exception in a callback", "exception": error})


_running: set[asyncio.Future] = set()


def _keep(future: asyncio.Future) -> None:
    _running.add(future)

    def done(finished: asyncio.Future) -> None:
        _running.discard(finished)
        if not finished.cancelled() and (error := finished.exception()) is not None:
            _report(error)

    future.add_done_callback(done)


@function
def setTimeout(callback: Callable, delay: Any = 0, *args: Any) -> int:
    number = next(_ids)

    def fire() -> None:
        _timers.pop(number, None)
        _call(callback, args)

    _timers[number] = asyncio.get_running_loop().call_later(_seconds(delay), fire)
    return number


@function
def setInterval(callback: Callable, delay: Any = 0, *args: Any) -> int:
    number = next(_ids)
    loop = asyncio.get_running_loop()
    # JavaScript's shortest interval is 1 ms; without one the loop would do nothing else.
    seconds = max(0.001, _seconds(delay))

    def fire() -> None:
        _timers[number] = loop.call_later(seconds, fire)
        _call(callback, args)

    _timers[number] = loop.call_later(seconds, fire)
    return number


def _clear(number: Any = None) -> None:
    timer = _timers.pop(number, None) if isinstance(number, int) else None
    if timer is not None:
        timer.cancel()


@function
def clearTimeout(number: Any = None) -> None:
    _clear(number)


@function
def clearInterval(number: Any = None) -> None:
    _clear(number)


@function
def queueMicrotask(callback: Callable) -> None:
    asyncio.get_running_loop().call_soon(_call, callback, ())
