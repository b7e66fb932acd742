"""Promise. What an async function of the global scope returns is a future with `then` (`loop.PyodideFuture`), as
Pyodide gives it to Python; a Promise object exists where code makes one with `Promise.new`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any

from ...loop import PyodideFuture, current
from .core import Function, JsException, JsProxy, jsnull, make_object


class JsPromise(JsProxy):
    """A Promise, or any object with `then` (pyodide.ffi.JsPromise). It may be awaited on any of the worker's loops."""

    __slots__ = ("_callbacks", "_error", "_state", "_value")
    __module__ = "pyodide.ffi"
    _js_name = "Promise"

    def __init__(self, executor: Callable[..., Any] | None = None) -> None:
        self._state = "pending"
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[], None]] = []
        if executor is not None:
            try:
                executor(Function.new(self._resolve, "resolve"), Function.new(self._reject, "reject"))
            except Exception as error:
                self._reject(error)

    def _resolve(self, value: Any = None) -> None:
        if self._state != "pending":
            return
        if hasattr(value, "__await__"):
            self._state = "following"

            def copy(task: asyncio.Future) -> None:
                if task.cancelled():
                    self._settle(None, asyncio.CancelledError())
                else:
                    self._settle(None if task.exception() else task.result(), task.exception())

            _start(value).add_done_callback(copy)
            return
        self._settle(value, None)

    def _reject(self, reason: Any = None) -> None:
        if self._state == "pending":
            self._settle(None, as_exception(reason))

    def _settle(self, value: Any, error: BaseException | None) -> None:
        self._state = "rejected" if error is not None else "fulfilled"
        self._value, self._error = value, error
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def __await__(self) -> Any:
        if self._state in ("pending", "following"):
            future = asyncio.get_running_loop().create_future()

            def wake() -> None:
                if not future.done():
                    future.set_result(None)

            self._callbacks.append(wake)
            yield from future
        if self._error is not None:
            raise self._error
        return self._value

    async def _wait(self) -> Any:
        return await self

    def then(self, onfulfilled: Callable | None = None, onrejected: Callable | None = None) -> Any:
        return _start(self).then(onfulfilled, onrejected)

    def catch(self, onrejected: Callable) -> Any:
        return self.then(None, onrejected)

    def finally_(self, onfinally: Callable) -> Any:
        return _start(self).finally_(onfinally)


def as_exception(reason: Any) -> BaseException:
    """What Python raises for a value that JavaScript threw."""
    from .convert import js_string, js_typeof

    if isinstance(reason, BaseException):
        return reason
    tag = reason.constructor.name if isinstance(reason, JsProxy) else type(reason).__name__.capitalize()
    return JsException(
        "Error",
        f"A value of type {js_typeof(reason)} with tag [object {tag}] was thrown as an error!\n"
        f'String interpolation of the thrown value gives """{js_string(reason)}""".\n'
        f'The thrown value\'s toString method returns """{js_string(reason)}""".',
    )


def _start(awaitable: Any) -> PyodideFuture:
    """A future with `then` for an awaitable, which begins now."""
    if isinstance(awaitable, PyodideFuture):
        return awaitable
    loop = _loop()
    result = PyodideFuture(loop=loop)

    async def run() -> Any:
        return await awaitable

    def copy(task: asyncio.Future) -> None:
        if result.done():
            return
        if task.cancelled():
            result.cancel()
        elif (error := task.exception()) is not None:
            result.set_exception(error)
        else:
            result.set_result(task.result())

    loop.create_task(run()).add_done_callback(copy)
    return result


def _loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        hub = current()
        if hub is None:
            raise
        return hub


def settled(value: Any = None, error: BaseException | None = None) -> PyodideFuture:
    """A future that is done: what an async function returns that did not have to wait."""
    future = PyodideFuture(loop=_loop())
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
    return future


def js_async(call: Callable[..., Awaitable[Any]]) -> Callable[..., PyodideFuture]:
    """Decorator: a coroutine function as an async function of JavaScript, which runs without being awaited."""

    @wraps(call)
    def wrapper(*args: Any, **options: Any) -> PyodideFuture:
        return _start(call(*args, **options))

    return wrapper


class Promise(JsPromise):
    """The global `Promise`."""

    __slots__ = ()

    @staticmethod
    def resolve(value: Any = None) -> Any:
        return _start(value) if hasattr(value, "__await__") else settled(value)

    @staticmethod
    def reject(reason: Any = None) -> Any:
        return settled(error=as_exception(reason))

    @staticmethod
    def all(values: Iterable[Any]) -> Any:
        return _start(_all(list(values)))

    @staticmethod
    def race(values: Iterable[Any]) -> Any:
        return _start(_race(list(values)))

    @staticmethod
    def any(values: Iterable[Any]) -> Any:
        return _start(_any(list(values)))

    @staticmethod
    def allSettled(values: Iterable[Any]) -> Any:
        return _start(_all_settled(list(values)))

    @staticmethod
    def withResolvers() -> Any:
        promise = Promise.new()
        resolve, reject = Function.new(promise._resolve, "resolve"), Function.new(promise._reject, "reject")
        return make_object({"promise": promise, "resolve": resolve, "reject": reject})


async def _of(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


async def _all(values: list[Any]) -> Any:
    from .arrays import make_array

    return make_array(list(await asyncio.gather(*[_of(value) for value in values])))


async def _race(values: list[Any]) -> Any:
    tasks = [asyncio.ensure_future(_of(value)) for value in values]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return await next(iter(done))


async def _any(values: list[Any]) -> Any:
    errors: list[BaseException] = []
    for task in asyncio.as_completed([_of(value) for value in values]):
        try:
            return await task
        except Exception as error:
            errors.append(error)
    failed: Any = JsException("AggregateError", "All promises were rejected")
    failed.errors = errors
    raise failed


async def _all_settled(values: list[Any]) -> Any:
    from .arrays import make_array

    results = await asyncio.gather(*[_of(value) for value in values], return_exceptions=True)
    return make_array(
        [
            make_object(
                {"status": "rejected", "reason": result}
                if isinstance(result, BaseException)
                else {"status": "fulfilled", "value": jsnull if result is jsnull else result}
            )
            for result in results
        ]
    )
