"""The lines to copy for moves of the clock; the moves themselves are the control API's."""

from __future__ import annotations

from typing import Any

from wrangler_py.server.dashboard_api.also import also, command
from wrangler_py.server.dashboard_api.call import Call


def also_of(call: Call, path: str, body: dict[str, Any]) -> dict[str, str | None]:
    """For a path like "clock/advance"."""
    room, _, verb = path.partition("/")
    if room != "clock":
        return also(call, path, body)
    if verb == "advance":
        seconds = body.get("seconds")
        return also(call, path, body, command("clock", "advance", f"{seconds}s"), f'await clock.advance("{seconds}s")')
    tests = {
        "next": "await clock.next_event()",
        "run-until-idle": "await clock.run_until_idle()",
        "freeze": "clock.freeze()",
    }
    return also(call, path, body, command("clock", verb), tests.get(verb))
