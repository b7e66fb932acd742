"""`ctx.storage`: keys and values, alarms, transactions.

Operations are carried out when they are called; what they return is awaited as on Cloudflare. Python's own errors do not
come out of here: a wrong call raises JavaScript's TypeError, when it is awaited.
"""

from __future__ import annotations

import functools
import inspect
import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..shims.js.arrays import Array
from ..shims.js.collections import Map
from ..shims.js.convert import js_string, unwrap
from ..shims.js.core import JsException, JsProxy, js_error, jsnull, merged, option, own_entries, raise_js
from ..shims.js.dates import Date
from ..shims.js.numbers import to_number
from ..shims.js.promise import settled
from . import limits
from .database import Database
from .gate import InputGate
from .sql import SqlStorage
from .synckv import SyncKvStorage
from .values import decode, encode


def at_once(call: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: done when the call returns; an error is told when its promise is awaited."""

    @functools.wraps(call)
    def wrapper(*args: Any, **options: Any) -> Any:
        try:
            return settled(call(*args, **options))
        except JsException as error:
            return settled(error=error)
        except sqlite3.Error as error:
            return settled(error=js_error("Error", f"{limits.NO_LONGER} ({error})"))

    return wrapper


class Operations:
    """What storage and transactions have in common, without promises. Raises JavaScript's errors."""

    def __init__(self, database: Database, gate: InputGate, on: str, *, sqlite: bool) -> None:
        self.database = database
        self.gate = gate
        #: The class that error texts name.
        self.on = on
        #: Whether the object's class came with `new_sqlite_classes`.
        self.sqlite = sqlite

    def _key(self, key: Any) -> str:
        text = js_string(unwrap(key))
        if not self.sqlite and len(text) * 3 > limits.MAX_KEY_BYTES:
            size = len(text.encode("utf-8", "replace"))
            if size > limits.MAX_KEY_BYTES:
                raise_js("RangeError", limits.KEY_TOO_LARGE.format(limit=limits.MAX_KEY_BYTES, size=size))
        return text

    def _many(self, count: int, text: str) -> None:
        if not self.sqlite and count > limits.MAX_KEYS:
            raise_js("RangeError", text.format(limit=limits.MAX_KEYS, size=count))

    def get_one(self, key: Any) -> Any:
        self.gate.touch()
        data = self.database.get(self._key(key))
        return None if data is None else decode(data)

    def get_many(self, keys: list[Any]) -> Map:
        self.gate.touch()
        self._many(len(keys), limits.TOO_MANY_KEYS)
        found = Map.new()
        for key in sorted({self._key(key) for key in keys}, key=_order):
            data = self.database.get(key)
            if data is not None:
                found.set(key, decode(data))
        return found

    def put_one(self, key: Any, value: Any) -> None:
        if value is None:
            raise_js("TypeError", limits.PUT_UNDEFINED)
        self._store({self._key(key): value})

    def put_many(self, entries: list[tuple[str, Any]]) -> None:
        self._many(len(entries), limits.TOO_MANY_PAIRS)
        self._store({self._key(key): value for key, value in entries if value is not None})

    def _store(self, values: dict[str, Any]) -> None:
        """All or none: what cannot be stored is found before anything is."""
        encoded = {}
        for key, value in values.items():
            data = encoded[key] = encode(value)
            if self.sqlite:
                if len(key.encode("utf-8", "replace")) + len(data) > limits.MAX_ROW_BYTES:
                    raise_js("Error", limits.ROW_TOO_LARGE)
            elif len(data) > limits.MAX_VALUE_BYTES:
                raise_js("RangeError", limits.VALUE_TOO_LARGE.format(limit=limits.MAX_VALUE_BYTES, size=len(data)))
        self.gate.touch()
        for key, data in encoded.items():
            self.database.put(key, data)

    def delete_one(self, key: Any) -> bool:
        text = self._key(key)
        self.gate.touch()
        return self.database.delete(text)

    def delete_many(self, keys: list[Any]) -> int:
        self._many(len(keys), limits.TOO_MANY_KEYS)
        texts = [self._key(key) for key in keys]
        self.gate.touch()
        return sum(self.database.delete(key) for key in texts)

    def entries(self, options: Any, keywords: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """What `list(options)` finds."""
        options = unwrap(merged(options, keywords))
        if options is not None and options is not jsnull and not isinstance(options, (JsProxy, dict)):
            raise_js("TypeError", limits.BAD_LIST_OPTIONS.format(on=self.on))
        start, after, end, prefix = (option(options, name) for name in ("start", "startAfter", "end", "prefix"))
        if start is not None and after is not None:
            raise_js("TypeError", limits.START_TWICE)
        given = option(options, "limit")
        count = -1 if given is None else to_number(given)
        if given is not None and not count > 0:
            raise_js("TypeError", limits.LIST_LIMIT)
        first = "" if start is None and after is None else self._key(after if start is None else start)
        last = None if end is None else self._key(end)
        beyond = after is not None
        if prefix is not None:
            text = js_string(prefix)
            if _order(text) > _order(first):
                first, beyond = text, False
            past = _after_prefix(text)
            if past is not None and (last is None or _order(past) < _order(last)):
                last = past
        self.gate.touch()
        reverse = bool(option(options, "reverse"))
        size = -1 if count == math.inf else int(count)
        for key, data in self.database.list(first, last, reverse, size, beyond):
            yield key, decode(data)

    # --- the alarm --------------------------------------------------------------------------------------------------

    #: Set by the object: the alarm that is being handled now counts as gone, and whether there is a handler.
    alarm_hidden: Callable[[], bool]
    alarm_set: Callable[[], None]
    has_alarm_handler: Callable[[], bool]

    def get_alarm(self) -> Any:
        self.gate.touch()
        if self.alarm_hidden():
            return jsnull
        time_ms = self.database.alarm()
        return jsnull if time_ms is None else time_ms

    def set_alarm(self, when: Any) -> None:
        when = unwrap(when)
        if isinstance(when, Date):
            time_ms: Any = when._time
        elif isinstance(when, (int, float)) and not isinstance(when, bool):
            time_ms = when
        else:
            raise_js("TypeError", limits.BAD_ALARM.format(on=self.on))
        if time_ms != time_ms:
            raise_js("TypeError", limits.NOT_A_DATE)
        if time_ms <= 0:
            raise_js("TypeError", limits.ALARM_IN_PAST)
        if not self.has_alarm_handler():
            raise_js("Error", limits.NO_ALARM_HANDLER)
        self.gate.touch()
        # A time that has passed is due at once, and is shown as now (docs: setAlarm).
        self.database.set_alarm(max(int(time_ms), int(time.time() * 1000)))
        self.alarm_set()

    def delete_alarm(self) -> None:
        self.gate.touch()
        if not self.alarm_hidden():
            self.database.set_alarm(None)


def _order(key: str) -> bytes:
    return key.encode("utf-8", "replace")


def _after_prefix(prefix: str) -> str | None:
    """The first key, in the order of UTF-8, that is beyond all keys with this prefix."""
    while prefix:
        code = ord(prefix[-1]) + 1
        if code < 0x110000:
            return prefix[:-1] + chr(0xE000 if 0xD800 <= code < 0xE000 else code)
        prefix = prefix[:-1]
    return None


class _KeyValue(JsProxy):
    """get, put, delete, list and the alarm, as promises."""

    _operations: Operations

    def _checked(self, _call: str) -> Operations:
        return self._operations

    @at_once
    def get(self, *args: Any, **_options: Any) -> Any:
        """`get(key)`: the value or undefined; `get([keys])`: a Map of those that exist."""
        operations = self._checked("get")
        if not args:
            raise_js("TypeError", limits.BAD_KEYS.format(call="get", on=operations.on))
        keys = unwrap(args[0])
        if isinstance(keys, (Array, list)):
            return operations.get_many(list(keys))
        return operations.get_one(keys)

    @at_once
    def put(self, *args: Any, **_options: Any) -> None:
        """`put(key, value)` or `put({key: value, ...})`."""
        operations = self._checked("put")
        first = unwrap(args[0]) if args else None
        if isinstance(first, (JsProxy, dict)) and not isinstance(first, Date):
            operations.put_many(own_entries(first))
        elif not args:
            raise_js("TypeError", limits.BAD_PUT)
        else:
            operations.put_one(first, unwrap(args[1]) if len(args) > 1 else None)

    @at_once
    def delete(self, *args: Any, **_options: Any) -> Any:
        """`delete(key)`: whether it existed; `delete([keys])`: how many did."""
        operations = self._checked("delete")
        if not args:
            raise_js("TypeError", limits.BAD_KEYS.format(call="delete", on=operations.on))
        keys = unwrap(args[0])
        if isinstance(keys, (Array, list)):
            return operations.delete_many(list(keys))
        return operations.delete_one(keys)

    @at_once
    def list(self, options: Any = None, **keywords: Any) -> Map:
        """A Map of entries in the order of the keys: start, startAfter, end, prefix, reverse, limit."""
        found = Map.new()
        for key, value in self._checked("list").entries(options, keywords):
            found.set(key, value)
        return found

    @at_once
    def getAlarm(self, *_options: Any, **_keywords: Any) -> Any:
        """When the alarm is due (ms since the epoch), or null."""
        return self._checked("getAlarm").get_alarm()

    @at_once
    def setAlarm(self, when: Any = None, *_options: Any, **_keywords: Any) -> None:
        """`setAlarm(milliseconds or Date)`; replaces the one that is set."""
        self._checked("setAlarm").set_alarm(when)

    @at_once
    def deleteAlarm(self, *_options: Any, **_keywords: Any) -> None:
        self._checked("deleteAlarm").delete_alarm()


class DurableObjectTransaction(_KeyValue):
    """What the closure of `transaction` is given."""

    def __init__(self, operations: Operations, number: int) -> None:
        self._operations = operations
        self._number = number
        self._rolled_back = False
        self._over = False

    def _checked(self, call: str) -> Operations:
        if self._over:
            raise_js("Error", limits.COMMITTED.format(call=call))
        if self._rolled_back:
            raise_js("Error", limits.ROLLED_BACK.format(call=call))
        return self._operations

    @at_once
    def deleteAll(self, *_options: Any, **_keywords: Any) -> None:
        raise_js("Error", limits.NO_DELETE_ALL_IN_TXN)

    def rollback(self) -> None:
        """Undo everything that this transaction has written, and take nothing more."""
        if self._rolled_back:
            return
        self._checked("rollback")
        self._operations.database.undo(self._number, over=False)
        self._rolled_back = True


class DurableObjectStorage(_KeyValue):
    """`ctx.storage`."""

    def __init__(self, operations: Operations, critical: Callable[[Any], Any], *, delete_alarm: bool) -> None:
        """`critical` runs an async function while the gate is closed. `delete_alarm`: deleteAll() takes the alarm too (flag
        delete_all_deletes_alarm)."""
        self._operations = operations
        self._critical = critical
        self._delete_alarm = delete_alarm
        self._sql: SqlStorage | None = None

    @property
    def sql(self) -> SqlStorage:
        if not self._operations.sqlite:
            raise_js("Error", limits.NO_SQL)
        if self._sql is None:
            self._sql = SqlStorage.new(self._operations.database, self._operations.gate)
        return self._sql

    @property
    def kv(self) -> SyncKvStorage:
        if not self._operations.sqlite:
            raise_js("Error", limits.NO_SYNC_KV)
        return SyncKvStorage.new(self._operations)

    @at_once
    def deleteAll(self, *_options: Any, **_keywords: Any) -> None:
        """Everything is gone, tables included."""
        operations = self._operations
        operations.gate.touch()
        operations.database.delete_all()
        if self._delete_alarm:
            operations.delete_alarm()

    def transaction(self, closure: Any = None, *_options: Any) -> Any:
        """`await transaction(async_function)`: all that it writes is stored when it returns, and nothing when it raises."""
        call = unwrap(closure)

        async def run() -> Any:
            operations = self._operations
            operations.database.commit()  # what came before does not wait for the closure
            number = operations.database.savepoint()
            transaction = DurableObjectTransaction.new(operations, number)
            try:
                result = call(transaction) if _takes_argument(call) else call()
                while hasattr(result, "__await__"):
                    result = await result
            except BaseException:
                operations.database.undo(number)
                raise
            else:
                operations.database.release(number)
            finally:
                transaction._over = True
            return result

        return self._critical(run)

    def transactionSync(self, closure: Any = None) -> Any:
        """As `transaction`, for a function that does not await."""
        if not self._operations.sqlite:
            raise_js("Error", limits.NO_SQL)
        database = self._operations.database
        self._operations.gate.touch()
        number = database.savepoint()
        try:
            result = unwrap(closure)()
        except BaseException:
            database.undo(number)
            raise
        database.release(number)
        return result

    def sync(self) -> Any:
        """Resolves when everything that was written is on disk."""
        try:
            self._operations.database.commit()
        except Exception as error:
            return settled(error=js_error("Error", f"{limits.WRITE_FAILED} ({error})"))
        return settled()

    @at_once
    def getCurrentBookmark(self) -> str:
        """A bookmark of the present state. There is no way back to it here, as in workerd."""
        changes = self._operations.database.connection.total_changes
        return f"00000000-{changes:08x}-{int(time.time()):08x}-{'0' * 32}"

    @at_once
    def getBookmarkForTime(self, _time: Any = None) -> str:
        raise_js("Error", limits.NO_RECOVERY)

    @at_once
    def onNextSessionRestoreBookmark(self, _bookmark: Any = None) -> str:
        raise_js("Error", limits.NO_RECOVERY)


def _takes_argument(call: Any) -> bool:
    """JavaScript drops what a function does not take, and Pyodide lets it, for a closure without a parameter."""
    try:
        inspect.signature(call).bind(None)
    except TypeError:
        return False
    except ValueError:
        return True
    return True
