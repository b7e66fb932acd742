"""The sample from outside: `wpy dev` in its folder, HTTP, and what the session prints."""

ADA = {"email": "ada@example.com"}


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
