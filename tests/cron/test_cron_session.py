"""`wpy cron trigger`, `backfill`, `pause`, `resume`, `history` and `list` with a running session, and without one."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
import warm_wpy
from session_project import Project, environment

WORKER = """
import asyncio
from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("ok")

    async def scheduled(self, controller, env, ctx):
        print("RAN", controller.cron, controller.scheduledTime)
        if controller.cron.startswith("6") or controller.scheduledTime == 1772326800000:
            controller.noRetry()
            raise ValueError("boom")
        if controller.cron.startswith("7"):
            await asyncio.sleep(0.05)
"""
NOON = 1_772_366_400_000  # 2026-03-01T12:00:00Z


@pytest.fixture
def project(session_project):
    session_project.config('[triggers]\ncrons = ["0 * * * *", "*/5 * * * *"]\n')
    session_project.code(WORKER)
    return session_project


@pytest.fixture
def frozen(project):
    """A session at noon whose clock stands still, so that nothing fires but by hand."""
    return project.start("--clock", "virtual", "--now", "2026-03-01T12:00:00Z")


@pytest.fixture
def two(tmp_path):
    """Two Workers, one cron in common."""
    made = Project(tmp_path / "two")
    for name, crons in (("first", '["0 * * * *"]'), ("second", '["0 * * * *", "5 * * * *"]')):
        made.config(f"[triggers]\ncrons = {crons}\n", name=name, file=f"{name}/wrangler.toml")
        made.code(WORKER, f"{name}/src/entry.py")
    made.both = ("-c", "first/wrangler.toml", "-c", "second/wrangler.toml", "--persist-to", str(made.state))
    made.session = made.start(*made.both[:4], "--clock", "virtual", "--now", "2026-03-01T12:00:00Z")
    yield made
    made.stop()


def ran(server, **options):
    """What the handler printed: (cron, scheduledTime) each."""
    return [(found[1], int(found[2])) for found in server.find(r"RAN (.*) (-?\d+)$", **options)]


# trigger --------------------------------------------------------------------------------------------------------------


class TestTrigger:
    def test_a_cron_of_the_config(self, project, frozen):
        done = project.wpy("cron", "trigger", "*/5 * * * *")
        assert (done.code, done.err) == (0, "")
        assert re.fullmatch(r"\*/5 \* \* \* \*  ok \(\d+ ms\)\n  \| RAN \*/5 \* \* \* \* 1772366400000\n", done.out)
        frozen.wait_for(r"^\[wrangler:info\] CRON \*/5 \* \* \* \* ok \(\d+ms\)$")

    def test_json_and_its_own_time(self, project, frozen):
        done = project.wpy("cron", "trigger", "0 * * * *", "--time", "2020-01-01T00:00:00Z", "--json")
        run = done.json
        assert done.code == 0
        assert run.pop("durationMs") < 5_000
        assert run == {
            "worker": "app",
            "cron": "0 * * * *",
            "scheduledTime": 1577836800000,
            "start": NOON,
            "outcome": "ok",
            "noRetry": False,
            "error": None,
            "trigger": "manual",
            "logs": [{"level": "log", "text": "RAN 0 * * * * 1577836800000"}],
        }

    def test_times(self, project, frozen):
        for text, time_ms in (
            ("1700000000000", 1700000000000),
            ("-9223372036854", -9223372036854),
            ("9223372036854", 9223372036854),
            ("1969-07-20T20:17:40Z", -14182940000),
            ("20260301", 1772323200000),
            ("2026-03-01T12:00:00+02:00", 1772359200000),
        ):
            done = project.wpy("cron", "trigger", "0 * * * *", f"--time={text}", "--json")
            assert (done.code, done.json["scheduledTime"]) == (0, time_ms)
            frozen.wait_for(f"RAN 0 .* {time_ms}$")

    @pytest.mark.parametrize(
        "text", ["9223372036855", "-9223372036855", "2262-04-12", "1500-01-01", "tomorrow", "9" * 5000]
    )
    def test_bad_times(self, project, text):
        done = project.wpy("cron", "trigger", "0 * * * *", f"--time={text}")
        assert (done.code, done.out) == (2, "")
        assert "--time" in done.err

    def test_an_outcome_that_is_not_ok_ends_with_1(self, project, frozen):
        done = project.wpy("cron", "trigger", "0 * * * *", "--time", "1772326800000")
        assert done.code == 1
        assert re.match(r"0 \* \* \* \*  exception \(\d+ ms, noRetry\)\n", done.out)
        assert "boom" in done.err
        done = project.wpy("cron", "trigger", "0 * * * *", "--time", "1772326800000", "--json")
        assert (done.code, done.json["outcome"], done.json["noRetry"]) == (1, "exception", True)
        assert "boom" in done.json["error"]

    def test_one_that_nobody_has_runs_with_a_warning(self, project, frozen):
        done = project.wpy("cron", "trigger", "*/5  * * * *")
        assert done.code == 0
        assert 'No cron of the session is written "*/5  * * * *". The nearest one is "*/5 * * * *".' in done.err
        assert project.wpy("cron", "trigger", "not a cron", "--json").json["cron"] == "not a cron"

    def test_all(self, project, frozen):
        done = project.wpy("cron", "trigger", "--all")
        assert done.code == 0
        frozen.wait_for(r"RAN \*/5")
        assert ran(frozen) == [("0 * * * *", NOON), ("*/5 * * * *", NOON)]
        done = project.wpy("cron", "trigger", "--all", "--time", "1772326800000", "--json")
        assert done.code == 1, "all of them run, and one failure is enough"
        assert [run["outcome"] for run in done.json] == ["exception", "exception"]

    def test_several_workers(self, two):
        def trigger(*arguments):
            return two.wpy("cron", "trigger", *two.both, *arguments)

        done = trigger("0 * * * *")
        assert done.code == 1
        assert "Several Workers have the cron 0 * * * *: first, second.\nChoose one with --worker NAME." in done.err
        assert trigger("0 * * * *", "--worker", "second", "--json").json["worker"] == "second"
        assert trigger("5 * * * *", "--json").json["worker"] == "second"
        assert [run["worker"] for run in trigger("--all", "--json").json] == ["first", "second", "second"]
        assert [run["worker"] for run in trigger("--all", "--worker", "second", "--json").json] == ["second", "second"]
        done = trigger("0 * * * *", "--worker", "third")
        assert (done.code, done.out) == (1, "")
        assert 'There is no Worker "third" in the session. There are: first, second.' in done.err

    @pytest.mark.parametrize("arguments", [(), ("0 * * * *", "--all")])
    def test_an_expression_or_all(self, project, arguments):
        done = project.wpy("cron", "trigger", *arguments)
        assert done.code == 2
        assert "Give an expression, or --all" in done.err

    def test_without_a_session(self, project):
        for command in (["trigger", "0 * * * *"], ["trigger", "--all"], ["pause"], ["resume"]):
            done = project.wpy("cron", *command)
            assert (done.code, done.out) == (1, "")
            assert f"No `wpy dev` session runs on {project.state}." in done.err
            assert "Start one with `wpy dev`" in done.err
        assert not project.state.exists(), "asking leaves nothing behind"

    def test_broken_code_is_an_outcome(self, project):
        project.code("def broken(:")
        project.start("--no-cron")
        done = project.wpy("cron", "trigger", "0 * * * *")
        assert done.code == 1
        assert "SyntaxError" in done.err

    def test_several_sessions_on_one_state(self, project, frozen):
        other = project.write(
            "other/wrangler.toml", (project.folder / "wrangler.toml").read_text().replace("app", "other")
        )
        project.code(WORKER, "other/src/entry.py")
        second = project.start("-c", str(other), "--no-cron")
        done = project.wpy("cron", "trigger", "0 * * * *")
        assert done.code == 1
        assert frozen.url in done.err and second.url in done.err and "--session PORT" in done.err
        port = second.url.rpartition(":")[2]
        assert project.wpy("cron", "trigger", "0 * * * *", "--session", port, "--json").json["worker"] == "other"
        done = project.wpy("clock", "show", "--session", "1")
        assert (done.code, "listens on port 1" in done.err) == (1, True)


# backfill -------------------------------------------------------------------------------------------------------------


class TestBackfill:
    def test_every_slot_in_order_with_its_own_time(self, project, frozen):
        done = project.wpy("cron", "backfill", "*/5 * * * *", "--from", "2026-02-01T00:05", "--to", "2026-02-01T00:20")
        assert (done.code, done.out) == (0, "3 runs of */5 * * * *: 3 ok\n")
        frozen.wait_for(r"RAN .* 1769904900000$")
        assert ran(frozen) == [("*/5 * * * *", 1769904300000 + 300_000 * slot) for slot in range(3)]
        history = project.wpy("cron", "history", "--json").json
        assert [run["trigger"] for run in history] == ["backfill"] * 3
        assert {run["start"] for run in history} == {NOON}

    def test_failures_stop_nothing(self, project, frozen):
        asked = ("cron", "backfill", "0 * * * *", "--from", "2026-03-01", "--to", "2026-03-01T03:00")
        done = project.wpy(*asked)
        assert done.code == 1
        assert done.out == "3 runs of 0 * * * *: 2 ok, 1 exception\n"
        assert "Sun 2026-03-01 01:00 exception: ValueError: boom" in done.err
        done = project.wpy(*asked, "--json")
        assert (done.code, done.json["worker"], done.json["slots"]) == (1, "app", 3)
        assert [run["outcome"] for run in done.json["runs"]] == ["ok", "exception", "ok"]

    def test_dry_run_needs_no_session_and_runs_nothing(self, project):
        asked = ("cron", "backfill", "*/5 * * * *", "--from", "2026-02-01", "--to", "2026-02-02", "--dry-run")
        done = project.wpy(*asked)
        assert (done.code, done.lines[0]) == (0, "*/5 * * * * of app: 288 runs")
        assert done.lines[1] == "  Sun 2026-02-01 00:00"
        assert done.lines[11] == "  ... and 268 more ..."
        assert done.lines[-1] == "  Sun 2026-02-01 23:55"
        found = project.wpy(*asked, "--json").json
        assert (len(found["slots"]), found["slots"][1]) == (288, "2026-02-01T00:05:00Z")
        assert not project.state.exists()

    def test_dry_run_with_a_session(self, project, frozen):
        mark = frozen.mark()
        done = project.wpy(
            "cron", "backfill", "0 * * * *", "--from", "2026-02-01", "--to", "2026-02-01T02", "--dry-run"
        )
        assert done.lines == ["0 * * * * of app: 2 runs", "  Sun 2026-02-01 00:00", "  Sun 2026-02-01 01:00"]
        assert frozen.find("CRON|RAN", after=mark) == []

    def test_more_than_a_thousand_are_asked_about(self, project, frozen):
        asked = ("cron", "backfill", "*/5 * * * *", "--from", "2026-01-01", "--to", "2026-02-01")
        done = project.wpy(*asked)
        assert (done.code, done.out) == (1, "")
        assert "This runs */5 * * * * 8,928 times.\nAdd --yes if that is meant." in done.err
        assert ran(frozen) == []

    def test_the_question_on_a_terminal(self, project, frozen):
        asked = project.command("cron", "backfill", "*/5 * * * *", "--from", "2026-01-01", "--to", "2026-01-05")
        code, out = on_a_terminal(asked, project.folder, "n\n")
        assert code == 1
        assert "1,152 times. Go on? [y/N]" in out and "Nothing was run." in out
        assert ran(frozen) == []
        code, out = on_a_terminal(asked, project.folder, "y\n")
        assert code == 0, out
        assert "1,152 runs of */5 * * * *: 1,152 ok" in out
        assert "1152/1152" in out, "progress is shown"

    def test_a_million_are_refused_whatever_is_said(self, project):
        project.config('[triggers]\ncrons = ["* * * * *"]\n')
        for more in (("--yes",), ("--dry-run",), ("--yes", "--dry-run")):
            asked = ("cron", "backfill", "* * * * *", "--from", "2020-01-01", "--to", "2022-01-01", *more)
            done = project.wpy(*asked)
            assert done.code == 1
            assert "--dry-run" not in more or "There are more than 1,000,000 slots." in done.err

    def test_only_crons_of_the_config_unless_any(self, project, frozen):
        asked = ("cron", "backfill", "6 * * * *", "--from", "2026-01-01", "--to", "2026-01-01T01")
        done = project.wpy(*asked)
        assert (done.code, done.out) == (1, "")
        assert 'No cron of the session is written "6 * * * *".' in done.err
        assert "Production would not fire it; --any runs it." in done.err
        done = project.wpy(*asked, "--any")
        assert (done.code, done.out) == (1, "1 run of 6 * * * *: 1 exception\n")

    @pytest.mark.parametrize(
        ("arguments", "code", "told"),
        [
            (
                ("0 * * * *", "--from", "2026-02-01", "--to", "2026-01-01"),
                2,
                "2026-01-01 is not later than --from 2026-02-01",
            ),
            (("0 * * * *", "--from", "2026-02-01", "--to", "2026-02-01"), 2, "is not later than"),
            (("0 * * * *", "--from", "yesterday", "--to", "2026-01-01"), 2, "'yesterday' is not a time"),
            (("0 * * * *", "--from", "2026-01-01"), 2, "--to"),
            (("0 * * * *", "--from", "2026-01-01", "--to", "3000-01-01"), 2, "out of range"),
            (
                ("0 0 * * 0", "--from", "2026-01-01", "--to", "2026-02-01"),
                1,
                "        ^ day of week: values go from 1 (SUN)",
            ),
        ],
    )
    def test_bad_input(self, project, arguments, code, told):
        done = project.wpy("cron", "backfill", *arguments)
        assert (done.code, done.out) == (code, "")
        assert told in done.err

    def test_a_span_without_a_slot(self, project, frozen):
        done = project.wpy("cron", "backfill", "0 * * * *", "--from", "2026-01-01T00:01", "--to", "2026-01-01T00:59")
        assert done.code == 0
        assert done.out == "0 * * * * has no slot from 2026-01-01T00:01:00Z up to 2026-01-01T00:59:00Z.\n"

    def test_ctrl_c_says_where_to_go_on(self, project, frozen):
        asked = ("cron", "backfill", "7 * * * *", "--any", "--from", "2026-01-01", "--to", "2026-02-01")
        process = start(project, *asked)
        frozen.wait_for("RAN 7", count=3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 130, err
        stopped = re.search(r"Stopped with (\d+) of 744 slots left", err)
        assert stopped and "Go on with --from 2026-01-01T" in err and "--to 2026-02-01T00:00:00Z" in err
        done = int(re.search(r"(\d+) runs? of 7", out)[1])
        assert done + int(stopped[1]) == 744
        time.sleep(0.2)
        assert len(ran(frozen)) <= done + 1, "the one that ran ends, and no other begins"

    def test_a_session_that_ends_meanwhile(self, project, frozen):
        asked = ("cron", "backfill", "7 * * * *", "--any", "--from", "2026-01-01", "--to", "2026-02-01")
        process = start(project, *asked)
        frozen.wait_for("RAN 7", count=3)
        frozen.stop()
        _, err = process.communicate(timeout=20)
        assert process.returncode == 1
        assert ("does not answer" in err or "canceled" in err) and "Go on with --from 2026-01-01T" in err


# pause, resume --------------------------------------------------------------------------------------------------------


def test_pause_and_resume(project, frozen):
    assert project.wpy("cron", "pause").out == "Crons are paused: ticks pass by until `wpy cron resume`.\n"
    frozen.wait_for("CRON paused: ticks pass by until `wpy cron resume`")
    assert project.wpy("cron", "pause").out == "Crons were paused already.\n"
    assert "Crons are paused in the session" in project.wpy("cron", "list").err
    assert project.wpy("clock", "advance", "11m").code == 0
    assert ran(frozen) == []
    assert len(frozen.find(r"CRON \*/5 \* \* \* \* skipped \(paused\)")) == 2
    assert project.wpy("cron", "trigger", "0 * * * *").code == 0, "by hand they run all the same"
    assert project.wpy("cron", "resume", "--json").json == {"paused": False, "changed": True, "on": True}
    frozen.wait_for("CRON resumed")
    assert project.wpy("cron", "resume").out == "Crons were not paused.\n"
    mark = frozen.mark()
    assert project.wpy("clock", "advance", "5m").code == 0
    assert ran(frozen, after=mark) == [("*/5 * * * *", NOON + 15 * 60_000)], "what passed by does not come back"


def test_a_session_that_fires_none(project):
    server = project.start("--no-cron", "--clock", "virtual", "--now", "2026-03-01T12:00:00Z")
    assert project.wpy("clock", "advance", "2h").code == 0
    assert ran(server) == []
    for command in ("pause", "resume", "list"):
        assert "--no-cron" in project.wpy("cron", command).err
    assert project.wpy("cron", "trigger", "0 * * * *").code == 0


# history, list --------------------------------------------------------------------------------------------------------


def test_history_with_and_without_a_session(project, frozen):
    assert project.wpy("cron", "history").out == "No cron has run here yet. `wpy cron trigger` runs one.\n"
    assert project.wpy("cron", "history", "--json").json == []
    project.wpy("clock", "advance", "65m")
    project.wpy("cron", "trigger", "6 * * * *", "--time", "1772326800000")
    running = project.wpy("cron", "history", "--json").json
    assert [run["trigger"] for run in running] == ["manual"] + ["clock"] * 14
    last = running[0]
    assert (last["worker"], last["cron"], last["scheduledTime"]) == ("app", "6 * * * *", 1772326800000)
    assert (last["start"], last["outcome"], last["noRetry"]) == (NOON + 65 * 60_000, "exception", True)
    assert "boom" in last["error"]
    assert {"level": "log", "text": "RAN 6 * * * * 1772326800000"} in last["logs"]
    assert {(run["cron"], run["scheduledTime"]) for run in running[1:]} == {
        ("0 * * * *", NOON + 3_600_000),
        *(("*/5 * * * *", NOON + minute * 60_000) for minute in range(5, 70, 5)),
    }
    frozen.stop()
    assert project.wpy("cron", "history", "--json").json == running
    table = project.wpy("cron", "history", "-n", "2")
    assert table.code == 0
    assert re.match(
        r"Scheduled \(UTC\) +Worker +Cron +Outcome +Took +Started +Error\n"
        r"Sun 2026-03-01 01:00  app     6 \* \* \* \*    exception \(noRetry\)  \d+ ms +manual +.*boom\n"
        r"Sun 2026-03-01 13:05  app     \*/5 \* \* \* \*  ok +\d+ ms +\+0.0 s\n$",
        table.out,
    )
    assert project.wpy("cron", "history", "--worker", "other", "--json").json == []


def test_the_last_hundred_are_kept(project, frozen):
    asked = ("cron", "backfill", "*/5 * * * *", "--from", "2026-01-01", "--to", "2026-01-01T10:00")
    assert project.wpy(*asked).code == 0
    runs = project.wpy("cron", "history", "--json").json
    assert len(runs) == 100
    assert runs[0]["scheduledTime"] - runs[-1]["scheduledTime"] == 99 * 300_000


def test_list_goes_by_the_clock_of_the_session(project, frozen):
    project.wpy("cron", "trigger", "0 * * * *", "--time", "1772326800000")
    hourly, often = project.wpy("cron", "list", "--json").json
    assert (hourly["next"], often["next"]) == ("2026-03-01T13:00:00Z", "2026-03-01T12:05:00Z")
    assert (hourly["lastRun"]["outcome"], often["lastRun"]) == ("exception", None)
    assert "Sun 2026-03-01 13:00" in project.wpy("cron", "list").out
    frozen.stop()
    assert not project.wpy("cron", "list", "--json").json[0]["next"].startswith("2026-03-01T1")


def test_crons_of_a_changed_config(project, frozen):
    assert project.wpy("cron", "trigger", "--all").code == 0  # which takes longer than the watching needs to begin
    project.config('[triggers]\ncrons = ["30 * * * *"]\n')
    frozen.wait_for("Config changed and applied")
    assert project.wpy("cron", "trigger", "--all", "--json").json[0]["cron"] == "30 * * * *"


def test_runs_are_told_with_what_they_need(project, frozen):
    """The control API itself, as an editor would use it."""
    done = project.wpy("clock", "next", "--json")
    assert done.json["fired"] == "2026-03-01T12:05:00Z"
    frozen.wait_for(r"^\[wrangler:info\] CRON \*/5 \* \* \* \* ok \(\d+ms\)$")
    (run,) = project.wpy("cron", "history", "--json").json
    assert (run["scheduledTime"], run["start"]) == (NOON + 300_000, NOON + 300_000)


def start(project, *arguments):
    return warm_wpy.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )


def on_a_terminal(command, folder, typed):
    """Exit code and output of a command that is run on a terminal, on which `typed` is typed."""
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(command[0], command, {**environment(), "TERM": "xterm"})
    os.write(terminal, typed.encode())
    output = b""
    try:
        while piece := os.read(terminal, 65_536):
            output += piece
    except OSError:  # the other end was closed
        pass
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), output.decode("utf-8", "replace")


def test_json_is_json(project, frozen):
    """Every command's --json can be read, whatever else is said on standard error."""
    for command in (
        ("trigger", "0 * * * *"),
        ("trigger", "--all"),
        ("backfill", "0 * * * *", "--from", "2026-01-01", "--to", "2026-01-02"),
        ("pause",),
        ("resume",),
        ("history",),
        ("list",),
    ):
        done = project.wpy("cron", *command, "--json")
        json.loads(done.out)
        assert done.code == 0
