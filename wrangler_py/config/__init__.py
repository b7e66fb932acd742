"""Config: wrangler.toml / .json / .jsonc into a typed `SessionConfig`, or a list of problems with file and line.

`load_session`, `find_config` and `format_problems` are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wrangler_py.config.model import ConfigError, Problem, SessionConfig, WorkerConfig

if TYPE_CHECKING:
    from wrangler_py.config.find import find_config
    from wrangler_py.config.load import load_session
    from wrangler_py.config.problems import format_problems

__all__ = [
    "ConfigError",
    "Problem",
    "SessionConfig",
    "WorkerConfig",
    "find_config",
    "format_problems",
    "load_session",
]

_HOMES = {"find_config": "find", "load_session": "load", "format_problems": "problems"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"wrangler_py.config.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
