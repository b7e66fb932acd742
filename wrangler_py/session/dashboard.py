"""What the dashboard's API works on in a session. Its code is imported when somebody first asks for it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

from wrangler_py.server.control import Call, ControlApi
from wrangler_py.server.dashboard_api.door import DashboardDoor

if TYPE_CHECKING:
    from wrangler_py.server.dashboard_api.session_view import SessionView
    from wrangler_py.session.emulator import Emulator


def dashboard_door(emulator: Emulator, url: str, control: ControlApi, calls: Mapping[str, Call]) -> DashboardDoor:
    """The way to the dashboard of a session that is served at `url`."""

    def rooms() -> SessionView:
        from wrangler_py.queues.bulk import BulkChanges
        from wrangler_py.server.dashboard_api.session_view import SessionView
        from wrangler_py.session.state_browser import StateBrowser

        store, clock, events, broker = emulator.store, emulator.clock, emulator.events, emulator.broker
        return SessionView(
            store=store,
            clock=clock,
            events=events,
            broker=broker,
            recorder=emulator.recorder,
            workers=emulator.workers,
            crons=emulator.crons,
            state=StateBrowser(store.path.parent, emulator.storage, lambda: emulator.config),
            faults=emulator.faults,
            config=lambda: emulator.config,
            controls=calls,
            url=url,
            readonly=emulator.options.readonly,
            page_token=secrets.token_urlsafe(24),
            bulk=BulkChanges(store, clock, events, broker),
        )

    return DashboardDoor(rooms, control, emulator.options.api_token)
