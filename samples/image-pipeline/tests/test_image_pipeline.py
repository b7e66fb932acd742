"""The sample from outside: both Workers in one session, a web server with images beside it, HTTP, the session's output."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

BOTH = ("-c", "producer/wrangler.toml", "-c", "consumer/wrangler.toml")


class Images(ThreadingHTTPServer):
    """Serves /gone, /down, /text, and /busy, which is unavailable for the first time and no image afterwards."""

    def __init__(self):
        self.asked = Counter()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = self.server.asked
                asked[self.path] += 1
                first = asked[self.path] == 1
                statuses = {"/gone": 404, "/down": 503, "/busy": 503 if first else 200}
                self.send_response(statuses.get(self.path, 200))
                self.end_headers()
                self.wfile.write(b"some text, and not an image")

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def images():
    server = Images()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def server(wpy_dev):
    return wpy_dev(*BOTH)


def test_a_job_is_accepted_by_one_worker_and_done_by_the_other(server):
    reply = server.post("/images", json={"url": f"{server.url}/sample.png", "widths": [64, 256]})

    assert reply.status == 202
    job = reply.json()
    assert job["widths"] == [64, 256]
    server.wait_for(rf"^\[image-consumer\] queue images \| {job['id']}: 640x480 becomes 64x48, 256x192$")
    server.wait_for(r"^\[wrangler:info\] QUEUE images 1/1 \(\d+ms\)$")
    server.wait_for(r"^\[wrangler:info\] GET /sample\.png 200 OK \(\d+ms\)$")


def test_what_will_never_be_an_image_is_given_up_at_once(server, images):
    server.post("/images", json={"url": f"{images.url}/gone"})
    server.wait_for(
        rf"^\[image-consumer\] queue images \| \w+: no image at {images.url}/gone \(status 404\), given up$"
    )

    server.post("/images", json={"url": f"{images.url}/text"})
    server.wait_for(rf"no image at {images.url}/text \(no PNG header\), given up$")
    server.wait_for(r"QUEUE images 1/1 ", count=2)
    assert not server.find("Retrying message")


def test_an_unreachable_host_is_retried(server):
    server.post("/images", json={"url": "http://127.0.0.1:1/cat.png"})

    server.wait_for(r"cannot reach http://127\.0\.0\.1:1/cat\.png: ")
    server.wait_for(r'Retrying message ".*" on queue "images" in 1 s ')


def test_jobs_wait_for_a_consumer_that_is_not_there_yet(wpy_dev):
    producer = wpy_dev("-c", "producer/wrangler.toml")
    ids = [
        producer.post("/images", json={"url": "http://127.0.0.1:1/cat.png", "widths": [width]}).json()["id"]
        for width in (1, 2, 3)
    ]
    producer.stop()

    both = wpy_dev(*BOTH)

    for id in ids:
        both.wait_for(rf"{id}: cannot reach")


def test_both_run_in_sessions_of_their_own(wpy_dev):
    producer = wpy_dev("-c", "producer/wrangler.toml")
    consumer = wpy_dev("-c", "consumer/wrangler.toml")

    job = producer.post("/images", json={"url": f"{producer.url}/sample.png"}).json()

    consumer.wait_for(rf"^\[image-consumer\] queue images \| {job['id']}: 640x480 becomes 64x48, 256x192$")
