"""Date. Local time is the process's zone, which is UTC as in Cloudflare's runtime."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from .core import JsProxy, jsnull, raise_js
from .numbers import to_number

#: The largest time value: 100,000,000 days around the epoch (ECMAScript, TimeClip), in milliseconds.
_MAX_MS = 8_640_000_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_ONLY = re.compile(r"\d{4}(-\d\d(-\d\d)?)?$")
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _clip(value: float) -> float:
    return int(value) if value == value and abs(value) <= _MAX_MS else math.nan


def _now() -> int:
    return time.time_ns() // 1_000_000


def parse_date(text: str) -> float:
    """`Date.parse`: ISO 8601, or the form of HTTP and e-mail; NaN for anything else."""
    text = text.strip()
    try:
        if _DATE_ONLY.match(text):
            parts = [int(part) for part in text.split("-")]
            return _ms(datetime(*[*parts, 1, 1][:3], tzinfo=UTC))  # type: ignore[arg-type, misc]
        return _ms(_aware(datetime.fromisoformat(text)))
    except ValueError:
        pass
    from email.utils import parsedate_to_datetime

    try:
        return _ms(_aware(parsedate_to_datetime(text)))
    except (ValueError, TypeError):
        return math.nan


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.astimezone()


def _ms(value: datetime) -> int:
    return (value - _EPOCH) // timedelta(milliseconds=1)


class Date(JsProxy):
    __slots__ = ("_time",)

    def __init__(self, value: Any = ..., month: Any = None, *rest: Any) -> None:
        if value is ...:
            self._time: float = _now()
        elif month is not None:
            self._time = _from_fields(to_number(value), to_number(month), *[to_number(field) for field in rest])
        elif isinstance(value, str):
            self._time = _clip(parse_date(value))
        elif isinstance(value, Date):
            self._time = value._time
        else:
            self._time = _clip(to_number(value))

    @classmethod
    def _js_call(cls, *_args: Any) -> str:
        return cls.new().toString()

    @staticmethod
    def now() -> int:
        return _now()

    @staticmethod
    def parse(text: Any) -> float:
        return parse_date(str(text))

    @staticmethod
    def UTC(year: Any, month: Any = 0, *rest: Any) -> float:
        return _from_fields(to_number(year), to_number(month), *[to_number(field) for field in rest], utc=True)

    def getTime(self) -> Any:
        return self._time

    valueOf = getTime

    def setTime(self, value: Any) -> Any:
        self._time = _clip(to_number(value))
        return self._time

    def _utc(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self._time)

    def _local(self) -> datetime:
        return self._utc().astimezone()

    def getTimezoneOffset(self) -> Any:
        return self._field(lambda: -int(self._local().utcoffset().total_seconds() // 60))  # type: ignore[union-attr]

    def _field(self, read: Any) -> Any:
        return read() if self._time == self._time else math.nan

    def toISOString(self) -> str:
        if self._time != self._time:
            raise_js("RangeError", "Invalid time value")
        try:
            return self._utc().strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0") + f"{int(self._time) % 1000:03d}Z"
        except OverflowError:
            raise_js("RangeError", "Invalid time value")

    def toJSON(self, _key: Any = None) -> Any:
        return self.toISOString() if self._time == self._time else jsnull

    def toUTCString(self) -> str:
        if self._time != self._time:
            return "Invalid Date"
        at = self._utc()
        day, month = _DAYS[(at.weekday() + 1) % 7], _MONTHS[at.month - 1]
        return f"{day}, {at.day:02d} {month} {at.year:04d} {at:%H:%M:%S} GMT"

    def toDateString(self) -> str:
        return self.toString() if self._time != self._time else self.toString()[:15]

    def toTimeString(self) -> str:
        return self.toString() if self._time != self._time else self.toString()[16:]

    def toLocaleDateString(self, *_options: Any) -> str:
        """As in the locale en-US, the only one of Cloudflare's runtime."""
        at = self._local()
        return f"{at.month}/{at.day}/{at.year}"

    def toLocaleTimeString(self, *_options: Any) -> str:
        at = self._local()
        return f"{at.hour % 12 or 12}:{at:%M:%S} {'AM' if at.hour < 12 else 'PM'}"

    def toLocaleString(self, *_options: Any) -> str:
        return f"{self.toLocaleDateString()}, {self.toLocaleTimeString()}"

    def toString(self) -> str:
        if self._time != self._time:
            return "Invalid Date"
        at = self._local()
        day, month = _DAYS[(at.weekday() + 1) % 7], _MONTHS[at.month - 1]
        zone = "Coordinated Universal Time" if at.tzname() == "UTC" else at.tzname()
        return f"{day} {month} {at.day:02d} {at.year:04d} {at:%H:%M:%S} GMT{at:%z} ({zone})"


def _from_fields(
    year: float, month: float, day: float = 1, hour: float = 0, minute: float = 0, second: float = 0, ms: float = 0, *,
    utc: bool = False,
) -> float:  # fmt: skip
    if any(field != field for field in (year, month, day, hour, minute, second, ms)):
        return math.nan
    if 0 <= year <= 99:
        year += 1900
    try:
        base = datetime(int(year + month // 12), int(month % 12) + 1, 1, tzinfo=UTC if utc else None)
        exact = base + timedelta(days=int(day) - 1, hours=hour, minutes=minute, seconds=second, milliseconds=ms)
        return _clip(_ms(_aware(exact)))
    except (ValueError, OverflowError):
        return math.nan


def _getters() -> None:
    fields: dict[str, Any] = {
        "FullYear": lambda at: at.year,
        "Month": lambda at: at.month - 1,
        "Date": lambda at: at.day,
        "Day": lambda at: (at.weekday() + 1) % 7,
        "Hours": lambda at: at.hour,
        "Minutes": lambda at: at.minute,
        "Seconds": lambda at: at.second,
        "Milliseconds": lambda at: at.microsecond // 1000,
    }
    for name, read in fields.items():
        setattr(Date, f"get{name}", lambda self, _read=read: self._field(lambda: _read(self._local())))
        setattr(Date, f"getUTC{name}", lambda self, _read=read: self._field(lambda: _read(self._utc())))


_getters()
