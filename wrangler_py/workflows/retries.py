"""When a step is tried again, and when it is given up. The numbers are a step's settings (settings.py, limits.py)."""

from __future__ import annotations

from typing import Any

from wrangler_py.workflows.durations import milliseconds


def used_up(config: dict[str, Any], attempt: int) -> bool:
    """Whether the attempt of this number, counted from 1, was the last: `limit` retries follow the first one."""
    return bool(attempt > config["retries"]["limit"])


def retry_delay_ms(config: dict[str, Any], attempt: int) -> float:
    """How long to wait after the attempt of this number, counted from 1 (engine: lib/retries)."""
    delay = milliseconds(config["retries"]["delay"]) or 0.0
    backoff = config["retries"]["backoff"]
    if backoff == "exponential":
        return float(delay * 2 ** (attempt - 1))
    return delay * attempt if backoff == "linear" else delay
