"""`wpy_env`: the bindings, found when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wrangler_py.testing.kit import Wpy


class LiveEnv:
    """`env` of the first worker."""

    def __init__(self, wpy: Wpy) -> None:
        self._wpy = wpy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wpy.env, name)
