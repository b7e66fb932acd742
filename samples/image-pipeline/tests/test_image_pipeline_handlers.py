"""Both Workers in this very process: what the producer accepts, and what the consumer does with it."""

import pytest

pytestmark = pytest.mark.wpy(config=["../producer/wrangler.toml", "../consumer/wrangler.toml"])

IMAGE = "https://images.example.com/cat.png"


async def test_widths_have_a_default_and_the_consumer_takes_the_job(wpy):
    png = (await wpy.worker.fetch("/sample.png")).body
    wpy.http.on("GET", IMAGE).respond(200, body=png)
    job = (await wpy.worker.fetch("/images", json={"url": IMAGE})).json()
    await wpy.clock.advance("1s")
    assert f"{job['id']}: 640x480 becomes 64x48, 256x192" in wpy.logs
    wpy.queues["images"].assert_empty()


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (None, "send an object with a url and widths"),
        ([], "send an object with a url and widths"),
        ({}, "url must be an http or https URL"),
        ({"url": 7}, "url must be an http or https URL"),
        ({"url": "ftp://example.com/cat.png"}, "url must be an http or https URL"),
        ({"url": "http://[/cat.png"}, "Invalid IPv6 URL"),
        ({"url": IMAGE, "widths": []}, "widths must be a list of 1 to 10 numbers"),
        ({"url": IMAGE, "widths": 64}, "widths must be a list of 1 to 10 numbers"),
        ({"url": IMAGE, "widths": [0]}, "each of widths must be a whole number from 1 to 4096"),
        ({"url": IMAGE, "widths": [True]}, "each of widths must be a whole number from 1 to 4096"),
        ({"url": IMAGE, "widths": ["64"]}, "each of widths must be a whole number from 1 to 4096"),
    ],
)
async def test_bad_input_is_400_and_says_why(wpy, job, why):
    given = {"body": "null"} if job is None else {"json": job}
    response = await wpy.worker.fetch("/images", "POST", **given)
    assert (response.status, response.json()) == (400, {"error": why})
    assert response.headers["content-type"] == "application/json"
    wpy.queues["images"].assert_empty()


async def test_what_is_no_job_is_refused(wpy):
    for body in ("", "{", "\N{LATIN SMALL LETTER E WITH ACUTE}"):
        response = await wpy.worker.fetch("/images", "POST", body=body)
        assert (response.status, response.json()) == (400, {"error": "the body is not JSON"}), body
    assert (await wpy.worker.fetch("/images")).status == 405
    assert (await wpy.worker.fetch("/elsewhere")).status == 404


async def test_what_fails_for_now_is_retried_and_then_waits_in_the_dead_letter_queue(wpy):
    wpy.http.on("GET", IMAGE).respond(503)
    await wpy.worker.fetch("/images", json={"url": IMAGE})
    await wpy.clock.run_until_idle()
    wpy.http.assert_called("GET", IMAGE, times=3)
    assert [list(result.retried.values()) for result in wpy.queues["images"].deliveries] == [[1], [1], []]
    wpy.queues["images"].dlq.assert_enqueued(body__url=IMAGE, count=1)


async def test_one_that_comes_back_as_no_image_is_given_up(wpy):
    wpy.http.on("GET", IMAGE).respond(503).times(1).respond(200, text="some text, and not an image")
    await wpy.worker.fetch("/images", json={"url": IMAGE})
    await wpy.clock.run_until_idle()
    assert f"no image at {IMAGE} (no PNG header), given up" in wpy.logs
    wpy.queues["images"].dlq.assert_empty()
