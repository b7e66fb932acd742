"""The sample from outside: each cron run by hand, at a time of our choice."""

from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest


def run(server, cron, at, **more):
    """Run a cron as if it were planned for `at`."""
    time = int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)
    return server.get("/cdn-cgi/handler/scheduled?" + urlencode({"cron": cron, "time": time, **more}))


@pytest.fixture
def server(wpy_dev):
    return wpy_dev("--no-cron")


def test_the_nightly_cron_queues_a_report_for_each_team(server):
    reply = run(server, "30 1 * * *", "2026-03-01T01:30")

    assert (reply.status, reply.text) == (200, "ok")
    server.wait_for(
        r"^\[nightly-reports\] cron 30 1 \* \* \* \| queued the reports of 2026-02-28: sales, support, kitchen$"
    )
    server.wait_for(r"^\[wrangler:info\] CRON 30 1 \* \* \* ok \(\d+ms\)$")
    for team in ("sales", "support", "kitchen"):
        server.wait_for(rf"^\[nightly-reports\] queue reports \| report of 2026-02-28 for {team}: \d+ orders$")
    server.wait_for(r"^\[wrangler:info\] QUEUE reports 2/2 \(\d+ms\)$")  # a full batch starts at once,
    server.wait_for(r"^\[wrangler:info\] QUEUE reports 1/1 \(\d+ms\)$")  # the rest after max_batch_timeout


def test_a_report_built_twice_is_the_same(server):
    run(server, "30 1 * * *", "2026-03-01T01:30")
    server.wait_for(r"QUEUE reports 1/1")
    run(server, "30 1 * * *", "2026-03-01T01:30")
    server.wait_for(r"QUEUE reports 1/1", count=2)

    lines = [found[0] for found in server.find(r"report of 2026-02-28 for \w+: \d+ orders$")]
    assert len(lines) == 6
    assert len(set(lines)) == 3


def test_each_cron_does_its_own_job(server):
    assert run(server, "0 7 * * MON-FRI", "2026-03-02T07:00").text == "ok"
    server.wait_for(r"^\[nightly-reports\] cron 0 7 \* \* MON-FRI \| good morning, it is Monday; the reports are in$")

    assert run(server, "0 3 1 * *", "2026-03-01T03:00").text == "ok"
    server.wait_for(r"^\[nightly-reports\] cron 0 3 1 \* \* \| archive: removed everything before September 2025$")
    assert not server.find("queued")


def test_a_cron_that_nothing_is_planned_for_fails(server):
    reply = run(server, "0 0 * * *", "2026-03-01T00:00", format="json")

    assert (reply.status, reply.json()) == (500, {"outcome": "exception", "noRetry": True})
    server.wait_for(r"^\[nightly-reports\] cron 0 0 \* \* \* \| ValueError: nothing is planned for '0 0 \* \* \*'$")
    server.wait_for(r"CRON 0 0 \* \* \* exception ")


def test_the_start_names_the_next_run_of_each_cron(server):
    for cron in (r"30 1 \* \* \*", r"0 7 \* \* MON-FRI", r"0 3 1 \* \*"):
        server.wait_for(rf"^{cron}\s+nightly-reports\s+\d{{4}}-\d\d-\d\d \d\d:\d\d  \(in ")


def test_teams_come_from_the_config(wpy_dev):
    server = wpy_dev("--no-cron", "--var", "TEAMS:ops")

    run(server, "30 1 * * *", "2026-01-01T01:30")

    server.wait_for(r"queued the reports of 2025-12-31: ops$")
    server.wait_for(r"report of 2025-12-31 for ops: \d+ orders$")
