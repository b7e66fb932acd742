"""Compatibility flags that change what wpy does, and the dates from which they are on by default.

Source: https://developers.cloudflare.com/workers/configuration/compatibility-flags/ and workerd's
src/workerd/io/compatibility-date.capnp; dates asked of workerd 1.20260426.1 (`Cloudflare.compatibilityFlags`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: flag: (name that turns it off, date from which it is on without being named; None: never)
_FLAGS: dict[str, tuple[str, str | None]] = {
    "queues_json_messages": ("no_queues_json_messages", "2024-03-18"),
    "queue_expose_error_codes": ("no_queue_expose_error_codes", "2026-03-12"),
    "queue_consumer_no_wait_for_wait_until": ("queue_consumer_wait_for_wait_until", None),
    "python_request_headers_preserve_commas": ("disable_python_request_headers_preserve_commas", "2026-02-17"),
    "enhanced_error_serialization": ("legacy_error_serialization", "2026-04-21"),
    "enable_ctx_exports": ("disable_ctx_exports", "2025-11-17"),
    "python_no_global_handlers": ("disable_python_no_global_handlers", "2025-08-14"),
    "python_workers_314": ("no_python_workers_314", "2026-09-08"),  # workers-py, metadata of Python versions
    "python_workflows_implicit_dependencies": ("no_python_workflows_implicit_dependencies", "2026-02-25"),
    "delete_all_deletes_alarm": ("delete_all_preserves_alarm", "2026-02-24"),
    "websocket_standard_binary_type": ("no_websocket_standard_binary_type", "2026-03-17"),
    "workflows_preserve_non_retryable_error_message": ("workflows_replace_non_retryable_error_message", "2026-05-14"),
}


#: The version of Python by the first date that it runs for, newest first (workers-py, metadata of Python versions).
#: 3.14 has a flag of its own, above.
_PYTHONS = (("2025-09-29", "3.13"), ("", "3.12"))


def python_of(compatibility_date: str | None, flags: Mapping[str, bool]) -> str:
    """The version of Python that Cloudflare runs a worker with."""
    if flags.get("python_workers_314"):
        return "3.14"
    return next(version for since, version in _PYTHONS if (compatibility_date or "") >= since)


def resolve_flags(compatibility_date: str | None, named: Iterable[str]) -> dict[str, bool]:
    """Which of the flags above are on for a worker. A date of None counts as the oldest one, as in workerd."""
    names = set(named)
    date = compatibility_date or "0000-00-00"
    resolved = {}
    for flag, (off, since) in _FLAGS.items():
        if flag in names:
            resolved[flag] = True
        elif off in names:
            resolved[flag] = False
        else:
            resolved[flag] = since is not None and date >= since  # ISO dates order as text
    return resolved
