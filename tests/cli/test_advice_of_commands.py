"""What commands say to somebody who does not know the next step yet."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from session_project import Project, environment

CODE = """
from workers import WorkerEntrypoint
import no_such_package
class Default(WorkerEntrypoint):
    async def fetch(self, request): ...
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "my project ü")


def test_an_invalid_cron_stands_with_the_other_problems(project: Project) -> None:
    project.code("")
    project.config('[triggers]\ncrons = ["*/1 * * * *", "0 0 * * 0", "* * * * *"]\n\n[[queues.consumers]]\nqueue = 3\n')
    refused = project.wpy("dev")
    assert refused.code == 1
    at = "at wrangler.toml:6  triggers.crons"
    cron = [
        "  - invalid cron string: 0 0 * * 0 [code: 10100]",
        f"    {at}[1]",
        "      0 0 * * 0",
        "              ^ day of week: values go from 1 (SUN) to 7 (SAT)",
        "    hint: Sunday is 1 or SUN: 0 0 * * SUN",
    ]
    assert "\n".join(cron) in refused.out, refused.out
    assert f"- duplicate cron found: * * * * * [code: 10100]\n    {at}[2]" in refused.out
    assert 'queues.consumers[0]" should have a string "queue" field' in refused.out
    project.config('[triggers]\ncrons = ["0 0 * * 0"]\n')
    report = project.wpy("doctor", "--json")
    [problem] = report.json["problems"]
    assert (report.code, problem["severity"], problem["stopsDeploy"], problem["line"]) == (1, "warning", True, 6)


def test_a_session_tells_a_refused_cron_once_with_its_place(project: Project) -> None:
    project.code("def scheduled(): ...\n")
    project.config('[triggers]\ncrons = ["0 0 * * 0"]\n')
    server = project.start("--port", "0")
    assert len(server.find("invalid cron string")) == 1
    assert server.find(r"at wrangler\.toml:6  triggers\.crons\[0\]")
    project.stop()


def test_what_is_missing_is_shown_in_the_syntax_of_the_config(project: Project) -> None:
    project.code("")
    project.config()
    assert (
        "The config has none. To have one, add [[kv_namespaces]] with binding = "
        in project.wpy("kv", "key", "list").err
    )
    (project.folder / "wrangler.toml").unlink()
    queues = '{"producers": [{"binding": "Q", "queue": "lone"}]}'
    project.write("wrangler.jsonc", f'{{"name": "app", "main": "src/entry.py", "queues": {queues}}}')
    refused = project.wpy("r2", "object", "get", "X/y")
    assert 'add {"binding": "NAME", "bucket_name": "X"} to r2_buckets.' in refused.err and refused.code == 1
    assert 'add {"queue": "lone"} to queues.consumers, or' in project.wpy("doctor").out
    assert '"triggers": {"crons": [' in project.wpy("cron", "list").out


def test_the_next_step_is_named(project: Project) -> None:
    project.code("")
    more = (
        '[[kv_namespaces]]\nbinding = "CACHE"\nid = "1"\n\n[[d1_databases]]\nbinding = "DB"\ndatabase_name = "shop"\n'
    )
    project.config(more + 'database_id = "d"\n[triggers]\ncrons = ["0 3 * * *"]\n')
    assert "There are: CACHE." in project.wpy("kv", "key", "list").err
    project.write("migrations/0001_a.sql", "CREATE TABLE orders (id);")
    lacking = project.wpy("d1", "execute", "shop", "--command", "SELECT * FROM orders")
    assert lacking.code == 1 and "no such table: orders" in lacking.err
    assert "1 migration of it waits to be applied: wpy d1 migrations apply shop" in lacking.err
    assert project.wpy("d1", "migrations", "apply", "shop").code == 0
    other = project.wpy("d1", "execute", "shop", "--command", "SELECT * FROM mails")
    assert "no such table: mails" in other.err and "migration" not in other.err
    assert "Did you mean 'trigger'?" in project.wpy("cron", "run").err
    listed = project.wpy("cron", "list").out
    assert "Next (UTC)" in listed and listed.splitlines()[0].count("Next") == 1


def test_a_date_in_another_form_is_written_out(project: Project) -> None:
    project.code("")
    project.config().write_text('name = "app"\nmain = "src/entry.py"\ncompatibility_date = "2026-3-1"\n')
    assert 'hint: write "2026-03-01"' in project.wpy("dev").out


def test_local_times_stand_beside_utc_where_they_differ(project: Project) -> None:
    command = project.command("cron", "next", "0 3 * * *", "-n", "1", "--after", "2026-03-01")
    for zone, header in (("UTC", ["UTC"]), ("JST-9", ["UTC", "Local", "(JST)"])):
        done = subprocess.run(command, env={**environment(), "TZ": zone}, capture_output=True, text=True, timeout=30)
        assert done.stdout.splitlines()[1].split() == header


def test_a_package_that_is_not_installed_is_named_with_what_installs_it(project: Project) -> None:
    project.config()
    project.code(CODE)
    project.write("requirements.txt", "no_such_package\n")
    server = project.start("--port", "0")
    server.wait_for(
        re.escape(f"{sys.executable} -m pip install no_such_package (or `-m pip install -r requirements.txt`)")
    )
    project.stop()


def test_tail_says_that_it_waits_for_a_session(project: Project) -> None:
    project.code("")
    project.config()
    process = subprocess.Popen(
        project.command("tail"), cwd=project.folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert re.fullmatch(
            r"No `wpy dev` session runs on \S.*state\. Waiting for one: start it with `wpy dev`.*\n", line
        )
    finally:
        process.kill()
        process.wait()
    assert project.wpy("tail", "--no-follow").err == ""
