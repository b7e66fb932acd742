"""The sample's crons in this very process: on the clock, and by hand."""

import pytest


@pytest.mark.wpy(clock="2026-03-01T01:00:00Z")  # a Sunday
async def test_each_cron_does_its_own_job_when_the_clock_comes_by(wpy):
    await wpy.clock.advance("1d 7h")

    assert wpy.crons["30 1 * * *"].fired == ["2026-03-01T01:30:00Z", "2026-03-02T01:30:00Z"]
    assert wpy.crons["0 7 * * MON-FRI"].fired == ["2026-03-02T07:00:00Z"]
    assert wpy.crons["0 3 1 * *"].fired == ["2026-03-01T03:00:00Z"]
    assert "queued the reports of 2026-02-28: sales, support, kitchen" in wpy.logs
    assert "good morning, it is Monday; the reports are in" in wpy.logs
    assert "archive: removed everything before September 2025" in wpy.logs


async def test_a_report_built_twice_is_the_same(wpy):
    for _ in range(2):
        await wpy.worker.scheduled("30 1 * * *", "2026-03-01T01:30Z")
        await wpy.queues["reports"].drain()

    lines = [line.text for line in wpy.logs if line.text.startswith("report of")]
    assert (len(lines), len(set(lines))) == (6, 3)


async def test_a_cron_that_nothing_is_planned_for_fails(wpy):
    result = await wpy.worker.scheduled("0 0 * * *", any_cron=True)
    assert (result.outcome, result.no_retry) == ("exception", True)
    assert result.error == "ValueError: nothing is planned for '0 0 * * *'"


@pytest.mark.wpy(vars={"TEAMS": "ops"})
async def test_teams_come_from_the_config(wpy):
    await wpy.worker.scheduled("30 1 * * *", "2026-01-01T01:30Z")
    wpy.queues["reports"].assert_enqueued(body={"team": "ops", "day": "2025-12-31"}, count=1)
