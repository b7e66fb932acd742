"""`wpy dev --clock virtual` and `wpy clock`, through the command line and HTTP, with a Worker that does real work."""

import json
import re
import signal
import sqlite3
import subprocess
import threading
import time
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
import warm_wpy
from session_project import environment

#: Fails what it is told to; everything it is given goes into one file, in order.
WORKER = """
import json
from workers import Response, WorkerEntrypoint


def note(env, *words):
    with open(env.LOG, "a") as file:
        file.write(" ".join(map(str, words)) + "\\n")


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        path, _, query = request.url.partition("?")
        if path.endswith("/send"):
            what, _, delay = query.partition("&")
            await self.env.JOBS.send({"what": what}, delaySeconds=int(delay or 0))
        return Response("ok")

    async def queue(self, batch, env, ctx):
        for message in batch.messages:
            note(self.env, batch.queue, message.body["what"], message.attempts)
            if batch.queue == "jobs" and message.body["what"].startswith("fail"):
                raise ValueError("not today")
            if message.body["what"] == "chain":
                await self.env.MORE.send({"what": "link"})
            if message.body["what"] == "exit" and message.attempts == 1:
                import os

                os._exit(3)
            if message.body["what"] == "hang":
                import asyncio

                await asyncio.sleep(3600)

    async def scheduled(self, controller, env, ctx):
        note(self.env, "cron", controller.cron, controller.scheduledTime)
        if controller.cron == "30 * * * *":
            await self.env.MORE.send({"what": "report"})
"""
CONFIG = """
[vars]
LOG = "{log}"

[[queues.producers]]
binding = "JOBS"
queue = "jobs"

[[queues.producers]]
binding = "MORE"
queue = "more"

[[queues.producers]]
binding = "KEPT"
queue = "kept"

[[queues.consumers]]
queue = "jobs"
max_batch_timeout = {timeout}
max_retries = 2
retry_delay = {retry_delay}
dead_letter_queue = "jobs-dlq"

[[queues.consumers]]
queue = "jobs-dlq"
max_batch_timeout = 0

[[queues.consumers]]
queue = "more"
max_batch_timeout = 10

[triggers]
crons = {crons}
"""
START = "2026-03-01T00:00:00Z"
START_MS = 1_772_323_200_000
HOUR_MS = 3_600_000


class Session:
    """A running session, its clock commands, and what its Worker wrote down."""

    def __init__(self, project, server):
        self.project = project
        self.server = server
        self.log = project.folder / "handled.log"

    @property
    def notes(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def clock(self, *arguments, code=0):
        done = self.project.wpy("clock", *arguments)
        assert done.code == code, done
        return done

    def state(self, *arguments):
        return self.clock(*arguments, "--json").json

    def send(self, what, delay=0):
        assert self.server.get(f"/send?{what}&{delay}").status == 200

    def api(self, call, arguments=None, method="POST"):
        with sqlite3.connect(self.project.state / "wpy.sqlite") as connection:
            (token,) = connection.execute("SELECT token FROM session WHERE url = ?", (self.server.url,)).fetchone()
        return self.server.request(
            method, f"/cdn-cgi/wpy/api/{call}", json=arguments or {}, headers={"X-Wpy-Token": token}
        )


@pytest.fixture
def begin(project):
    def start(*arguments, crons="[]", timeout=5, retry_delay=0, code=WORKER):
        log = project.folder / "handled.log"
        project.config(CONFIG.format(log=log, crons=crons, timeout=timeout, retry_delay=retry_delay))
        project.code(code)
        return Session(project, project.start(*arguments))

    return start


@pytest.fixture
def frozen(begin):
    def start(**options):
        return begin("--clock", "virtual", "--now", START, **options)

    return start


# Twelve hours of backoff ----------------------------------------------------------------------------------------------

#: A message that fails three times with 12 hours between, across a cron, into the dead letter queue.
STORY = [
    ("2026-03-01T00:00:05Z", "jobs fail 1"),
    ("2026-03-01T06:00:00Z", "cron 0 6 * * * 1772344800000"),
    ("2026-03-01T12:00:10Z", "jobs fail 2"),
    ("2026-03-02T00:00:15Z", "jobs fail 3"),
    ("2026-03-02T00:00:15Z", "jobs-dlq fail 1"),
]


def test_twelve_hours_three_times_into_the_dead_letter_queue_across_a_cron(frozen):
    session = frozen(crons='["0 6 * * *"]', retry_delay=43_200)
    mark = session.server.mark()
    started = time.perf_counter()
    session.send("fail")
    reply = session.api("clock/advance", {"seconds": 25 * 3600})
    took = time.perf_counter() - started
    assert reply.json()["now"] == "2026-03-02T01:00:00Z"
    assert session.notes == [note for _, note in STORY]
    assert took < 2.0
    session.server.wait_for("CLOCK moved 1 d 1 h ahead, to 2026-03-02T01:00:00Z", after=mark)
    told = [found[1] for found in session.server.find(r"(QUEUE \S+ \d/\d|CRON .* ok|Retrying|Moving)", after=mark)]
    assert told == [
        *("Retrying", "QUEUE jobs 0/1"),
        "CRON 0 6 * * * ok",
        *("Retrying", "QUEUE jobs 0/1"),
        *("Moving", "QUEUE jobs 0/1"),
        "QUEUE jobs-dlq 1/1",
    ]


def test_each_at_its_own_moment(frozen):
    session = frozen(crons='["0 6 * * *"]', retry_delay=43_200)
    session.send("fail")
    moments = list(dict.fromkeys(at for at, _ in STORY))
    for moment in moments:
        state = session.state("next")
        assert (state["fired"], state["now"]) == (moment, moment)
        assert session.notes == [note for at, note in STORY if at <= moment]


def test_until_idle(frozen):
    session = frozen(crons='["0 6 * * *"]', retry_delay=43_200)
    session.send("fail")
    state = session.state("run-until-idle")
    assert (state["idle"], state["now"]) == (True, "2026-03-02T00:00:15Z")
    assert session.notes == [note for at, note in STORY if at <= state["now"]]
    state = session.state("run-until-idle")
    assert (state["idle"], state["now"]) == (True, "2026-03-02T00:00:15Z"), "crons are no work that waits"
    session.send("fail", 86_400)
    done = session.clock("run-until-idle", "--limit", "1h")
    assert "The limit was reached; there is more to come." in done.out
    assert "2026-03-02T01:00:15Z" in done.out


def test_the_same_order_on_a_real_clock(begin):
    """The same story with a second for twelve hours; its only cron is one that fires by hand."""
    session = begin(retry_delay=1, timeout=0)
    session.send("fail")
    session.server.wait_for("QUEUE jobs-dlq 1/1")
    assert session.notes == ["jobs fail 1", "jobs fail 2", "jobs fail 3", "jobs-dlq fail 1"]


# In due order ---------------------------------------------------------------------------------------------------------


def test_delays_batch_timeouts_crons_and_what_they_start_in_due_order(frozen):
    session = frozen(crons='["30 * * * *", "0 1 * * *"]')
    session.send("late", 7_200)
    session.send("soon", 60)
    session.send("chain", 1_800)
    session.clock("advance", "3h")
    assert session.notes == [
        "jobs soon 1",  # 00:01:05
        f"cron 30 * * * * {START_MS + HOUR_MS // 2}",  # sends to `more`, whose batch waits for 10 s
        "jobs chain 1",  # 00:30:05, sends to `more`
        "more report 1",  # 00:30:10: ten seconds after the first of the two
        "more link 1",
        f"cron 0 1 * * * {START_MS + HOUR_MS}",
        f"cron 30 * * * * {START_MS + HOUR_MS * 3 // 2}",
        "more report 1",
        "jobs late 1",  # 02:00:05
        f"cron 30 * * * * {START_MS + HOUR_MS * 5 // 2}",
        "more report 1",
    ]


def test_retention_ends_on_the_way(frozen):
    code = WORKER.replace('self.env.JOBS.send({"what": what}', 'self.env.KEPT.send({"what": what}')
    session = frozen(code=code)
    session.send("kept")
    mark = session.server.mark()
    session.clock("advance", "3d23h")
    assert session.server.find("outlived", after=mark) == []
    session.clock("advance", "2h")
    session.server.wait_for('1 message.* on queue "kept" outlived its retention', after=mark)


def test_frozen_nothing_fires(frozen):
    session = frozen(crons='["* * * * *"]')
    assert session.server.find(f"The clock stands still at {START}: nothing fires until it is moved")
    session.send("waits")
    time.sleep(0.3)
    assert session.notes == []
    assert session.state("show")["nowMs"] == START_MS
    session.clock("advance", "5s")
    assert session.notes == ["jobs waits 1"]


def test_a_handler_that_ends_its_process_comes_again_at_its_own_time(frozen):
    """The clock does not go on before the Worker is back: the retry is due at once, and not at the end of the move."""
    session = frozen(crons='["0 1 * * *"]')
    session.send("exit")
    session.clock("advance", "2h")
    assert session.notes == ["jobs exit 1", "jobs exit 2", f"cron 0 1 * * * {START_MS + HOUR_MS}"]


def test_broken_code_holds_the_clock_up_no_longer_than_it_must(frozen):
    session = frozen(crons='["*/10 * * * *"]')
    session.server.stop()
    session.project.code("def broken(:")
    server = session.project.start("--clock", "virtual", "--now", START)
    started = time.monotonic()
    assert session.project.wpy("clock", "advance", "1h").code == 0
    assert time.monotonic() - started < 5
    runs = session.project.wpy("cron", "history", "--json").json
    assert [run["outcome"] for run in runs] == ["exception"] * 6
    assert "SyntaxError" in runs[0]["error"]
    assert len(server.find(r"CRON \*/10 \* \* \* \* exception")) == 6


# The commands ---------------------------------------------------------------------------------------------------------


def test_show(frozen):
    session = frozen(crons='["0 6 * * *"]')
    done = session.clock("show")
    first, second = done.lines
    assert re.fullmatch(rf"The clock stands still at {START} \(.+ (behind|ahead of) the wall clock\)\.", first)
    assert second == "Next event: 2026-03-01T06:00:00Z (in 6 h)."
    state = session.state("show")
    assert state.pop("aheadMs") == pytest.approx(START_MS - time.time() * 1000, abs=60_000)
    assert state == {
        "now": START,
        "nowMs": START_MS,
        "frozen": True,
        "moving": False,
        "next": "2026-03-01T06:00:00Z",
        "nextMs": START_MS + 6 * HOUR_MS,
    }


def test_upkeep_is_no_event(frozen):
    session = frozen()
    assert session.state("show")["next"] is None
    done = session.clock("next")
    assert "There was nothing to fire." in done.out and "Nothing is planned." in done.out
    assert session.state("show")["now"] == START


def test_a_real_clock_is_frozen_moved_and_resumed(begin):
    session = begin(crons='["0 0 * * *"]')
    mark = session.server.mark()
    assert session.state("show")["frozen"] is False
    stands = session.state("freeze")
    session.server.wait_for(r"The clock stands still at 2\d{3}-.*: nothing fires until it is moved", after=mark)
    session.send("waits")
    time.sleep(0.2)
    assert session.state("show")["now"] == stands["now"]
    midnight = datetime.fromisoformat(stands["now"]).replace(hour=0, minute=0, second=0, microsecond=0)
    target = f"{midnight + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    assert session.state("freeze", target)["now"] == target
    assert session.notes == [
        "jobs waits 1",
        f"cron 0 0 * * * {round((midnight + timedelta(days=1)).timestamp() * 1000)}",
    ]
    session.server.wait_for("CLOCK moved .* ahead, to", after=mark)
    state = session.state("resume")
    assert (state["frozen"], state["setBack"]) == (False, {})
    session.server.wait_for(r"CLOCK runs on from .* ahead of the wall clock", after=mark)
    time.sleep(0.1)
    assert session.state("show")["nowMs"] > state["nowMs"]
    mark = session.server.mark()
    session.clock("advance", "1h")
    session.server.wait_for("CLOCK moved 1 h ahead", after=mark)
    assert session.state("show")["frozen"] is False, "a running clock runs on after a move"


def test_a_clock_that_runs_from_another_time_fires_by_itself(begin):
    session = begin("--now", "2026-03-01T00:00:57Z", crons='["* * * * *"]')
    state = session.state("show")
    assert state["frozen"] is False and 0 <= state["nowMs"] - START_MS - 57_000 < 60_000
    session.server.wait_for("CRON", within=20)
    (run,) = session.project.wpy("cron", "history", "--json").json
    assert (run["scheduledTime"], run["trigger"]) == (START_MS + 60_000, "clock")
    assert 0 <= run["start"] - run["scheduledTime"] < 1_000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("advance", "-2h"), "'-2h': a clock goes ahead only."),
        (("advance", "-5"), "'-5': a clock goes ahead only."),
        (("advance", "soon"), "'soon' is not a span of time. Write it like 30s, 10m, 2h, 1h30m or 7d."),
        (("advance", "2 fortnights"), "is not a span of time"),
        (("advance", "nan"), "is not a span of time"),
        (("advance", "inf"), "is more than ten years"),
        (("advance", "1e300"), "is more than ten years"),
        (("advance", "100000d"), "is more than ten years"),
        (("advance",), "Missing argument"),
        (("freeze", "later"), "'later' is not a time like"),
        (("run-until-idle", "--limit", "-1h"), "--limit"),
        (("run-until-idle", "--limit", "x"), "--limit"),
        (("resume", "--wall"), "--wall"),
        (("unfreeze",), "Did you mean 'freeze'?"),
    ],
)
def test_a_command_line_that_cannot_be_understood(project, arguments, told):
    project.config()
    done = project.wpy("clock", *arguments)
    assert (done.code, done.out) == (2, "")
    assert told in re.sub(r"\s+", " ", done.err)


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        ("90s", 90),
        ("1h30m", 5_400),
        ("1.5d", 129_600),
        ("2 h", 7_200),
        ("5", 5),
        ("250ms", 0.25),
        ("1w", 604_800),
        ("0", 0),
    ],
)
def test_spans(frozen, span, seconds):
    if span == "90s":
        session = frozen()
        assert session.state("advance", span)["nowMs"] == START_MS + seconds * 1000
        return
    from wrangler_py.cli.clock import seconds_of

    assert seconds_of(span) == seconds


def test_what_the_session_refuses(frozen):
    session = frozen()
    done = session.clock("freeze", "2026-02-28T23:59:59Z", code=1)
    assert f"The clock shows {START} and cannot go back to 2026-02-28T23:59:59Z." in done.err
    done = session.clock("freeze", "2999-01-01", code=1)
    assert "more than ten years ahead" in done.err
    for call, arguments in [
        ("clock/advance", {}),
        ("clock/advance", {"seconds": -1}),
        ("clock/advance", {"seconds": True}),
        ("clock/advance", {"seconds": "5"}),
        ("clock/advance", {"seconds": 1e12}),
        ("clock/freeze", {"atMs": 1.5}),
        ("clock/freeze", {"atMs": 10**30}),
        ("clock/run-until-idle", {"limitSeconds": -1}),
        ("clock/resume", {"wallTime": "yes"}),
        ("crons/trigger", {"cron": 5}),
        ("crons/trigger", {"cron": "x", "timeMs": 10**16}),
        ("crons/trigger", {"cron": "x", "worker": ["app"]}),
        ("crons/trigger", {"cron": "x", "trigger": "clock"}),
    ]:
        reply = session.api(call, arguments)
        assert (reply.status, list(reply.json())) == (400, ["error"]), (call, arguments)
    assert session.state("show")["now"] == START, "nothing was moved"


def test_a_real_clock_is_not_frozen_by_a_time_that_is_refused(begin):
    session = begin()
    session.clock("freeze", "2001-01-01", code=1)
    assert session.state("show")["frozen"] is False


def test_without_a_session(project):
    project.config()
    for command in (["show"], ["freeze"], ["advance", "1h"], ["next"], ["run-until-idle"], ["resume"]):
        done = project.wpy("clock", *command)
        assert (done.code, done.out) == (1, "")
        assert "No `wpy dev` session runs on" in done.err and "Start one with `wpy dev`" in done.err


# Several hands --------------------------------------------------------------------------------------------------------


def test_two_moves_at_once_are_made_one_after_the_other(frozen):
    session = frozen(crons='["* * * * *"]')
    replies = []
    threads = [
        threading.Thread(target=lambda: replies.append(session.api("clock/advance", {"seconds": 1_800})))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [reply.status for reply in replies] == [200, 200]
    assert session.state("show")["nowMs"] == START_MS + HOUR_MS
    assert len(session.notes) == 60


def test_a_move_that_comes_before_the_session_is_ready_waits_for_it(project):
    log = project.folder / "handled.log"
    project.config(CONFIG.format(log=log, crons='["30 * * * *"]', timeout=5, retry_delay=0))
    project.code("import time\ntime.sleep(2)\n" + WORKER)
    server = project.server("--clock", "virtual", "--now", START)
    server.launch()
    deadline = time.monotonic() + 30
    while (done := project.wpy("clock", "advance", "1h")).code != 0 and time.monotonic() < deadline:
        assert "No `wpy dev` session runs" in done.err or "does not answer" in done.err
    server.wait_for("CLOCK moved 1 h ahead")
    ready = next(at for at, line in enumerate(server.lines) if "Ready on" in line.text)
    moved = next(at for at, line in enumerate(server.lines) if "CLOCK moved" in line.text)
    assert ready < moved
    assert log.read_text().splitlines()[0] == f"cron 30 * * * * {START_MS + HOUR_MS // 2}"


def test_ctrl_c_stops_a_move(frozen):
    session = frozen(crons='["* * * * *"]')
    process = moving(session, "advance", "300d")
    session.server.wait_for("CRON", count=20)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert "The move was stopped on its way." in err
    assert "The clock stands still at 2026-03-01T" in out
    stands = session.state("show")
    count = len(session.notes)
    assert count >= 20
    assert stands["nowMs"] == START_MS + count * 60_000
    time.sleep(0.2)
    assert len(session.notes) == count


def test_freezing_stops_a_move_and_its_command_says_so(frozen):
    session = frozen(crons='["* * * * *"]')
    process = moving(session, "advance", "300d", "--json")
    session.server.wait_for("CRON", count=20)
    assert session.state("show")["moving"] is True
    stands = session.state("freeze")
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 130
    assert json.loads(out)["stopped"] is True
    assert json.loads(out)["now"] == stands["now"] == session.state("show")["now"]


def test_a_handler_that_hangs_does_not_hold_ctrl_c(frozen):
    session = frozen()
    session.send("hang")
    process = moving(session, "advance", "1h")
    session.server.wait_for("Ready")
    deadline = time.monotonic() + 10
    while not session.notes and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=5)
    assert process.returncode == 130, err
    assert session.state("show")["now"] == "2026-03-01T00:00:05Z"


def test_a_move_goes_on_when_its_client_goes_away(frozen):
    session = frozen(crons='["* * * * *"]')
    process = moving(session, "advance", "10h")
    session.server.wait_for("CRON", count=5)
    process.kill()
    process.communicate(timeout=5)
    session.server.wait_for("CLOCK moved 10 h ahead, to 2026-03-01T10:00:00Z", within=30)
    assert len(session.notes) == 600


def test_the_session_ends_in_the_middle_of_a_move(frozen):
    session = frozen(crons='["* * * * *"]')
    process = moving(session, "advance", "300d")
    session.server.wait_for("CRON", count=20)
    assert session.server.stop() < 2.5
    _, err = process.communicate(timeout=10)
    assert process.returncode != 0
    assert "Traceback" not in err
    assert "Traceback" not in session.server.output


def moving(session, *arguments):
    return warm_wpy.Popen(
        session.project.command("clock", *arguments),
        cwd=session.project.folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )


# A clock that is set --------------------------------------------------------------------------------------------------


def test_back_to_wall_time_brings_messages_and_crons_back(begin):
    session = begin(crons='["* * * * *"]', timeout=1)
    session.clock("advance", "12h")
    session.clock("freeze")
    fired = len(session.notes)
    assert fired >= 719
    session.send("from-the-future")
    mark = session.server.mark()
    done = session.clock("resume", "--wall-time")
    assert "1 message of queue jobs came at times that the clock has not reached: brought back." in done.out
    told = session.server.wait_for(
        r'Queue "jobs": 1 message\(s\) came at times that the clock has not reached.*', after=mark
    )
    assert "up to 11 h 59 min ahead" in told[0] or "up to 12 h" in told[0]
    session.server.wait_for("QUEUE jobs 1/1", after=mark, within=5)
    (next_run,) = session.project.wpy("cron", "list", "--json").json
    ahead = datetime.fromisoformat(next_run["next"]).timestamp() - time.time()
    assert -1 < ahead <= 61, "the crons are planned by the wall clock again"
    assert abs(session.state("show")["aheadMs"]) < 1_000


def test_a_message_that_was_delayed_in_the_future_is_told_of(begin):
    """It was sent now, and given back with twelve hours to wait when the clock was twelve hours ahead."""
    session = begin(retry_delay=43_200, timeout=0)
    session.send("fail")
    session.server.wait_for("QUEUE jobs 0/1")
    session.clock("advance", "12h1s")
    assert session.notes == ["jobs fail 1", "jobs fail 2"]
    mark = session.server.mark()
    done = session.clock("resume", "--wall-time")
    assert re.search(r"Next event: \S+ \(in 23 h 59 min\)\.", done.out)
    session.server.wait_for(r'Queue "jobs": its next message waits until \S+Z, as it was planned before', after=mark)
    assert "`wpy clock next` goes there" in session.server.output


def test_a_session_on_the_real_clock_after_one_in_the_future(begin):
    session = begin("--clock", "virtual", "--now", "2036-03-01T00:00:00Z")
    session.send("from-the-future")
    session.server.stop()
    server = session.project.start()
    server.wait_for(r'Queue "jobs": 1 message\(s\) came at times that the clock has not reached')
    server.wait_for("`wpy queues describe jobs` shows the queue")
    server.wait_for("QUEUE jobs 1/1", within=10)
    assert session.notes == ["jobs from-the-future 1"]


def test_a_clock_far_from_the_wall_is_told_of_when_there_are_messages(begin):
    session = begin("--clock", "virtual")
    session.send("now")
    session.server.stop()
    server = session.project.start("--clock", "virtual", "--now", START)
    server.wait_for(r"The clock starts .* the wall clock, and the 1 message\(s\) in this state folder go with it")
    server.stop()
    fresh = session.project.server("--clock", "virtual", "--now", START)
    fresh.command = [
        part if part != str(session.project.state) else str(session.project.folder / "own") for part in fresh.command
    ]
    fresh.start()
    assert fresh.find("The clock starts") == []


def test_a_jump_ahead_to_wall_time_misses_no_crons_in_words(frozen):
    """Years lie between: nobody asked for their ticks."""
    session = frozen(crons='["* * * * *"]')
    started = time.monotonic()
    session.clock("resume", "--wall-time")
    assert time.monotonic() - started < 5
    time.sleep(0.1)
    assert session.server.find("Missed") == []
    assert len(session.notes) <= 1


# HTTP beside it -------------------------------------------------------------------------------------------------------


def test_requests_are_served_while_the_clock_is_moved(frozen):
    session = frozen(crons='["* * * * *"]')
    process = moving(session, "advance", "20h")
    session.server.wait_for("CRON", count=5)
    assert session.server.get("/").text == "ok"
    assert process.wait(60) == 0
    assert len(session.notes) == 1_200
    process.communicate()


def test_the_address_is_the_sessions_own(frozen):
    session = frozen()
    assert urlsplit(session.server.url).hostname == "localhost"
    reply = session.server.post("/cdn-cgi/wpy/api/clock/advance", json={"by": "1h"})
    assert reply.status in (401, 403)
