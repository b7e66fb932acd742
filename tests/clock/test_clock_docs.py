"""docs/clock.md shows what the commands really print, one after another in one session."""

import re
import shlex
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "clock.md").read_text()


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1]


def without_today(text):
    """How far the clock is from the wall clock depends on the day, and a running one goes on."""
    text = re.sub(r" \([^()]* (ahead of|behind) the wall clock\)", "", text)
    return re.sub(r"runs at 2026-03-01T12:00:\d\d(\.\d+)?Z", "runs on", text).strip()


def test_the_story(project):
    project.write("wrangler.toml", block("toml"))
    project.code(block("python"))
    server = project.start("--clock", "virtual", "--now", "2026-03-01T00:00:00Z")
    assert server.get("/").text == "queued"
    examples = re.findall(r"^\$ wpy (.+)\n((?:[^$].*\n)*)", block("console"), re.MULTILINE)
    assert len(examples) == 5
    for command, printed in examples:
        done = project.wpy(*shlex.split(command))
        assert without_today(done.out) == without_today(printed), command
    assert server.find("report for 1772344800000")
    assert server.find('Moving message .* to dead letter queue "mail-dlq"')


def test_every_command_is_in_the_table(project):
    listed = set(re.findall(r"^\| `wpy clock ([a-z-]+)", PAGE, re.MULTILINE))
    helped = set(re.findall(r"^  ([a-z-]+)  ", project.wpy("clock", "--help").out, re.MULTILINE))
    assert listed == helped
