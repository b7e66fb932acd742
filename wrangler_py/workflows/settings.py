"""What `step.do` is configured with: checked as the engine of wrangler 4.86 checks it (lib/validators)."""

from __future__ import annotations

from typing import Any

from wrangler_py.workflows import limits, values
from wrangler_py.workflows.durations import milliseconds


def step_config(name: Any, given: Any) -> dict[str, Any]:
    """A step's config with its defaults. `given`: a wire value or None. Raises live.Failure for a wrong name or config."""
    from wrangler_py.workflows.live import Failure

    if not isinstance(name, str) or len(name) > limits.MAX_STEP_NAME or any(ord(char) < 32 for char in name):
        text = limits.BAD_STEP_NAME.format(name=name, limit=limits.MAX_STEP_NAME)
        raise Failure(values.error("Error", f"WorkflowFatalError: {text}"))
    config = values.to_json(given)
    config = {} if config is None else config
    if not _valid(config):
        raise Failure(values.error("Error", "WorkflowFatalError: " + limits.BAD_STEP_CONFIG.format(name=name)))
    retries = config.get("retries") or {}
    return {
        "retries": {
            "limit": retries.get("limit", limits.RETRY_LIMIT),
            "delay": retries.get("delay", limits.RETRY_DELAY_MS),
            "backoff": retries.get("backoff", limits.RETRY_BACKOFF),
        },
        "timeout": config.get("timeout", limits.STEP_TIMEOUT_MS),
    }


def _valid(config: Any) -> bool:
    if not isinstance(config, dict) or set(config) - {"retries", "timeout"}:
        return False
    timeout = config.get("timeout")
    if timeout is not None and not milliseconds(timeout):
        return False
    retries = config.get("retries")
    if retries is None:
        return True
    if not isinstance(retries, dict) or set(retries) - {"limit", "delay", "backoff"}:
        return False
    limit = retries.get("limit")
    if isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 0:
        return False
    if milliseconds(retries.get("delay")) is None:
        return False
    return retries.get("backoff", "constant") in ("constant", "linear", "exponential")
