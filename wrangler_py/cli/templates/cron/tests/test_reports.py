"""Run with: pytest"""

import pytest

CRON = "0 6 * * MON-FRI"


@pytest.mark.wpy(clock="2026-03-06T05:00:00Z")  # a Friday
async def test_a_report_is_made_on_working_days(wpy):
    assert (await wpy.worker.fetch("/")).status == 404
    await wpy.clock.advance("3d")
    assert wpy.crons[CRON].fired == ["2026-03-06T06:00:00Z"]
    await wpy.clock.advance("1d")
    assert wpy.crons[CRON].fired[-1] == "2026-03-09T06:00:00Z"
    assert (await wpy.worker.fetch("/")).text == "report of 2026-03-09"


async def test_a_report_is_of_the_day_that_it_was_planned_for(wpy):
    result = await wpy.worker.scheduled(scheduled_time="2028-02-29T06:00:00Z")
    assert result.outcome == "ok"
    assert await wpy.env.REPORTS.get("latest") == "report of 2028-02-29"
