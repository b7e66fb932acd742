"""Run with: pytest"""

import pytest


async def stored(wpy):
    found = await wpy.env.DB.prepare("SELECT id, name FROM events ORDER BY id").all()
    return [(row["id"], row["name"]) for row in found.results]


async def test_events_go_through_both_steps(wpy):
    await wpy.state.apply_migrations("DB")
    sent = [{"id": "1", "name": " Ann "}, {"id": "2", "name": ""}, {"id": "3", "name": "BOB"}]
    assert (await wpy.worker.fetch("/", json=sent)).json() == {"received": 3}
    await wpy.clock.run_until_idle()
    assert await stored(wpy) == [("1", "ann"), ("3", "bob")]


@pytest.mark.wpy_chaos(duplicate=True, reorder=True, runs=10)
async def test_an_event_that_comes_twice_is_stored_once(wpy):
    await wpy.state.apply_migrations("DB")
    await wpy.worker.fetch("/", json=[{"id": str(n), "name": "x"} for n in range(5)])
    await wpy.clock.run_until_idle()
    assert len(await stored(wpy)) == 5


async def test_a_batch_stays_within_the_limits(wpy):
    await wpy.state.apply_migrations("DB")
    result = await wpy.worker.queue(wpy.batch("{{name}}-clean", [{"id": str(n), "name": "x"} for n in range(50)]))
    assert result.usage.subrequests == 1
