"""The test kit: a project's workers, queues, crons and bindings in plain pytest, on a clock that jumps.

The plugin comes with wpy; there is nothing to configure in a project that has a wrangler config. See docs/testing.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wrangler_py.testing.batches import TestBatch, TestMessage, msg
    from wrangler_py.testing.errors import (
        ClockBackwards,
        HandlerHung,
        KitError,
        Leftovers,
        NetworkBlocked,
        UnknownQueue,
    )
    from wrangler_py.testing.kit import Wpy
    from wrangler_py.testing.values import approx

__all__ = [
    "ClockBackwards",
    "HandlerHung",
    "KitError",
    "Leftovers",
    "NetworkBlocked",
    "TestBatch",
    "TestMessage",
    "UnknownQueue",
    "Wpy",
    "approx",
    "msg",
]

_WHERE = {
    "TestBatch": "batches",
    "TestMessage": "batches",
    "msg": "batches",
    "Wpy": "kit",
    "approx": "values",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE.get(name, 'errors')}"), name)
