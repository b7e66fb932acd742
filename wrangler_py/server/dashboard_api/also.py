"""The same thing done otherwise: the command line, curl, and the lines of a test, for whoever wants to do it again."""

from __future__ import annotations

import json
import shlex
from typing import Any

from wrangler_py.server.control import PREFIX
from wrangler_py.server.dashboard_api.call import Call

#: Ids that a line names; of more, the first ones.
_FEW = 20


def also(
    call: Call, path: str, body: dict[str, Any], cli: str | None = None, pytest: str | None = None
) -> dict[str, str | None]:
    """`cli` and `pytest` are None where there is no such thing."""
    sent = {name: value for name, value in body.items() if value is not None and name != "preview"}
    url = f"{call.session.url}{PREFIX}{path}"
    curl = f'curl {shlex.quote(url)} -H "X-Wpy-Token: $(wpy events token)"'
    curl += f" -d {shlex.quote(json.dumps(sent, ensure_ascii=False))}"
    return {"cli": cli, "curl": curl, "pytest": pytest}


def command(*words: str | None) -> str:
    """A command line, quoted for the shell."""
    return "wpy " + " ".join(shlex.quote(word) for word in words if word is not None)


def few(ids: list[str]) -> list[str]:
    """As many ids as a line can take."""
    return ids[:_FEW]
