"""Speaking to a running `wpy dev` session: its control API, found through the state folder."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from wrangler_py.cli.output import CommandError

if TYPE_CHECKING:
    from wrangler_py.cli.where import Where
    from wrangler_py.store.sessions import SessionInfo

#: How long a call may take that only asks (seconds). One that runs handlers has no limit but theirs.
ASK_TIMEOUT_S = 30.0

SessionOption = Annotated[
    str | None,
    typer.Option("--session", metavar="PORT", help="Which session, when several share the state folder."),
]


def running_sessions(folder: Path) -> list[SessionInfo]:
    """The sessions that serve this state folder, oldest first."""
    from wrangler_py.cli.state import reading
    from wrangler_py.store.sessions import living_sessions

    with reading(folder) as store:
        return [] if store is None else [s for s in living_sessions(store) if s.url is not None]


def running_session(folder: Path, wanted: str | None = None) -> SessionInfo | None:
    """The session that serves this state folder, or None. `wanted`: its port. Raises CommandError when there are several
    and none is named, or when there is none at that port."""
    sessions = running_sessions(folder)
    if wanted is not None:
        for session in sessions:
            if wanted in (str(urlsplit(session.url or "").port), session.url):
                return session
        there = f" There is {_listed(sessions)}." if sessions else ""
        raise CommandError(f"No session of {folder} listens on port {wanted}.{there}")
    if len(sessions) > 1:
        raise CommandError(
            f"Several sessions run on {folder}: {_listed(sessions)}.\nName the one you mean with --session PORT."
        )
    return sessions[0] if sessions else None


def _listed(sessions: Sequence[SessionInfo]) -> str:
    return ", ".join(f"{session.url} (process {session.pid})" for session in sessions)


class SessionClient:
    """A connection to a session's control API. Close it, or use it in a `with`."""

    def __init__(self, session: SessionInfo) -> None:
        address = urlsplit(session.url or "")
        self.session = session
        self._connection = HTTPConnection(address.hostname or "localhost", address.port)
        self._headers = {"Content-Type": "application/json", "X-Wpy-Token": session.token or ""}

    def __enter__(self) -> SessionClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def call(
        self, name: str, arguments: dict[str, Any] | None = None, *, timeout_s: float | None = ASK_TIMEOUT_S
    ) -> Any:
        """One call, e.g. "POST clock/advance". `timeout_s` None: as long as it takes. Raises CommandError with what the
        session says."""
        from wrangler_py.server.control import PREFIX

        method, _, path = name.partition(" ")
        body = json.dumps(arguments or {}).encode() if method == "POST" else None
        self._set_timeout(timeout_s)
        try:
            self._connection.request(method, PREFIX + path, body, self._headers)
            reply = self._connection.getresponse()
            text = reply.read()
        except (OSError, HTTPException) as error:
            self.close()
            said = str(error) or type(error).__name__
            raise CommandError(f"The session at {self.session.url} does not answer: {said}.") from error
        except KeyboardInterrupt:
            self.close()  # the answer is still to come on it
            raise
        try:
            answer = json.loads(text)
            if reply.status < 400:
                return answer
            said = str(answer["error"])
        except (ValueError, KeyError, TypeError):  # not the control API's own words
            start = text[:200].decode("utf-8", "replace")
            said = f"The session at {self.session.url} answered {reply.status} {reply.reason}: {start}"
        raise CommandError(said)

    def _set_timeout(self, timeout_s: float | None) -> None:
        self._connection.timeout = timeout_s
        sock: socket.socket | None = self._connection.sock
        if sock is not None:
            sock.settimeout(timeout_s)


def connect(where: Where, wanted: str | None = None) -> SessionClient:
    """A client of the session that runs here. Raises CommandError when there is none."""
    return connect_to(where.project().folder, wanted)


def connect_to(folder: Path, wanted: str | None = None) -> SessionClient:
    """A client of the session on this state folder. Raises CommandError when there is none."""
    return SessionClient(needed_session(folder, wanted))


def needed_session(folder: Path, wanted: str | None = None) -> SessionInfo:
    """The session that serves this state folder. Raises CommandError when there is none, as `running_session` too."""
    session = running_session(folder, wanted)
    if session is None:
        raise CommandError(f"{no_session(folder)}\nStart one with `wpy dev`, then try again.")
    return session


def no_session(folder: Path) -> str:
    """That nobody serves this state folder."""
    return f"No `wpy dev` session runs on {folder}."
