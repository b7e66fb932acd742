"""The lines to copy for what the page asks of the control API: moves of the clock, changes of workflows."""

from __future__ import annotations

from typing import Any

from wrangler_py.server.dashboard_api.also import also, command
from wrangler_py.server.dashboard_api.call import Call


def also_of(call: Call, path: str, body: dict[str, Any]) -> dict[str, str | None]:
    """For a path like "clock/advance"."""
    room, _, verb = path.partition("/")
    if room == "workflows" and verb in ("pause", "resume", "terminate", "restart"):
        words = [str(body.get(name)) for name in ("workflow", "id")]
        return also(call, path, body, command("workflows", "instances", verb, *words))
    if room != "clock":
        return also(call, path, body)
    if verb == "advance":
        seconds = body.get("seconds")
        return also(
            call, path, body, command("clock", "advance", f"{seconds}s"), f'await wpy.clock.advance("{seconds}s")'
        )
    tests = {
        "next": "await wpy.clock.next_event()",
        "run-until-idle": "await wpy.clock.run_until_idle()",
        "freeze": "wpy.clock.freeze()",
    }
    return also(call, path, body, command("clock", verb), tests.get(verb))
