"""Run with: pytest"""


async def test_a_request_queues_a_job(wpy):
    response = await wpy.worker.fetch("/", json={"text": "hello"})
    assert response.status == 202
    wpy.queues["{{name}}-jobs"].assert_enqueued(body={"text": "hello"})


async def test_jobs_are_done_after_the_batch_timeout(wpy):
    await wpy.worker.fetch("/", json={"text": "hello"})
    await wpy.clock.advance("5s")
    assert wpy.queues["{{name}}-jobs"].acked == 1
    assert "job 'hello', attempt 1" in wpy.logs


async def test_a_batch_is_acknowledged(wpy):
    result = await wpy.worker.queue([{"text": "one"}, {"text": "two"}])
    assert result.outcome == "ok"
    assert result.acked == ["m1", "m2"]
