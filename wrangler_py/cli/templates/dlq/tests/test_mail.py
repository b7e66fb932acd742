"""Run with: pytest"""

MAIL_API = "https://mail.example.com/send"
QUEUE = "{{name}}-mail"


async def test_a_mail_is_sent(wpy):
    wpy.http.on("POST", MAIL_API).respond(200)
    await wpy.worker.fetch("/", json={"to": "ann@example.com"})
    await wpy.clock.advance("1s")
    wpy.http.assert_called("POST", MAIL_API, times=1)
    wpy.queues[QUEUE].assert_empty()


async def test_each_attempt_waits_longer(wpy):
    wpy.http.on("POST", MAIL_API).respond(503)
    await wpy.queues[QUEUE].send({"to": "ann@example.com"})
    results = [await wpy.queues[QUEUE].deliver_one_batch()]
    assert list(results[0].retried.values()) == [20]
    await wpy.clock.advance("20s")
    assert list((await wpy.queues[QUEUE].deliver_one_batch()).retried.values()) == [40]


async def test_a_mail_that_never_gets_through_is_a_dead_letter(wpy):
    wpy.http.on("POST", MAIL_API).respond(503)
    await wpy.queues[QUEUE].send({"to": "nobody@example.com"})
    await wpy.clock.run_until_idle()
    wpy.http.assert_called("POST", MAIL_API, times=4)
    assert "ALERT: gave up on nobody@example.com" in wpy.logs


async def test_dead_letters_keep_their_history_and_can_be_replayed(wpy):
    wpy.http.on("POST", MAIL_API).respond(503)
    dead = wpy.queues[QUEUE].dlq
    await dead.pause()
    await wpy.queues[QUEUE].send({"to": "late@example.com"})
    await wpy.clock.run_until_idle()
    letter = dead.one(body__to="late@example.com")
    assert [attempt.delay for attempt in letter.history] == [20, 40, 80, 0]
    wpy.http.reset()
    wpy.http.on("POST", MAIL_API).respond(200)
    await letter.replay()
    await wpy.clock.run_until_idle()
    assert wpy.queues[QUEUE].acked == 1
    dead.assert_empty()
