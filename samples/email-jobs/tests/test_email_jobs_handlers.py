"""The sample's handlers and queues in this very process, on a clock that jumps."""

import pytest

ADA = {"email": "ada@example.com"}
BOB = {"email": "bob@nowhere.invalid"}  # fails every time


@pytest.mark.wpy(crons=False)
async def test_a_failing_email_backs_off_and_then_raises_an_alert(wpy):
    await wpy.worker.fetch("/signup", json=BOB)
    await wpy.clock.run_until_idle()

    deliveries = wpy.queues["emails"].deliveries
    assert [list(result.retried.values()) for result in deliveries] == [[20], [40], [80], []]
    assert len(deliveries[-1].dead_lettered) == 1
    assert deliveries[0].messages[0].why.rule == "retry()"
    assert "attempt 4 failed: no mail server for bob@nowhere.invalid" in wpy.logs
    assert "ALERT: gave up on {'type': 'welcome', 'to': 'bob@nowhere.invalid'}, sent at 00:00:00" in wpy.logs
    wpy.queues["emails-dead"].assert_empty()


@pytest.mark.wpy(vars={"BACKOFF_BASE": 1})
async def test_the_back_off_is_a_setting(wpy):
    result = await wpy.worker.queue([{"type": "welcome", "to": BOB["email"]}], queue="emails")
    assert result.retried == {"m1": 2}


async def test_one_failing_email_does_not_hold_up_the_others(wpy):
    jobs = [{"type": "welcome", "to": person["email"]} for person in (BOB, ADA)]
    result = await wpy.worker.queue(jobs, queue="emails")
    assert (result.acked, list(result.retried)) == (["m2"], ["m1"])
    wpy.queues["emails"].assert_enqueued(body={"type": "tips", "to": ADA["email"]}, delay="5s")


async def test_the_cron_queues_the_digest(wpy):
    assert (await wpy.worker.scheduled()).outcome == "ok"
    wpy.queues["emails"].assert_enqueued(body={"type": "digest", "to": "team@example.com"}, count=1)
    await wpy.queues["emails"].drain()
    assert "to team@example.com: What happened in the last minute" in wpy.logs


@pytest.mark.parametrize("body", ["", "not json", "[]", "{}", '{"email": 7}', '{"email": "nobody"}', '"text"'])
async def test_bad_input_is_refused_and_queues_nothing(wpy, body):
    assert (await wpy.worker.fetch("/signup", "POST", body=body)).status == 400
    wpy.queues["emails"].assert_empty()


async def test_other_pages(wpy):
    refused = await wpy.worker.fetch("/signup")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    assert "curl localhost" in (await wpy.worker.fetch("/")).text


@pytest.mark.wpy_chaos(crash=True)
async def test_a_process_that_ends_anywhere_loses_no_email(wpy):
    await wpy.queues["emails"].send({"type": "welcome", "to": ADA["email"]})
    await wpy.clock.run_until_idle()
    assert "to ada@example.com: Welcome aboard!" in wpy.logs
    assert "to ada@example.com: Three tips to get going" in wpy.logs
