"""Speaking to a running `wpy dev` session: its control API, found through the state folder."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from wrangler_py.cli.output import CommandError
from wrangler_py.cli.state import reading
from wrangler_py.server.control import PREFIX
from wrangler_py.store.sessions import SessionInfo, living_sessions

#: How long a call may take (seconds). Moving a clock waits for the handlers that it starts.
CALL_TIMEOUT_S = 600


def running_session(folder: Path) -> SessionInfo | None:
    """The session that serves this state folder: the oldest, when there are several."""
    with reading(folder) as store:
        sessions = [] if store is None else [s for s in living_sessions(store) if s.url is not None]
    return sessions[0] if sessions else None


def need_session(folder: Path) -> SessionInfo:
    """The running session. Raises CommandError when there is none."""
    session = running_session(folder)
    if session is None:
        raise CommandError(f"No `wpy dev` session runs on {folder}.\nStart one with `wpy dev`, then try again.")
    return session


def call(session: SessionInfo, name: str, arguments: dict[str, Any] | None = None) -> Any:
    """One call of the control API, e.g. "POST clock/advance". Raises CommandError with what the session says."""
    method, _, path = name.partition(" ")
    request = urllib.request.Request(
        f"{session.url}{PREFIX}{path}",
        method=method,
        data=json.dumps(arguments or {}).encode() if method == "POST" else None,
        headers={"Content-Type": "application/json", "X-Wpy-Token": session.token or ""},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy stands before this machine
    try:
        with opener.open(request, timeout=CALL_TIMEOUT_S) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode("utf-8", "replace")
        try:
            text = json.loads(text)["error"]
        except (ValueError, KeyError, TypeError):
            pass  # not the control API's own words: show what came
        raise CommandError(text) from error
    except OSError as error:
        raise CommandError(f"The session at {session.url} does not answer: {error}.") from error
