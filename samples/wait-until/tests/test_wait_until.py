"""The sample from outside: when the answer comes, and when the log entry."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class LogService(ThreadingHTTPServer):
    """Keeps each entry, answers only when `answer` is set, and then with `status`."""

    def __init__(self):
        self.answer = threading.Event()
        self.status = 204
        self.entries = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                entry = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.server.entries.append(entry)
                self.server.answer.wait(30)
                self.send_response(self.server.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}/"


@pytest.fixture
def log_service():
    service = LogService()
    yield service
    service.answer.set()
    service.shutdown()
    service.server_close()


def test_the_answer_does_not_wait_for_the_log(wpy_dev):
    server = wpy_dev("--var", "LOG_TAKES:2")

    reply = server.get("/cart")
    answered = time.monotonic()

    assert (reply.status, reply.text) == (200, "That was quick.\n")
    assert reply.seconds < 2
    assert not server.find("logged")
    server.wait_for(r"^\[wrangler:info\] GET /cart 200 OK \(\d+ms\)$")
    server.wait_for(r"^\[wait-until\] GET \S*/cart \| logged GET /cart$")
    (logged,) = [line.at for line in server.lines if "logged" in line.text]
    assert logged > answered


def test_the_entry_reaches_a_log_service_after_the_answer(wpy_dev, log_service):
    server = wpy_dev("--var", f"LOG_URL:{log_service.url}")

    assert server.post("/orders", body="one apple").text == "That was quick.\n"

    assert not server.find("logged")  # the service has not answered yet
    log_service.answer.set()
    server.wait_for(r"^\[wait-until\] POST \S*/orders \| logged POST /orders$")
    assert log_service.entries == [{"method": "POST", "path": "/orders"}]


def test_what_was_begun_is_finished_before_the_session_ends(wpy_dev):
    server = wpy_dev("--var", "LOG_TAKES:0.4")

    server.get("/last")
    server.stop()

    assert server.find(r"^\[wait-until\] GET \S*/last \| logged GET /last$")
