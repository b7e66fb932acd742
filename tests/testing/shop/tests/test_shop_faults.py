"""What no test finds by itself: a race, and an effect that happens twice."""

import pytest

SMTP = "https://smtp.example.com/send"


async def sell_two(wpy, **order):
    await wpy.queues["orders"].send_batch([{"item": "book", **order}, {"item": "book", **order}])
    await wpy.clock.run_until_idle()
    row = await wpy.env.DB.prepare("SELECT count FROM stock WHERE item = 'book'").first()
    assert row["count"] == 8


async def test_a_race_between_two_batches_is_found_and_can_be_repeated(wpy):
    await wpy.state.apply_migrations("DB")
    found = await wpy.explore(lambda: sell_two(wpy), interleave=True, runs=50)
    assert found.violations, f"none in {found.runs} runs"
    violation = found.violations[0]
    assert violation.repeat("test").startswith(f"pytest 'test' --wpy-seed {violation.seed} --wpy-schedule ")
    for _ in range(2):  # what is printed repeats it: the seed alone, and so does the schedule
        again = await wpy.explore(lambda: sell_two(wpy), interleave=True, runs=1, seed=violation.seed)
        [one] = again.violations
        assert one.schedule == violation.schedule and len(one.schedule) > 15


async def test_an_update_in_one_statement_has_no_race(wpy):
    await wpy.state.apply_migrations("DB")
    found = await wpy.explore(lambda: sell_two(wpy, safely=True), interleave=True, runs=15)
    assert found.violations == [] and found.runs == 15


async def test_a_lost_ack_sends_the_mail_twice(wpy):
    wpy.http.on("POST", SMTP).respond(200)

    async def mail_once():
        await wpy.queues["mail"].send({"to": "ann"})
        await wpy.clock.run_until_idle()
        wpy.http.assert_called("POST", SMTP, times=1)

    found = await wpy.explore(mail_once, duplicate=True, runs=20)
    assert [one.faults[0].endswith("(mail) was lost: it comes again") for one in found.violations] == [True]
    found = await wpy.explore(mail_once, crash=True)
    assert "(it was at src/entry.py:63 in queue)" in found.violations[0].faults[0]


@pytest.mark.wpy_chaos(runs=3, reorder=True)
async def test_a_marker_runs_a_test_many_times(wpy):
    wpy.http.on("POST", SMTP).respond(200)
    await wpy.queues["mail"].send_batch([{"to": name} for name in "abc"])
    await wpy.clock.run_until_idle()
    assert wpy.queues["mail"].acked == 3
