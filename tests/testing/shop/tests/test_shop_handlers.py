"""Handlers called one by one."""

from datetime import UTC, datetime
from pathlib import Path

import entry
import ledger
import pytest
from workers import Response

from wrangler_py.testing import HandlerHung, KitError, msg

SMTP = "https://smtp.example.com/send"


def place_of(text):
    lines = Path(entry.__file__).read_text().splitlines()
    return f"src/entry.py:{next(number for number, line in enumerate(lines, 1) if text in line)}"


def test_responses_are_made_without_a_server():
    assert Response("x", status=201).status == 201


async def test_fetch_answers_and_its_wait_until_work_is_waited_for(wpy):
    response = await wpy.worker.fetch("/signup", json={"email": "ann@example.com"})
    assert (response.status, response.text, response.headers["X-From"]) == (201, "welcome", "shop@example.com")
    assert ledger.notes == ["greeted ann@example.com"]
    assert str(wpy.clock) == "2026-01-01T00:00:05Z", "a sleep of the handler moves the clock"
    assert response.result.usage.messages_sent == 1


async def test_globals_are_put_back_after_each_test(wpy):
    assert ledger.notes == [] and entry.seen == []


async def test_a_batch_says_what_becomes_of_each_message_and_why(wpy):
    wpy.http.on("POST", SMTP).respond(200).times(2).respond(503)
    batch = wpy.batch("mail", [{"to": "a"}, msg({"to": "b", "twice": True}, id="b"), msg({"to": "c"}, attempts=2)])
    result = await wpy.worker.queue(batch)
    assert result.outcome == "ok"
    assert result.acked == ["m1", "b"]
    assert result.retried == {"m3": 40}
    assert result["m1"].why.rule == "ack()" and result["m1"].why.where == place_of("message.ack()")
    assert [(call.message, call.call, call.because, call.where) for call in result.ignored] == [
        ("b", "retry", "ack", place_of("message.retry()"))
    ]
    assert result.usage.fetches == 3
    assert "mail to b" in wpy.logs and result.logs[0].text == "mail to a"


async def test_the_last_attempt_of_a_failing_handler_is_dead(wpy):
    wpy.http.on("POST", SMTP).respond(400)
    result = await wpy.worker.queue([msg({"to": "nobody"}, attempts=3)], queue="mail")
    assert result.outcome == "exception" and isinstance(result.exception, ValueError)
    assert result.dead_lettered == ["m1"] and result["m1"].why.rule == "exception"
    with pytest.raises(ValueError, match="no such address: nobody"):
        result.raise_for_exception()


async def test_scheduled_shows_no_retry(wpy):
    assert (await wpy.worker.scheduled("0 1 * * *")).no_retry is True
    result = await wpy.worker.scheduled("*/30 * * * *", "2026-02-03T04:30:00Z")
    assert (result.outcome, result.no_retry) == ("ok", False)
    assert ledger.notes[-1] == "*/30 * * * * for 03 04:30"
    with pytest.raises(
        KitError, match=r'no cron "\*/3 \* \* \* \*" in its config\. Did you mean "\*/30 \* \* \* \*"\?'
    ):
        await wpy.worker.scheduled("*/3 * * * *")
    assert (await wpy.worker.scheduled("*/3 * * * *", any_cron=True)).outcome == "ok"


async def test_an_exception_of_fetch_reaches_the_test(wpy):
    with pytest.raises(LookupError, match="no page /nowhere") as caught:
        await wpy.worker.fetch("/nowhere")
    assert caught.traceback[-1].path.name == "entry.py"


def test_a_test_that_is_not_async(wpy):
    assert wpy.run(wpy.worker.fetch("/order", json={"item": "book"})).json() == {"ordered": "book"}
    wpy.queues["orders"].assert_enqueued(body={"item": "book"})
    wpy.run(wpy.env.MAIL.send({"to": "direct"}))
    wpy.queues["mail"].assert_enqueued(body__to="direct")


async def test_blocking_calls_of_a_handler_move_the_clock_too(wpy):
    assert (await wpy.worker.fetch("/sync")).text == "slept"
    assert str(wpy.clock) == "2026-01-01T00:01:30Z"


@pytest.mark.wpy(timeout=0.2)
async def test_a_handler_that_never_returns_is_named(wpy):
    with pytest.raises((HandlerHung, KitError), match=r"GET /hang waits at src/entry.py:\d+ in fetch"):
        await wpy.worker.fetch("/hang")


async def test_rpc_methods_are_called_like_methods(wpy):
    assert await wpy.worker.call("add", 2, 3) == 5


async def test_the_alarm_of_a_durable_object_waits_for_the_clock_or_is_called(wpy):
    counter = wpy.objects["COUNTER"].by_name("ann")
    assert await counter.call("add", 2) == 2 and await counter.call("add", 3) == 5
    assert counter.alarm is None and str(wpy.clock) == "2026-01-01T00:00:00Z"
    assert await counter.evict() is True and await counter.call("add", 0) == 5
    await counter.call("remind", 60_000)
    assert wpy.objects["COUNTER"].alarms == {"ann": datetime(2026, 1, 1, 0, 1, tzinfo=UTC)}
    await wpy.clock.advance("59s")
    assert ledger.notes == []
    await wpy.clock.advance("1s")
    assert ledger.notes == ["alarm"] and counter.alarm is None
    await counter.call("remind", 60_000)
    assert await wpy.worker.alarm("COUNTER", "ann") == "ok"
    assert ledger.notes == ["alarm", "alarm"]
    with pytest.raises(KitError, match='the object "bob" has no alarm'):
        await wpy.worker.alarm("COUNTER", "bob")


async def test_limits_can_be_asserted(wpy):
    response = await wpy.worker.fetch("/sql")
    usage = response.result.usage
    assert (usage.d1_queries, usage.subrequests) == (3, 3)
    assert wpy.calls.usage.d1_queries == 3


async def test_the_context_of_a_handler_that_the_test_calls_itself(wpy, wpy_ctx, wpy_env):
    worker = entry.Default(wpy_ctx, wpy.env)
    batch = wpy.batch("orders", [])
    await worker.queue(batch.native(), None, None)
    await wpy_env.MAIL.send({"to": "x"})
    wpy_ctx.waitUntil(wpy.queues["mail"].send({"to": "y"}))
    await wpy_ctx.settle()
    wpy_ctx.assert_no_pending()
    assert wpy.queues["mail"].pending == 2
