"""Run with: pytest (needs `npm install`, for workerd and esbuild)"""


async def test_a_request_queues_a_job(wpy):
    response = await wpy.worker.fetch("/", json={"text": "hello"})
    assert response.status == 202
    wpy.queues["{{name}}-jobs"].assert_enqueued(body={"text": "hello"})


async def test_jobs_are_done_after_the_batch_timeout(wpy):
    await wpy.worker.fetch("/", json={"text": "hello"})
    await wpy.clock.advance("5s")
    assert wpy.queues["{{name}}-jobs"].acked == 1
    assert "job hello, attempt 1" in wpy.logs
