"""How values look to Python through the SDK, and how options reach JavaScript."""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

from . import logs, texts
from .shims.js.core import jsnull

_OPTIONS = {"delayseconds": "delaySeconds", "contenttype": "contentType"}
_warned: set[tuple[str, str]] = set()


def metrics_dict(metrics: tuple[int, int, int | None]) -> Any:
    """`QueueMetrics` as Python sees it. Workers send 0 for a timestamp that is not known; then it is left out."""
    count, size, oldest = metrics
    made = js_dict()({"backlogCount": count, "backlogBytes": size})
    if oldest:
        made["oldestMessageTimestamp"] = naive_datetime(oldest)
    return made


@lru_cache(16)  # the same moment comes many times over: that of a batch, of the oldest message
def naive_datetime(milliseconds: float) -> Any:
    """A JavaScript Date as the SDK shows it to Python: in the process's zone, without saying so."""
    from datetime import datetime

    return datetime.fromtimestamp(milliseconds / 1000)


@lru_cache(1)
def js_dict() -> Any:
    """The SDK's dict with attribute access; a plain dict with an SDK that has none. Asked only once a worker is loaded."""
    return getattr(sys.modules.get("workers.rpc"), "JsDict", dict)


def nulls(given: dict) -> dict:
    return {key: jsnull if value is None else value for key, value in given.items()}


def check_names(call: str, keywords: dict[str, Any]) -> None:
    """Say once that a misspelt option is ignored: Cloudflare ignores it without a word."""
    for given in keywords:
        name = _OPTIONS.get(given.replace("_", "").lower())
        if name is not None and name != given and (call, given) not in _warned:
            _warned.add((call, given))
            logs.emit("warn", texts.UNKNOWN_OPTION.format(call=call, given=given, name=name))
