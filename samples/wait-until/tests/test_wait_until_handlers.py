"""The sample's waitUntil work in this very process, on a clock that jumps."""

import asyncio

import pytest

LOG = "https://log.example.com/"


async def test_the_answer_does_not_wait_for_the_log(wpy):
    response = await wpy.worker.fetch("/cart", wait=False)
    assert response.text == "That was quick.\n" and len(wpy.logs) == 0
    await wpy.clock.advance("1s")
    assert "logged GET /cart" in wpy.logs


async def test_many_log_at_the_same_time(wpy):
    await asyncio.gather(*(wpy.worker.fetch(f"/page/{number}") for number in range(20)))
    assert len(wpy.logs) == 20
    assert str(wpy.clock) == "2026-01-01T00:00:01Z"  # one after the other they would take 20 s


@pytest.mark.wpy(vars={"LOG_URL": LOG})
async def test_a_log_service_that_fails_is_nothing_that_the_client_sees(wpy):
    wpy.http.on("POST", LOG).respond(500)
    response = await wpy.worker.fetch("/cart")
    assert (response.status, response.text) == (200, "That was quick.\n")
    assert response.result.error == "OSError: the log service answers 500"
