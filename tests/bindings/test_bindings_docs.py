"""docs/bindings.md tells the truth: its Worker runs, its commands print what it shows, its tables name every command."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from session_project import Project

from wrangler_py.bindings import limits

PAGE = (Path(__file__).parents[2] / "docs" / "bindings.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_story(tmp_path: Path):
    project = Project(tmp_path)
    project.write("wrangler.toml", block("toml"))
    project.code(block("python"))
    project.write("migrations/0001_notes.sql", block("sql"))
    server = project.start("--no-reload")
    examples = re.findall(r"^\$ (.+)\n((?:[^$].*\n)*)", block("console"), re.MULTILINE)
    assert len(examples) == 5
    try:
        for command, printed in examples:
            tool, *arguments = shlex.split(command)
            out = project.wpy(*arguments).out if tool == "wpy" else server.get("/").text
            assert out.rstrip("\n") == printed.rstrip("\n"), command
    finally:
        project.stop()


def test_every_command_is_in_the_tables(tmp_path: Path):
    project = Project(tmp_path)
    for group in (("kv", "key"), ("kv", "bulk"), ("d1",), ("d1", "migrations"), ("r2", "object")):
        helped = project.wpy(*group, "--help").out.split("Commands:")[1]
        for command in re.findall(r"^  ([a-z]+)  ", helped, re.MULTILINE):
            rows = re.findall(rf"^\|.*`(?:wpy {' '.join(group)} )?{command}\b", PAGE, re.MULTILINE)
            assert rows, (group, command)


def test_the_limits_are_those_of_the_code():
    for text in (
        f"{limits.KV_MAX_KEY_BYTES} bytes; not empty",
        f"{limits.KV_MAX_VALUE_BYTES // 1024**2} MiB",
        f"{limits.KV_MAX_METADATA_BYTES:,} bytes of JSON",
        f"at least {limits.KV_MIN_TTL_S} seconds ahead",
        f"more than {limits.D1_MAX_PARAMETERS}\nparameters",
        f"{limits.R2_MAX_KEY_BYTES:,} bytes",
        f"{limits.R2_MAX_METADATA_BYTES:,} bytes",
        f"{limits.R2_MAX_PARTS:,}; all but the last of one size, of {limits.R2_MIN_PART_BYTES // 1024**2} MiB",
    ):
        assert text in PAGE, text
