"""The page open while messages pour in: it is asked to wait, and what it read too early it is told to read again."""

from __future__ import annotations

import threading
import time
from typing import Any

from .conftest import Api, Stream


def test_in_a_flood_a_page_waits_and_at_its_end_it_sees_the_last_state(api: Api):
    stream = Stream(api)
    assert stream.frame("change")["paceMs"] == 0
    frames: list[dict[str, Any]] = []
    over = threading.Event()

    def listen() -> None:
        while not over.is_set() or frames[-1]["events"] or "message.sent" not in frames[-1]["kinds"]:
            frames.append(stream.frame("change"))

    count = 0
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    end = time.monotonic() + 20
    while not (any(frame["paceMs"] for frame in frames) and api.get("overview")["record"]["behind"]):
        assert time.monotonic() < end, frames[-1:]
        assert api.server.get("/slow").status == 200
        count += 100
    over.set()
    listener.join(10)
    assert not listener.is_alive(), "what was read while the record was behind is to be read again"
    assert frames[-1]["paceMs"] == 0 and frames[-1]["counts"]["ready"] == count, "the last counts"
    assert all(len(frame["events"]) <= 20 for frame in frames if frame["paceMs"])
    api.until("overview", lambda answer: not answer["record"]["behind"])
    found = api.until("messages?queue=slow&limit=1", lambda answer: answer["totalIsExact"])
    assert found["total"] == count
    stream.connection.close()
