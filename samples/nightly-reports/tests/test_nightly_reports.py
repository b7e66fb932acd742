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


def test_the_start_names_the_next_run_of_each_cron(server):
    for cron in (r"30 1 \* \* \*", r"0 7 \* \* MON-FRI", r"0 3 1 \* \*"):
        server.wait_for(rf"^{cron}\s+nightly-reports\s+\d{{4}}-\d\d-\d\d \d\d:\d\d  \(in ")
