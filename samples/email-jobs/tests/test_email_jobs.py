"""The sample from outside: `wpy dev` in its folder, HTTP, and what the session prints."""

import re

ADA = {"email": "ada@example.com"}
BOB = {"email": "bob@nowhere.invalid"}  # fails every time


def test_a_sign_up_is_answered_at_once_and_its_emails_follow(wpy_dev):
    server = wpy_dev("--no-cron")
    server.wpy("clock", "freeze")

    reply = server.post("/signup", json=ADA)

    assert reply.status == 202
    assert reply.json() == {"queued": "welcome", "to": "ada@example.com"}
    server.wait_for(r"^\[wrangler:info\] POST /signup 202 Accepted \(\d+ms\)$")
    assert not server.find("Welcome aboard!")  # the answer did not wait for the email

    server.wpy("clock", "advance", "1s")  # max_batch_timeout
    server.wait_for(r"^\[email-jobs\] queue emails \| to ada@example\.com: Welcome aboard!$")
    server.wait_for(r"^\[wrangler:info\] QUEUE emails 1/1 \(\d+ms\)$")

    server.wpy("clock", "advance", "5s")  # TIPS_AFTER
    assert not server.find("Three tips")
    server.wpy("clock", "advance", "1s")
    server.wait_for(r"^\[email-jobs\] queue emails \| to ada@example\.com: Three tips to get going$")
    server.wait_for(r"^\[wrangler:info\] QUEUE emails 1/1 \(\d+ms\)$", count=2)


def test_a_failing_email_backs_off_and_then_raises_an_alert(wpy_dev):
    server = wpy_dev("--no-cron")

    server.post("/signup", json=BOB)
    server.wpy("clock", "advance", "3m")  # 20 + 40 + 80 seconds, and a batch timeout for each attempt

    for attempt, delay in [(1, 20), (2, 40), (3, 80)]:
        server.wait_for(
            rf'^\[wrangler:info\] Retrying message "[0-9a-f]{{32}}" on queue "emails" in {delay} s '
            rf"\(attempt {attempt}: retry\(\) at \S*src/entry\.py:\d+\)$"
        )
    server.wait_for(r"^\[wrangler:info\] QUEUE emails 0/1 ", count=4)
    server.wait_for(
        r'^\[wrangler:warn\] Moving message "[0-9a-f]{32}" on queue "emails" '
        r'to dead letter queue "emails-dead" after 4 failed attempts\.\.\.$'
    )
    alert = server.wait_for(r"^\[email-jobs\] queue emails-dead \| ALERT: gave up on (\{.*\}), sent at \d\d:\d\d:\d\d$")
    assert alert[1] == "{'type': 'welcome', 'to': 'bob@nowhere.invalid'}"
    server.wait_for(r"^\[wrangler:info\] QUEUE emails-dead 1/1 ")
    attempts = server.find(
        r"^\[email-jobs\] queue emails \| attempt (\d) failed: no mail server for bob@nowhere\.invalid$"
    )
    assert [found[1] for found in attempts] == ["1", "2", "3", "4"]


def test_the_back_off_in_real_time(wpy_dev):
    server = wpy_dev("--no-cron", "--var", "BACKOFF_BASE:1")

    server.post("/signup", json=BOB)

    server.wait_for(r"attempt 2 failed")
    first, second = (line.at for line in server.lines if re.search(r"attempt [12] failed", line.text))
    assert second - first >= 2.0


def test_one_failing_email_does_not_hold_up_the_others(wpy_dev):
    server = wpy_dev("--no-cron")
    server.wpy("clock", "freeze")
    server.post("/signup", json=BOB)
    server.post("/signup", json=ADA)

    server.wpy("clock", "advance", "1s")

    server.wait_for("to ada@example.com: Welcome aboard!")
    server.wait_for(r"QUEUE emails 1/2 ")


def test_the_cron_queues_the_digest(wpy_dev):
    server = wpy_dev("--no-cron")

    reply = server.get("/cdn-cgi/handler/scheduled?cron=*+*+*+*+*")

    assert (reply.status, reply.text) == (200, "ok")
    server.wait_for(r"^\[email-jobs\] cron \* \* \* \* \* \| queued the digest$")
    server.wait_for(r"^\[wrangler:info\] CRON \* \* \* \* \* ok \(\d+ms\)$")
    server.wait_for(r"^\[email-jobs\] queue emails \| to team@example\.com: What happened in the last minute$")


def test_bad_input_is_refused_and_queues_nothing(wpy_dev):
    server = wpy_dev("--no-cron")

    for body in ("", "not json", "[]", "{}", '{"email": 7}', '{"email": "nobody"}', '"text"'):
        reply = server.post("/signup", body=body)
        assert (reply.status, body) == (400, body)
    assert server.get("/signup").status == 405
    assert "curl localhost:" in server.get("/").text

    server.post("/signup", json=ADA)  # a message that comes through, so that the others would have come, too
    server.wait_for(r"QUEUE emails 1/1 ")


def test_what_was_accepted_survives_a_power_cut(wpy_dev):
    server = wpy_dev("--no-cron", "--var", "TIPS_AFTER:1")
    server.wpy("clock", "freeze")  # so that the email cannot be out before the power is
    assert server.post("/signup", json=ADA).status == 202
    server.destroy()
    assert not server.find("Welcome aboard!")

    server = wpy_dev("--no-cron", "--var", "TIPS_AFTER:1")

    server.wait_for(r"to ada@example\.com: Welcome aboard!")
    server.wait_for(r"to ada@example\.com: Three tips to get going")


def test_the_cron_fires_on_the_clock(wpy_dev):
    server = wpy_dev()

    server.wpy("clock", "advance", "2m")

    server.wait_for(r"^\[wrangler:info\] CRON \* \* \* \* \* ok \(\d+ms\)$", count=2)
    server.wait_for(r"to team@example\.com: What happened in the last minute$", count=2)
