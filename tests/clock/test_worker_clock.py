"""`wpy dev --worker-clock`: what a Worker asks of the time and what it sleeps goes by the session's clock."""

import json
import os
import re
import socket
import sqlite3
import threading
import time
from datetime import datetime

import pytest
from dev_server import DevServer

from wrangler_py.runtime.python.clocked import QUIET_S

START = "2026-03-01T00:00:00Z"
START_MS = 1_772_323_200_000
VIRTUAL = ("--worker-clock", "--clock", "virtual", "--now", START)

CONFIG = """
[vars]
LOG = "{log}"
PORT = {port}

[[queues.producers]]
binding = "JOBS"
queue = "jobs"

[[queues.consumers]]
queue = "jobs"
max_batch_timeout = {timeout}
max_retries = 2
retry_delay = 43200
dead_letter_queue = "jobs-dlq"

[triggers]
crons = {crons}
"""
WORKER = """
import asyncio, json, os, socket, time
from datetime import UTC, date, datetime
from js import Date, Promise, setTimeout
from pyodide.ffi import run_sync
from workers import Response, WorkerEntrypoint

IMPORTED = time.time()
VERSION = 1


def times():
    return {
        "now": datetime.now(UTC).isoformat(),
        "today": date.today().isoformat(),
        "time": time.time(),
        "js": Date.now(),
        "new": Date.new().toISOString(),
    }


def note(env, what, **more):
    with open(env.LOG, "a") as file:
        file.write(json.dumps({"what": what, "version": VERSION, **times(), **more}) + "\\n")


def answered(port):
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.recv(1)


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path = request.url.partition("/" * 2)[2].partition("/")[2]
        how, _, argument = path.partition("/")
        if how == "send":
            await self.env.JOBS.send(argument)
        elif how == "sleep":
            await asyncio.sleep(float(argument))
        elif how == "exit":
            os._exit(3)
        elif how == "timeout":
            try:
                async with asyncio.timeout(float(argument)):
                    await asyncio.Event().wait()
            except TimeoutError:
                note(self.env, "timeout")
        return Response.json({"imported": IMPORTED, "version": VERSION, **times()})

    async def queue(self, batch, env, ctx):
        what = batch.messages[0].body
        note(self.env, what, attempt=batch.messages[0].attempts)
        real = time.monotonic()
        if what == "fail":
            raise ValueError("not today")
        if what == "sleep":
            await asyncio.sleep(3600)
        elif what == "block":
            time.sleep(3600)
        elif what == "setTimeout":
            await Promise.new(lambda resolve, reject: setTimeout(resolve, 3_600_000))
        elif what == "kept":
            _, self.kept = await asyncio.open_connection("127.0.0.1", self.env.PORT)
            await asyncio.sleep(3600)
        elif what == "many":
            for n in range(3):
                await asyncio.sleep(0.25)
                await self.env.JOBS.send("sent", delaySeconds=60)
        elif what == "thread":
            await asyncio.to_thread(answered, self.env.PORT)
        if what in ("sleep", "block", "setTimeout", "many", "thread", "kept"):
            note(self.env, what + " done", real=time.monotonic() - real)

    async def scheduled(self, controller, env, ctx):
        note(self.env, "cron")
        await asyncio.sleep(90)
        note(self.env, "cron done")
"""


class Session:
    """A session, and what its Worker noted."""

    def __init__(self, project, server):
        self.project = project
        self.server = server
        self.log = project.folder / "handled.log"

    @property
    def notes(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    @property
    def moments(self):
        """Each note with the seconds after the start that the Worker saw; it must have seen them in every way."""
        return [(note["what"], seen(note)) for note in self.notes]

    def clock(self, call, **arguments):
        with sqlite3.connect(self.project.state / "wpy.sqlite") as connection:
            (token,) = connection.execute("SELECT token FROM session WHERE url = ?", (self.server.url,)).fetchone()
        path = f"/cdn-cgi/wpy/api/clock{call and '/' + call}"
        method = "POST" if call else "GET"
        reply = self.server.request(method, path, json=arguments or {}, headers={"X-Wpy-Token": token})
        assert reply.status == 200, reply.text
        return reply.json()

    def get(self, path):
        reply = self.server.get(path)
        assert reply.status == 200, reply.text
        return reply.json()

    def wait_for_next_event(self, at_ms):
        """Until a handler that has just begun sleeps."""
        deadline = time.monotonic() + 10
        while self.clock("")["nextMs"] != at_ms:
            assert time.monotonic() < deadline, self.clock("")


def seen(note):
    at = note["time"]
    assert datetime.fromisoformat(note["now"]).timestamp() == pytest.approx(at, abs=0.05)
    assert note["js"] / 1000 == pytest.approx(at, abs=0.05)
    assert datetime.fromisoformat(note["new"]).timestamp() == pytest.approx(at, abs=0.05)
    assert note["today"] == note["now"][:10]
    return round(at - START_MS / 1000, 3)


@pytest.fixture
def begin(project):
    def start(*arguments, crons="[]", timeout=5, port=0, env=None):
        log = project.folder / "handled.log"
        project.config(CONFIG.format(log=log, crons=crons, timeout=timeout, port=port))
        project.code(WORKER)
        server = DevServer(*arguments, cwd=project.folder, state=project.state, env=env)
        project.servers.append(server)
        return Session(project, server.start())

    return start


def test_each_retry_sees_the_moment_it_was_due(begin):
    session = begin(*VIRTUAL)
    session.get("/send/fail")
    session.clock("advance", seconds=30 * 3600)
    assert session.moments == [("fail", 5), ("fail", 5 + 43_205), ("fail", 5 + 2 * 43_205)]
    assert session.notes[0]["now"] == "2026-03-01T00:00:05+00:00", "to the millisecond"


def test_a_frozen_clock_gives_the_same_time_twice(begin):
    session = begin(*VIRTUAL)
    first = session.get("/")
    time.sleep(0.02)
    assert session.get("/") == first
    assert (seen(first), first["imported"]) == (0, START_MS / 1000), "the global scope has it too"
    session.clock("advance", seconds=0.123)
    assert (seen(session.get("/")), session.get("/")["time"]) == (0.123, 1_772_323_200.123)
    assert session.get("/")["now"].endswith("00.123000+00:00")


@pytest.mark.parametrize("how", ["sleep", "block", "setTimeout"])
def test_an_hour_of_sleep_passes_with_the_clock(begin, how):
    session = begin(*VIRTUAL)
    session.get(f"/send/{how}")
    started = time.perf_counter()
    state = session.clock("advance", seconds=7200)
    assert time.perf_counter() - started < 2
    assert session.moments == [(how, 5), (f"{how} done", 3605)]
    assert session.notes[1]["real"] < 2, "time.monotonic() is real"
    assert state["now"] == "2026-03-01T02:00:00Z"


def test_the_command_moves_a_sleep(begin):
    session = begin(*VIRTUAL)
    session.get("/send/sleep")
    done = session.project.wpy("clock", "advance", "2h")
    assert done.code == 0 and session.moments[-1] == ("sleep done", 3605)
    session.server.wait_for("QUEUE jobs 1/1")


def test_sleeps_and_what_they_send_and_crons_in_due_order(begin):
    session = begin(*VIRTUAL, crons='["* * * * *"]', timeout=0)
    session.get("/send/many")
    session.clock("advance", seconds=155)
    assert session.moments == [
        ("many", 0),
        ("many done", 0.75),
        ("cron", 60),
        ("sent", 60.25),
        ("sent", 60.5),
        ("sent", 60.75),
        ("cron", 120),
        ("cron done", 150),
    ]


def test_next_goes_to_the_end_of_a_sleep_and_idle_waits_for_it(begin):
    session = begin(*VIRTUAL)
    session.get("/send/sleep")
    assert session.clock("next")["fired"] == "2026-03-01T00:00:05Z"
    assert session.clock("")["next"] == "2026-03-01T01:00:05Z"
    assert session.clock("next")["fired"] == "2026-03-01T01:00:05Z"
    assert session.moments == [("sleep", 5), ("sleep done", 3605)]
    session.get("/send/sleep")
    state = session.clock("run-until-idle", limitSeconds=86_400)
    assert (state["idle"], state["now"]) == (True, "2026-03-01T02:00:10Z")


def test_a_request_that_sleeps_is_answered_when_the_clock_has_passed(begin):
    session = begin(*VIRTUAL)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(session.get("/sleep/60.5")))
    asking.start()
    session.wait_for_next_event(START_MS + 60_500)
    session.clock("advance", seconds=60)
    asking.join(0.1)
    assert answers == [], "half a second is missing"
    session.clock("advance", seconds=60)
    asking.join(10)
    assert [seen(answer) for answer in answers] == [60.5]
    waiting = threading.Thread(target=session.get, args=("/timeout/30",))
    waiting.start()
    session.wait_for_next_event(START_MS + 150_000)
    session.clock("advance", seconds=3600)
    waiting.join(10)
    assert session.moments == [("timeout", 150)]


def test_a_handler_that_waits_for_a_server_is_waited_for(begin):
    """The clock does not go on to the end of another handler's sleep meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        session = begin(*VIRTUAL, port=listener.getsockname()[1])
        asking = threading.Thread(target=session.get, args=("/sleep/60",))
        asking.start()
        session.wait_for_next_event(START_MS + 60_000)
        session.get("/send/thread")
        moving = threading.Thread(target=session.clock, args=("advance",), kwargs={"seconds": 600})
        moving.start()
        link, _ = listener.accept()
        time.sleep(0.2)
        assert session.clock("")["now"] == "2026-03-01T00:00:05Z", "the move waits"
        link.sendall(b"x")
        moving.join(10)
        asking.join(10)
        link.close()
    assert session.moments == [("thread", 5), ("thread done", 5)]


def test_a_connection_that_is_kept_open_holds_the_clock_up_for_seconds_only(begin):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        session = begin(*VIRTUAL, port=listener.getsockname()[1])
        session.get("/send/kept")
        started = time.monotonic()
        session.clock("advance", seconds=7200)
        assert QUIET_S <= time.monotonic() - started < QUIET_S + 10
    assert session.moments == [("kept", 5), ("kept done", 3605)]


def test_a_running_clock_is_followed(begin):
    session = begin("--worker-clock", "--now", START, timeout=0)
    first = seen(session.get("/"))
    assert 0 <= first < 30
    assert first < seen(session.get("/")) < 30, "it runs"
    session.clock("advance", seconds=7200)
    assert 7200 <= seen(session.get("/")) < 7230
    started = time.monotonic()
    session.get("/sleep/0.3")
    assert 0.3 <= time.monotonic() - started < 5, "sleeps take their time"
    session.get("/send/sleep")
    deadline = time.monotonic() + 10
    while not session.notes:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    session.clock("advance", seconds=3700)
    (_, began), (_, ended) = session.moments
    assert 3599.99 <= ended - began < 3610, "told in whole milliseconds"
    stands = session.clock("freeze")["nowMs"] / 1000
    assert session.get("/")["time"] == session.get("/")["time"] == stands
    session.clock("resume", wallTime=True)
    assert session.get("/")["time"] == pytest.approx(time.time(), abs=1)


def test_a_reload_and_a_crash_keep_it(begin):
    session = begin(*VIRTUAL)
    session.clock("advance", seconds=3600)
    session.get("/send/sleep")
    session.clock("advance", seconds=10)
    mark = session.server.mark()
    session.project.code(WORKER.replace("VERSION = 1", "VERSION = 2"))
    session.server.wait_for("eload", after=mark)
    answer = session.get("/")
    assert (answer["version"], seen(answer), answer["imported"]) == (2, 3610, START_MS / 1000 + 3610)
    session.get("/send/late")  # waits for the old version, whose handler sleeps
    session.clock("advance", seconds=7200)
    assert [(note["what"], note["version"]) for note in session.notes] == [
        ("sleep", 1),
        ("sleep done", 1),
        ("late", 2),
    ]
    assert session.moments[1] == ("sleep done", 7205)
    assert session.server.get("/exit").status == 500
    answer = session.get("/")
    assert (answer["version"], seen(answer), answer["imported"]) == (2, 10_810, START_MS / 1000 + 10_810)


def test_an_interpreter_without_the_library_is_told_once_and_keeps_real_time(begin, tmp_path):
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "time_machine.py").write_text("raise ImportError('not installed')\n")
    path = os.pathsep.join(filter(None, (str(stub), os.environ.get("PYTHONPATH"))))
    session = begin(*VIRTUAL, timeout=0, env={"PYTHONPATH": path})
    told = r'--worker-clock: .*no time-machine.*pip install "wrangler_py\[worker-clock\]"'
    session.server.wait_for(told)
    assert session.get("/")["time"] == pytest.approx(time.time(), abs=5)
    mark = session.server.mark()
    session.project.code(WORKER.replace("VERSION = 1", "VERSION = 2"))
    session.server.wait_for("eload", after=mark)
    assert session.get("/")["version"] == 2
    assert len(session.server.find(told)) == 1
    session.get("/send/plain")
    session.clock("advance", seconds=60)
    assert [note["what"] for note in session.notes] == ["plain"], "handlers are waited for as without the option"


def test_without_the_option_time_is_real(begin):
    session = begin("--clock", "virtual", "--now", START)
    assert session.get("/sleep/0.01")["time"] == pytest.approx(time.time(), abs=5)
    assert not re.search("time-machine|worker-clock", session.server.output)
