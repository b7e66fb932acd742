"""Calling user code."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from ..loop import Hub


async def awaited(result: Any) -> Any:
    while hasattr(result, "__await__"):
        result = await result
    return result


async def on_hub(hub: Hub, work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the process's own loop, whichever face of it (a test runner's) the caller runs on."""
    loop = asyncio.get_running_loop()
    task = hub.create_task(work)
    if loop is hub:
        return await task
    outcome = loop.create_future()

    def copy(done: asyncio.Task[Any]) -> None:
        if outcome.done():
            return
        if done.cancelled():
            outcome.cancel()
        elif (error := done.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(done.result())

    task.add_done_callback(copy)
    return await outcome


def relaxed(method: Callable[..., Any], *args: Any) -> Any:
    """Call with as many arguments as it takes (workerd's relaxed_call)."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):
        return method(*args)
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(parameter.kind in places for parameter in parameters)
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return method(*args)
    return method(*args[:count])


def from_rpc(value: Any) -> Any:
    """A JavaScript value as the SDK gives it to Python."""
    convert = getattr(sys.modules.get("workers.rpc"), "python_from_rpc", None)
    return value if convert is None else convert(value)


def to_rpc(value: Any) -> Any:
    """A Python value as the SDK sends it."""
    convert = getattr(sys.modules.get("workers.rpc"), "python_to_rpc", None)
    return value if convert is None else convert(value)
