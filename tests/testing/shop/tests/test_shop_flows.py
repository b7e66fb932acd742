"""Messages, crons and the clock, through the whole of the emulator."""

import json
import socket
import urllib.request

import entry
import ledger
import pytest
from workers import Response

from wrangler_py.testing import ClockBackwards, KitError, NetworkBlocked, UnknownQueue, approx

SMTP = "https://smtp.example.com/send"


async def test_a_message_waits_for_its_delay_and_its_batch(wpy):
    wpy.http.on("POST", SMTP).respond(503).times(1).respond(200)
    await wpy.worker.fetch("/signup", json={"email": "ann", "delay": 60}, wait=False)
    mail = wpy.queues["mail"]
    mail.assert_enqueued(body__to="ann", delay=approx("60s"), content_type="json", state="delayed")
    mail.refute_enqueued(body__to="bob")
    await wpy.clock.advance("61s")
    assert mail.delivered == 0, "max_batch_timeout is 2 s"
    await wpy.clock.advance("1s")
    assert mail.delivered == 1 and mail.pending == 1
    mail.assert_enqueued(delay="20s", attempts=1)
    await wpy.clock.run_until_idle()
    mail.assert_empty()
    assert mail.acked == 1 and [attempt.outcome for attempt in mail.deliveries] == ["ok", "ok"]


async def test_a_failing_message_is_dead_with_its_history_and_can_be_replayed(wpy):
    wpy.http.on("POST", SMTP).respond(400)
    mail = wpy.queues["mail"]
    await mail.send({"to": "nobody"})
    await wpy.clock.run_until_idle()
    letter = mail.dlq.one(body__to="nobody")
    assert letter.died_in == "mail"
    assert [attempt.number for attempt in letter.history] == [1, 2, 3]
    assert [attempt.error_type for attempt in letter.history] == ["ValueError"] * 3
    assert [attempt.action for attempt in letter.history] == ["retry", "retry", "dead_letter"]
    wpy.http.reset()
    wpy.http.on("POST", SMTP).respond(200)
    await letter.replay()
    await wpy.clock.run_until_idle()
    mail.dlq.assert_empty()
    assert mail.acked == 1


async def test_drain_and_one_batch_need_no_clock(wpy):
    wpy.http.on("POST", SMTP).respond(200)
    mail = wpy.queues["mail"]
    await mail.send_batch([{"to": str(number)} for number in range(7)])
    first = await mail.deliver_one_batch()
    assert len(first.messages) == 5 and len(first.acked) == 5
    assert [len(result.messages) for result in await mail.drain()] == [2]
    with pytest.raises(KitError, match="nothing to deliver"):
        await mail.deliver_one_batch()
    assert str(wpy.clock) == "2026-01-01T00:00:00Z"


async def test_drain_with_delayed_messages_moves_the_clock(wpy):
    wpy.http.on("POST", SMTP).respond(503).times(2).respond(200)
    await wpy.queues["mail"].send({"to": "slow"})
    results = await wpy.queues["mail"].drain(with_delayed=True)
    assert [list(result.retried.values()) for result in results] == [[20], [40], []]


async def test_a_paused_queue_keeps_its_messages(wpy):
    wpy.http.on("POST", SMTP).respond(200)
    mail = wpy.queues["mail"]
    await mail.pause()
    await mail.send({"to": "a"})
    await wpy.clock.advance("1h")
    assert mail.delivered == 0 and mail.pending == 1
    await mail.resume()
    await wpy.clock.advance("5s")
    assert mail.acked == 1
    await mail.send({"to": "b"})
    await mail.purge()
    mail.assert_empty()


async def test_messages_can_be_pulled_and_acknowledged(wpy):
    audit = wpy.queues["audit"]
    await audit.send_batch([{"n": 1}, {"n": 2}])
    one, two = await audit.pull(10, visibility_timeout="30s")
    assert (one.body, one.attempts) == ({"n": 1}, 1)
    await one.ack()
    await two.retry("10s")
    audit.assert_enqueued(body__n=2, delay="10s", count=1)
    await wpy.clock.advance("10s")
    again = await audit.pull()
    assert [(message.body, message.attempts) for message in again] == [({"n": 2}, 2)]


async def test_a_message_may_come_twice_and_in_another_order(wpy):
    wpy.http.on("POST", SMTP).respond(200)
    mail = wpy.queues["mail"]
    await mail.send_batch([{"to": name} for name in "abcd"])
    order = mail.reorder(seed=1)
    await mail.drain()
    assert [message.id for message in mail.deliveries[0].messages] == order
    await mail.redeliver(order[0])
    await mail.drain()
    assert [(message.id, message.attempts) for message in mail.deliveries[1].messages] == [(order[0], 2)]


async def test_crons_fire_when_the_clock_passes_them(wpy):
    wpy.clock.freeze("2026-03-29T00:59:50Z")
    assert ledger.notes == [] and wpy.crons.runs == []
    await wpy.clock.advance("10m")
    assert wpy.crons["0 1 * * *"].fired == ["2026-03-29T01:00:00Z"]
    assert wpy.crons["0 1 * * *"].runs[0].no_retry is True
    assert [at.hour for at in wpy.crons["0 1 * * *"].next(2)] == [1, 1]
    assert await wpy.clock.next_event() == wpy.crons["*/30 * * * *"].runs[-1].scheduled
    result = await wpy.crons["0 1 * * *"].trigger("2024-02-29T01:00Z")
    assert result.outcome == "ok" and ledger.notes[-1] == "0 1 * * * for 29 01:00"


@pytest.mark.wpy(
    crons=False, clock="2026-05-01T00:00:00Z", vars={"SENDER": "test"}, queues={"mail": {"max_batch_size": 1}}
)
async def test_a_marker_changes_the_emulator_of_one_test(wpy):
    wpy.http.on("POST", SMTP).respond(200)
    response = await wpy.worker.fetch("/signup", json={"email": "ann"})
    assert response.headers["x-from"] == "test"
    assert wpy.queues["mail"].delivered == 1, "a batch of one starts at once"
    await wpy.clock.advance("2h")
    assert wpy.crons.runs == [] and str(wpy.clock) == "2026-05-01T02:00:05Z"


async def test_the_network_is_blocked_and_says_how_to_answer(wpy):
    result = await wpy.worker.queue([{"to": "a"}], queue="mail")
    assert result.outcome == "exception"
    assert 'wpy.http.on("POST", "https://smtp.example.com/send").respond(200)' in result.error
    wpy.http.on("POST", SMTP).delay("5s").respond(200)
    assert (await wpy.worker.queue([{"to": "a"}], queue="mail")).acked == ["m1"]
    assert str(wpy.clock) == "2026-01-01T00:00:05Z"
    wpy.http.assert_called("POST", SMTP, times=2)
    wpy.http.assert_all_called()
    assert issubclass(NetworkBlocked, ConnectionError)


async def test_other_clients_are_answered_and_blocked_too(wpy, monkeypatch):
    wpy.http.on("GET", "https://api.example.com/x*").respond(201, json={"a": 1})
    wpy.http.on("POST", "http://api.example.com:8080/y").respond_with(lambda request: {"got": request.text})

    async def fetch(self, request):
        import httpx

        with urllib.request.urlopen("https://api.example.com/x?q=1") as answer:
            first = [answer.status, json.loads(answer.read())]
        with urllib.request.urlopen("http://api.example.com:8080/y", data=b"body") as answer:
            second = json.loads(answer.read())
        async with httpx.AsyncClient() as client:
            third = (await client.get("https://api.example.com/x")).json()
        fourth = httpx.post("http://api.example.com:8080/y", json={"z": 1}).json()
        blocked = []
        for call in (
            lambda: urllib.request.urlopen("https://elsewhere.example.com/"),
            lambda: socket.create_connection(("127.0.0.1", 9)),
        ):
            try:
                call()
            except OSError as error:
                blocked.append(str(error))
        return Response.json([*first, second, third, fourth, *blocked])

    monkeypatch.setattr(entry.Default, "fetch", fetch)
    *answers, urllib_blocked, socket_blocked = (await wpy.worker.fetch("/")).json()
    assert answers == [201, {"a": 1}, {"got": "body"}, {"a": 1}, {"got": '{"z":1}'}]
    assert 'wpy.http.on("GET", "https://elsewhere.example.com/")' in urllib_blocked
    assert "opened a connection to 127.0.0.1:9" in socket_blocked


async def test_what_cannot_work_is_said_with_the_fix(wpy):
    with pytest.raises(UnknownQueue, match=r'there is no queue "mial".*There are: audit, mail, mail-dead, orders'):
        wpy.queues["mial"]
    with pytest.raises(ClockBackwards, match="Start the test earlier instead"):
        await wpy.clock.advance(-5)
    with pytest.raises(ClockBackwards, match="cannot go back to 2025-01-01"):
        wpy.clock.freeze("2025-01-01")
    with pytest.raises(KitError, match="Messages have no 'bodies' to match"):
        wpy.queues["mail"].assert_enqueued(bodies=1)
    with pytest.raises(KitError, match='Nobody consumes queue "audit"'):
        await wpy.queues["audit"].drain()
    with pytest.raises(AssertionError, match='Queue "mail" should hold a message with body__to=1, and holds 0'):
        wpy.queues["mail"].assert_enqueued(body__to=1)
    with pytest.raises(KitError, match='has no cron "5 5'):
        wpy.crons["5 5 * * *"]


async def test_state_is_saved_loaded_and_reset(wpy):
    await wpy.state.apply_migrations("DB")
    await wpy.env.CACHE.put("greeting", "hello")
    await wpy.queues["audit"].send({"n": 1})
    await wpy.clock.advance("1h")
    await wpy.state.save("before")
    await wpy.env.CACHE.put("greeting", "bye")
    await wpy.queues["audit"].purge()
    await wpy.state.load("before")
    assert await wpy.env.CACHE.get("greeting") == "hello"
    assert wpy.queues["audit"].pending == 1 and str(wpy.clock) == "2026-01-01T01:00:00Z"
    assert (await wpy.env.DB.prepare("SELECT count FROM stock").first())["count"] == 10
    await wpy.state.reset()
    assert await wpy.env.CACHE.get("greeting") is None and wpy.queues["audit"].pending == 0


async def test_seeds_and_migrations(wpy, tmp_path):
    assert await wpy.state.apply_migrations("DB") == ["0001_stock.sql"]
    (tmp_path / "more.sql").write_text(
        "-- two of them\nINSERT INTO stock VALUES ('pen', 3);\nINSERT INTO stock VALUES ('ink', 1);\n"
    )
    (tmp_path / "cache.json").write_text('{"greeting": "hello", "list": [1, 2]}')
    await wpy.state.seed(tmp_path / "more.sql")
    await wpy.state.seed(tmp_path / "cache.json", "CACHE")
    found = await wpy.env.DB.prepare("SELECT item, count FROM stock ORDER BY item").all()
    assert [(row["item"], row["count"]) for row in found.results] == [("book", 10), ("ink", 1), ("pen", 3)]
    assert await wpy.env.CACHE.get("list") == "[1, 2]"
    with pytest.raises(KitError, match=r"there is no file .*nowhere\.sql to seed with"):
        await wpy.state.seed("nowhere.sql")


async def test_a_state_of_wpy_dev_can_be_loaded(wpy, tmp_path):
    await wpy.queues["audit"].send({"n": 1})
    await wpy.env.BUCKET.put("invoice", "hello")
    await wpy.clock.advance("1h")
    wpy.state.write(tmp_path / "saved")
    await wpy.state.reset()
    assert wpy.queues["audit"].pending == 0 and await wpy.env.BUCKET.get("invoice") is None
    await wpy.state.load(tmp_path / "saved")
    wpy.queues["audit"].assert_enqueued(body={"n": 1})
    assert await (await wpy.env.BUCKET.get("invoice")).text() == "hello"
    assert str(wpy.clock) == "2026-01-01T01:00:00Z"
    with pytest.raises(KitError, match="there is no saved state"):
        await wpy.state.load("never")
