"""Projects with JavaScript Workers, for the tests that run the real workerd and esbuild."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dev_server import DevServer

_HERE = Path(__file__).resolve().parent.parent / "workerd"


def node_modules() -> Path:
    """A node_modules folder with workerd, esbuild, hono and drizzle-orm; the test is skipped where there is none."""
    folder = Path(os.environ.get("WPY_TEST_NODE_MODULES") or _HERE / "node_modules")
    if not (folder / "workerd").is_dir():
        pytest.skip("no workerd: run `npm install` in tests/workerd, or set WPY_TEST_NODE_MODULES")
    return folder


class JsProject:
    """A folder with one or more Workers and the node_modules of the tests."""

    def __init__(self, folder: Path, *, modules: bool = True) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = folder / ".wpy" / "state"
        self.servers: list[DevServer] = []
        if modules:
            (folder / "node_modules").symlink_to(node_modules())

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def worker(
        self, code: str, config: Mapping[str, Any] | None = None, *, name: str = "edge", main: str = "index.ts"
    ) -> str:
        """A Worker in a folder of its name; its config's path."""
        self.write(f"{name}/{main}", code)
        full = {"name": name, "main": main, "compatibility_date": "2026-04-01", **(config or {})}
        self.write(f"{name}/wrangler.json", json.dumps(full))
        return f"{name}/wrangler.json"

    def server(self, *arguments: str, configs: tuple[str, ...] = ("edge/wrangler.json",), **options: Any) -> DevServer:
        named = [part for config in configs for part in ("-c", config)]
        server = DevServer(*named, *arguments, cwd=self.folder, state=self.state, **options)
        self.servers.append(server)
        return server

    def start(self, *arguments: str, **options: Any) -> DevServer:
        return self.server(*arguments, **options).start()

    def stop(self) -> None:
        """End the sessions that still run, each as its user does."""
        for server in self.servers:
            server.stop()


def workerd_pids(server: DevServer) -> list[int]:
    """The session's workerd processes."""
    return [pid for pid, command in server.processes().items() if " serve config.capnp" in command]
