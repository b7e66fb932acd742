"""One thread for each resource: work on it is done in the order in which it was asked for, and never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Generic, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Closing")


class Closing(Protocol):
    """What a lane can end."""

    def close(self) -> None: ...


class Lane(Generic[S]):
    """A store that is opened, used and closed in a thread of its own: `await lane(KvStore.get, "key")`."""

    def __init__(self, open_store: Callable[[], S], name: str, *, threaded: bool = True) -> None:
        """`open_store` is called in the thread when the first call comes; what it raises, that call raises. Without
        `threaded` the caller's thread does the work, at once: what happens when no longer depends on the machine."""
        self._open = open_store
        self._name = name
        self._threaded = threaded
        self._store: S | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._closed = False

    async def __call__(self, method: Callable[Concatenate[S, P], R], *args: P.args, **options: P.kwargs) -> R:
        """`method(store, *args)` in the thread, behind all calls made before."""
        if self._closed:
            raise RuntimeError(f"{self._name} is closed")
        if not self._threaded:
            return self._run(method, *args, **options)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        work = self._thread.submit(self._run, method, *args, **options)
        # A caller that goes away does not undo what it asked for: others may count on the order.
        return await asyncio.shield(asyncio.wrap_future(work))

    def _run(self, method: Callable[Concatenate[S, P], R], /, *args: P.args, **options: P.kwargs) -> R:
        if self._closed:
            raise RuntimeError(f"{self._name} is closed")
        if self._store is None:
            self._store = self._open()
        return method(self._store, *args, **options)

    def close(self) -> None:
        """Finish the call that runs, give those behind it up, and close the store."""
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._close_store)
            thread.shutdown(wait=True)
        elif not self._threaded:
            self._close_store()

    def _close_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()
