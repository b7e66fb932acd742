"""What user code is told the time is: inside of an event what the session's clock shows, elsewhere the real time.

`time.time` and `time.time_ns` are replaced for the whole process. `datetime` is a type of C's, which nothing can be changed
in: the user's own modules get stand-ins for the names that they have imported. Other people's packages see the real date.
"""

from __future__ import annotations

import datetime as real
import time
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from wrangler_py.runtime.inprocess.hub import current_process
from wrangler_py.runtime.worker import logs

_time, _time_ns = time.time, time.time_ns


def _now_ms() -> int | None:
    """What the clock of the running event shows; None outside of one."""
    process = current_process.get()
    if process is None or logs.current_event.get() is None:
        return None
    now_ms: int = process.hub.clock.now_ms()
    return now_ms


def users_time() -> float:
    """`time.time()`."""
    now_ms = _now_ms()
    return _time() if now_ms is None else now_ms / 1000


def users_time_ns() -> int:
    """`time.time_ns()`."""
    now_ms = _now_ms()
    return _time_ns() if now_ms is None else now_ms * 1_000_000


class _AnyDatetime(type):
    """Every datetime is one of these, as far as isinstance goes."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, real.datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, real.datetime)

    def __call__(cls, *args: Any, **options: Any) -> Any:
        return real.datetime(*args, **options)


class UsersDatetime(real.datetime, metaclass=_AnyDatetime):
    """`datetime.datetime`, whose `now` is the event's. What it gives are real ones."""

    @classmethod
    def now(cls, tz: real.tzinfo | None = None) -> Any:
        return real.datetime.fromtimestamp(users_time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return real.datetime.fromtimestamp(users_time(), real.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return real.datetime.fromtimestamp(users_time())

    @classmethod
    def fromtimestamp(cls, *args: Any, **options: Any) -> Any:
        return real.datetime.fromtimestamp(*args, **options)

    @classmethod
    def fromisoformat(cls, text: str) -> Any:
        return real.datetime.fromisoformat(text)

    @classmethod
    def strptime(cls, text: str, form: str) -> Any:
        return real.datetime.strptime(text, form)

    @classmethod
    def combine(cls, *args: Any, **options: Any) -> Any:
        return real.datetime.combine(*args, **options)


class _AnyDate(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, real.date)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, real.date)

    def __call__(cls, *args: Any, **options: Any) -> Any:
        return real.date(*args, **options)


class UsersDate(real.date, metaclass=_AnyDate):
    """`datetime.date`, whose `today` is the event's."""

    @classmethod
    def today(cls) -> Any:
        return real.date.fromtimestamp(users_time())

    @classmethod
    def fromtimestamp(cls, timestamp: float, /) -> Any:
        return real.date.fromtimestamp(timestamp)

    @classmethod
    def fromisoformat(cls, text: str) -> Any:
        return real.date.fromisoformat(text)


class _DatetimeModule(ModuleType):
    """`import datetime`."""

    datetime = UsersDatetime
    date = UsersDate

    def __getattr__(self, name: str) -> Any:
        return getattr(real, name)


_module = _DatetimeModule("datetime")


def install() -> None:
    """Replace `time.time` and `time.time_ns`, once and for all; outside of events they are what they were."""
    time.time, time.time_ns = users_time, users_time_ns


def stand_in(modules: Iterable[ModuleType]) -> None:
    """Give the user's modules the stand-ins for what they have imported."""
    instead: list[tuple[Any, Any]] = [
        (real.datetime, UsersDatetime),
        (real.date, UsersDate),
        (real, _module),
        (_time, users_time),
        (_time_ns, users_time_ns),
    ]
    for module in modules:
        names = vars(module)
        for name, value in list(names.items()):
            for original, other in instead:
                if value is original:
                    names[name] = other
