"""A project on disk with sessions of `wpy dev` and other `wpy` commands run in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import warm_wpy
from dev_server import DevServer

HEAD = """\
name = "{name}"
main = "{main}"
compatibility_date = "2026-03-01"
compatibility_flags = ["python_workers"]
"""


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Project:
    """A folder with a config and an entry module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = folder / ".wpy" / "state"
        self.servers: list[DevServer] = []

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def config(
        self, more: str = "", *, file: str = "wrangler.toml", name: str = "app", main: str = "src/entry.py"
    ) -> Path:
        return self.write(file, HEAD.format(name=name, main=main) + textwrap.dedent(more))

    def code(self, text: str, file: str = "src/entry.py") -> Path:
        return self.write(file, text)

    def server(self, *arguments: str) -> DevServer:
        server = DevServer(*arguments, cwd=self.folder, state=self.state)
        self.servers.append(server)
        return server

    def start(self, *arguments: str) -> DevServer:
        return self.server(*arguments).start()

    def stop(self) -> None:
        """End the sessions that still run, each as its user does."""
        for server in self.servers:
            server.stop()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "wrangler_py", *arguments]

    def wpy(self, *arguments: str, stdin: str | None = None, timeout: float = 60.0) -> Done:
        """A command as a script runs it."""
        done = warm_wpy.run(
            self.command(*arguments),
            cwd=self.folder,
            env=environment(),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)


def environment() -> dict[str, str]:
    """The environment without what would change a command's output; a wide terminal in UTC."""
    foreign = ("NO_COLOR", "FORCE_COLOR", "CLOUDFLARE_ENV", "PYTHONIOENCODING", "PYTHONUTF8")
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    return {**kept, "COLUMNS": "200", "TZ": "UTC"}
