"""The event record that the broker speaks to: in order, to everybody, and never the worse for a listener."""

from wrangler_py.clock import VirtualClock
from wrangler_py.events.log import EventLog


def test_every_subscriber_gets_every_event_in_order():
    log = EventLog(VirtualClock(7))
    first, second = [], []
    log.subscribe(first.append)
    log.emit("a", n=1)
    log.subscribe(second.append)
    log.emit("b")
    assert [(e.at_ms, e.kind, e.data) for e in first] == [(7, "a", {"n": 1}), (7, "b", {})]
    assert [e.kind for e in second] == ["b"]


def test_a_subscriber_that_breaks_stops_nobody(capsys):
    log = EventLog(VirtualClock())
    seen = []
    log.subscribe(lambda event: 1 / 0)
    log.subscribe(seen.append)
    log.emit("a")
    assert len(seen) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_who_leaves_while_an_event_is_handed_out_takes_nobody_else_with_him():
    log = EventLog(VirtualClock())
    seen = []
    leave = log.subscribe(lambda event: (seen.append("leaver"), leave()))
    log.subscribe(lambda event: seen.append("stayer"))
    log.emit("a")
    log.emit("b")
    leave()
    assert seen == ["leaver", "stayer", "stayer"]
