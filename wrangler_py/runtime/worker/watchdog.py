"""Says which line of the user's blocks the loop: one daemon thread that sleeps while the worker has nothing to do."""

from __future__ import annotations

import sys
import threading
import time
from types import FrameType
from typing import Any

from . import frames, outcome
from .connection import Connection, end_process
from .loop import Hub

#: How long the loop may stand still before that is reported, and how often it is reported again (seconds).
LIMIT_S = 1.0
REPEAT_S = 5.0
#: How often the thread looks while there is work (seconds).
_INTERVAL_S = 0.25

#: The coroutines of dispatch.py that run an event, which is their local `event`.
_RUNNERS = ("_run_fetch", "_run_queue", "_run_scheduled", "_run_rpc")


class Watchdog:
    """Sends BLOCKED when the loop has not turned for `LIMIT_S` although it has something to do."""

    def __init__(self, hub: Hub, connection: Connection) -> None:
        self._hub = hub
        self._connection = connection
        self._work = threading.Event()
        #: Set by `arm`, cleared by the thread when it goes to sleep.
        self.armed = False
        #: Events in flight, which the dispatcher keeps; while there are any, the thread stays awake.
        self.active: dict[int, Any] = {}
        threading.Thread(target=self._watch, name="wpy-watchdog", daemon=True).start()

    def arm(self) -> None:
        """There is something to do now. Cheap when the thread is awake already."""
        if not self.armed:
            self.armed = True
            self._work.set()

    def _watch(self) -> None:
        hub = self._hub
        pause = threading.Event()  # never set
        while True:
            self._work.wait()
            turns, since, said = hub.turns, time.monotonic(), LIMIT_S
            while True:
                time_to_look = time.monotonic() + _INTERVAL_S
                pause.wait(_INTERVAL_S)
                late = time.monotonic() - time_to_look
                if hub.turns != turns or hub.waiting or late > LIMIT_S:  # late: the machine was asleep, not the loop
                    turns, since, said = hub.turns, time.monotonic(), LIMIT_S
                    if hub.waiting and not self.active:
                        break
                elif self._connection.server_is_gone():  # and the loop, which would see it, does not turn
                    end_process()
                elif (stood := time.monotonic() - since) >= said:
                    said = stood + REPEAT_S
                    self._report(stood)
            self._work.clear()
            self.armed = False
            if self.active:  # one began just now
                self.arm()

    def _report(self, seconds: float) -> None:
        frame = sys._current_frames().get(self._hub._thread_id or 0)
        if frame is not None:
            self._connection.send_now(frames.BLOCKED, event_of(frame), round(seconds, 1), where(frame))


def where(frame: FrameType) -> str:
    """The innermost line of the user's own, or of anyone's when there is none: "src/entry.py:12 in queue"."""
    innermost = frame
    walk: FrameType | None = frame
    while walk is not None:
        if outcome.is_users(walk.f_code.co_filename):
            innermost = walk
            break
        walk = walk.f_back
    return f"{outcome.shown(innermost.f_code.co_filename)}:{innermost.f_lineno} in {innermost.f_code.co_name}"


def event_of(frame: FrameType) -> int:
    """The event that the innermost handler on this stack belongs to, 0 when there is none."""
    walk: FrameType | None = frame
    while walk is not None:
        if walk.f_code.co_name in _RUNNERS and not outcome.is_users(walk.f_code.co_filename):
            event = walk.f_locals.get("event")
            if event is not None:
                return event.id
        walk = walk.f_back
    return 0
