"""The event loop of a test in the place of a worker's (runtime/worker/loop.py).

Inside of an event (of user code that a handler has started) three things differ from what the loop does for the test:

- `run_sync`, `asyncio.run` and `time.sleep` block the handler and let the rest go on, as in Cloudflare's runtime.
- Timers and `loop.time()` go by the session's clock, so that `asyncio.sleep(3600)` takes as long as the clock is moved.
- The order in which events go on can be chosen (`choose`), and an event can be cut off at any of its awaits.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from wrangler_py.clock import Clock, Timer
from wrangler_py.runtime.worker import logs
from wrangler_py.runtime.worker import loop as worker_loop

#: The LocalProcess (process.py) that the running code belongs to.
current_process: ContextVar[Any] = ContextVar("wpy_process", default=None)

#: Whether the running code is an event that has not made its first step yet.
begins: ContextVar[bool] = ContextVar("wpy_begins", default=False)

NOT_ASYNCIOS = (
    "This loop ({name}) cannot run workers: wpy's test kit needs asyncio's own event loop, whose timers it moves. "
    "Leave uvloop out of the tests that use wpy's fixtures."
)

#: Stands for the number of an event that has not begun yet.
_LAST = 1 << 60

#: For how many turns events are held while there is something else to do.
_PATIENCE = 50

#: Picks the event that goes on: given the numbers of those that could, returns the position of one.
Choose = Callable[[list[int]], int]


class _ClockTimer:
    """A timer of user code, on the session's clock. What `loop.call_later` returns."""

    def __init__(self, hub: LoopHub, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Any):
        self._hub = hub
        self._when = when
        self._event = logs.current_event.get()
        self._call: Any = (callback, args, context)
        self._timer: Timer | None = None
        hub.timers[self._event] += 1
        self._timer = hub.clock.call_at(round(when * 1000), self._due)
        hub.on_news()

    def when(self) -> float:
        return self._when

    def cancelled(self) -> bool:
        return self._call is None

    def _due(self) -> None:
        if self._call is not None:
            callback, args, context = self._call
            self._over()
            self._hub.loop.call_soon(callback, *args, context=context)

    def cancel(self) -> None:
        if self._call is not None:
            self._over()
            if self._timer is not None:
                self._timer.cancel()

    def _over(self) -> None:
        self._call = None
        timers = self._hub.timers
        timers[self._event] -= 1
        if timers[self._event] <= 0:
            del timers[self._event]


class LoopHub:
    """What runtime/worker/ takes for its Hub. `attach` and `detach` enclose its work."""

    # The algorithms are those of the worker's own loop.
    block_on: Any = worker_loop.Hub.block_on
    _prepare: Any = worker_loop.Hub._prepare
    _drop_cancelled_timers: Any = worker_loop.Hub._drop_cancelled_timers
    _turn: Any = worker_loop.Hub._run_once

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        """Raises RuntimeError for a loop that is not asyncio's own."""
        if not isinstance(loop, asyncio.SelectorEventLoop):
            raise RuntimeError(NOT_ASYNCIOS.format(name=f"{type(loop).__module__}.{type(loop).__name__}"))
        self.loop: Any = loop
        self.clock = clock
        #: Pending timers of user code, by event.
        self.timers: Counter[Any] = Counter()
        #: Work of threads that user code waits for.
        self.threads = 0
        #: Told when something was planned, so that who waits for the end of an event looks whether it only sleeps.
        self.on_news: Callable[[], None] = lambda: None
        #: How many steps events have made (an event's start, and whenever it goes on after an await).
        self.steps = 0
        self.choose: Choose | None = None
        #: Called before each step, with the process it is in; True: the process is cut off here.
        self.cut: Callable[[int], bool] | None = None
        #: Whether a binding has a call to answer: what waits for that does not wait for the clock.
        self.is_asked: Callable[[], bool] = lambda: False
        self._held: deque[Any] = deque()
        self._patience = 0
        self._time = loop.time
        self._before_output: list[tuple[Any, Callable[[], None]]] = []
        self._unsaved: list[tuple[Any, Callable[[], bool]]] = []
        #: Makes the tasks of workers, when one of them has asked for it.
        self.inner_factory: Any = None
        self._leave_event: Callable[[BaseException], None] | None = None
        self._undo: list[Callable[[], None]] = []
        self._prepare()

    def __getattr__(self, name: str) -> Any:
        method = worker_loop.Hub.__dict__.get(name)
        if inspect.isfunction(method):  # a part of those algorithms
            setattr(type(self), name, method)
            return method.__get__(self)
        return getattr(self.loop, name)

    # What differs from the loop ---------------------------------------------------------------------------------------

    @property
    def _thread_id(self) -> int | None:
        """The loop's thread as seen from inside of an event; elsewhere nothing may block and nothing is special."""
        return self.loop._thread_id if logs.current_event.get() is not None else None

    # Several workers share the loop: what one of them says of itself is added to what the others have said.

    @property
    def before_output(self) -> Callable[[], None] | None:
        return self._all_before_output if self._before_output else None

    @before_output.setter
    def before_output(self, store: Callable[[], None] | None) -> None:
        if store is not None:
            self._before_output.append((current_process.get(), store))

    def _all_before_output(self) -> None:
        for process, store in self._before_output:
            if process is None or not process.dead:
                store()

    @property
    def unsaved(self) -> Callable[[], bool] | None:
        return (lambda: any(one() for process, one in self._unsaved if not process.dead)) if self._unsaved else None

    @unsaved.setter
    def unsaved(self, ask: Callable[[], bool] | None) -> None:
        if ask is not None:
            self._unsaved.append((current_process.get(), ask))

    def set_task_factory(self, factory: Any) -> None:
        """Of the tasks of workers; the test's own are made as before."""
        self.inner_factory = factory

    @property
    def _timer_cancelled_count(self) -> int:
        count: int = self.loop._timer_cancelled_count
        return count

    @_timer_cancelled_count.setter
    def _timer_cancelled_count(self, count: int) -> None:
        self.loop._timer_cancelled_count = count

    def time(self) -> float:
        """The loop's own time."""
        return self._time()

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        """A timer of the worker side's own upkeep, which goes by real time."""
        return type(self.loop).call_at(self.loop, self._time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        """As `call_later`."""
        return type(self.loop).call_at(self.loop, when, callback, *args, context=context)

    def _sleep(self, seconds: Any, /) -> None:
        """`time.sleep`, which inside of an event waits for the clock and lets everything else go on."""
        if not (isinstance(seconds, int | float) and seconds > 0 and self._in_event() and self.may_block):
            self._real_sleep(seconds)
            return
        done: asyncio.Future[None] = self.loop.create_future()
        self._call_later(seconds, _set_done, done)
        self.block_on(done)

    @property
    def on_exit(self) -> Callable[[BaseException], None]:
        return self._exit

    @on_exit.setter
    def on_exit(self, report: Callable[[BaseException], None]) -> None:
        self._leave_event = report

    def _exit(self, error: BaseException) -> None:
        if logs.current_event.get() is None or self._leave_event is None:
            raise error
        self._leave_event(error)

    def complete(self, awaitable: Any) -> Any:
        """As worker/loop.py's Hub.complete."""
        future = asyncio.ensure_future(awaitable, loop=self.loop)
        self.block_on(future)
        return future.result()

    # Turns ------------------------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        if self._held:
            self.loop._ready.extendleft(reversed(self._held))  # they were there first
            self._held.clear()
        self._arrange()
        self._turn()

    def _arrange(self) -> None:
        """Count the steps of events; with `choose` or `cut` let one event make one step in a turn."""
        ready = self.loop._ready
        if self.choose is None and self.cut is None:
            return
        own: list[Any] = []
        steps: dict[Any, list[Any]] = {}
        while ready:
            handle = ready.popleft()
            context = handle._context
            process = context.get(current_process)
            event = context.get(logs.current_event)
            if process is not None and process.dead:
                continue  # what belongs to a process that was cut off goes on no more
            if handle._cancelled or process is None or (event is None and not context.get(begins)):
                own.append(handle)
            else:  # an event that begins is known by its task's context only
                steps.setdefault(event or id(context), []).append(handle)
        ready.extend(own)
        if not steps:
            return
        self._patience = self._patience + 1 if own else 0
        # What is not user code comes first, so that batches that can run at the same time do; and answers, or the order
        # would depend on how long they take.
        if self.is_asked() or 0 < self._patience < _PATIENCE:
            for handles in steps.values():
                self._held.extend(handles)
            return
        events = sorted(steps, key=lambda event: getattr(event, "id", _LAST))
        chosen = 0
        if self.choose is not None and len(events) > 1:
            chosen = self.choose([getattr(event, "id", _LAST + place) for place, event in enumerate(events)])
        handle = steps[events[chosen]].pop(0)
        self.steps += 1
        process = handle._context.get(current_process)
        if self.cut is not None and process is not None and self.cut(self.steps):
            process.crash()
        else:
            ready.append(handle)
        for event in events:
            self._held.extend(
                held for held in steps[event] if not getattr(held._context.get(current_process), "dead", False)
            )
        if not ready:  # the turn must not wait for the selector while somebody is held
            ready.append(asyncio.Handle(_nothing, (), self.loop))

    @property
    def quiet(self) -> bool:
        """Whether nothing goes on but what waits for the clock. Asked from within a step of the loop."""
        return not self.loop._ready and not self._held and not self.threads and not self.is_asked()

    def asleep(self, event: Any) -> bool:
        """Whether an event waits for a timer of its own."""
        return self.timers[event] > 0 if event in self.timers else False

    # Attaching --------------------------------------------------------------------------------------------------------

    async def attach(self) -> None:
        """Take the loop over, until `detach`."""
        loop = self.loop
        names = ("_run_once", "call_later", "call_at", "time", "run_in_executor")
        before = {name: loop.__dict__.get(name) for name in names}
        loop._run_once = self._run_once
        loop.call_later, loop.call_at, loop.time = self._call_later, self._call_at, self._event_time
        loop.run_in_executor = self._run_in_executor
        handler = loop.get_exception_handler()
        loop.set_exception_handler(self._failed)
        hub, run, runner_run, sleep = worker_loop._hub, asyncio.run, asyncio.Runner.run, time.sleep
        worker_loop._hub = self  # type: ignore[assignment]
        asyncio.run = asyncio.runners.run = worker_loop._run
        asyncio.Runner.run = worker_loop._runner_run  # type: ignore[method-assign]
        self._real_sleep = sleep
        time.sleep = self._sleep
        self._thread = threading.get_ident()

        def undo() -> None:
            for name, value in before.items():
                if value is None:
                    loop.__dict__.pop(name, None)
                else:
                    loop.__dict__[name] = value
            loop.set_exception_handler(handler)
            self._handler = None
            worker_loop._hub = hub
            asyncio.run = asyncio.runners.run = run
            asyncio.Runner.run = runner_run  # type: ignore[method-assign]
            time.sleep = sleep

        self._handler = handler
        self._undo.append(undo)
        await asyncio.sleep(0)  # from the next turn on the loop's turns are these, which may be nested

    def detach(self) -> None:
        """Give the loop back."""
        while self._undo:
            self._undo.pop()()
        self.loop._ready.extend(self._held)
        self._held.clear()

    def _in_event(self) -> bool:
        return logs.current_event.get() is not None and threading.get_ident() == self._thread

    def _event_time(self) -> float:
        return self.clock.now_ms() / 1000 if self._in_event() else self._time()

    def _call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        if self._in_event():
            return self._call_at(self.clock.now_ms() / 1000 + delay, callback, *args, context=context)
        return type(self.loop).call_at(self.loop, self._time() + delay, callback, *args, context=context)

    def _call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        if self._in_event():
            return _ClockTimer(self, when, callback, args, context)
        return type(self.loop).call_at(self.loop, when, callback, *args, context=context)

    def _run_in_executor(self, executor: Any, function: Any, *args: Any) -> Any:
        future = type(self.loop).run_in_executor(self.loop, executor, function, *args)
        if self._in_event():
            self.threads += 1
            future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self.threads -= 1

    _handler: Any = None

    def _failed(self, loop: asyncio.AbstractEventLoop, details: dict[str, Any]) -> None:
        """An exception that nobody waits for: the event's, or the test's own."""
        task = details.get("future") or details.get("task")
        context = getattr(details.get("handle"), "_context", None)
        get_context = getattr(task, "get_context", None)
        if get_context is not None:
            context = get_context()
        of_event = (context.get(logs.current_event) if context is not None else logs.current_event.get()) is not None
        if of_event and self.on_error is not None:
            self.on_error(details)
        elif self._handler is not None:
            self._handler(loop, details)
        else:
            loop.default_exception_handler(details)


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _nothing() -> None:
    pass
