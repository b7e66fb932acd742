"""The `wpy` command itself: help, exit codes, what it imports, completion."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wrangler_py import __version__

#: Commands that have been there from the first version on.
COMMANDS = ("dev", "queues", "cron")
HELPED = (
    [],
    ["dev"],
    ["queues"],
    ["queues", "create"],
    ["queues", "list"],
    ["queues", "describe"],
    ["queues", "info"],
    ["cron"],
)


def imported(project, *arguments: str) -> set[str]:
    """The modules that `wpy ...` imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "wrangler_py", *arguments],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    names = re.findall(r"^import time:.*\|\s*([\w.]+)$", done.stderr, re.M)
    assert "wrangler_py.cli.main" in names
    return set(names)


def listed_commands(project) -> list[str]:
    return re.findall(r"^  ([\w-]+)  +\S", project.wpy("--help").out.split("Commands:")[1], re.M)


class TestHelp:
    @pytest.mark.parametrize("option", ["-h", "--help"])
    @pytest.mark.parametrize("command", HELPED, ids=" ".join)
    def test_every_command_has_help(self, project, command, option):
        done = project.wpy(*command, option)
        assert done.code == 0
        assert done.out.startswith(f"Usage: {' '.join(['wpy', *command])} ")
        assert "-h, --help" in done.out

    @pytest.mark.parametrize("command", [[], ["queues"]], ids=["wpy", "wpy queues"])
    def test_a_group_alone_shows_its_help(self, project, command):
        """wrangler ends with 0 there."""
        alone = project.wpy(*command)
        assert (alone.code, alone.err) == (0, "")
        assert alone.out == project.wpy(*command, "--help").out

    def test_every_command_that_is_listed_exists(self, project):
        listed = listed_commands(project)
        assert set(COMMANDS) <= set(listed)
        for command in listed:
            assert project.wpy(command, "--help").out.startswith(f"Usage: wpy {command} ")

    @pytest.mark.parametrize("option", ["-v", "--version"])
    def test_version(self, project, option):
        done = project.wpy(option)
        assert (done.code, done.out) == (0, f"wpy {__version__}\n")

    def test_nothing_is_created(self, project):
        for command in HELPED:
            project.wpy(*command, "--help")
        assert project.files() == []


class TestImports:
    def test_help_imports_nothing_heavy(self, project):
        heavy = {"rich", "pydantic", "uvicorn", "starlette", "croniter", "watchfiles", "json5", "sqlite3", "asyncio"}
        assert not heavy & imported(project, "--help")

    def test_a_command_imports_what_its_neighbours_need_only_if_it_needs_it_too(self, project):
        brokers = {"wrangler_py.queues.broker", "wrangler_py.cli.queues_bodies"}
        assert not brokers & imported(project, "queues", "list")
        assert brokers <= imported(project, "queues", "--help")  # which has a line of each command

    def test_dev_is_parsed_without_typer(self, project):
        """Its start is measured in hundredths of a second; typer and what it brings would take ten of them."""
        assert not {"typer", "pydantic", "rich"} & imported(project, "dev", "--help")


class TestFirstProcess:
    """A Python Worker's process is started before anything is imported, unless there is no Python Worker to run in it."""

    @pytest.mark.parametrize(
        ("configs", "arguments", "started"),
        [
            ({"wrangler.toml": 'main = "src/entry.py"'}, [], 1),
            ({"wrangler.toml": 'name = "a"\nmain = "src/index.ts" # the "main" one'}, [], 0),
            ({"wrangler.jsonc": '{\n  // "main": "a.py"\n  "main": "src/index.mjs"\n}'}, [], 0),
            ({"a.toml": "main = 'a.js'", "b.toml": 'main = "b.py"'}, ["-c", "a.toml", "--config=b.toml"], 1),
            ({"a.toml": "main = 'a.js'"}, ["-c", "a.toml"], 0),
            ({}, ["--config=none.toml"], 1),
            ({}, [], 1),
        ],
    )
    def test_is_started_for_python(self, tmp_path, monkeypatch, configs, arguments, started):
        import wrangler_py.__main__ as command
        from wrangler_py.cli import main
        from wrangler_py.runtime.python import spawn

        for name, text in configs.items():
            (tmp_path / name).write_text(text)
        spawned, given = [], []
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["wpy", "dev", *arguments])
        monkeypatch.setattr(spawn, "spawn", lambda: spawned.append(1) or "process")
        monkeypatch.setattr(main, "run", lambda *rest: given.append(rest[1]))
        command.main()
        assert (len(spawned), given) == (started, ["process" if started else None])


class TestWrongCommandLines:
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["queus"], "No such command 'queus'. Did you mean 'queues'?"),
            (["dve"], "No such command 'dve'. Did you mean 'dev'?"),
            (["deploy"], "No such command 'deploy'."),
            (["queues", "lst"], "No such command 'lst'. Did you mean 'list'?"),
            (["queues", "descibe", "q"], "No such command 'descibe'. Did you mean 'describe'?"),
            (["queues", "create"], "Missing argument"),
            (["queues", "create", "a", "b"], "unexpected extra argument"),
            (["queues", "create", "a", "--delivery-delay-secs", "soon"], "--delivery-delay-secs"),
            (["queues", "list", "--jsn"], "--jsn"),
            (["--nope"], "--nope"),
            (["dev", "--nope"], "--nope"),
            (["dev", "--port", "65536"], "--port"),
            (["dev", "--port", "http"], "--port"),
            (["dev", "--log-level", "loud"], "'debug', 'info', 'log', 'warn', 'error', 'none'"),
            (["dev", "--var", "NAME"], '"NAME" is not of the form KEY:VALUE'),
            (["dev", "--var", ":value"], '":value" is not of the form KEY:VALUE'),
            (["dev", "a.py", "b.py"], "unexpected extra argument"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_ends_with_2_and_says_what_is_wrong(self, project, arguments, text):
        done = project.wpy(*arguments)
        assert (done.code, done.out) == (2, "")
        assert text in " ".join(done.err.split())
        assert "Usage: wpy" in done.err
        assert project.files() == []

    def test_dev_without_a_config_ends_with_1(self, project):
        done = project.wpy("dev")
        assert done.code == 1
        assert "No wrangler.json" in done.out + done.err
        assert project.files() == []


class TestCompletion:
    def complete(self, project, line: str) -> list[str]:
        words = line.split(" ")
        done = project.wpy(
            env={"_WPY_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        )
        assert done.code == 0
        return done.out.split()

    def test_commands(self, project):
        assert self.complete(project, "wpy ") == listed_commands(project)
        assert self.complete(project, "wpy q") == ["queues"]

    def test_commands_of_a_group(self, project):
        listed = re.findall(r"^  ([\w-]+)  +\S", project.queues("--help").out.split("Commands:")[1], re.M)
        assert {"create", "list", "describe", "info", "send", "peek", "tail", "consumer"} <= set(listed)
        assert self.complete(project, "wpy queues ") == listed
        assert self.complete(project, "wpy queues d") == ["describe", "delete", "discard"]
        assert self.complete(project, "wpy queues consumer h") == ["http"]

    def test_options(self, project):
        assert "--json" in self.complete(project, "wpy queues list --")
        assert self.complete(project, "wpy queues create q --del") == ["--delivery-delay-secs"]

    def test_options_of_dev(self, project):
        assert self.complete(project, "wpy dev --p") == ["--port", "--persist-to"]
        assert self.complete(project, "wpy dev --port 1 --no-c") == ["--no-cron"]
        assert self.complete(project, "wpy dev src/") == []

    def test_show_completion(self, project):
        bash = shutil.which("bash")
        if bash is None:
            pytest.skip("no bash")
        # `exit` keeps bash from replacing itself: the shell is found by looking at the parent process.
        script = f'"{sys.executable}" -m wrangler_py --show-completion; exit $?'
        done = subprocess.run([bash, "-c", script], cwd=project.root, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "_WPY_COMPLETE=complete_bash" in done.stdout
        assert "complete -o default -F _wpy_completion wpy" in done.stdout


class TestOutput:
    def test_an_encoding_without_the_characters_is_no_crash(self, project):
        done = project.queues("create", "jobs", env={"PYTHONIOENCODING": "latin-1"})
        assert done.code == 0
        assert r"\u2705 Created queue 'jobs'" in done.out

    def test_a_reader_that_leaves_is_no_crash(self, project):
        read, write = os.pipe()
        os.close(read)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "wrangler_py", "queues", "list"],
                cwd=project.root,
                stdout=write,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
            )
        finally:
            os.close(write)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr

    def test_python_dash_m_and_the_script_are_one(self, project):
        script = Path(sys.executable).with_name("wpy")
        if not script.exists():
            pytest.skip("the console script is not installed here")
        by_script = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60)
        assert by_script.stdout == project.wpy("--help").out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
@pytest.mark.parametrize("reads", [1, 2])
def test_ctrl_c_before_a_session_runs_ends_it_silently(tmp_path: Path, reads: int) -> None:
    # Whoever reads the config waits: first a look at its language, before anything is imported, then the session.
    config = tmp_path / "wrangler.toml"
    os.mkfifo(config)
    process = subprocess.Popen(
        [sys.executable, "-m", "wrangler_py", "dev", "-c", str(config)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    for read in range(reads):
        with config.open("w"):  # returns when it is read
            if read == reads - 1:
                os.killpg(process.pid, signal.SIGINT)
                out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")
    assert b"ERROR" not in out
