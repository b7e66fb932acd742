"""The trigger endpoints of a real session, byte for byte as recorded from wrangler 4.86 and 4.164.

Names carry the number of the recorded case. Two deliberate differences: `/__scheduled` needs no flag (E10), and crons do
fire on the clock, so that wrangler's warning that they do not (E48) has no place.
"""

import json
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
from session_project import Project

#: Does what its cron says, and tells on /runs what it saw.
WORKER = """
import asyncio
import json
from workers import Response, WorkerEntrypoint

runs = []


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.url.split("?")[0].endswith("/runs"):
            seen, runs[:] = list(runs), []
            return Response(json.dumps(seen))
        return Response("the worker's own")

    async def scheduled(self, *given):
        controller = given[0]
        what = controller.cron.split()
        seen = {
            "cron": controller.cron,
            "time": controller.scheduledTime,
            "given": len(given),
            "type": hasattr(controller, "type"),
        }
        if "noretry" in what:
            controller.noRetry()
        if "reject" in what:
            self.ctx.waitUntil(self.fail())
        if "wait" in what:
            self.ctx.waitUntil(self.later(seen))
            return
        if "slow" in what:
            await asyncio.sleep(0.5)
        runs.append(seen)
        if "throw" in what:
            raise ValueError("boom")

    async def later(self, seen):
        await asyncio.sleep(0.4)
        runs.append(seen)

    async def fail(self):
        raise ValueError("rejected later")
"""
FETCH_ONLY = """
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("fetch only")
"""
TEXT = "text/plain;charset=UTF-8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("endpoints")


@pytest.fixture(scope="module")
def shared(folder):
    """One session for all that leave it as it was."""
    project = Project(folder / "one")
    project.config()
    project.code(WORKER)
    yield project.start()
    project.stop()


@pytest.fixture
def server(shared):
    shared.get("/runs")
    return shared


@pytest.fixture(scope="module")
def silent(folder):
    """A session whose Worker has no scheduled()."""
    project = Project(folder / "silent")
    project.config()
    project.code(FETCH_ONLY)
    yield project.start()
    project.stop()


@pytest.fixture(scope="module")
def two(folder):
    """A session of two Workers; the second has crons of its own."""
    project = Project(folder / "two")
    project.config(name="first", file="first/wrangler.toml")
    project.code(WORKER, "first/src/entry.py")
    project.config('[triggers]\ncrons = ["5 5 5 5 *"]\n', name="second", file="second/wrangler.toml")
    project.code(WORKER.replace("runs.append(seen)", "print('RAN', json.dumps(seen))"), "second/src/entry.py")
    yield project.start("-c", "first/wrangler.toml", "-c", "second/wrangler.toml")
    project.stop()


def runs(server):
    return server.get("/runs").json()


def answer(reply):
    """Status, type and body, which is all there is; the length must be that of the body."""
    assert reply.headers["Content-Length"] == str(len(reply.body))
    return reply.status, reply.headers["Content-Type"], reply.text


def now_ms():
    return time.time() * 1000


# /__scheduled ---------------------------------------------------------------------------------------------------------

RAN = (200, TEXT, "Ran scheduled event")


@pytest.mark.parametrize(
    ("query", "cron"),
    [
        pytest.param("", "", id="E1"),
        pytest.param("?cron=*+*+*+*+*", "* * * * *", id="E2"),
        pytest.param("?cron=*%20*%20*%20*%20*", "* * * * *", id="E3"),
        pytest.param("?cron=not-a-cron", "not-a-cron", id="any-text"),
        pytest.param("?time=1", "", id="E4"),
        pytest.param("?format=json", "", id="E5"),
    ],
)
def test_test_scheduled(server, query, cron):
    reply = server.get("/__scheduled" + query)
    assert answer(reply) == RAN
    assert reply.headers["Content-Length"] == "19"
    (run,) = runs(server)
    assert run["cron"] == cron
    assert abs(run["time"] - now_ms()) < 1_000, "time is ignored"


def test_e6_a_worker_without_a_handler_is_passed_over_in_silence(silent):
    mark = silent.mark()
    assert answer(silent.get("/__scheduled")) == RAN
    silent.wait_for(r"GET /__scheduled 200 OK", after=mark)
    time.sleep(0.05)
    assert [line.text for line in silent.lines[mark:]] == [
        silent.find(r".*GET /__scheduled 200 OK.*", after=mark)[0][0]
    ]


def test_e7_a_handler_that_throws(server):
    reply = server.get("/__scheduled?cron=throw")
    assert (reply.status, reply.headers["Content-Type"]) == (500, TEXT)
    assert reply.text == "Error: boom"
    assert len(runs(server)) == 1


def test_e8_what_wait_until_does_is_not_waited_for(server):
    mark = server.mark()
    assert answer(server.get("/__scheduled?cron=reject")) == RAN
    server.wait_for("rejected later", after=mark)
    reply = server.get("/__scheduled?cron=wait")
    assert answer(reply) == RAN
    assert reply.seconds < 0.35
    assert [run["cron"] for run in runs(server)] == ["reject"]
    time.sleep(0.5)
    assert [run["cron"] for run in runs(server)] == ["wait"], "it goes on all the same"


@pytest.mark.parametrize("path", ["/__scheduled/", "/__SCHEDULED", "/__scheduled/foo"])
def test_e9_only_that_very_path(server, path):
    assert server.get(path).text == "the worker's own"
    assert runs(server) == []


def test_e10_no_flag_is_needed(server):
    """wrangler would hand the request to fetch() unless it was started with --test-scheduled."""
    assert "--test-scheduled" not in server.command
    assert answer(server.get("/__scheduled")) == RAN


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "PUT"])
def test_e11_any_method(server, method):
    assert answer(server.request(method, "/__scheduled", body="ignored")) == RAN
    assert len(runs(server)) == 1


def test_head_on_test_scheduled(server):
    reply = server.request("HEAD", "/__scheduled")
    assert (reply.status, reply.body, len(runs(server))) == (200, b"", 1)


def test_hosts_are_not_looked_at_by_test_scheduled(server):
    reply = server.get("/__scheduled", headers={"Host": "evil.example.com", "Origin": "http://evil.example.com"})
    assert answer(reply) == RAN


# /cdn-cgi/handler/scheduled -------------------------------------------------------------------------------------------

OK = (200, TEXT, "ok")


@pytest.mark.parametrize(
    ("query", "cron"),
    [
        pytest.param("", "", id="E12"),
        pytest.param("?cron=zzz", "zzz", id="E13"),
        pytest.param("?cron=a&cron=b", "a", id="E14"),
        pytest.param("?cron=0%200%20*%20*%20MON%232", "0 0 * * MON#2", id="E15"),
        pytest.param("?cron=a%2Bb", "a+b", id="E16"),
        pytest.param("?cron", "", id="E17"),
        pytest.param("?cron=%zz", "%zz", id="bad-escape"),
        pytest.param("?cron=%ff", "\ufffd", id="bad-utf8"),
        pytest.param("?CRON=a", "", id="case"),
        pytest.param("?format=JSON&cron=x", "x", id="E35"),
        pytest.param("?format=text&cron=x", "x", id="text"),
    ],
)
def test_handler_scheduled(server, query, cron):
    assert answer(server.get("/cdn-cgi/handler/scheduled" + query)) == OK
    (run,) = runs(server)
    assert run["cron"] == cron
    assert abs(run["time"] - now_ms()) < 1_000


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        pytest.param("0", 0, id="E18"),
        pytest.param("-5", -5, id="E19"),
        pytest.param("1.9", 1, id="E20"),
        pytest.param("12abc", 12, id="E21"),
        pytest.param("1e12", 1, id="E22"),
        pytest.param("0x10", 16, id="E24"),
        pytest.param("9223372036854", 9223372036854, id="E26"),
        pytest.param("2026-01-01T00:00:00Z", 2026, id="iso"),
        pytest.param("%20%2B7", 7, id="space-and-plus"),
        pytest.param("1700000000000", 1700000000000, id="usual"),
    ],
)
def test_time(server, text, time_ms):
    assert answer(server.get(f"/cdn-cgi/handler/scheduled?time={text}")) == OK
    (run,) = runs(server)
    assert run["time"] == time_ms


def test_e23_an_empty_time_is_now(server):
    assert answer(server.get("/cdn-cgi/handler/scheduled?time=")) == OK
    assert abs(runs(server)[0]["time"] - now_ms()) < 1_000


@pytest.mark.parametrize(
    ("text", "body"),
    [
        pytest.param("abc", "TypeError: The value cannot be converted because it is not a valid Date.", id="E25"),
        pytest.param("8640000000000001", "TypeError: The value cannot be converted", id="no-date"),
        pytest.param("9223372036855", "TypeError: This API doesn't support dates after 2189.", id="E26"),
    ],
)
def test_times_that_are_none(server, text, body):
    reply = server.get(f"/cdn-cgi/handler/scheduled?time={text}")
    assert (reply.status, reply.headers["Content-Type"]) == (500, TEXT)
    assert reply.text.startswith(body)
    assert runs(server) == [], "the handler is not run"


@pytest.mark.parametrize(
    ("cron", "status", "body"),
    [
        pytest.param("", 200, '{"outcome":"ok","noRetry":false}', id="E27"),
        pytest.param("noretry", 200, '{"outcome":"ok","noRetry":true}', id="E28"),
        pytest.param("throw", 500, '{"outcome":"exception","noRetry":false}', id="E29"),
        pytest.param("noretry+throw", 500, '{"outcome":"exception","noRetry":true}', id="E30"),
        pytest.param("reject", 500, '{"outcome":"exception","noRetry":false}', id="E32-json"),
    ],
)
def test_format_json(server, cron, status, body):
    reply = server.get(f"/cdn-cgi/handler/scheduled?format=json&cron={cron}")
    assert answer(reply) == (status, "application/json", body)


@pytest.mark.parametrize("cron", [pytest.param("throw", id="E31"), pytest.param("reject", id="E32")])
def test_outcome_as_text(server, cron):
    assert answer(server.get(f"/cdn-cgi/handler/scheduled?cron={cron}")) == (500, TEXT, "exception")


def test_e33_wait_until_is_waited_for(server):
    reply = server.get("/cdn-cgi/handler/scheduled?cron=wait")
    assert answer(reply) == OK
    assert reply.seconds >= 0.4
    assert [run["cron"] for run in runs(server)] == ["wait"]


def test_e34_a_worker_without_a_handler(silent):
    mark = silent.mark()
    for _ in range(2):
        reply = silent.get("/cdn-cgi/handler/scheduled?format=json")
        assert answer(reply) == (500, "application/json", '{"outcome":"exception","noRetry":true}')
    assert answer(silent.get("/cdn-cgi/handler/scheduled")) == (500, TEXT, "exception")
    silent.wait_for("exception", count=3, after=mark)
    assert len(silent.find("lack a handler", after=mark)) == 1, "once for three calls"


def test_e36_head_runs_it(server):
    reply = server.request("HEAD", "/cdn-cgi/handler/scheduled?cron=head")
    assert (reply.status, reply.body) == (200, b"")
    assert [run["cron"] for run in runs(server)] == ["head"]


@pytest.mark.parametrize(
    ("header", "value", "text"),
    [
        pytest.param("Host", "evil.example.com", "Invalid Host header", id="E37"),
        pytest.param("Host", "localhost.evil.example.com:8787", "Invalid Host header", id="suffix"),
        pytest.param("Origin", "http://evil.example.com", "Invalid Origin header", id="E38"),
        pytest.param("Origin", "null", "Invalid Origin header", id="null"),
    ],
)
def test_foreign_hosts_and_origins(server, header, value, text):
    for path in ("/cdn-cgi/handler/scheduled", "/cdn-cgi/local/scheduled", "/cdn-cgi/mf/scheduled"):
        assert answer(server.get(path, headers={header: value})) == (403, TEXT, text)
    assert runs(server) == []


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:1", "http://[::1]:5173"])
def test_e39_local_origins(server, origin):
    assert answer(server.get("/cdn-cgi/handler/scheduled", headers={"Origin": origin})) == OK


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/cdn-cgi/mf/scheduled", id="E40"),
        pytest.param("/cdn-cgi/local/scheduled", id="E41"),
    ],
)
def test_older_and_newer_names(server, path):
    assert answer(server.get(f"{path}?cron=a")) == OK
    assert answer(server.post(f"{path}?cron=b&format=json", body="x"))[2] == '{"outcome":"ok","noRetry":false}'
    assert [run["cron"] for run in runs(server)] == ["a", "b"]


@pytest.mark.parametrize("path", ["/cdn-cgi/handler/scheduled/", "/cdn-cgi/foo", "/cdn-cgi/handler/queue"])
def test_other_paths_are_the_workers_own(server, path):
    assert server.get(path).text == "the worker's own"
    assert runs(server) == []


# How runs go on -------------------------------------------------------------------------------------------------------


def test_e42_runs_are_parallel(server):
    replies = []
    threads = [
        threading.Thread(target=lambda: replies.append(server.get("/cdn-cgi/handler/scheduled?cron=slow")))
        for _ in range(3)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer(reply) for reply in replies] == [OK] * 3
    assert 0.5 <= time.monotonic() - started < 1.4, "one after another they take 1.5 s"
    assert len(runs(server)) == 3


def test_e43_a_client_that_goes_away_cancels_nothing(server):
    address = urlsplit(server.url)
    with socket.create_connection(("127.0.0.1", address.port)) as client:
        client.sendall(b"GET /cdn-cgi/handler/scheduled?cron=slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.15)
    assert runs(server) == []
    deadline = time.monotonic() + 5
    while not (found := runs(server)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [run["cron"] for run in found] == ["slow"]


def test_e47_what_is_logged(server):
    mark = server.mark()
    server.get("/cdn-cgi/handler/scheduled?cron=quiet+one")
    server.get("/__scheduled?cron=told")
    server.wait_for(r"^\[wrangler:info\] GET /__scheduled 200 OK \(\d+ms\)$", after=mark)
    assert server.find("cdn-cgi", after=mark) == []
    # wpy's own: a run is told as a run, wherever it came from.
    assert len(server.find(r"^\[wrangler:info\] CRON quiet one ok \(\d+ms\)$", after=mark)) == 1
    assert len(server.find(r"^\[wrangler:info\] CRON told ok \(\d+ms\)$", after=mark)) == 1


def test_a_cron_cannot_command_the_terminal(server):
    mark = server.mark()
    server.get("/cdn-cgi/handler/scheduled?cron=%1b[2J%0a%07throw")
    server.wait_for(r"CRON \\x1b\[2J\\n\\x07throw ok", after=mark)
    assert not [line for line in server.lines[mark:] if "\x1b" in line.text or "\x07" in line.text]


def test_e48_no_warning_that_crons_do_not_fire(session_project):
    session_project.config('[triggers]\ncrons = ["0 0 1 1 *"]\n')
    session_project.code(WORKER)
    server = session_project.start()
    assert server.find("not automatically triggered") == []
    assert server.find(r"0 0 1 1 \*"), "they do, and the start says when"


# Several Workers, the explorer ----------------------------------------------------------------------------------------

EXPLORER = "/cdn-cgi/local/explorer/api/local/scheduled"


@pytest.mark.parametrize(
    "path",
    [
        "/__scheduled?cron=x&worker=second",
        "/cdn-cgi/handler/scheduled?cron=x&worker=second",
        "/cdn-cgi/mf/scheduled?cron=x",
    ],
)
def test_e44_the_paths_reach_the_first_worker_only(two, path):
    two.get("/runs")
    mark = two.mark()
    assert two.get(path).status == 200
    assert [run["cron"] for run in runs(two)] == ["x"]
    assert two.find("RAN", after=mark) == []


def test_e45_the_explorer_reaches_any_worker(two):
    mark = two.mark()
    reply = two.post(f"{EXPLORER}?worker=second", json={"cron": "5 5 5 5 *", "scheduled_time": 5, "scheduledTime": 6})
    body = '{"success":true,"errors":[],"messages":[],"result":{"outcome":"ok","noRetry":false}}'
    assert answer(reply) == (200, "application/json", body)
    two.wait_for(r'^\[second\] .*RAN \{"cron": "5 5 5 5 \*", "time": 5,', after=mark)
    reply = two.post(f"{EXPLORER}?worker=first", json={"cron": "throw"})
    body = '{"success":true,"errors":[],"messages":[],"result":{"outcome":"exception","noRetry":false}}'
    assert answer(reply) == (200, "application/json", body)


@pytest.mark.parametrize(
    ("worker", "body", "status", "code", "message"),
    [
        pytest.param("second", "{}", 400, 10001, "cron: Invalid input: expected string, received undefined", id="E46"),
        pytest.param("n%C3%B6pe", '{"cron":"x"}', 404, 10000, 'Worker "nöpe" is not registered.', id="other-letters"),
        pytest.param("nope", '{"cron":"x"}', 404, 10000, 'Worker "nope" is not registered.', id="E46-unknown"),
        pytest.param(
            "second", '{"cron":" "}', 400, 10001, "cron: Invalid string: must match pattern /.*\\S.*/", id="blank"
        ),
        pytest.param(
            "second", '{"cron":5}', 400, 10001, "cron: Invalid input: expected string, received number", id="type"
        ),
        pytest.param(
            "second",
            '{"cron":"x","scheduled_time":1.5}',
            400,
            10001,
            "scheduled_time: Invalid input: expected int, received number",
            id="float",
        ),
    ],
)
def test_explorer_errors(two, worker, body, status, code, message):
    time.sleep(0.05)  # the line of an earlier run
    mark = two.mark()
    reply = two.post(f"{EXPLORER}?worker={worker}", body=body, headers={"Content-Type": "application/json"})
    told = {"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": None}
    assert answer(reply) == (status, "application/json", json.dumps(told, separators=(",", ":"), ensure_ascii=False))
    assert two.find("CRON|RAN", after=mark) == []


def test_explorer_without_a_worker_and_by_get(two):
    reply = two.post(EXPLORER, json={"cron": "x"})
    assert (reply.status, reply.json()["errors"][0]["code"]) == (400, 10001)
    assert answer(two.get(f"{EXPLORER}?worker=second")) == (404, TEXT, "404 Not Found")
    evil = two.post(f"{EXPLORER}?worker=second", json={"cron": "x"}, headers={"Origin": "http://evil.example.com"})
    assert answer(evil) == (403, TEXT, "Invalid Origin header")


# The config -----------------------------------------------------------------------------------------------------------


def test_e49_environments_inherit_crons_or_clear_them(session_project):
    session_project.config(
        """
        [triggers]
        crons = ["0 1 * * *"]
        [env.a]
        [env.b.triggers]
        crons = []
        """
    )
    session_project.code(WORKER)

    def listed(*arguments):
        return [cron["expr"] for cron in session_project.wpy("cron", "list", "--json", *arguments).json]

    assert (listed(), listed("--env", "a"), listed("--env", "b")) == (["0 1 * * *"], ["0 1 * * *"], [])


def test_e50_crons_must_be_a_list(session_project):
    session_project.config('[triggers]\ncrons = "* * * * *"\n')
    session_project.code(WORKER)
    server = session_project.server()
    server.launch()
    assert server.wait_exit() == 1
    assert server.find("triggers.crons")


# What the handler is given --------------------------------------------------------------------------------------------


def test_e51_e52_the_handler_gets_three_arguments_and_a_controller_without_a_type(server):
    server.get("/cdn-cgi/handler/scheduled?cron=x&time=5")
    assert runs(server) == [{"cron": "x", "time": 5, "given": 3, "type": False}]
