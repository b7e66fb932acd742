"""`wpy init`, `wpy doctor`, `wpy state` and `wpy runs`, as a person uses them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from js_project import node_modules

from tests.cli.conftest import Project
from wrangler_py.cli.init import TEMPLATES

pytestmark = pytest.mark.timeout(300)

PYTHON_TEMPLATES = [name for name in TEMPLATES if name != "ts"]


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Plain `pytest`, with no plugin but wpy's and those that it finds, as a new user has it."""
    outer = {name for name in os.environ if name.startswith(("PYTEST_", "COV_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in outer},
        capture_output=True,
        text=True,
        timeout=100,
    )


def make(project: Project, template: str) -> Path:
    done = project.wpy("init", f"my-{template}", "--template", template, "--json")
    folder = project.root / f"my-{template}"
    assert (done.json["name"], done.json["folder"]) == (f"my-{template}", str(folder))
    for file in ("wrangler.toml", "src/entry.py", "README.md", "pyproject.toml", ".gitignore"):
        assert file in done.json["files"]
        assert "{{" not in (folder / file).read_text()
    return folder


def test_the_tests_of_a_new_project_pass(project: Project) -> None:
    # With no plugin that runs async tests, as a new user has it.
    finished = run_pytest(make(project, "dlq"), "-p", "no:asyncio", "-p", "no:anyio")
    assert finished.returncode == 0 and "4 passed" in finished.stdout, finished.stdout + finished.stderr
    assert not list(project.root.rglob(".wpy")), "tests leave no state behind"


def test_the_tests_of_several_projects_pass_in_one_run(project: Project) -> None:
    for template in PYTHON_TEMPLATES:
        make(project, template)
    finished = run_pytest(project.root)
    assert finished.returncode == 0 and "15 passed" in finished.stdout, finished.stdout + finished.stderr


def test_the_tests_of_a_typescript_project_pass(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = node_modules()
    for tool in ("workerd", "esbuild"):
        monkeypatch.setenv(f"WPY_{tool.upper()}", str(modules / tool / "bin" / tool))
    assert project.wpy("init", "my-ts", "--template", "ts").code == 0
    finished = run_pytest(project.root / "my-ts")
    assert finished.returncode == 0 and "2 passed" in finished.stdout, finished.stdout + finished.stderr


def test_a_project_is_not_written_over_another(project: Project) -> None:
    (project.root / "wrangler.toml").write_text("")
    refused = project.wpy("init")
    assert refused.code == 1
    assert "has wrangler.toml already, and nothing was written" in refused.err and "--force" in refused.err
    assert project.files() == ["wrangler.toml"]
    assert project.wpy("init", "--force").code == 0
    unknown = project.wpy("init", "x", "--template", "nope")
    assert unknown.code == 2 and "There are: queue, cron, dlq, pipeline, durable-object, ts" in " ".join(
        unknown.err.split()
    )
    unnamed = project.wpy("init", "___")
    assert unnamed.code == 2 and "--name" in unnamed.err
    assert project.wpy("init", "ts-app", "-t", "ts").code == 0
    assert (project.root / "ts-app" / "src" / "index.ts").is_file()


def test_doctor_shows_every_setting_and_where_it_stands(project: Project) -> None:
    project.toml(
        '\n[vars]\nA = "1"\n\n[[queues.producers]]\nqueue = "lone"\nbinding = "LONE"\n\n[[queues.consumers]]\nqueue = "q"\nmax_retries = 7\n'
    )
    project.write(".dev.vars", "# secret\nA=2\n")
    report = project.wpy("doctor", "--json").json
    settings = {setting["name"]: setting for setting in report["settings"]}
    retries = settings["consumer q: max_retries"]
    assert (retries["value"], retries["source"], retries["default"]) == (7, "wrangler.toml:15", 3)
    size = settings["consumer q: max_batch_size"]
    assert (size["value"], size["source"], size["default"]) == (10, "default", 10)
    assert (settings["vars.A"]["value"], settings["vars.A"]["source"]) == ("(hidden)", ".dev.vars:2")
    texts = " ".join(finding["text"] for finding in report["findings"])
    assert 'Nobody here consumes queue "lone"' in texts
    assert 'Queue "q" has no dead letter queue: a message that fails 8 times is deleted.' in texts
    assert "Cloudflare runs compatibility date 2026-01-01 on Python 3.13" in texts or sys.version_info[:2] == (3, 13)
    shown = project.wpy("doctor")
    assert shown.code == 0 and "consumer q: max_retries" in shown.out and "wrangler.toml:15" in shown.out


@pytest.mark.parametrize(
    ("date", "flag", "python"),
    [
        ("2026-01-01", "python_workers_314", "3.14"),
        ("2026-09-08", "no_python_workers_314", "3.13"),
        ("2025-09-28", "no_python_workers_314", "3.12"),
    ],
)
def test_doctor_knows_the_python_that_a_flag_chooses(project: Project, date: str, flag: str, python: str) -> None:
    project.write("src/entry.py", "")
    flags = f'compatibility_flags = ["python_workers", "{flag}"]'
    project.write("wrangler.toml", f'name = "w"\nmain = "src/entry.py"\ncompatibility_date = "{date}"\n{flags}\n')
    texts = project.wpy("doctor", "--json").out
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert (f"Cloudflare runs compatibility date {date} on Python {python}; here it is {here}." in texts) == (
        here != python
    )
    assert texts.count("Cloudflare runs compatibility date") == (here != python)


def test_doctor_fails_when_the_workers_cannot_run(project: Project) -> None:
    project.toml('[[queues.consumers]]\nqueue = "q"\nmax_batch_size = 1000\n')
    broken = project.wpy("doctor", "--json")
    report = json.loads(broken.out)
    assert broken.code == 1 and report["ok"] is False
    assert report["problems"][0]["field"] == "queues.consumers[0].max_batch_size"
    project.toml('[triggers]\ncrons = ["0 0 * * 0"]\n')
    refused = project.wpy("doctor")
    assert refused.code == 1 and "invalid cron string: 0 0 * * 0" in refused.out and "0 0 * * SUN" in refused.out
    project.wpy("init", "--force", "-t", "ts", "--name", "x")
    (project.root / "wrangler.toml").unlink()
    lacking = project.wpy("doctor", env={"PATH": "/usr/bin:/bin", "WPY_WORKERD": "/nowhere"})
    assert lacking.code == 1 and "is JavaScript and needs workerd" in lacking.out


def test_states_are_saved_compared_loaded_and_reset(project: Project) -> None:
    project.toml('[[queues.producers]]\nqueue = "q"\nbinding = "Q"\n\n[[kv_namespaces]]\nbinding = "KV"\nid = "kv"\n')
    nothing = project.wpy("state", "save", "none")
    assert nothing.code == 1 and "There is no state" in nothing.err
    project.queues("send", "q", '{"n": 1}')
    project.wpy("kv", "key", "put", "greeting", "hello", "--binding", "KV")
    saved = project.wpy("state", "save", "first", "--json").json
    assert saved["name"] == "first" and Path(saved["folder"]) == project.state.parent / "saved" / "first"
    assert project.wpy("state", "diff", "first").out == "They are the same.\n"
    project.queues("send", "q", '{"n": 2}')
    project.wpy("kv", "key", "put", "greeting", "bye", "--binding", "KV")
    changes = {change["place"]: change for change in project.wpy("state", "diff", "first", "--json").json}
    assert changes["wpy.sqlite: message"] == {"place": "wpy.sqlite: message", "removed": 0, "added": 1}
    assert any(place.startswith("kv") for place in changes)
    assert project.wpy("state", "load", "first").code == 0
    assert project.bodies("q") == [{"n": 1}]
    assert project.wpy("kv", "key", "get", "greeting", "--binding", "KV").out.strip() == "hello"
    assert [one["name"] for one in project.wpy("state", "list", "--json").json] == ["first"]
    asked = project.wpy("state", "reset")
    assert asked.code == 1 and "--yes" in asked.err and project.state.exists()
    assert project.wpy("state", "reset", "--yes").code == 0 and not project.state.exists()
    unknown = project.wpy("state", "load", "second")
    assert unknown.code == 1 and 'no saved state "second"' in unknown.err and "first" in unknown.err
    assert project.wpy("state", "save", "../x").code == 1


def test_a_state_is_left_alone_while_a_session_runs_on_it(project: Project) -> None:
    project.toml()
    project.write(
        "src/entry.py",
        "from workers import WorkerEntrypoint\nclass Default(WorkerEntrypoint):\n    async def fetch(self, r): ...\n",
    )
    with project.start("dev", "--port", "0") as session:
        try:
            assert session.stdout is not None
            while b"Ready on" not in session.stdout.readline():
                pass
            for command in (("save", "x"), ("load", "x"), ("reset", "--yes")):
                refused = project.wpy("state", *command)
                assert refused.code == 1, refused
            assert f"process {session.pid}" in refused.err and "nothing was deleted" in refused.err
        finally:
            session.terminate()
            session.communicate()


def test_a_failure_becomes_a_test_that_fails_alike(project: Project) -> None:
    project.wpy("init", "--template", "queue", "--name", "app")
    shutil.rmtree(project.root / "tests")
    entry = project.root / "src" / "entry.py"
    good = entry.read_text()
    entry.write_text(good.replace("message.body['text']!r", "message.body['missing']!r"))
    project.queues("send", "app-jobs", '{"text": "hello"}')
    with project.start("dev", "--port", "0") as session:
        try:
            assert session.stdout is not None
            while b"KeyError: 'missing'" not in session.stdout.readline():
                pass
        finally:
            session.terminate()
            session.communicate()
    failed = project.wpy("runs", "list", "--failed", "--json").json
    assert failed[-1]["label"] == "queue app-jobs" and failed[-1]["error"] == "KeyError: 'missing'"
    made = project.wpy("runs", "to-test", str(failed[-1]["id"]))
    assert made.code == 0
    project.write("tests/test_run.py", made.out)
    finished = run_pytest(project.root)
    assert finished.returncode == 1 and "KeyError: 'missing'" in finished.stdout, finished.stdout
    entry.write_text(good)
    finished = run_pytest(project.root)
    assert finished.returncode == 0, finished.stdout
    assert "no run" in project.wpy("runs", "to-test", "999").err
