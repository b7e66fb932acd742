"""Run with: pytest"""


async def test_each_name_counts_by_itself(wpy):
    assert (await wpy.worker.fetch("/ann")).json() == {"name": "ann", "count": 1}
    assert (await wpy.worker.fetch("/ann")).json() == {"name": "ann", "count": 2}
    assert (await wpy.worker.fetch("/bob")).json() == {"name": "bob", "count": 1}


async def test_an_idle_counter_forgets(wpy):
    await wpy.worker.fetch("/ann")
    await wpy.clock.advance("59m")
    assert (await wpy.worker.fetch("/ann")).json()["count"] == 2
    await wpy.clock.advance("1h")
    assert "forgotten" in wpy.logs
    assert (await wpy.worker.fetch("/ann")).json()["count"] == 1


async def test_every_test_begins_with_nothing(wpy):
    assert (await wpy.worker.fetch("/ann")).json() == {"name": "ann", "count": 1}
