"""docs/queues.md shows what the commands really print, one after another beside one session."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dev_server import DevServer

PAGE = (Path(__file__).parents[2] / "docs" / "queues.md").read_text(encoding="utf-8")
#: Commands that only look: what they are to see may come a moment later.
LOOKS = ("peek", "history", "describe", "list")


def block(language: str) -> str:
    return re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]


def examples() -> list[tuple[str, str]]:
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [pair for text in blocks for pair in re.findall(r"^\$ (.+)\n((?:[^$].*\n)*)", text, re.MULTILINE)]


class Ids:
    """Every id of the page stands for one of this run."""

    def __init__(self) -> None:
        self.of_page: dict[str, str] = {}

    def learn(self, printed: str, page: str) -> None:
        """What stands in the same place is the same thing."""
        for ours, theirs in zip(*(re.findall(r"[0-9a-f]{32}", text) for text in (printed, page)), strict=False):
            self.of_page.setdefault(theirs, ours)

    def put_in(self, command: str) -> str:
        return re.sub(r"[0-9a-f]{32}", lambda found: self.of_page.get(found[0], found[0]), command)


def plain(text: str) -> str:
    """Without what differs from run to run."""
    text = re.sub(r"[0-9a-f]{32}", "ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"\b\d+ s old", "AGE", text)
    text = re.sub(r"ready in (59 min \d+ s|1 h)", "ready in AN HOUR", text)
    return re.sub(r"\b\d+ ms\b", "MS", text)


@pytest.fixture
def shell(project):
    """Runs a line of the page as a shell does, and gives what it prints."""
    tools = project.root / "tools"
    tools.mkdir()
    wpy = tools / "wpy"
    wpy.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wrangler_py "$@"\n')
    wpy.chmod(0o755)
    env = project.environment({"PATH": f"{tools}:{os.environ['PATH']}", "TZ": "UTC"})

    def run(line: str) -> str:
        done = subprocess.run(
            ["sh", "-c", line], cwd=project.root, env=env, capture_output=True, text=True, encoding="utf-8", timeout=60
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout

    return run


@pytest.mark.skipif(sys.platform == "win32", reason="the examples are of a POSIX shell")
def test_the_tour(project, shell):
    project.write("wrangler.toml", block("toml"))
    project.write("src/entry.py", block("python"))
    ids = Ids()
    with DevServer("--no-reload", cwd=project.root, state=project.state) as server:
        for command, page in examples():
            deadline = time.monotonic() + 20
            printed = shell(ids.put_in(command))
            while plain(printed) != plain(page) and command.split()[2] in LOOKS and time.monotonic() < deadline:
                printed = shell(ids.put_in(command))
            assert plain(printed) == plain(page), command
            ids.learn(printed, page)
        assert len(server.find("mail to user")) == 250
    assert len(examples()) == 20


def test_every_command_is_in_the_table(project):
    listed = set(re.findall(r"^\| `wpy queues ([a-z-]+)", PAGE, re.MULTILINE))
    helped = set(re.findall(r"^  ([a-z-]+)  ", project.queues("--help").out.split("Commands:")[1], re.MULTILINE))
    assert listed == helped


def test_every_option_is_in_the_page(project):
    """Those of wrangler's `consumer` apart."""
    shared = {"--config", "--env", "--persist-to", "--json", "--help"}
    for command in re.findall(r"^  ([a-z-]+)  ", project.queues("--help").out.split("Commands:")[1], re.MULTILINE):
        if command != "consumer":
            options = set(
                re.findall(r"(?<![\w-])--[a-z-]+", project.queues(command, "--help").out.split("Options:")[1])
            )
            missing = {option for option in options - shared if f"`{option}" not in PAGE and f" {option} " not in PAGE}
            assert not missing - {"--batch-size"}, command
