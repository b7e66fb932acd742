"""The bench harness: that its arithmetic, its client and its processes can be trusted. No timing is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from bench import report  # noqa: E402
from bench.client import Connection, HttpError, load  # noqa: E402
from bench.figures import Group, Line  # noqa: E402
from bench.processes import Started, exists, kill_everything  # noqa: E402
from bench.rounds import GROUPS, Results, select  # noqa: E402
from bench.sides import BenchError  # noqa: E402


def figure(line: Line, wpy: list, wrangler: list) -> report.Figure:
    results = Results(rounds=len(wpy))
    for round_, (ours, theirs) in enumerate(zip(wpy, wrangler, strict=True)):
        results.put(line.key, "wpy", round_, ours)
        results.put(line.key, "wrangler", round_, theirs)
    (found,) = report.figures(results, [Group("g", (line,), lambda subject: {})])
    return found


class TestReport:
    def test_the_ratio_is_the_median_of_the_rounds_own_ratios(self):
        # The ratio of the medians would be 20 / 40: rounds are paired so that a slow minute weighs on both.
        found = figure(Line("x", "x", "ms", "times", 5), [10.0, 20.0, 90.0], [40.0, 30.0, 100.0])
        assert found.ratios == [0.25, pytest.approx(2 / 3), 0.9]
        assert found.ratio == pytest.approx(2 / 3)
        assert found.times == pytest.approx(1.5)
        assert found.verdict == "NOT MET: 30 % of the bar"

    def test_more_is_better_for_a_rate(self):
        line = Line("x", "x", "req/s", "times", 5, 10, higher_is_better=True)
        assert figure(line, [600.0], [100.0]).verdict == "met"
        assert figure(line, [1000.0], [100.0]).verdict == "met, moonshot too"
        assert figure(line, [499.0], [100.0]).verdict.startswith("NOT MET")

    def test_counts_are_added_and_one_lost_message_is_one_too_many(self):
        line = Line("lost", "lost", "", "at most", 0, combine="sum")
        assert figure(line, [0, 0, 0], [5, 5, 5]).verdict == "met"
        found = figure(line, [0, 1, 0], [5, 5, 5])
        assert (found.wpy, found.wrangler, found.verdict) == (1, 15, "NOT MET: 1, not 0")

    def test_samples_are_pooled_for_the_figure_and_compared_round_by_round(self):
        line = Line("p99", "p99", "ms", "ratio", 1, 3, moonshot_rule="at most", quantile=0.99)
        slow_round = [1.0] * 49 + [9.0]
        found = figure(line, [[1.0] * 50, slow_round, [1.0] * 50], [[2.0] * 50] * 3)
        assert found.ratios == [0.5, 4.5, 0.5]
        assert found.wpy == 1.0  # one of 150
        assert found.verdict == "met, moonshot too"

    def test_without_wrangler_a_comparison_has_no_verdict(self):
        results = Results(rounds=1)
        line = Line("x", "x", "ms", "times", 5)
        results.put("x", "wpy", 0, 10.0)
        (found,) = report.figures(results, [Group("g", (line,), lambda subject: {})])
        assert (found.wpy, found.ratio, found.verdict) == (10.0, None, "not compared")
        assert "0 of 0 bars met" in report.render([found], results)

    def test_a_failure_is_in_the_report(self):
        results = Results(rounds=1, failures=["round 1, fetch, wpy: 500"])
        assert "round 1, fetch, wpy: 500" in report.render([], results)

    def test_an_unknown_name_is_refused(self):
        with pytest.raises(BenchError, match='no figure "fotch"'):
            select(["fotch"], full=False)

    def test_every_line_has_its_own_key(self):
        keys = [line.key for group in GROUPS for line in group.lines]
        assert len(keys) == len(set(keys))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        body = b"x" * 70_000 if self.path == "/large" else self.path.encode()
        self.send_response(500 if self.path.startswith("/bad") else 200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"4\r\none \r\n")
            self.wfile.flush()
            time.sleep(0.01)
            self.wfile.write(b"3;ext=1\r\ntwo\r\n0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class TestClient:
    def test_bodies_of_each_form(self, server):
        connection = Connection(server.server_port)
        assert connection.get("/a") == b"/a"
        assert connection.get("/chunked") == b"one two"
        assert len(connection.get("/large")) == 70_000
        with pytest.raises(HttpError, match="/bad: 500"):
            connection.get("/bad")
        connection.close()

    def test_load_asks_for_each_number_once_and_counts_what_was_answered(self, server):
        result = load(server.server_port, lambda n: f"/{n}", connections=4, seconds=0.1, first=5)
        assert result.errors == []
        assert result.completed == len(result.acknowledged) == len(result.latencies_ms) == len(server.asked)
        assert sorted(result.acknowledged) == list(range(5, 5 + result.completed))

    def test_load_does_not_count_errors_as_answers(self, server):
        result = load(server.server_port, lambda n: f"/bad{n}" if n % 2 else f"/{n}", connections=2, seconds=0.05)
        assert result.completed == sum(1 for path in server.asked if not path.startswith("/bad"))
        assert len(result.errors) == len(server.asked) - result.completed > 0
        assert result.errors[0].startswith("500")


_FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"], start_new_session=True)
time.sleep(600)
"""


@pytest.fixture
def family(tmp_path):
    """Starts a process with a child that has a session of its own."""

    def start(**options) -> Started:
        started = Started([sys.executable, "-c", _FAMILY], tmp_path, dict(os.environ), tmp_path / "log", **options)
        while "up" not in started.log.read_text():
            assert started.running, started.tail()
            time.sleep(0.01)
        return started

    yield start
    kill_everything()


class TestProcesses:
    def test_kill_reaches_a_child_with_a_session_of_its_own(self, family):
        started = family()
        tree = started.tree()
        assert len(tree) == 2
        started.kill()
        assert not any(exists(pid) for pid in tree)

    def test_kill_reaches_what_the_first_left_behind(self, family):
        started = family()
        (_, child) = started.tree()
        started.kill_first()
        assert started.survivors() == [child]
        started.kill()
        assert not exists(child)

    def test_ctrl_c_on_a_terminal(self, family):
        started = family(terminal=True)
        started.interrupt()
        assert started.popen.wait(timeout=10) != 0
        started.kill()
        deadline = time.monotonic() + 5
        while "KeyboardInterrupt" not in started.tail() and time.monotonic() < deadline:
            time.sleep(0.01)  # a thread reads the terminal
        assert "KeyboardInterrupt" in started.tail()


def test_one_quick_round_of_wpy_alone(tmp_path):
    command = [
        sys.executable,
        "-m",
        "bench",
        "--quick",
        "--only",
        "start",
        "--alone",
        "--json",
        str(tmp_path / "r.json"),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as bench:
        try:
            output, _ = bench.communicate(timeout=60)
        finally:
            bench.terminate()  # it ends what it started; a kill would leave that behind
    assert bench.returncode == 0, output
    assert "start to first answer" in output
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["figures"]["start"]["wpy"] > 0
    assert written["figures"]["start"]["wrangler"] is None


def test_wrangler_that_is_missing_is_one_line(monkeypatch):
    from bench.sides import wrangler

    monkeypatch.setenv("WPY_BENCH_WRANGLER", "/nowhere/wrangler")
    reason = wrangler()
    assert isinstance(reason, str) and reason.startswith("wrangler is left out") and "\n" not in reason
