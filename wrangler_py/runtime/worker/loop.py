"""The one event loop of a worker's process, which can be entered again from inside a handler.

In Cloudflare's runtime `pyodide.ffi.run_sync`, `asyncio.run`, `Runner.run`, `loop.run_until_complete` and `time.sleep`
suspend only the handler that calls them: everything else keeps running, a queue event included, on the same thread.
Here the blocked call turns the loop itself until its future is done.

Order is last in, first out: a blocked handler goes on only after the handlers that started while it was blocked have
returned or are waiting in an `await`. Beyond `MAX_DEPTH` blocked handlers no new event is started; it waits.

`asyncio.new_event_loop()` gives another `WebLoop`, a second face of the same scheduler: it owns its tasks and futures
(so that `Runner.close()` cancels only its own) but shares the ready queue, the timers and the selector.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
import threading
import time
from asyncio import events, tasks
from collections.abc import Awaitable, Callable
from typing import Any

#: Handlers that may be blocked in `run_sync` and the like at once. Every level holds its caller's Python frames.
MAX_DEPTH = 24

#: Python frames that one level may use. The limit grows with the depth, so that a nested handler has the same room as
#: any other, up to what an 8 MiB C stack carries for calls that pass through C code.
_FRAMES_PER_LEVEL = 1000
_MAX_FRAMES = 8000

#: With more timers than this, and more than half of them cancelled, the heap is rebuilt (as asyncio does).
_MIN_TIMERS = 100
#: The longest a turn waits (seconds), which every selector can count.
MAX_SELECT_S = 24 * 3600

NO_SUSPENDER = "No suspender"  # Pyodide's text, which workers-runtime-sdk compares


class PyodideFuture(asyncio.Future):
    """A Future with JavaScript's `then`, `catch` and `finally_` (pyodide.webloop.PyodideFuture)."""

    def then(self, onfulfilled: Callable | None = None, onrejected: Callable | None = None) -> PyodideFuture:
        """A new future for what `onfulfilled(result)` or `onrejected(exception)` gives, awaited if need be."""
        return _chained(self, _then(self, onfulfilled, onrejected))

    def catch(self, onrejected: Callable) -> PyodideFuture:
        """`then(None, onrejected)`."""
        return self.then(None, onrejected)

    def finally_(self, onfinally: Callable) -> PyodideFuture:
        """Calls `onfinally()` when this future is done, and gives this future's own outcome."""
        return _chained(self, _finally(self, onfinally))


async def _then(future: asyncio.Future, onfulfilled: Callable | None, onrejected: Callable | None) -> Any:
    try:
        value = await future
    except Exception as error:
        if onrejected is None:
            raise
        value = onrejected(error)
    else:
        if onfulfilled is not None:
            value = onfulfilled(value)
    while hasattr(value, "__await__"):
        value = await value
    return value


async def _finally(future: asyncio.Future, onfinally: Callable) -> Any:
    try:
        return await future
    finally:
        value = onfinally()
        while hasattr(value, "__await__"):
            value = await value


def _chained(future: asyncio.Future, work: Any) -> PyodideFuture:
    loop = future.get_loop()
    result = PyodideFuture(loop=loop)

    def copy(task: asyncio.Task) -> None:
        if result.done():
            return
        if task.cancelled():
            result.cancel()
        elif (error := task.exception()) is not None:
            result.set_exception(error)
        else:
            result.set_result(task.result())

    loop.create_task(work).add_done_callback(copy)
    return result


class WebLoop(asyncio.SelectorEventLoop):
    """A face of the process's scheduler (pyodide.webloop.WebLoop). It is always running and never closed."""

    def __init__(self) -> None:
        hub = current()
        if hub is None:
            raise RuntimeError("a WebLoop exists only on the main thread of a worker's process")
        asyncio.BaseEventLoop.__init__(self)
        self._adopt(hub)

    def _adopt(self, hub: Hub) -> None:
        own = self.__dict__
        own["_hub"] = hub
        for shared in ("_ready", "_scheduled", "_clock_resolution", "_thread_id"):
            own[shared] = hub.__dict__[shared]
        for name, value in hub.__dict__.items():  # the selector and the self-pipe, under whatever names they have
            own.setdefault(name, value)

    _hub: Hub
    # asyncio's own, which typeshed does not know.
    _ready: Any
    _scheduled: Any
    _selector: Any
    _clock_resolution: float
    _thread_id: int | None
    _timer_cancelled_count: int
    _process_events: Callable[[Any], None]
    _write_to_self: Callable[[], None]
    _asyncgen_firstiter_hook: Any
    _asyncgen_finalizer_hook: Any

    def create_future(self) -> PyodideFuture:
        return PyodideFuture(loop=self)

    def is_running(self) -> bool:
        return self._thread_id is not None  # None only while asyncio's own constructor runs

    def is_closed(self) -> bool:
        return False

    def close(self) -> None:
        """Does nothing: the scheduler is shared."""

    def __del__(self, _warn: Any = None) -> None:
        """Nothing to warn about, nothing to close."""

    def run_until_complete(self, future: Any) -> Any:
        """Block the caller until `future` is done, while everything else goes on."""
        if not can_run_sync():
            raise RuntimeError(NO_SUSPENDER)
        if not asyncio.isfuture(future):
            future = tasks.ensure_future(future, loop=self)
        self._hub.block_on(future)
        return future.result()

    def run_forever(self) -> None:
        """Block the caller until `stop()` is called."""
        self._stopped = PyodideFuture(loop=self)
        self._hub.block_on(self._stopped)

    def stop(self) -> None:
        stopped = getattr(self, "_stopped", None)
        if stopped is not None and not stopped.done():
            stopped.set_result(None)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """An exception that nobody waits for: of a task, or of a callback."""
        if self._hub.on_error is None:
            super().default_exception_handler(context)
        else:
            self._hub.on_error(context)

    def _timer_handle_cancelled(self, handle: Any) -> None:
        if handle._scheduled:
            self._hub._timer_cancelled_count += 1


class Hub(WebLoop):
    """The scheduler itself: the loop that handlers run on."""

    def __init__(self) -> None:
        asyncio.SelectorEventLoop.__init__(self)
        self._hub = self
        self._thread_id = threading.get_ident()
        self._prepare()

    def _prepare(self) -> None:
        #: How many callers are blocked right now.
        self.depth = 0
        #: Turns so far, and whether the loop waits for something to do: what the watchdog looks at.
        self.turns = 0
        #: How long it has waited for something to do (seconds).
        self.idle_s = 0.0
        self.waiting = False
        #: False while the user's module is imported: Cloudflare runs the global scope without a suspender.
        self.may_block = True
        #: Called before every wait, to send what the turn has produced.
        self.flush: Callable[[], None] | None = None
        #: Called before anything leaves the process that others can see; stores what has to be stored before that.
        self.before_output: Callable[[], None] | None = None
        #: Whether that would store something now.
        self.unsaved: Callable[[], bool] | None = None
        #: Called when a blocked caller goes on, which may make room for an event that waits.
        self.on_unblocked: Callable[[], None] | None = None
        #: Given what asyncio tells its exception handler, of every loop that has none of its own.
        self.on_error: Callable[[dict[str, Any]], None] | None = None
        #: Given what escaped from a task or callback as SystemExit.
        self.on_exit: Callable[[BaseException], None] | None = None
        #: With `--worker-clock`: how long a turn that has nothing to do at once may wait (seconds; None: no limit).
        self.wait_time: Callable[[], float | None] | None = None
        self._deferred: list[events.Handle] = []

    def serve(self) -> None:
        """Turn until the process ends."""
        self._thread_id = threading.get_ident()
        sys.set_asyncgen_hooks(firstiter=self._asyncgen_firstiter_hook, finalizer=self._asyncgen_finalizer_hook)
        events._set_running_loop(self)
        while True:
            self._run_once()

    def complete(self, awaitable: Any) -> Any:
        """Block the caller until `awaitable` is done, on whichever face of the loop he runs; its result."""
        loop = events._get_running_loop() or self
        return loop.run_until_complete(awaitable)

    def block_on(self, future: asyncio.Future) -> None:
        """Turn the loop until `future` is done, as if the caller were suspended.

        Raises RuntimeError("No suspender") where Cloudflare cannot suspend: outside of the loop's thread and in the
        global scope of the user's module.
        """
        if threading.get_ident() != self._thread_id or not self.may_block:
            raise RuntimeError(NO_SUSPENDER)
        if future.done():
            return
        loop = events._get_running_loop()  # None where somebody hides it, as test runners do
        owner = loop or self
        task = tasks.current_task(owner)
        if task is not None:
            tasks._leave_task(owner, task)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(limit, min(limit + _FRAMES_PER_LEVEL, _MAX_FRAMES)))
        self.depth += 1
        try:
            while not future.done():
                self._run_once()
        finally:
            self.depth -= 1
            sys.setrecursionlimit(limit)
            events._set_running_loop(loop)
            if task is not None:
                tasks._enter_task(owner, task)
            if self._deferred:
                self._ready.extendleft(reversed(self._deferred))
                self._deferred.clear()
            if self.on_unblocked is not None:
                self.on_unblocked()

    def _run_once(self) -> None:
        """One turn. asyncio's own does not expect that a callback takes others out of the ready queue."""
        if self.flush is not None:
            self.flush()
        self.turns += 1
        ready = self._ready
        timers = self._scheduled
        if len(timers) > _MIN_TIMERS and self._timer_cancelled_count * 2 > len(timers):
            self._drop_cancelled_timers()
        else:
            while timers and timers[0]._cancelled:
                self._timer_cancelled_count -= 1
                heapq.heappop(timers)._scheduled = False

        timeout: float | None
        if ready:
            timeout = 0
        else:
            if self.wait_time is not None:
                timeout = self.wait_time()
            else:
                timeout = min(max(0, timers[0]._when - self.time()), MAX_SELECT_S) if timers else None
            self.waiting = True
        if timeout == 0:
            found = self._selector.select(0)
        else:
            begun = time.perf_counter()
            found = self._selector.select(timeout)
            self.idle_s += time.perf_counter() - begun
        self.waiting = False
        if found:
            self._process_events(found)

        if timers:
            now = self.time() + self._clock_resolution
            while timers and timers[0]._when < now:
                handle = heapq.heappop(timers)
                handle._scheduled = False
                ready.append(handle)

        self._run_ready()
        if found and ready:  # who waited for what the socket brought goes on in this very turn
            self._run_ready()

    def _run_ready(self) -> None:
        """Run what is ready now, but not what that makes ready."""
        ready = self._ready
        running: Any = None
        for _ in range(len(ready)):
            if not ready:  # a nested turn took them
                break
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if self.depth and not _can_enter(handle):
                self._deferred.append(handle)
                continue
            loop = handle._loop
            if loop is not running:
                events._set_running_loop(loop)
                running = loop
            try:
                handle._run()
            except SystemExit as error:
                if self.on_exit is None:
                    raise
                handle._context.run(self.on_exit, error)

    def _drop_cancelled_timers(self) -> None:
        timers = self._scheduled
        kept = [timer for timer in timers if not timer._cancelled]
        for timer in timers:
            if timer._cancelled:
                timer._scheduled = False
        timers[:] = kept  # in place: every WebLoop holds this list
        heapq.heapify(timers)
        self._timer_cancelled_count = 0


def _can_enter(handle: Any) -> bool:
    """Whether the handle's context is free. A blocked caller may still be inside of it; then the handle has to wait."""
    try:
        handle._context.run(_nothing)
    except RuntimeError:
        return False
    return True


def _nothing() -> None:
    pass


_hub: Hub | None = None


def current() -> Hub | None:
    """The hub, when called on its thread."""
    if _hub is not None and threading.get_ident() == _hub._thread_id:
        return _hub
    return None


def run_sync(awaitable: Awaitable[Any]) -> Any:
    """`pyodide.ffi.run_sync`: block the caller until `awaitable` has a result, and return it."""
    hub = current()
    if hub is None or not hub.may_block:
        if asyncio.iscoroutine(awaitable):
            awaitable.close()  # or Python complains that it was never awaited, which hides the real message
        raise RuntimeError(NO_SUSPENDER)
    return hub.complete(awaitable)


def can_run_sync() -> bool:
    """`pyodide.ffi.can_run_sync`: whether `run_sync` would work here."""
    hub = current()
    return hub is not None and hub.may_block


def install() -> Hub:
    """Create the hub and make asyncio and time use it on this thread. Other threads keep the originals."""
    global _hub
    hub = _hub = Hub()
    asyncio.set_event_loop_policy(_Policy())
    events._set_running_loop(hub)
    asyncio.run = asyncio.runners.run = _run
    asyncio.Runner.run = _runner_run  # type: ignore[method-assign]
    time.sleep = _sleep
    return hub


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        if current() is not None:
            return WebLoop()
        return super().new_event_loop()


_original_run = asyncio.run
_original_runner_run = asyncio.Runner.run
_original_sleep = time.sleep


def _run(main: Any, *, debug: bool | None = None, **options: Any) -> Any:
    """asyncio.run, which inside of a handler runs on the loop that is there (as Pyodide's does)."""
    if current() is None:
        return _original_run(main, debug=debug, **options)
    if not asyncio.iscoroutine(main):
        raise ValueError(f"a coroutine was expected, got {main!r}")
    return run_sync(main)


def _runner_run(self: Any, coro: Any, *, context: Any = None) -> Any:
    if current() is None:
        return _original_runner_run(self, coro, context=context)
    if not asyncio.iscoroutine(coro):
        raise ValueError(f"a coroutine was expected, got {coro!r}")
    self._lazy_init()
    task = self._loop.create_task(coro, context=self._context if context is None else context)
    return self._loop.run_until_complete(task)


def _sleep(seconds: Any, /) -> None:
    """time.sleep, which inside of a handler lets everything else go on (as Pyodide's does)."""
    if not (isinstance(seconds, (int, float)) and seconds > 0 and can_run_sync()):
        _original_sleep(seconds)
        return
    hub = current()
    assert hub is not None
    done: asyncio.Future = asyncio.Future(loop=hub)
    hub.call_later(seconds, done.set_result, None)
    hub.block_on(done)
