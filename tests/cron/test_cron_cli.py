"""`wpy cron` from outside, as a process."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import warm_wpy

from wrangler_py.cron.runs import RunRecord, RunTable
from wrangler_py.store.database import open_store

VECTORS = [json.loads(line) for line in (Path(__file__).parent / "vectors.jsonl").read_text().splitlines()]
CONFIG = """
name = "w"
main = "src/entry.py"
compatibility_date = "2026-01-01"
compatibility_flags = ["python_workers"]
[triggers]
crons = %s
"""


def wpy(*arguments, cwd=None, stdin=b"", **environment):
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    done = warm_wpy.run(
        [sys.executable, "-m", "wrangler_py", "cron", *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        timeout=60,
        env={**env, "TZ": "UTC", "COLUMNS": "200", **environment},
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def project(tmp_path):
    def make(*crons, folder="."):
        root = tmp_path / folder
        (root / "src").mkdir(parents=True)
        (root / "src" / "entry.py").write_text("")
        (root / "wrangler.toml").write_text(CONFIG % json.dumps(list(crons)))
        return root

    return make


class TestNext:
    def test_table_words_and_warnings(self):
        code, out, err = wpy("next", "0 10 * * 2#2", "-n", "3", "--after", "2026-01-01", TZ="Europe/Berlin")
        assert code == 0
        assert out.splitlines() == [
            "0 10 * * 2#2  At 10:00 UTC on the second Monday of the month",
            "UTC                   Local (CET)",
            "Mon 2026-01-12 10:00  Mon 2026-01-12 11:00",
            "Mon 2026-02-09 10:00  Mon 2026-02-09 11:00",
            "Mon 2026-03-09 10:00  Mon 2026-03-09 11:00",
            "",
        ]
        assert err.startswith("▲ [WARNING] weekday 2#2 is MON#2: ")

    def test_json(self):
        code, out, _ = wpy("next", "0 10 * * MON#2", "-n", "2", "--after", "2026-01-01T00:00:00Z", "--json")
        assert code == 0
        assert json.loads(out) == {
            "expr": "0 10 * * MON#2",
            "ok": True,
            "next": ["2026-01-12T10:00:00Z", "2026-02-09T10:00:00Z"],
            "words": "At 10:00 UTC on the second Monday of the month",
            "warnings": [],
        }

    def test_refused(self):
        code, out, err = wpy("next", "0 0 * * 0")
        assert (code, out) == (1, "")
        assert err.splitlines() == [
            "✘ [ERROR] invalid cron string: 0 0 * * 0 [code: 10100]",
            "  0 0 * * 0",
            "          ^ day of week: values go from 1 (SUN) to 7 (SAT)",
            "  Sunday is 1 or SUN: 0 0 * * SUN",
        ]
        code, out, _ = wpy("next", "0 0 * * 0", "--json")
        assert code == 1
        assert json.loads(out)["ok"] is False

    def test_never(self):
        code, out, err = wpy("next", "0 0 31 2 *")
        assert code == 0
        assert "Never" in out
        assert "never fires" in err

    def test_dialect(self):
        asked = ("next", "0 0 * * SAT-SUN", "-n", "1", "--after", "2026-01-01", "--json")
        assert json.loads(wpy(*asked)[1])["next"] == ["2026-01-03T00:00:00Z"]
        assert json.loads(wpy(*asked, "--dialect", "published")[1])["next"] == ["2026-01-02T00:00:00Z"]

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["--after", "tomorrow"], "'tomorrow' is not a time like 2026-03-01T00:00:00Z"),
            (["-n", "0"], "-n"),
            (["--dialect", "quartz"], "is not one of intended, published"),
        ],
    )
    def test_bad_options(self, arguments, told):
        code, _, err = wpy("next", "* * * * *", *arguments)
        assert code == 2
        assert told in err

    def test_of_the_config(self, project):
        code, out, _ = wpy("next", "--after", "2026-01-01", "-n", "1", cwd=project("0 1 * * *", "0 2 * * *"))
        assert code == 0
        assert "Thu 2026-01-01 01:00" in out and "Thu 2026-01-01 02:00" in out

    @pytest.mark.parametrize("vector", [VECTORS[at] for at in range(7, len(VECTORS), len(VECTORS) // 21)])
    def test_twenty_of_the_vectors_one_by_one(self, vector):
        code, out, err = wpy("next", vector["expr"], "--after", vector.get("after", "2026-01-01"), "-n", "5", "--json")
        answer = json.loads(out)
        assert (code, err, answer["ok"]) == (0 if vector["ok"] else 1, "", vector["ok"])
        if vector["ok"]:
            assert answer["next"] == [time + ":00Z" for time in vector["times"]]
        else:
            assert answer["error"] == f"invalid cron string: {vector['expr']}"

    def test_the_second_monday(self):
        code, out, _ = wpy("next", "0 10 * * MON#2", "-n", "3", "--after", "2026-02-27T23:59:30Z")
        assert code == 0
        utc = [line[:20] for line in out.splitlines()[2:5]]
        assert utc == ["Mon 2026-03-09 10:00", "Mon 2026-04-13 10:00", "Mon 2026-05-11 10:00"]


class TestJsonLines:
    def test_every_vector(self):
        """One answer a line, in order, whatever was asked."""
        lines = [
            json.dumps({"expr": vector["expr"], "after": vector.get("after", "2026-01-01"), "n": 5})
            for vector in VECTORS
        ]
        code, out, _ = wpy("next", "-", "--json", stdin="\n".join(lines).encode())
        assert code == 0
        answers = [json.loads(line) for line in out.splitlines()]
        for vector, answer in zip(VECTORS, answers, strict=True):
            if vector["ok"]:
                times = [time + ":00Z" for time in vector["times"]]
                assert answer == {"expr": vector["expr"], "ok": True, "next": times}
            else:
                assert (answer["expr"], answer["ok"]) == (vector["expr"], False)
                assert answer["error"] == f"invalid cron string: {vector['expr']}"

    def test_a_broken_line_is_answered_and_the_next_one_too(self):
        broken = [
            b"not json",
            b"",
            b"[]",
            b'{"expr": 5}',
            b"{}",
            b"\xff\xfe",
            b'{"expr": "* * * * *", "after": "soon"}',
            b'{"expr": "* * * * *", "after": 5}',
            b'{"expr": "* * * * *", "n": -1}',
            b'{"expr": "* * * * *", "n": true}',
            b'{"expr": "* * * * *", "n": 1000000}',
            b'{"expr": "* * * * *", "dialect": "quartz"}',
            b"[" * 100_000,
            b'{"expr": "\\ud800 * * * *"}',
        ]
        good = b'{"expr": "0 0 1 * *", "after": "2026-01-15T12:00:00+02:00", "n": 1}'
        code, out, err = wpy("next", "-", stdin=b"\n".join([*broken, good]) + b"\n")
        answers = [json.loads(line) for line in out.splitlines()]
        assert (code, err) == (0, "")
        assert [answer["ok"] for answer in answers] == [False] * len(broken) + [True]
        assert all(answer["error"] for answer in answers[:-1])
        assert answers[-1]["next"] == ["2026-02-01T00:00:00Z"]

    def test_each_answer_is_written_at_once(self):
        with subprocess.Popen(
            [sys.executable, "-m", "wrangler_py", "cron", "next", "-", "--json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            for day in (1, 2):
                process.stdin.write(f'{{"expr": "0 0 {day} * *", "after": "2026-01-15", "n": 1}}\n'.encode())
                process.stdin.flush()
                assert json.loads(process.stdout.readline())["next"] == [f"2026-02-0{day}T00:00:00Z"]
            process.stdin.close()
            assert process.wait(10) == 0

    def test_a_reader_that_goes_away_is_no_error(self):
        process = subprocess.Popen(
            [sys.executable, "-m", "wrangler_py", "cron", "next", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        process.stdout.close()
        _, err = process.communicate(b'{"expr": "* * * * *"}\n' * 1000, timeout=30)
        assert (process.returncode, err) == (0, b"")


class TestCheck:
    def test_good(self):
        code, out, err = wpy("check", "*/5 * * * *", "0 10 * * MON#2")
        assert (code, err) == (0, "")
        assert out.splitlines() == [
            "*/5 * * * *  Every 5 minutes",
            "0 10 * * MON#2  At 10:00 UTC on the second Monday of the month",
        ]

    def test_warnings_do_not_fail(self):
        code, _, err = wpy("check", "0 0 * * 1-5")
        assert code == 0
        assert "▲ [WARNING] 0 0 * * 1-5: weekday 1-5 is SUN,MON,TUE,WED,THU" in err

    def test_refused_and_doubled(self):
        code, out, err = wpy("check", "* * * * *", "*/1 * * * *", "@daily")
        assert code == 1
        assert out == "* * * * *  Every minute\n"
        assert "✘ [ERROR] duplicate cron found: */1 * * * * [code: 10100]" in err
        assert "✘ [ERROR] invalid cron string: @daily [code: 10100]" in err
        assert "@daily is: 0 0 * * *" in err

    def test_an_empty_expression_is_one(self):
        code, _, err = wpy("check", "")
        assert code == 1
        assert "invalid cron string:  [code: 10100]" in err

    def test_json(self):
        code, out, err = wpy("check", "0 0 * * 1", "60 * * * *", "0 0 * * SUN", "--json")
        assert (code, err) == (1, "")
        good, bad, double = json.loads(out)
        assert (good["ok"], good["words"], good["warnings"][0]["kind"]) == (
            True,
            "At 00:00 UTC on Sunday",
            "weekday-digits",
        )
        assert bad["error"] == "invalid cron string: 60 * * * *"
        assert (bad["code"], bad["field"], bad["start"], bad["end"]) == (10100, "minute", 0, 2)
        assert double == {
            "expr": "0 0 * * SUN",
            "ok": False,
            "error": "duplicate cron found: 0 0 * * SUN",
            "code": 10100,
        }

    def test_the_config(self, project):
        root = project("0 0 * * 0", *[f"{minute} * * * *" for minute in range(6)])
        code, _, err = wpy("check", cwd=root)
        assert code == 1
        assert "invalid cron string: 0 0 * * 0 [code: 10100]" in err
        assert "7 cron triggers; the Workers Free plan allows 5 per account" in err
        assert "cron triggers;" not in wpy("check", "--plan", "paid", cwd=root)[2]

    def test_several_workers_are_named_and_may_share_an_expression(self, project):
        first, second = project("* * * * *", folder="a"), project("* * * * *", folder="b")
        text = (second / "wrangler.toml").read_text()
        (second / "wrangler.toml").write_text(text.replace('name = "w"', 'name = "v"'))
        code, out, err = wpy("check", "-c", str(first / "wrangler.toml"), "-c", str(second / "wrangler.toml"))
        assert (code, err) == (0, "")
        assert out.splitlines() == ["[w] * * * * *  Every minute", "[v] * * * * *  Every minute"]

    def test_no_config_and_no_crons(self, project, tmp_path):
        code, _, err = wpy("check", cwd=tmp_path)
        assert code == 1
        assert "No wrangler.json, wrangler.jsonc or wrangler.toml was found" in err
        code, _, err = wpy("check", cwd=project())
        assert code == 1
        assert "The config has no crons." in err

    def test_colour_is_for_those_who_want_it(self):
        assert "\x1b[" in wpy("check", "* * * * 0", FORCE_COLOR="1")[2]
        assert "\x1b[" not in wpy("check", "* * * * 0", FORCE_COLOR="1", NO_COLOR="1")[2]
        assert "\x1b[" not in wpy("check", "* * * * 0")[2]

    def test_a_terminal_is_not_at_the_mercy_of_an_expression(self):
        code, out, err = wpy("check", "\x1b[2J * * * *")
        assert code == 1
        assert "\x1b" not in out + err


class TestList:
    def test_table(self, project):
        root = project("0 3 * * *", "0 0 * * 0", "0 0 31 2 *")
        code, out, err = wpy("list", cwd=root)
        header, *rows = out.splitlines()
        assert code == 0
        assert header.split("  ")[0] == "Worker"
        assert "At 03:00 UTC every day" in rows[0] and " 03:00" in rows[0]
        assert "refused by Cloudflare" in rows[1]
        assert "never" in rows[2]
        assert "invalid cron string: 0 0 * * 0" in err
        assert not (root / ".wpy").exists(), "looking leaves no state behind"

    def test_json_with_the_last_run(self, project):
        root = project("0 3 * * *", "0 0 * * 0")
        state = root / ".wpy" / "state"
        run = RunRecord("w", "0 3 * * *", 10_800_000, 10_800_005, 7, "exception", True, "boom")
        asyncio.run(_note(state, run))
        code, out, _ = wpy("list", "--json", cwd=root)
        assert code == 0
        first, second = json.loads(out)
        assert (first["worker"], first["expr"], first["ok"]) == ("w", "0 3 * * *", True)
        assert first["words"] == "At 03:00 UTC every day"
        assert first["next"].endswith("T03:00:00Z")
        assert first["lastRun"] == run.as_json()
        assert (second["ok"], second["lastRun"]) == (False, None)
        assert "exception" in wpy("list", cwd=root)[1]

    def test_no_crons(self, project):
        code, out, _ = wpy("list", cwd=project())
        assert code == 0
        assert "The config has no crons." in out


async def _note(folder, run):
    store = open_store(folder)
    table = RunTable(store)
    table.prepare()
    await table.add(run)
    store.close()


def test_help_and_a_mistyped_command():
    code, out, _ = wpy()
    assert code == 0
    assert all(name in out for name in ("next", "check", "list"))
    code, _, err = wpy("chekc", "* * * * *")
    assert code == 2
    assert "Did you mean 'check'?" in err


def test_importing_the_commands_is_cheap():
    """Nothing heavy is loaded before a command needs it."""
    code = "import sys; from wrangler_py.cli import cron_backfill, cron_explain, cron_runs; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.decode().split()
    heavy = {"croniter", "rich", "starlette", "uvicorn", "watchfiles", "json5", "sqlite3", "asyncio"}
    assert heavy.isdisjoint(loaded)
