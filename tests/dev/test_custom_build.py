"""`build.command` of the config: run before a Worker is loaded, and again when its sources change."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_project import Project

BUILD = """
    [build]
    command = "mkdir -p made && echo from $WRANGLER_COMMAND && cp text/worker.txt made/entry.py"
    watch_dir = ["text"]
"""
WORKER = """
    from workers import Response, WorkerEntrypoint

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return Response("{}")
"""


@pytest.mark.timeout(60)
def test_a_build_runs_first_and_after_each_change(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.config(BUILD, main="made/entry.py")
    (tmp_path / "text").mkdir()
    with project.server() as server:
        server.wait_for(r"^\[custom build\] from dev$")
        server.wait_for(r"Running custom build `mkdir .*` failed \(exit code 1\)")
        assert server.get("/").status == 500

        for number in range(2):
            project.write("text/worker.txt", WORKER.format(number))
            server.wait_for('Reloaded worker "app"', count=number + 1)
            assert server.get("/").text == str(number)
        assert len(server.find("from dev")) == 3, "what it makes asks for no build"

        # Another command in the config: one that makes something else, and one that Ctrl-C has to cut short.
        project.config('[build]\ncommand = "echo other"\n', main="made/other.py")
        server.wait_for(
            r'expected output file at ".*made/other\.py" was not found after running custom build: echo other'
        )
        project.config('[build]\ncommand = "echo begun; sleep 300"\n', main="made/entry.py")
        server.wait_for(r"^\[custom build\] begun$")
