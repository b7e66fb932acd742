"""The state of all bindings in one state folder: a lane for each namespace, database and bucket, opened when first used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from wrangler_py.bindings.files import d1_path, kv_path, r2_path
from wrangler_py.bindings.lane import Closing, Lane
from wrangler_py.clock import Clock

if TYPE_CHECKING:
    from wrangler_py.bindings.d1 import D1Database
    from wrangler_py.bindings.kv import KvStore
    from wrangler_py.bindings.r2 import R2Store

S = TypeVar("S", bound=Closing)


class BindingStorage:
    """`await storage.kv("id")(KvStore.get, "key")`. Nothing is opened or imported before it is used."""

    def __init__(self, state: Path, clock: Clock, *, threaded: bool = True) -> None:
        """`state`: the state folder. Keys expire by `clock`. `threaded`: see Lane."""
        self._state = state
        self._threaded = threaded
        self._clock = clock
        self._kv: dict[str, Lane[KvStore]] = {}
        self._d1: dict[str, Lane[D1Database]] = {}
        self._r2: dict[str, Lane[R2Store]] = {}

    def kv(self, namespace: str) -> Lane[KvStore]:
        """The KV namespace of this id."""
        if namespace not in self._kv:
            self._kv[namespace] = self._lane(lambda: open_kv(self._state, namespace, self._clock), f"kv {namespace}")
        return self._kv[namespace]

    def d1(self, database: str) -> Lane[D1Database]:
        """The D1 database of this id."""
        if database not in self._d1:
            self._d1[database] = self._lane(lambda: open_d1(self._state, database), f"d1 {database}")
        return self._d1[database]

    def r2(self, bucket: str) -> Lane[R2Store]:
        """The R2 bucket of this name."""
        if bucket not in self._r2:
            self._r2[bucket] = self._lane(lambda: open_r2(self._state, bucket, self._clock), f"r2 {bucket}")
        return self._r2[bucket]

    def _lane(self, open_store: Callable[[], S], name: str) -> Lane[S]:
        return Lane(open_store, name, threaded=self._threaded)

    def close(self) -> None:
        """Finish the calls that run, and close everything. The storage may be used again."""
        open_lanes: list[Lane[Any]] = [*self._kv.values(), *self._d1.values(), *self._r2.values()]
        self._kv, self._d1, self._r2 = {}, {}, {}
        for lane in open_lanes:
            lane.close()


def open_kv(state: Path, namespace: str, clock: Clock) -> KvStore:
    """A namespace for use in this thread (the command line). Close it. Raises sqlite3.Error and OSError."""
    from wrangler_py.bindings.kv import KvStore

    return KvStore(kv_path(state, namespace), clock)


def open_d1(state: Path, database: str) -> D1Database:
    """A database for use in this thread (the command line). Close it. Raises apsw.Error and OSError."""
    from wrangler_py.bindings.d1 import D1Database

    return D1Database(d1_path(state, database))


def open_r2(state: Path, bucket: str, clock: Clock) -> R2Store:
    """A bucket for use in this thread (the command line). Close it. Raises sqlite3.Error and OSError."""
    from wrangler_py.bindings.r2 import R2Store

    return R2Store(r2_path(state, bucket), clock)
